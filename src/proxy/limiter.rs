//! Refuses visitors who ask too often, in bounded memory.

use crate::proxy::Limits;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts the requests of each visitor.
pub(super) struct Limiter {
    limiter: Option<DefaultKeyedRateLimiter<IpAddr>>,
    capacity: usize,
    /// When visitors who came to rest were last forgotten, in seconds since
    /// `clock` began.
    swept_s: AtomicU64,
    start: <DefaultClock as Clock>::Instant,
    clock: DefaultClock,
}

impl Limiter {
    pub(super) fn new(limits: &Limits) -> Self {
        let limiter = NonZeroU32::new(limits.requests_per_second).map(|rate| {
            let burst = NonZeroU32::new(limits.request_burst).unwrap_or(rate);
            RateLimiter::keyed(Quota::per_second(rate).allow_burst(burst))
        });
        let clock = DefaultClock::default();
        Self {
            limiter,
            capacity: limits.counted_visitors,
            swept_s: AtomicU64::new(0),
            start: clock.now(),
            clock,
        }
    }

    /// Whether this visitor may make one more request.
    ///
    /// When more visitors are counted than memory is set aside for, those who
    /// came to rest are forgotten first; if nobody has, newcomers are refused:
    /// whoever has that many addresses at once is not a visitor.
    pub(super) fn admits(&self, client: IpAddr) -> bool {
        let Some(limiter) = &self.limiter else { return true };
        if limiter.len() > self.capacity {
            self.sweep(limiter);
            if limiter.len() > self.capacity {
                return false;
            }
        }
        limiter.check_key(&key(client)).is_ok()
    }

    /// At most once a second: it looks at every visitor.
    fn sweep(&self, limiter: &DefaultKeyedRateLimiter<IpAddr>) {
        let now = self.clock.now();
        let now_s = now.duration_since(self.start).as_secs() + 1;
        if self.swept_s.swap(now_s, Ordering::Relaxed) != now_s {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}

/// A household has one IPv4 address, or a /64 of IPv6.
fn key(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(rate: u32, burst: u32, capacity: usize) -> Limiter {
        Limiter::new(&Limits {
            requests_per_second: rate,
            request_burst: burst,
            counted_visitors: capacity,
            ..Limits::default()
        })
    }

    #[test]
    fn a_flood_is_stopped_and_others_are_not() {
        let limiter = limiter(1, 3, 100);
        let admitted = (0..10).filter(|_| limiter.admits([203, 0, 113, 1].into())).count();
        assert_eq!(admitted, 3);
        assert!(limiter.admits([203, 0, 113, 2].into()));
    }

    #[test]
    fn a_household_of_ipv6_counts_as_one() {
        let limiter = limiter(1, 1, 100);
        assert!(limiter.admits("2001:db8::1".parse().unwrap()));
        assert!(!limiter.admits("2001:db8::2".parse().unwrap()));
    }

    #[test]
    fn memory_is_bounded() {
        let limiter = limiter(1, 2, 10);
        let admitted = (0..=255).filter(|last| limiter.admits([203, 0, 113, *last].into())).count();
        assert!(admitted <= 11, "{admitted}");
    }

    #[test]
    fn zero_means_no_limit() {
        let limiter = limiter(0, 0, 0);
        assert!((0..1000).all(|_| limiter.admits([203, 0, 113, 1].into())));
    }
}
