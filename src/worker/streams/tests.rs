//! Streams of a worker: what is queued, looked at and forgotten.

use super::*;
use std::time::Duration;

use crate::relay::store::numbers::{EncodingId, EncodingSet};
use crate::relay::store::packet_ring::Layers;
use crate::relay::store::record::MediaRecord;
use crate::relay::store::timeline::Incarnation;
use crate::worker::mailbox::Origin;
use crate::worker::peer::PeerKey;
use crate::worker::tracks::track_of;

use crate::relay::store::ladder::Measured;
use crate::worker::mailbox::{Listener, WorkerIndex};
use crate::worker::stream::Audience;

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

#[test]
fn another_workers_wish_for_a_picture_is_met_from_the_ring_and_no_oftener_than_every_second() {
    let mut streams = streams(1);
    let stream = key(&streams, 0);
    let wanted = EncodingKey { stream, encoding: video() };
    let [reader, other] = [1, 2].map(WorkerIndex);
    let at = |ms| Timestamp::from_millis(1_000 + ms);
    let nothing = EncodingSet::NONE;
    let picture: EncodingSet = [video()].into_iter().collect();
    let media = |sequence: u64, key_frame| {
        let arrival = at(sequence);
        let (incarnation, timestamp, layers) = (Incarnation(1), sequence as u32, Layers::UNKNOWN);
        let (marker, padding, payload) = (true, 0, &[1][..]);
        let media =
            MediaRecord { incarnation, sequence, timestamp, arrival, marker, key_frame, padding, layers, payload };
        Record::Media(media)
    };
    let listeners = [reader, other].map(|worker| Audience::new(Listener { worker, membership: 1 }));
    streams.get_mut(stream).unwrap().audience.extend(listeners);
    streams.audience_wants(stream, reader, nothing, at(0));
    streams.apply(wanted, &media(0, false));
    streams.audience_wants(stream, reader, picture, at(0));
    assert!(streams.replays.is_empty() && !streams.is_replayed_to(wanted, reader, at(0)), "there is no key frame");
    for sequence in 1..10 {
        assert!(streams.apply(wanted, &media(sequence, sequence == 4)).is_some());
    }
    let mut replays = 0;
    for n in 0..20 {
        // It comes and goes ten times a second.
        streams.audience_wants(stream, reader, nothing, at(10 + 100 * n));
        streams.audience_wants(stream, reader, picture, at(10 + 100 * n));
        replays += streams.replays.drain(..).inspect(|replay| assert_eq!(replay.packets, 6)).count();
    }
    assert_eq!(replays, 2, "at once, and after a second");
    let last = at(10 + 1_100);
    assert!(streams.is_replayed_to(wanted, reader, last + limits::REPLAY_TIME_MAX));
    assert!(!streams.is_replayed_to(wanted, other, last), "who was not given it asks");
    assert!(!streams.is_replayed_to(wanted, reader, last + limits::REPLAY_TIME_MAX + Duration::from_millis(1)));
}
