//! Turns an offer's text into an answer's text and the description for the worker.

use super::local::LocalParameters;
use super::negotiate::negotiate;
use super::offer::Offer;
use super::refused::SdpRefused;
use super::write;
use crate::description::{Description, Direction};

/// What was negotiated, for the worker and for the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// For the worker.
    pub description: Description,
    /// For the peer: the body of the `201` response, `application/sdp`.
    pub sdp: String,
}

/// Answers an offer.
///
/// `fresh_ssrc` returns random 32-bit numbers. It is called at most four times, and for a viewer's answer only. A
/// number that is 0, or that this answer already uses, is replaced by the next free one.
///
/// # Errors
/// What is wrong with the offer, or why it is not served. No input causes a panic.
pub fn answer(
    offer: &str,
    direction: Direction,
    local: &LocalParameters<'_>,
    fresh_ssrc: &mut dyn FnMut() -> u32,
) -> Result<Answer, SdpRefused> {
    let offer = Offer::parse(offer)?;
    let agreement = negotiate(&offer, direction, local, fresh_ssrc)?;
    let sdp = write::answer(&offer, &agreement, local);
    Ok(Answer { description: agreement.description, sdp })
}
