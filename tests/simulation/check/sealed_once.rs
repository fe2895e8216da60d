//! The rule that must never break (RFC 7714 §8.1): under one key, a (synchronisation source, packet index) belongs to one
//! sequence of bytes.
//!
//! One value watches one session, which has one sending key for life, and sees every packet the node seals for it, whether
//! the network took it or not. It keeps a fingerprint of each datagram's every byte for the newest [`WINDOW`] indexes of
//! a source (twice what a packet ring can hold): what lies further back can only be sealed anew by a defect, and is one.
//! SRTCP indexes must rise.
//!
//! It also counts the indexes that were passed over and not sealed since: what a viewer takes for loss.

use corecast::limits;
use corecast::wire::demux::{self, DatagramKind};
use corecast::wire::rtp::RtpHeader;
use corecast::wire::sequence;

use super::Violation;

const WINDOW: usize = 2 * limits::VIDEO_RING_PACKETS_MAX;
const RULE: &str = "sealed once";

/// Packets that may overtake another: three of the longest key frames.
const ON_THEIR_WAY: u64 = 108;

#[derive(Debug)]
struct Source {
    ssrc: u32,
    first: u64,
    newest: u64,
    /// At `index % WINDOW`; zero where nothing was sealed.
    prints: Box<[u64]>,
    missing: u64,
}

/// What a sealed packet was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sealed {
    Rtp { ssrc: u32 },
    Rtcp,
    Other,
}

/// Watches one session.
#[derive(Debug, Default)]
pub(crate) struct SealedOnce {
    sources: Vec<Source>,
    next_rtcp: u32,
    /// Packets that were the same as one before.
    pub(crate) repeats: u64,
    /// For the proof of the gap rule: from now on indexes are read as if one had been passed over.
    pub(crate) invented: u64,
}

impl SealedOnce {
    pub(crate) fn observe(&mut self, datagram: &[u8]) -> Result<Sealed, Violation> {
        match demux::classify(datagram) {
            DatagramKind::Rtp => self.observe_rtp(datagram),
            DatagramKind::Rtcp => {
                // RFC 7714 §9.2: with GCM the word of E flag and index comes last.
                let word = datagram.last_chunk().map_or(0, |word| u32::from_be_bytes(*word));
                let index = word & 0x7fff_ffff;
                if word >> 31 == 0 || index < self.next_rtcp {
                    return Err(Violation::new(RULE, format!("SRTCP index {index} after {}", self.next_rtcp)));
                }
                self.next_rtcp = index + 1;
                Ok(Sealed::Rtcp)
            }
            DatagramKind::Stun | DatagramKind::Dtls | DatagramKind::Unknown => Ok(Sealed::Other),
        }
    }

    fn observe_rtp(&mut self, datagram: &[u8]) -> Result<Sealed, Violation> {
        let Ok(header) = RtpHeader::parse(datagram) else {
            return Err(Violation::new(RULE, "a sealed packet without a whole header"));
        };
        let ssrc = header.ssrc;
        let at = self.sources.iter().position(|source| source.ssrc == ssrc).unwrap_or_else(|| {
            let newest = u64::from(header.sequence);
            let prints = vec![0; WINDOW].into_boxed_slice();
            self.sources.push(Source { ssrc, first: newest, newest, prints, missing: 0 });
            self.sources.len() - 1
        });
        let source = &mut self.sources[at];
        let index = sequence::extend(source.newest, header.sequence) + self.invented;
        let print = fingerprint(datagram);
        if index > source.newest {
            let passed = index - source.newest - 1;
            source.missing += passed;
            for passed in index - passed.min(WINDOW as u64)..index {
                source.prints[passed as usize % WINDOW] = 0;
            }
            source.newest = index;
            source.prints[index as usize % WINDOW] = 0;
        } else if index + WINDOW as u64 <= source.newest {
            return Err(Violation::new(
                RULE,
                format!("SSRC {ssrc:#x}: index {index} sealed {} too late", source.newest),
            ));
        }
        let slot = &mut source.prints[index as usize % WINDOW];
        if *slot == 0 {
            if index < source.newest {
                source.missing = source.missing.saturating_sub(1);
            }
            *slot = print;
        } else if *slot == print {
            self.repeats += 1;
        } else {
            return Err(Violation::new(RULE, format!("SSRC {ssrc:#x}: index {index} sealed with two contents")));
        }
        Ok(Sealed::Rtp { ssrc })
    }

    /// Indexes of a source that were passed over, but for the newest [`ON_THEIR_WAY`]: what the network reordered had not
    /// come yet when the session ended.
    pub(crate) fn missing(&self, ssrc: u32) -> u64 {
        let Some(source) = self.sources.iter().find(|source| source.ssrc == ssrc) else { return 0 };
        let newest = source.newest.saturating_sub(ON_THEIR_WAY).max(source.first)..source.newest;
        let unseen = newest.filter(|&index| source.prints[index as usize % WINDOW] == 0).count() as u64;
        source.missing.saturating_sub(unseen)
    }
}

/// Of every byte; never zero. Four lanes, so that a packet costs tens of nanoseconds.
fn fingerprint(bytes: &[u8]) -> u64 {
    const PRIME: u64 = 0x9e37_79b9_7f4a_7c15;
    let word = |bytes: &[u8]| {
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(word)
    };
    let mut lanes = [bytes.len() as u64, 1, 2, 3];
    let mut blocks = bytes.chunks_exact(32);
    for block in &mut blocks {
        for (lane, part) in lanes.iter_mut().zip(block.chunks_exact(8)) {
            *lane = (*lane ^ word(part)).wrapping_mul(PRIME).rotate_left(29);
        }
    }
    for part in blocks.remainder().chunks(8) {
        lanes[0] = (lanes[0] ^ word(part)).wrapping_mul(PRIME).rotate_left(29);
    }
    let folded = lanes.into_iter().fold(0_u64, |sum, lane| (sum ^ lane).wrapping_mul(PRIME).rotate_left(31));
    folded | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(sequence: u16, last: u8) -> Vec<u8> {
        let [high, low] = sequence.to_be_bytes();
        let mut packet = vec![0x80, 96, high, low, 0, 0, 0, 1, 0, 0, 0, 7];
        packet.extend([5; 90]);
        packet.push(last);
        packet
    }

    #[test]
    fn the_same_bytes_again_are_a_repeat_and_others_are_not() {
        let mut watch = SealedOnce::default();
        for (sequence, last) in [(65_534, 1), (65_535, 2), (0, 3), (65_535, 2)] {
            assert_eq!(watch.observe(&packet(sequence, last)), Ok(Sealed::Rtp { ssrc: 7 }));
        }
        assert_eq!((watch.repeats, watch.missing(7)), (1, 0));
        assert!(watch.observe(&packet(65_534, 9)).is_err());
        assert!(watch.observe(&packet(65_534, 1)).is_ok());
    }

    #[test]
    fn indexes_passed_over_are_counted_until_they_are_sealed() {
        let mut watch = SealedOnce::default();
        for sequence in [10, 14, 12, 15] {
            watch.observe(&packet(sequence, 0)).unwrap();
        }
        assert_eq!(watch.missing(7), 0, "they may be on their way");
        let newest = 15 + ON_THEIR_WAY as u16;
        for sequence in 16..=newest {
            watch.observe(&packet(sequence, 0)).unwrap();
        }
        assert_eq!(watch.missing(7), 2);
        for sequence in [11, 13] {
            watch.observe(&packet(sequence, 0)).unwrap();
        }
        assert_eq!(watch.missing(7), 0);
        // Its slot is the one 8,192 places on: not taken for sealed.
        watch.observe(&packet(newest + WINDOW as u16, 0)).unwrap();
        assert_eq!(watch.missing(7), WINDOW as u64 - 1 - ON_THEIR_WAY);
        assert!(watch.observe(&packet(14, 0)).is_err(), "too far behind to be judged");
    }

    #[test]
    fn every_byte_is_in_the_fingerprint() {
        let bytes: Vec<u8> = (0..77).collect();
        for at in 0..bytes.len() {
            let mut other = bytes.clone();
            other[at] ^= 0x40;
            assert_ne!(fingerprint(&bytes), fingerprint(&other), "byte {at}");
        }
    }
}
