//! What is asked of a cluster's engine, how often, and how much of it a node remembers: see [`crate::cluster`].

use std::time::Duration;

/// The client port of etcd.
pub const CLUSTER_ENGINE_PORT: u16 = 2_379;

/// A node's lease: a node that died blocks its names for so long.
pub const CLUSTER_LEASE: Duration = Duration::from_secs(10);

/// Pause between two renewals of it. Three may be lost.
pub const CLUSTER_LEASE_RENEWED: Duration = Duration::from_secs(3);

const _: () = assert!(3 * CLUSTER_LEASE_RENEWED.as_millis() < CLUSTER_LEASE.as_millis());

/// Pause between two heartbeats.
pub const CLUSTER_HEARTBEAT: Duration = Duration::from_secs(9);

/// A load that has moved by so many thousandths is told at the next renewal.
pub const CLUSTER_LOAD_MOVED_PERMILLE: u16 = 50;

/// When nothing was heard of a member for so long, not even this node's own heartbeat, another one is asked.
pub const CLUSTER_SILENCE_MAX: Duration = Duration::from_secs(15);

const _: () =
    assert!(CLUSTER_HEARTBEAT.as_millis() + CLUSTER_LEASE_RENEWED.as_millis() < CLUSTER_SILENCE_MAX.as_millis());

/// Time for one answer of one member. A member that is cut off from the others takes seven seconds to say so.
pub const CLUSTER_ENGINE_TIME_MAX: Duration = Duration::from_millis(1_500);

/// Time for a node to say what it knows of its cluster.
pub const CLUSTER_STATUS_TIME_MAX: Duration = Duration::from_secs(5);

/// Pause before the engine is asked once more.
pub const CLUSTER_TRY_AGAIN: Duration = Duration::from_millis(200);

/// Connections to a member that are kept while nobody uses them.
pub const CLUSTER_CONNECTIONS_IDLE_MAX: usize = 8;

/// Keys that are asked for at once.
pub const CLUSTER_PAGE_ENTRIES: i64 = 2_000;

/// Bytes of one answer of a member. More: it is not read, and counts as none.
pub const CLUSTER_ANSWER_BYTES_MAX: usize = 8 << 20;

/// Nodes that a node knows of. More are left out, counted.
pub const CLUSTER_NODES_MAX: usize = 4_096;

/// Streams that a node knows of. More are left out, counted.
pub const CLUSTER_STREAMS_MAX: usize = 200_000;

/// Bits of an epoch that are the engine's revision; above them is the generation.
pub const CLUSTER_REVISION_BITS: u32 = 48;

/// Bytes of a cluster's, a region's and a node's name.
pub const CLUSTER_NAME_BYTES_MAX: usize = 64;
