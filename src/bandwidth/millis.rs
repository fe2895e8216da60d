//! Points in time in four bytes.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::time::Timestamp;

/// Milliseconds of the node's clock, of which only differences count: it wraps after 49 days. Never zero, so that an optional
/// one is no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Millis(NonZeroU32);

impl Default for Millis {
    fn default() -> Self {
        Self(NonZeroU32::MIN)
    }
}

impl Millis {
    const fn new(millis: u32) -> Self {
        match NonZeroU32::new(millis) {
            Some(millis) => Self(millis),
            None => Self(NonZeroU32::MIN),
        }
    }

    pub(super) const fn of(now: Timestamp) -> Self {
        Self::new((now.as_nanos() / 1_000_000) as u32)
    }

    /// The lower 16 bits.
    pub(super) const fn low_bits(self) -> u16 {
        (self.0.get() & 0xffff) as u16
    }

    /// Milliseconds since `earlier`; none where that is later.
    pub(super) const fn since(self, earlier: Self) -> u32 {
        let passed = self.0.get().wrapping_sub(earlier.0.get());
        if passed > u32::MAX / 2 { 0 } else { passed }
    }

    pub(super) const fn plus(self, later: Duration) -> Self {
        Self::new(self.0.get().wrapping_add(later.as_millis() as u32))
    }

    /// Whether `deadline` has come.
    pub(super) const fn has_reached(self, deadline: Self) -> bool {
        self.0.get().wrapping_sub(deadline.0.get()) <= u32::MAX / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_right_over_the_wrap() {
        let wrap_ms = 1 << 32;
        let before = Millis::of(Timestamp::from_millis(wrap_ms - 10));
        let after = Millis::of(Timestamp::from_millis(wrap_ms + 20));
        assert_eq!((after.since(before), before.since(after)), (30, 0));
        assert!(after.has_reached(before) && !before.has_reached(after));
        assert!(after.has_reached(before.plus(Duration::from_millis(30))));
        assert!(!after.has_reached(before.plus(Duration::from_millis(31))));
        assert_eq!(size_of::<Option<Millis>>(), 4);
    }
}
