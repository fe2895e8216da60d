//! The interface of an engine that knows who owns which stream's name.
//!
//! Every answer is a future, because an engine on the network needs milliseconds, or seconds while it elects a leader.
//! An implementation bounds its own attempts; [`super::Claims`] bounds how long a client waits. A future may be dropped
//! before it is ready, when the node shuts down. A claim that was already sent may then be granted, and ends with its
//! node.

use std::fmt;
use std::rc::Rc;

use futures_util::future::LocalBoxFuture;

use crate::signal::elsewhere::Elsewhere;
use crate::signal::fetched::Fetch;
use crate::signal::ownership::report::ClusterReport;
use crate::signal::stream_name::StreamName;
use crate::worker::mailbox::SessionId;

/// The number of one ownership of a name. Each claim's number is higher than all earlier ones, so that of two the newer
/// is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(pub u64);

/// The publisher for which a name is claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimant {
    /// The publisher's session.
    pub session: SessionId,
    /// Who the publisher is, according to its token.
    pub subject: Option<String>,
}

/// The node that owns a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// This node.
    ThisNode,
    /// Another node, by its name in the cluster.
    Node(String),
}

/// Where a stream is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// The node on which it is published.
    pub owner: Owner,
    /// The number of that ownership.
    pub epoch: Epoch,
}

/// A publisher of this node whose name belongs to another node's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Its session.
    pub session: SessionId,
    /// The stream.
    pub name: StreamName,
    /// The node that has it now.
    pub to: String,
}

/// The engine cannot be reached. The text says why, for logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable(pub String);

/// Why a name was not claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotClaimed {
    /// Another publisher owns it.
    Owned(Owner),
    /// The engine cannot be reached.
    Unavailable(Unavailable),
}

/// Why a name was not released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotReleased {
    /// The epoch is not the present one: the name was already released, or was claimed by another since.
    Stale,
    /// The engine cannot be reached.
    Unavailable(Unavailable),
}

/// An engine that knows who owns which name. There is one value per node, on the signalling thread.
pub trait Ownership {
    /// Claims a name that nobody owns.
    fn claim<'a>(
        &'a self,
        name: &'a StreamName,
        claimant: &'a Claimant,
    ) -> LocalBoxFuture<'a, Result<Epoch, NotClaimed>>;

    /// Who owns a name, if anybody does.
    fn locate<'a>(&'a self, name: &'a StreamName) -> LocalBoxFuture<'a, Result<Option<Located>, Unavailable>>;

    /// Releases a name. It needs the epoch of the present owner.
    fn release<'a>(&'a self, name: &'a StreamName, epoch: Epoch) -> LocalBoxFuture<'a, Result<(), NotReleased>>;

    /// Publishers of this node whose names have gone to another one. `None` where that cannot happen.
    fn lost(&self) -> Option<flume::Receiver<Lost>> {
        None
    }

    /// Takes what this node has to do, for the others: thousandths of what it can do, and its sessions.
    fn tell_load(&self, used_permille: u16, sessions: u32) {
        let _ = (used_permille, sessions);
    }

    /// Leaves the cluster, where there is one: what this node had is free at once.
    fn leave(&self) -> LocalBoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Who fetches streams from other nodes. `None` where there is none.
    fn fetch(&self) -> Option<Rc<dyn Fetch>> {
        None
    }

    /// The other nodes, where this one speaks to them.
    fn elsewhere(&self) -> Option<Rc<dyn Elsewhere>> {
        None
    }

    /// What is known of the cluster; `None` for a node that is alone.
    fn report(&self) -> Option<ClusterReport> {
        None
    }
}

/// Makes the engine on the signalling thread, so that it need not be `Send`.
pub type MakeOwnership = Box<dyn FnOnce() -> Rc<dyn Ownership> + Send>;

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
