//! The epoch beside the current one, while a session changes its keys: what it holds. How it begins, takes over and ends is
//! in [`super::rekey`].

use super::epoch::Epoch;
use crate::ice::IceLite;
use crate::time::Timestamp;
use crate::transport::PathId;

/// The epoch beside the current one.
pub(super) struct Other {
    pub(super) epoch: Epoch,
    pub(super) stage: Stage,
    /// Where it has paths of its own, its agent.
    pub(super) ice: Option<IceLite>,
    /// A sealed packet, kept while the first of two epochs is tried: a failed attempt spoils the packet.
    pub(super) sealed: Vec<u8>,
}

impl Other {
    pub(super) fn new(epoch: Epoch, stage: Stage, ice: Option<IceLite>) -> Self {
        Self { epoch, stage, ice, sealed: Vec::new() }
    }

    /// Where its datagrams go, on its own paths or on those of the current epoch.
    pub(super) fn path(&self, shared: &IceLite) -> Option<PathId> {
        self.ice.as_ref().unwrap_or(shared).selected()
    }
}

/// What the other epoch is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It is newer than the current one, and fails unless it is connected at this time.
    Next { until: Timestamp },
    /// It is older, seals no more, and ends at this time.
    Retiring { until: Timestamp },
}
