//! This node in its cluster, as signalling sees it: its part in the directory, and its connections with the other nodes.

use std::rc::Rc;

use futures_util::future::LocalBoxFuture;

use super::channel::Channels;
use super::links::LinkKeeper;
use super::registry::Registry;
use super::report;
use super::sessions::Sessions;
use crate::signal::elsewhere::Elsewhere;
use crate::signal::fetched::Fetch;
use crate::signal::ownership::report::ClusterReport;
use crate::signal::ownership::{Claimant, Epoch, Located, Lost, NotClaimed, NotReleased, Ownership, Unavailable};
use crate::signal::stream_name::StreamName;

/// A node in its cluster.
pub struct Membership {
    registry: Rc<Registry>,
    /// None where this node shows no certificate.
    channels: Option<Rc<Channels>>,
    links: Option<Rc<LinkKeeper>>,
    sessions: Option<Rc<Sessions>>,
}

impl Membership {
    /// Of these parts.
    #[must_use]
    pub fn new(registry: Rc<Registry>, channels: Option<Rc<Channels>>, links: Option<Rc<LinkKeeper>>) -> Self {
        let here = registry.me().name.clone();
        let sessions = channels.clone().map(|channels| Rc::new(Sessions::new(channels, here)));
        Self { registry, channels, links, sessions }
    }
}

impl Ownership for Membership {
    fn claim<'a>(
        &'a self,
        name: &'a StreamName,
        claimant: &'a Claimant,
    ) -> LocalBoxFuture<'a, Result<Epoch, NotClaimed>> {
        self.registry.claim(name, claimant)
    }

    fn locate<'a>(&'a self, name: &'a StreamName) -> LocalBoxFuture<'a, Result<Option<Located>, Unavailable>> {
        self.registry.locate(name)
    }

    fn release<'a>(&'a self, name: &'a StreamName, epoch: Epoch) -> LocalBoxFuture<'a, Result<(), NotReleased>> {
        self.registry.release(name, epoch)
    }

    fn lost(&self) -> Option<flume::Receiver<Lost>> {
        self.registry.lost()
    }

    fn tell_load(&self, used_permille: u16, sessions: u32) {
        self.registry.tell_load(used_permille, sessions);
    }

    fn leave(&self) -> LocalBoxFuture<'_, ()> {
        Box::pin(self.registry.leave())
    }

    fn fetch(&self) -> Option<Rc<dyn Fetch>> {
        self.links.clone().map(|links| links as Rc<dyn Fetch>)
    }

    fn elsewhere(&self) -> Option<Rc<dyn Elsewhere>> {
        let sessions = self.sessions.clone()?;
        Some(sessions)
    }

    fn report(&self) -> Option<ClusterReport> {
        let channel = self.channels.as_ref().map(|channels| channels.report());
        let refused = self.channels.as_ref().map(|channels| channels.refused()).unwrap_or_default();
        let links = self.links.as_ref().map(|links| links.report()).unwrap_or_default();
        Some(ClusterReport { channel, refused, links, ..report::of(&self.registry) })
    }
}
