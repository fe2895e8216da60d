//! Converts a [`Timestamp`] to the `Instant` that the libraries take, and back. This is done nowhere else.
//!
//! An `Instant` cannot be made from a number, so one is taken once per process to stand for [`Timestamp::ZERO`]. Its
//! value does not matter: the libraries only subtract and compare, and every value they see is this base plus a
//! timestamp that was handed in. Virtual time works the same way.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::time::Timestamp;

/// Libraries express "no deadline" as one further away than this.
const FOREVER: Duration = Duration::from_secs(24 * 60 * 60);

fn base() -> Instant {
    static BASE: OnceLock<Instant> = OnceLock::new();
    *BASE.get_or_init(Instant::now)
}

/// The libraries' view of `now`.
pub(super) fn instant(now: Timestamp) -> Instant {
    let base = base();
    base.checked_add(now.since(Timestamp::ZERO)).unwrap_or(base)
}

/// A library's deadline as a timestamp; `None` when it is more than a day after `now`.
pub(super) fn deadline(at: Instant, now: Timestamp) -> Option<Timestamp> {
    let after_start = at.saturating_duration_since(base());
    let at = Timestamp::ZERO + after_start;
    (at.since(now) < FOREVER).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_round_trips_through_an_instant() {
        let now = Timestamp::from_millis(1_234_567);
        assert_eq!(deadline(instant(now), now), Some(now));
        assert_eq!(deadline(instant(now) + Duration::from_millis(5), now), Some(now + Duration::from_millis(5)));
        assert_eq!(deadline(instant(now) + FOREVER, now), None);
    }
}
