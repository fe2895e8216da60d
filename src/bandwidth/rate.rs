//! A rate in two bytes: units of 4 kbit/s, up to 262 Mbit/s. What is more than that is as good as that.

/// Bits a second of one unit.
const UNIT: u64 = 4_000;

/// A rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(u16);

impl Rate {
    /// The highest that can be told.
    pub const MAX: Self = Self(u16::MAX);

    /// Rounded down.
    #[must_use]
    pub const fn from_bits_per_second(bits_per_second: u64) -> Self {
        let units = bits_per_second / UNIT;
        Self(if units > u16::MAX as u64 { u16::MAX } else { units as u16 })
    }

    /// `bytes` in `micros`; the highest where no time passed.
    #[must_use]
    pub fn of(bytes: u64, micros: u64) -> Self {
        bytes.saturating_mul(8_000_000).checked_div(micros).map_or(Self::MAX, Self::from_bits_per_second)
    }

    /// Bits a second.
    #[must_use]
    pub const fn bits_per_second(self) -> u64 {
        self.0 as u64 * UNIT
    }

    /// This times `percent` / 100.
    #[must_use]
    pub fn percent(self, percent: u32) -> Self {
        Self(u16::try_from(u32::from(self.0).saturating_mul(percent) / 100).unwrap_or(u16::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_rounded_down_and_end_at_the_highest() {
        assert_eq!(Rate::from_bits_per_second(2_503_999).bits_per_second(), 2_500_000);
        assert_eq!(Rate::from_bits_per_second(u64::MAX), Rate::MAX);
        // 10 kB in 16 ms are 5 Mbit/s.
        assert_eq!(Rate::of(10_000, 16_000).bits_per_second(), 5_000_000);
        assert_eq!((Rate::of(1, 0), Rate::of(u64::MAX, 1)), (Rate::MAX, Rate::MAX));
        assert_eq!(Rate::from_bits_per_second(1_000_000).percent(80).bits_per_second(), 800_000);
        assert_eq!(Rate::MAX.percent(130), Rate::MAX);
    }
}
