//! Data channels: how much of them a stream has, what a viewer may lag behind, and what a peer may cost.
//!
//! A publisher is let in by its token and there is one for each stream; viewers are many and send nothing but what the
//! protocol itself needs. So the two have different bounds.

use std::time::Duration;

use super::*;

/// Channels of a publisher that are relayed, each with a ring on every worker with viewers. More: the channel is closed
/// again, counted.
pub const DATA_CHANNELS_MAX: usize = 8;

/// Channels that a peer holds open towards the node, relayed or not: twice the mirrored ones. More: as above.
pub const DATA_CHANNELS_PER_PEER_MAX: usize = 2 * DATA_CHANNELS_MAX;

/// SCTP streams in each direction. Both ends take the lowest free numbers of their parity, so that this is 128 channels
/// each. A packet that names a higher one is dropped, counted: the library keeps a place for each stream that was named.
pub const DATA_STREAMS_MAX: u16 = 256;

/// Bytes of a channel's label, and of its protocol. Longer: the channel is closed again, counted.
pub const DATA_NAME_BYTES_MAX: usize = 128;

/// Messages of one channel that are relayed in a second, and at once. More: dropped, counted.
pub const DATA_MESSAGES_PER_SECOND: u32 = 64;

/// Bytes of a message that is relayed. Longer: dropped, counted. A lane's record has 16 bits for its length.
pub const DATA_MESSAGE_BYTES_MAX: usize = 16 * 1024;

/// Bytes of a message that a peer is told it may send (RFC 8841 §6.1). Browsers refuse to send longer ones.
pub const DATA_MESSAGE_BYTES_ANNOUNCED: u32 = 64 * 1024;

/// Bytes of unfinished messages from a publisher: two of the longest that it may send. Full: its packets are dropped,
/// and it sends them again.
pub const DATA_WINDOW_BYTES_PUBLISHER: usize = 2 * DATA_MESSAGE_BYTES_ANNOUNCED as usize;

/// The same from a viewer, whose messages are short or go nowhere: one whole message and what repeats it.
pub const DATA_WINDOW_BYTES_VIEWER: usize = DATA_MESSAGE_BYTES_ANNOUNCED as usize + 16 * 1024;

/// Bytes of the ring of one channel: what a viewer of a reliable channel may be behind. 64 KiB is a second of the most
/// that is relayed in messages of 1 KiB. Full: the oldest message goes, and the channel is closed for a viewer that had
/// not been sent it, counted.
pub const DATA_RING_BYTES_MAX: usize = 64 * 1024;

/// The same as a time: older messages leave the ring.
pub const DATA_RING_AGE_MAX: Duration = Duration::from_secs(5);

/// Bytes that wait in one viewer's association for its network, for each channel: seven packets. An unreliable channel
/// above it drops the new message, counted; a reliable one goes on from the ring when it has room again.
pub const DATA_BUFFERED_BYTES_MAX: usize = 8 * 1024;

/// How long a message of an unreliable channel may wait for a viewer. Longer: dropped, counted.
pub const DATA_UNRELIABLE_AGE_MAX: Duration = Duration::from_millis(500);

/// Viewers that are given messages in one round: 16 times 15 µs (20 with thousands of viewers), what a quarter of a batch of media takes. More: in the
/// next round, after the network was looked at.
pub const DATA_VISITS_PER_ROUND_MAX: usize = 16;

/// SCTP packets of one peer in a second, and at once. A publisher's eight channels at their rate with messages of a
/// packet each are 512. 2,000 times 15 µs are 3 % of a core. More: dropped like a network's loss, counted.
pub const DATA_PACKETS_PER_SECOND: u32 = 2_000;

/// Packets at once: a publisher's longest message takes 60, and its first window more in one burst.
pub const DATA_PACKETS_BURST: u32 = 512;

/// Pieces of user data of one viewer, at once and in a second: it opens and acknowledges channels, and nothing else of it
/// is wanted. With one byte in each they fill [`DATA_WINDOW_BYTES_VIEWER`] in an hour and a half only, so that the
/// library's 120 bytes for each piece do not matter. More: the packet is dropped, counted.
pub const DATA_VIEWER_CHUNKS_BURST: u32 = 128;

/// See [`DATA_VIEWER_CHUNKS_BURST`].
pub const DATA_VIEWER_CHUNKS_PER_SECOND: u32 = 16;

/// Bytes of a viewer's message that goes to the publisher: one packet, and so one piece of user data. Longer: dropped,
/// counted.
pub const DATA_BACK_MESSAGE_BYTES_MAX: usize = 1_024;

/// Messages of one viewer to the publisher, at once and in a second: what a person can tap. More: dropped, counted. Its
/// pieces of user data ([`DATA_VIEWER_CHUNKS_PER_SECOND`]) are four times that.
pub const DATA_BACK_VIEWER_BURST: u32 = 8;

/// See [`DATA_BACK_VIEWER_BURST`].
pub const DATA_BACK_VIEWER_PER_SECOND: u32 = 4;

/// Messages of all viewers to one publisher, at once and in a second. A thousand take 15 ms of its worker, 1.5 % of a core,
/// and at most 8 Mbit/s of its downlink. More: dropped, counted.
pub const DATA_BACK_PUBLISHER_PER_SECOND: u32 = 1_000;

/// Messages of viewers that wait for one round of the publisher's worker: 256 KiB of the longest. More: dropped, counted.
pub const DATA_BACK_WAITING_MAX: usize = 256;

/// Bytes of a piece of a message that is not its last. The library that Chromium uses fills what is left of its window
/// with pieces of any multiple of four. The library here keeps about 120 bytes for each beside its own, so that
/// [`DATA_WINDOW_BYTES_PUBLISHER`] of the shortest take 4 MB. Shorter: the packet is dropped, counted.
pub const DATA_FRAGMENT_BYTES_MIN: usize = 4;

/// Bytes of an SCTP packet: one record of application data, a multiple of four.
pub const DATA_PACKET_BYTES_MAX: usize = DTLS_APPLICATION_DATA_BYTES_MAX / 4 * 4;

/// Chunks of one packet. The shortest take four bytes, so that this is what fits. More: the packet is dropped.
pub const DATA_CHUNKS_PER_PACKET_MAX: usize = 284;

/// Packets of one association that wait for room in the batch. The library's own windows keep it below this; more: dropped
/// like a network's loss.
pub const DATA_PACKETS_WAITING_MAX: usize = 256;

/// Events of one association that wait for the worker, which takes them after each packet. More: the association ends.
pub const DATA_EVENTS_WAITING_MAX: usize = 512;

/// The longest pause between two retransmissions to a peer that does not answer.
pub const DATA_RETRANSMIT_PAUSE_MAX: Duration = Duration::from_secs(5);

/// Retransmissions without an answer after which an association is given up: more than a minute with the pause above,
/// so that the session's own silence ([`SESSION_SILENCE_MAX`]) comes first.
pub const DATA_RETRANSMITS_MAX: u32 = 20;

/// Streams whose viewers elsewhere are still to be told that its channels are gone. More: forgotten, counted; they are told
/// with the next publisher's.
pub const DATA_ENDS_WAITING_MAX: usize = 1_024;

/// Bytes of a session in addition where it negotiated data: its DTLS engine, which others give up (9.1 kB of 1.2, 11.4 kB of
/// 1.3 measured), an idle association (3.8 kB measured), its channels and timers. Between viewers with a channel and viewers
/// without it was 15.0 KiB each of a thousand, and 17.9 each of five thousand.
pub const PLANNED_DATA_SESSION_BYTES: u64 = 20 * 1024;

/// Bytes of the rings of a stream's channels on one worker, each of which may hold one message more than its bound for a
/// moment, and of what viewers say that waits for the publisher.
pub const PLANNED_DATA_STREAM_BYTES: u64 = (DATA_CHANNELS_MAX * (DATA_RING_BYTES_MAX + DATA_MESSAGE_BYTES_MAX)
    + DATA_BACK_WAITING_MAX * DATA_BACK_MESSAGE_BYTES_MAX) as u64;

const _: () = assert!(DATA_MESSAGE_BYTES_MAX + 256 < u16::MAX as usize);
const _: () = assert!(DATA_RING_BYTES_MAX >= 2 * DATA_MESSAGE_BYTES_MAX);
const _: () = assert!(DATA_PACKET_BYTES_MAX <= DTLS_APPLICATION_DATA_BYTES_MAX);
const _: () = assert!(DATA_PACKETS_PER_SECOND > DATA_MESSAGES_PER_SECOND * DATA_CHANNELS_MAX as u32);
const _: () = assert!(DATA_BACK_MESSAGE_BYTES_MAX + 64 < DATA_PACKET_BYTES_MAX);
const _: () = assert!(DATA_BACK_VIEWER_PER_SECOND < DATA_VIEWER_CHUNKS_PER_SECOND);
const _: () = assert!(DATA_FRAGMENT_BYTES_MIN * 2 < DATA_PACKET_BYTES_MAX);
const _: () =
    assert!(DATA_RETRANSMITS_MAX as u64 * DATA_RETRANSMIT_PAUSE_MAX.as_secs() > SESSION_SILENCE_MAX.as_secs());
