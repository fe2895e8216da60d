//! A narrow link to one client, and a client that reports on what comes over it as browsers do.

use std::time::Duration;

use corecast::time::Timestamp;
use corecast::wire::rtcp::transport_feedback::{self, FeedbackHeader};
use corecast::wire::rtp::RtpPacket;

use super::MS;

/// The identifier of the transport-wide sequence number's extension on a viewer's packets.
pub(crate) const TRANSPORT_CC: u8 = 3;

/// A queue that drains at a rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bottleneck {
    pub(crate) kbps: u64,
    /// What finds more before itself is dropped.
    pub(crate) queue: Duration,
    idle_at: Timestamp,
}

impl Bottleneck {
    pub(crate) fn new(kbps: u64) -> Self {
        Self { kbps, queue: 300 * MS, idle_at: Timestamp::ZERO }
    }

    /// How long a datagram waits and takes; `None` where the queue is full.
    pub(crate) fn pass(&mut self, bytes: usize, now: Timestamp) -> Option<Duration> {
        let waits = self.idle_at.since(now);
        if waits > self.queue {
            return None;
        }
        let takes = waits + Duration::from_nanos(bytes as u64 * 8 * 1_000_000 / self.kbps);
        self.idle_at = now + takes;
        Some(takes)
    }
}

/// Arrivals that are reported every 60 ms, or when a packet asks for it.
#[derive(Debug, Default)]
pub(crate) struct Reporter {
    /// The first number that was asked for, and the last.
    asked: Option<(u16, u16)>,
    /// Reports.
    pub(crate) reports: u32,
    arrived: Vec<(u16, Timestamp)>,
    told_to: Option<u16>,
    due: Timestamp,
    count: u8,
}

impl Reporter {
    /// The transport-wide number of a packet.
    pub(crate) fn number_of(packet: &RtpPacket<'_>) -> Option<u16> {
        let (_, value) = packet.extensions().find(|&(id, _)| id == TRANSPORT_CC)?;
        Some(u16::from_be_bytes(value.first_chunk().copied()?))
    }

    /// Of how many packets a packet asks for feedback; `None` where that comes by itself.
    pub(crate) fn asked_by(packet: &RtpPacket<'_>) -> Option<u16> {
        let (_, value) = packet.extensions().find(|&(id, _)| id == TRANSPORT_CC)?;
        let [_, _, high, low] = value.try_into().ok()?;
        let asked = u16::from_be_bytes([high, low]);
        assert_eq!(asked & 0x8000 != 0, asked != 0, "always with times: {asked:#x}");
        Some(asked & 0x7fff)
    }

    pub(crate) fn arrived(&mut self, number: u16, asked: Option<u16>, at: Timestamp) {
        self.arrived.push((number, at));
        match asked {
            None => {}
            Some(0) => self.due = Timestamp::from_nanos(u64::MAX),
            Some(asked) => {
                self.due = at;
                self.asked = Some((number.wrapping_sub(asked - 1), number));
            }
        }
    }

    pub(crate) fn next_deadline(&self) -> Timestamp {
        self.due
    }

    /// What is due to be told.
    pub(crate) fn poll(&mut self, now: Timestamp) -> Option<Vec<u8>> {
        if now < self.due {
            return None;
        }
        self.due = now + 60 * MS;
        if let Some((first, last)) = self.asked.take() {
            self.due = Timestamp::from_nanos(u64::MAX);
            return Some(self.tell(first, last));
        }
        let base =
            self.told_to.map(|number| number.wrapping_add(1)).or(self.arrived.first().map(|&(number, _)| number))?;
        let behind = |number: u16| number.wrapping_sub(base);
        let last = self
            .arrived
            .iter()
            .map(|&(number, _)| number)
            .filter(|&number| behind(number) < 0x8000)
            .max_by_key(|&number| behind(number))?;
        self.told_to = Some(last);
        Some(self.tell(base, last))
    }

    fn tell(&mut self, base: u16, last: u16) -> Vec<u8> {
        let behind = |number: u16| number.wrapping_sub(base);
        let mut arrivals = vec![None; usize::from(behind(last)) + 1];
        for (number, at) in self.arrived.drain(..) {
            if let Some(place) = arrivals.get_mut(usize::from(behind(number))) {
                *place = Some(at.as_nanos() / 1_000 + 123_456_789);
            }
        }
        let feedback = feedback(base, self.count, &arrivals);
        self.count = self.count.wrapping_add(1);
        self.reports += 1;
        feedback
    }
}

/// A feedback packet that tells these arrivals, in microseconds, from `base` on.
pub(crate) fn feedback(base: u16, count: u8, arrivals_us: &[Option<u64>]) -> Vec<u8> {
    let mut statuses = vec![None; arrivals_us.len()];
    let quantised = transport_feedback::quantise(arrivals_us, &mut statuses);
    let header = FeedbackHeader {
        sender_ssrc: 1,
        media_ssrc: 2,
        base_sequence: base,
        reference_time: quantised.reference_time,
        feedback_count: count,
    };
    let mut bytes = vec![0; 1_200];
    let written = transport_feedback::write(&mut bytes, &header, &statuses[..quantised.statuses]).expect("they fit");
    bytes.truncate(written.len);
    bytes
}
