//! What is fuzzed: one file per target, each with `run` (what must hold for any bytes) and `seeds` (where to begin).
//!
//! The same functions are driven by libFuzzer (`tests/fuzz/run`) and by `cargo test` (`tests/fuzz_corpora.rs`), which
//! replays everything in `corpus/` and `crashes/` and mutates it a little. A target asserts properties: what is written
//! reads back, nothing is accepted twice, outputs and memory stay within [`corecast::limits`]. A panic anywhere is a
//! finding, also one that production would catch.
//!
//! A target that takes several steps reads them with [`script::Script`]; the others take the bytes as they are.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "shared by two crates, each uses its part")]

pub mod bandwidth;
pub mod codec;
pub mod config;
pub mod data;
pub mod demux;
pub mod dtls;
#[path = "../../dtls_support/mod.rs"]
mod dtls_support;
pub mod front;
pub mod http;
pub mod http2;
pub mod lane;
pub mod memory;
pub mod pairs;
pub mod relay;
pub mod rtcp;
pub mod rtp;
pub mod script;
pub mod sdp;
pub mod session;
pub mod srtp;
pub mod stun;
pub mod turn;
pub mod websocket;
#[path = "../../worker_support/mod.rs"]
mod worker_support;

/// A named seed.
pub type Seed = (String, Vec<u8>);

/// One target.
pub struct Target {
    /// Its name: of its file, its binary, its directories.
    pub name: &'static str,
    /// Runs one input; panics where a property does not hold.
    pub run: fn(&[u8]),
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Seed>,
    /// Mutations that `cargo test` tries: some tenths of a second.
    pub mutations: u32,
}

/// Every target.
pub const ALL: &[Target] = &[
    Target { name: "stun", run: stun::run, seeds: stun::seeds, mutations: 20_000 },
    Target { name: "rtp", run: rtp::run, seeds: rtp::seeds, mutations: 40_000 },
    Target { name: "rtcp", run: rtcp::run, seeds: rtcp::seeds, mutations: 20_000 },
    Target { name: "demux", run: demux::run, seeds: demux::seeds, mutations: 40_000 },
    Target { name: "codec", run: codec::run, seeds: codec::seeds, mutations: 20_000 },
    Target { name: "bandwidth", run: bandwidth::run, seeds: bandwidth::seeds, mutations: 5_000 },
    Target { name: "lane", run: lane::run, seeds: lane::seeds, mutations: 2_000 },
    Target { name: "srtp", run: srtp::run, seeds: srtp::seeds, mutations: 5_000 },
    Target { name: "sdp", run: sdp::run, seeds: sdp::seeds, mutations: 1_000 },
    Target { name: "config", run: config::run, seeds: config::seeds, mutations: 2_000 },
    Target { name: "data", run: data::run, seeds: data::seeds, mutations: 1_000 },
    Target { name: "dtls", run: dtls::run, seeds: dtls::seeds, mutations: 100 },
    Target { name: "relay", run: relay::run, seeds: relay::seeds, mutations: 100 },
    Target { name: "session", run: session::run, seeds: session::seeds, mutations: 20 },
    Target { name: "http", run: http::run, seeds: http::seeds, mutations: 50 },
    Target { name: "turn", run: turn::run, seeds: turn::seeds, mutations: 10_000 },
    Target { name: "pairs", run: pairs::run, seeds: pairs::seeds, mutations: 20 },
    Target { name: "http2", run: http2::run, seeds: http2::seeds, mutations: 60 },
    Target { name: "websocket", run: websocket::run, seeds: websocket::seeds, mutations: 100 },
];
