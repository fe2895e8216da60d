//! Lane records: any bytes as a record; and what was read, through a pair of real lanes.

use std::time::Duration;

use corecast::description::CodecFormat;
use corecast::limits;
use corecast::net::Waker;
use corecast::relay::store::address::{RecordAddress, StreamId};
use corecast::relay::store::clock_map::{ClockMap, HostClocks};
use corecast::relay::store::ladder::{Measured, RidName};
use corecast::relay::store::numbers::EncodingId;
use corecast::relay::store::packet_ring::Layers;
use corecast::relay::store::record::{self, MediaRecord, PublishedCodec, Record};
use corecast::relay::store::timeline::Incarnation;
use corecast::relay::store::upstream::{self, SequenceRanges, Upstream, Wish};
use corecast::time::{NtpTime, Timestamp};
use corecast::wire::codec::{Codec, LayerIds};
use corecast::worker::lane::Lanes;
use corecast::worker::mailbox::WorkerIndex;

use super::Seed;
use super::script::{Script, ScriptWriter};

/// The input as one record, and as a script of records with the number of times each is sent.
pub fn run(data: &[u8]) {
    if let Ok((address, record)) = record::read(data) {
        round_trip(address, &record);
        restamp(data);
    }
    if let Some(message) = upstream::read(data) {
        let mut out = [0; upstream::BYTES_MAX];
        let len = upstream::write(&mut out, &message).expect("no message is longer");
        assert_eq!(&out[..len], data, "one message, one form");
    }
    let mut lanes = Lanes::connect(&[Waker::noop(), Waker::noop()]);
    let (mut to, mut from) = (lanes.pop().expect("two"), lanes.pop().expect("two"));
    let mut script = Script::new(data);
    let mut expected = Vec::new();
    let mut steps = 0;
    while !script.is_over() && steps < 64 {
        steps += 1;
        let (action, bytes) = (script.byte(), script.chunk());
        if action & 1 == 1 {
            take(&mut to, &mut expected, usize::from(action));
            continue;
        }
        let Ok((address, record)) = record::read(bytes) else { continue };
        round_trip(address, &record);
        for _ in 0..=action {
            let (sent, dropped, malformed) = (from.sent, from.dropped_full, from.malformed);
            from.send(WorkerIndex(1), address, &record);
            assert_eq!(from.sent + from.dropped_full + from.malformed, sent + dropped + malformed + 1);
            if from.sent > sent {
                expected.push((address, bytes));
            }
            let fits = record::encoded_len(&record) <= record::MEDIA_HEAD_BYTES + limits::DATAGRAM_IN_BYTES_MAX;
            assert!(fits || from.sent == sent, "longer than any datagram");
        }
    }
    take(&mut to, &mut expected, usize::MAX);
    assert!(expected.is_empty(), "all that was sent arrives");
    assert_eq!((to.received, to.malformed), (from.sent, 0));
}

/// In bytes and as values a record gets the same times on another host's clocks.
fn restamp(data: &[u8]) {
    let here = HostClocks { monotonic: Timestamp::from_millis(9_000), wall: NtpTime(9 << 32) };
    let there = HostClocks { monotonic: Timestamp::from_millis(70_000), wall: NtpTime(3 << 32) };
    let map = ClockMap::between(here, there);
    let mut bytes = data.to_vec();
    record::restamp(&mut bytes, map).expect("it was read");
    let (address, before) = record::read(data).expect("it was read");
    assert_eq!(record::read(&bytes), Ok((address, before.restamped(map))));
}

/// Takes at most so many; they are the ones that were sent first.
fn take(to: &mut Lanes, expected: &mut Vec<(RecordAddress, &[u8])>, limit: usize) {
    let mut count = 0;
    let more = to.receive(limit, |address, record| {
        let (expected_address, bytes) = expected[count];
        assert_eq!((address, record), (expected_address, record::read(bytes).expect("it was read before").1));
        count += 1;
    });
    assert_eq!(more, count == limit);
    expected.drain(..count);
}

fn round_trip(address: RecordAddress, record: &Record<'_>) {
    let mut out = vec![0; record::encoded_len(record)];
    let len = record::write(&mut out, address, record).expect("its own length is enough");
    assert_eq!(record::announced_len([out[0], out[1]]), len);
    assert_eq!(record::read(&out[..len]), Ok((address, *record)));
    assert_eq!(record::write(&mut out[..len - 1], address, record), None);
}

fn written(record: &Record<'_>) -> Vec<u8> {
    let mut out = vec![0; record::encoded_len(record)];
    let len = record::write(&mut out, RecordAddress { stream: StreamId(5), encoding: EncodingId::default() }, record)
        .expect("room");
    out.truncate(len);
    out
}

pub fn seeds() -> Vec<Seed> {
    let media = Record::Media(MediaRecord {
        incarnation: Incarnation(7),
        sequence: 70_000,
        timestamp: 90_000,
        arrival: Timestamp::ZERO + Duration::from_secs(5),
        marker: true,
        key_frame: true,
        padding: 1,
        layers: Layers::new(LayerIds { temporal: 1, up_here: true, ..LayerIds::default() }),
        payload: &[0x65; 40],
    });
    let arrival = Timestamp::from_millis(1);
    let clock = Record::Clock { incarnation: Incarnation(7), ntp: NtpTime(1 << 32), timestamp: 3, arrival };
    let format = |codec, format| Record::Format(PublishedCodec { codec, format, clock_rate_hz: 90_000 });
    let h264 = format(Codec::H264, CodecFormat::H264 { profile_level_id: 0x42_e01f, packetization_mode: 1 });
    let vp9 = format(Codec::Vp9, CodecFormat::Vp9 { profile: 2 });
    let opus = format(Codec::Opus, CodecFormat::Plain);
    let rid = RidName::new(b"h").expect("a name");
    let rung =
        Record::Rung(Measured { rid, bits_per_second: 2_000_000, width: 1_280, height: 720, ..Measured::default() });
    let all = [
        ("media", &media),
        ("clock", &clock),
        ("h264", &h264),
        ("vp9", &vp9),
        ("opus", &opus),
        ("begin", &Record::Begin),
        ("replay", &Record::Replay(30)),
        ("rung", &rung),
    ];
    let mut seeds: Vec<Seed> = all.iter().map(|(name, record)| ((*name).to_owned(), written(record))).collect();
    let encoding = EncodingId::from_number(5).expect("there are more");
    let mut ranges = SequenceRanges::default();
    [70_000, 70_001, 70_009].into_iter().for_each(|sequence| assert!(ranges.push(sequence)));
    let wishes = [
        ("wish-key-frame", Wish::KeyFrame(encoding)),
        ("wish-packets", Wish::Packets { encoding, incarnation: Incarnation(7), ranges }),
        ("wish-encodings", Wish::Encodings([encoding].into_iter().collect())),
    ];
    for (name, wish) in wishes {
        let mut out = [0; upstream::BYTES_MAX];
        let len = upstream::write(&mut out, &Upstream { stream: StreamId(5), wish }).expect("no message is longer");
        seeds.push((name.to_owned(), out[..len].to_vec()));
    }
    let script = all.iter().fold(ScriptWriter::default(), |script, (_, record)| script.byte(2).chunk(&written(record)));
    seeds.push(("script".into(), script.byte(3).chunk(&[]).byte(254).chunk(&written(&media)).done()));
    seeds
}
