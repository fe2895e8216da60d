//! Data channels of clients: SCTP over their DTLS by the node's own library, as `tests/worker_support` has it; what
//! publishers say, and what viewers hear of it.
//!
//! A publisher opens a channel of each kind. Each message tells by itself which it is. Loss of a publisher's own messages is
//! left to SCTP: what it says on a reliable channel reaches the node.

use std::collections::HashMap;
use std::time::Duration;

use corecast::crypto::random::{Random, SeededRandom};
use corecast::data::channels::{ChannelEvent, Channels};
use corecast::data::dcep::{ChannelTerms, Delivery, Reliability};
use corecast::data::{MessageKind, RETAIN};
use corecast::description::DtlsRole;
use corecast::lab::peer::ClientPeer;
use corecast::time::Timestamp;
use corecast::transport::TrainBatch;

use crate::check::Violation;
use crate::check::data::{Heard, Said, SharedTalk, Stamp};
use crate::scenario::{Sabotage, between, pick};

/// Bytes that may wait in a publisher's association before it says nothing more.
const WAITING_MAX: usize = 32 * 1024;

/// The channels of each publisher: order, reliability.
pub(crate) const KINDS: [Delivery; 4] = [
    Delivery { ordered: true, reliability: Reliability::Reliable },
    Delivery { ordered: false, reliability: Reliability::Reliable },
    Delivery { ordered: true, reliability: Reliability::Retransmits(0) },
    Delivery { ordered: false, reliability: Reliability::Retransmits(0) },
];

/// What one does with data.
pub(crate) enum Side {
    Publisher {
        talk: SharedTalk,
        streams: Vec<u16>,
        next: Timestamp,
        pause: Duration,
    },
    /// By SCTP stream: what it hears of the channel that is open there.
    Viewer {
        heard: HashMap<u16, Heard>,
    },
}

/// A client's data.
pub(crate) struct DataEnd {
    seed: u64,
    random: SeededRandom,
    pub(crate) channels: Option<Channels>,
    pub(crate) side: Side,
    /// Channels that were closed by the node, and messages of unreliable ones that did not come.
    pub(crate) closed: u64,
    pub(crate) dropped: u64,
    pub(crate) received: u64,
    pub(crate) sabotage: Option<Sabotage>,
}

impl DataEnd {
    pub(crate) fn publisher(talk: SharedTalk, seed: u64) -> Self {
        let mut random = SeededRandom::new(seed ^ 0xda7a);
        let pause = Duration::from_millis(pick(&mut random, &[20, 60, 250]));
        Self::new(Side::Publisher { talk, streams: Vec::new(), next: Timestamp::ZERO, pause }, random, seed)
    }

    pub(crate) fn viewer(seed: u64) -> Self {
        Self::new(Side::Viewer { heard: HashMap::new() }, SeededRandom::new(seed ^ 0xda7a), seed)
    }

    fn new(side: Side, random: SeededRandom, seed: u64) -> Self {
        Self { seed, random, channels: None, side, closed: 0, dropped: 0, received: 0, sabotage: None }
    }

    /// When it has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        let channels = self.channels.as_ref()?;
        let next = match &self.side {
            Side::Publisher { next, streams, .. } if !streams.is_empty() => Some(*next),
            Side::Publisher { .. } | Side::Viewer { .. } => None,
        };
        channels.next_deadline().into_iter().chain(next).min()
    }

    /// Whether a viewer has channels that are open.
    pub(crate) fn hears(&self) -> bool {
        matches!(&self.side, Side::Viewer { heard } if !heard.is_empty())
    }

    /// Takes what came, does what is due, and puts what is to be sent into the batch. Messages that were heard go to `hear`.
    pub(crate) fn serve(
        &mut self,
        peer: &mut ClientPeer,
        out: &mut TrainBatch,
        now: Timestamp,
        talks: &HashMap<u32, SharedTalk>,
        stream: usize,
    ) -> Result<(), Violation> {
        if self.channels.is_none() && peer.is_connected() {
            self.channels = Some(Channels::connecting(DtlsRole::Client, self.seed, now));
        }
        let Some(channels) = &mut self.channels else { return Ok(()) };
        while let Some(record) = peer.poll_data() {
            channels.handle_packet(&record, now);
        }
        if channels.next_deadline().is_some_and(|at| at <= now) {
            channels.handle_timeout(now);
        }
        let mut result = Ok(());
        while let Some(event) = channels.poll_event() {
            match (&mut self.side, event) {
                (Side::Publisher { streams, next, talk, .. }, ChannelEvent::Connected) => {
                    *next = now;
                    for (kind, delivery) in KINDS.into_iter().enumerate() {
                        let protocol = if kind == 0 && talk.borrow().retains { RETAIN } else { "" };
                        let label = format!("{}/{kind}", talk.borrow().publication);
                        let terms = ChannelTerms { label, protocol: protocol.to_owned(), delivery };
                        streams.extend(channels.open(&terms, now));
                    }
                }
                (Side::Publisher { streams, .. }, ChannelEvent::Ended) => streams.clear(),
                (Side::Viewer { heard }, ChannelEvent::Opened { stream: at, terms }) => {
                    result = result.and(Heard::begin(&terms, talks, stream, now).map(|new| {
                        heard.insert(at, new);
                    }));
                }
                (Side::Viewer { heard }, ChannelEvent::Message { stream: at, payload, .. }) => {
                    self.received += 1;
                    let is_chosen = self.received.is_multiple_of(30);
                    if is_chosen && self.sabotage == Some(Sabotage::LoseMessage) {
                        continue;
                    }
                    let of = heard.get_mut(&at).ok_or_else(|| Violation::new("data", "a message of no channel"));
                    let times = if is_chosen && self.sabotage == Some(Sabotage::RepeatMessage) { 2 } else { 1 };
                    result =
                        result.and_then(|()| of.and_then(|of| (0..times).try_for_each(|_| of.hear(&payload, now))));
                }
                (Side::Viewer { heard }, ChannelEvent::Closed(at)) => {
                    self.closed += 1;
                    self.dropped += heard.remove(&at).map_or(0, |heard| heard.dropped());
                }
                (Side::Viewer { heard }, ChannelEvent::Ended) => heard.clear(),
                _ => {}
            }
        }
        if let Side::Publisher { talk, streams, next, pause } = &mut self.side
            && *next <= now
            && !streams.is_empty()
        {
            *next = now + pause.mul_f64(0.5 + between(&mut self.random, 0, 1_000) as f64 / 1_000.0);
            let kind = self.random.u64() as usize % KINDS.len();
            let longest = if self.random.u64().is_multiple_of(16) { 12_000 } else { 600 };
            let len = between(&mut self.random, Stamp::BYTES as u64, longest) as usize;
            if let Some(at) = streams.get(kind)
                && channels.buffered(*at) < WAITING_MAX
            {
                let mut talk = talk.borrow_mut();
                let stamp =
                    Stamp { publication: talk.publication, kind: kind as u32, number: talk.said[kind].len() as u64 };
                if channels.send(*at, MessageKind::Binary, &stamp.message(len), None, now) {
                    talk.said[kind].push(Said { at: now, len });
                }
            }
        }
        while out.has_room_for(1)
            && let Some(packet) = channels.poll_packet()
        {
            peer.send_data(&packet, out, now);
        }
        result
    }
}
