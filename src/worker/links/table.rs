//! The streams that pass, and who is sent them: what happens to one of them is told to all that have it.

use std::collections::HashMap;

use super::child::Child;
use super::packet::Handle;
use super::parent::Came;
use super::routes::Links;
use crate::data::record::{DataNews, DataRecord};
use crate::relay::store::address::RecordAddress;
use crate::relay::store::numbers::{EncodingId, Position};
use crate::relay::store::record::Record;
use crate::time::Timestamp;
use crate::worker::channels::uplink::introduce_listener;
use crate::worker::distribution::distribute;
use crate::worker::lane::Lanes;
use crate::worker::peer::StreamKey;
use crate::worker::stream::EncodingKey;
use crate::worker::streams::Streams;

/// The streams that pass, and who is sent them.
pub(super) struct Table {
    pub(super) streams: Streams,
    pub(super) by_stream: HashMap<StreamKey, Links>,
    pub(super) children: HashMap<Handle, Child>,
    /// Children that were told something that has not left.
    pub(super) telling: Vec<Handle>,
    pub(super) scratch: Vec<u8>,
}

impl Table {
    /// Whether a stream's first parent, which is the one that sends it, is this one.
    pub(super) fn is_in_charge(&self, key: StreamKey, handle: Handle) -> bool {
        self.by_stream.get(&key).is_some_and(|links| links.parents.first() == Some(&handle))
    }

    /// Takes what a parent sent: a record, or that packets are missing.
    pub(super) fn came(
        &mut self,
        lanes: &mut Lanes,
        key: StreamKey,
        came: &Came<'_>,
        is_in_charge: bool,
        now: Timestamp,
    ) {
        match came {
            // Of one that was in charge before, what is on its way may fill a hole; what it tells, or lacks, is of no concern.
            Came::Record(_, record) if !is_in_charge && !matches!(record, Record::Media(_)) => {}
            Came::Lost(_) if !is_in_charge => {}
            Came::Record(_, Record::Data(data)) => {
                self.data_to_workers(lanes, key, data);
                self.data_to_children(key, data, now);
            }
            Came::Record(encoding, record) => {
                if !self.streams.get_mut(key).is_some_and(|stream| stream.ensure(*encoding)) {
                    return;
                }
                let key = EncodingKey { stream: key, encoding: *encoding };
                distribute(&mut self.streams, lanes, key, record);
                self.tell_children(key, record, now);
            }
            Came::Lost(encoding) => {
                let key = EncodingKey { stream: key, encoding: *encoding };
                self.streams.interrupt(key);
                self.tell_children(key, &Record::Begin, now);
            }
        }
    }

    /// What happened to a publisher's data channels goes to this node's workers that have it from here. Who missed anything is told all of
    /// it anew.
    pub(super) fn data_to_workers(&mut self, lanes: &mut Lanes, key: StreamKey, data: &DataRecord<'_>) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let address = RecordAddress { stream: stream.id, encoding: EncodingId::default() };
        let mut audience = std::mem::take(&mut stream.audience);
        for audience in &mut audience {
            let worker = audience.listener.worker;
            // Who begins with it needs to know nothing before.
            let knows = audience.knows_channels
                || matches!(data.what, DataNews::Begin)
                || introduce_listener(stream, lanes, worker);
            audience.knows_channels = knows && lanes.send(worker, address, &Record::Data(*data));
        }
        stream.audience = audience;
    }

    /// As [`Self::data_to_workers`], to children; and this node keeps it for those who come.
    pub(super) fn data_to_children(&mut self, key: StreamKey, data: &DataRecord<'_>, now: Timestamp) {
        let (Some(stream), Some(links)) = (self.streams.get_mut(key), self.by_stream.get(&key)) else { return };
        let address = RecordAddress { stream: stream.id, encoding: EncodingId::default() };
        for handle in &links.children {
            let Some(child) = self.children.get_mut(handle).filter(|child| !child.wanted.is_empty()) else { continue };
            child.tell_channels(address, stream.channels.as_deref(), &mut self.scratch);
            child.tell(address, &Record::Data(*data), Position(0), &mut self.scratch);
            note_once(&mut self.telling, *handle);
        }
        // What is of no use to it is of none to others either.
        let _ = stream.channels.get_or_insert_default().apply(data, now);
    }

    /// What is no packet goes to those who are sent the encoding, before what follows it.
    pub(super) fn tell_children(&mut self, key: EncodingKey, record: &Record<'_>, now: Timestamp) {
        let (Some(links), Some(stream)) = (self.by_stream.get(&key.stream), self.streams.get(key.stream)) else {
            return;
        };
        let Some(encoding) = stream.encoding(key.encoding) else { return };
        if matches!(record, Record::Media(_)) || links.children.is_empty() {
            return;
        }
        let address = RecordAddress { stream: stream.id, encoding: key.encoding };
        for handle in &links.children {
            let Some(child) = self.children.get_mut(handle) else { continue };
            if child.is_sent(key.encoding) || matches!(record, Record::Rung(_)) {
                child.tell(address, record, encoding.ring.head(), &mut self.scratch);
            } else if child.wanted.contains(key.encoding) && encoding.codec().is_some() {
                // It wanted the encoding before that was known.
                child.begin(address, encoding, &mut self.scratch, now);
            } else {
                continue;
            }
            note_once(&mut self.telling, *handle);
        }
    }
}

/// Puts a link on a list, unless it is there: lists of a round are short.
pub(super) fn note_once(list: &mut Vec<Handle>, handle: Handle) {
    if !list.contains(&handle) {
        list.push(handle);
    }
}
