//! What a round sends, in this order.
//!
//! | File | What |
//! |---|---|
//! | [`publisher_feedback`] | NACKs, arrival times and receiver reports, by a publisher's timer |
//! | [`ladder`] | viewers of encodings that stop or come back go over to others |
//! | [`demand`] | which encodings of streams that are published elsewhere are wanted here |
//! | [`key_frame_requests`] | what viewers here and elsewhere wait for |
//! | [`replay`] | other workers are given what came since the newest key frame, where they begin to want it |
//! | [`retransmission`] | packets that viewers asked for again |
//! | [`fan_out`], [`visit`] | encodings take turns; a turn visits cursors, writes headers and seals payloads |
//! | [`payload_type`] | which payload type a viewer is sent; decided before its first visit |
//! | [`adapt`] | what a viewer's network carries decides which encoding it is sent |
//! | [`layers`] | what a viewer is due by its page's wish |
//! | [`layers_told`] | what its page is told |
//! | [`switch`] | a viewer goes over to another encoding of a track |
//! | [`sender_report`] | sender reports, with a viewer's first packet and by its timer |

pub(super) mod adapt;
pub(super) mod demand;
pub(super) mod fan_out;
pub(super) mod key_frame_requests;
pub(super) mod ladder;
pub(super) mod layers;
pub(super) mod layers_told;
mod payload_type;
pub(super) mod publisher_feedback;
pub(super) mod replay;
pub(super) mod retransmission;
pub(super) mod sender_report;
pub(super) mod switch;
mod visit;
