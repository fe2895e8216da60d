//! Where a message ends in a stream of bytes: STUN messages say their own length, and channel data is padded to a multiple of
//! four (RFC 8656 §12.4, §12.5).

use std::ops::RangeInclusive;

use crate::limits;
use crate::wire::stun::{HEADER_BYTES, MAGIC_COOKIE};

/// Bytes before channel data: the channel's number and the length.
pub(super) const CHANNEL_HEAD_BYTES: usize = 4;

/// The numbers that a channel may have: those of RFC 5766 §11, which older clients use. RFC 8656 §12 has fewer of them for what
/// shares a port with DTLS; here nothing does.
pub(super) const CHANNELS: RangeInclusive<u16> = 0x4000..=0x7fff;

/// What a stream begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framed {
    /// Too little to say, or a message whose end has not come.
    Partial,
    /// So many bytes, padding among them, are one message.
    Whole(usize),
    /// No message of this protocol, or one that is too long.
    Broken,
}

/// Finds the end of the first message.
#[must_use]
pub fn first(stream: &[u8]) -> Framed {
    let Some((&[t0, t1, l0, l1], rest)) = stream.split_first_chunk() else {
        return if stream.first().is_some_and(|first| *first > 0x7f) { Framed::Broken } else { Framed::Partial };
    };
    let len = usize::from(u16::from_be_bytes([l0, l1]));
    let whole = match u16::from_be_bytes([t0, t1]) {
        kind if kind & 0xc000 == 0 => {
            let cookie = MAGIC_COOKIE.to_be_bytes();
            if len & 3 != 0 || !cookie.iter().zip(rest).all(|(wanted, got)| wanted == got) {
                return Framed::Broken;
            }
            len.saturating_add(HEADER_BYTES)
        }
        channel if CHANNELS.contains(&channel) => len.next_multiple_of(4).saturating_add(CHANNEL_HEAD_BYTES),
        _ => return Framed::Broken,
    };
    match whole {
        whole if whole > limits::TURN_MESSAGE_BYTES_MAX => Framed::Broken,
        whole if whole > stream.len() => Framed::Partial,
        whole => Framed::Whole(whole),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_end_where_they_say_and_channel_data_at_a_multiple_of_four() {
        assert_eq!(first(&[0x40, 0, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0, 9]), Framed::Whole(12));
        assert_eq!(first(&[0x40, 0, 0, 5, 1, 2, 3, 4, 5]), Framed::Partial);
        let mut stun = [0; HEADER_BYTES + 8];
        stun[1] = 1;
        stun[3] = 8;
        stun[4..8].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
        assert_eq!(first(&stun), Framed::Whole(stun.len()));
        assert!((0..stun.len()).all(|len| first(&stun[..len]) == Framed::Partial));
        // Data that is as long as a datagram may be, and longer.
        let longest = (limits::TURN_MESSAGE_BYTES_MAX - CHANNEL_HEAD_BYTES) as u16;
        assert_eq!(first(&[&[0x7f, 0xff][..], &longest.to_be_bytes()].concat()), Framed::Partial);
        assert_eq!(first(&[&[0x4f, 0xff][..], &(longest + 1).to_be_bytes()].concat()), Framed::Broken);
    }

    #[test]
    fn what_is_no_message_is_broken_as_soon_as_it_shows() {
        for broken in [
            &[0x80][..],
            b"GET ",
            &[0x16, 3, 1, 2],
            &[0, 1, 0, 2],
            &[0, 1, 0, 4, 0x21, 0x12, 0xa4, 0x43],
            &[0x3f, 0xff, 0, 0, 0],
        ] {
            assert_eq!(first(broken), Framed::Broken, "{broken:?}");
        }
    }
}
