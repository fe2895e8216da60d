//! The send time in a payload: the last 40 bytes of a packet that a load tester's publisher makes.
//!
//! | bytes | what |
//! |---|---|
//! | 16 | [`MARK`], a random UUID; also the UUID of an H.264 SEI of unregistered user data (ITU-T H.264 §D.1.7) |
//! | 16 | nanoseconds of the monotonic clock, a nibble a byte |
//! | 1 | which of its track's encodings the stream is (simulcast), from 0; a nibble |
//! | 7 | the packet's number in its stream, a nibble a byte |
//!
//! A nibble is written as `0x50` to `0x5f`, so that the bytes never need emulation prevention. The stamp is at the end
//! of the payload, because payload headers differ from codec to codec, and servers rewrite headers and extensions but
//! not the ends of payloads. In an SEI one byte of RBSP trailing bits follows. Publisher and viewer must run on the
//! same host, because the clock is the machine's monotonic one.

use crate::time::Timestamp;

/// Begins a stamp.
pub const MARK: [u8; 16] =
    [0xc5, 0x1e, 0x8d, 0x3b, 0x97, 0x64, 0x4a, 0x2f, 0xb0, 0x71, 0xe9, 0x5c, 0x36, 0xd8, 0x4f, 0xa2];

const TIME_AT: usize = 16;
const LAYER_AT: usize = 32;
const NUMBER_AT: usize = 33;

/// Bytes of a stamp.
pub const BYTES: usize = 40;

/// Bytes of an SEI NAL unit that holds a stamp.
pub const SEI_BYTES: usize = BYTES + 4;

/// What a stamp says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// When the packet was sent.
    pub sent: Timestamp,
    /// Which of its track's encodings the stream is, from 0 to 15.
    pub layer: u8,
    /// Its number in its stream, from 0; it wraps after 2²⁸.
    pub number: u32,
}

impl Stamp {
    /// How many numbers there are; then they begin again.
    pub const NUMBERS: u32 = 1 << 28;

    /// Overwrites the end of `payload`; false, and nothing changed, where it is too short to keep a head of its own.
    pub fn write(&self, payload: &mut [u8]) -> bool {
        let Some(at) = payload.len().checked_sub(BYTES).filter(|at| *at >= 4) else { return false };
        for (byte, value) in payload.iter_mut().skip(at).zip(self.bytes()) {
            *byte = value;
        }
        true
    }

    /// The stamp at the end of `payload`, with or without RBSP trailing bits behind it.
    #[must_use]
    pub fn read(payload: &[u8]) -> Option<Self> {
        let payload = match payload.split_last() {
            Some((0x80, rest)) => rest,
            _ => payload,
        };
        let stamp = payload.get(payload.len().checked_sub(BYTES)?..)?;
        if stamp.get(..TIME_AT)? != MARK {
            return None;
        }
        let sent = Timestamp::from_nanos(value(stamp.get(TIME_AT..LAYER_AT)?)?);
        let layer = u8::try_from(value(stamp.get(LAYER_AT..NUMBER_AT)?)?).ok()?;
        let number = u32::try_from(value(stamp.get(NUMBER_AT..)?)?).ok()?;
        Some(Self { sent, layer, number })
    }

    /// The stamp as an H.264 SEI NAL unit.
    #[must_use]
    pub fn sei(&self) -> Vec<u8> {
        // NAL type 6; payload type 5, unregistered user data; its size, UUID included.
        [6, 5, BYTES as u8].into_iter().chain(self.bytes()).chain([0x80]).collect()
    }

    fn bytes(&self) -> impl Iterator<Item = u8> {
        let time = nibbles(self.sent.as_nanos(), 16);
        MARK.into_iter().chain(time).chain(nibbles(self.layer.into(), 1)).chain(nibbles(self.number.into(), 7))
    }
}

fn nibbles(value: u64, count: u32) -> impl Iterator<Item = u8> {
    (0..count).rev().map(move |place| 0x50 | (value >> (place * 4) & 15) as u8)
}

fn value(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |value, digit| (digit & 0xf0 == 0x50).then_some(value << 4 | u64::from(digit & 15)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_reads_back_from_the_end_of_a_payload() {
        for stamp in [
            Stamp { sent: Timestamp::from_nanos(0), layer: 0, number: 0 },
            Stamp { sent: Timestamp::from_nanos(u64::MAX), layer: 15, number: (1 << 28) - 1 },
            Stamp { sent: Timestamp::from_nanos(0x0123_4567_89ab_cdef), layer: 2, number: 80 },
        ] {
            let mut payload = vec![0xee; 120];
            assert!(stamp.write(&mut payload));
            assert_eq!(Stamp::read(&payload), Some(stamp));
            assert_eq!(payload[..80], [0xee; 80]);
            payload[90] ^= 1;
            assert_eq!(Stamp::read(&payload), None);
        }
        assert!(!Stamp { sent: Timestamp::ZERO, layer: 0, number: 0 }.write(&mut [0; BYTES + 3]));
    }

    #[test]
    fn an_sei_holds_a_stamp_and_needs_no_emulation_prevention() {
        let stamp = Stamp { sent: Timestamp::ZERO, layer: 0, number: 0 };
        let unit = stamp.sei();
        assert_eq!((unit.len(), &unit[..3]), (SEI_BYTES, &[6, 5, 40][..]));
        assert_eq!(Stamp::read(&unit), Some(stamp));
        assert!(!unit.windows(3).any(|bytes| bytes[0] == 0 && bytes[1] == 0));
    }
}
