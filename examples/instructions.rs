//! Does one thing a given number of times, for `benches/instructions.sh` to count its instructions. Without
//! arguments it names the things.

use std::hint::black_box;
use std::time::Duration;

use corecast::bandwidth::Bandwidth;
use corecast::bandwidth::controller::{Place, Step};
use corecast::bandwidth::rate::Rate;
use corecast::lab::bench::rig::{Rig, RigConfig, Sink};
use corecast::net::{Io as _, IoKind};
use corecast::relay::store::numbers::TrackId;
use corecast::srtp::{MasterKey, SrtpProfile, SrtpReceiver, SrtpSender};
use corecast::time::Timestamp;
use corecast::wire::codec::{self, Codec};
use corecast::wire::rtcp::transport_feedback::{self, FeedbackHeader};
use corecast::wire::rtcp::{self, ReportBlock, RtcpPacket, receiver_report};
use corecast::wire::rtp::{HeaderFields, RtpPacket, write_header};
use corecast::wire::stun::{StunMessage, StunWriter};

const KEY: &[u8] = b"a-password-that-is-long-enough";

/// A thing and how to do it so many times.
type Work = (&'static str, fn(usize));

const WORK: [Work; 11] = [
    ("rtp-parse", rtp_parse),
    ("rtp-write", rtp_write),
    ("h264-inspect", h264_inspect),
    ("stun-parse-verify", stun_verify),
    ("rtcp-parse", rtcp_parse),
    ("srtp-seal-gcm128-1200", |times| seal(SrtpProfile::AeadAes128Gcm, times)),
    ("srtp-seal-cm80-1200", |times| seal(SrtpProfile::AesCm128HmacSha1_80, times)),
    ("srtp-seal-open-gcm128-1200", seal_and_open),
    ("relay-frame-4-to-20", relay_frame),
    ("feedback-of-14", |times| feedback(14, times)),
    ("feedback-of-63", |times| feedback(63, times)),
];

fn header(slot: &mut [u8], sequence: u16) -> usize {
    let fields = HeaderFields { payload_type: 96, sequence, timestamp: 2, ssrc: 3, ..HeaderFields::default() };
    write_header(slot, &fields, &[(1, b"1")]).expect("a header fits")
}

fn rtp_parse(times: usize) {
    let mut packet = vec![7; 1_200];
    header(&mut packet, 1);
    for _ in 0..times {
        let packet = RtpPacket::parse(black_box(&packet)).expect("it is RTP");
        black_box(packet.extensions().count());
    }
}

fn rtp_write(times: usize) {
    let mut slot = [0; 64];
    for _ in 0..times {
        black_box(header(black_box(&mut slot), 1));
    }
}

fn h264_inspect(times: usize) {
    let payload = [&[0x7c, 0x85][..], &[7; 1_160]].concat();
    for _ in 0..times {
        black_box(codec::inspect(Codec::H264, black_box(&payload)));
    }
}

fn stun_verify(times: usize) {
    let mut out = [0; 256];
    let writer = StunWriter::binding_request(&mut out, &[9; 12]).username(b"node:peer").priority(1);
    let len = writer.integrity(KEY).fingerprint().finish().expect("a check fits");
    for _ in 0..times {
        let message = StunMessage::parse(black_box(&out[..len])).expect("it is STUN");
        assert!(message.verify_integrity(KEY));
    }
}

fn rtcp_parse(times: usize) {
    let mut out = [0; 256];
    let len = receiver_report::write(&mut out, 1, &[ReportBlock::default(); 2]).expect("a report fits");
    for _ in 0..times {
        black_box(rtcp::packets(black_box(&out[..len])).filter(Result::is_ok).count());
    }
}

fn master(profile: SrtpProfile) -> MasterKey {
    MasterKey::new(profile, &vec![1; profile.key_len()], &vec![2; profile.salt_len()]).expect("their lengths")
}

fn seal(profile: SrtpProfile, times: usize) {
    let sender: SrtpSender = SrtpSender::new(profile, &master(profile));
    let (payload, mut slot) = (vec![7; 1_200], vec![0; 1_500]);
    for index in 1..=times as u64 {
        let len = header(&mut slot, index as u16);
        black_box(sender.seal_rtp(index, len, &mut slot, black_box(&payload), 0)).expect("it fits");
    }
}

fn seal_and_open(times: usize) {
    let profile = SrtpProfile::AeadAes128Gcm;
    let sender: SrtpSender = SrtpSender::new(profile, &master(profile));
    let mut receiver: SrtpReceiver = SrtpReceiver::new(profile, &master(profile));
    let (payload, mut slot) = (vec![7; 1_200], vec![0; 1_500]);
    for index in 1..=times as u64 {
        let len = header(&mut slot, index as u16);
        let len = sender.seal_rtp(index, len, &mut slot, &payload, 0).expect("it fits");
        receiver.open_rtp(&mut slot[..len]).expect("it is new and whole");
    }
}

/// A frame of 4 packets through a whole worker to 20 viewers: opened, stored, and written and sealed 80 times.
fn relay_frame(times: usize) {
    let config = RigConfig { sink: Sink::Null, io: IoKind::Mmsg, virtual_time: true, viewers: 20, idle: 0, part: None };
    let mut rig = Rig::new(config).expect("a worker");
    for frame in 0..=times {
        let now = rig.io.now();
        rig.io.inbox = rig.arrivals(4, frame == 0, now);
        rig.run_idle();
        rig.io.advance(Duration::from_millis(5));
    }
}

/// So many packets of a viewer numbered in trains of 14, and one report on all of them: read, folded, and decided by.
fn feedback(packets: u16, times: usize) {
    let track = TrackId::new(1).expect("a track");
    let step = |(rid, kbps): (usize, u64)| {
        let rate = Rate::from_bits_per_second(kbps * 1_000);
        Step { encoding: track.encoding(rid).expect("an encoding"), rate }
    };
    let ladder: Vec<Step> = [150, 500, 1_700].into_iter().enumerate().map(step).collect();
    let place =
        Place { ladder: &ladder, sent: ladder[2].encoding, awaited: None, can_probe: true, is_sound_only: false };
    let statuses: Vec<_> = (0..packets).map(|packet| Some(if packet % 14 == 0 { 60 } else { 8 })).collect();
    let mut now = Timestamp::from_millis(1_000);
    let mut bandwidth = Bandwidth::new(now);
    let mut out = [0; 1_200];
    let header = FeedbackHeader { base_sequence: 1, reference_time: 1, ..FeedbackHeader::default() };
    let len = transport_feedback::write(&mut out, &header, &statuses).expect("it fits").len;
    for time in 0..times as u64 {
        now = now + Duration::from_millis(500);
        let base = bandwidth.next_number();
        for packet in 0..packets {
            if packet % 14 == 0 {
                now = now + Duration::from_millis(30);
                bandwidth.samples(now);
            }
            let number = bandwidth.stamp(1_200, packet % 14 == 13 || packet + 1 == packets, now);
            if packet % 14 == 0 {
                bandwidth.left(number, true, now);
            }
        }
        // The first number it tells of.
        out[12..14].copy_from_slice(&base.to_be_bytes());
        for packet in rtcp::packets(black_box(&out[..len])) {
            let Ok(RtcpPacket::TransportFeedback(feedback)) = packet else { panic!("it is feedback") };
            black_box(bandwidth.transport_feedback(&feedback, time * 100_000, now));
        }
        black_box(bandwidth.decide(&place, now));
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let Some(name) = arguments.next() else {
        WORK.iter().for_each(|(name, _)| println!("{name}"));
        return;
    };
    let times = arguments.next().and_then(|times| times.parse().ok()).expect("a number of times");
    let (_, work) = WORK.iter().find(|(known, _)| *known == name).expect("one of the names printed without arguments");
    work(times);
}
