//! Names that mean the same on every worker and node: of streams, of encodings in them, and of where a stream comes from.

use crate::relay::store::numbers::EncodingId;

/// Names a stream: made of its name alone ([`crate::placement::stream_id`]), so that every node calls it the same without
/// asking another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u128);

/// Index of a worker on its node, 0 to `WORKERS_MAX - 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerIndex(pub u16);

/// Names a node of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u64);

/// Where a stream's records come from, and its viewers' wishes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// A worker of this node.
    Worker(WorkerIndex),
    /// Another node.
    Node(NodeId),
}

/// A record's address: which stream and which of its encodings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordAddress {
    /// The stream.
    pub stream: StreamId,
    /// The encoding.
    pub encoding: EncodingId,
}
