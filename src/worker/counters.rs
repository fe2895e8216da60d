//! A worker's own counters: cumulative, named once, told in [`super::report`].

use std::collections::BTreeMap;

use crate::worker::mailbox::EndReason;
use crate::worker::report::{Traffic, WorkerReport};

/// What a worker counted since its start.
#[derive(Debug, Default)]
pub(super) struct Counters {
    rounds: u64,
    forwarded: Traffic,
    retransmitted: Traffic,
    joins: u64,
    connected: u64,
    /// Of viewers that left; those of the present ones are in their subscriptions.
    cursor_skips: u64,
    handshakes_deferred: u64,
    ended: BTreeMap<&'static str, u64>,
    dropped: BTreeMap<&'static str, u64>,
}

impl Counters {
    pub(super) fn round_began(&mut self) {
        self.rounds += 1;
    }

    /// Counts what one visit sent.
    #[inline]
    pub(super) fn forwarded(&mut self, packets: u64, bytes: u64) {
        self.forwarded.packets += packets;
        self.forwarded.bytes += bytes;
    }

    /// Counts one packet sent again.
    pub(super) fn retransmitted(&mut self, len: usize) {
        self.retransmitted.add(Some(len));
    }

    pub(super) fn session_opened(&mut self) {
        self.joins += 1;
    }

    pub(super) fn session_connected(&mut self) {
        self.connected += 1;
    }

    /// Keeps the skips of a viewer that leaves: a counter outlives whom it counted.
    pub(super) fn cursor_skips_of_departed(&mut self, skips: u64) {
        self.cursor_skips += skips;
    }

    /// Counts a handshake's datagram that waits for a later round.
    pub(super) fn handshake_deferred(&mut self) {
        self.handshakes_deferred += 1;
    }

    pub(super) fn ended(&mut self, reason: EndReason) {
        *self.ended.entry(reason.name()).or_default() += 1;
    }

    /// Counts one thing dropped or refused; `reason` is a name from the code, never a peer's text.
    pub(super) fn dropped(&mut self, reason: &'static str) {
        self.dropped_many(reason, 1);
    }

    #[inline]
    pub(super) fn dropped_many(&mut self, reason: &'static str, count: u64) {
        if count > 0 {
            *self.dropped.entry(reason).or_default() += count;
        }
    }

    /// Fills in what is counted here.
    pub(super) fn tell(&self, report: &mut WorkerReport) {
        report.rounds = self.rounds;
        report.forwarded = self.forwarded;
        report.retransmitted = self.retransmitted;
        report.joins = self.joins;
        report.connected = self.connected;
        report.handshakes_deferred = self.handshakes_deferred;
        report.ended = self.ended.clone();
        report.dropped = self.dropped.clone();
        *report.dropped.entry("cursor_skips").or_default() += self.cursor_skips;
    }
}
