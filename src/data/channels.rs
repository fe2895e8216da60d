//! [`Channels`]: the data channels of one peer over its association (RFC 8831, RFC 8832).

use std::collections::VecDeque;
use std::time::Duration;

use super::association::{Association, AssociationEvent, Sending};
use super::chunks::{self, PacketRefused};
use super::dcep::{ACK_MESSAGE, ChannelTerms, DcepError, DcepMessage, Delivery, Reliability, open_message, ppid};
use super::{DataTerms, MessageKind};
use crate::description::DtlsRole;
use crate::limits;
use crate::time::Timestamp;

/// What happened to a peer's channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelEvent {
    /// The association is established: channels can be opened.
    Connected,
    /// The peer has opened a channel. It was acknowledged.
    Opened {
        /// Its stream.
        stream: u16,
        /// What it was opened with.
        terms: ChannelTerms,
    },
    /// The peer has acknowledged a channel of ours.
    Acknowledged(u16),
    /// A message came.
    Message {
        /// The channel's stream.
        stream: u16,
        /// Text or bytes.
        kind: MessageKind,
        /// The message; may be empty.
        payload: Vec<u8>,
    },
    /// A channel is closed, by either end.
    Closed(u16),
    /// The association is over, and all its channels with it.
    Ended,
}

/// What a peer sent that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelRefused {
    /// A packet that would cost more than its bytes.
    Packet(PacketRefused),
    /// A DCEP message that cannot be read. Its channel is closed.
    Dcep(DcepError),
    /// A channel beside [`limits::DATA_CHANNELS_PER_PEER_MAX`], or on a stream that is in use. It is closed.
    Channel,
    /// A message on no channel, or of an unknown kind.
    Message,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Ours, and not acknowledged: until then everything is sent in order, behind the message that opens it (RFC 8832
    /// §6).
    Opening,
    /// Messages go both ways.
    Open,
    /// This end has asked for the stream to be reset.
    Closing,
}

#[derive(Clone, Copy, Debug)]
struct Channel {
    stream: u16,
    delivery: Delivery,
    state: State,
}

/// The channels of one peer. After each call that takes `now`, drain [`Self::poll_event`] and [`Self::poll_packet`].
#[derive(Debug)]
pub struct Channels {
    association: Association,
    role: DtlsRole,
    channels: Vec<Channel>,
    events: VecDeque<ChannelEvent>,
    refused: VecDeque<ChannelRefused>,
}

/// The two sides of the node, by whom they face.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Facing {
    /// A publisher, whose messages are relayed.
    Publisher,
    /// A viewer, whose messages are not.
    Viewer,
}

impl Facing {
    const fn window_bytes(self) -> usize {
        match self {
            Self::Publisher => limits::DATA_WINDOW_BYTES_PUBLISHER,
            Self::Viewer => limits::DATA_WINDOW_BYTES_VIEWER,
        }
    }
}

impl Channels {
    /// Channels that wait for the peer's INIT. `role` is this end's in DTLS, by which streams are numbered; `seed` is
    /// of the random source.
    #[must_use]
    pub fn new(terms: DataTerms, role: DtlsRole, facing: Facing, seed: u64, now: Timestamp) -> Self {
        let message_bytes_max = (terms.message_bytes_max as usize).min(limits::DATA_MESSAGE_BYTES_MAX);
        Self {
            association: Association::new(terms.sctp_port, facing.window_bytes(), message_bytes_max, seed, now),
            role,
            channels: Vec::new(),
            events: VecDeque::new(),
            refused: VecDeque::new(),
        }
    }

    /// The peer's end: sends the INIT that the node waits for.
    #[cfg(any(test, feature = "peer"))]
    #[must_use]
    pub fn connecting(role: DtlsRole, seed: u64, now: Timestamp) -> Self {
        let message_bytes_max = limits::DATA_MESSAGE_BYTES_ANNOUNCED;
        let terms = DataTerms { sctp_port: super::SCTP_PORT, message_bytes_max, may_speak: false };
        let message_bytes_max = terms.message_bytes_max as usize;
        let window_bytes = Facing::Publisher.window_bytes();
        let mut channels = Self::new(terms, role, Facing::Publisher, seed, now);
        channels.association = Association::new(terms.sctp_port, window_bytes, message_bytes_max, seed, now);
        channels.association.connect(now);
        channels
    }

    /// How many pieces of user data a packet carries. One that is refused carries none.
    #[must_use]
    pub fn user_data_in(packet: &[u8]) -> u32 {
        chunks::inspect(packet).unwrap_or(0)
    }

    /// Takes an SCTP packet of the peer.
    pub fn handle_packet(&mut self, packet: &[u8], now: Timestamp) {
        match self.association.handle_packet(packet, now) {
            Ok(()) => self.take_events(now),
            Err(refused) => self.refuse(ChannelRefused::Packet(refused)),
        }
    }

    /// Runs the timers.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.association.handle_timeout(now);
        self.take_events(now);
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.association.next_deadline()
    }

    /// The next packet to send to the peer.
    pub fn poll_packet(&mut self) -> Option<Vec<u8>> {
        self.association.poll_packet()
    }

    /// Whether packets wait.
    #[must_use]
    pub fn has_packets(&self) -> bool {
        self.association.has_packets()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<ChannelEvent> {
        self.events.pop_front()
    }

    /// The next thing that was refused.
    pub fn poll_refused(&mut self) -> Option<ChannelRefused> {
        self.refused.pop_front()
    }

    /// Takes how many packets were dropped because too many waited.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.association.dropped)
    }

    /// Whether the association is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.association.is_over()
    }

    /// Whether the peer has acknowledged all that was sent.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.association.is_drained()
    }

    /// Opens a channel towards the peer on the lowest free stream of this end's parity (RFC 8832 §6); its stream, or
    /// `None` where there is no place for it.
    pub fn open(&mut self, terms: &ChannelTerms, now: Timestamp) -> Option<u16> {
        if self.channels.len() >= limits::DATA_CHANNELS_PER_PEER_MAX || self.is_over() {
            return None;
        }
        let first = match self.role {
            DtlsRole::Client => 0,
            DtlsRole::Server => 1,
        };
        let free = |stream: &u16| self.channels.iter().all(|channel| channel.stream != *stream);
        let stream = (first..limits::DATA_STREAMS_MAX).step_by(2).find(free)?;
        if !self.send_dcep(stream, open_message(terms), now) {
            return None;
        }
        self.channels.push(Channel { stream, delivery: terms.delivery, state: State::Opening });
        self.take_events(now);
        Some(stream)
    }

    /// Sends a message on a channel; whether it was taken. One that waits for longer than `lifetime_max` is given up.
    pub fn send(
        &mut self,
        stream: u16,
        kind: MessageKind,
        payload: &[u8],
        lifetime_max: Option<Duration>,
        now: Timestamp,
    ) -> bool {
        let Some(channel) = self.channel(stream).filter(|channel| channel.state != State::Closing) else {
            return false;
        };
        let mut delivery = channel.delivery;
        delivery.ordered |= channel.state == State::Opening;
        let ppid = match (kind, payload.is_empty()) {
            (MessageKind::Text, false) => ppid::STRING,
            (MessageKind::Text, true) => ppid::STRING_EMPTY,
            (MessageKind::Binary, false) => ppid::BINARY,
            (MessageKind::Binary, true) => ppid::BINARY_EMPTY,
        };
        let payload = if payload.is_empty() { vec![0] } else { payload.to_vec() };
        let taken = self.association.send(Sending { stream, ppid, delivery, lifetime_max }, payload, now);
        self.take_events(now);
        taken
    }

    /// Bytes of a channel that the network has not taken yet.
    #[must_use]
    pub fn buffered(&self, stream: u16) -> usize {
        self.association.buffered(stream)
    }

    /// Closes a channel (RFC 8831 §6.7). [`ChannelEvent::Closed`] follows when the peer has agreed.
    pub fn close(&mut self, stream: u16, now: Timestamp) {
        let Some(channel) = self.channels.iter_mut().find(|channel| channel.stream == stream) else { return };
        if channel.state != State::Closing {
            channel.state = State::Closing;
            self.association.reset(stream, now);
            self.take_events(now);
        }
    }

    fn channel(&self, stream: u16) -> Option<Channel> {
        self.channels.iter().find(|channel| channel.stream == stream).copied()
    }

    fn refuse(&mut self, refused: ChannelRefused) {
        // Counted after each packet, so there are never many.
        if self.refused.len() < limits::DATA_EVENTS_WAITING_MAX {
            self.refused.push_back(refused);
        }
    }

    fn send_dcep(&mut self, stream: u16, message: Vec<u8>, now: Timestamp) -> bool {
        let delivery = Delivery { ordered: true, reliability: Reliability::Reliable };
        let how = Sending { stream, ppid: ppid::DCEP, delivery, lifetime_max: None };
        self.association.send(how, message, now)
    }

    fn take_events(&mut self, now: Timestamp) {
        while let Some(event) = self.association.poll_event() {
            match event {
                AssociationEvent::Connected => self.events.push_back(ChannelEvent::Connected),
                AssociationEvent::Message { stream, ppid: ppid::DCEP, payload } => {
                    self.take_dcep(stream, &payload, now);
                }
                AssociationEvent::Message { stream, ppid, payload } => self.take_message(stream, ppid, payload),
                AssociationEvent::PeerReset(stream) => {
                    // Its direction has ended; so does ours.
                    match self.channel(stream).map(|channel| channel.state) {
                        Some(State::Closing) => {}
                        Some(State::Opening | State::Open) => self.close(stream, now),
                        None => {}
                    }
                }
                AssociationEvent::Reset(stream) => {
                    let before = self.channels.len();
                    self.channels.retain(|channel| channel.stream != stream);
                    if self.channels.len() < before {
                        self.events.push_back(ChannelEvent::Closed(stream));
                    }
                }
                AssociationEvent::Ended => {
                    self.channels.clear();
                    self.events.push_back(ChannelEvent::Ended);
                }
            }
        }
    }

    fn take_dcep(&mut self, stream: u16, payload: &[u8], now: Timestamp) {
        match DcepMessage::parse(payload) {
            Ok(DcepMessage::Ack) => {
                let opening = |channel: &&mut Channel| channel.stream == stream && channel.state == State::Opening;
                if let Some(channel) = self.channels.iter_mut().find(opening) {
                    channel.state = State::Open;
                    self.events.push_back(ChannelEvent::Acknowledged(stream));
                }
            }
            Ok(DcepMessage::Open(terms)) => {
                // Any free stream is taken, whatever its parity: not all clients number by their part in DTLS.
                let is_free = self.channel(stream).is_none();
                if !is_free || self.channels.len() >= limits::DATA_CHANNELS_PER_PEER_MAX {
                    self.refuse(ChannelRefused::Channel);
                    return self.refuse_channel(stream, now);
                }
                self.channels.push(Channel { stream, delivery: terms.delivery, state: State::Open });
                self.send_dcep(stream, ACK_MESSAGE.to_vec(), now);
                self.events.push_back(ChannelEvent::Opened { stream, terms });
            }
            Err(error) => {
                self.refuse(ChannelRefused::Dcep(error));
                self.refuse_channel(stream, now);
            }
        }
    }

    /// Closes a channel that was refused, whether or not there was one.
    fn refuse_channel(&mut self, stream: u16, now: Timestamp) {
        match self.channel(stream) {
            Some(_) => self.close(stream, now),
            None => self.association.reset(stream, now),
        }
    }

    fn take_message(&mut self, stream: u16, ppid: u32, payload: Vec<u8>) {
        let kind = match ppid {
            ppid::STRING | ppid::STRING_EMPTY => MessageKind::Text,
            ppid::BINARY | ppid::BINARY_EMPTY => MessageKind::Binary,
            _ => return self.refuse(ChannelRefused::Message),
        };
        let is_empty = matches!(ppid, ppid::STRING_EMPTY | ppid::BINARY_EMPTY);
        if self.channel(stream).is_none_or(|channel| channel.state == State::Closing) {
            return self.refuse(ChannelRefused::Message);
        }
        let payload = if is_empty { Vec::new() } else { payload };
        self.events.push_back(ChannelEvent::Message { stream, kind, payload });
    }
}

#[cfg(test)]
mod tests;
