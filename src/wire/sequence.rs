//! Arithmetic on numbers that wrap: 16-bit sequence numbers and 32-bit RTP timestamps (RFC 3550 §5.1).
//!
//! The node keeps 64-bit extended values and truncates them on the wire; [`extend`] goes the other way. The serial
//! comparisons (RFC 1982 §3.2) are for code that only ever sees the short form.

/// The 64-bit value nearest to `reference` whose lower 16 bits are `sequence`.
///
/// Of two equally near values the lower is returned. Where the nearest would lie below zero (or above `u64::MAX`), the
/// result is the nearest value that exists, so its lower 16 bits are always right. A stream that may start with
/// reordered packets begins its reference at 65,536 or more and never meets that edge.
#[must_use]
pub const fn extend(reference: u64, sequence: u16) -> u64 {
    let distance = sequence.wrapping_sub(reference as u16);
    match reference.checked_add_signed(distance as i16 as i64) {
        Some(extended) => extended,
        // Below zero only the value above exists; above the maximum only the one below.
        None if (distance as i16) < 0 => reference.wrapping_add(distance as u64),
        None => reference.wrapping_sub(distance.wrapping_neg() as u64),
    }
}

/// The 64-bit value nearest to `reference` whose lower 32 bits are `timestamp`; edges as in [`extend`].
#[must_use]
pub const fn extend_timestamp(reference: u64, timestamp: u32) -> u64 {
    let distance = timestamp.wrapping_sub(reference as u32);
    match reference.checked_add_signed(distance as i32 as i64) {
        Some(extended) => extended,
        None if (distance as i32) < 0 => reference.wrapping_add(distance as u64),
        None => reference.wrapping_sub(distance.wrapping_neg() as u64),
    }
}

/// Steps from sequence number `from` to `to` the shorter way round; negative when `to` is older. Halfway is negative.
#[must_use]
pub const fn sequence_distance(from: u16, to: u16) -> i16 {
    to.wrapping_sub(from) as i16
}

/// Ticks from timestamp `from` to `to` the shorter way round; negative when `to` is older. Halfway is negative.
#[must_use]
pub const fn timestamp_distance(from: u32, to: u32) -> i32 {
    to.wrapping_sub(from) as i32
}

/// Whether sequence number `a` comes after `b` (RFC 1982 §3.2).
#[must_use]
pub const fn sequence_newer(a: u16, b: u16) -> bool {
    sequence_distance(b, a) > 0
}

/// Whether timestamp `a` comes after `b` (RFC 1982 §3.2).
#[must_use]
pub const fn timestamp_newer(a: u32, b: u32) -> bool {
    timestamp_distance(b, a) > 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn extension_follows_a_wrap_in_both_directions() {
        assert_eq!(extend(65_535, 0), 65_536);
        assert_eq!(extend(65_536, 65_535), 65_535);
        assert_eq!(extend(3 * 65_536 + 10, 65_530), 3 * 65_536 - 6);
        assert_eq!(extend_timestamp(u64::from(u32::MAX), 90), (1 << 32) + 90);
        assert_eq!(extend_timestamp(1 << 32, u32::MAX), (1 << 32) - 1);
    }

    #[test]
    fn extension_below_zero_goes_up_instead() {
        assert_eq!(extend(5, 65_530), 65_530);
        assert_eq!(extend(0, 0), 0);
        assert_eq!(extend_timestamp(5, u32::MAX), u64::from(u32::MAX));
    }

    #[test]
    fn extension_above_the_maximum_goes_down_instead() {
        assert_eq!(extend(u64::MAX, 4), u64::MAX - 65_531);
        assert_eq!(extend(u64::MAX, u16::MAX), u64::MAX);
        assert_eq!(extend_timestamp(u64::MAX, 4), u64::MAX - 0xffff_fffb);
        assert_eq!(extend_timestamp(u64::MAX, u32::MAX), u64::MAX);
    }

    #[test]
    fn serial_order_wraps() {
        assert!(sequence_newer(0, 65_535));
        assert!(!sequence_newer(65_535, 0));
        assert!(!sequence_newer(7, 7));
        assert_eq!(sequence_distance(65_530, 4), 10);
        assert!(timestamp_newer(10, u32::MAX));
        assert!(!timestamp_newer(u32::MAX, 10) && !timestamp_newer(7, 7));
        assert_eq!(timestamp_distance(10, u32::MAX), -11);
    }

    proptest! {
        #[test]
        fn extension_keeps_the_low_bits(reference: u64, sequence: u16, timestamp: u32) {
            prop_assert_eq!(extend(reference, sequence) as u16, sequence);
            prop_assert_eq!(extend_timestamp(reference, timestamp) as u32, timestamp);
        }

        #[test]
        fn extension_is_the_nearest(reference in 1_u64 << 33..1 << 62, offset in -32_768_i64..32_768) {
            let near = reference.wrapping_add_signed(offset);
            prop_assert_eq!(extend(reference, near as u16), near);
            prop_assert_eq!(extend_timestamp(reference, near as u32), near);
        }
    }
}
