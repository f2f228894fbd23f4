//! Makes guessing passwords slow, in bounded memory.

use governor::clock::DefaultClock;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

/// Tries at once before waiting begins.
const BURST: NonZeroU32 = NonZeroU32::new(10).unwrap();

/// Then one try is free after so long: 1440 a day.
const PACE: Duration = Duration::from_secs(60);

/// Addresses and names are counted in so many drawers. Two may share one,
/// which nobody can arrange since the hash has a secret of its own.
const DRAWERS: u64 = 65_536;

/// Counts tries to sign in, by address and by name.
pub(super) struct Throttle {
    tries: DefaultKeyedRateLimiter<u64>,
    secret: RandomState,
}

impl std::fmt::Debug for Throttle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Throttle").finish_non_exhaustive()
    }
}

impl Default for Throttle {
    fn default() -> Self {
        // A period of zero is the only one that is refused.
        let quota = Quota::with_period(PACE).unwrap_or(Quota::per_minute(BURST));
        let tries = RateLimiter::keyed(quota.allow_burst(BURST));
        Self { tries, secret: RandomState::new() }
    }
}

impl Throttle {
    /// Whether somebody at `address` may try the password of `name` now;
    /// otherwise how many seconds to wait.
    pub(super) fn admits(&self, address: IpAddr, name: &str) -> Result<(), u64> {
        let drawers =
            [self.secret.hash_one(household(address)), self.secret.hash_one(("name", name))];
        for drawer in drawers {
            self.tries.check_key(&(drawer % DRAWERS)).map_err(|refused| {
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

    #[test]
    fn many_tries_at_one_name_or_from_one_address_have_to_wait() {
        let address = |last: u8| IpAddr::from([203, 0, 113, last]);
        let throttle = Throttle::default();
        let admitted = (0..50).filter(|try_| throttle.admits(address(*try_), "ana").is_ok());
        assert_eq!(admitted.count(), 10);
        let throttle = Throttle::default();
        let admitted =
            (0..50).filter(|name| throttle.admits(address(1), &name.to_string()).is_ok());
        assert_eq!(admitted.count(), 10);
        assert!((1..=60).contains(&throttle.admits(address(1), "ben").unwrap_err()));
        assert!(throttle.admits(address(2), "ben").is_ok());
    }
}
