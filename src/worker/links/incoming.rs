//! What comes: from other nodes, and from this node's workers.

use super::mailbox::{LinkEnd, LinkNotice};
use super::packet::{Handle, Item, LOOSE_LINE};
use crate::data::record::DataNews;
use crate::limits;
use crate::relay::store::address::{Origin, RecordAddress, WorkerIndex};
use crate::relay::store::numbers::{EncodingId, EncodingSet};
use crate::relay::store::record::Record;
use crate::relay::store::upstream::{Upstream, Wish};
use crate::time::Timestamp;
use crate::transport::Datagram;
use crate::wire::bytes::fixed::ByteReader;
use crate::wire::rtp::RtpHeader;
use crate::worker::stream::{EncodingKey, Stream};

use super::link_worker::LinkWorker;
use super::table::note_once;

impl LinkWorker {
    pub(super) fn datagram(&mut self, datagram: Datagram<'_>, now: Timestamp) {
        let Ok(header) = RtpHeader::parse(datagram.bytes) else {
            self.unknown += 1;
            return;
        };
        let (handle, line) = Handle::of_ssrc(header.ssrc);
        if self.table.children.contains_key(&handle) {
            self.child_sent(handle, line, datagram, now);
        } else if self.parents.contains_key(&handle) {
            self.parent_sent(handle, line, datagram, now);
        } else {
            self.unknown += 1;
        }
    }

    pub(super) fn child_sent(&mut self, handle: Handle, line: u8, datagram: Datagram<'_>, now: Timestamp) {
        let clocks = self.clocks(now);
        let has_source = self.has_source(handle, now);
        let Some(child) = self.table.children.get_mut(&handle) else { return };
        let opened = match child.receiver.open_rtp(datagram.bytes) {
            Ok(opened) if line == LOOSE_LINE => opened,
            Ok(_) => {
                child.counts.refused += 1;
                return;
            }
            Err(error) => {
                child.counts.not_opened(error);
                return;
            }
        };
        let is_first = child.path.is_none();
        child.heard = now;
        child.counts.received(datagram.bytes.len());
        // What is sent follows its newest authentic packet: it may be behind an address translator.
        let is_newest = child.newest < opened.packet_index;
        child.newest = child.newest.max(opened.packet_index);
        if is_newest && child.path.is_none_or(|path| self.paths.address(path) != Some(&datagram.from)) {
            self.struck.extend(child.path.take());
            child.path = self.paths.enter(datagram.from);
        }
        let payload = datagram.bytes.get(opened.header.header_len..opened.plain_len()).unwrap_or_default();
        let mut items = ByteReader::new(payload);
        let key = child.stream;
        let mut wanted = child.wanted;
        let mut is_bye = false;
        let mut report = None;
        while let Some(item) = Item::read(&mut items) {
            match item {
                Item::Report { wanted: now_wanted, asked } => {
                    wanted = now_wanted;
                    report = Some(asked);
                }
                Item::Missing { line, index } => child.lacks(line, index),
                Item::Resume { encoding, incarnation, sequence } => child.resumes(encoding, incarnation, sequence),
                Item::KeyFrame(encoding) => self.table.streams.want_key_frame(EncodingKey { stream: key, encoding }),
                Item::Bye => is_bye = true,
                Item::Clocks { .. } | Item::Newest { .. } => {}
            }
        }
        // Who has not got the stream any more is silent to those who have it from here, so that they turn to others.
        if let Some(asked) = report.filter(|_| has_source) {
            child.answer(asked, clocks, &mut self.out);
        }
        if child.has_repeats() {
            note_once(&mut self.repeating, handle);
        }
        if is_first {
            self.tell(LinkNotice::Heard(handle));
        }
        if is_bye {
            return self.end(handle, LinkEnd::Bye, now);
        }
        self.child_wants(handle, wanted, now);
    }

    /// A child is to be sent these encodings. Of those that are new to it, it is given what came since the newest key frame.
    pub(super) fn child_wants(&mut self, handle: Handle, wanted: EncodingSet, now: Timestamp) {
        let Some(child) = self.table.children.get_mut(&handle) else { return };
        if child.wanted == wanted {
            return;
        }
        if !child.may_begin(now) {
            // It says so again.
            return;
        }
        let before = std::mem::replace(&mut child.wanted, wanted);
        before.iter().filter(|&id| !wanted.contains(id)).for_each(|id| child.wants_no_more(id));
        let key = child.stream;
        let Some(stream) = self.table.streams.get(key) else { return };
        // It takes all of the stream from here only when it wants something of it.
        let address = RecordAddress { stream: stream.id, encoding: EncodingId::default() };
        if wanted.is_empty() {
            child.forget_channels();
        } else {
            child.tell_channels(address, stream.channels.as_deref(), &mut self.table.scratch);
            note_once(&mut self.table.telling, handle);
        }
        for id in wanted.iter().filter(|&id| !before.contains(id)) {
            if let Some(encoding) = stream.encoding(id).filter(|encoding| encoding.codec().is_some()) {
                let address = RecordAddress { stream: stream.id, encoding: id };
                child.begin(address, encoding, &mut self.table.scratch, now);
                note_once(&mut self.table.telling, handle);
            }
        }
        let fresh: Vec<EncodingId> = wanted.iter().collect();
        for encoding in fresh {
            self.table.streams.queue(EncodingKey { stream: key, encoding });
        }
        self.demand_changed(key, now);
    }

    /// Whether the stream of a link to a child comes here at all.
    fn has_source(&self, child: Handle, now: Timestamp) -> bool {
        let Some(key) = self.table.children.get(&child).map(|child| child.stream) else { return false };
        match self.table.streams.get(key).and_then(|stream| stream.origin) {
            Some(Origin::Worker(_)) => true,
            Some(Origin::Node(_)) => {
                let first = self.table.by_stream.get(&key).and_then(|links| links.parents.first());
                let first = first.and_then(|first| self.parents.get(first));
                first.is_some_and(|first| now.since(first.heard) < limits::LINK_SOURCE_SILENCE)
            }
            None => false,
        }
    }

    pub(super) fn parent_sent(&mut self, handle: Handle, line: u8, datagram: Datagram<'_>, now: Timestamp) {
        let clocks = self.clocks(now);
        let Self { table, lanes, parents, .. } = self;
        let Some(parent) = parents.get_mut(&handle) else { return };
        let was_heard = parent.is_heard;
        let key = parent.stream;
        let is_in_charge = table.is_in_charge(key, handle);
        let is_authentic =
            parent.take(datagram.bytes, line, clocks, |came| table.came(lanes, key, &came, is_in_charge, now));
        let (deadline, has_ended) = (parent.next_deadline(), parent.has_ended());
        let is_first = is_authentic && !was_heard;
        if is_first {
            self.tell(LinkNotice::Heard(handle));
        }
        if has_ended {
            return self.end(handle, LinkEnd::Bye, now);
        }
        self.arm(handle, deadline);
    }

    pub(super) fn read_lanes(&mut self, now: Timestamp) {
        let Self { table, lanes, .. } = self;
        let mut last = None;
        self.more |= lanes.receive(limits::LANE_RECORDS_PER_ROUND_MAX, |address, record| {
            let key = match last {
                Some((stream, key)) if stream == address.stream => key,
                _ => table.streams.find(address.stream),
            };
            last = Some((address.stream, key));
            let Some(stream) = key else { return };
            if let Record::Data(data) = &record {
                // Of a viewer here: the way back is not there yet.
                let is_back = matches!(data.what, DataNews::Back { .. });
                let is_of_worker = |stream: &Stream| matches!(stream.origin, Some(Origin::Worker(_)));
                if !is_back && table.streams.get(stream).is_some_and(is_of_worker) {
                    table.data_to_children(stream, data, now);
                }
                return;
            }
            let key = EncodingKey { stream, encoding: address.encoding };
            if table.streams.apply_from_lane(key, &record).is_ok() {
                table.tell_children(key, &record, now);
            }
        });
        while let Some((from, Upstream { stream, wish })) = self.lanes.receive_upstream() {
            let Some(stream) = self.table.streams.find(stream) else { continue };
            match wish {
                Wish::KeyFrame(encoding) => self.worker_wants_key_frame(EncodingKey { stream, encoding }, from, now),
                Wish::Encodings(wanted) => {
                    if let Some(links) = self.table.by_stream.get_mut(&stream) {
                        links.remember(from, wanted);
                    }
                    self.table.streams.audience_wants(stream, from, wanted, now);
                    self.demand_changed(stream, now);
                }
                Wish::Packets { .. } => {}
            }
        }
    }

    /// A worker waits for a key frame. Where it is just being given the newest one, as it began to want the encoding, that is it; all others
    /// of its viewers would be led back to it.
    fn worker_wants_key_frame(&mut self, key: EncodingKey, from: WorkerIndex, now: Timestamp) {
        if !self.table.streams.is_replayed_to(key, from, now) {
            self.table.streams.want_key_frame(key);
        }
    }
}
