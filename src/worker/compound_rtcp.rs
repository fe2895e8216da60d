//! The compound RTCP packets a worker sends (RFC 3550 §6.1: a report first, then SDES with the CNAME).

use crate::relay::play::subscription::SenderReportFields;
use crate::relay::publish::arrivals::Feedback;
use crate::wire::rtcp::full_intra_request::FirEntry;
use crate::wire::rtcp::sender_report::SenderInfo;
use crate::wire::rtcp::transport_feedback::FeedbackHeader;
use crate::wire::rtcp::{
    ReportBlock, full_intra_request, goodbye as bye, receiver_report as rr, sender_report as sr, source_description,
    transport_feedback,
};

/// One sender report and one CNAME per stream.
pub(super) fn sender_reports<'a>(
    out: &mut [u8],
    reports: impl Iterator<Item = &'a SenderReportFields>,
    cname: &str,
) -> Option<usize> {
    let mut len = 0;
    for report in reports {
        let info = SenderInfo {
            ntp: report.ntp,
            rtp_timestamp: report.rtp_timestamp,
            packet_count: report.packets,
            octet_count: report.octets,
        };
        len += sr::write(out.get_mut(len..)?, report.ssrc, &info, &[])?;
        len += source_description::write(out.get_mut(len..)?, report.ssrc, cname)?;
    }
    (len > 0).then_some(len)
}

/// A receiver report and the CNAME.
pub(super) fn receiver_report(out: &mut [u8], ssrc: u32, block: &ReportBlock, cname: &str) -> Option<usize> {
    let len = rr::write(out, ssrc, std::slice::from_ref(block))?;
    Some(len + source_description::write(out.get_mut(len..)?, ssrc, cname)?)
}

/// An empty receiver report and BYE (RFC 3550 §6.6) for all of this node's sources towards a peer.
pub(super) fn goodbye(out: &mut [u8], sources: &[u32]) -> Option<usize> {
    let len = rr::write(out, *sources.first()?, &[])?;
    Some(len + bye::write(out.get_mut(len..)?, sources, None)?)
}

/// Arrival times for the publisher's bandwidth estimator.
pub(super) fn arrivals(out: &mut [u8], sender_ssrc: u32, media_ssrc: u32, feedback: &Feedback) -> Option<usize> {
    let header = FeedbackHeader {
        sender_ssrc,
        media_ssrc,
        base_sequence: feedback.base_sequence,
        reference_time: feedback.reference_time_64ms,
        feedback_count: feedback.feedback_count,
    };
    Some(transport_feedback::write(out, &header, &feedback.deltas_250us)?.len)
}

/// A full intra request for one source.
pub(super) fn full_intra_request(out: &mut [u8], sender_ssrc: u32, ssrc: u32, command_sequence: u8) -> Option<usize> {
    full_intra_request::write(out, sender_ssrc, &[FirEntry { ssrc, command_sequence }])
}
