//! What a publisher does with its channels goes to this worker's rings and, once each, to every other worker with viewers.

use std::time::Duration;

use crate::data::channels::ChannelEvent;
use crate::data::dcep::ChannelTerms;
use crate::data::record::{DataNews, DataRecord};
use crate::limits;
use crate::rate::Allowance;
use crate::relay::store::address::{RecordAddress, WorkerIndex};
use crate::relay::store::numbers::EncodingId;
use crate::relay::store::record::Record;
use crate::time::Timestamp;
use crate::worker::counters::Counters;
use crate::worker::lane::Lanes;
use crate::worker::peer::StreamKey;
use crate::worker::peer_channels::{PeerChannels, Side, Uplink};
use crate::worker::reason::DropReason;
use crate::worker::stream::Stream;
use crate::worker::stream_channels::StreamChannels;
use crate::worker::streams::Streams;

/// What a publisher's channels may change.
pub(super) struct UplinkPhase<'a> {
    pub(super) streams: &'a mut Streams,
    pub(super) lanes: &'a mut Lanes,
    pub(super) counters: &'a mut Counters,
    /// The publisher's stream, and its session.
    pub(super) stream: StreamKey,
    pub(super) session: u64,
}

impl UplinkPhase<'_> {
    /// Acts on what happened to a publisher's channels.
    pub(super) fn take_events(&mut self, data: &mut PeerChannels, now: Timestamp) {
        while let Some(event) = data.channels.as_mut().and_then(|channels| channels.poll_event()) {
            match event {
                ChannelEvent::Connected => data.joined = Some(now),
                ChannelEvent::Acknowledged(_) => {}
                ChannelEvent::Opened { stream, terms } => self.open(data, stream, &terms, now),
                ChannelEvent::Message { stream, kind, payload } => {
                    let Side::Publisher(uplinks) = &mut data.side else { return };
                    let uplink = uplinks.iter_mut().find(|uplink| uplink.stream == stream);
                    let Some(Uplink { number, rate, .. }) = uplink else { continue };
                    let (burst, pause) =
                        (limits::DATA_MESSAGES_PER_SECOND, Duration::from_secs(1) / limits::DATA_MESSAGES_PER_SECOND);
                    if payload.len() > limits::DATA_MESSAGE_BYTES_MAX {
                        self.counters.dropped(DropReason::DataMessageTooLong);
                    } else if !rate.take(burst, pause, now) {
                        self.counters.dropped(DropReason::DataMessagesOverRate);
                    } else {
                        let channel = *number;
                        self.distribute(DataNews::Message { channel, kind, arrival: now, payload: &payload }, now);
                        data.received += 1;
                        self.counters.channel_message_received();
                    }
                }
                ChannelEvent::Closed(stream) => {
                    let Side::Publisher(uplinks) = &mut data.side else { return };
                    let Some(at) = uplinks.iter().position(|uplink| uplink.stream == stream) else { continue };
                    let channel = uplinks.swap_remove(at).number;
                    self.distribute(DataNews::Close { channel }, now);
                }
                ChannelEvent::Ended => {
                    let Side::Publisher(uplinks) = &mut data.side else { return };
                    for Uplink { number: channel, .. } in std::mem::take(uplinks) {
                        self.distribute(DataNews::Close { channel }, now);
                    }
                }
            }
        }
    }

    /// Gives a channel a number, or closes it again.
    fn open(&mut self, data: &mut PeerChannels, stream: u16, terms: &ChannelTerms, now: Timestamp) {
        let (Side::Publisher(uplinks), Some(channels)) = (&mut data.side, &mut data.channels) else { return };
        let Some(number) = self.begin(now) else {
            self.counters.dropped(DropReason::DataChannelsFull);
            return channels.close(stream, now);
        };
        uplinks.push(Uplink { stream, number, rate: Allowance::new(now) });
        let ChannelTerms { label, protocol, delivery } = terms;
        self.distribute(DataNews::Open { channel: number, delivery: *delivery, label, protocol }, now);
    }

    /// Makes the stream's channels this publisher's, unless they are already. A number that is free.
    fn begin(&mut self, now: Timestamp) -> Option<u8> {
        let stream = self.streams.get_mut(self.stream)?;
        let channels = stream.channels.get_or_insert_default();
        if channels.session() != Some(self.session) {
            let _ = channels.apply(&DataRecord { session: self.session, what: DataNews::Begin }, now);
            stream.audience.iter_mut().for_each(|audience| audience.knows_channels = false);
        }
        stream.channels.as_ref()?.free_number()
    }

    fn distribute(&mut self, what: DataNews<'_>, now: Timestamp) {
        let record = DataRecord { session: self.session, what };
        let Some(stream) = self.streams.get_mut(self.stream) else { return };
        let Some(channels) = &mut stream.channels else { return };
        let address = RecordAddress { stream: stream.id, encoding: EncodingId::default() };
        for audience in &mut stream.audience {
            let worker = audience.listener.worker;
            // A worker that missed anything is told anew: its viewers' channels are closed and opened again, so that none
            // of them takes what comes for all there was.
            let knows = audience.knows_channels || introduce(channels, self.session, self.lanes, worker, address);
            audience.knows_channels = knows && self.lanes.send(worker, address, &Record::Data(record));
        }
        if let Err(reason) = channels.apply(&record, now) {
            self.counters.dropped(reason);
        }
        self.streams.queue_channels(self.stream);
    }
}

/// Tells a worker what it must know before the next record. Whether all of it found room.
fn introduce(
    channels: &StreamChannels,
    session: u64,
    lanes: &mut Lanes,
    to: WorkerIndex,
    address: RecordAddress,
) -> bool {
    channels.introduction(session).all(|record| lanes.send(to, address, &Record::Data(record)))
}

/// Tells a worker that begins to listen of the channels there are, so that its viewers get what is retained. Whether it
/// knows them.
pub(in crate::worker) fn introduce_listener(stream: &Stream, lanes: &mut Lanes, to: WorkerIndex) -> bool {
    let Some(channels) = stream.channels.as_ref().filter(|channels| channels.any()) else { return false };
    let Some(session) = channels.session() else { return false };
    let address = RecordAddress { stream: stream.id, encoding: EncodingId::default() };
    introduce(channels, session, lanes, to, address)
}
