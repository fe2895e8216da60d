//! A record of the publisher goes to this worker's own encoding, and once each to every other worker with viewers: packets to
//! those whose viewers want the encoding, what is told of it to all.

use crate::limits;
use crate::relay::publish::publication::Publication;
use crate::relay::store::address::RecordAddress;
use crate::relay::store::record::{MediaRecord, Record};
use crate::wire::codec::picture_numbers;
use crate::worker::lane::Lanes;
use crate::worker::mailbox::WorkerIndex;
use crate::worker::next_publisher::Passage;
use crate::worker::peer::{PeerKey, StreamKey};
use crate::worker::stream::EncodingKey;
use crate::worker::streams::Streams;

/// Gives a record to this worker's own encoding and, once each, to every other worker with viewers of the stream.
pub(super) fn distribute(streams: &mut Streams, lanes: &mut Lanes, key: EncodingKey, record: &Record<'_>) {
    let Some(stream) = streams.apply(key, record) else { return };
    let address = RecordAddress { stream: stream.id, encoding: key.encoding };
    let codec = stream.encoding(key.encoding).and_then(|encoding| encoding.codec().copied());
    for audience in &mut stream.audience {
        let worker = audience.listener.worker;
        if matches!(record, Record::Media(_)) && !audience.wanted.contains(key.encoding) {
            // What it is told of it from now on begins anew.
            audience.introduced.remove(key.encoding);
            continue;
        }
        if audience.replayed.contains(key.encoding) {
            // It comes in its turn; what was measured is of no turn.
            if matches!(record, Record::Rung(_)) {
                lanes.send(worker, address, record);
            }
            continue;
        }
        // A worker that was not told where its packets begin and how they are encoded drops every record.
        let mut introduced =
            audience.introduced.contains(key.encoding) || introduce(lanes, worker, address, codec.map(Record::Format));
        if introduced {
            let sent = lanes.send(worker, address, record);
            // A packet that found no room is a gap that nobody can fill: what follows begins anew, so that the viewers there
            // see no hole and one request for a key frame is made for all of them.
            introduced = sent || matches!(record, Record::Clock { .. } | Record::Rung(_));
        }
        audience.introduced.set(key.encoding, introduced);
    }
}

/// As [`distribute`], for a record of a publisher's transport `from`: while its keys change, the encoding may be another's.
#[inline]
pub(super) fn publish(streams: &mut Streams, lanes: &mut Lanes, from: PeerKey, key: EncodingKey, record: &Record<'_>) {
    if let Some(next) = streams.get_mut(key.stream).and_then(|stream| stream.next_publisher.as_deref_mut()) {
        match next.judge(from, key.encoding, record) {
            Passage::Passes => {}
            Passage::Dropped => return,
            Passage::Begins(format) => {
                if let Some(format) = format {
                    distribute(streams, lanes, key, &Record::Format(format));
                }
            }
        }
    }
    if let Record::Media(media) = record
        && let Some((codec, shift)) =
            streams.get_mut(key.stream).and_then(|stream| stream.shift_of(key.encoding, media))
    {
        return distribute_counted_on(streams, lanes, key, *media, |payload| {
            picture_numbers::rewrite(codec, payload, shift);
        });
    }
    distribute(streams, lanes, key, record);
}

/// As [`distribute`], for a packet whose payload is changed first.
#[inline(never)]
fn distribute_counted_on(
    streams: &mut Streams,
    lanes: &mut Lanes,
    key: EncodingKey,
    media: MediaRecord<'_>,
    rewrite: impl FnOnce(&mut [u8]),
) {
    // What came is read only.
    let mut copy = [0; limits::DATAGRAM_IN_BYTES_MAX];
    let Some(payload) = copy.get_mut(..media.payload.len()) else { return };
    payload.copy_from_slice(media.payload);
    rewrite(payload);
    distribute(streams, lanes, key, &Record::Media(MediaRecord { payload, ..media }));
}

/// Tells everyone what was measured of a publisher's encodings, where there is something new.
#[inline]
pub(super) fn tell_rungs(
    publication: &mut Publication,
    (stream, from): (StreamKey, PeerKey),
    streams: &mut Streams,
    lanes: &mut Lanes,
) {
    while let Some((track, measured)) = publication.take_rung() {
        let Some(track) = publication.tracks.get(track) else { continue };
        publish(streams, lanes, from, EncodingKey { stream, encoding: track.encoding }, &Record::Rung(measured));
    }
}

/// Tells a worker that begins to listen what it must know before an encoding's next packet. Whether all of it found room.
pub(super) fn introduce(
    lanes: &mut Lanes,
    to: WorkerIndex,
    address: RecordAddress,
    introduction: impl IntoIterator<Item = Record<'static>>,
) -> bool {
    std::iter::once(Record::Begin).chain(introduction).all(|record| lanes.send(to, address, &record))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::description::MediaKind;
    use crate::net::Waker;
    use crate::relay::store::numbers::EncodingSet;
    use crate::relay::store::packet_ring::Layers;
    use crate::relay::store::record::MediaRecord;
    use crate::relay::store::timeline::Incarnation;
    use crate::time::Timestamp;
    use crate::worker::mailbox::{Listener, StreamId};
    use crate::worker::stream::Audience;
    use crate::worker::tracks::track_of;

    #[test]
    fn what_comes_while_a_worker_is_given_the_past_is_not_told_it_before_its_turn() {
        let mut streams = Streams::default();
        streams.get_or_create(StreamId(0), "name");
        let stream = streams.find(StreamId(0)).unwrap();
        let key = EncodingKey { stream, encoding: track_of(MediaKind::Video).only_encoding() };
        let mut lanes = Lanes::connect(&[Waker::noop(), Waker::noop()]);
        let mut reader = lanes.pop().unwrap();
        let mut lanes = lanes.pop().unwrap();
        let mut audience = Audience::new(Listener { worker: WorkerIndex(1), membership: 1 });
        let wanted: EncodingSet = [key.encoding].into_iter().collect();
        (audience.wanted, audience.replayed) = (wanted, wanted);
        streams.get_mut(stream).unwrap().audience.push(audience);
        let media = |sequence| {
            let (incarnation, timestamp, layers) = (Incarnation(1), 0, Layers::UNKNOWN);
            let (arrival, marker, padding, payload) = (Timestamp::ZERO, true, 0, &[1][..]);
            let key_frame = sequence == 0;
            Record::Media(MediaRecord {
                incarnation,
                sequence,
                timestamp,
                arrival,
                marker,
                key_frame,
                padding,
                layers,
                payload,
            })
        };
        let mut told = |lanes: &mut Lanes| {
            lanes.wake();
            let mut packets = 0;
            reader.receive(100, |_, record| packets += usize::from(matches!(record, Record::Media(_))));
            packets
        };
        distribute(&mut streams, &mut lanes, key, &media(0));
        assert_eq!(told(&mut lanes), 0, "it is in the ring, and comes in its turn");
        streams.get_mut(stream).unwrap().audience[0].replayed = EncodingSet::NONE;
        distribute(&mut streams, &mut lanes, key, &media(1));
        assert_eq!(told(&mut lanes), 1);
    }
}
