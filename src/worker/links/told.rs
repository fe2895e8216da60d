//! What a link's receiver must be told whole and in order: everything of a stream but its packets, and where runs of packets begin.
//!
//! A message is cut into pieces, a packet each, whose last is marked. The sender keeps the newest
//! [`limits::LINK_PIECES_KEPT_MAX`]; the receiver asks for what is missing, as of media. Where a piece cannot be had any more the link
//! is of no use, and is made anew.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::packet::read_clocks;
use crate::limits;
use crate::relay::publish::reception::Reception;
use crate::relay::store::clock_map::HostClocks;
use crate::relay::store::numbers::EncodingId;
use crate::relay::store::record::RECORD_BYTES_MAX;
use crate::relay::store::timeline::Incarnation;
use crate::time::Timestamp;
use crate::wire::bytes::fixed::{ByteReader, ByteWriter};

/// A run of an encoding's packets: those of one incarnation, behind what was told of it before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) encoding: EncodingId,
    pub(super) incarnation: Incarnation,
    /// A sequence number near which all of its packets are.
    pub(super) sequence: u64,
    /// The sender's clocks as it began.
    pub(super) clocks: HostClocks,
}

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message<'a> {
    /// A record, as [`crate::relay::store::record::write`] wrote it.
    Record(&'a [u8]),
    /// Packets follow that name this message.
    Run(Run),
}

const RECORD: u8 = 1;
const RUN: u8 = 2;

/// Bytes of the longest message.
const MESSAGE_BYTES_MAX: usize = 1 + RECORD_BYTES_MAX;

/// Bytes of a message that tells of a run.
const RUN_BYTES: usize = 2 + 4 * 8;

impl Run {
    fn write(&self) -> [u8; RUN_BYTES] {
        let mut out = [0; RUN_BYTES];
        let mut writer = ByteWriter::new(&mut out);
        let numbers = [self.incarnation.0, self.sequence, self.clocks.monotonic.as_nanos(), self.clocks.wall.0];
        // It has the length of what is written.
        let _ = writer.bytes(&[RUN, self.encoding.number()]);
        numbers.iter().for_each(|&number| _ = writer.u64(number));
        out
    }
}

impl<'a> Message<'a> {
    /// Reads a whole message; `None` for one that is none.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = ByteReader::new(bytes);
        match reader.u8()? {
            RECORD => Some(Self::Record(reader.rest())),
            RUN => {
                let encoding = EncodingId::from_number(reader.u8()?)?;
                let (incarnation, sequence) = (Incarnation(reader.u64()?), reader.u64()?);
                let clocks = read_clocks(&mut reader)?;
                reader.rest().is_empty().then_some(Self::Run(Run { encoding, incarnation, sequence, clocks }))
            }
            _ => None,
        }
    }
}

/// A piece of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) is_last: bool,
    pub(super) bytes: Box<[u8]>,
}

/// The sender's end.
#[derive(Debug)]
pub(super) struct Teller {
    /// The newest pieces; the last has the index before `next`.
    kept: VecDeque<Piece>,
    next: u64,
    /// The first that was not sent.
    unsent: u64,
}

impl Default for Teller {
    fn default() -> Self {
        Self { kept: VecDeque::new(), next: 1, unsent: 1 }
    }
}

impl Teller {
    /// Tells a record, as it was written.
    pub(super) fn record(&mut self, record: &[u8]) {
        let mut message = Vec::with_capacity(1 + record.len());
        message.push(RECORD);
        message.extend_from_slice(record);
        self.push(&message);
    }

    /// Tells where a run begins. The index that its packets name.
    pub(super) fn run(&mut self, run: &Run) -> u64 {
        self.push(&run.write());
        self.next - 1
    }

    fn push(&mut self, message: &[u8]) {
        let pieces = message.len().div_ceil(limits::LINK_PIECE_BYTES_MAX);
        for (number, piece) in message.chunks(limits::LINK_PIECE_BYTES_MAX).enumerate() {
            if self.kept.len() == limits::LINK_PIECES_KEPT_MAX {
                self.kept.pop_front();
            }
            self.kept.push_back(Piece { is_last: number + 1 == pieces, bytes: piece.into() });
            self.next += 1;
        }
    }

    /// The next piece to send, with its index. What was dropped before it was sent is lost.
    pub(super) fn next_unsent(&mut self) -> Option<(u64, &Piece)> {
        let first = self.next - self.kept.len() as u64;
        let index = self.unsent.max(first);
        if index >= self.next {
            return None;
        }
        self.unsent = index + 1;
        Some((index, self.kept.get((index - first) as usize)?))
    }

    /// A piece that was sent, by the low half of its index.
    pub(super) fn sent(&self, low: u16) -> Option<(u64, &Piece)> {
        let back = (self.newest() as u16).wrapping_sub(low);
        let index = self.newest().checked_sub(u64::from(back))?;
        let first = self.next - self.kept.len() as u64;
        Some((index, self.kept.get(usize::try_from(index.checked_sub(first)?).ok()?)?))
    }

    /// The index that was used last; 0 before the first.
    pub(super) const fn newest(&self) -> u64 {
        self.unsent - 1
    }
}

/// The receiver's end.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) reception: Reception,
    /// All pieces up to this one were taken.
    heard: u64,
    waiting: BTreeMap<u64, Piece>,
    message: Vec<u8>,
    is_broken: bool,
}

impl Default for Listener {
    fn default() -> Self {
        Self {
            reception: Reception::of_a_line(),
            heard: 0,
            waiting: BTreeMap::new(),
            message: Vec::new(),
            is_broken: false,
        }
    }
}

impl Listener {
    /// Takes a piece. Those that were here before are nothing new.
    pub(super) fn piece(&mut self, low: u16, piece: Piece, now: Timestamp) {
        let Some(index) = self.reception.receive_of_a_line(low, now) else { return };
        if self.waiting.len() >= limits::LINK_PIECES_KEPT_MAX {
            self.is_broken = true;
            return;
        }
        self.waiting.insert(index, piece);
    }

    /// The next whole message, read into `out`. The index of its last piece.
    pub(super) fn next(&mut self, out: &mut Vec<u8>) -> Option<u64> {
        while let Some(piece) = self.waiting.remove(&(self.heard + 1)) {
            self.heard += 1;
            if self.message.len() + piece.bytes.len() > MESSAGE_BYTES_MAX {
                self.is_broken = true;
                return None;
            }
            self.message.extend_from_slice(&piece.bytes);
            if piece.is_last {
                std::mem::swap(out, &mut self.message);
                self.message.clear();
                return Some(self.heard);
            }
        }
        None
    }

    /// The whole index of a piece near what was heard last.
    pub(super) const fn extend(&self, low: u16) -> u64 {
        let ahead = low.wrapping_sub(self.heard as u16) as i16;
        self.heard.saturating_add_signed(ahead as i64)
    }

    /// Whether a piece, and so all before it, was taken.
    pub(super) const fn has_heard(&self, index: u64) -> bool {
        index <= self.heard
    }

    /// Something was lost that cannot be had any more, or is none of this.
    pub(super) const fn is_broken(&self) -> bool {
        self.is_broken || self.reception.lost > 0
    }

    /// The low halves of what is to be asked for now.
    pub(super) fn poll_missing(&mut self, round_trip: Duration, now: Timestamp, out: &mut [u16]) -> usize {
        self.reception.poll_nack(round_trip, now, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::NtpTime;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    fn all(listener: &mut Listener) -> Vec<(u64, Vec<u8>)> {
        let mut out = Vec::new();
        std::iter::from_fn(|| listener.next(&mut out).map(|index| (index, out.clone()))).collect()
    }

    #[test]
    fn messages_come_whole_and_in_order_whatever_the_order_of_their_pieces() {
        let mut teller = Teller::default();
        let long = vec![7; 2 * limits::LINK_PIECE_BYTES_MAX];
        teller.record(&[1, 2, 3]);
        teller.record(&long);
        let encoding = EncodingId::from_number(4).unwrap();
        let clocks = HostClocks { monotonic: at(5), wall: NtpTime(6) };
        let run = Run { encoding, incarnation: Incarnation(9), sequence: 1 << 40, clocks };
        assert_eq!(teller.run(&run), 5);
        let mut pieces = Vec::new();
        while let Some((index, piece)) = teller.next_unsent() {
            pieces.push((index, piece.clone()));
        }
        assert_eq!(pieces.len(), 5);
        let mut listener = Listener::default();
        for (index, piece) in pieces.iter().rev() {
            assert!(all(&mut listener).is_empty() && !listener.has_heard(1));
            listener.piece(*index as u16, piece.clone(), at(1));
            listener.piece(*index as u16, piece.clone(), at(1));
        }
        let heard = all(&mut listener);
        assert_eq!(heard.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1, 4, 5]);
        assert_eq!(Message::read(&heard[0].1), Some(Message::Record(&[1, 2, 3])));
        assert_eq!(Message::read(&heard[1].1), Some(Message::Record(&long)));
        assert_eq!(Message::read(&heard[2].1), Some(Message::Run(run)));
        assert!(listener.has_heard(5) && !listener.has_heard(6) && !listener.is_broken());
        assert_eq!((listener.extend(3), listener.extend(7), listener.extend(0xffff)), (3, 7, 0));
    }

    #[test]
    fn what_is_missing_is_asked_for_also_from_the_first_on_and_kept_for_that() {
        let (mut teller, mut listener) = (Teller::default(), Listener::default());
        (0..4).for_each(|number| teller.record(&[number]));
        let pieces: Vec<_> =
            std::iter::from_fn(|| teller.next_unsent().map(|(index, piece)| (index, piece.clone()))).collect();
        listener.piece(3, pieces[2].1.clone(), at(1));
        let mut missing = [0; 8];
        assert_eq!(
            listener.poll_missing(Duration::from_millis(1), at(1), &mut missing),
            0,
            "they may have been overtaken"
        );
        // The last is known of because its sender says so.
        listener.reception.sent_up_to(4, at(1));
        let count = listener.poll_missing(Duration::from_millis(1), at(1) + limits::NACK_GRACE, &mut missing);
        assert_eq!(&missing[..count], [1, 2, 4]);
        for low in &missing[..count] {
            let (index, piece) = teller.sent(*low).unwrap();
            listener.piece(index as u16, piece.clone(), at(20));
        }
        assert_eq!(all(&mut listener).len(), 4);
        assert_eq!(teller.sent(5), None, "it was never sent");
        assert_eq!(teller.sent(0), None);
    }

    #[test]
    fn a_teller_keeps_so_many_and_who_lacks_an_older_one_is_broken() {
        let mut teller = Teller::default();
        (0..limits::LINK_PIECES_KEPT_MAX + 10).for_each(|_| teller.record(&[1]));
        assert_eq!(teller.next_unsent().map(|(index, _)| index), Some(11), "the first ten are gone");
        assert_eq!(teller.sent(11).map(|(index, _)| index), Some(11));
        let mut listener = Listener::default();
        listener.reception.sent_up_to(11, at(1));
        let age = limits::NACK_AGE_MAX.as_millis() as u64;
        listener.poll_missing(Duration::from_millis(1), at(1), &mut [0; 4]);
        assert!(!listener.is_broken());
        listener.poll_missing(Duration::from_millis(1), at(2 + age), &mut [0; 4]);
        assert!(listener.is_broken());
    }

    #[test]
    fn what_is_no_message_is_none() {
        for wrong in [&[][..], &[0], &[3, 1], &[RUN], &[RUN, 99], &[RUN; RUN_BYTES + 1]] {
            assert_eq!(Message::read(wrong), None, "{wrong:?}");
        }
    }
}
