//! How often one client address, and one token, may open a session: a rate each, with a burst.
//!
//! The node's own rate bounds the joins of all clients together. The rates here keep one client from using all of it. A
//! join is counted after the keys have judged its token, so that bad tokens from the same address shut nobody out.
//! Where only the operator's webhook can judge a token, the join is counted before the webhook is asked.
//!
//! A token may belong to a whole audience, and an address to a carrier. So both rates are generous, let a crowd in at
//! once, and can be changed by the operator.
//!
//! Each rate is the generic cell rate algorithm (ITU-T I.371). It computes when all admitted joins would have arrived
//! at an even pace; that time may lie ahead of now by a bounded amount. Once that time has passed, the entry is
//! forgotten, which changes no decision.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::address::{Exempt, client_of};
use super::configured::Admission;
use crate::limits;

/// How many sessions each client address and each token opened recently.
#[derive(Debug)]
pub(super) struct Joins {
    by_address: Paces<IpAddr>,
    by_token: Paces<u64>,
    /// Both rates, as they were configured.
    per_second: [u32; 2],
    exempt: Exempt,
}

impl Joins {
    /// No client yet. For exempt addresses only the tokens' rates hold: all clients of a proxy on this host share its address.
    pub(super) fn new(admission: &Admission, now: Instant) -> Self {
        let per_second = [admission.joins_per_second_and_address_max, admission.joins_per_second_and_token_max];
        Self {
            by_address: Paces::per_second(per_second[0], now),
            by_token: Paces::per_second(per_second[1], now),
            per_second,
            exempt: Exempt::new(&admission.exempt_addresses),
        }
    }

    /// Whether the rates are those of `admission`.
    pub(super) fn are_limited_by(&self, admission: &Admission) -> bool {
        self.per_second == [admission.joins_per_second_and_address_max, admission.joins_per_second_and_token_max]
    }

    /// Counts one more session.
    ///
    /// # Errors
    /// The time to wait, if too many were opened recently.
    pub(super) fn take(&mut self, address: IpAddr, token: Option<u64>, now: Instant) -> Result<(), Duration> {
        if !self.exempt.has(address) {
            self.by_address.take(client_of(address), now)?;
        }
        token.map_or(Ok(()), |token| self.by_token.take(token, now))
    }
}

/// One rate, applied to each key separately.
#[derive(Debug)]
struct Paces<K> {
    interval: Duration,
    burst: Duration,
    /// Per key: when all of its admitted joins would have arrived at an even pace.
    paced: HashMap<K, Instant>,
    cleared: Instant,
}

impl<K: Eq + Hash> Paces<K> {
    fn per_second(rate: u32, now: Instant) -> Self {
        let interval = Duration::from_secs(1) / rate.max(1);
        Self { interval, burst: limits::JOINS_BURST_OF_ONE.max(interval), paced: HashMap::new(), cleared: now }
    }

    fn take(&mut self, key: K, now: Instant) -> Result<(), Duration> {
        let next = self.paced.get(&key).copied().unwrap_or(now).max(now) + self.interval;
        let ahead = next.saturating_duration_since(now);
        if ahead > self.burst {
            return Err(ahead - self.burst);
        }
        if self.has_room(now) || self.paced.contains_key(&key) {
            self.paced.insert(key, next);
        }
        Ok(())
    }

    /// Whether there is room to track one more key. Expired entries are removed at most once a second.
    fn has_room(&mut self, now: Instant) -> bool {
        if self.paced.len() >= limits::JOINS_TRACKED_MAX && now >= self.cleared + Duration::from_secs(1) {
            self.paced.retain(|_, paced| *paced > now);
            self.cleared = now;
        }
        self.paced.len() < limits::JOINS_TRACKED_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joins(per_address: u32, per_token: u32, now: Instant) -> Joins {
        let admission = Admission {
            joins_per_second_and_address_max: per_address,
            joins_per_second_and_token_max: per_token,
            ..Admission::for_workers(1)
        };
        Joins::new(&admission, now)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// How many of a thousand joins at the same moment are admitted.
    fn crowd(joins: &mut Joins, address: &str, token: Option<u64>, now: Instant) -> usize {
        (0..1_000).filter(|_| joins.take(ip(address), token, now).is_ok()).count()
    }

    #[test]
    fn an_address_may_join_in_a_burst_and_then_at_an_even_pace() {
        let start = Instant::now();
        let mut joins = joins(20, 1_000_000, start);
        let burst = 20 * limits::JOINS_BURST_OF_ONE.as_secs() as usize;
        assert_eq!(crowd(&mut joins, "2001:db8::1", None, start), burst);
        assert_eq!(joins.take(ip("2001:db8::2"), None, start), Err(Duration::from_millis(50)), "the same client");
        assert_eq!(crowd(&mut joins, "2001:db8:0:1::1", None, start), burst, "another one");
        assert_eq!(crowd(&mut joins, "2001:db8::1", None, start + Duration::from_secs(1)), 20);
        assert_eq!(crowd(&mut joins, "127.0.0.1", None, start), 1_000, "exempt");
    }

    #[test]
    fn joins_know_whether_their_rates_have_changed() {
        let (joins, other) = (joins(20, 30, Instant::now()), |address, token| Admission {
            joins_per_second_and_address_max: address,
            joins_per_second_and_token_max: token,
            ..Admission::for_workers(1)
        });
        assert!(joins.are_limited_by(&other(20, 30)));
        assert!(!joins.are_limited_by(&other(21, 30)) && !joins.are_limited_by(&other(20, 31)));
    }

    #[test]
    fn a_tokens_rate_of_joins_holds_over_all_addresses() {
        let start = Instant::now();
        let mut joins = joins(1_000_000, 1, start);
        let burst = limits::JOINS_BURST_OF_ONE.as_secs() as usize;
        let elsewhere = (0..100).filter(|last| joins.take(IpAddr::from([192, 0, 2, *last]), Some(7), start).is_ok());
        assert_eq!(elsewhere.count(), burst);
        assert_eq!(crowd(&mut joins, "127.0.0.1", Some(7), start), 0, "an exempt address does not exempt a token");
        assert_eq!(crowd(&mut joins, "192.0.2.1", Some(8), start), burst);
        assert_eq!(crowd(&mut joins, "192.0.2.1", None, start), 1_000);
    }

    #[test]
    fn tracked_clients_are_bounded_and_those_that_paused_make_room() {
        let start = Instant::now();
        let mut joins = joins(1, 1, start);
        let mut come = |numbers: std::ops::Range<u32>, now| {
            for number in numbers {
                assert_eq!(joins.take(IpAddr::from(number.to_be_bytes()), Some(number.into()), now), Ok(()));
            }
            (joins.by_address.paced.len(), joins.by_token.paced.len())
        };
        let max = limits::JOINS_TRACKED_MAX;
        assert_eq!(come(0..2 * max as u32, start), (max, max));
        let later = start + limits::JOINS_BURST_OF_ONE;
        let newcomer = 3 * max as u32;
        assert_eq!(come(newcomer..newcomer + 1, later), (1, 1));
    }
}
