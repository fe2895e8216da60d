//! One viewer's packet numbers in one track: which packet of which encoding has which index, both ways and exactly.
//!
//! A viewer's stream keeps one SSRC and one unbroken run of sequence numbers for life, whatever encoding it is sent and
//! whatever of it is left out. The rewriter cuts that life into *runs*. In a run consecutive sequences of one encoding
//! have consecutive indexes, so one offset maps all of them; a new run begins where that ends:
//!
//! ```text
//!  low      10  11  12   ·  14  15                               · dropped: the next run is *joined* to this one
//!  high                             70  71  72       90  91        a switch, and a cursor that skipped ahead
//!  index     5   6   7       8   9  10  11  12       13  14
//!           └── run ──┘   └─run─┘  └── run ──┘      └ run ┘
//! ```
//!
//! - **A drop** leaves no hole: what follows moves down by one. Packets *before* a dropped one that have not arrived yet
//!   keep their numbers; when one of them comes late it takes its own.
//! - **A jump** (another encoding, or the same further on) continues at the index after the highest that was sent. What
//!   comes late from before a jump has no number any more.
//! - **A squeeze** ([`super::squeeze`]) moves the timestamps of a run's first packets, and is kept with it.
//! - **A repeat** is looked up by index and names exactly the packet that was sent under it, or none.
//!
//! **Sealed once.** Runs never overlap in index, a sequence is stored once per encoding and visited once: so each (SSRC,
//! index) is given to one packet only (RFC 7714 §8 forbids anything else).
//!
//! A run also says what is done to its packets' payloads ([`super::renumbering`]), so that a repeat is the same packet.
//!
//! The run in force is kept inline; earlier ones only where there are any, at most [`limits::REWRITING_RUNS_MAX`], and
//! those that ended longer ago than [`limits::RING_HISTORY`] make room for new ones.
//!
//! Not here: header bytes and cursors ([`super::subscription`]), and which packets to drop ([`super::selection`]).

use crate::limits;
use crate::relay::play::renumbering::Renumbering;
use crate::relay::play::squeeze::Squeeze;
use crate::relay::store::numbers::{EncodingId, PacketIndex, Sequence};
use crate::time::Timestamp;
use crate::wire::bytes::{ImportError, StateReader, StateWriter};

/// Consecutive sequences of one encoding under consecutive indexes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    /// The first sequence it has numbers for.
    from: Sequence,
    /// Packet index = sequence + this.
    index_offset: u64,
    began: Timestamp,
    /// The viewer's timestamp = the encoding's, squeezed, + this.
    timestamp_offset: u32,
    renumbering: Renumbering,
    squeeze: Squeeze,
    /// Of how many packets timestamps are squeezed; [`SQUEEZED_ALL`] while it is not over.
    squeezed: u32,
    encoding: EncodingId,
    /// Whether only dropped packets lie between it and the run before.
    joined: bool,
}

/// Of all that come.
const SQUEEZED_ALL: u32 = u32::MAX;

impl Run {
    #[inline]
    fn squeeze_of(&self, sequence: Sequence) -> Squeeze {
        // Nothing is, as a rule.
        if sequence.0.wrapping_sub(self.from.0) < u64::from(self.squeezed) { self.squeeze } else { Squeeze::NONE }
    }

    /// How many packets are squeezed from `sequence` on.
    fn squeezed_from(&self, sequence: Sequence) -> u32 {
        if self.squeezed == SQUEEZED_ALL {
            return SQUEEZED_ALL;
        }
        let passed = sequence.0.saturating_sub(self.from.0);
        self.squeezed.saturating_sub(u32::try_from(passed).unwrap_or(u32::MAX))
    }

    const fn index_of(&self, sequence: Sequence) -> PacketIndex {
        PacketIndex(sequence.0.wrapping_add(self.index_offset))
    }

    const fn sequence_of(&self, index: PacketIndex) -> Sequence {
        Sequence(index.0.wrapping_sub(self.index_offset))
    }

    #[inline]
    fn placed(&self, sequence: Sequence) -> Placed {
        let Self { timestamp_offset, renumbering, .. } = *self;
        let squeeze = self.squeeze_of(sequence);
        Placed { index: self.index_of(sequence), timestamp_offset, renumbering, squeeze }
    }

    const fn first_index(&self) -> PacketIndex {
        self.index_of(self.from)
    }

    /// Whether it stands for a life that has not begun.
    const fn is_vacant(&self) -> bool {
        self.from.0 == u64::MAX
    }
}

/// Where a packet goes in the viewer's stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The index to send and seal it with.
    pub index: PacketIndex,
    /// To be added to its RTP timestamp.
    pub timestamp_offset: u32,
    /// What is done to its payload.
    pub renumbering: Renumbering,
    /// How that is moved before.
    pub squeeze: Squeeze,
}

impl Placed {
    /// Its timestamp in the viewer's stream.
    #[inline]
    #[must_use]
    pub fn timestamp(&self, of_encoding: u32) -> u32 {
        let squeezed = if self.squeeze.is_none() { of_encoding } else { self.squeeze.apply(of_encoding) };
        squeezed.wrapping_add(self.timestamp_offset)
    }
}

/// What a viewer's NACK refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located {
    /// The encoding it was sent from.
    pub encoding: EncodingId,
    /// Its sequence there.
    pub sequence: Sequence,
    /// The index it was sent with.
    pub index: PacketIndex,
    /// What was added to its RTP timestamp.
    pub timestamp_offset: u32,
    /// What was done to its payload.
    pub renumbering: Renumbering,
    /// How that was moved before.
    pub squeeze: Squeeze,
}

impl Located {
    /// Where it was placed.
    #[must_use]
    pub fn placed(&self) -> Placed {
        let Self { index, timestamp_offset, renumbering, squeeze, .. } = *self;
        Placed { index, timestamp_offset, renumbering, squeeze }
    }
}

/// The numbers of one viewer's stream.
#[derive(Debug, PartialEq, Eq)]
pub struct Rewriter {
    current: Run,
    /// Ascending by index.
    earlier: Vec<Run>,
    /// The index after the highest sent.
    next_index: PacketIndex,
    /// Nothing below this index is located: see [`Self::forget_sent`].
    repeat_from: PacketIndex,
}

impl Rewriter {
    /// A life that begins with `first_index`; `timestamp_offset` is added to the timestamps of its first run.
    #[must_use]
    pub fn new(first_index: PacketIndex, timestamp_offset: u32) -> Self {
        let current = Run {
            from: Sequence(u64::MAX),
            index_offset: 0,
            began: Timestamp::ZERO,
            timestamp_offset,
            renumbering: Renumbering::NONE,
            squeeze: Squeeze::NONE,
            squeezed: 0,
            encoding: EncodingId::default(),
            joined: false,
        };
        Self { current, earlier: Vec::new(), next_index: first_index, repeat_from: first_index }
    }

    /// The encoding whose packets [`Self::place`] is asked of; `None` before the first run.
    #[must_use]
    pub fn encoding(&self) -> Option<EncodingId> {
        (!self.current.is_vacant()).then_some(self.current.encoding)
    }

    /// What is to be added to the timestamps of the first run; nothing changes after it has begun.
    pub fn begin_with_timestamp_offset(&mut self, timestamp_offset: u32) {
        if self.current.is_vacant() {
            self.current.timestamp_offset = timestamp_offset;
        }
    }

    /// What is added to timestamps now.
    #[must_use]
    pub fn timestamp_offset(&self) -> u32 {
        self.current.timestamp_offset
    }

    /// What is done to payloads now.
    #[must_use]
    pub fn renumbering(&self) -> Renumbering {
        self.current.renumbering
    }

    /// The index after the highest sent.
    #[must_use]
    pub fn next_index(&self) -> PacketIndex {
        self.next_index
    }

    /// Where a packet of the present encoding goes. `None` for one from before the last jump and for one that was
    /// dropped.
    #[inline]
    #[must_use]
    pub fn place(&self, sequence: Sequence) -> Option<Placed> {
        let run = &self.current;
        if sequence >= run.from {
            return Some(run.placed(sequence));
        }
        self.place_late(sequence)
    }

    /// Whether what belongs to the run in force goes out as it is stored: nothing is renumbered, or squeezed for ever.
    #[inline]
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.current.squeezed != SQUEEZED_ALL && self.current.renumbering.is_none()
    }

    /// [`Self::place`] while [`Self::is_plain`]; `None` for what does not belong to the run in force, or is squeezed.
    #[inline]
    #[must_use]
    pub fn place_plain(&self, sequence: Sequence) -> Option<Placed> {
        let run = &self.current;
        let is_plain = sequence.0.checked_sub(run.from.0).is_some_and(|passed| passed >= u64::from(run.squeezed));
        is_plain.then(|| Placed {
            index: run.index_of(sequence),
            timestamp_offset: run.timestamp_offset,
            renumbering: Renumbering::NONE,
            squeeze: Squeeze::NONE,
        })
    }

    /// A late packet belongs to a run before, as long as only drops lie between.
    #[cold]
    fn place_late(&self, sequence: Sequence) -> Option<Placed> {
        let mut after = &self.current;
        for run in self.earlier.iter().rev() {
            if !after.joined {
                return None;
            }
            if sequence >= run.from {
                let placed = run.placed(sequence);
                return (placed.index < after.first_index()).then_some(placed);
            }
            after = run;
        }
        None
    }

    /// Takes note that `index` was sent.
    #[inline]
    pub fn sent(&mut self, index: PacketIndex) {
        self.next_index = self.next_index.max(index.next());
    }

    /// Whether a packet lies after all that was sent of its encoding. One that the uplink recovered late is the newest by
    /// position and old by sequence: who jumped there would be sent what it has once more, under other numbers.
    #[must_use]
    pub fn is_ahead(&self, encoding: EncodingId, sequence: Sequence) -> bool {
        let mut end = self.next_index;
        for run in [&self.current].into_iter().chain(self.earlier.iter().rev()) {
            // A run that nothing was sent of says nothing.
            if run.encoding == encoding && run.first_index() < end && !run.is_vacant() {
                return sequence >= run.sequence_of(end);
            }
            end = end.min(run.first_index());
        }
        true
    }

    /// The packet with the highest index so far; `None` before one was sent and where its run is forgotten.
    #[must_use]
    pub fn newest_sent(&self) -> Option<Located> {
        self.find(PacketIndex(self.next_index.0.checked_sub(1)?))
    }

    /// Goes on with `sequence` of `encoding` and the packets after it, at the index after the highest sent. What is done to
    /// payloads stays.
    pub fn jump(&mut self, encoding: EncodingId, sequence: Sequence, timestamp_offset: u32, now: Timestamp) {
        self.go_over((encoding, sequence), timestamp_offset, self.current.renumbering, now);
    }

    /// As [`Self::jump`], with another renumbering.
    pub fn go_over(
        &mut self,
        (encoding, sequence): (EncodingId, Sequence),
        timestamp_offset: u32,
        renumbering: Renumbering,
        now: Timestamp,
    ) {
        let index_offset = self.next_index.0.wrapping_sub(sequence.0);
        let run = Run {
            from: sequence,
            index_offset,
            began: now,
            timestamp_offset,
            squeeze: Squeeze::NONE,
            squeezed: 0,
            renumbering,
            encoding,
            joined: false,
        };
        if self.current.encoding == encoding
            && self.current.index_offset == index_offset
            && self.current.timestamp_offset == timestamp_offset
            && self.current.renumbering == renumbering
            && self.current.squeezed == 0
            && self.current.from <= sequence
        {
            return;
        }
        // Runs that nothing was sent of, and the numbers they kept for packets that never came.
        while !self.current.is_vacant() && self.current.first_index() >= self.next_index {
            let Some(before) = self.earlier.pop() else {
                self.current = run;
                return;
            };
            self.current = before;
        }
        self.push(run);
    }

    /// Leaves a packet of the present encoding out: what follows moves down by one, and `renumbering` is done to it. `false`
    /// where it has its number already, because one after it was sent: then it is to be sent, or the viewer has a hole.
    pub fn leave_out(&mut self, sequence: Sequence, renumbering: Renumbering, now: Timestamp) -> bool {
        let run = &mut self.current;
        if run.is_vacant() || sequence < run.from || run.index_of(sequence) < self.next_index {
            return false;
        }
        let index_offset = run.index_offset.wrapping_sub(1);
        let squeezed = run.squeezed_from(sequence.next());
        if sequence == run.from {
            *run = Run { from: sequence.next(), index_offset, renumbering, squeezed, ..*run };
        } else {
            let run =
                Run { from: sequence.next(), index_offset, began: now, renumbering, squeezed, joined: true, ..*run };
            self.push(run);
        }
        true
    }

    /// Does `renumbering` to `sequence` of the present encoding and the packets after it, if none of them has its number yet.
    pub fn renumber(&mut self, sequence: Sequence, renumbering: Renumbering, now: Timestamp) {
        let run = &mut self.current;
        if run.is_vacant()
            || run.renumbering == renumbering
            || sequence < run.from
            || run.index_of(sequence) < self.next_index
        {
            return;
        }
        if sequence == run.from {
            run.renumbering = renumbering;
        } else {
            let squeezed = run.squeezed_from(sequence);
            let run = Run { from: sequence, squeezed, began: now, renumbering, joined: true, ..*run };
            self.push(run);
        }
    }

    /// Squeezes the timestamps of the run in force, of which nothing was sent yet. `false` where something was.
    pub fn squeeze(&mut self, squeeze: Squeeze) -> bool {
        let run = &mut self.current;
        if run.is_vacant() || run.first_index() < self.next_index {
            return false;
        }
        run.squeeze = squeeze;
        run.squeezed = if squeeze.is_none() { 0 } else { SQUEEZED_ALL };
        true
    }

    /// The squeeze of the run in force, until it is over.
    #[inline]
    #[must_use]
    pub fn squeezed(&self) -> Option<Squeeze> {
        (self.current.squeezed == SQUEEZED_ALL).then_some(self.current.squeeze)
    }

    /// From `sequence` on nothing is squeezed: its timestamp and those of what follows lie beyond the edge.
    pub fn squeeze_over(&mut self, sequence: Sequence) {
        let packets = sequence.0.saturating_sub(self.current.from.0);
        self.current.squeezed = u32::try_from(packets).unwrap_or(SQUEEZED_ALL);
    }

    /// Makes `run` the one in force and keeps the one before, unless none was.
    fn push(&mut self, run: Run) {
        let before = std::mem::replace(&mut self.current, run);
        if before.is_vacant() {
            return;
        }
        if self.earlier.len() == self.earlier.capacity() {
            self.forget_old(before.began);
        }
        if self.earlier.len() == limits::REWRITING_RUNS_MAX {
            self.earlier.remove(0);
        }
        self.earlier.push(before);
    }

    /// Forgets the runs that ended before any packet ring's history begins. A run ended when the next began.
    fn forget_old(&mut self, newest_began: Timestamp) {
        let now = self.current.began;
        let ends = self.earlier.iter().skip(1).map(|run| run.began).chain([newest_began]);
        let old = ends.take_while(|&ended| now.since(ended) > limits::RING_HISTORY).count().min(self.earlier.len());
        self.earlier.drain(..old);
    }

    /// Other keys seal from now on, under which the rollover counter begins anew: the present round of sequence numbers becomes the
    /// first. What was sent in rounds before has no index under these keys, and is not repeated.
    pub fn restart_rollovers(&mut self) {
        let rounds = self.next_index.0 & !0xffff;
        // A run that began in a round before would have negative indexes: what of it lies in the present one is not repeated either.
        self.earlier.retain(|run| run.first_index().0 >= rounds);
        for run in self.earlier.iter_mut().chain([&mut self.current]).filter(|run| !run.is_vacant()) {
            run.from = run.from.max(run.sequence_of(PacketIndex(rounds)));
            run.index_offset = run.index_offset.wrapping_sub(rounds);
        }
        self.next_index = PacketIndex(self.next_index.0 - rounds);
        self.repeat_from = PacketIndex(self.repeat_from.0.saturating_sub(rounds));
    }

    /// Nothing sent so far is repeated: it would be sealed again under its index with another header, which RFC 7714 §8.1
    /// forbids.
    pub fn forget_sent(&mut self) {
        self.repeat_from = self.next_index;
    }

    /// Which packet a NACKed sequence number of the viewer's stream means; `None` for one never sent or forgotten.
    #[must_use]
    pub fn locate(&self, sequence_number: u16) -> Option<Located> {
        let newest = PacketIndex(self.next_index.0.checked_sub(1)?);
        let behind = u64::from(newest.sequence_number().wrapping_sub(sequence_number));
        if behind >= 0x8000 {
            return None;
        }
        let index = PacketIndex(newest.0.checked_sub(behind)?);
        if index < self.repeat_from {
            return None;
        }
        self.find(index)
    }

    fn find(&self, index: PacketIndex) -> Option<Located> {
        let run = if self.current.is_vacant() {
            return None;
        } else if index >= self.current.first_index() {
            &self.current
        } else {
            let after = self.earlier.partition_point(|run| run.first_index() <= index);
            self.earlier.get(after.checked_sub(1)?)?
        };
        Some(Located {
            encoding: run.encoding,
            sequence: run.sequence_of(index),
            index,
            timestamp_offset: run.timestamp_offset,
            renumbering: run.renumbering,
            squeeze: run.squeeze_of(run.sequence_of(index)),
        })
    }
}

/// The layout of [`Rewriter::export`].
const VERSION: u8 = 2;

impl Rewriter {
    /// Writes all it is, so that another process can go on with the same numbers.
    pub fn export(&self, now: Timestamp, out: &mut StateWriter) {
        out.version(VERSION);
        out.u64(self.next_index.0);
        out.u64(self.repeat_from.0);
        out.count(self.earlier.len());
        for run in self.earlier.iter().chain([&self.current]) {
            run.export(now, out);
        }
    }

    /// Reads what [`Self::export`] wrote.
    ///
    /// # Errors
    /// It was written by another version, is cut short, or no rewriter can be so.
    pub fn import(now: Timestamp, from: &mut StateReader<'_>) -> Result<Self, ImportError> {
        from.version("a stream's numbers", VERSION)?;
        let (next_index, repeat_from) = (PacketIndex(from.u64()?), PacketIndex(from.u64()?));
        let count = from.count(limits::REWRITING_RUNS_MAX)?;
        let mut earlier = Vec::with_capacity(count);
        for _ in 0..count {
            earlier.push(Run::import(now, from)?);
        }
        let current = Run::import(now, from)?;
        let ascending = earlier.iter().chain([&current]).map(Run::first_index).is_sorted_by(|a, b| a < b);
        let begun = !earlier.iter().any(Run::is_vacant) && (earlier.is_empty() || !current.is_vacant());
        if ascending && begun {
            Ok(Self { current, earlier, next_index, repeat_from })
        } else {
            Err(ImportError::Malformed)
        }
    }
}

impl Run {
    fn export(&self, now: Timestamp, out: &mut StateWriter) {
        out.u64(self.from.0);
        out.u64(self.index_offset);
        out.age(self.began, now);
        out.u32(self.timestamp_offset);
        self.renumbering.export(out);
        self.squeeze.export(out);
        out.u32(self.squeezed);
        out.u8(self.encoding.number());
        out.bool(self.joined);
    }

    fn import(now: Timestamp, from: &mut StateReader<'_>) -> Result<Self, ImportError> {
        Ok(Self {
            from: Sequence(from.u64()?),
            index_offset: from.u64()?,
            began: from.age(now)?,
            timestamp_offset: from.u32()?,
            renumbering: Renumbering::import(from)?,
            squeeze: Squeeze::import(from)?,
            squeezed: from.u32()?,
            encoding: EncodingId::from_number(from.u8()?).ok_or(ImportError::Malformed)?,
            joined: from.bool()?,
        })
    }
}

#[cfg(test)]
mod tests;
