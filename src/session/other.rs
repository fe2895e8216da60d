//! The epoch beside the current one while a session changes its keys. This file holds its state; [`super::rekey`]
//! begins, switches and ends it.

use super::epoch::Epoch;
use crate::ice::IceLite;
use crate::time::Timestamp;
use crate::transport::PathId;

/// The epoch beside the current one.
pub(super) struct Other {
    pub(super) epoch: Epoch,
    pub(super) stage: Stage,
    /// The ICE agent of an epoch with paths of its own. `None` where it shares the session's paths.
    pub(super) ice: Option<IceLite>,
    /// A copy of the sealed packet, kept while the first of two epochs is tried: a failed attempt overwrites the
    /// packet.
    pub(super) sealed: Vec<u8>,
}

impl Other {
    pub(super) fn new(epoch: Epoch, stage: Stage, ice: Option<IceLite>) -> Self {
        Self { epoch, stage, ice, sealed: Vec::new() }
    }

    /// The path its datagrams are sent on: the one selected by its own agent, or by `shared`, the session's.
    pub(super) fn path(&self, shared: &IceLite) -> Option<PathId> {
        self.ice.as_ref().unwrap_or(shared).selected()
    }
}

/// Whether the other epoch is to become the current one, or was it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It is newer than the current one. It fails unless it is connected by `until`.
    Next { until: Timestamp },
    /// It is older and no longer seals. It ends at `until`.
    Retiring { until: Timestamp },
}
