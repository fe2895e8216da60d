//! A viewer's numbers: where they begin, that skips leave no hole in them, and what a NACK of the viewer's means.

use std::time::Duration;

use super::*;
use crate::relay::play::extension::TransportNumber;
use crate::relay::store::numbers::TrackId;
use crate::relay::store::packet_ring::Layers;
use crate::wire::bytes::refuses_damage;
use crate::wire::codec::Codec;
use crate::wire::rtp::RtpHeader;

const FORMAT: EgressFormat = EgressFormat { payload_type: 96, rtx_payload_type: Some(97), clock_rate_hz: 90_000 };

/// First index 100, first RTX index 200, timestamps moved by 5.
const RANDOM: u64 = 5 << 32 | 200 << 16 | 100;

fn subscription() -> Subscription {
    let mut subscription = Subscription::new(0xa, Some(0xb), ExtensionTemplate::default(), RANDOM);
    subscription.set_format(Some(FORMAT));
    subscription
}

fn info(sequence: u64) -> PacketInfo {
    let arrival = Timestamp::from_millis(sequence);
    let timestamp = sequence as u32 * 10;
    let (sequence, layers) = (Sequence(sequence), Layers::UNKNOWN);
    PacketInfo { sequence, timestamp, arrival, marker: false, key_frame: false, padding: 0, layers }
}

fn at(position: u64, sequence: u64) -> Start {
    Start { position: Position(position), sequence: Sequence(sequence) }
}

/// The only encoding there is.
const ONLY: EncodingId = TrackId::new(1).unwrap().only_encoding();

fn start(subscription: &mut Subscription, at: Start) {
    subscription.start_at(ONLY, at, Timestamp::ZERO);
}

/// What the packet with `sequence` was sent as, where timestamps are moved by 5.
fn located(sequence: u64, index: u64) -> Located {
    Located {
        encoding: ONLY,
        sequence: Sequence(sequence),
        index: PacketIndex(index),
        timestamp_offset: 5,
        renumbering: Renumbering::NONE,
        squeeze: Squeeze::NONE,
    }
}

/// Sends the packet and returns its index.
fn send(subscription: &mut Subscription, sequence: u64) -> u64 {
    let header = subscription.write_header(&mut [0; 64], &info(sequence)).unwrap();
    subscription.sent(header.index, 1_000);
    header.index.0
}

/// Packets with sequences `1_000..1_000 + count` at positions `0..count`, one each millisecond from 1 s on.
fn ring(count: u64) -> PacketRing {
    ring_of(1_000..1_000 + count)
}

fn ring_of(sequences: impl IntoIterator<Item = u64>) -> PacketRing {
    let mut ring = PacketRing::new(64, limits::RING_BYTES_INITIAL);
    for sequence in sequences {
        ring.store(info(sequence), &[1]).unwrap();
    }
    ring
}

#[test]
fn first_numbers_lie_below_half_the_range_and_above_zero() {
    // RFC 3711 §3.3.1: a receiver that misses the first packets must still guess a rollover counter of zero.
    for (random, first, first_rtx) in [(u64::MAX, 0x7fff, 0x7fff), (0, 1, 1), (RANDOM | 1 << 15 | 1 << 31, 100, 200)] {
        let mut subscription = Subscription::new(0xa, Some(0xb), ExtensionTemplate::default(), random);
        subscription.set_format(Some(FORMAT));
        start(&mut subscription, at(0, 1_000));
        assert_eq!(send(&mut subscription, 1_000), first);
        let located = subscription.locate(first as u16).unwrap();
        let rtx = subscription.write_rtx(&mut [0; 64], &mut [0; 64], located, &info(1_000), &[1]).unwrap();
        assert_eq!(rtx.0.index, PacketIndex(first_rtx));
    }
}

#[test]
fn a_header_is_the_packets_with_the_viewers_own_numbers() {
    let block = ExtensionTemplate::with_mid(Some(4), "v0");
    let mut subscription = Subscription::new(0xa, Some(0xb), block, RANDOM);
    subscription.set_format(Some(FORMAT));
    assert_eq!((subscription.ssrc(), subscription.rtx_ssrc()), (0xa, Some(0xb)));
    let mut slot = [0; 64];
    let packet = PacketInfo { marker: true, padding: 3, ..info(1_000) };
    assert_eq!(subscription.write_header(&mut slot, &packet), None, "it has not started");
    start(&mut subscription, at(0, 1_000));
    assert_eq!(subscription.cursor(), Cursor::At(Position(0)));
    assert_eq!(
        subscription.write_header(&mut slot, &packet),
        Some(EgressHeader { len: 20, index: PacketIndex(100), renumbering: Renumbering::NONE })
    );
    let header = RtpHeader::parse(&slot).unwrap();
    assert_eq!((header.marker, header.has_padding, header.payload_type), (true, true, 96));
    assert_eq!((header.sequence, header.timestamp, header.ssrc, header.header_len), (100, 10_005, 0xa, 20));
    assert_eq!(header.extensions(&slot).collect::<Vec<_>>(), [(4, b"v0".as_slice())]);
    subscription.write_header(&mut slot, &info(1_001)).unwrap();
    let header = RtpHeader::parse(&slot).unwrap();
    assert_eq!((header.marker, header.has_padding, header.sequence), (false, false, 101));
    assert_eq!(subscription.format().map(|format| format.payload_type), Some(96));
    // Nothing is written where it does not fit, or the viewer cannot play what is published.
    assert_eq!(subscription.write_header(&mut slot[..19], &packet), None);
    subscription.set_format(None);
    assert!(subscription.format().is_none());
    assert_eq!(subscription.write_header(&mut slot, &packet), None);
}

#[test]
fn numbers_go_on_without_a_hole_where_the_cursor_jumps() {
    let mut subscription = subscription();
    start(&mut subscription, at(0, 1_000));
    assert_eq!((send(&mut subscription, 1_000), send(&mut subscription, 1_001)), (100, 101));
    subscription.advance();
    subscription.advance();
    assert_eq!(subscription.cursor(), Cursor::At(Position(2)));
    start(&mut subscription, at(50, 1_050));
    assert_eq!(subscription.cursor(), Cursor::At(Position(50)));
    assert_eq!((send(&mut subscription, 1_050), send(&mut subscription, 1_051)), (102, 103));
    // What was recovered late from before the jump has no number of its own any more.
    assert_eq!(subscription.write_header(&mut [0; 64], &info(1_049)), None);
    // One that was overtaken keeps its number, and what follows goes on from the highest.
    assert_eq!((send(&mut subscription, 1_054), send(&mut subscription, 1_052)), (106, 104));
    start(&mut subscription, at(90, 1_090));
    assert_eq!(send(&mut subscription, 1_090), 107);
    subscription.await_key_frame();
    subscription.advance();
    assert_eq!(subscription.cursor(), Cursor::AwaitsKeyFrame, "there is no position to move from");
}

#[test]
fn a_nack_means_what_the_viewer_was_sent_under_that_number() {
    let mut subscription = subscription();
    assert_eq!(subscription.locate(99), None, "nothing was sent");
    start(&mut subscription, at(0, 1_000));
    assert_eq!(subscription.locate(99), None, "nothing was sent yet");
    send(&mut subscription, 1_000);
    send(&mut subscription, 1_001);
    start(&mut subscription, at(50, 1_050));
    send(&mut subscription, 1_050);
    assert_eq!(subscription.locate(100), Some(located(1_000, 100)));
    assert_eq!(subscription.locate(101), Some(located(1_001, 101)));
    assert_eq!(subscription.locate(102), Some(located(1_050, 102)));
    assert_eq!(subscription.locate(103), None, "ahead of what was sent");
    assert_eq!(subscription.locate(99), None, "before what was sent");
}

#[test]
fn a_nack_reaches_back_over_the_rollover_and_less_than_half_the_range() {
    let mut subscription = subscription();
    start(&mut subscription, at(0, 1_000));
    // Index 65,538: the sequence number has wrapped to 2 (RFC 3550 §5.1).
    for sequence in [1_000, 1_000 + 65_438] {
        send(&mut subscription, sequence);
    }
    assert_eq!(subscription.locate(2).unwrap().index, PacketIndex(65_538));
    assert_eq!(subscription.locate(65_535), Some(located(1_000 + 65_435, 65_535)));
    let oldest = 65_538 - 0x7fff;
    assert_eq!(subscription.locate(oldest as u16).map(|located| located.index.0), Some(oldest));
    assert_eq!(subscription.locate((oldest - 1) as u16), None);
}

#[test]
fn what_lies_more_jumps_back_than_are_kept_is_not_repeated() {
    let mut subscription = subscription();
    let kept = limits::REWRITING_RUNS_MAX as u64 + 1;
    for jump in 0..=kept {
        start(&mut subscription, at(jump * 10, 1_000 + jump * 10));
        assert_eq!(send(&mut subscription, 1_000 + jump * 10), 100 + jump);
        // Starting where it is anyway is no jump.
        start(&mut subscription, at(jump * 10 + 1, 1_000 + jump * 10 + 1));
    }
    assert_eq!(subscription.locate(100), None);
    for jump in 1..=kept {
        let found = subscription.locate(100 + jump as u16).unwrap();
        assert_eq!(found, located(1_000 + jump * 10, 100 + jump));
        assert!(subscription.write_repeat(&mut [0; 64], found, &info(found.sequence.0)).is_some());
    }
}

#[test]
fn what_was_sent_with_another_payload_type_is_not_repeated() {
    // It would be sealed again under its index with another header, which RFC 7714 §8.1 forbids.
    let mut subscription = subscription();
    start(&mut subscription, at(0, 1_000));
    send(&mut subscription, 1_000);
    subscription.set_format(Some(EgressFormat { rtx_payload_type: None, ..FORMAT }));
    assert!(subscription.locate(100).is_some(), "the header is the same");
    subscription.set_format(Some(EgressFormat { payload_type: 102, ..FORMAT }));
    assert_eq!(subscription.locate(100), None);
    send(&mut subscription, 1_001);
    assert_eq!(subscription.locate(101), Some(located(1_001, 101)));
}

#[test]
fn a_retransmission_has_the_picture_numbers_of_the_packet_that_it_repeats() {
    let mut subscription = subscription();
    start(&mut subscription, at(0, 1_000));
    send(&mut subscription, 1_000);
    assert!(subscription.leave_out(&info(1_001), true));
    send(&mut subscription, 1_002);
    // VP8 with a PictureID of 9, which is one less behind the picture that was left out.
    for (index, picture) in [(100, 9), (101, 8)] {
        let located = subscription.locate(index).unwrap();
        let mut payload = [0; 6];
        let packet = info(located.sequence.0);
        let written = subscription.write_rtx(&mut [0; 64], &mut payload, located, &packet, &[0x90, 0x80, 9, 0]);
        assert_eq!((written.unwrap().1, &payload[2..]), (6, &[0x90, 0x80, picture, 0][..]));
    }
}

#[test]
fn a_retransmission_carries_the_original_number_on_a_stream_of_its_own() {
    let block = ExtensionTemplate::with_mid(Some(4), "v0");
    let mut subscription = Subscription::new(0xa, Some(0xb), block, RANDOM);
    subscription.set_format(Some(FORMAT));
    start(&mut subscription, at(0, 1_000));
    for sequence in 1_000..1_003 {
        send(&mut subscription, sequence);
    }
    let located = subscription.locate(101).unwrap();
    let (mut slot, mut payload) = ([0; 64], [0; 5]);
    let packet = PacketInfo { marker: true, padding: 3, ..info(1_001) };
    // Where one does not fit, its number is not used up.
    assert!(subscription.write_rtx(&mut slot[..19], &mut payload, located, &packet, &[7, 8, 9]).is_none());
    assert!(subscription.write_rtx(&mut slot, &mut payload[..4], located, &packet, &[7, 8, 9]).is_none());
    for index in 200..203 {
        let written = subscription.write_rtx(&mut slot, &mut payload, located, &packet, &[7, 8, 9]);
        assert_eq!(
            written,
            Some((EgressHeader { len: 20, index: PacketIndex(index), renumbering: Renumbering::NONE }, 5))
        );
        let header = RtpHeader::parse(&slot).unwrap();
        assert_eq!((header.marker, header.has_padding, header.payload_type), (true, false, 97));
        assert_eq!((u64::from(header.sequence), header.timestamp, header.ssrc), (index, 10_015, 0xb));
        assert_eq!(header.extensions(&slot).collect::<Vec<_>>(), [(4, b"v0".as_slice())]);
        // RFC 4588 §4: the original sequence number, then the original payload.
        assert_eq!(payload, [0, 101, 7, 8, 9]);
    }
    subscription.set_format(Some(EgressFormat { rtx_payload_type: None, ..FORMAT }));
    assert!(subscription.write_rtx(&mut slot, &mut payload, located, &packet, &[7, 8, 9]).is_none());
}

#[test]
fn a_repeat_without_rtx_is_the_very_packet_that_was_sent() {
    let mut subscription = subscription();
    start(&mut subscription, at(0, 1_000));
    let (mut sent, mut repeated) = ([0; 64], [0; 64]);
    let header = subscription.write_header(&mut sent, &info(1_000)).unwrap();
    subscription.sent(header.index, 1_000);
    start(&mut subscription, at(50, 1_050));
    send(&mut subscription, 1_050);
    let located = subscription.locate(100).unwrap();
    assert_eq!(subscription.write_repeat(&mut repeated, located, &info(1_000)), Some(header));
    assert_eq!(repeated, sent);
}

#[test]
fn a_sender_report_counts_packets_and_payload_octets_on_the_viewers_clock() {
    let mut subscription = subscription();
    let ntp = NtpTime(7 << 32);
    start(&mut subscription, at(0, 1_000));
    assert!(subscription.sender_report(ntp, 50).is_none(), "nothing was sent");
    send(&mut subscription, 1_000);
    send(&mut subscription, 1_001);
    let expected = SenderReportFields { ssrc: 0xa, ntp, rtp_timestamp: 55, packets: 2, octets: 2_000 };
    assert_eq!(subscription.sender_report(ntp, 50), Some(expected));
    // The offset of a viewer's timestamps stays when its cursor jumps.
    start(&mut subscription, at(50, 1_050));
    assert_eq!(subscription.sender_report(ntp, 50), Some(expected));
}

#[test]
fn a_cursor_that_is_in_time_stays() {
    let mut ring = ring(10);
    ring.set_key_frame(Position(8), Position(0));
    let mut subscription = subscription();
    assert_eq!(subscription.settle(&ring, true, Timestamp::ZERO), Cursor::AwaitsKeyFrame);
    start(&mut subscription, at(5, 1_005));
    send(&mut subscription, 1_005);
    let newest_in_time = Timestamp::from_millis(1_005) + limits::CURSOR_LAG_MAX;
    assert_eq!(subscription.settle(&ring, true, newest_in_time), Cursor::At(Position(5)));
    assert_eq!(subscription.skips, 0);
}

#[test]
fn a_cursor_that_lags_skips_to_the_newest_key_frame_ahead_of_it() {
    let late = Timestamp::from_millis(1_006) + limits::CURSOR_LAG_MAX;
    let mut ring = ring(10);
    let mut subscription = subscription();
    start(&mut subscription, at(5, 1_005));
    send(&mut subscription, 1_005);
    // Without one, or with one that is being sent already, it goes on: late rather than never.
    assert_eq!(subscription.settle(&ring, true, late), Cursor::At(Position(5)));
    ring.set_key_frame(Position(5), Position(0));
    assert_eq!(subscription.settle(&ring, true, late), Cursor::At(Position(5)));
    assert_eq!(subscription.skips, 0);
    ring.set_key_frame(Position(8), Position(0));
    assert_eq!(subscription.settle(&ring, true, late), Cursor::At(Position(8)));
    assert_eq!((subscription.skips, send(&mut subscription, 1_008)), (1, 101));
}

#[test]
fn a_cursor_that_lags_on_the_newest_key_frame_goes_on_with_it_and_skips_nothing() {
    let mut ring = ring(10);
    let mut subscription = subscription();
    start(&mut subscription, at(5, 1_005));
    send(&mut subscription, 1_005);
    subscription.cursor = Cursor::At(Position(6));
    ring.set_key_frame(Position(6), Position(0));
    assert_eq!(subscription.settle(&ring, true, Timestamp::from_millis(60_000)), Cursor::At(Position(6)));
    assert_eq!((subscription.skips, send(&mut subscription, 1_006)), (0, 101));
}

#[test]
fn a_viewer_that_was_sent_nothing_yet_does_not_lag() {
    // Its handshake took a while: the key frame it was given to start with is still the best there is.
    let mut ring = ring(10);
    ring.set_key_frame(Position(8), Position(0));
    let mut subscription = subscription();
    start(&mut subscription, at(5, 1_005));
    assert_eq!(subscription.settle(&ring, true, Timestamp::from_millis(60_000)), Cursor::At(Position(5)));
    assert_eq!(subscription.skips, 0);
}

#[test]
fn a_cursor_whose_packet_is_gone_skips_or_waits_for_a_key_frame() {
    let now = Timestamp::from_millis(1_100);
    let mut ring = ring(100);
    assert_eq!(ring.tail(), Position(36));
    let mut subscription = subscription();
    start(&mut subscription, at(35, 1_035));
    assert_eq!(subscription.settle(&ring, true, now), Cursor::AwaitsKeyFrame);
    assert_eq!(subscription.skips, 1);
    start(&mut subscription, at(35, 1_035));
    ring.set_key_frame(Position(36), Position(0));
    assert_eq!(subscription.settle(&ring, true, now), Cursor::At(Position(36)));
    assert_eq!(subscription.skips, 2);
    assert_eq!(subscription.settle(&ring, true, now), Cursor::At(Position(36)), "the oldest packet is still there");
}

#[test]
fn a_cursor_in_sound_skips_to_the_newest_packet() {
    let ring = ring(100);
    let mut subscription = subscription();
    start(&mut subscription, at(35, 1_035));
    assert_eq!(subscription.settle(&ring, false, Timestamp::from_millis(1_100)), Cursor::At(Position(99)));
    assert_eq!((subscription.skips, send(&mut subscription, 1_099)), (1, 100));
}

#[test]
fn sound_that_is_late_altogether_is_not_sent_and_goes_on_without_a_hole() {
    let stopped = ring(100);
    let mut subscription = subscription();
    start(&mut subscription, at(40, 1_040));
    send(&mut subscription, 1_040);
    let late = Timestamp::from_millis(1_100) + limits::CURSOR_LAG_MAX;
    assert_eq!(
        subscription.settle(&stopped, false, late),
        Cursor::AwaitsKeyFrame,
        "a start, as for a viewer that comes"
    );
    assert_eq!(subscription.skips, 1);
    start(&mut subscription, at(100, 1_100));
    assert_eq!(send(&mut subscription, 1_100), 101, "the number after the last one sent");
}

#[test]
fn a_cursor_in_sound_waits_for_the_next_packet_where_the_newest_came_late() {
    let ring = ring_of((1_000..1_091).chain(1_092..1_100).chain([1_091]));
    let mut subscription = subscription();
    start(&mut subscription, at(35, 1_035));
    assert_eq!(subscription.settle(&ring, false, Timestamp::from_millis(1_100)), Cursor::At(ring.head()));
}

#[test]
fn a_packet_recovered_late_is_no_place_to_go_on_from() {
    let mut subscription = subscription();
    assert!(subscription.is_ahead(ONLY, Sequence(7)), "nothing was sent yet");
    start(&mut subscription, at(0, 1_000));
    for sequence in [1_000, 1_001, 1_003, 1_004] {
        send(&mut subscription, sequence);
    }
    assert!(!subscription.is_ahead(ONLY, Sequence(1_002)) && !subscription.is_ahead(ONLY, Sequence(1_004)));
    assert!(subscription.is_ahead(ONLY, Sequence(1_005)));
}

#[test]
fn a_lagging_cursor_does_not_skip_back_to_what_it_has_sent() {
    let late = Timestamp::from_millis(1_002) + limits::CURSOR_LAG_MAX + Duration::from_millis(1);
    // The key frame's first packet was lost on the uplink and came behind a packet that was sent already.
    let mut ring = ring_of([1_000, 1_001, 1_002, 1_004, 1_003, 1_005]);
    let mut subscription = subscription();
    start(&mut subscription, at(3, 1_004));
    assert_eq!(send(&mut subscription, 1_004), 100);
    ring.set_key_frame(Position(4), Position(4));
    subscription.cursor = Cursor::At(Position(2));
    assert_eq!(subscription.settle(&ring, true, late), Cursor::At(Position(2)), "late rather than twice");
    ring.set_key_frame(Position(5), Position(5));
    assert_eq!(subscription.settle(&ring, true, late), Cursor::At(Position(5)));
    assert_eq!(send(&mut subscription, 1_005), 101, "and the numbers go on");
}

/// Pictures of one packet each, 33 ms apart, the first of them a key frame; they arrived as they were taken.
fn pictures(count: u64) -> PacketRing {
    let mut ring = PacketRing::new(256, limits::RING_BYTES_INITIAL);
    for n in 0..count {
        let arrival = Timestamp::from_millis(n * 33);
        ring.store(PacketInfo { timestamp: n as u32 * 2_970, arrival, ..info(1_000 + n) }, &[1]).unwrap();
    }
    ring.set_key_frame(Position(0), Position(0));
    ring
}

/// The timestamps that the viewer is sent, up to the head.
fn play(subscription: &mut Subscription, ring: &PacketRing, now: Timestamp) -> Vec<u32> {
    let mut sent = Vec::new();
    while let Cursor::At(position) = subscription.settle(ring, true, now)
        && let Some((info, _)) = ring.get(position)
    {
        let mut slot = [0; 64];
        let header = subscription.write_header(&mut slot, info).unwrap();
        subscription.sent(header.index, 1_000);
        sent.push(RtpHeader::parse(&slot).unwrap().timestamp);
        subscription.advance();
    }
    sent
}

#[test]
fn who_starts_in_the_past_is_told_that_it_is_now_and_repeats_say_the_same() {
    let mut ring = pictures(50);
    let mut subscription = subscription();
    start(&mut subscription, at(0, 1_000));
    let lasts = Duration::from_millis(200);
    subscription.squeeze(&ring, at(0, 1_000), lasts, None, 90_000);
    let now = Timestamp::from_millis(49 * 33);
    let mut sent = play(&mut subscription, &ring, now);
    let live = 49 * 2_970 + 5;
    assert!(sent[0] >= live && sent.windows(2).all(|pair| pair[1] > pair[0]), "{sent:?}");
    for n in 50..100 {
        ring.store(PacketInfo { timestamp: n as u32 * 2_970, ..info(1_000 + n) }, &[1]).unwrap();
        sent.extend(play(&mut subscription, &ring, now));
    }
    assert!(sent.windows(2).all(|pair| pair[1] > pair[0]));
    // 200 ms on, and ever after, the timeline is the publisher's.
    assert!((57..100).all(|n| sent[n] == n as u32 * 2_970 + 5), "{sent:?}");
    assert_eq!(subscription.rewriter.squeezed(), None, "it is over");
    for n in 0..100_u64 {
        let located = subscription.locate(100 + n as u16).unwrap();
        let (mut slot, mut payload) = ([0; 64], [0; 64]);
        let (_, info, _) = ring.find(located.sequence).unwrap();
        subscription.write_repeat(&mut slot, located, info).unwrap();
        assert_eq!(RtpHeader::parse(&slot).unwrap().timestamp, sent[n as usize]);
        subscription.write_rtx(&mut slot, &mut payload, located, info, &[1]).unwrap();
        assert_eq!(RtpHeader::parse(&slot).unwrap().timestamp, sent[n as usize]);
    }
    // Sender reports speak of the plain timeline all the time.
    assert_eq!(subscription.sender_report(NtpTime(7), 9).unwrap().rtp_timestamp, 9 + 5);
}

#[test]
fn time_goes_on_where_one_that_is_catching_up_is_led_to_another_key_frame() {
    let mut ring = pictures(40);
    let mut subscription = subscription();
    start(&mut subscription, at(0, 1_000));
    // As if sending took long: what was sent last is told to be of the future when the next key frame comes.
    subscription.squeeze(&ring, at(0, 1_000), Duration::from_secs(3), None, 90_000);
    let now = Timestamp::from_millis(39 * 33);
    let before = play(&mut subscription, &ring, now);
    ring.store(PacketInfo { timestamp: 40 * 2_970, ..info(1_041) }, &[1]).unwrap();
    assert!(*before.last().unwrap() > 40 * 2_970 + 5);
    let newest = subscription.newest_timestamp(|_| Some(&ring));
    assert_eq!(newest, before.last().copied());
    start(&mut subscription, at(40, 1_041));
    subscription.squeeze(&ring, at(40, 1_041), Duration::ZERO, newest, 90_000);
    for n in 41..200 {
        ring.store(PacketInfo { timestamp: n as u32 * 2_970, ..info(1_001 + n) }, &[1]).unwrap();
    }
    let after = play(&mut subscription, &ring, now);
    assert!(after[0] > *before.last().unwrap() && after.windows(2).all(|pair| pair[1] > pair[0]), "{after:?}");
    assert_eq!(after.last(), Some(&(199 * 2_970 + 5)));
}

#[test]
fn a_viewers_stream_goes_on_in_another_process() {
    let mut before = subscription();
    start(&mut before, at(0, 1_000));
    for sequence in [1_000, 1_001] {
        send(&mut before, sequence);
        before.advance();
    }
    let located = before.locate(100).unwrap();
    before.write_rtx(&mut [0; 64], &mut [0; 64], located, &info(1_000), &[1]).unwrap();
    before.skips = 3;
    let now = Timestamp::from_millis(2_000);
    let mut out = StateWriter::new();
    before.export(now, &mut out);
    let bytes = out.finish();
    let import = |bytes: &[u8]| {
        let mut from = StateReader::new(bytes);
        let subscription = Subscription::import(0xa, Some(0xb), ExtensionTemplate::default(), now, &mut from)?;
        from.finish()?;
        Ok(subscription)
    };
    refuses_damage(&bytes, import);
    let mut after = import(bytes.as_slice()).unwrap();
    assert!(after.format().is_none(), "what the viewer is sent is decided anew");
    after.set_format(Some(FORMAT));
    assert_eq!((after.cursor(), after.encoding(), after.skips), (before.cursor(), Some(ONLY), 3));
    assert_eq!(after.sender_report(NtpTime(7), 9), before.sender_report(NtpTime(7), 9));
    // Neither an index nor an RTX index is used a second time.
    assert_eq!(send(&mut after, 1_002), send(&mut before, 1_002));
    let rtx = |subscription: &mut Subscription| {
        subscription.write_rtx(&mut [0; 64], &mut [0; 64], located, &info(1_000), &[1]).unwrap().0.index
    };
    assert_eq!((rtx(&mut after), rtx(&mut before)), (PacketIndex(201), PacketIndex(201)));
}

#[test]
fn a_packet_with_a_field_of_its_own_is_as_long_as_one_without_and_not_repeated_under_its_index() {
    let template = ExtensionTemplate::new(Some((4, "v0")), Some(TransportNumber { id: 5, on_request: false }));
    let mut subscription = Subscription::new(0xa, Some(0xb), template, RANDOM);
    subscription.set_format(Some(FORMAT));
    start(&mut subscription, at(0, 1_000));
    assert!(subscription.has_transport_sequence());
    let (mut with, mut without) = ([0; 64], [0; 64]);
    let header = subscription.write_header(&mut with, &info(1_000)).unwrap();
    subscription.sent(header.index, 1_000);
    assert!(subscription.write_transport_sequence(&mut with, 0x0102, 0));
    let next = subscription.write_header(&mut without, &info(1_001)).unwrap();
    assert_eq!(header.len, next.len);
    let elements = |slot: &[u8]| -> Vec<(u8, Vec<u8>)> {
        let header = RtpHeader::parse(slot).unwrap();
        header.extensions(slot).map(|(id, value)| (id, value.to_vec())).collect()
    };
    assert_eq!(elements(&with), [(5, vec![1, 2]), (4, b"v0".to_vec())]);
    assert_eq!(elements(&without), [(4, b"v0".to_vec())]);
    let located = subscription.locate(100).unwrap();
    assert!(subscription.write_repeat(&mut [0; 64], located, &info(1_000)).is_none());
    assert!(subscription.write_rtx(&mut [0; 64], &mut [0; 64], located, &info(1_000), &[1]).is_some());
}

#[test]
fn who_is_started_again_sees_new_numbers_new_pictures_and_later_times() {
    let mut ring = PacketRing::new(256, 1 << 16);
    // VP8, one packet to a picture, from picture 40 on (RFC 7741 §4.2: X, I, seven bits).
    for sequence in 1_000..1_006_u64 {
        let payload = [0x90, 0x80, 40 + (sequence - 1_000) as u8, 0, 0];
        ring.store(info(sequence), &payload).unwrap();
    }
    let mut subscription = subscription();
    start(&mut subscription, at(0, 1_000));
    let sent: Vec<_> = (1_000..1_004).map(|sequence| send(&mut subscription, sequence)).collect();
    assert_eq!(sent, [100, 101, 102, 103]);
    let newest = subscription.newest_timestamp(|_| Some(&ring));
    let (codec, clock, clock_rate_hz) = (Some(Codec::Vp8), None, 90_000);
    let encoding = EncodingView { id: ONLY, ring: &ring, clock, clock_rate_hz, timeline_of: ONLY, codec };
    subscription.start_again(&encoding, at(0, 1_000), Timestamp::ZERO);
    subscription.squeeze(&ring, at(0, 1_000), Duration::from_millis(100), newest, 90_000);
    assert_eq!(subscription.cursor(), Cursor::At(Position(0)));
    let mut last = newest.unwrap();
    for (sequence, index) in (1_000..1_006).zip(104..) {
        let mut slot = [0; 64];
        let header = subscription.write_header(&mut slot, &info(sequence)).unwrap();
        let timestamp = RtpHeader::parse(&slot).unwrap().timestamp;
        assert!(timestamp_distance(last, timestamp) > 0, "{last} and then {timestamp}");
        last = timestamp;
        assert_eq!(header.index, PacketIndex(index));
        let (_, _, payload) = ring.find(Sequence(sequence)).unwrap();
        let mut copy = [0; 64];
        let payload = header.renumbering.apply(&mut slot, payload, &mut copy).unwrap();
        // The newest that it was sent was picture 43.
        assert_eq!(payload[2], (44 + sequence - 1_000) as u8);
        subscription.sent(header.index, 1_000);
    }
    // Each repeat is what was sent under its number.
    assert_eq!(subscription.locate(101), Some(located(1_001, 101)));
    let again = subscription.locate(105).unwrap();
    assert_eq!((again.sequence, again.renumbering.is_none(), again.squeeze.is_none()), (Sequence(1_001), false, false));
}
