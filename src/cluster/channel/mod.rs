//! How the nodes of a cluster speak to each other: HTTP/2 over TLS 1.3, both ends with a certificate, on a port of its own.
//!
//! ```text
//!   ask (node, request) ──▶ dialler ─ directory: where ─▶ connection ═══ TLS ═══▶ listener ─ directory: is it a member ─▶ service
//!                                          ▲                 │   trust: both ends   │
//!                                          │                 └─ LinkSecret, equal ──┘
//!                          identity ◀── cluster.ca, cluster.cert, cluster.key, read again when they change
//! ```
//!
//! | File | Holds |
//! |---|---|
//! | [`name`] | `corecast://CLUSTER/REGION/NODE`, and where a certificate says it |
//! | [`trust`] | the checks of both ends in TLS |
//! | [`identity`], [`for_engine`] | the certificates, and their files; the engine is shown the same |
//! | [`refusal`] | why somebody is refused, and the last refusals |
//! | [`secret`] | what both ends of a connection know |
//! | [`directory`] | what is asked of the directory |
//! | [`listener`], [`places`] | connections that other nodes have made |
//! | [`dialler`], [`connection`] | connections to other nodes |
//! | [`service`], [`body`], [`io`] | requests and answers; streams |
//!
//! # Rules
//!
//! - **A certificate names its node**, and is checked by both ends: the chain by the authorities of `cluster.ca` (several, while one takes
//!   another's place), its time, and its name. Who dials wants exactly the node that it dialled. Who is dialled wants a node of its
//!   cluster that the directory has, in that region: a node that was taken out is refused, whatever its certificate says.
//! - **A refusal is told**: to the other end, in the log (so often), and in [`Channels::refused`] with what the certificate says
//!   and what was expected.
//! - **Certificates are read again** when their files change. New connections use the new ones, those that are there go on. One that
//!   ends only later is not ended by it.
//! - **A lost lease ends no connection**: a node's connections end when the directory has not had it for
//!   [`limits::CHANNEL_GONE_MAX`].
//! - **Everything is bounded**: connections, handshakes at once and from one address, requests, bodies, and all times
//!   ([`crate::limits`]).
//!
//! # Not here
//!
//! What is asked: services are attached with [`Channels::attach`]. Media: it goes by UDP, with keys from [`LinkSecret`]. TLS sessions that
//! are resumed, early data, revocation lists.

mod body;
mod connection;
mod dialler;
pub mod directory;
mod for_engine;
pub mod identity;
mod io;
mod listener;
pub mod name;
mod places;
pub mod refusal;
pub mod secret;
mod service;
mod trust;

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use hyper::{Request, Response};

use self::dialler::Dialler;
use self::directory::Directory;
use self::identity::Identities;
use self::listener::Door;
use self::refusal::{Refusal, Refusals};
use self::service::SaysHello;
use crate::config::host_port::HostPort;
use crate::limits;
use crate::signal::ownership::report::{ChannelReport, RefusalReport};
use crate::signal::runtime::{self, Bound, Task};

pub use secret::LinkSecret;
pub use service::{Peer, Service};

/// An answer of another node.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What it says.
    pub response: Response<Bytes>,
    /// What it and this node know of the connection by which it was asked.
    pub secret: LinkSecret,
}

/// Why there is no answer of another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelError {
    /// The directory has no such node.
    UnknownNode,
    /// It takes no connections of other nodes: it has no certificate.
    NoChannel,
    /// It cannot be reached. The text says why.
    Unreachable(String),
    /// This node refuses its certificate.
    Refused(Refusal),
    /// It refuses this node's certificate.
    RefusedThere(Refusal),
    /// It did not answer in time. Whether it did what was asked is not known.
    NoAnswer,
    /// The connection was lost. Whether it did what was asked is not known.
    Lost,
    /// As many requests to it are under way as may be.
    TooMany,
    /// Its answer could not be read. The text says why.
    Unread(String),
}

impl fmt::Display for ChannelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownNode => f.write_str("the cluster has no such node"),
            Self::NoChannel => {
                f.write_str("it takes no connections of other nodes (cluster.ca, cluster.cert, cluster.key)")
            }
            Self::Unreachable(why) => write!(f, "it cannot be reached: {why}"),
            Self::Refused(refusal) => write!(f, "it is refused: {refusal}"),
            Self::RefusedThere(refusal) => write!(f, "it refuses this node: {refusal}"),
            Self::NoAnswer => f.write_str("it does not answer in time"),
            Self::Lost => f.write_str("the connection was lost"),
            Self::TooMany => f.write_str("too many requests to it are under way"),
            Self::Unread(why) => write!(f, "its answer cannot be read: {why}"),
        }
    }
}

impl std::error::Error for ChannelError {}

/// This node's connections with the others. There is one value per node, on the signalling thread.
pub struct Channels {
    dialler: Rc<Dialler>,
    door: Rc<Door>,
    address: HostPort,
    _tasks: [Task; 2],
}

impl Channels {
    /// Takes connections of other nodes at `bound`, which they reach at `address`, and makes others when something is asked for.
    #[must_use]
    pub fn start(bound: Bound, address: HostPort, identities: Identities, directory: Rc<dyn Directory>) -> Self {
        let refusals: Rc<Refusals> = Rc::default();
        let door = Rc::new(Door {
            identities: identities.clone(),
            directory: directory.clone(),
            refusals: refusals.clone(),
            paths: Rc::default(),
            handshakes: Rc::default(),
            connections: Rc::default(),
            begun: Default::default(),
            bodies: Rc::default(),
            failed: Default::default(),
        });
        let me = identities.me();
        let hello = SaysHello { node: me.node.clone(), region: me.region.clone() };
        door.paths.attach("/hello", Rc::new(hello));
        let dialler = Rc::new(Dialler::new(identities, directory, refusals));
        let tasks = [
            runtime::spawn(listener::accept_loop(bound.listen(), door.clone())),
            runtime::spawn(sweep(door.clone(), dialler.clone())),
        ];
        Self { dialler, door, address, _tasks: tasks }
    }

    /// Has a service answer at a path, which begins with a slash, and below it. It takes the place of one that does.
    pub fn attach(&self, path: &'static str, service: Rc<dyn Service>) {
        self.door.paths.attach(path, service);
    }

    /// Asks a node, and reads the whole answer.
    ///
    /// # Errors
    /// When there is none in [`limits::CHANNEL_ANSWER_TIME_MAX`], of this very node.
    pub async fn ask(&self, node: &str, request: Request<Bytes>) -> Result<Answer, ChannelError> {
        self.ask_within(limits::CHANNEL_ANSWER_TIME_MAX, node, request).await
    }

    /// As [`Self::ask`], in at most so much time.
    ///
    /// # Errors
    /// As there.
    pub async fn ask_within(
        &self,
        time: Duration,
        node: &str,
        request: Request<Bytes>,
    ) -> Result<Answer, ChannelError> {
        self.dialler.ask(node, request, time).await
    }

    /// How it goes.
    #[must_use]
    pub fn report(&self) -> ChannelReport {
        ChannelReport {
            address: self.address.to_string(),
            certificate: self.dialler.identities.me().to_string(),
            certificate_ends: ends(self.dialler.identities.now().not_after_s),
            accepted: self.door.connections.count(),
            dialled: self.dialler.count(),
            handshakes_failed: self.door.failed.get(),
            refused: refusal::Kind::ALL
                .into_iter()
                .filter_map(|kind| {
                    Some((kind.name().to_owned(), self.dialler.refusals.count(kind))).filter(|one| one.1 > 0)
                })
                .collect(),
        }
    }

    /// The last connections that were refused, the newest first.
    #[must_use]
    pub fn refused(&self) -> Vec<RefusalReport> {
        self.dialler.refusals.report()
    }
}

impl Drop for Channels {
    fn drop(&mut self) {
        self.door.handshakes.end_all();
        self.door.connections.end_all();
    }
}

impl fmt::Debug for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channels").field("address", &self.address).finish_non_exhaustive()
    }
}

/// The day, as people read it.
fn ends(not_after_s: i64) -> String {
    x509_parser::time::ASN1Time::from_timestamp(not_after_s)
        .map_or_else(|_| not_after_s.to_string(), |time| time.to_string())
}

async fn sweep(door: Rc<Door>, dialler: Rc<Dialler>) {
    loop {
        runtime::sleep(limits::CHANNEL_SWEEP_INTERVAL).await;
        door.connections.end_gone(|node| door.directory.listed(node).is_some());
        dialler.sweep();
    }
}

#[cfg(test)]
pub(crate) mod tests;
