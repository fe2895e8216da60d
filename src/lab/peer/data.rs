//! Data channels of a load test: a publisher sends stamped messages at a rate, and viewers count what comes of them.
//!
//! Open loop, as media is: message *n* is due at its time whatever the server does. Its number and send time are at its end
//! ([`super::stamp`]), so that a viewer knows what it has missed and how old a message is.
//!
//! Left out: messages from viewers; more than one channel; a channel for each viewer's own wishes.

use std::time::Duration;

use super::client::ClientPeer;
use super::record::{LoadRecord, note};
use super::stamp::{BYTES, Stamp};
use crate::data::MessageKind;
use crate::data::channels::{ChannelEvent, Channels};
use crate::data::dcep::{ChannelTerms, Delivery, Reliability};
use crate::description::DtlsRole;
use crate::limits;
use crate::time::Timestamp;
use crate::transport::train::TrainBatch;

/// A message is late when it took longer: the age at which the node gives up what is not reliable.
pub const LATE: Duration = limits::DATA_UNRELIABLE_AGE_MAX;

/// The shortest message: a stamp behind a head of its own.
pub const MESSAGE_BYTES_MIN: usize = BYTES + 4;

/// What a publisher sends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DataScript {
    /// Messages a second; 0 opens the channel and sends nothing.
    pub rate: f64,
    /// Bytes of each, at least [`MESSAGE_BYTES_MIN`].
    pub bytes: usize,
    /// Ordered and reliable, or neither.
    pub reliable: bool,
}

impl DataScript {
    fn terms(&self) -> ChannelTerms {
        let delivery = match self.reliable {
            true => Delivery { ordered: true, reliability: Reliability::Reliable },
            false => Delivery { ordered: false, reliability: Reliability::Retransmits(0) },
        };
        ChannelTerms { label: "load".to_owned(), protocol: String::new(), delivery }
    }
}

/// An association over a client's connection.
#[derive(Debug)]
struct Link {
    role: DtlsRole,
    seed: u64,
    channels: Option<Box<Channels>>,
}

impl Link {
    fn new(peer: &mut ClientPeer, role: DtlsRole, seed: u64) -> Self {
        peer.carry_data();
        Self { role, seed, channels: None }
    }

    /// Takes what came and does what is due.
    fn receive(&mut self, peer: &mut ClientPeer, now: Timestamp) {
        if self.channels.is_none() && peer.is_connected() {
            self.channels = Some(Box::new(Channels::connecting(self.role, self.seed, now)));
        }
        let Some(channels) = &mut self.channels else { return };
        while let Some(packet) = peer.poll_data() {
            channels.handle_packet(&packet, now);
        }
        if channels.next_deadline().is_some_and(|due| due <= now) {
            channels.handle_timeout(now);
        }
    }

    /// Sends what waits, as far as there is room.
    fn send(&mut self, peer: &mut ClientPeer, out: &mut TrainBatch, now: Timestamp) {
        let Some(channels) = &mut self.channels else { return };
        while out.has_room(limits::DATAGRAM_OUT_BYTES_MAX)
            && let Some(packet) = channels.poll_packet()
        {
            // What is not taken is lost as on a network.
            peer.send_data(&packet, out, now);
        }
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        let channels = self.channels.as_ref()?;
        if channels.has_packets() { Some(Timestamp::ZERO) } else { channels.next_deadline() }
    }
}

/// A publisher's channel.
#[derive(Debug)]
pub(super) struct DataSource {
    link: Link,
    script: DataScript,
    stream: Option<u16>,
    /// When the first message was due: when the server had acknowledged the channel.
    begun: Option<Timestamp>,
    messages: u32,
}

impl DataSource {
    pub(super) fn new(peer: &mut ClientPeer, role: DtlsRole, script: DataScript, seed: u64) -> Self {
        Self { link: Link::new(peer, role, seed), script, stream: None, begun: None, messages: 0 }
    }

    /// Takes what came, and sends what is due; no message once `stopped`.
    pub(super) fn serve(
        &mut self,
        peer: &mut ClientPeer,
        out: &mut TrainBatch,
        now: Timestamp,
        stopped: bool,
        record: &mut LoadRecord,
    ) {
        self.link.receive(peer, now);
        let Some(channels) = &mut self.link.channels else { return };
        while let Some(event) = channels.poll_event() {
            match event {
                ChannelEvent::Connected => self.stream = channels.open(&self.script.terms(), now),
                ChannelEvent::Acknowledged(_) => self.begun = Some(now),
                ChannelEvent::Closed(_) | ChannelEvent::Ended => {
                    record.counts.data_closed += 1;
                    self.begun = None;
                }
                ChannelEvent::Opened { .. } | ChannelEvent::Message { .. } => {}
            }
        }
        while let (Some(due), Some(stream)) = (self.next_message().filter(|due| *due <= now && !stopped), self.stream) {
            note(&mut record.send_late_us, now.since(due));
            let mut payload = vec![b'.'; self.script.bytes.max(MESSAGE_BYTES_MIN)];
            Stamp { sent: now, layer: 0, number: self.messages }.write(&mut payload);
            self.messages += 1;
            let Some(channels) = &mut self.link.channels else { return };
            let taken = channels.send(stream, MessageKind::Binary, &payload, None, now);
            record.counts.data_sent += u64::from(taken);
        }
        self.link.send(peer, out, now);
    }

    fn next_message(&self) -> Option<Timestamp> {
        let begun = self.begun.filter(|_| self.script.rate > 0.0)?;
        Some(begun + Duration::from_secs_f64(f64::from(self.messages) / self.script.rate))
    }

    pub(super) fn next_deadline(&self, stopped: bool) -> Option<Timestamp> {
        let message = self.next_message().filter(|_| !stopped);
        [message, self.link.next_deadline()].into_iter().flatten().min()
    }
}

/// What a viewer does with channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataViewer {
    /// It takes every message.
    Reads,
    /// Once a channel is open it takes nothing and acknowledges nothing; its media goes on.
    Stalls,
}

/// A viewer's channels.
#[derive(Debug)]
pub(super) struct DataSink {
    link: Link,
    what: DataViewer,
    is_stalled: bool,
    /// The number after the highest message that came.
    next: Option<u32>,
}

impl DataSink {
    pub(super) fn new(peer: &mut ClientPeer, role: DtlsRole, what: DataViewer, seed: u64) -> Self {
        Self { link: Link::new(peer, role, seed), what, is_stalled: false, next: None }
    }

    pub(super) fn serve(
        &mut self,
        peer: &mut ClientPeer,
        out: &mut TrainBatch,
        now: Timestamp,
        record: &mut LoadRecord,
    ) {
        if self.is_stalled {
            while peer.poll_data().is_some() {}
            return;
        }
        self.link.receive(peer, now);
        let Some(channels) = &mut self.link.channels else { return };
        while let Some(event) = channels.poll_event() {
            match event {
                ChannelEvent::Message { payload, .. } => count(&mut self.next, &payload, now, record),
                ChannelEvent::Connected => record.counts.data_connected += 1,
                ChannelEvent::Closed(_) | ChannelEvent::Ended => record.counts.data_closed += 1,
                ChannelEvent::Opened { .. } => self.is_stalled = self.what == DataViewer::Stalls,
                ChannelEvent::Acknowledged(_) => {}
            }
        }
        self.link.send(peer, out, now);
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.link.next_deadline().filter(|_| !self.is_stalled)
    }
}

/// Counts a message, and those between it and the highest before it.
fn count(next: &mut Option<u32>, payload: &[u8], now: Timestamp, record: &mut LoadRecord) {
    let Some(Stamp { sent, number, .. }) = Stamp::read(payload) else { return };
    let counts = &mut record.counts;
    counts.data_received += 1;
    let expected = next.unwrap_or(number);
    match number.checked_sub(expected) {
        Some(skipped) => {
            counts.data_missing += u64::from(skipped);
            *next = number.checked_add(1);
        }
        // SCTP delivers nothing twice.
        None => counts.data_filled += 1,
    }
    let age = now.since(sent);
    counts.data_late += u64::from(age > LATE);
    note(&mut record.data_latency_us, age);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_skipped_is_missing_until_it_comes_and_what_is_old_is_late() {
        let (mut next, mut record) = (None, LoadRecord::default());
        let mut come = |number, age_ms: u64, record: &mut LoadRecord| {
            let mut payload = vec![0; MESSAGE_BYTES_MIN];
            assert!(Stamp { sent: Timestamp::from_millis(10_000), layer: 0, number }.write(&mut payload));
            count(&mut next, &payload, Timestamp::from_millis(10_000 + age_ms), record);
        };
        come(7, 1, &mut record);
        come(10, 501, &mut record);
        come(8, 500, &mut record);
        count(&mut Some(3), b"not of this tester", Timestamp::ZERO, &mut record);
        let counts = record.counts;
        assert_eq!((counts.data_received, counts.data_missing, counts.data_filled, counts.data_late), (3, 2, 1, 1));
        assert_eq!((counts.data_lost(), record.data_latency_us.len()), (1, 3));
    }
}
