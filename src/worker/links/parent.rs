//! A node that sends a stream to this one: what came of it, what is missing, and how far its clocks are from ours.

use std::collections::VecDeque;
use std::time::Duration;

use super::child::seal_loose;
use super::packet::{self, Handle, Item, LINES, LOOSE_LINE, MediaHead, TOLD_LINE};
use super::report::LinkCounts;
use super::told::{Listener, Message, Piece, Run};
use crate::limits;
use crate::relay::publish::reception::Reception;
use crate::relay::store::address::RecordAddress;
use crate::relay::store::clock_map::{ClockMap, HostClocks};
use crate::relay::store::numbers::{EncodingId, EncodingSet};
use crate::relay::store::record::{self, MediaRecord, Record};
use crate::relay::store::timeline::Incarnation;
use crate::srtp::{SrtpKeys, SrtpReceiver, SrtpSender};
use crate::time::Timestamp;
use crate::transport::{PathId, TrainBatch};
use crate::wire::bytes::fixed::ByteReader;
use crate::wire::rtp::RtpHeader;
use crate::worker::mailbox::StreamId;
use crate::worker::peer::StreamKey;

/// What comes of what a parent sent.
#[derive(Debug)]
pub(super) enum Came<'a> {
    /// A record of the stream, with its times on this node's clocks.
    Record(EncodingId, Record<'a>),
    /// Packets of this encoding are missing that cannot be had any more.
    Lost(EncodingId),
}

/// One that sends a stream.
pub(super) struct Parent {
    pub(super) node: String,
    pub(super) stream: StreamKey,
    stream_id: StreamId,
    remote: Handle,
    sender: SrtpSender,
    receiver: SrtpReceiver,
    pub(super) path: PathId,
    /// Since when nothing authentic was heard.
    pub(super) heard: Timestamp,
    pub(super) is_heard: bool,
    next_report: Timestamp,
    wanted: EncodingSet,
    key_frames: EncodingSet,
    /// What of each encoding was had from the parent before; told until it sends that encoding.
    had: Vec<(EncodingId, Incarnation, u64)>,
    listener: Listener,
    lines: [Option<Box<InLine>>; EncodingId::COUNT],
    clocks: Option<Learnt>,
    held: VecDeque<Held>,
    loose: u64,
    has_ended: bool,
    pub(super) counts: LinkCounts,
}

/// An encoding as it comes.
#[derive(Debug)]
struct InLine {
    reception: Reception,
    /// The newest runs, with the index of what told of each: packets of one before the last may still be on their way.
    runs: VecDeque<(u64, Run)>,
    lost: u64,
}

/// What an exchange taught.
#[derive(Clone, Copy, Debug)]
struct Learnt {
    map: ClockMap,
    round_trip: Duration,
    at: Timestamp,
}

/// A packet that waits for what was told before it.
#[derive(Debug)]
struct Held {
    encoding: EncodingId,
    told: u64,
    marker: bool,
    timestamp: u32,
    head: MediaHead,
    payload: Box<[u8]>,
}

impl Parent {
    pub(super) fn new(
        (node, remote): (String, Handle),
        (stream, stream_id): (StreamKey, StreamId),
        keys: &SrtpKeys,
        path: PathId,
        now: Timestamp,
    ) -> Self {
        Self {
            node,
            stream,
            stream_id,
            remote,
            sender: SrtpSender::new(keys.profile, &keys.local),
            receiver: SrtpReceiver::new(keys.profile, &keys.remote),
            path,
            heard: now,
            is_heard: false,
            next_report: now,
            wanted: EncodingSet::NONE,
            key_frames: EncodingSet::NONE,
            had: Vec::new(),
            listener: Listener::default(),
            lines: [const { None }; EncodingId::COUNT],
            clocks: None,
            held: VecDeque::new(),
            loose: 0,
            has_ended: false,
            counts: LinkCounts::default(),
        }
    }

    /// It is to send these encodings and no others.
    pub(super) fn set_wanted(&mut self, wanted: EncodingSet, now: Timestamp) {
        if self.wanted != wanted {
            self.wanted = wanted;
            self.next_report = now;
        }
    }

    /// It takes the place of another parent, from which this was had.
    pub(super) fn resume(&mut self, had: Vec<(EncodingId, Incarnation, u64)>) {
        self.had = had;
    }

    /// It is asked for a key frame.
    pub(super) fn want_key_frame(&mut self, encoding: EncodingId, now: Timestamp) {
        self.key_frames.insert(encoding);
        self.next_report = now;
    }

    /// Whether it said that the link is over, or what it told cannot be had whole.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended || self.listener.is_broken()
    }

    /// The encodings that it is to send.
    pub(super) const fn wanted(&self) -> EncodingSet {
        self.wanted
    }

    /// How long a packet and its answer take.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.clocks.map(|learnt| learnt.round_trip)
    }

    /// Takes a packet. Whether it is authentic.
    pub(super) fn take(
        &mut self,
        bytes: &mut [u8],
        line: u8,
        ours: HostClocks,
        mut came: impl FnMut(Came<'_>),
    ) -> bool {
        let opened = match self.receiver.open_rtp(bytes) {
            Ok(opened) => opened,
            Err(error) => {
                self.counts.not_opened(error);
                return false;
            }
        };
        let now = ours.monotonic;
        (self.heard, self.is_heard) = (now, true);
        self.counts.received(bytes.len());
        let header = &opened.header;
        let Some(payload) = bytes.get(header.header_len..opened.plain_len()) else { return true };
        match (line, EncodingId::from_number(line)) {
            (TOLD_LINE, _) => {
                self.listener.piece(header.sequence, Piece { is_last: header.marker, bytes: payload.into() }, now);
                self.hear(ours, &mut came);
            }
            (LOOSE_LINE, _) => self.loose(payload, ours),
            (_, Some(encoding)) => self.media(encoding, header, bytes, payload, now, &mut came),
            _ => self.counts.refused += 1,
        }
        true
    }

    fn loose(&mut self, payload: &[u8], ours: HostClocks) {
        let mut items = ByteReader::new(payload);
        while let Some(item) = Item::read(&mut items) {
            match item {
                Item::Clocks { asked, clocks } => self.learn(asked, clocks, ours),
                Item::Newest { line: TOLD_LINE, index } => self.listener.reception.sent_up_to(index, ours.monotonic),
                Item::Newest { line, index } => {
                    if let Some(id) = EncodingId::from_number(line) {
                        self.line(id).reception.sent_up_to(index, ours.monotonic);
                    }
                }
                Item::Bye => self.has_ended = true,
                Item::Report { .. } | Item::Missing { .. } | Item::KeyFrame(_) | Item::Resume { .. } => {}
            }
        }
    }

    fn learn(&mut self, asked: Timestamp, clocks: HostClocks, ours: HostClocks) {
        let now = ours.monotonic;
        // A clock of ours that is ahead of ours was never sent.
        let Some(taken) = now.as_nanos().checked_sub(asked.as_nanos()).map(Duration::from_nanos) else { return };
        let is_better = self
            .clocks
            .is_none_or(|learnt| taken <= learnt.round_trip || now.since(learnt.at) > limits::LINK_CLOCKS_AGE_MAX);
        if is_better {
            let asked = HostClocks { monotonic: asked, wall: ours.wall - taken };
            let map = ClockMap::from_exchange(asked, clocks, ours);
            self.clocks = Some(Learnt { map, round_trip: taken, at: now });
        }
    }

    fn line(&mut self, id: EncodingId) -> &mut InLine {
        // Every number of an encoding is below the table's length.
        self.lines[usize::from(id.number())].get_or_insert_with(|| {
            Box::new(InLine { reception: Reception::of_a_line(), runs: VecDeque::new(), lost: 0 })
        })
    }

    fn media(
        &mut self,
        encoding: EncodingId,
        header: &RtpHeader,
        packet: &[u8],
        payload: &[u8],
        now: Timestamp,
        came: &mut impl FnMut(Came<'_>),
    ) {
        let Some(head) = packet::read_media_head(packet, header) else {
            self.counts.refused += 1;
            return;
        };
        if self.line(encoding).reception.receive_of_a_line(header.sequence, now).is_none() {
            return;
        }
        self.had.retain(|(had, ..)| *had != encoding);
        let told = self.listener.extend(head.told);
        let (marker, timestamp) = (header.marker, header.timestamp);
        if !self.listener.has_heard(told) {
            if self.held.len() == limits::LINK_PACKETS_HELD_MAX
                && let Some(dropped) = self.held.pop_front()
            {
                self.counts.late += 1;
                came(Came::Lost(dropped.encoding));
            }
            self.held.push_back(Held { encoding, told, marker, timestamp, head, payload: payload.into() });
            return;
        }
        self.deliver(encoding, told, (marker, timestamp), &head, payload, now, came);
    }

    #[allow(clippy::too_many_arguments)] // Of a packet that waited and of one that did not the same.
    fn deliver(
        &mut self,
        encoding: EncodingId,
        told: u64,
        (marker, timestamp): (bool, u32),
        head: &MediaHead,
        payload: &[u8],
        now: Timestamp,
        came: &mut impl FnMut(Came<'_>),
    ) {
        let Some(map) = self.clocks.map(|learnt| learnt.map) else { return };
        let Some(run) = self.line(encoding).runs.iter().find(|(of, _)| *of == told).map(|(_, run)| *run) else {
            // Of a run before a gap.
            self.counts.late += 1;
            return;
        };
        let ahead = head.sequence.wrapping_sub((run.sequence & u64::from(u32::MAX)) as u32).cast_signed();
        let arrival = packet::arrival_near(map.inverse().monotonic(now), head.arrival_us);
        let media = MediaRecord {
            incarnation: run.incarnation,
            sequence: run.sequence.saturating_add_signed(i64::from(ahead)),
            timestamp,
            // It did not arrive there after it arrived here.
            arrival: map.monotonic(arrival).min(now),
            marker,
            key_frame: head.key_frame,
            padding: head.padding,
            layers: head.layers,
            payload,
        };
        came(Came::Record(encoding, Record::Media(media)));
    }

    /// Takes what was told, and the packets that waited for it.
    fn hear(&mut self, ours: HostClocks, came: &mut impl FnMut(Came<'_>)) {
        let mut message = Vec::new();
        while let Some(index) = self.listener.next(&mut message) {
            match Message::read(&message) {
                Some(Message::Run(run)) if run.sequence >> limits::LINK_SEQUENCE_BITS != 0 => self.counts.refused += 1,
                Some(Message::Run(run)) => {
                    // Until an exchange tells more, it was written now.
                    self.clocks.get_or_insert_with(|| Learnt {
                        map: ClockMap::between(run.clocks, ours),
                        round_trip: limits::NACK_AGE_MAX,
                        at: ours.monotonic,
                    });
                    let runs = &mut self.line(run.encoding).runs;
                    if runs.len() == limits::LINK_RUNS_KEPT_MAX {
                        runs.pop_front();
                    }
                    runs.push_back((index, run));
                }
                Some(Message::Record(bytes)) => self.hear_record(bytes, came),
                None => self.counts.refused += 1,
            }
            self.release_held(ours.monotonic, came);
        }
    }

    fn hear_record(&mut self, bytes: &[u8], came: &mut impl FnMut(Came<'_>)) {
        match record::read(bytes) {
            Ok((RecordAddress { stream, encoding }, record)) if stream == self.stream_id => {
                let map = self.clocks.map_or_else(ClockMap::default, |learnt| learnt.map);
                match record {
                    Record::Media(_) => self.counts.refused += 1,
                    // Times that mean nothing here yet.
                    Record::Clock { .. } if self.clocks.is_none() => {}
                    record => {
                        if matches!(record, Record::Begin) {
                            self.line(encoding).runs.clear();
                        }
                        came(Came::Record(encoding, record.restamped(map)));
                    }
                }
            }
            Ok(_) | Err(_) => self.counts.refused += 1,
        }
    }

    fn release_held(&mut self, now: Timestamp, came: &mut impl FnMut(Came<'_>)) {
        if !self.held.iter().any(|held| self.listener.has_heard(held.told)) {
            return;
        }
        for held in std::mem::take(&mut self.held) {
            if self.listener.has_heard(held.told) {
                let of_packet = (held.marker, held.timestamp);
                self.deliver(held.encoding, held.told, of_packet, &held.head, &held.payload, now, came);
            } else {
                self.held.push_back(held);
            }
        }
    }

    /// When [`Self::meet_deadlines`] is due.
    pub(super) fn next_deadline(&self) -> Timestamp {
        let lines = self.lines.iter().flatten().filter_map(|line| line.reception.next_deadline());
        lines.chain(self.listener.reception.next_deadline()).fold(self.next_report, Timestamp::min)
    }

    /// Reports, and asks for what is missing.
    pub(super) fn meet_deadlines(&mut self, now: Timestamp, out: &mut TrainBatch, mut came: impl FnMut(Came<'_>)) {
        /// As many as a packet holds.
        const MISSING_MAX: usize = 192;
        let round_trip = self.round_trip().unwrap_or(limits::NACK_REPEAT_MIN);
        let mut missing = [(0, 0); MISSING_MAX];
        let mut count = 0;
        let mut asked = [0; 64];
        for line in 0..LINES as u8 {
            let polled = match EncodingId::from_number(line) {
                _ if line == TOLD_LINE => self.listener.poll_missing(round_trip, now, &mut asked),
                Some(id) => {
                    let Some(line) = self.lines.get_mut(usize::from(id.number())).and_then(Option::as_deref_mut) else {
                        continue;
                    };
                    let polled = line.reception.poll_nack(round_trip, now, &mut asked);
                    if line.reception.lost > line.lost {
                        self.counts.lost += line.reception.lost - line.lost;
                        line.lost = line.reception.lost;
                        came(Came::Lost(id));
                    }
                    polled
                }
                None => 0,
            };
            for &index in asked.iter().take(polled) {
                if let Some(free) = missing.get_mut(count) {
                    *free = (line, index);
                    count += 1;
                }
            }
        }
        self.counts.asked += count as u64;
        let is_due = self.next_report <= now;
        if !is_due && count == 0 {
            return;
        }
        let report = is_due.then_some(Item::Report { wanted: self.wanted, asked: now });
        let key_frames = std::mem::replace(&mut self.key_frames, EncodingSet::NONE);
        let missing = missing.iter().take(count).map(|&(line, index)| Item::Missing { line, index });
        let had = self.had.iter().filter(|_| is_due);
        let had = had.map(|&(encoding, incarnation, sequence)| Item::Resume { encoding, incarnation, sequence });
        let had: Vec<Item> = had.collect();
        let items = had.into_iter().chain(report).chain(key_frames.iter().map(Item::KeyFrame)).chain(missing);
        self.send_loose(items, out);
        if is_due {
            self.next_report = now + limits::LINK_REPORT_INTERVAL;
        }
    }

    /// Says that the link is over.
    pub(super) fn say_bye(&mut self, out: &mut TrainBatch) {
        self.send_loose([Item::Bye], out);
    }

    fn send_loose(&mut self, items: impl IntoIterator<Item = Item>, out: &mut TrainBatch) {
        self.loose += 1;
        if let Some(len) = seal_loose(&self.sender, self.remote, self.loose, items, out.slot()) {
            out.commit(self.path, len);
            self.counts.sent(len);
        }
    }
}
