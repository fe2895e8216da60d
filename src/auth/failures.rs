//! How often one client address, and one token, may be refused within a window.
//!
//! A token is judged first and counted afterwards. A token that the keys find good is let in whatever its address has
//! done: many viewers share one address behind a carrier's NAT, and one of them must not shut out the others. The count
//! spares the operator's webhook, and tells a client that tries in a loop to stop. Tokens are kept as keyed hashes
//! only.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::address::{Exempt, client_of};
use crate::limits;

/// The refusals in the current window.
#[derive(Debug)]
pub(super) struct Failures {
    window_ends: Instant,
    by_address: HashMap<IpAddr, u32>,
    by_token: HashMap<u64, u32>,
    exempt: Exempt,
}

impl Failures {
    /// No refusals yet. Addresses in `exempt` are not counted, because all clients of a proxy on this host share its
    /// address.
    pub(super) fn new(exempt: &[IpAddr], now: Instant) -> Self {
        Self { window_ends: now, by_address: HashMap::new(), by_token: HashMap::new(), exempt: Exempt::new(exempt) }
    }

    /// Counts a refusal. Returns the time to wait if there have been too many.
    pub(super) fn note(&mut self, address: IpAddr, token: Option<u64>, now: Instant) -> Option<Duration> {
        if now >= self.window_ends {
            self.by_address.clear();
            self.by_token.clear();
            self.window_ends = now + limits::AUTH_FAILURE_WINDOW;
        }
        let mut too_many = false;
        if !self.exempt.has(address) {
            too_many |= count(&mut self.by_address, client_of(address)) > limits::AUTH_FAILURES_PER_ADDRESS_MAX;
        }
        if let Some(token) = token {
            too_many |= count(&mut self.by_token, token) > limits::AUTH_FAILURES_PER_TOKEN_MAX;
        }
        too_many.then(|| self.window_ends - now)
    }

    /// How long `address` has to wait before the webhook is asked about it again.
    pub(super) fn wait_of(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let failures = self.by_address.get(&client_of(address))?;
        (*failures >= limits::AUTH_FAILURES_PER_ADDRESS_MAX && now < self.window_ends).then(|| self.window_ends - now)
    }
}

/// Counts one more for `key` and returns the count; 0 if there is no room to track the key.
fn count<K: Eq + Hash>(counts: &mut HashMap<K, u32>, key: K) -> u32 {
    if counts.len() >= limits::AUTH_FAILURES_TRACKED_MAX && !counts.contains_key(&key) {
        return 0;
    }
    let count = counts.entry(key).or_insert(0);
    *count = count.saturating_add(1);
    *count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_that_fails_too_often_waits_for_the_end_of_the_window() {
        let start = Instant::now();
        let mut failures = Failures::new(&[ip("127.0.0.1")], start);
        let bad = ip("2001:db8::1");
        for _ in 0..limits::AUTH_FAILURES_PER_ADDRESS_MAX {
            assert_eq!(failures.note(bad, None, start), None);
        }
        let later = start + Duration::from_secs(20);
        // Another address of the same network is the same client.
        let wait = failures.note(ip("2001:db8::2"), None, later);
        assert_eq!(wait, Some(limits::AUTH_FAILURE_WINDOW - Duration::from_secs(20)));
        assert_eq!(failures.wait_of(bad, later), wait);
        assert_eq!(failures.wait_of(ip("2001:db8:0:1::1"), later), None);
        for _ in 0..=limits::AUTH_FAILURES_PER_ADDRESS_MAX {
            assert_eq!(failures.note(ip("127.0.0.1"), None, later), None, "exempt");
        }
        let after = start + limits::AUTH_FAILURE_WINDOW;
        assert_eq!((failures.wait_of(bad, after), failures.note(bad, None, after)), (None, None));
    }

    #[test]
    fn a_token_that_fails_too_often_is_refused_from_every_address() {
        let start = Instant::now();
        let mut failures = Failures::new(&[], start);
        for last in 0..limits::AUTH_FAILURES_PER_TOKEN_MAX {
            assert_eq!(failures.note(IpAddr::from([192, 0, 2, last as u8]), Some(7), start), None);
        }
        assert!(failures.note(ip("198.51.100.1"), Some(7), start).is_some());
        assert!(failures.note(ip("198.51.100.1"), Some(8), start).is_none());
    }

    #[test]
    fn the_number_of_counted_clients_is_bounded() {
        let start = Instant::now();
        let mut failures = Failures::new(&[], start);
        for number in 0..(limits::AUTH_FAILURES_TRACKED_MAX as u32 * 2) {
            failures.note(IpAddr::from(number.to_be_bytes()), Some(number.into()), start);
        }
        assert_eq!(failures.by_address.len(), limits::AUTH_FAILURES_TRACKED_MAX);
        assert_eq!(failures.by_token.len(), limits::AUTH_FAILURES_TRACKED_MAX);
    }
}
