//! What other workers sent: records of streams that are published there.

use crate::limits;
use crate::relay::store::record::Record;
use crate::time::Timestamp;
use crate::worker::counters::Counters;
use crate::worker::lane::Lanes;
use crate::worker::reason::DropReason;
use crate::worker::stream::EncodingKey;
use crate::worker::streams::Streams;

/// Reads a bounded number of records. Returns whether more wait.
pub(in crate::worker) fn receive(
    lanes: &mut Lanes,
    streams: &mut Streams,
    counters: &mut Counters,
    now: Timestamp,
) -> bool {
    // Records come in runs of one stream.
    let mut last = None;
    lanes.receive(limits::LANE_RECORDS_PER_ROUND_MAX, |address, record| {
        let key = match last {
            Some((stream, key)) if stream == address.stream => key,
            _ => streams.find(address.stream),
        };
        last = Some((address.stream, key));
        let applied = key.ok_or(DropReason::LaneUnknownStream).and_then(|stream| match &record {
            Record::Data(data) => streams.apply_data(stream, data, now),
            record => streams.apply_from_lane(EncodingKey { stream, encoding: address.encoding }, record),
        });
        if let Err(reason) = applied {
            counters.dropped(reason);
        }
    })
}
