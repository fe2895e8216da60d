//! Corecast: a WebRTC broadcast edge.

#![allow(missing_docs)]

pub mod limits;
pub mod net;
pub mod session;
pub mod signal;
pub mod time;
pub mod wire;
pub mod worker;
