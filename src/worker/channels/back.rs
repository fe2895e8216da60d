//! What viewers say to a publisher: from the viewer's worker to the publisher's, and to the publisher as far as it has room.
//! Nothing of it is kept for later, and a viewer is not told what became of it.

use std::time::Duration;

use crate::data::record::{DataNews, DataRecord};
use crate::limits;
use crate::relay::store::address::RecordAddress;
use crate::relay::store::numbers::EncodingId;
use crate::relay::store::record::Record;
use crate::time::Timestamp;
use crate::worker::channels::mirror::Said;
use crate::worker::counters::Counters;
use crate::worker::lane::Lanes;
use crate::worker::mailbox::Origin;
use crate::worker::peer::StreamKey;
use crate::worker::peer_channels::{PeerChannels, Side};
use crate::worker::reason::DropReason;
use crate::worker::stream_channels::StreamChannels;
use crate::worker::streams::Streams;

/// Brings what a viewer said to the publisher's worker.
pub(super) fn carry(
    said: Vec<Said>,
    stream: StreamKey,
    (streams, lanes): (&mut Streams, &mut Lanes),
    counters: &mut Counters,
    now: Timestamp,
) {
    for Said { serial, kind, payload } in said {
        let Some(of) = streams.get(stream) else { return };
        let known =
            of.channels.as_deref().and_then(|channels| Some((channels.session()?, channels.number_of(serial)?)));
        let Some((session, channel)) = known else {
            counters.dropped(DropReason::DataLaneStale);
            continue;
        };
        let record = DataRecord { session, what: DataNews::Back { channel, kind, payload: &payload } };
        match (of.publisher, of.origin) {
            (Some(_), _) => {
                if let Err(reason) = streams.apply_data(stream, &record, now) {
                    counters.dropped(reason);
                }
            }
            (None, Some(Origin::Worker(worker))) => {
                let address = RecordAddress { stream: of.id, encoding: EncodingId::default() };
                // A full lane counts by itself.
                let _ = lanes.send(worker, address, &Record::Data(record));
            }
            _ => counters.dropped(DropReason::DataLaneStale),
        }
    }
}

/// Gives a publisher what its viewers said.
pub(super) fn give(data: &mut PeerChannels, stream: &mut StreamChannels, counters: &mut Counters, now: Timestamp) {
    let per_second = limits::DATA_BACK_PUBLISHER_PER_SECOND;
    while let Some(message) = stream.take_back() {
        let (Side::Publisher(uplinks), Some(channels)) = (&data.side, &mut data.channels) else { return };
        let Some(uplink) = uplinks.iter().find(|uplink| uplink.number == message.channel) else {
            counters.dropped(DropReason::DataLaneStale);
            continue;
        };
        if !data.back.take(per_second, Duration::from_secs(1) / per_second, now) {
            counters.dropped(DropReason::DataMessagesOverRate);
            continue;
        }
        let has_room = channels.buffered(uplink.stream) + message.payload.len() <= limits::DATA_BUFFERED_BYTES_MAX;
        if has_room && channels.send(uplink.stream, message.kind, &message.payload, None, now) {
            data.sent += 1;
            counters.channel_message_back();
        } else {
            counters.dropped(DropReason::DataPublisherBehind);
        }
    }
}
