//! Requests to other nodes, over one connection to each that is kept.
//!
//! A connection is made when something is asked for, where the directory says, and as that says: when a node has another address, or
//! was started again, another one is made. It ends when nothing was asked for long, or the node has left; a node that answers no ping
//! for three seconds is dialled anew.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::{FutureExt as _, LocalBoxFuture, Shared};
use hyper::Request;

use super::body::Bodies;
use super::connection::{Connection, NotSent};
use super::directory::{Directory, Listed};
use super::identity::Identities;
use super::name::NodeName;
use super::refusal::{Refusals, Side};
use super::{Answer, ChannelError};
use crate::cluster::host;
use crate::config::host_port::HostPort;
use crate::limits;
use crate::net::clock;
use crate::signal::runtime;

type Dialled = Result<Rc<Connection>, ChannelError>;

/// A node that is dialled, or was.
struct Link {
    to: Listed,
    outcome: Shared<LocalBoxFuture<'static, Dialled>>,
    /// When it could not be reached.
    failed_at: Rc<Cell<Option<Instant>>>,
    /// Since when the directory does not have it.
    gone_since: Option<Instant>,
}

impl Link {
    /// Whether it is to be used for a node that is listed so.
    fn is_good(&self, to: &Listed) -> bool {
        let has_paused = |at: Instant| clock::now().saturating_duration_since(at) >= limits::CHANNEL_REDIAL_PAUSE;
        self.to == *to
            && match self.outcome.peek() {
                Some(Ok(connection)) => !connection.is_over(),
                Some(Err(_)) | None => !self.failed_at.get().is_some_and(has_paused),
            }
    }
}

/// The connections that this node has made.
pub(super) struct Dialler {
    pub(super) identities: Identities,
    pub(super) directory: Rc<dyn Directory>,
    pub(super) refusals: Rc<Refusals>,
    pub(super) bodies: Rc<Bodies>,
    links: RefCell<HashMap<String, Link>>,
}

impl Dialler {
    pub(super) fn new(identities: Identities, directory: Rc<dyn Directory>, refusals: Rc<Refusals>) -> Self {
        Self { identities, directory, refusals, bodies: Rc::default(), links: RefCell::default() }
    }

    /// Asks a node, in at most so much time.
    pub(super) async fn ask(
        self: &Rc<Self>,
        node: &str,
        request: Request<Bytes>,
        time: Duration,
    ) -> Result<Answer, ChannelError> {
        let waits = time > limits::CHANNEL_ANSWER_TIME_MAX;
        let most = if waits { limits::CHANNEL_WAITING_MAX } else { limits::CHANNEL_REQUESTS_MAX };
        let asking = async {
            let mut request = request;
            // Once more, where the connection turns out to have ended before the request was sent.
            for _ in 0..2 {
                let connection = self.connection(node)?.await?;
                match connection.ask(request, most).await {
                    Ok(answer) => return Ok(Answer { response: answer?, secret: connection.secret.clone() }),
                    Err(NotSent(unsent)) => request = unsent,
                }
            }
            Err(ChannelError::Lost)
        };
        runtime::timeout(time, asking).await.unwrap_or(Err(ChannelError::NoAnswer))
    }

    fn connection(self: &Rc<Self>, node: &str) -> Result<Shared<LocalBoxFuture<'static, Dialled>>, ChannelError> {
        let to = self.directory.listed(node).ok_or(ChannelError::UnknownNode)?;
        let mut links = self.links.borrow_mut();
        if let Some(link) = links.get(node).filter(|link| link.is_good(&to)) {
            return Ok(link.outcome.clone());
        }
        let address = to.channel.as_deref().ok_or(ChannelError::NoChannel)?;
        let address = HostPort::parse(address)
            .map_err(|_| ChannelError::Unreachable("the directory has no good address of it".into()))?;
        let name = NodeName {
            cluster: self.identities.me().cluster.clone(),
            region: to.region.clone(),
            node: node.to_owned(),
        };
        let failed_at: Rc<Cell<Option<Instant>>> = Rc::default();
        // A task of its own: it goes on when whoever asks gives up.
        let (done, outcome) = flume::bounded(1);
        let (dialler, failed) = (self.clone(), failed_at.clone());
        runtime::spawn(async move {
            let dialled = dialler.dial(name, address).await;
            if dialled.is_err() {
                failed.set(Some(clock::now()));
            }
            let _ = done.send(dialled);
        })
        .detach();
        let outcome = async move { outcome.recv_async().await.unwrap_or(Err(ChannelError::Lost)) };
        let outcome = outcome.boxed_local().shared();
        links.insert(node.to_owned(), Link { to, outcome: outcome.clone(), failed_at, gone_since: None });
        Ok(outcome)
    }

    async fn dial(&self, to: NodeName, address: HostPort) -> Dialled {
        let node = to.node.clone();
        let identity = self.identities.now();
        let dialling = async {
            let found = host::address_of(address.host(), address.port()).await;
            let found = found.map_err(|error| ChannelError::Unreachable(error.to_string()))?;
            Connection::dial(&identity, to, found, self.bodies.clone()).await
        };
        let dialled = runtime::timeout(limits::CHANNEL_DIAL_TIME_MAX, dialling).await.unwrap_or_else(|| {
            let time_s = limits::CHANNEL_DIAL_TIME_MAX.as_secs();
            Err(ChannelError::Unreachable(format!("it does not answer within {time_s} s")))
        });
        let (side, refusal) = match &dialled {
            Err(ChannelError::Refused(refusal)) => (Side::Dialled, refusal),
            Err(ChannelError::RefusedThere(refusal)) => (Side::Told, refusal),
            Err(error) => {
                tracing::debug!(node, %address, %error, "another node is not reached");
                return dialled;
            }
            Ok(_) => return dialled,
        };
        self.refusals.note(side, &address.to_string(), Some(&node), refusal.clone());
        dialled
    }

    /// How many connections there are.
    pub(super) fn count(&self) -> usize {
        let is_open = |link: &Link| matches!(link.outcome.peek(), Some(Ok(connection)) if !connection.is_over());
        self.links.borrow().values().filter(|link| is_open(link)).count()
    }

    /// Ends connections that nobody needs, and those of nodes that left.
    pub(super) fn sweep(&self) {
        let now = clock::now();
        let has_passed = |since: Option<Instant>, time: Duration| {
            since.is_some_and(|since| now.saturating_duration_since(since) >= time)
        };
        self.links.borrow_mut().retain(|node, link| {
            let is_there = self.directory.listed(node).is_some();
            link.gone_since = if is_there { None } else { link.gone_since.or(Some(now)) };
            let is_over = match link.outcome.peek() {
                Some(Ok(connection)) => {
                    connection.is_over() || has_passed(connection.idle_since(), limits::CHANNEL_IDLE_MAX)
                }
                Some(Err(_)) | None => has_passed(link.failed_at.get(), limits::CHANNEL_REDIAL_PAUSE),
            };
            !is_over && !has_passed(link.gone_since, limits::CHANNEL_GONE_MAX)
        });
    }
}
