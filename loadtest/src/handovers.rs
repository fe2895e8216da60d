//! A load thread's viewers whose keys change: each has two clients of its fleet for a while.
//!
//! ```text
//!  added ──▶ up to date ──(account: ready)──▶ the server is told ──▶ first one ended ──▶ what came is added up
//! ```
//!
//! The second client is up to date when it has a picture and has played for [`PLAYED`]. The server says that the first one has
//! ended by its DTLS close alert. What does not come to that within [`HANDOVER_MAX`] is given up and counted.

use std::collections::HashMap;
use std::time::Duration;

use corecast::lab::peer::fleet::Fleet;
use corecast::time::Timestamp;

use crate::load::Client;

/// How long a second transport plays before it is said to be in use: what the SDK takes for it.
const PLAYED: Duration = Duration::from_millis(700);
/// From a second transport's begin until it is given up. The server ends the first one after ten seconds by itself.
const HANDOVER_MAX: Duration = Duration::from_secs(20);
/// From the first one's end until losses are counted: retransmissions of what was on its way have come by then.
const ON_THE_WAY: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The second one connects, and begins to play then.
    Begins { since: Option<Timestamp> },
    /// The server is told that it is in use.
    Told,
    /// The first one has ended.
    Ended { at: Timestamp },
}

#[derive(Debug)]
struct Handover {
    viewer: u32,
    old: u32,
    new: u32,
    begun: Timestamp,
    stage: Stage,
}

/// The viewers of a load thread by their number, and those of them whose keys change.
#[derive(Debug, Default)]
pub(crate) struct Handovers {
    clients: HashMap<u32, u32>,
    under_way: Vec<Handover>,
}

impl Handovers {
    /// A viewer is there.
    pub(crate) fn add(&mut self, viewer: u32, client: u32) {
        self.clients.insert(viewer, client);
    }

    /// A viewer's first transport, before its second one is added.
    pub(crate) fn client(&self, viewer: u32) -> Option<u32> {
        self.clients.get(&viewer).copied()
    }

    /// A viewer's second transport is there.
    pub(crate) fn begin(&mut self, viewer: u32, new: u32, now: Timestamp) {
        if let Some(old) = self.client(viewer) {
            self.under_way.push(Handover { viewer, old, new, begun: now, stage: Stage::Begins { since: None } });
        }
    }

    /// Looks at all that are under way; the viewers whose second transport is to be used now.
    pub(crate) fn look(&mut self, fleet: &mut Fleet<Client>, now: Timestamp) -> Vec<u32> {
        let mut ready = Vec::new();
        let clients = &mut self.clients;
        self.under_way.retain_mut(|handover| {
            let goes_on = handover.look(fleet, now, &mut ready);
            if let Stage::Ended { .. } = handover.stage {
                clients.insert(handover.viewer, handover.new);
            }
            goes_on
        });
        ready
    }
}

impl Handover {
    /// Whether it goes on.
    fn look(&mut self, fleet: &mut Fleet<Client>, now: Timestamp, ready: &mut Vec<u32>) -> bool {
        match self.stage {
            Stage::Begins { since } => {
                let plays = fleet.agent_mut(self.new).and_then(Client::viewer_mut).is_some_and(|new| new.has_picture());
                if let Some(since) = since
                    && plays
                    && now.since(since) >= PLAYED
                {
                    ready.push(self.viewer);
                    self.stage = Stage::Told;
                } else if plays && since.is_none() {
                    self.stage = Stage::Begins { since: Some(now) };
                }
            }
            Stage::Told => {
                if fleet.agent_mut(self.old).and_then(Client::viewer_mut).is_none_or(|old| old.has_ended()) {
                    let ledger = fleet.remove(self.old).and_then(|mut old| old.viewer_mut()?.take_ledger());
                    let (agent, record) = fleet.agent_and_record(self.new);
                    if let Some((new, ledger)) = agent.and_then(Client::viewer_mut).zip(ledger) {
                        new.carries_on(ledger, now, record);
                    }
                    self.stage = Stage::Ended { at: now };
                }
            }
            Stage::Ended { at } if now.since(at) < ON_THE_WAY => {}
            Stage::Ended { .. } => {
                let (agent, record) = fleet.agent_and_record(self.new);
                if let Some(new) = agent.and_then(Client::viewer_mut) {
                    new.balance(record);
                }
                return false;
            }
        }
        let is_late = !matches!(self.stage, Stage::Ended { .. }) && now.since(self.begun) >= HANDOVER_MAX;
        if is_late {
            // The server ends it too.
            drop(fleet.remove(self.new));
            if let Some(old) = fleet.agent_mut(self.old).and_then(Client::viewer_mut) {
                old.goes_on();
            }
            fleet.record.counts.rekeys_given_up += 1;
        }
        !is_late
    }
}
