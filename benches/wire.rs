//! Reading and writing what every packet passes: RTP headers, STUN checks, RTCP compounds. `cargo bench --bench wire`.

use std::hint::black_box;
use std::time::Duration;

use corecast::wire::codec::{self, Codec};
use corecast::wire::rtcp::{self, ReportBlock, receiver_report, source_description};
use corecast::wire::rtp::{HeaderFields, RtpPacket, write_header};
use corecast::wire::stun::{StunMessage, StunWriter};
use criterion::{Criterion, criterion_group, criterion_main};

const KEY: &[u8] = b"a-password-that-is-long-enough";

fn rtp_packet() -> Vec<u8> {
    let mut packet = vec![7; 1_200];
    let fields = HeaderFields { marker: true, payload_type: 96, sequence: 1, timestamp: 2, ssrc: 3, padding: false };
    write_header(&mut packet, &fields, &[(4, b"1"), (3, &[0, 1])]).expect("a header fits");
    // The first fragment of an IDR slice (RFC 6184 §5.8).
    packet[24..26].copy_from_slice(&[0x7c, 0x85]);
    packet
}

fn check() -> Vec<u8> {
    let mut out = vec![0; 256];
    let len = StunWriter::binding_request(&mut out, &[9; 12])
        .username(b"node:peer")
        .priority(1)
        .ice_controlling(1)
        .use_candidate()
        .integrity(KEY)
        .fingerprint()
        .finish()
        .expect("a check fits");
    out.truncate(len);
    out
}

fn compound() -> Vec<u8> {
    let mut out = vec![0; 256];
    let block = ReportBlock { ssrc: 7, highest_sequence: 9, ..ReportBlock::default() };
    let len = receiver_report::write(&mut out, 1, &[block, block]).expect("a report fits");
    let len = len + source_description::write(&mut out[len..], 1, "a-canonical-name").expect("a name fits");
    out.truncate(len);
    out
}

fn benches(c: &mut Criterion) {
    let packet = rtp_packet();
    c.bench_function("wire/rtp parse with two extensions", |b| {
        b.iter(|| {
            let packet = RtpPacket::parse(black_box(&packet)).expect("it is RTP");
            packet.extensions().map(|(id, value)| usize::from(id) + value.len()).sum::<usize>()
        });
    });
    c.bench_function("wire/rtp write with the mid", |b| {
        let mut slot = [0; 64];
        let fields = HeaderFields { payload_type: 102, ..HeaderFields::default() };
        b.iter(|| write_header(black_box(&mut slot), black_box(&fields), &[(1, b"1")]));
    });
    c.bench_function("wire/h264 key frame or not", |b| {
        b.iter(|| codec::inspect(Codec::H264, black_box(&packet[24..])));
    });
    let check = check();
    c.bench_function("wire/stun parse", |b| {
        b.iter(|| StunMessage::parse(black_box(&check)).expect("it is STUN").username().map(<[u8]>::len))
    });
    c.bench_function("wire/stun parse and verify", |b| {
        b.iter(|| StunMessage::parse(black_box(&check)).expect("it is STUN").verify_integrity(KEY));
    });
    c.bench_function("wire/stun write a signed answer", |b| {
        let mut out = [0; 256];
        b.iter(|| {
            StunWriter::binding_success(black_box(&mut out), &[9; 12])
                .xor_mapped_address(([192, 0, 2, 1], 5_000).into())
                .integrity(KEY)
                .fingerprint()
                .finish()
        });
    });
    let compound = compound();
    c.bench_function("wire/rtcp parse a receiver's compound", |b| {
        b.iter(|| rtcp::packets(black_box(&compound)).filter(Result::is_ok).count());
    });
}

criterion_group! {
    name = wire;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(800));
    targets = benches
}
criterion_main!(wire);
