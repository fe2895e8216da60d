//! A node that is sent a stream: what it wants, how far each encoding has come, and what it may ask for again.
//!
//! A packet's index on its line stands for a place in the encoding's ring, which is kept with it; so what is asked for again is sealed
//! from the same bytes, which gives the same packet (RFC 7714 §8: anything else under the same index would give the key away). What a
//! run's packets say of it never changes: another incarnation, or something told of the encoding, begins another run.

use std::collections::VecDeque;
use std::time::Duration;

use super::packet::{self, Handle, Item, LOOSE, LOOSE_LINE, TOLD, TOLD_LINE};
use super::report::LinkCounts;
use super::told::{Piece, Run, Teller};
use crate::limits;
use crate::rate::Allowance;
use crate::relay::store::address::RecordAddress;
use crate::relay::store::clock_map::HostClocks;
use crate::relay::store::encoding::Encoding;
use crate::relay::store::numbers::{EncodingId, EncodingSet, Position, Sequence};
use crate::relay::store::packet_ring::Start;
use crate::relay::store::record::{self, MediaRecord, PublishedCodec, Record};
use crate::relay::store::timeline::Incarnation;
use crate::srtp::{SrtpKeys, SrtpReceiver, SrtpSender};
use crate::time::Timestamp;
use crate::transport::{PathId, TrainBatch};
use crate::wire::bytes::fixed::ByteWriter;
use crate::worker::peer::StreamKey;
use crate::worker::stream_channels::StreamChannels;

/// One that is sent a stream.
pub(super) struct Child {
    pub(super) node: String,
    pub(super) stream: StreamKey,
    /// What the other end calls the link.
    remote: Handle,
    sender: SrtpSender,
    pub(super) receiver: SrtpReceiver,
    /// Where its authentic packets come from; `None` before the first.
    pub(super) path: Option<PathId>,
    pub(super) heard: Timestamp,
    /// The highest index that it used.
    pub(super) newest: u64,
    pub(super) wanted: EncodingSet,
    lines: [Option<Box<OutLine>>; EncodingId::COUNT],
    /// What it has of encodings from another parent.
    resumed: [Option<(Incarnation, u64)>; EncodingId::COUNT],
    told: Teller,
    knows_channels: bool,
    loose: u64,
    repeats: VecDeque<(u8, u16)>,
    allowance: Allowance,
    begins: Allowance,
    pub(super) counts: LinkCounts,
}

/// An encoding as it is sent to one.
#[derive(Debug)]
struct OutLine {
    /// The next packet's index.
    next: u64,
    cursor: Position,
    /// What of the ring belongs to it, while it lies before the cursor.
    start: Start,
    /// Another run is to begin.
    is_new: bool,
    /// What it was told of the codec.
    codec: Option<PublishedCodec>,
    runs: VecDeque<SentRun>,
    /// Where the newest packets lie; the last has the index before `next`.
    positions: VecDeque<Position>,
}

/// A run that was begun.
#[derive(Clone, Copy, Debug)]
struct SentRun {
    /// Its first packet's index.
    first: u64,
    told: u16,
    start: Start,
    incarnation: Incarnation,
}

impl Child {
    pub(super) fn new(node: String, stream: StreamKey, remote: Handle, keys: &SrtpKeys, now: Timestamp) -> Self {
        Self {
            node,
            stream,
            remote,
            sender: SrtpSender::new(keys.profile, &keys.local),
            receiver: SrtpReceiver::new(keys.profile, &keys.remote),
            path: None,
            heard: now,
            newest: 0,
            wanted: EncodingSet::NONE,
            lines: [const { None }; EncodingId::COUNT],
            resumed: [None; EncodingId::COUNT],
            told: Teller::default(),
            knows_channels: false,
            loose: 0,
            repeats: VecDeque::new(),
            allowance: Allowance::new(now),
            begins: Allowance::new(now),
            counts: LinkCounts::default(),
        }
    }

    fn line(&self, id: EncodingId) -> Option<&OutLine> {
        self.lines.get(usize::from(id.number()))?.as_deref()
    }

    /// Whether it is sent this encoding.
    pub(super) fn is_sent(&self, id: EncodingId) -> bool {
        self.wanted.contains(id) && self.line(id).is_some()
    }

    /// Tells it a record that is no packet.
    pub(super) fn tell(&mut self, address: RecordAddress, record: &Record<'_>, head: Position, scratch: &mut [u8]) {
        if let Record::Format(codec) = record
            && self.line(address.encoding).is_some_and(|line| line.codec == Some(*codec))
        {
            return;
        }
        // Who is told anything of channels knows all that came before.
        self.knows_channels |= matches!(record, Record::Data(_));
        let Some(len) = record::write(scratch, address, record) else { return };
        self.told.record(scratch.get(..len).unwrap_or_default());
        if matches!(record, Record::Begin | Record::Format(_) | Record::Replay(_)) {
            let place = usize::from(address.encoding.number());
            let Some(line) = self.lines.get_mut(place) else { return };
            let line = line.get_or_insert_with(|| Box::new(OutLine::at(head)));
            line.is_new = true;
            match record {
                Record::Format(codec) => line.codec = Some(*codec),
                // Who begins anew is told it again.
                Record::Begin => line.codec = None,
                _ => {}
            }
        }
    }

    /// Tells it of the publisher's data channels, where there are any and it does not know them. What is told is whole and in order, so
    /// that once is enough.
    pub(super) fn tell_channels(
        &mut self,
        address: RecordAddress,
        channels: Option<&StreamChannels>,
        scratch: &mut [u8],
    ) {
        let Some(channels) = channels.filter(|channels| channels.any() && !self.knows_channels) else { return };
        let Some(session) = channels.session() else { return };
        self.knows_channels = true;
        for record in channels.introduction(session) {
            self.tell(address, &Record::Data(record), Position(0), scratch);
        }
    }

    /// Whether it may want something else now: each time costs as much as a key frame and what follows.
    pub(super) fn may_begin(&mut self, now: Timestamp) -> bool {
        self.begins.take(limits::LINK_BEGINS_AT_ONCE, limits::LINK_BEGIN_PAUSE, now)
    }

    /// It wants an encoding no more.
    pub(super) fn wants_no_more(&mut self, id: EncodingId) {
        if let Some(place) = self.resumed.get_mut(usize::from(id.number())) {
            *place = None;
        }
    }

    /// It has the stream from another parent, and its data channels too.
    pub(super) fn forget_channels(&mut self) {
        self.knows_channels = false;
    }

    /// It has all of an encoding up to this packet of its publisher's, from another parent.
    pub(super) fn resumes(&mut self, id: EncodingId, incarnation: Incarnation, sequence: u64) {
        if self.wanted.contains(id) {
            // On its way since before it was followed.
            return;
        }
        if let Some(place) = self.resumed.get_mut(usize::from(id.number())) {
            *place = Some((incarnation, sequence));
        }
    }

    /// Begins an encoding that is there: behind what it has from another parent; else with its newest key frame, where one could start
    /// with that.
    pub(super) fn begin(&mut self, address: RecordAddress, encoding: &Encoding, scratch: &mut [u8], now: Timestamp) {
        let head = encoding.ring.head();
        let place = usize::from(address.encoding.number());
        let resumed = self.resumed.get_mut(place).and_then(Option::take);
        if let Some(position) = resumed.and_then(|(incarnation, sequence)| encoding.behind(incarnation, sequence))
            && let Some(line) = self.lines.get_mut(place)
        {
            let line = line.get_or_insert_with(|| Box::new(OutLine::at(head)));
            let start = Start { position, sequence: Sequence(0) };
            (line.cursor, line.start, line.is_new) = (position, start, true);
            return;
        }
        let replay = encoding.replay(now);
        self.tell(address, &Record::Begin, head, scratch);
        if let Some(codec) = encoding.codec() {
            self.tell(address, &Record::Format(*codec), head, scratch);
        }
        let mut start = Start { position: head, sequence: Sequence(0) };
        if let Some((from, packets)) = replay {
            self.tell(address, &Record::Replay(packets), head, scratch);
            start = from;
        }
        if let Some(clock) = encoding.clock_record() {
            self.tell(address, &clock, head, scratch);
        }
        if let Some(measured) = encoding.measured() {
            self.tell(address, &Record::Rung(*measured), head, scratch);
        }
        if let Some(line) = self.lines.get_mut(usize::from(address.encoding.number())).and_then(Option::as_deref_mut) {
            (line.cursor, line.start, line.is_new) = (start.position, start, true);
        }
    }

    /// Sends what has come of an encoding, a bounded number of packets. Whether there is more.
    pub(super) fn send_media(
        &mut self,
        address: RecordAddress,
        encoding: &Encoding,
        out: &mut TrainBatch,
        clocks: HostClocks,
        scratch: &mut [u8],
    ) -> bool {
        let id = address.encoding;
        let (Some(path), Some(line)) = (self.path, self.line(id)) else { return false };
        if line.cursor < encoding.ring.tail() {
            // It is so far behind that what it was to be sent next is gone.
            self.counts.skipped += 1;
            self.begin(address, encoding, scratch, clocks.monotonic);
            self.send_told(out);
        }
        for _ in 0..limits::LINK_PACKETS_PER_ROUND_MAX {
            let Some(line) = self.lines.get_mut(usize::from(id.number())).and_then(Option::as_deref_mut) else {
                return false;
            };
            if line.cursor >= encoding.ring.head() {
                return false;
            }
            if !out.has_room_for(2) {
                return true;
            }
            let position = line.cursor;
            line.cursor = position.next();
            let Some(record) = encoding.record_at(position, line.start) else { continue };
            if line.is_new || line.runs.back().is_none_or(|run| run.incarnation != record.incarnation) {
                let run = Run { encoding: id, incarnation: record.incarnation, sequence: record.sequence, clocks };
                let told = (self.told.run(&run) & 0xffff) as u16;
                line.begin_run(told, record.incarnation);
                self.send_told(out);
            }
            let Some(line) = self.lines.get_mut(usize::from(id.number())).and_then(Option::as_deref_mut) else {
                return false;
            };
            let Some(run) = line.runs.back() else { continue };
            let ssrc = self.remote.ssrc(id.number());
            let Some(len) = seal_media(&self.sender, ssrc, line.next, run.told, &record, out.slot()) else {
                self.counts.too_long += 1;
                continue;
            };
            out.commit(path, len);
            line.sent(position);
            self.counts.sent(len);
        }
        true
    }

    /// Sends what it was told and has not left. Whether there is more than has room.
    pub(super) fn send_told(&mut self, out: &mut TrainBatch) -> bool {
        let Some(path) = self.path else { return false };
        while out.has_room_for(1) {
            let Some((index, piece)) = self.told.next_unsent() else { return false };
            let ssrc = self.remote.ssrc(TOLD_LINE);
            if let Some(len) = seal_piece(&self.sender, ssrc, index, piece, out.slot()) {
                out.commit(path, len);
                self.counts.sent(len);
            }
        }
        true
    }

    /// Takes note of what it lacks.
    pub(super) fn lacks(&mut self, line: u8, index: u16) {
        if self.repeats.len() < limits::NACK_GAPS_MAX {
            self.repeats.push_back((line, index));
        }
    }

    /// Whether it asked for something again.
    pub(super) fn has_repeats(&self) -> bool {
        !self.repeats.is_empty()
    }

    /// Sends again what it asked for. `encoding_of` shows its stream's encodings.
    pub(super) fn send_again<'a>(
        &mut self,
        out: &mut TrainBatch,
        now: Timestamp,
        encoding_of: impl Fn(EncodingId) -> Option<&'a Encoding>,
    ) {
        let Some(path) = self.path else {
            self.repeats.clear();
            return;
        };
        let pause = Duration::from_secs(1) / limits::LINK_REPEATS_PER_SECOND_MAX;
        while out.has_room_for(1)
            && let Some((line, low)) = self.repeats.pop_front()
        {
            if !self.allowance.take(limits::LINK_REPEATS_PER_SECOND_MAX, pause, now) {
                self.repeats.clear();
                return;
            }
            let len = match EncodingId::from_number(line) {
                _ if line == TOLD_LINE => self.told.sent(low).and_then(|(index, piece)| {
                    seal_piece(&self.sender, self.remote.ssrc(line), index, piece, out.slot())
                }),
                Some(id) => encoding_of(id).and_then(|encoding| {
                    let (index, told, record) = self.line(id)?.repeat(low, encoding)?;
                    seal_media(&self.sender, self.remote.ssrc(line), index, told, &record, out.slot())
                }),
                None => None,
            };
            match len {
                Some(len) => {
                    out.commit(path, len);
                    self.counts.sent(len);
                    self.counts.repeated += 1;
                }
                None => self.counts.gone += 1,
            }
        }
    }

    /// Answers its report.
    pub(super) fn answer(&mut self, asked: Timestamp, clocks: HostClocks, out: &mut TrainBatch) {
        let lines = self.lines.iter().enumerate();
        let newest = lines.filter_map(|(line, out)| Some((line as u8, (out.as_ref()?.next - 1) as u16)));
        let newest: Vec<Item> = newest
            .chain([(TOLD_LINE, self.told.newest() as u16)])
            .map(|(line, index)| Item::Newest { line, index })
            .collect();
        self.send_loose(std::iter::once(Item::Clocks { asked, clocks }).chain(newest), out);
    }

    /// Says that the link is over.
    pub(super) fn say_bye(&mut self, out: &mut TrainBatch) {
        self.send_loose([Item::Bye], out);
    }

    fn send_loose(&mut self, items: impl IntoIterator<Item = Item>, out: &mut TrainBatch) {
        let Some(path) = self.path.filter(|_| out.has_room_for(1)) else { return };
        self.loose += 1;
        if let Some(len) = seal_loose(&self.sender, self.remote, self.loose, items, out.slot()) {
            out.commit(path, len);
            self.counts.sent(len);
        }
    }
}

impl OutLine {
    fn at(head: Position) -> Self {
        Self {
            next: 1,
            cursor: head,
            start: Start { position: head, sequence: Sequence(0) },
            is_new: true,
            codec: None,
            runs: VecDeque::new(),
            positions: VecDeque::new(),
        }
    }

    fn begin_run(&mut self, told: u16, incarnation: Incarnation) {
        if self.runs.len() == limits::LINK_RUNS_KEPT_MAX {
            self.runs.pop_front();
        }
        self.runs.push_back(SentRun { first: self.next, told, start: self.start, incarnation });
        self.is_new = false;
    }

    fn sent(&mut self, position: Position) {
        if self.positions.len() == limits::LINK_PACKETS_KEPT_MAX {
            self.positions.pop_front();
        }
        self.positions.push_back(position);
        self.next += 1;
    }

    /// What was sent under an index, by its low half: the index, what its run is called, and the packet as it was.
    fn repeat<'a>(&self, low: u16, encoding: &'a Encoding) -> Option<(u64, u16, MediaRecord<'a>)> {
        let newest = self.next - 1;
        let index = newest.checked_sub(u64::from((newest as u16).wrapping_sub(low)))?;
        let first = self.next - self.positions.len() as u64;
        let position = *self.positions.get(usize::try_from(index.checked_sub(first)?).ok()?)?;
        let run = self.runs.iter().rev().find(|run| run.first <= index)?;
        let record = encoding.record_at(position, run.start)?;
        (record.incarnation == run.incarnation).then_some((index, run.told, record))
    }
}

fn seal_media(
    sender: &SrtpSender,
    ssrc: u32,
    index: u64,
    told: u16,
    record: &MediaRecord<'_>,
    slot: &mut [u8],
) -> Option<usize> {
    let header_len = packet::write_media_header(slot, ssrc, index, told, record)?;
    if header_len + record.payload.len() + sender.profile().tag_len() > limits::DATAGRAM_OUT_BYTES_MAX {
        return None;
    }
    sender.seal_rtp(index, header_len, slot, record.payload, 0)
}

fn seal_piece(sender: &SrtpSender, ssrc: u32, index: u64, piece: &Piece, slot: &mut [u8]) -> Option<usize> {
    let header_len = packet::write_plain_header(slot, TOLD, piece.is_last, ssrc, index)?;
    sender.seal_rtp(index, header_len, slot, &piece.bytes, 0)
}

/// Seals items into a packet, as many as there is room for.
pub(super) fn seal_loose(
    sender: &SrtpSender,
    remote: Handle,
    index: u64,
    items: impl IntoIterator<Item = Item>,
    slot: &mut [u8],
) -> Option<usize> {
    let mut payload = [0; limits::LINK_PIECE_BYTES_MAX];
    let mut writer = ByteWriter::new(&mut payload);
    for item in items {
        item.write(&mut writer)?;
    }
    let header_len = packet::write_plain_header(slot, LOOSE, true, remote.ssrc(LOOSE_LINE), index)?;
    sender.seal_rtp(index, header_len, slot, writer.written(), 0)
}
