//! An offer's text in, an answer's text and the description for the worker out.

use super::local::LocalParameters;
use super::negotiate::negotiate;
use super::offer::Offer;
use super::refused::SdpRefused;
use super::write;
use crate::description::{Description, Direction};

/// What was agreed, for a worker and for the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// For the worker.
    pub description: Description,
    /// For the peer: the body of the `201` response, `application/sdp`.
    pub sdp: String,
}

/// Answers an offer.
///
/// `fresh_ssrc` gives random 32-bit numbers; it is asked at most four times, for a viewer's answer only. What it
/// gives is made different from the SSRCs already given in this answer and never 0.
///
/// # Errors
/// What is wrong with the offer, or why it is not served. No input panics.
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
