//! Known bytes, refusals, and write ∘ parse of every packet type.

use proptest::prelude::*;

use super::full_intra_request::FirEntry;
use super::sender_report::SenderInfo;
use super::transport_feedback::{FeedbackHeader, TransportFeedback, quantise};
use super::*;
use crate::time::NtpTime;

fn only(bytes: &[u8]) -> RtcpPacket<'_> {
    let mut packets = packets(bytes);
    let packet = packets.next().expect("a packet").expect("a good packet");
    assert_eq!(packets.next(), None);
    packet
}

macro_rules! only {
    ($kind:ident, $bytes:expr) => {
        match only($bytes) {
            RtcpPacket::$kind(packet) => packet,
            other => panic!("{other:?}"),
        }
    };
}

fn feedback(bytes: &[u8]) -> (TransportFeedback<'_>, Vec<(u16, Option<i16>)>) {
    let feedback = only!(TransportFeedback, bytes);
    (feedback, feedback.statuses().collect())
}

#[test]
fn cumulative_loss_is_24_bits_with_sign() {
    // RFC 3550 §6.4.1 and §A.3: clamped at both ends.
    for (lost, read) in [(0, 0), (-1, -1), (0x7f_ffff, 0x7f_ffff), (-0x80_0000, -0x80_0000), (i32::MAX, 0x7f_ffff)] {
        let block = ReportBlock { cumulative_lost: lost, fraction_lost: 255, ..ReportBlock::default() };
        let mut out = [0; 64];
        let len = receiver_report::write(&mut out, 7, &[block]).unwrap();
        let report = only!(ReceiverReport, &out[..len]).reports.next().unwrap();
        assert_eq!((report.cumulative_lost, report.fraction_lost), (read, 255));
    }
}

#[test]
fn profile_specific_extensions_of_reports_are_skipped() {
    let mut out = [0; 64];
    let len = receiver_report::write(&mut out, 7, &[ReportBlock::default()]).unwrap();
    out[3] += 2;
    assert_eq!(only!(ReceiverReport, &out[..len + 8]).reports.count(), 1);
}

#[test]
fn a_compound_is_walked_to_its_end() {
    let mut out = [0; 256];
    let info = SenderInfo { ntp: NtpTime(0x0102_0304_0506_0708), rtp_timestamp: 9, packet_count: 10, octet_count: 11 };
    let mut len = sender_report::write(&mut out, 1, &info, &[]).unwrap();
    len += source_description::write(&mut out[len..], 1, "name").unwrap();
    len += goodbye::write(&mut out[len..], &[1, 2], Some("done")).unwrap();
    let kinds: Vec<_> = packets(&out[..len]).map(Result::unwrap).collect();
    let [RtcpPacket::SenderReport(report), RtcpPacket::SourceDescription(description), RtcpPacket::Goodbye(goodbye)] =
        kinds[..]
    else {
        panic!("{kinds:?}")
    };
    assert_eq!((report.ssrc, report.info), (1, info));
    assert_eq!(description.chunks().next().unwrap().cname(), Some(&b"name"[..]));
    assert_eq!(goodbye.sources().collect::<Vec<_>>(), [1, 2]);
    assert_eq!(goodbye.reason, Some(&b"done"[..]));
}

#[test]
fn a_reduced_size_packet_stands_alone() {
    // RFC 5506 §3.4.1.
    let mut out = [0; 16];
    let len = picture_loss_indication::write(&mut out, 1, 2).unwrap();
    assert_eq!(out[..len], [0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]);
    let pli = only!(PictureLossIndication, &out[..len]);
    assert_eq!((pli.sender_ssrc, pli.media_ssrc), (1, 2));
}

#[test]
fn an_unknown_or_malformed_packet_does_not_hide_the_next() {
    let mut out = vec![0x80, 204, 0, 1, 1, 2, 3, 4]; // APP
    out.extend([0x81, 205, 0, 1, 0, 0, 0, 1]); // a NACK without entries
    out.extend([0x8f, 206, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, b'O', b'T', b'H', b'R']);
    out.extend([0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]);
    let read: Vec<_> = packets(&out).collect();
    assert!(matches!(read[0], Ok(RtcpPacket::Unknown(RtcpFrame { packet_type: 204, body: [1, 2, 3, 4], .. }))));
    assert_eq!(read[1], Err(RtcpError::Malformed { packet_type: 205 }));
    assert!(matches!(read[2], Ok(RtcpPacket::Unknown(RtcpFrame { packet_type: 206, count: 15, .. }))));
    assert!(matches!(read[3], Ok(RtcpPacket::PictureLossIndication(_))));
    assert_eq!(read.len(), 4);
}

#[test]
fn a_wrong_header_ends_the_walk() {
    let good = [0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2];
    for (tail, error) in [
        (&[0x81, 206, 0, 2, 0, 0, 0, 1][..], RtcpError::Truncated),
        (&[0x81, 206][..], RtcpError::Truncated),
        (&[0x41, 206, 0, 0, 0x81, 206, 0, 0][..], RtcpError::Version),
        (&[0xa1, 206, 0, 1, 0, 0, 0, 0, 0x81, 206, 0, 0][..], RtcpError::Padding),
        (&[0xa1, 206, 0, 1, 0, 0, 0, 5, 0x81, 206, 0, 0][..], RtcpError::Padding),
    ] {
        let bytes = [&good[..], tail].concat();
        let read: Vec<_> = packets(&bytes).collect();
        assert!(
            matches!(read[..], [Ok(RtcpPacket::PictureLossIndication(_)), Err(found)] if found == error),
            "{read:?}"
        );
    }
}

#[test]
fn padding_is_taken_off() {
    // RFC 3550 §6.4.1; by one byte as libwebrtc does in transport feedback.
    let bytes = [0xa1, 203, 0, 2, 0, 0, 0, 9, 2, b'o', b'k', 1];
    assert_eq!(only!(Goodbye, &bytes).reason, Some(&b"ok"[..]));
    let bytes = [0xa1, 203, 0, 2, 0, 0, 0, 9, 0, 0, 0, 4];
    assert_eq!(only!(Goodbye, &bytes).reason, None);
}

#[test]
fn several_chunks_and_items_of_a_source_description_are_read() {
    let mut bytes = vec![0x82, 202, 0, 0];
    bytes.extend([0, 0, 0, 1, 1, 1, b'a', 2, 2, b'b', b'c', 0]); // ends exactly at the boundary
    bytes.extend([0, 0, 0, 2, 1, 2, b'd', b'e', 0, 0, 0, 0]); // a whole word of nulls
    bytes[3] = 6;
    let description = only!(SourceDescription, &bytes);
    let read: Vec<_> = description.chunks().map(|chunk| (chunk.ssrc, chunk.cname(), chunk.items().count())).collect();
    assert_eq!(read, [(1, Some(&b"a"[..]), 2), (2, Some(&b"de"[..]), 1)]);

    // The count says three.
    bytes[0] = 0x83;
    assert_eq!(packets(&bytes).next(), Some(Err(RtcpError::Malformed { packet_type: 202 })));
}

#[test]
fn nack_packs_17_sequence_numbers_into_an_entry() {
    // RFC 4585 §6.2.1.
    let mut out = [0; 64];
    let sequences: Vec<u16> = (0..17).chain([20, 36, 37]).map(|n: u16| n.wrapping_add(65_530)).collect();
    let len = nack::write(&mut out, 1, 2, &sequences).unwrap();
    assert_eq!(out[12..len], [0xff, 0xfa, 0xff, 0xff, 0, 14, 0x80, 0, 0, 31, 0, 0]);
    let nack = only!(Nack, &out[..len]);
    assert_eq!((nack.sender_ssrc, nack.media_ssrc), (1, 2));
    assert_eq!(nack.sequences().collect::<Vec<_>>(), sequences);
    assert_eq!(nack::write(&mut out, 1, 2, &[]), None);
    let len = nack::write(&mut out, 1, 2, &[5, 5, 6]).unwrap();
    assert_eq!(out[12..len], [0, 5, 0, 1], "a repetition is not sent");
    let len = nack::write(&mut out, 1, 2, &sequences).unwrap();
    assert_eq!(nack::write(&mut out[..len - 1], 1, 2, &sequences), None);
}

#[test]
fn remb_bitrates_keep_18_bits() {
    let mut out = [0; 64];
    for (bitrate_bps, read) in [
        (0, 0),
        (2_500_000, 2_500_000),
        ((1 << 18) - 1, (1 << 18) - 1),
        ((1 << 18) + 1, 1 << 18),
        (u64::MAX, u64::MAX >> 46 << 46),
    ] {
        let len = remb::write(&mut out, 1, bitrate_bps, &[7, 8]).unwrap();
        let remb = only!(Remb, &out[..len]);
        assert_eq!((remb.bitrate_bps, remb.sender_ssrc), (read, 1));
        assert_eq!(remb.sources().collect::<Vec<_>>(), [7, 8]);
    }
    // An exponent of 63 with a full mantissa is beyond 64 bits.
    out[17..20].fill(0xff);
    let remb = only!(Remb, &out[..28]);
    assert_eq!(remb.bitrate_bps, u64::MAX);
}

#[test]
fn transport_feedback_uses_the_draft_s_layout() {
    // draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1: one received at 1 ms, one lost, one 64 ms later,
    // which needs a large delta and so a two-bit vector.
    let header = FeedbackHeader {
        sender_ssrc: 1,
        media_ssrc: 2,
        base_sequence: 0x1234,
        reference_time: 0x56_789a,
        feedback_count: 3,
    };
    let mut out = [0xff; 64];
    let written = transport_feedback::write(&mut out, &header, &[Some(4), None, Some(256)]).unwrap();
    #[rustfmt::skip]
    assert_eq!(out[..written.len], [
        0x8f, 205, 0, 6, 0, 0, 0, 1, 0, 0, 0, 2,
        0x12, 0x34, 0, 3, 0x56, 0x78, 0x9a, 3,
        0b1101_0010, 0, 4, 0x01, 0x00, 0, 0, 0,
    ]);
    let (read, statuses) = feedback(&out[..written.len]);
    assert_eq!(read.header, header);
    assert_eq!(statuses, [(0x1234, Some(4)), (0x1235, None), (0x1236, Some(256))]);
}

#[test]
fn transport_feedback_chooses_the_shortest_chunk() {
    let header = FeedbackHeader { base_sequence: 65_535, ..FeedbackHeader::default() };
    let mut out = [0; 1_200];
    let mut chunk_of = |statuses: &[Option<i16>]| {
        let written = transport_feedback::write(&mut out, &header, statuses).unwrap();
        assert_eq!(written.statuses, statuses.len());
        let read: Vec<_> = feedback(&out[..written.len]).1.into_iter().map(|(_, delta)| delta).collect();
        assert_eq!(read, statuses);
        u16::from_be_bytes([out[20], out[21]])
    };
    assert_eq!(chunk_of(&[Some(1); 100]), 0x2000 | 100);
    assert_eq!(chunk_of(&[None; 5_000]), 5_000);
    assert_eq!(chunk_of(&[Some(-1); 20]), 0x4000 | 20);
    let mut one_bit = [Some(1); 14];
    one_bit[13] = None;
    assert_eq!(chunk_of(&one_bit), 0b1011_1111_1111_1110);
    one_bit[3] = Some(256);
    assert_eq!(chunk_of(&one_bit), 0b1101_0101_1001_0101);
}

#[test]
fn transport_feedback_that_does_not_fit_is_split() {
    let statuses: Vec<Option<i16>> = (0..3_000).map(|n| (n % 3 != 0).then_some(n)).collect();
    let mut out = [0; 1_200];
    let (mut sent, mut read) = (0, Vec::new());
    while sent < statuses.len() {
        let header = FeedbackHeader { base_sequence: sent as u16, ..FeedbackHeader::default() };
        let written = transport_feedback::write(&mut out, &header, &statuses[sent..]).unwrap();
        assert!(written.len <= out.len() && written.statuses > 0);
        sent += written.statuses;
        read.extend(feedback(&out[..written.len]).1);
    }
    let expected: Vec<_> = statuses.iter().enumerate().map(|(n, &status)| (n as u16, status)).collect();
    assert_eq!(read, expected);
    for len in [0, 19, 20, 23] {
        assert_eq!(transport_feedback::write(&mut out[..len], &FeedbackHeader::default(), &[None]), None);
    }
    // What just fits is not split.
    let written = transport_feedback::write(&mut out[..24], &FeedbackHeader::default(), &[Some(1), Some(1)]).unwrap();
    assert_eq!((written.len, written.statuses), (24, 2));
    assert_eq!(transport_feedback::write(&mut out, &FeedbackHeader::default(), &[]), None);
}

#[test]
fn transport_feedback_with_missing_deltas_or_reserved_symbols_is_refused() {
    let fixed = [0x8f, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0];
    let with = |tail: [u8; 10]| packets(&[&fixed[..], &tail].concat()).next().unwrap().map(drop);
    let refused = Err(RtcpError::Malformed { packet_type: 205 });
    assert_eq!(with([0, 2, 0, 0, 0, 0, 0x20, 2, 1, 1]), Ok(()));
    assert_eq!(with([0, 3, 0, 0, 0, 0, 0x20, 3, 1, 1]), refused); // three deltas, two bytes
    assert_eq!(with([0, 2, 0, 0, 0, 0, 0x60, 2, 1, 1]), refused); // symbol 3
    assert_eq!(with([0, 2, 0, 0, 0, 0, 0x20, 0, 1, 1]), refused); // a run of none
    assert_eq!(with([0, 9, 0, 0, 0, 0, 0x00, 4, 0, 4]), refused); // chunks for eight
    assert_eq!(with([0, 8, 0, 0, 0, 0, 0x00, 4, 0, 9]), Ok(())); // the last run is longer than needed
}

#[test]
fn quantised_times_do_not_drift() {
    // Arrivals 0.9 ticks apart: rounded differences would say no time passes at all.
    let arrivals: Vec<Option<u64>> = (0..1_000).map(|n| Some(7_000_000_000 + n * 225)).collect();
    let mut statuses = vec![None; 1_000];
    let quantised = quantise(&arrivals, &mut statuses);
    assert_eq!(quantised.statuses, 1_000);
    let total: i64 = statuses.iter().flatten().map(|&delta| i64::from(delta)).sum();
    let read_us = (i64::from(quantised.reference_time) * 256 + total) * 250;
    let sent_us = i64::try_from(arrivals[999].unwrap()).unwrap();
    assert!((sent_us - read_us) < 250 && sent_us >= read_us);
}

#[test]
fn quantise_stops_where_a_delta_does_not_fit() {
    let mut statuses = [None; 4];
    // Reordered arrivals give negative deltas; 9 s is more than 16 bits of 250 µs.
    let arrivals = [Some(128_000), None, Some(127_000), Some(9_200_000)];
    let quantised = quantise(&arrivals, &mut statuses);
    assert_eq!((quantised.reference_time, quantised.statuses), (2, 3));
    assert_eq!(statuses[..3], [Some(0), None, Some(-4)]);
    assert_eq!(quantise(&[None, None], &mut statuses).statuses, 2);
}

/// Walks everything a compound offers.
fn read_everything(bytes: &[u8]) {
    for packet in packets(bytes).flatten() {
        match packet {
            RtcpPacket::SenderReport(packet) => drop(packet.reports.count()),
            RtcpPacket::ReceiverReport(packet) => drop(packet.reports.count()),
            RtcpPacket::SourceDescription(packet) => {
                packet.chunks().for_each(|chunk| assert!(chunk.items().count() <= bytes.len()))
            }
            RtcpPacket::Goodbye(packet) => drop(packet.sources().count()),
            RtcpPacket::Nack(packet) => assert!(packet.sequences().count() <= bytes.len() / 4 * 17),
            RtcpPacket::TransportFeedback(packet) => {
                assert_eq!(packet.statuses().count(), usize::from(packet.status_count));
            }
            RtcpPacket::FullIntraRequest(packet) => drop(packet.entries().count()),
            RtcpPacket::Remb(packet) => drop(packet.sources().count()),
            RtcpPacket::PictureLossIndication(_) | RtcpPacket::Unknown(_) => {}
        }
    }
}

fn report_block() -> impl Strategy<Value = ReportBlock> {
    let fields = (any::<[u32; 3]>(), any::<u8>(), -0x80_0000_i32..=0x7f_ffff, any::<[u32; 2]>());
    fields.prop_map(|([ssrc, highest_sequence, jitter], fraction_lost, cumulative_lost, [lsr, dlsr])| ReportBlock {
        ssrc,
        fraction_lost,
        cumulative_lost,
        highest_sequence,
        jitter,
        last_sender_report: lsr,
        delay_since_last_sender_report: dlsr,
    })
}

fn status() -> impl Strategy<Value = Option<i16>> {
    prop_oneof![3 => Just(None), 6 => (0_i16..256).prop_map(Some), 1 => any::<i16>().prop_map(Some)]
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        read_everything(&bytes);
    }

    #[test]
    fn any_bodies_are_read_without_panic(
        frames in prop::collection::vec(
            (0x80_u8..=0xbf, 200_u8..=206, prop::collection::vec(any::<u8>(), 0..64)),
            1..6,
        ),
        format in prop_oneof![Just(None), Just(Some(1_u8)), Just(Some(4)), Just(Some(15))],
    ) {
        let mut bytes = Vec::new();
        for (flags, packet_type, mut body) in frames {
            body.truncate(body.len() & !3);
            let flags = format.map_or(flags, |format| flags & 0xe0 | format);
            bytes.extend([flags, packet_type, 0, (body.len() / 4) as u8]);
            bytes.extend(body);
        }
        read_everything(&bytes);
    }

    #[test]
    fn a_sender_report_reads_back(
        ssrc: u32,
        ntp: u64,
        (rtp_timestamp, packet_count, octet_count) in any::<(u32, u32, u32)>(),
        blocks in prop::collection::vec(report_block(), 0..=31),
    ) {
        let info = SenderInfo { ntp: NtpTime(ntp), rtp_timestamp, packet_count, octet_count };
        let mut out = [0; 1_024];
        let len = sender_report::write(&mut out, ssrc, &info, &blocks).unwrap();
        let report = only!(SenderReport, &out[..len]);
        prop_assert_eq!((report.ssrc, report.info), (ssrc, info));
        prop_assert_eq!(report.reports.collect::<Vec<_>>(), blocks);
    }

    #[test]
    fn a_receiver_report_reads_back(ssrc: u32, blocks in prop::collection::vec(report_block(), 0..=33)) {
        let mut out = [0; 1_024];
        let len = receiver_report::write(&mut out, ssrc, &blocks);
        prop_assert_eq!(len.is_some(), blocks.len() <= 31);
        let Some(len) = len else { return Ok(()) };
        let report = only!(ReceiverReport, &out[..len]);
        prop_assert_eq!(report.ssrc, ssrc);
        prop_assert_eq!(report.reports.collect::<Vec<_>>(), blocks);
    }

    #[test]
    fn a_source_description_reads_back(ssrc: u32, cname in "[ -~]{0,255}") {
        let mut out = [0xff; 300];
        let len = source_description::write(&mut out, ssrc, &cname).unwrap();
        let description = only!(SourceDescription, &out[..len]);
        let read: Vec<_> = description.chunks().map(|chunk| (chunk.ssrc, chunk.cname())).collect();
        prop_assert_eq!(read, [(ssrc, Some(cname.as_bytes()))]);
    }

    #[test]
    fn a_goodbye_reads_back(sources in prop::collection::vec(any::<u32>(), 0..=31), reason in "[ -~]{0,255}") {
        let mut out = [0xff; 512];
        let len = goodbye::write(&mut out, &sources, Some(&reason)).unwrap();
        let goodbye = only!(Goodbye, &out[..len]);
        prop_assert_eq!(goodbye.sources().collect::<Vec<_>>(), sources);
        prop_assert_eq!(goodbye.reason, Some(reason.as_bytes()));
    }

    #[test]
    fn a_nack_reads_back(
        (sender_ssrc, media_ssrc, first) in any::<(u32, u32, u16)>(),
        steps in prop::collection::vec(prop_oneof![4 => 1_u16..20, 1 => 1_u16..2_000], 0..20),
    ) {
        let mut sequences = vec![first];
        for step in steps {
            sequences.push(sequences.last().unwrap().wrapping_add(step));
        }
        let mut out = [0; 256];
        let len = nack::write(&mut out, sender_ssrc, media_ssrc, &sequences).unwrap();
        let nack = only!(Nack, &out[..len]);
        prop_assert_eq!((nack.sender_ssrc, nack.media_ssrc), (sender_ssrc, media_ssrc));
        prop_assert_eq!(nack.sequences().collect::<Vec<_>>(), sequences);
    }

    #[test]
    fn a_picture_loss_indication_reads_back(sender_ssrc: u32, media_ssrc: u32) {
        let mut out = [0; 12];
        let len = picture_loss_indication::write(&mut out, sender_ssrc, media_ssrc).unwrap();
        let pli = only!(PictureLossIndication, &out[..len]);
        prop_assert_eq!((pli.sender_ssrc, pli.media_ssrc), (sender_ssrc, media_ssrc));
    }

    #[test]
    fn a_full_intra_request_reads_back(sender_ssrc: u32, fields in prop::collection::vec(any::<(u32, u8)>(), 1..9)) {
        let entries: Vec<FirEntry> =
            fields.into_iter().map(|(ssrc, command_sequence)| FirEntry { ssrc, command_sequence }).collect();
        let mut out = [0; 128];
        let len = full_intra_request::write(&mut out, sender_ssrc, &entries).unwrap();
        let fir = only!(FullIntraRequest, &out[..len]);
        prop_assert_eq!(fir.sender_ssrc, sender_ssrc);
        prop_assert_eq!(fir.entries().collect::<Vec<_>>(), entries);
    }

    #[test]
    fn a_remb_reads_back(
        sender_ssrc: u32,
        (mantissa, exponent) in (0_u64..1 << 18, 0_u32..=46),
        sources in prop::collection::vec(any::<u32>(), 0..=255),
    ) {
        let mut out = [0; 2_048];
        let len = remb::write(&mut out, sender_ssrc, mantissa << exponent, &sources).unwrap();
        let remb = only!(Remb, &out[..len]);
        prop_assert_eq!((remb.sender_ssrc, remb.bitrate_bps), (sender_ssrc, mantissa << exponent));
        prop_assert_eq!(remb.sources().collect::<Vec<_>>(), sources);
    }

    #[test]
    fn a_transport_feedback_reads_back(
        (sender_ssrc, media_ssrc, base_sequence, feedback_count) in any::<(u32, u32, u16, u8)>(),
        reference_time in 0_u32..1 << 24,
        runs in prop::collection::vec((status(), 1_usize..40), 1..40),
    ) {
        let header = FeedbackHeader { sender_ssrc, media_ssrc, base_sequence, reference_time, feedback_count };
        let statuses: Vec<Option<i16>> =
            runs.into_iter().flat_map(|(status, len)| std::iter::repeat_n(status, len)).collect();
        let mut out = [0; 1_200];
        let written = transport_feedback::write(&mut out, &header, &statuses).unwrap();
        prop_assert!(written.statuses >= statuses.len().min(300), "{} of {}", written.statuses, statuses.len());
        let (read, read_statuses) = feedback(&out[..written.len]);
        prop_assert_eq!(read.header, header);
        let expected: Vec<_> = statuses[..written.statuses]
            .iter()
            .enumerate()
            .map(|(n, &status)| (base_sequence.wrapping_add(n as u16), status))
            .collect();
        prop_assert_eq!(read_statuses, expected);
    }

    #[test]
    fn a_packet_that_does_not_fit_is_not_written(len in 0_usize..24) {
        let mut out = vec![0; len];
        prop_assert_eq!(picture_loss_indication::write(&mut out, 1, 2).is_some(), len >= 12);
        prop_assert_eq!(receiver_report::write(&mut out, 1, &[]).is_some(), len >= 8);
        prop_assert_eq!(goodbye::write(&mut out, &[1], None).is_some(), len >= 8);
        prop_assert_eq!(nack::write(&mut out, 1, 2, &[3]).is_some(), len >= 16);
        prop_assert_eq!(source_description::write(&mut out, 1, "abc").is_some(), len >= 16);
        prop_assert_eq!(remb::write(&mut out, 1, 2, &[]).is_some(), len >= 20);
        let entry = FirEntry { ssrc: 1, command_sequence: 2 };
        prop_assert_eq!(full_intra_request::write(&mut out, 1, &[entry]).is_some(), len >= 20);
        prop_assert!(sender_report::write(&mut out, 1, &SenderInfo::default(), &[]).is_none());
    }
}
