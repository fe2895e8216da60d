//! The end of a run: everyone leaves, then nothing may be left, and the workers' own counters explain what is missing.

use std::time::Duration;

use corecast::limits;
use corecast::time::Timestamp;
use corecast::worker::timers::NEVER;

use crate::check::{Violation, queues};
use crate::faults::Fault;
use crate::scenario::Sabotage;
use crate::world::World;

const MS: Duration = Duration::from_millis(1);

impl World {
    /// Everyone leaves; then nothing may be left.
    pub(crate) fn end(&mut self) -> Result<(), Violation> {
        for worker in &mut self.nodes {
            worker.stalled_until = Timestamp::ZERO;
        }
        self.notices_from = Timestamp::ZERO;
        let mut spared = self.scenario.sabotage == Some(Sabotage::LeaveOne);
        for id in 0..self.clients.len() {
            if self.clients[id].agent.is_some() {
                let goodbye = id.is_multiple_of(2);
                self.drop_agent(id, goodbye);
            }
        }
        let until = self.now + 3_000 * MS;
        self.run_until(until)?;
        for id in 0..self.clients.len() {
            let is_session = self.clients[id].first == id;
            if is_session && self.clients[id].is_open && !std::mem::take(&mut spared) {
                self.close(id);
            }
        }
        // A session that was opened late, and every timer that was superseded.
        let until = self.now + 45_000 * MS;
        let until = if self.scenario.sabotage == Some(Sabotage::LeaveOne) { self.now + 3_000 * MS } else { until };
        self.run_until(until)?;
        if let Some(open) = self.clients.iter().position(|client| client.is_open) {
            return Err(Violation::new("nothing is left", format!("session {open} was closed and has not ended")));
        }
        for (number, node) in self.nodes.iter().enumerate() {
            queues::nothing_left(number, &node.worker.holdings())?;
            if !node.io.connections.is_empty() {
                let what = format!("worker {number} still has {} connections", node.io.connections.len());
                return Err(Violation::new("nothing is left", what));
            }
        }
        self.count_up()
    }

    /// Counters of the workers, and what can be judged only by the whole.
    fn count_up(&mut self) -> Result<(), Violation> {
        for connection in &self.connections {
            self.faults.merge(&connection.tcp.borrow().faults);
        }
        self.faults.add(Fault::DataClosed, self.data_closed);
        self.faults.add(Fault::DataDropped, self.data_dropped);
        let (mut lost_inside, mut skips) = (0, 0);
        for node in &mut self.nodes {
            let report = node.report();
            let dropped = |name: &str| report.dropped.get(name).copied().unwrap_or(0);
            self.faults.add(Fault::LaneFull, dropped("lane_full"));
            self.faults.add(Fault::UpstreamFull, dropped("upstream_mailbox_full"));
            self.faults.add(Fault::CursorSkip, dropped("cursor_skips"));
            self.faults.add(Fault::StartedAgain, dropped("key_frame_from_ring"));
            self.faults.merge(&node.io.faults);
            // What a lane could not take is not among them: its viewers go on behind the gap, without a hole, but for what had been overtaken.
            // While an address is another session's, whoever claimed it, what comes from there does not open.
            for name in ["unknown_address", "path_not_validated", "media_before_keys", "srtp_authentication"] {
                lost_inside += dropped(name);
            }
            skips += dropped("lane_full") + dropped("cursor_skips") + dropped("key_frame_from_ring");
            if std::env::var_os("SHOW").is_some() {
                eprintln!("{:?} ended {:?}", report.dropped, report.ended);
            }
        }
        for client in self.clients.iter().filter(|client| !client.is_forger) {
            self.totals.repeats += client.sealed.repeats;
            let stream = &self.streams[client.stream];
            // Nor is what the clock jumped over waited for.
            // Nor what a publisher's old transport still brings when the next one has taken over.
            let changes = self.scenario.rekeys > 0.0;
            let overtaken = if skips > 0 || !self.ahead.get().is_zero() || changes { stream.overtaken } else { 0 };
            let explained = stream.uplink_lost + lost_inside.min(stream.at_risk) + overtaken;
            let rtx = client.sources.video_rtx.map_or(0, |ssrc| client.sealed.missing(ssrc));
            let [video, audio] = [client.sources.video, client.sources.audio].map(|ssrc| client.sealed.missing(ssrc));
            // A hole is passed over with each start.
            let starts = 1 + self.faults.of(Fault::StartedAgain).min(limits::STARTS_AGAIN_MAX.into());
            let missing = video.max(audio);
            if video > starts * explained || audio > explained || rtx > 0 {
                let what = format!(
                    "session {} of stream {}: {missing} indexes ({} of sound) and {rtx} of retransmissions were passed over, \
                     {} lost before the node and {lost_inside} in it",
                    client.session.0,
                    client.stream,
                    client.sealed.missing(client.sources.audio),
                    stream.uplink_lost
                );
                return Err(Violation::new("no invented gap", what));
            }
        }
        self.note(8, 0, NEVER.as_nanos());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;

    #[test]
    fn an_empty_world_ends_as_it_began() {
        let scenario = Scenario { viewers: 0, duration: 100 * MS, ..Scenario::calm(1) };
        let (world, result) = World::run(scenario);
        assert_eq!(result, Ok(()));
        assert_eq!(world.totals.delivered, 0);
    }
}
