//! Logs: session events, written to standard error as text or JSON by a thread of their own ([`super::log_queue`]).
//! Events per packet are counted, not logged.
//!
//! Tokens, keys and ICE credentials are never logged. Of a client's address only the network is logged, unless
//! `log.addresses` is set.

use std::io::{IsTerminal as _, stderr};

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry, fmt, reload};

use super::log_queue;
use crate::config::{Log, LogFormat};

/// Changes the level of the running log.
pub(super) struct LevelHandle(reload::Handle<Targets, Registry>);

impl LevelHandle {
    pub(super) fn set(&self, level: Level) {
        // An error means that this is not the process' log (tests).
        let _ = self.0.reload(filter(level));
    }
}

/// Libraries log only what may need an operator, at every level, because their traces may hold addresses and
/// credentials. rustls also warns about peers' actions (one line for each refused renegotiation); those lines are
/// dropped, because no peer may choose how much is logged. dcsctp says nothing but what peers do.
fn filter(level: Level) -> Targets {
    let libraries = Targets::new().with_default(LevelFilter::WARN).with_target("rustls", LevelFilter::ERROR);
    libraries.with_target("dcsctp", LevelFilter::OFF).with_target("corecast", level)
}

/// Starts logging for the process. A second call (in tests) changes nothing. A line that cannot be written is lost
/// silently: the layer would report it to standard error, which has just failed, and that report panics.
pub(super) fn init(log: Log) -> LevelHandle {
    let (filter, handle) = reload::Layer::new(filter(log.level));
    let subscriber = tracing_subscriber::registry();
    let started = match log.format {
        LogFormat::Text => {
            let text =
                fmt::layer().with_writer(log_queue::of_process()).with_target(false).with_ansi(stderr().is_terminal());
            subscriber.with(text.log_internal_errors(false).with_filter(filter)).try_init()
        }
        LogFormat::Json => {
            let json = fmt::layer().json().with_writer(log_queue::of_process());
            subscriber.with(json.log_internal_errors(false).with_filter(filter)).try_init()
        }
    };
    drop(started);
    LevelHandle(handle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_is_this_programs_only_and_no_peer_causes_a_line() {
        for level in [Level::ERROR, Level::INFO, Level::TRACE] {
            let filter = filter(level);
            assert!(filter.would_enable("corecast::signal", &level), "{level}");
            assert!(!filter.would_enable("hyper::proto", &Level::INFO) && filter.would_enable("glommio", &Level::WARN));
            assert!(!filter.would_enable("dcsctp::socket::data", &Level::ERROR));
            assert!(!filter.would_enable("rustls::conn", &Level::WARN) && filter.would_enable("rustls", &Level::ERROR));
        }
        assert!(!filter(Level::INFO).would_enable("corecast", &Level::DEBUG));
    }
}
