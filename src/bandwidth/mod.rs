//! What one viewer's network carries, and which of a track's encodings it is therefore sent.
//!
//! # What it is fed, what it answers
//!
//! ```text
//!  visits ── trains: numbers, bytes, when the kernel took them ──▶ history ─┐
//!  transport-wide feedback (which numbers arrived, and when) ───────────────┴▶ estimator ──▶ controller ──▶ a decision
//!  REMB, receiver reports (where there is no transport-wide feedback) ──────────▶ ┘   ▲                        and its reason
//!  the ladder: what each encoding takes ─────────────────────────────────────────────┘
//! ```
//!
//! Values and `now` go in, decisions come out: it reads no clock, sends nothing and knows no packet. [`Bandwidth`] is all of one
//! viewer's state, at most [`limits::BANDWIDTH_STATE_BYTES_MAX`] bytes.
//!
//! Browsers report only on packets that carry a transport-wide sequence number, so the node sets the rate of reports: two or three
//! frames a second are *sampled* while all is calm, eight where what is sent is more than half of what the network carries, and up to
//! twenty when the viewer has just come, when it switches, and when something looks wrong; eight again where that goes on
//! and nothing is decided ([`Bandwidth::samples`]).
//!
//! Where the viewer offers it (`transport-wide-cc-02`; no browser does by itself, our SDK does for Chromium), what ends a sampled
//! frame asks for feedback ([`Bandwidth::asked`]), which then comes at once and not 50 to 250 ms later. It saves no packets: a calm
//! Chromium sent 8.0 of RTCP and STUN a second with it and 8.1 without (three frames a second sampled; both with REMB for what
//! carries no number).
//!
//! # Rules
//!
//! - **Evidence** ([`estimator`]): the packets of a frame leave back to back, so their spread on arrival shows the bottleneck:
//!   *capacity* is the median of such rates, the *free share* a low one of the newest. *Queue* is how much later than the
//!   fastest of the last ten seconds a train arrived. *Loss* is judged by the transport-wide numbers only: receiver reports count
//!   the uplink's holes too. *Delivered* is what was sent, times how much of it arrived, stretched by the queue's growth.
//! - **Down** ([`controller`]): two samples of more than 100 ms of queue, or loss well above what this path always loses. One
//!   decision: the best encoding of at most 0.8 × min(delivered, free share), and at least one lower. A browser asks for what is
//!   lost at once ([`missed`]), sooner than it reports on the next sampled frame: where that shows a long queue, or that more than
//!   a third is lost, it is enough.
//! - **All at once** far too narrow (a queue of 200 ms, a train at far less than the rate of what is sent, heavy loss): nothing more
//!   is sent of the present encoding, nor repeated, as it would only wait or be lost. The next begins when a full queue has
//!   room for its key frame by the newest rate; where none is known, when two thirds of what waits have left.
//! - **Up**: two seconds with less than 20 ms of queue (more where it jitters), and a free share of 1.3 × what the encoding takes. Then
//!   it is a *trial*: two samples of more than 60 ms, or loss, within two seconds end it, and the next waits twice as long (5 to 240 s),
//!   unless the free share has grown meanwhile. Where a trial shows less than a fourth of what was measured, as behind a large token
//!   bucket, it waits 60 s at least, and then tries the next encoding only.
//! - **Probe**: where frames have too few packets, so that nothing spreads, six packets once more (RTX) every four seconds. Where
//!   that found room, fourteen make sure of it before more is sent: a receiver that was busy for a moment reports what waited for it
//!   as if it had come at once, and a trial behind a thin link is a picture that stands still.
//! - **Start**: the lowest encoding, until something is known (`worker/outbound/ladder.rs`).
//! - **Sound** is not sampled: its packets come alone, and would take the turns of frames.
//! - **Sound only**: where even the lowest encoding does not fit for three seconds. It is tried again after the same waits:
//!   without a picture nothing is measured, so that nothing else could end it.
//! - A still picture or a pause of the publisher is no evidence: the estimate is held.
//! - Feedback about numbers so old that they are forgotten means a delay longer than the history: it counts as queue.
//!
//! # What a peer may do
//!
//! Feedback is a claim. It decides what the claimant is sent and nothing else. Numbers that were never sent are ignored and
//! counted, a status counts once, and what one report and one second may cost is bounded.
//!
//! # Not here
//!
//! Pacing ([`crate::relay::play::pacing`]), the switch itself (`worker/outbound/switch.rs`), and what a
//! *publisher* may send (its own estimator does that with [`crate::relay::publish::arrivals`]).

pub mod controller;
pub mod estimator;
pub mod history;
mod millis;
mod missed;
pub mod rate;
pub mod why;

#[cfg(test)]
mod links;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::limits;
use crate::time::Timestamp;
use crate::wire::rtcp::transport_feedback::TransportFeedback;

use controller::{Controller, Decision, Place, Room};
use estimator::{Estimator, Source};
use history::{Folded, History};
use millis::Millis;

/// One viewer's estimate and what was decided by it.
#[derive(Debug)]
pub struct Bandwidth {
    history: History,
    estimator: Estimator,
    controller: Controller,
}

const _: () = assert!(size_of::<Bandwidth>() <= limits::BANDWIDTH_STATE_BYTES_MAX);

impl Bandwidth {
    /// Nothing is known yet of a viewer that has just come.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        let now = Millis::of(now);
        Self { history: History::new(now), estimator: Estimator::new(now), controller: Controller::new(now) }
    }

    /// Whether the packets of a visit are to carry transport-wide numbers. Ask once per visit; true until the frame ends
    /// ([`Self::stamp`]).
    #[inline]
    pub fn samples(&mut self, now: Timestamp) -> bool {
        let now = Millis::of(now);
        let interval = if self.controller.is_alert(now) || self.estimator.is_newly_suspect(now) {
            limits::SAMPLE_INTERVAL_ALERT
        } else if self.estimator.is_suspect(now) {
            limits::SAMPLE_INTERVAL_TIGHT
        } else {
            match self.controller.room() {
                Room::Tight => limits::SAMPLE_INTERVAL_TIGHT,
                Room::Some => limits::SAMPLE_INTERVAL_CALM,
                Room::Ample => limits::SAMPLE_INTERVAL_AMPLE,
            }
        };
        self.history.samples(interval, now)
    }

    fn is_alert(&self, now: Millis) -> bool {
        self.controller.is_alert(now) || self.estimator.is_suspect(now)
    }

    /// When [`Self::samples`] is to be asked again, at `now` or later: what comes before then is not sampled, unless something is
    /// heard or decided meanwhile. So a visit need not look at the estimate, which may be in no cache.
    #[inline]
    #[must_use]
    pub fn next_sample(&self, now: Timestamp) -> Timestamp {
        let wait_ms = if self.is_sampling() { 0 } else { self.history.due().since(Millis::of(now)) };
        now + Duration::from_millis(wait_ms.into())
    }

    /// Whether further packets of the frame are sampled.
    #[inline]
    #[must_use]
    pub const fn is_sampling(&self) -> bool {
        self.history.is_sampling()
    }

    /// What follows does not leave together with what was stamped so far: a pause of the pacer, or a probe.
    pub fn paused(&mut self) {
        self.history.cut();
    }

    /// The number of a packet that leaves with a sampled visit.
    #[inline]
    pub fn stamp(&mut self, bytes: usize, ends_frame: bool, now: Timestamp) -> u16 {
        self.history.stamp(bytes, ends_frame, Millis::of(now))
    }

    /// Of how many packets up to the one that was stamped last feedback is to be asked for, where it comes on request; 0: of none.
    /// What ends a frame asks for all that nothing was told of. Where that was lost, as the end of a frame is on a full link, the
    /// beginning of the next one asks.
    #[inline]
    #[must_use]
    pub fn asked(&self, now: Timestamp) -> u16 {
        let untold = self.history.untold();
        let enough = if self.is_alert(Millis::of(now)) { limits::ASKED_PACKETS_MIN } else { 1 };
        let is_repeat = self.history.begins_train() && untold > 1;
        let asks = if self.is_sampling() { is_repeat } else { untold >= enough };
        if asks { untold.min(limits::ASKED_PACKETS_MAX) } else { 0 }
    }

    /// The number of the next packet that is stamped.
    #[inline]
    #[must_use]
    pub fn next_number(&self) -> u16 {
        self.history.next_number()
    }

    /// The kernel was handed the packets from `number` on, at `now`, and took them; or refused one of them, which is this node's loss.
    pub fn left(&mut self, number: u16, taken: bool, now: Timestamp) {
        self.history.left(number, taken, now);
    }

    /// Folds in transport-wide feedback. `sent_bytes` is what the viewer was sent so far.
    pub fn transport_feedback(&mut self, feedback: &TransportFeedback<'_>, sent_bytes: u64, now: Timestamp) -> Folded {
        let millis = Millis::of(now);
        if !self.estimator.may_be_told(millis) {
            return Folded { over_rate: true, ..Folded::default() };
        }
        let Self { history, estimator, .. } = self;
        let mut folded = Folded::default();
        history.fold(feedback, now, &mut folded, |observation| estimator.observe(observation, millis));
        estimator.told(sent_bytes, millis);
        folded
    }

    /// Takes a receiver's own estimate: a ceiling where nothing better comes.
    pub fn remb(&mut self, bits_per_second: u64, now: Timestamp) {
        self.estimator.remb(bits_per_second, Millis::of(now));
    }

    /// Takes a receiver report: what there is to go by where no transport-wide feedback comes. `fraction_lost` is in 1/256.
    pub fn receiver_report(&mut self, round_trip_us: u64, fraction_lost: u8, now: Timestamp) {
        if self.estimator.source() == Source::Transport && !self.history.is_unanswered() {
            return;
        }
        self.estimator.receiver_report(round_trip_us, fraction_lost, Millis::of(now));
    }

    /// It asks again for a packet that it was sent, by its sequence number on the present encoding. Whether for the first time.
    pub fn missed(&mut self, sequence_number: u16, now: Timestamp) -> bool {
        self.estimator.missed(sequence_number, Millis::of(now))
    }

    /// What came behind packets that it asked for the first time had waited so long in its network. Whether that, or how much it
    /// asks for, is a sign that something is to be decided.
    pub fn missed_late(&mut self, waited: Duration, now: Timestamp) -> bool {
        self.estimator.missed_late(u16::try_from(waited.as_millis()).unwrap_or(u16::MAX), Millis::of(now))
    }

    /// Its path is a connection that takes nothing for now, or takes it again: what waits in it is a queue.
    pub fn blocked(&mut self, is_blocked: bool, now: Timestamp) {
        self.estimator.blocked(is_blocked, Millis::of(now));
    }

    /// What is to be done now, if anything is.
    pub fn decide(&mut self, place: &Place<'_>, now: Timestamp) -> Option<Decision> {
        self.controller.decide(&mut self.estimator, place, Millis::of(now))
    }

    /// How many packets are to be repeated now with numbers ([`Self::stamp`]), to find out whether there is room for more: none, or
    /// at most [`limits::PROBE_PACKETS_SURE`].
    pub fn probe(&mut self, place: &Place<'_>, now: Timestamp) -> usize {
        let packets = self.controller.probe(&self.estimator, place, Millis::of(now));
        if packets > 0 {
            self.history.cut();
        }
        packets
    }

    /// Whether little was heard of its network yet, and nothing decided.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.controller.is_new() && self.estimator.is_new()
    }

    /// What is known.
    #[must_use]
    pub const fn estimator(&self) -> &Estimator {
        &self.estimator
    }

    /// What was decided last, and why.
    #[must_use]
    pub const fn controller(&self) -> &Controller {
        &self.controller
    }
}
