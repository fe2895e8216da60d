//! Corecast: a WebRTC broadcast edge.

#![allow(missing_docs)]

pub mod crypto;
pub mod dtls;
pub mod ice;
pub mod cli;
pub mod config;
pub mod limits;
pub mod metrics;
pub mod net;
pub mod placement;
pub mod relay;
pub mod session;
pub mod srtp;
pub mod server;
pub mod session;
pub mod signal;
pub mod time;
pub mod web;
pub mod wire;
pub mod worker;
