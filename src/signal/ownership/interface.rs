//! What is asked of whoever knows the owners of streams' names.
//!
//! Every answer is a future, because an engine on the network takes milliseconds, or seconds while it elects a leader.
//! Whoever implements this bounds its own attempts; how long a client is kept waiting is [`super::Claims`]'s matter. A
//! future may be dropped before it is ready (the node ends); a claim that was sent may then have been granted, and ends
//! with its node.

use std::fmt;
use std::rc::Rc;

use futures_util::future::LocalBoxFuture;

use crate::signal::stream_name::StreamName;
use crate::worker::mailbox::SessionId;

/// Numbers one ownership of a name: each claim's is above those before it, so that whoever sees two knows the newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(pub u64);

/// For whom a name is claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimant {
    /// The publisher's session.
    pub session: SessionId,
    /// Who it is, as its token says.
    pub subject: Option<String>,
}

/// Which node has a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// This one.
    ThisNode,
    /// Another, by its name in the cluster.
    Node(String),
}

/// Where a stream is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// On which node.
    pub owner: Owner,
    /// Since which claim.
    pub epoch: Epoch,
}

/// Nobody can say at the moment: the engine is away. Why, for logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable(pub String);

/// Why a name was not claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotClaimed {
    /// Another publisher has it.
    Owned(Owner),
    /// Nobody can say.
    Unavailable(Unavailable),
}

/// Why a name was not released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotReleased {
    /// The epoch is not the name's present one: it was released before, or claimed by another since.
    Stale,
    /// Nobody can say.
    Unavailable(Unavailable),
}

/// Knows who owns which name. One value per node, on the signalling thread.
pub trait Ownership {
    /// Takes a name that nobody owns.
    fn claim<'a>(
        &'a self,
        name: &'a StreamName,
        claimant: &'a Claimant,
    ) -> LocalBoxFuture<'a, Result<Epoch, NotClaimed>>;

    /// Who owns a name, if anybody does.
    fn locate<'a>(&'a self, name: &'a StreamName) -> LocalBoxFuture<'a, Result<Option<Located>, Unavailable>>;

    /// Gives a name back. Only the present owner's epoch does.
    fn release<'a>(&'a self, name: &'a StreamName, epoch: Epoch) -> LocalBoxFuture<'a, Result<(), NotReleased>>;
}

/// Makes one on the signalling thread, so that what it holds need not be shared with other threads.
pub type MakeOwnership = Box<dyn FnOnce() -> Rc<dyn Ownership> + Send>;

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
