//! A worker's own counters: cumulative, named once, told in [`super::report`].

use std::collections::BTreeMap;

use crate::bandwidth::why::Why;
use crate::worker::mailbox::{EndReason, Rekeyed};
use crate::worker::reason::DropReason;
use crate::worker::report::{Traffic, WorkerReport};

/// What a worker counted since its start.
#[derive(Debug, Default)]
pub(super) struct Counters {
    rounds: u64,
    forwarded: Traffic,
    retransmitted: Traffic,
    channel_messages_received: u64,
    channel_messages_sent: u64,
    channel_messages_back: u64,
    joins: u64,
    connected: u64,
    /// Of viewers that left; those of the present ones are in their subscriptions.
    cursor_skips: u64,
    handshakes_deferred: u64,
    ended: Tally<{ EndReason::COUNT }>,
    /// Decisions of what viewers are sent.
    switched: Tally<{ Why::COUNT }>,
    /// Changes of keys, by what became of them.
    rekeyed: Tally<{ Rekeyed::COUNT }>,
    dropped: Tally<{ DropReason::COUNT }>,
}

/// One count for each reason of an enum: an array, so that counting costs one addition, whatever a peer does.
#[derive(Debug)]
struct Tally<const REASONS: usize>([u64; REASONS]);

impl<const REASONS: usize> Default for Tally<REASONS> {
    fn default() -> Self {
        Self([0; REASONS])
    }
}

impl<const REASONS: usize> Tally<REASONS> {
    /// The counts by name, those of zero left out.
    fn by_name(&self, names: impl Iterator<Item = &'static str>) -> BTreeMap<&'static str, u64> {
        names.zip(self.0).filter(|&(_, count)| count > 0).collect()
    }
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

    /// Counts a message of a publisher's data channel.
    pub(super) fn channel_message_received(&mut self) {
        self.channel_messages_received += 1;
    }

    /// Counts messages of data channels that a viewer was given.
    pub(super) fn channel_messages_sent(&mut self, messages: u64) {
        self.channel_messages_sent += messages;
    }

    /// Counts a viewer's message that its publisher was given.
    pub(super) fn channel_message_back(&mut self) {
        self.channel_messages_back += 1;
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
        self.ended.0[reason as usize] += 1;
    }

    /// Counts a decision of what a viewer is sent.
    pub(super) fn switched(&mut self, why: Why) {
        self.switched.0[why as usize] += 1;
    }

    /// Counts a change of keys.
    pub(super) fn rekeyed(&mut self, outcome: Rekeyed) {
        self.rekeyed.0[outcome as usize] += 1;
    }

    /// Counts one thing dropped or refused.
    pub(super) fn dropped(&mut self, reason: impl Into<DropReason>) {
        self.dropped_many(reason, 1);
    }

    #[inline]
    pub(super) fn dropped_many(&mut self, reason: impl Into<DropReason>, count: u64) {
        self.dropped.0[reason.into() as usize] += count;
    }

    /// Fills in what is counted here.
    pub(super) fn tell(&self, report: &mut WorkerReport) {
        report.rounds = self.rounds;
        report.forwarded = self.forwarded;
        report.retransmitted = self.retransmitted;
        report.channel_messages_received = self.channel_messages_received;
        report.channel_messages_sent = self.channel_messages_sent;
        report.channel_messages_back = self.channel_messages_back;
        report.joins = self.joins;
        report.connected = self.connected;
        report.handshakes_deferred = self.handshakes_deferred;
        report.ended = self.ended.by_name(EndReason::ALL.iter().map(|reason| reason.name()));
        report.switches = self.switched.by_name(Why::ALL.iter().map(|why| why.name()));
        report.rekeys = self.rekeyed.by_name(Rekeyed::ALL.iter().map(|outcome| outcome.name()));
        report.dropped = self.dropped.by_name(DropReason::ALL.iter().map(|reason| reason.name()));
        *report.dropped.entry(DropReason::CursorSkips.name()).or_default() += self.cursor_skips;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::session::Rejected;

    /// Names as metrics and dashboards know them; `names` are those of one enum.
    fn check_names(names: &[&str]) {
        let unique: BTreeSet<&&str> = names.iter().collect();
        assert_eq!(unique.len(), names.len(), "a name stands for two reasons: {names:?}");
        for name in names {
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
        }
    }

    #[test]
    fn names_are_unique_and_snake_case() {
        check_names(&DropReason::ALL.iter().map(|reason| reason.name()).collect::<Vec<_>>());
        check_names(&EndReason::ALL.iter().map(|reason| reason.name()).collect::<Vec<_>>());
        check_names(&Rekeyed::ALL.iter().map(|outcome| outcome.name()).collect::<Vec<_>>());
    }

    #[test]
    fn a_reason_is_its_own_place_in_the_list_of_all() {
        for (index, &reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(reason as usize, index);
        }
        for (index, &reason) in EndReason::ALL.iter().enumerate() {
            assert_eq!(reason as usize, index);
        }
    }

    #[test]
    fn what_was_counted_is_told_by_name_and_nothing_else() {
        let mut counters = Counters::default();
        counters.dropped(DropReason::UnknownAddress);
        counters.dropped(Rejected::Unknown);
        counters.dropped_many(DropReason::SendFailed, 40);
        counters.dropped_many(DropReason::SocketBufferFull, 0);
        counters.ended(EndReason::SignallingLost);
        let mut report = WorkerReport::default();
        counters.tell(&mut report);
        let expected = [("cursor_skips", 0), ("not_demultiplexed", 1), ("send_failed", 40), ("unknown_address", 1)];
        assert_eq!(report.dropped, expected.into());
        assert_eq!(report.ended, [("signalling_lost", 1)].into());
    }
}
