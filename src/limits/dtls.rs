//! DTLS ([`crate::dtls`]): handshakes, their messages and their engines.

use std::time::Duration;

use super::*;

/// Bytes of one DTLS handshake message from a peer: a ClientHello with a post-quantum share is 1.4 kB, an RSA-4096
/// certificate 1.5 kB, a chain of four 6 kB. Longer: the fragment is dropped and the handshake times out.
pub const DTLS_HANDSHAKE_MESSAGE_BYTES_MAX: usize = 8 * 1024;

/// Handshake messages of one peer in plaintext are numbered below this (a server's are six with a HelloVerifyRequest, a
/// client's five). Beyond: the fragment is dropped.
pub const DTLS_HANDSHAKE_MESSAGES_MAX: u16 = 16;

/// Bodies kept of one handshake message when a peer's contradict each other: one of them is forged, and which one it is
/// shows only when a signature over them is there. More: the oldest goes, and the peer retransmits it.
pub const DTLS_ALTERNATIVES_MAX: usize = 2;

/// Handshakes under way on one session, one for each ClientHello: the peer's, and what somebody forges from its address.
/// More: the oldest but the first whose client has shown no sign of life goes.
pub const DTLS_ATTEMPTS_MAX: usize = 4;

/// Once there are so many, another one begins no sooner than this after the last: each costs 200 µs. Sooner: the
/// ClientHello is dropped, and the client repeats it.
pub const DTLS_ATTEMPT_INTERVAL_MIN: Duration = Duration::from_millis(50);

/// How long something that would end a handshake, and that anyone can forge, waits for something better: a client that
/// was not answered repeats its flight after one second, and two seconds later once more.
pub const DTLS_DOUBT_MAX: Duration = Duration::from_secs(4);

/// Bytes held of one peer's incomplete handshake messages: the longest message twice over, so a certificate of that
/// length beside the rest of its flight. Only bytes that came count, not those that a header announces. More: the
/// message that was added to longest ago is dropped, and the peer retransmits it. For a worker the bound is this times
/// [`HANDSHAKES_PER_WORKER_MAX`].
pub const DTLS_REASSEMBLY_BYTES_MAX: usize = 2 * DTLS_HANDSHAKE_MESSAGE_BYTES_MAX;

/// Separate runs of received bytes of one handshake message. A 1.4 kB hello in 64 pieces has 22 bytes in each; twice as
/// many allow for the worst order of arrival. More: the fragment is dropped.
pub const DTLS_FRAGMENT_RUNS_MAX: usize = 128;

/// Bytes of a datagram that DTLS sends: fits every path that carries WebRTC media. Handshake messages longer than
/// this are fragmented.
pub const DTLS_DATAGRAM_OUT_BYTES_MAX: usize = 1_200;

/// A handshake that takes longer than this, counted from the first ClientHello, has failed.
pub const DTLS_HANDSHAKE_MAX: Duration = Duration::from_secs(20);

/// Time until the first retransmission of a flight; each further one waits twice as long. RFC 9147 §5.8.2 recommends 1
/// s and allows less for media. Less is safe here, because the ICE check before DTLS has just shown that the path
/// answers.
pub const DTLS_RETRANSMIT_FIRST: Duration = Duration::from_millis(200);

/// Bytes of application data in one record: with header, padding, tag and the longest overhead of either version it fits
/// [`DTLS_DATAGRAM_OUT_BYTES_MAX`].
pub const DTLS_APPLICATION_DATA_BYTES_MAX: usize = DTLS_DATAGRAM_OUT_BYTES_MAX - 64;

/// Records of application data that an engine holds before it is polled. More: refused, and they stay in the sender's
/// queue.
pub const DTLS_APPLICATION_RECORDS_UNSENT_MAX: usize = 4;

/// Retransmissions of one flight. Their times, 0.2 + 0.4 + … + 12.8 s, add up to more than [`DTLS_HANDSHAKE_MAX`],
/// which therefore ends the handshake first.
pub const DTLS_RETRANSMITS_MAX: usize = 7;

/// Protected records held while a DTLS 1.2 client's last flight is incomplete (the flight has one such record,
/// Finished). Full: dropped; the client repeats them with the flight.
pub const DTLS_RECORDS_HELD_MAX: usize = 4;

/// Pieces of received datagrams that wait for the next poll (a DTLS 1.2 server's flight in one datagram is six). It is
/// full only when the caller does not poll: then pieces are dropped.
pub const DTLS_INBOX_MAX: usize = 32;

/// Handshake records accepted on a connected DTLS 1.2 association (repeats of the client's last flight; the library
/// keeps each one). More: dropped.
pub const DTLS_LATE_HANDSHAKE_RECORDS_MAX: u8 = 16;

// One message in as many pieces as are allowed fits, with 32 bytes of bookkeeping for each piece.
const _: () = assert!(DTLS_HANDSHAKE_MESSAGE_BYTES_MAX + 32 * (DTLS_FRAGMENT_RUNS_MAX + 2) < DTLS_REASSEMBLY_BYTES_MAX);
const _: () = assert!(DTLS_DATAGRAM_OUT_BYTES_MAX <= DATAGRAM_OUT_BYTES_MAX);
const _: () = assert!(DTLS_HANDSHAKE_MAX.as_secs() <= SESSION_SETUP_MAX.as_secs());

/// How long video waits for its frame's end on a busy worker. The frame's last packet is never delayed.
pub const FRAME_HOLD_DEFAULT: Duration = Duration::from_millis(5);

/// The longest wait that may be configured: one frame at 60 frames a second.
pub const FRAME_HOLD_MAX: Duration = Duration::from_millis(16);
