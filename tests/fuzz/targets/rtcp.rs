//! RTCP compounds (RFC 3550 §6, RFC 4585, transport-wide feedback): every packet that is read is written and reads back.

use std::collections::BTreeSet;

use corecast::wire::rtcp::full_intra_request::FirEntry;
use corecast::wire::rtcp::transport_feedback::{self, FeedbackHeader};
use corecast::wire::rtcp::{
    self, ReportBlock, RtcpPacket, full_intra_request, goodbye, nack, picture_loss_indication, receiver_report, remb,
    sender_report, source_description,
};

use super::Seed;

/// Statuses of one feedback packet that are written back; 40 bytes can announce 65,535.
const STATUSES_MAX: usize = 2_000;

pub fn run(data: &[u8]) {
    let mut count = 0;
    for packet in rtcp::packets(data) {
        count += 1;
        if let Ok(packet) = packet {
            round_trip(&packet);
        }
    }
    assert!(count <= data.len() / 4 + 1, "every packet has a header");
}

/// Reads the one packet that `out` begins with.
fn only(out: &[u8], len: Option<usize>) -> RtcpPacket<'_> {
    let len = len.expect("what was read can be written");
    assert_eq!(len % 4, 0);
    let mut packets = rtcp::packets(&out[..len]);
    let packet = packets.next().expect("one packet").expect("what is written is a packet");
    assert!(packets.next().is_none());
    packet
}

fn round_trip(packet: &RtcpPacket<'_>) {
    let mut out = vec![0; 256 * 1024];
    match packet {
        RtcpPacket::SenderReport(report) => {
            let blocks: Vec<ReportBlock> = report.reports.collect();
            let len = sender_report::write(&mut out, report.ssrc, &report.info, &blocks);
            let RtcpPacket::SenderReport(copy) = only(&out, len) else { panic!("another packet") };
            assert_eq!((copy.ssrc, copy.info, copy.reports.collect::<Vec<_>>()), (report.ssrc, report.info, blocks));
        }
        RtcpPacket::ReceiverReport(report) => {
            let blocks: Vec<ReportBlock> = report.reports.collect();
            let len = receiver_report::write(&mut out, report.ssrc, &blocks);
            let RtcpPacket::ReceiverReport(copy) = only(&out, len) else { panic!("another packet") };
            assert_eq!((copy.ssrc, copy.reports.collect::<Vec<_>>()), (report.ssrc, blocks));
        }
        RtcpPacket::SourceDescription(description) => {
            for chunk in description.chunks() {
                assert!(chunk.items().all(|(kind, text)| kind != 0 && text.len() < 256));
                let Some(cname) = chunk.cname().and_then(|cname| std::str::from_utf8(cname).ok()) else { continue };
                let len = source_description::write(&mut out, chunk.ssrc, cname);
                let RtcpPacket::SourceDescription(copy) = only(&out, len) else { panic!("another packet") };
                let copy: Vec<_> = copy.chunks().map(|chunk| (chunk.ssrc, chunk.cname())).collect();
                assert_eq!(copy, [(chunk.ssrc, Some(cname.as_bytes()))]);
            }
        }
        RtcpPacket::Goodbye(goodbye) => {
            let sources: Vec<u32> = goodbye.sources().collect();
            let reason = goodbye.reason.and_then(|reason| std::str::from_utf8(reason).ok());
            let len = goodbye::write(&mut out, &sources, reason);
            let RtcpPacket::Goodbye(copy) = only(&out, len) else { panic!("another packet") };
            assert_eq!(copy.sources().collect::<Vec<_>>(), sources);
            // No reason is written as nothing, which reads back as none or, from the padding, as an empty one.
            assert_eq!(copy.reason.unwrap_or_default(), reason.unwrap_or_default().as_bytes());
        }
        RtcpPacket::Nack(nack) => {
            let sequences: Vec<u16> = nack.sequences().collect();
            let len = nack::write(&mut out, nack.sender_ssrc, nack.media_ssrc, &sequences);
            let RtcpPacket::Nack(copy) = only(&out, len) else { panic!("another packet") };
            assert_eq!((copy.sender_ssrc, copy.media_ssrc), (nack.sender_ssrc, nack.media_ssrc));
            let set = |sequences: &mut dyn Iterator<Item = u16>| sequences.collect::<BTreeSet<u16>>();
            assert_eq!(set(&mut copy.sequences()), set(&mut sequences.into_iter()));
        }
        RtcpPacket::TransportFeedback(feedback) => {
            let statuses: Vec<(u16, Option<i16>)> = feedback.statuses().take(STATUSES_MAX).collect();
            assert_eq!(statuses.len(), usize::from(feedback.status_count).min(STATUSES_MAX));
            let values: Vec<Option<i16>> = statuses.iter().map(|&(_, status)| status).collect();
            let Some(written) = transport_feedback::write(&mut out, &feedback.header, &values) else {
                assert!(values.is_empty());
                return;
            };
            assert_eq!(written.statuses, values.len(), "there is room for all");
            let RtcpPacket::TransportFeedback(copy) = only(&out, Some(written.len)) else { panic!("another packet") };
            assert_eq!(copy.header, feedback.header);
            assert_eq!(copy.statuses().collect::<Vec<_>>(), statuses);
        }
        RtcpPacket::PictureLossIndication(request) => {
            let len = picture_loss_indication::write(&mut out, request.sender_ssrc, request.media_ssrc);
            assert_eq!(only(&out, len), *packet);
        }
        RtcpPacket::FullIntraRequest(request) => {
            let entries: Vec<FirEntry> = request.entries().collect();
            let len = full_intra_request::write(&mut out, request.sender_ssrc, &entries);
            let RtcpPacket::FullIntraRequest(copy) = only(&out, len) else { panic!("another packet") };
            assert_eq!((copy.sender_ssrc, copy.entries().collect::<Vec<_>>()), (request.sender_ssrc, entries));
        }
        RtcpPacket::Remb(estimate) => {
            let sources: Vec<u32> = estimate.sources().collect();
            let len = remb::write(&mut out, estimate.sender_ssrc, estimate.bitrate_bps, &sources);
            let RtcpPacket::Remb(copy) = only(&out, len) else { panic!("another packet") };
            // What does not fit 64 bits reads as the highest number, of which 18 bits are kept.
            assert!(copy.bitrate_bps == estimate.bitrate_bps || estimate.bitrate_bps == u64::MAX);
            assert_eq!((copy.sender_ssrc, copy.sources().collect::<Vec<_>>()), (estimate.sender_ssrc, sources));
        }
        RtcpPacket::Unknown(frame) => assert_eq!(frame.count & !31, 0),
    }
}

/// Writes one packet.
type Write<'a> = &'a dyn Fn(&mut [u8]) -> Option<usize>;

pub fn seeds() -> Vec<Seed> {
    let block = ReportBlock { ssrc: 2, cumulative_lost: -3, highest_sequence: 0x1_0005, ..ReportBlock::default() };
    let made = |writes: &[Write<'_>]| {
        let mut compound = Vec::new();
        for write in writes {
            let mut out = [0; 1_200];
            let len = write(&mut out).expect("room");
            compound.extend_from_slice(&out[..len]);
        }
        compound
    };
    let report = |out: &mut [u8]| sender_report::write(out, 1, &sender_report::SenderInfo::default(), &[block]);
    let received = |out: &mut [u8]| receiver_report::write(out, 1, &[block, block]);
    let named = |out: &mut [u8]| source_description::write(out, 1, "corecast-7");
    let bye = |out: &mut [u8]| goodbye::write(out, &[1, 2, 3], Some("teardown"));
    let missing = |out: &mut [u8]| nack::write(out, 1, 2, &[65_535, 0, 1, 16, 17, 200]);
    let lost = |out: &mut [u8]| picture_loss_indication::write(out, 1, 2);
    let command = |out: &mut [u8]| full_intra_request::write(out, 1, &[FirEntry { ssrc: 2, command_sequence: 255 }; 2]);
    let estimate = |out: &mut [u8]| remb::write(out, 1, 2_500_000, &[1, 2]);
    let header = FeedbackHeader { sender_ssrc: 1, media_ssrc: 2, base_sequence: 65_530, ..FeedbackHeader::default() };
    let mixed = [Some(4), None, Some(-1), Some(255), Some(256), None, None, Some(0), Some(1), Some(-32_768)];
    let one_bit: Vec<Option<i16>> = (0..40).map(|number| (number % 3 > 0).then_some(number)).collect();
    let feedback = |statuses: &[Option<i16>]| {
        let mut out = [0; 1_200];
        let written = transport_feedback::write(&mut out, &header, statuses).expect("room");
        out[..written.len].to_vec()
    };
    // As libwebrtc pads it: the count in the last byte, not a multiple of four.
    let mut padded = feedback(&mixed);
    padded[0] |= 0x20;
    if let Some(last) = padded.last_mut() {
        *last = 1;
    }
    vec![
        ("sender-compound".into(), made(&[&report, &named])),
        ("receiver-compound".into(), made(&[&received, &named, &missing, &lost, &command, &estimate])),
        ("goodbye".into(), made(&[&received, &bye])),
        ("feedback-mixed".into(), feedback(&mixed)),
        ("feedback-one-bit".into(), feedback(&one_bit)),
        ("feedback-run".into(), feedback(&[None; 500])),
        ("feedback-padded".into(), padded),
    ]
}
