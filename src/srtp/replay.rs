//! The replay window (RFC 3711 §3.3.2), and the 48-bit packet index that a 16-bit sequence number stands for (§3.3.1).
//!
//! Both are consulted before a packet is authenticated and updated only afterwards, so a forged packet changes nothing.

use super::SrtpError;
use crate::wire::bytes::{ImportError, StateReader, StateWriter};

/// The highest packet index: 32 bits of rollover counter and 16 of sequence number.
pub(super) const PACKET_INDEX_MAX: u64 = (1 << 48) - 1;

/// One bit for each of the last `WORDS` × 64 indexes.
#[derive(Clone, Debug)]
pub(super) struct ReplayWindow<const WORDS: usize> {
    /// The highest index accepted.
    highest: u64,
    /// Index `i` is bit `i` mod the window's size; those above `highest` are clear.
    seen: [u64; WORDS],
}

impl<const WORDS: usize> ReplayWindow<WORDS> {
    const SIZE: u64 = WORDS as u64 * 64;

    /// A window whose first accepted packet is `index`.
    pub(super) fn starting_at(index: u64) -> Self {
        let mut window = Self { highest: index, seen: [0; WORDS] };
        window.set(index, true);
        window
    }

    /// The highest index accepted.
    pub(super) fn highest(&self) -> u64 {
        self.highest
    }

    /// Whether `index` may still be accepted.
    pub(super) fn check(&self, index: u64) -> Result<(), SrtpError> {
        let Some(age) = self.highest.checked_sub(index) else {
            return Ok(());
        };
        if age >= Self::SIZE {
            return Err(SrtpError::TooOld);
        }
        let (word, mask) = Self::place(index);
        if self.seen.get(word).is_some_and(|bits| bits & mask != 0) { Err(SrtpError::Replayed) } else { Ok(()) }
    }

    /// Remembers `index`, which [`Self::check`] allowed and which was authenticated.
    pub(super) fn accept(&mut self, index: u64) {
        if let Some(advance) = index.checked_sub(self.highest) {
            if advance >= Self::SIZE {
                self.seen = [0; WORDS];
            } else {
                // Clears the bits of the indexes one window older. Nearly always this is one step.
                for skipped in self.highest + 1..=index {
                    self.set(skipped, false);
                }
            }
            self.highest = index;
        }
        self.set(index, true);
    }

    /// Writes the highest index and the bits.
    pub(super) fn export(&self, out: &mut StateWriter) {
        out.u64(self.highest);
        self.seen.iter().for_each(|word| out.u64(*word));
    }

    /// Reads what [`Self::export`] wrote.
    pub(super) fn import(from: &mut StateReader<'_>) -> Result<Self, ImportError> {
        let mut window = Self { highest: from.u64()?, seen: [0; WORDS] };
        for word in &mut window.seen {
            *word = from.u64()?;
        }
        if window.highest > PACKET_INDEX_MAX { Err(ImportError::Malformed) } else { Ok(window) }
    }

    fn place(index: u64) -> (usize, u64) {
        ((index % Self::SIZE / 64) as usize, 1 << (index % 64))
    }

    fn set(&mut self, index: u64, seen: bool) {
        let (word, mask) = Self::place(index);
        if let Some(bits) = self.seen.get_mut(word) {
            *bits = if seen { *bits | mask } else { *bits & !mask };
        }
    }
}

/// The packet index that is nearest to `highest` and ends in `sequence` (RFC 3711 §3.3.1 and appendix A). Where the
/// nearest one would need a rollover counter below zero, the index far ahead is returned instead.
///
/// # Errors
/// `KeyExhausted` when that is above the last possible index.
pub(super) fn estimate_index(highest: u64, sequence: u16) -> Result<u64, SrtpError> {
    let (rollover, newest) = (highest >> 16, (highest & 0xffff) as u16);
    let rollover = if newest < 0x8000 {
        if sequence.saturating_sub(newest) > 0x8000 { rollover.saturating_sub(1) } else { rollover }
    } else if newest - 0x8000 > sequence {
        rollover + 1
    } else {
        rollover
    };
    let index = rollover << 16 | u64::from(sequence);
    if index > PACKET_INDEX_MAX { Err(SrtpError::KeyExhausted) } else { Ok(index) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::random::{Random, SeededRandom};
    use std::collections::HashSet;

    #[test]
    fn the_estimate_follows_rfc_3711_appendix_a() {
        let at = |rollover: u64, sequence: u16| rollover << 16 | u64::from(sequence);
        for (highest, sequence, expected) in [
            (at(0, 5), 6, Ok(at(0, 6))),
            (at(0, 5), 0, Ok(at(0, 0))),
            (at(0, 5), 32_773, Ok(at(0, 32_773))),
            // One further ahead would be nearer in the previous cycle, if there is one.
            (at(0, 5), 32_774, Ok(at(0, 32_774))),
            (at(1, 5), 32_774, Ok(at(0, 32_774))),
            (at(1, 5), 65_535, Ok(at(0, 65_535))),
            (at(0, 65_535), 0, Ok(at(1, 0))),
            (at(0, 65_535), 32_766, Ok(at(1, 32_766))),
            (at(0, 65_535), 32_767, Ok(at(0, 32_767))),
            (at(7, 32_768), 0, Ok(at(7, 0))),
            (at(7, 32_769), 0, Ok(at(8, 0))),
            (at(0xffff_ffff, 65_535), 0, Err(SrtpError::KeyExhausted)),
            (at(0xffff_ffff, 65_534), 65_535, Ok(PACKET_INDEX_MAX)),
        ] {
            assert_eq!(estimate_index(highest, sequence), expected, "{highest:x} {sequence}");
        }
    }

    #[test]
    fn the_window_agrees_with_a_set_of_all_indexes() {
        let mut random = SeededRandom::new(3711);
        for _ in 0..20 {
            let mut newest = random.u64() % 5_000 + 1;
            let mut window = ReplayWindow::<2>::starting_at(newest);
            let mut accepted = HashSet::from([newest]);
            for _ in 0..3_000 {
                // Mostly near the front, sometimes far ahead.
                let reach = if random.u64().is_multiple_of(50) { 400 } else { 8 };
                let index = (newest + random.u64() % reach).saturating_sub(random.u64() % 160);
                let expected = if index + 128 <= newest {
                    Err(SrtpError::TooOld)
                } else if accepted.contains(&index) {
                    Err(SrtpError::Replayed)
                } else {
                    Ok(())
                };
                assert_eq!(window.check(index), expected, "{index} with {newest} newest");
                if expected.is_ok() {
                    window.accept(index);
                    accepted.insert(index);
                    newest = newest.max(index);
                    assert_eq!(window.highest(), newest);
                }
            }
        }
    }
}
