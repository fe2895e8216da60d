//! The parts of the node that sockets need.

use std::rc::Rc;

use super::places::SocketPlaces;
use crate::config;
use crate::metrics::SignallingCounters;
use crate::signal::clock::Clock;
use crate::signal::keeper::SessionKeeper;
use crate::signal::live::LiveSettings;
use crate::signal::opening::Opener;
use crate::signal::turn_server::TurnServer;

/// The parts of the node that sockets need.
pub(in crate::signal) struct SocketService {
    pub(in crate::signal) opener: Rc<Opener>,
    pub(in crate::signal) keeper: Rc<SessionKeeper>,
    pub(in crate::signal) settings: Rc<LiveSettings>,
    pub(in crate::signal) places: SocketPlaces,
    /// Bounds of one socket.
    pub(in crate::signal) terms: config::Sockets,
    pub(in crate::signal) counters: SignallingCounters,
    pub(in crate::signal) clock: Clock,
    pub(in crate::signal) node_version: &'static str,
    /// The node's TURN server, which sessions are told of.
    pub(in crate::signal) turn: Option<Rc<TurnServer>>,
}
