//! One SCTP association over a DTLS association (RFC 8261): the door to the `dcsctp` library, and what bounds it.
//!
//! Properties of `dcsctp` 0.1, and how this file deals with each:
//! - its random numbers (verification tag, first TSN) are `fastrand`'s, one source per thread: it is seeded from the
//!   caller's random source with each association, so that one seed replays a run;
//! - it keeps a place for each stream that a peer names, and a hundred bytes for each piece of an unfinished message:
//!   [`super::chunks`] looks at each packet first;
//! - it asserts what it believes of its own state: a panic ends the association and nothing else;
//! - it formats each packet as text for a log, most of what it costs (11 of 13 µs a message), whether that log is on or
//!   not: the text is made byte by byte in front of the log's macro, in a function that both directions call. So neither
//!   a level (of the `log` crate, at compile time or later) nor a feature or an option of the library leaves it out; of
//!   the optimiser's ways none may drop a call of `core::fmt`. It is so in the newest version (0.1.16) and in its
//!   repository. A line in front of that function would do, which is a copy of the library to be kept up, or a change
//!   there. (`sctp-proto` has no such text and costs 5 to 6 µs, with twice the memory.);
//! - its heartbeats are of no use here, because ICE knows whether the peer lives: they are an hour apart;
//! - a restart of the association by the peer (a second INIT with other tags) keeps no channel: it ends the association.
//!
//! The node waits for the peer's INIT: every peer that negotiated data sends one (RFC 8831 §6.2 lets both), and until it
//! has come nothing is kept for it.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use dcsctp::api::handover::HandoverReadiness;
use dcsctp::api::{DcSctpSocket, Message, Options, PpId, SendOptions, SocketEvent, SocketTime, StreamId};

use super::chunks::{self, PacketRefused};
use super::dcep::{Delivery, Reliability};
use crate::limits;
use crate::time::Timestamp;

/// So long that it does not happen: see the head of this file.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(3_600);

/// What an association reports.
#[derive(Debug)]
pub(super) enum AssociationEvent {
    /// It is established.
    Connected,
    /// A whole message.
    Message {
        /// Its stream.
        stream: u16,
        /// Its payload protocol identifier.
        ppid: u32,
        /// The message.
        payload: Vec<u8>,
    },
    /// The peer has ended its direction of a stream (RFC 6525).
    PeerReset(u16),
    /// This end's direction has been ended.
    Reset(u16),
    /// It is over: closed, aborted, given up, or the library failed.
    Ended,
}

/// How a message is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sending {
    pub(super) stream: u16,
    pub(super) ppid: u32,
    pub(super) delivery: Delivery,
    /// At most so long, whatever the delivery says.
    pub(super) lifetime_max: Option<Duration>,
}

/// One association. After each call that takes `now`, drain both [`Self::poll_event`] and [`Self::poll_packet`].
pub(super) struct Association {
    /// `None` once it is over.
    socket: Option<Box<dyn DcSctpSocket>>,
    /// Its clock began here.
    began: Timestamp,
    packets: VecDeque<Vec<u8>>,
    events: VecDeque<AssociationEvent>,
    /// Packets that found no room.
    pub(super) dropped: u64,
}

impl std::fmt::Debug for Association {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Association").field("is_over", &self.socket.is_none()).finish_non_exhaustive()
    }
}

impl Association {
    /// An association that waits for the peer's INIT. `window_bytes` bounds the peer's unfinished messages.
    pub(super) fn new(
        remote_port: u16,
        window_bytes: usize,
        message_bytes_max: usize,
        seed: u64,
        now: Timestamp,
    ) -> Self {
        fastrand::seed(seed);
        let options = Options {
            local_port: super::SCTP_PORT,
            remote_port,
            announced_maximum_incoming_streams: limits::DATA_STREAMS_MAX,
            announced_maximum_outgoing_streams: limits::DATA_STREAMS_MAX,
            mtu: limits::DATA_PACKET_BYTES_MAX,
            max_message_size: message_bytes_max,
            max_receiver_window_buffer_size: window_bytes,
            // The callers send only while little is buffered; these catch what should not happen.
            max_send_buffer_size: 2 * limits::DATA_CHANNELS_PER_PEER_MAX * limits::DATA_MESSAGE_BYTES_MAX,
            per_stream_send_queue_limit: limits::DATA_BUFFERED_BYTES_MAX + limits::DATA_MESSAGE_BYTES_MAX,
            rto_max: limits::DATA_RETRANSMIT_PAUSE_MAX,
            max_timer_backoff_duration: Some(limits::DATA_RETRANSMIT_PAUSE_MAX),
            heartbeat_interval: HEARTBEAT_INTERVAL,
            max_retransmissions: Some(limits::DATA_RETRANSMITS_MAX),
            ..Options::default()
        };
        Self {
            socket: Some(dcsctp::new_socket("", &options)),
            began: now,
            packets: VecDeque::new(),
            events: VecDeque::new(),
            dropped: 0,
        }
    }

    /// Sends an INIT, as a peer of the node does.
    #[cfg(any(test, feature = "peer"))]
    pub(super) fn connect(&mut self, now: Timestamp) {
        self.run(now, |socket| socket.connect());
    }

    /// Takes a packet; how many chunks of user data it has.
    ///
    /// # Errors
    /// Why it was not given to the library.
    pub(super) fn handle_packet(&mut self, packet: &[u8], now: Timestamp) -> Result<(), PacketRefused> {
        chunks::inspect(packet)?;
        self.run(now, |socket| socket.handle_input(packet));
        Ok(())
    }

    /// Runs its timers.
    pub(super) fn handle_timeout(&mut self, now: Timestamp) {
        self.run(now, |_| {});
    }

    /// When [`Self::handle_timeout`] is due.
    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        let at = self.socket.as_ref()?.poll_timeout();
        if at == SocketTime::infinite_future() { None } else { Some(self.began + (at - SocketTime::zero())) }
    }

    /// Queues a message; whether it was taken. An empty one cannot be sent.
    pub(super) fn send(&mut self, how: Sending, payload: Vec<u8>, now: Timestamp) -> bool {
        let mut taken = false;
        let lifetime = [how.delivery.lifetime(), how.lifetime_max].into_iter().flatten().min();
        let options = SendOptions {
            unordered: !how.delivery.ordered,
            lifetime,
            max_retransmissions: match how.delivery.reliability {
                Reliability::Retransmits(times) => Some(u16::try_from(times).unwrap_or(u16::MAX)),
                Reliability::Reliable | Reliability::LifetimeMs(_) => None,
            },
            lifecycle_id: None,
        };
        self.run(now, |socket| {
            let message = Message::new(StreamId(how.stream), PpId(how.ppid), payload);
            taken = socket.send(message, &options).is_ok();
        });
        taken
    }

    /// Ends this end's direction of a stream, once what was sent on it has arrived.
    pub(super) fn reset(&mut self, stream: u16, now: Timestamp) {
        self.run(now, |socket| {
            let _ = socket.reset_streams(&[StreamId(stream)]);
        });
    }

    /// Bytes of a stream that the network has not taken yet.
    pub(super) fn buffered(&self, stream: u16) -> usize {
        self.socket.as_ref().map_or(0, |socket| socket.buffered_amount(StreamId(stream)))
    }

    /// Whether the peer has acknowledged all that was sent. One that is over has nothing left.
    pub(super) fn is_drained(&self) -> bool {
        let left = HandoverReadiness(
            HandoverReadiness::SEND_QUEUE_NOT_EMPTY.0
                | HandoverReadiness::RETRANSMISSION_QUEUE_OUTSTANDING_DATA.0
                | HandoverReadiness::RETRANSMISSION_QUEUE_NOT_EMPTY.0,
        );
        self.socket.as_ref().is_none_or(|socket| !socket.get_handover_readiness().contains(left))
    }

    /// Whether it is over.
    pub(super) fn is_over(&self) -> bool {
        self.socket.is_none()
    }

    /// The next event.
    pub(super) fn poll_event(&mut self) -> Option<AssociationEvent> {
        self.events.pop_front()
    }

    /// The next packet to send.
    pub(super) fn poll_packet(&mut self) -> Option<Vec<u8>> {
        self.packets.pop_front()
    }

    /// Whether packets wait.
    pub(super) fn has_packets(&self) -> bool {
        !self.packets.is_empty()
    }

    /// Tells the library the time, lets it work, and takes what came of it.
    fn run(&mut self, now: Timestamp, work: impl FnOnce(&mut dyn DcSctpSocket)) {
        let Some(socket) = &mut self.socket else { return };
        let at = SocketTime::zero() + now.since(self.began);
        let (packets, events) = (&mut self.packets, &mut self.events);
        let mut over = false;
        let mut dropped = 0;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            socket.advance_time(at);
            work(socket.as_mut());
            while let Some(event) = socket.poll_event() {
                match event {
                    SocketEvent::SendPacket(packet) if packets.len() < limits::DATA_PACKETS_WAITING_MAX => {
                        packets.push_back(packet);
                    }
                    SocketEvent::SendPacket(_) => dropped += 1,
                    SocketEvent::OnConnected() => events.push_back(AssociationEvent::Connected),
                    SocketEvent::OnClosed() | SocketEvent::OnAborted(..) | SocketEvent::OnConnectionRestarted() => {
                        over = true;
                    }
                    SocketEvent::OnIncomingStreamReset(streams) => {
                        events.extend(streams.iter().map(|stream| AssociationEvent::PeerReset(stream.0)));
                    }
                    SocketEvent::OnStreamsResetPerformed(streams) | SocketEvent::OnStreamsResetFailed(streams) => {
                        events.extend(streams.iter().map(|stream| AssociationEvent::Reset(stream.0)));
                    }
                    _ => {}
                }
            }
            while let Some(Message { stream_id, ppid, payload }) = socket.get_next_message() {
                events.push_back(AssociationEvent::Message { stream: stream_id.0, ppid: ppid.0, payload });
            }
        }));
        self.dropped += dropped;
        if outcome.is_err() || over || self.events.len() > limits::DATA_EVENTS_WAITING_MAX {
            self.socket = None;
            self.events.push_back(AssociationEvent::Ended);
        }
    }
}
