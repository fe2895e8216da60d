//! Walks the packets of one RTCP datagram.
//!
//! The packet order that RFC 3550 §6.1 requires in a compound is not enforced, because reduced-size packets (RFC 5506)
//! begin with any type.

use super::full_intra_request::{self, FullIntraRequest};
use super::goodbye::Goodbye;
use super::nack::{self, Nack};
use super::picture_loss_indication::{self, PictureLossIndication};
use super::receiver_report::ReceiverReport;
use super::remb::{self, Remb};
use super::sender_report::SenderReport;
use super::source_description::SourceDescription;
use super::transport_feedback::{self, TransportFeedback};
use super::{RtcpError, RtcpFrame, packet_type};

/// One packet of a compound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RtcpPacket<'a> {
    /// SR
    SenderReport(SenderReport<'a>),
    /// RR
    ReceiverReport(ReceiverReport<'a>),
    /// SDES
    SourceDescription(SourceDescription<'a>),
    /// BYE
    Goodbye(Goodbye<'a>),
    /// Generic NACK
    Nack(Nack<'a>),
    /// Transport-wide congestion control feedback
    TransportFeedback(TransportFeedback<'a>),
    /// PLI
    PictureLossIndication(PictureLossIndication),
    /// FIR
    FullIntraRequest(FullIntraRequest<'a>),
    /// REMB
    Remb(Remb<'a>),
    /// A type or format that is not read here.
    Unknown(RtcpFrame<'a>),
}

impl<'a> RtcpPacket<'a> {
    /// Reads one packet by its type.
    ///
    /// # Errors
    /// [`RtcpError::Malformed`]
    pub fn parse(frame: &RtcpFrame<'a>) -> Result<Self, RtcpError> {
        use packet_type::{
            GOODBYE, PAYLOAD_SPECIFIC_FEEDBACK, RECEIVER_REPORT, SENDER_REPORT, SOURCE_DESCRIPTION,
            TRANSPORT_LAYER_FEEDBACK,
        };
        Ok(match (frame.packet_type, frame.count) {
            (SENDER_REPORT, _) => Self::SenderReport(SenderReport::parse(frame)?),
            (RECEIVER_REPORT, _) => Self::ReceiverReport(ReceiverReport::parse(frame)?),
            (SOURCE_DESCRIPTION, _) => Self::SourceDescription(SourceDescription::parse(frame)?),
            (GOODBYE, _) => Self::Goodbye(Goodbye::parse(frame)?),
            (TRANSPORT_LAYER_FEEDBACK, nack::FORMAT) => Self::Nack(Nack::parse(frame)?),
            (TRANSPORT_LAYER_FEEDBACK, transport_feedback::FORMAT) => {
                Self::TransportFeedback(TransportFeedback::parse(frame)?)
            }
            (PAYLOAD_SPECIFIC_FEEDBACK, picture_loss_indication::FORMAT) => {
                Self::PictureLossIndication(PictureLossIndication::parse(frame)?)
            }
            (PAYLOAD_SPECIFIC_FEEDBACK, full_intra_request::FORMAT) => {
                Self::FullIntraRequest(FullIntraRequest::parse(frame)?)
            }
            (PAYLOAD_SPECIFIC_FEEDBACK, remb::FORMAT) if Remb::is_remb(frame) => Self::Remb(Remb::parse(frame)?),
            _ => Self::Unknown(*frame),
        })
    }
}

/// The packets of a decrypted RTCP datagram, in wire order.
///
/// A packet with malformed contents is one `Err` among the others. One with a malformed header is the last, because the
/// start of the next is then unknown.
#[must_use]
pub const fn packets(datagram: &[u8]) -> Packets<'_> {
    Packets { rest: datagram }
}

/// See [`packets`].
#[derive(Clone, Copy, Debug)]
pub struct Packets<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Packets<'a> {
    type Item = Result<RtcpPacket<'a>, RtcpError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let split = RtcpFrame::split(self.rest);
        self.rest = split.as_ref().map_or(&[], |(_, rest)| rest);
        Some(split.and_then(|(frame, _)| RtcpPacket::parse(&frame)))
    }
}
