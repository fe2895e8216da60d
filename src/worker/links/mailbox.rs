//! The messages between who decides about links and the worker that has them.

use std::net::SocketAddr;

use super::packet::Handle;
use super::report::LinkReport;
use crate::limits;
use crate::net::Waker;
use crate::srtp::SrtpKeys;
use crate::worker::mailbox::StreamId;

/// A link, as both its ends agreed on it.
#[derive(Debug)]
pub struct OpenLink {
    /// What this node calls it.
    pub handle: Handle,
    /// What the other node calls it.
    pub remote: Handle,
    /// The other node, for reports.
    pub node: String,
    /// The stream.
    pub stream: StreamId,
    /// Its name, for reports.
    pub stream_name: String,
    /// Its keys.
    pub keys: SrtpKeys,
}

/// To the worker that has the links.
#[derive(Debug)]
pub enum LinkControl {
    /// Send the stream to this node from its first authentic packet on.
    Child(Box<OpenLink>),
    /// Take the stream from this node, which is reached at this address.
    Parent(Box<OpenLink>, SocketAddr),
    /// End a link: the other end is told.
    Close(Handle),
    /// Tell of all links; the reply channel is bounded to one.
    Report(flume::Sender<Vec<LinkReport>>),
}

/// Why a link is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkEnd {
    /// Nothing authentic was heard for [`limits::LINK_SILENCE_MAX`].
    Silent,
    /// The other end said so.
    Bye,
    /// What was told was lost and cannot be had any more.
    Lost,
    /// There is no room for another one.
    Full,
}

impl LinkEnd {
    /// Its word in logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Bye => "bye",
            Self::Lost => "lost",
            Self::Full => "full",
        }
    }
}

/// From the worker that has the links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkNotice {
    /// The first authentic packet came.
    Heard(Handle),
    /// It is over, and was not closed from here.
    Ended(Handle, LinkEnd),
}

/// The way to the worker that has the links.
#[derive(Clone, Debug)]
pub struct LinksHandle {
    sender: flume::Sender<LinkControl>,
    waker: Waker,
}

impl LinksHandle {
    /// A handle and the worker's end of the channel.
    #[must_use]
    pub fn new(waker: Waker) -> (Self, flume::Receiver<LinkControl>) {
        let (sender, receiver) = flume::bounded(limits::LINK_MESSAGES_MAX);
        (Self { sender, waker }, receiver)
    }

    /// Sends and waits for room.
    pub async fn send(&self, message: LinkControl) {
        // Without the worker the node is ending.
        let _ = self.sender.send_async(message).await;
        self.waker.wake();
    }
}
