//! A worker's own counters: cumulative, named once, told in [`super::report`].

use std::collections::BTreeMap;

use crate::relay::publish::publication::NotForwarded;
use crate::worker::mailbox::EndReason;
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
    ended: BTreeMap<&'static str, u64>,
    dropped: BTreeMap<&'static str, u64>,
}

impl Counters {
    pub(super) fn ended(&mut self, reason: EndReason) {
        *self.ended.entry(reason.name()).or_default() += 1;
    }

    /// Counts one thing dropped or refused; `reason` is a name from the code, never a peer's text.
    pub(super) fn dropped(&mut self, reason: &'static str) {
        self.dropped_many(reason, 1);
    }

    pub(super) fn dropped_many(&mut self, reason: &'static str, count: u64) {
        if count > 0 {
            *self.dropped.entry(reason).or_default() += count;
        }
    }

    pub(super) fn ended_by_reason(&self) -> &BTreeMap<&'static str, u64> {
        &self.ended
    }

    pub(super) fn dropped_by_reason(&self) -> &BTreeMap<&'static str, u64> {
        &self.dropped
    }
}

pub(super) const fn not_forwarded_name(reason: NotForwarded) -> &'static str {
    match reason {
        NotForwarded::UnknownSource => "uplink_unknown_source",
        NotForwarded::UnknownPayloadType => "uplink_unknown_payload_type",
        NotForwarded::Probe => "uplink_probe",
        NotForwarded::Duplicate => "uplink_duplicate",
        NotForwarded::Malformed => "uplink_malformed",
    }
}
