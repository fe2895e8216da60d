//! The publisher's side: whose packet it is, what of it is forwarded, and what the publisher is told.

pub mod arrival_clock;
pub mod arrivals;
pub mod ceiling;
pub mod meter;
pub mod numbering;
pub mod padding;
pub mod parameter_sets;
pub mod publication;
pub mod reception;
pub mod round_trip;
mod source;
