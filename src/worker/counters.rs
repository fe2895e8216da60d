//! A worker's own counters: cumulative, told in [`super::report`].

use std::collections::BTreeMap;

use crate::worker::mailbox::EndReason;
use crate::worker::reason::DropReason;
use crate::worker::report::Traffic;

/// What a worker counted since its start.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) rounds: u64,
    pub(super) forwarded: Traffic,
    pub(super) retransmitted: Traffic,
    pub(super) joins: u64,
    pub(super) connected: u64,
    pub(super) cursor_skips: u64,
    /// Datagrams of handshakes that waited for a later round.
    pub(super) handshakes_deferred: u64,
    ended: Tally<{ EndReason::COUNT }>,
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

impl Counters {
    pub(super) fn ended(&mut self, reason: EndReason) {
        self.ended.0[reason as usize] += 1;
    }

    /// Counts one thing dropped or refused.
    pub(super) fn dropped(&mut self, reason: impl Into<DropReason>) {
        self.dropped_many(reason, 1);
    }

    pub(super) fn dropped_many(&mut self, reason: impl Into<DropReason>, count: u64) {
        self.dropped.0[reason.into() as usize] += count;
    }

    /// The reasons that sessions ended for, with how many.
    pub(super) fn ended_by_reason(&self) -> BTreeMap<&'static str, u64> {
        seen(EndReason::ALL.iter().map(|reason| reason.name()), &self.ended)
    }

    /// The reasons that something was dropped for, with how often.
    pub(super) fn dropped_by_reason(&self) -> BTreeMap<&'static str, u64> {
        seen(DropReason::ALL.iter().map(|reason| reason.name()), &self.dropped)
    }
}

/// The counts by name, those of zero left out.
fn seen<const REASONS: usize>(
    names: impl Iterator<Item = &'static str>,
    counts: &Tally<REASONS>,
) -> BTreeMap<&'static str, u64> {
    names.zip(counts.0).filter(|&(_, count)| count > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Rejected;

    #[test]
    fn what_was_counted_is_told_by_name_and_nothing_else() {
        let mut counters = Counters::default();
        counters.dropped(DropReason::UnknownAddress);
        counters.dropped(Rejected::Unknown);
        counters.dropped_many(DropReason::SendFailed, 40);
        counters.dropped_many(DropReason::SocketBufferFull, 0);
        counters.ended(EndReason::SignallingLost);
        let expected = [("not_demultiplexed", 1), ("send_failed", 40), ("unknown_address", 1)];
        assert_eq!(counters.dropped_by_reason(), expected.into());
        assert_eq!(counters.ended_by_reason(), [("signalling_lost", 1)].into());
    }
}
