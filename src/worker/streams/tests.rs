//! Streams of a worker: what is queued, looked at and forgotten.

use super::*;
use crate::relay::store::numbers::{EncodingId, EncodingSet};
use crate::worker::mailbox::Origin;
use crate::worker::peer::PeerKey;
use crate::worker::tracks::track_of;

use crate::relay::store::ladder::Measured;
use crate::worker::mailbox::WorkerIndex;

fn video() -> EncodingId {
    track_of(MediaKind::Video).only_encoding()
}

fn streams(count: u128) -> Streams {
    let mut streams = Streams::default();
    for id in 0..count {
        streams.get_or_create(StreamId(id), "name");
    }
    streams
}

fn key(streams: &Streams, id: u128) -> StreamKey {
    streams.find(StreamId(id)).unwrap()
}

#[test]
fn a_thousand_streams_that_wait_for_a_publisher_are_not_looked_at_and_none_is_forgotten() {
    let mut streams = streams(1_000);
    let seventh = key(&streams, 7);
    for id in 0..1_000 {
        let stream = key(&streams, id);
        streams.demand_moved(stream, EncodingSet::NONE, [video()].into_iter().collect());
        streams.want_key_frame(EncodingKey { stream, encoding: video() });
    }
    assert!(streams.wanting.is_empty() && streams.next_deadline().is_none());
    streams.get_mut(seventh).unwrap().origin = Some(Origin::Worker(WorkerIndex(3)));
    streams.publisher_came(seventh);
    let mut asked = Vec::new();
    streams.poll_key_frame_requests(Timestamp::from_millis(1), |key, _| asked.push(key.stream));
    assert_eq!(asked, [seventh]);
    // The publisher leaves before it has answered; the next one is asked again.
    streams.get_mut(seventh).unwrap().origin = None;
    streams.poll_key_frame_requests(Timestamp::from_millis(2), |_, _| panic!("there is nobody to ask"));
    assert!(streams.wanting.is_empty());
    streams.get_mut(seventh).unwrap().origin = Some(Origin::Worker(WorkerIndex(1)));
    streams.publisher_came(seventh);
    assert_eq!(streams.wanting.len(), 1);
}

#[test]
fn a_stream_has_as_many_encodings_as_may_be_and_finds_each_by_its_name() {
    let mut streams = streams(1);
    let stream = key(&streams, 0);
    let stream = streams.get_mut(stream).unwrap();
    let all: Vec<EncodingId> = (0..EncodingId::COUNT as u8).filter_map(EncodingId::from_number).collect();
    let had: Vec<EncodingId> = all.iter().copied().filter(|&id| stream.ensure(id)).collect();
    assert_eq!(had.len(), limits::ENCODINGS_PER_STREAM_MAX);
    for id in all {
        assert_eq!(stream.encoding(id).map(|encoding| encoding.id()), had.contains(&id).then_some(id));
        assert_eq!(stream.ensure(id), had.contains(&id), "again");
    }
}

#[test]
fn a_ladder_has_the_encodings_of_its_track_that_were_measured() {
    let mut streams = streams(1);
    let stream = key(&streams, 0);
    let track = track_of(MediaKind::Video);
    let high = track.encoding(2).unwrap();
    assert!(streams.get_mut(stream).unwrap().ensure(high));
    assert!(streams.get_mut(stream).unwrap().ensure(track.encoding(1).unwrap()));
    let audio = track_of(MediaKind::Audio).only_encoding();
    for (encoding, height) in [(high, 720), (video(), 180), (audio, 0)] {
        let measured = Measured { width: height * 16 / 9, height, alive: height == 720, ..Measured::default() };
        assert!(streams.apply(EncodingKey { stream, encoding }, &Record::Rung(measured)).is_some());
    }
    let ladder = streams.get(stream).unwrap().ladder(track);
    let rungs = ladder.rungs().iter().map(|rung| (rung.encoding, rung.height, rung.alive)).collect::<Vec<_>>();
    assert_eq!(rungs, [(video(), 180, false), (high, 720, true)]);
}

#[test]
fn viewers_are_looked_at_now_and_then_however_often_an_encoding_stops_and_comes_back() {
    let mut streams = streams(1);
    let stream = key(&streams, 0);
    let flip = |streams: &mut Streams, n: u64| {
        let measured = Measured { alive: n.is_multiple_of(2), width: 16, ..Measured::default() };
        streams.apply(EncodingKey { stream, encoding: video() }, &Record::Rung(measured));
    };
    let now = Timestamp::from_millis(1_000);
    let looked: usize = (0..100)
        .map(|n| {
            flip(&mut streams, n);
            usize::from(streams.take_changed_ladder(now).is_some())
        })
        .sum();
    assert_eq!(looked, 1);
    let due = now + limits::LADDER_CHANGE_PAUSE;
    assert_eq!(streams.next_deadline(), Some(due));
    assert_eq!(streams.take_changed_ladder(due), Some((stream, track_of(MediaKind::Video))), "the last one counts");
    assert_eq!((streams.take_changed_ladder(due), streams.next_deadline()), (None, None));
}

#[test]
fn viewers_that_came_and_went_where_nothing_is_published_leave_nothing_behind() {
    let mut keys: SlotMap<PeerKey, ()> = SlotMap::with_key();
    let mut streams = streams(1);
    let stream = key(&streams, 0);
    let stream = streams.get_mut(stream).unwrap();
    for _ in 0..10_000 {
        let peer = keys.insert(());
        stream.viewers += 1;
        stream.encoding_mut(video()).unwrap().fan_out.add_waiting(Subscriber { peer, track: 1 });
        keys.remove(peer);
        stream.viewer_left(|key| keys.contains_key(key));
    }
    assert!(stream.encoding(video()).unwrap().fan_out.len() <= limits::DEPARTED_SUBSCRIBERS_MAX + 1);
}
