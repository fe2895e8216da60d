//! What is not a packet's business: signalling's requests, deadlines, reports.
//!
//! | File | What |
//! |---|---|
//! | [`messages`] | signalling's requests, one after the other |
//! | [`layers`] | a viewer's page asks for other layers |
//! | [`routes`] | where a stream comes from and who else has viewers of it |
//! | [`reporting`] | the worker's state for an operator |
//! | [`network`] | what a viewer's network carries, for the same |
//! | [`deadlines`] | peers whose time has come: silence, DTLS repetitions, feedback |

pub(super) mod deadlines;
mod layers;
pub(super) mod messages;
mod network;
pub(super) mod reporting;
mod routes;
