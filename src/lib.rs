//! Corecast: a WebRTC broadcast edge.

#![allow(missing_docs)]

pub mod crypto;
pub mod dtls;
pub mod ice;
pub mod limits;
pub mod net;
pub mod placement;
pub mod relay;
pub mod session;
pub mod srtp;
pub mod time;
pub mod wire;
pub mod worker;
