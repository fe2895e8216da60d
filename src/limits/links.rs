//! Links between the nodes of a cluster: see [`crate::worker::links`].

use std::time::Duration;

use super::{DATAGRAM_OUT_BYTES_MAX, NACK_GAPS_MAX, REPLAYED_PER_ROUND_MAX};

/// Bits of a link's handle.
pub const LINK_HANDLE_BITS: u32 = 27;

/// Links of a node, to parents and to children.
pub const LINKS_MAX: usize = 4_096;

/// Messages to the worker that has the links, which wait for it.
pub const LINK_MESSAGES_MAX: usize = 1_024;

/// How often a child reports, and so is answered.
pub const LINK_REPORT_INTERVAL: Duration = Duration::from_millis(50);

/// A link on which nothing authentic was heard for so long is over.
pub const LINK_SILENCE_MAX: Duration = Duration::from_secs(3);

const _: () = assert!(LINK_SILENCE_MAX.as_millis() > 20 * LINK_REPORT_INTERVAL.as_millis());

/// How long what was learnt of the other end's clocks is preferred to what a longer round trip teaches.
pub const LINK_CLOCKS_AGE_MAX: Duration = Duration::from_secs(10);

/// Bytes of a piece of a message on a link.
pub const LINK_PIECE_BYTES_MAX: usize = 1_200;

const _: () = assert!(LINK_PIECE_BYTES_MAX + 64 <= DATAGRAM_OUT_BYTES_MAX);

/// Pieces of messages that are kept to be sent again.
pub const LINK_PIECES_KEPT_MAX: usize = 1_024;

const _: () = assert!(LINK_PIECES_KEPT_MAX >= NACK_GAPS_MAX);

/// Packets of one line that can be asked for again.
pub const LINK_PACKETS_KEPT_MAX: usize = 4_096;

/// Runs of a line that can be asked for again.
pub const LINK_RUNS_KEPT_MAX: usize = 16;

/// Media packets that wait for what was told before them.
pub const LINK_PACKETS_HELD_MAX: usize = 512;

const _: () = assert!(LINK_PACKETS_HELD_MAX > REPLAYED_PER_ROUND_MAX);

/// Packets that a child may ask for again in a second, and at once.
pub const LINK_REPEATS_PER_SECOND_MAX: u32 = 4_000;

/// Packets of one encoding that one child is sent in a round.
pub const LINK_PACKETS_PER_ROUND_MAX: usize = 128;

/// Nodes to which one node sends one stream.
pub const LINK_CHILDREN_MAX: usize = 64;

/// Nodes in the path of a stream, its origin and the last one counted.
pub const LINK_DEPTH_MAX: usize = 3;

/// How long a stream is fetched after its last viewer has left.
pub const LINK_LINGER: Duration = Duration::from_secs(30);

/// A link over which nothing comes for so long after it was agreed on is given up.
pub const LINK_HEARD_TIME_MAX: Duration = Duration::from_secs(1);

/// Pause before a link is tried again, at first; it doubles.
pub const LINK_TRY_AGAIN_MIN: Duration = Duration::from_millis(100);

/// The longest such pause.
pub const LINK_TRY_AGAIN_MAX: Duration = Duration::from_millis(500);

/// Time for another node to agree on a link. Over a connection that a network has swallowed an answer never comes.
pub const LINK_ASK_TIME_MAX: Duration = Duration::from_secs(1);

/// Time to fetch a stream for another node, which waits for it.
pub const LINK_FETCHED_TIME_MAX: Duration = Duration::from_millis(800);

const _: () = assert!(LINK_FETCHED_TIME_MAX.as_millis() < LINK_ASK_TIME_MAX.as_millis());

/// A stream that could not be had for so long is gone for its viewers, who then wait for a publisher.
pub const LINK_LOST_MAX: Duration = Duration::from_secs(10);

/// How old what is told of links may be.
pub const LINK_LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// After so long a silence of the parent that sends a stream another one takes its place. Each answers a report every
/// [`LINK_REPORT_INTERVAL`].
pub const LINK_FAIL_OVER_SILENCE: Duration = Duration::from_millis(200);

const _: () = assert!(LINK_FAIL_OVER_SILENCE.as_millis() >= 3 * LINK_REPORT_INTERVAL.as_millis());

/// Packets that are had already and are sent once more when a parent takes another one's place: what was missing among them may be on its
/// way from the one that fell silent.
pub const LINK_RESUME_OVERLAP_PACKETS: u64 = 64;

/// How often one looks whether a stream comes that is fetched for another node.
pub const LINK_FETCHED_LOOK: Duration = Duration::from_millis(10);

/// A node whose own parent is silent for so long does not answer its children any more: one answer later than fail-over, so that what it
/// goes over to itself is not given up by them.
pub const LINK_SOURCE_SILENCE: Duration = Duration::from_millis(400);

const _: () =
    assert!(LINK_SOURCE_SILENCE.as_millis() > LINK_FAIL_OVER_SILENCE.as_millis() + LINK_REPORT_INTERVAL.as_millis());

/// A round that comes so much later than it was due comes after a stall of the machine.
pub const LINK_STALL: Duration = Duration::from_millis(150);

const _: () = assert!(LINK_STALL.as_millis() < LINK_FAIL_OVER_SILENCE.as_millis());

/// Changes of what a child wants that are followed at once, and then one in [`LINK_BEGIN_PAUSE`].
pub const LINK_BEGINS_AT_ONCE: u32 = 16;

/// See [`LINK_BEGINS_AT_ONCE`].
pub const LINK_BEGIN_PAUSE: Duration = Duration::from_millis(100);

/// Sequence numbers that a publisher can have.
pub const LINK_SEQUENCE_BITS: u32 = 47;
