//! How often something may happen: so many at once, then one per pause.

use std::time::Duration;

use crate::time::Timestamp;

/// What is left of a rate. The rate itself is a bound of [`crate::limits`] and is given with each call, so that whoever
/// holds thousands of these holds two words each.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    used: u32,
    /// The time up to which returned uses are counted.
    returned_at: Timestamp,
}

impl Allowance {
    /// Nothing is used yet.
    #[must_use]
    pub const fn new(now: Timestamp) -> Self {
        Self { used: 0, returned_at: now }
    }

    /// Whether it may happen now: `at_once` times, and once more for each `pause` that has passed. Takes it if so.
    pub fn take(&mut self, at_once: u32, pause: Duration, now: Timestamp) -> bool {
        if self.used == 0 {
            self.returned_at = now;
        }
        let pauses = now.since(self.returned_at).as_nanos() / pause.as_nanos().max(1);
        let pauses = u32::try_from(pauses).unwrap_or(u32::MAX);
        if pauses > 0 {
            self.used = self.used.saturating_sub(pauses);
            self.returned_at = if self.used == 0 { now } else { self.returned_at + pause.saturating_mul(pauses) };
        }
        let may = self.used < at_once;
        self.used += u32::from(may);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_at_once_and_then_one_per_pause_however_often_it_is_asked() {
        let at = Timestamp::from_millis;
        let mut allowance = Allowance::new(at(0));
        let mut taken = Vec::new();
        for ms in 5_000..15_000 {
            if allowance.take(3, Duration::from_secs(2), at(ms)) {
                taken.push(ms);
            }
        }
        assert_eq!(taken, [5_000, 5_001, 5_002, 7_000, 9_000, 11_000, 13_000]);
        // After a long pause it is whole again, and not more than that.
        let again = (0..100).filter(|_| allowance.take(3, Duration::from_secs(2), at(900_000))).count();
        assert_eq!(again, 3);
    }
}
