//! Makes guessing passwords slow, in bounded memory.

use governor::clock::DefaultClock;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

/// Tries at once before waiting begins, and after how long one more is free.
type Pace = (NonZeroU32, Duration);

/// For one name from one address: 1440 a day.
const OF_BOTH: Pace = (NonZeroU32::new(10).unwrap(), Duration::from_secs(60));

/// For all names from one address: an office may share it.
const OF_ADDRESS: Pace = (NonZeroU32::new(30).unwrap(), Duration::from_secs(20));

/// For one name from everywhere. Whoever uses this up keeps its owner out, so
/// that it has to take more addresses than somebody has at hand.
const OF_NAME: Pace = (NonZeroU32::new(600).unwrap(), Duration::from_secs(1));

/// What is counted is counted in so many drawers. Two may share one,
/// which nobody can arrange since the hash has a secret of its own.
const DRAWERS: u64 = 65_536;

/// Counts tries to sign in, by address and by name.
pub(super) struct Throttle {
    of_both: DefaultKeyedRateLimiter<u64>,
    of_address: DefaultKeyedRateLimiter<u64>,
    of_name: DefaultKeyedRateLimiter<u64>,
    secret: RandomState,
}

impl std::fmt::Debug for Throttle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Throttle").finish_non_exhaustive()
    }
}

impl Default for Throttle {
    fn default() -> Self {
        let limit = |(burst, pace): Pace| {
            // A period of zero is the only one that is refused.
            let quota = Quota::with_period(pace).unwrap_or(Quota::per_minute(burst));
            RateLimiter::keyed(quota.allow_burst(burst))
        };
        Self {
            of_both: limit(OF_BOTH),
            of_address: limit(OF_ADDRESS),
            of_name: limit(OF_NAME),
            secret: RandomState::new(),
        }
    }
}

impl Throttle {
    /// Whether somebody at `address` may try the password of `name` now;
    /// otherwise how many seconds to wait.
    pub(super) fn admits(&self, address: IpAddr, name: &str) -> Result<(), u64> {
        let household = household(address);
        // What is refused by one is not counted by those after it: one address
        // cannot use up what all have together.
        let counts = [
            (&self.of_both, self.secret.hash_one((household, name))),
            (&self.of_address, self.secret.hash_one(household)),
            (&self.of_name, self.secret.hash_one(name)),
        ];
        for (tries, drawer) in counts {
            tries.check_key(&(drawer % DRAWERS)).map_err(|refused| {
                let clock = DefaultClock::default();
                refused.wait_time_from(governor::clock::Clock::now(&clock)).as_secs().max(1)
            })?;
        }
        Ok(())
    }
}

/// One IPv4 address, or a /64 of IPv6.
fn household(address: IpAddr) -> [u16; 8] {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().segments(),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            [a, b, c, d, 0, 0, 0, 0]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([203, 0, 113, last])
    }

    #[test]
    fn many_tries_from_one_address_have_to_wait() {
        let throttle = Throttle::default();
        let admitted = (0..50).filter(|_| throttle.admits(address(1), "ana").is_ok());
        assert_eq!(admitted.count(), 10);
        assert!((1..=60).contains(&throttle.admits(address(1), "ana").unwrap_err()));
        let throttle = Throttle::default();
        let admitted =
            (0..50).filter(|name| throttle.admits(address(1), &name.to_string()).is_ok());
        assert_eq!(admitted.count(), 30);
        assert!(throttle.admits(address(2), "ben").is_ok());
    }

    #[test]
    fn nobody_is_kept_out_by_what_a_few_others_try() {
        let throttle = Throttle::default();
        for _ in 0..1000 {
            for other in 1..20 {
                let _ = throttle.admits(address(other), "ana");
            }
        }
        assert!(throttle.admits(address(100), "ana").is_ok());
    }

    #[test]
    fn one_name_cannot_be_tried_from_everywhere_without_end() {
        let throttle = Throttle::default();
        let admitted = (0..2000_u32)
            .filter(|try_| throttle.admits(IpAddr::from(try_.to_be_bytes()), "ana").is_ok());
        assert!(admitted.count() < 1000);
    }
}
