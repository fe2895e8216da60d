//! Signalling's requests.

use crate::crypto::random::Random;
use crate::limits;
use crate::net::Io;
use crate::time::Timestamp;
use crate::worker::control::layers;
use crate::worker::control::reporting::{self, ReportUnderWay};
use crate::worker::control::routes;
use crate::worker::lane::Lanes;
use crate::worker::lifecycle::Lifecycle;
use crate::worker::load::Load;
use crate::worker::mailbox::{Control, EndReason, Notice, OpenRefused, RekeyRefused, SessionId, Totals};
use crate::worker::outbound::switch;
use crate::worker::reason::DropReason;

/// What a request may change, and what a report tells of.
pub(in crate::worker) struct ControlPhase<'a> {
    pub(in crate::worker) lifecycle: Lifecycle<'a>,
    pub(in crate::worker) lanes: &'a mut Lanes,
    pub(in crate::worker) random: &'a mut dyn Random,
    pub(in crate::worker) shutting_down: &'a mut bool,
    pub(in crate::worker) load: &'a Load,
    pub(in crate::worker) started: Timestamp,
    pub(in crate::worker) report: &'a mut ReportUnderWay,
}

impl ControlPhase<'_> {
    /// Takes a bounded number of messages, and goes on with a report. Returns whether more messages wait.
    pub(in crate::worker) fn run<I: Io>(&mut self, io: &mut I, now: Timestamp) -> bool {
        let more = self.take_messages(io, now);
        reporting::step(self.report, &self.lifecycle, self.lanes, self.load, self.started, io, now);
        more
    }

    fn take_messages<I: Io>(&mut self, io: &mut I, now: Timestamp) -> bool {
        for _ in 0..limits::CONTROL_PER_ROUND_MAX {
            match self.lifecycle.mail.receive() {
                Ok(message) => self.handle(io, message, now),
                Err(flume::TryRecvError::Empty) => return false,
                Err(flume::TryRecvError::Disconnected) => {
                    // Signalling is gone, so is the node.
                    self.end_all(io, now);
                    return false;
                }
            }
        }
        true
    }

    fn handle<I: Io>(&mut self, io: &mut I, message: Control, now: Timestamp) {
        let Lifecycle { config, peers, streams, mail, .. } = &mut self.lifecycle;
        match message {
            Control::Open(request) => {
                let (session, reply) = (request.session, request.reply.clone());
                let answer = if *self.shutting_down {
                    Err(OpenRefused::ShuttingDown)
                } else {
                    self.lifecycle.open(*request, self.random, now).map(drop)
                };
                if let Err(why) = answer {
                    self.lifecycle.mail.notify(Notice::Refused { session, why });
                }
                if let Some(reply) = reply {
                    let _ = reply.try_send(answer);
                }
            }
            Control::RestartIce { session, local_ice, remote_ice } => {
                let Some(key) = peers.find_session(session) else { return };
                peers.add_ufrag(local_ice.ufrag.clone(), key);
                let retired = peers.get_mut(key).and_then(|peer| peer.session.restart_ice(local_ice, remote_ice));
                if let Some(retired) = retired {
                    peers.remove_ufrag(&retired);
                }
            }
            Control::Rekey { request, reply } => {
                let answer = match *self.shutting_down {
                    true => Err(RekeyRefused::ShuttingDown),
                    false => self.lifecycle.begin_rekey(*request, self.random, now),
                };
                let _ = reply.try_send(answer);
            }
            Control::Switched { session } => self.lifecycle.switched(session, now),
            Control::AbandonRekey { session } => self.lifecycle.abandon_rekey(session, now),
            Control::Close { session, reason } => {
                match peers.find_session(session) {
                    Some(key) => self.lifecycle.end(key, reason, now),
                    // Ended meanwhile, or never opened: signalling waits for the answer all the same.
                    None => mail.notify(Notice::Ended { session, reason, totals: Totals::default() }),
                }
            }
            Control::CloseIfSilent { session, silence, reason, reply } => {
                let key = peers.find_session(session);
                let last_heard = self.lifecycle.last_heard(session);
                let ends = last_heard.is_none_or(|last_heard| now.since(last_heard) >= silence);
                // One that has ended was told of in its turn.
                if let Some(key) = key.filter(|_| ends) {
                    self.lifecycle.end(key, reason, now);
                }
                let _ = reply.try_send(ends);
            }
            Control::Select { session, encoding } => {
                if let Some(key) = peers.find_session(session) {
                    switch::select(key, encoding, peers, streams);
                }
            }
            Control::Layers { session, request, reply } => {
                let _ = reply.try_send(layers::request(session, &request, peers, streams, mail));
            }
            Control::Route { stream, origin, audience } => {
                routes::set(stream, origin, audience, config.index, peers, streams, self.lanes);
            }
            Control::Connect(accepted) => {
                // The session that a TURN client was admitted for may have ended meanwhile.
                let ended = accepted.session().is_some_and(|id| peers.find_session(SessionId(id)).is_none());
                if ended || io.adopt(*accepted).is_err() {
                    self.lifecycle.counters.dropped(DropReason::ConnectionNotTaken);
                }
            }
            Control::Report(reply) => self.report.want(reply, peers),
            Control::Heartbeat(reply) => {
                let _ = reply.try_send(());
            }
            Control::Shutdown => self.end_all(io, now),
        }
    }

    /// Ends every session: BYE and close alerts go out at once.
    fn end_all<I: Io>(&mut self, io: &mut I, now: Timestamp) {
        *self.shutting_down = true;
        for key in self.lifecycle.peers.keys() {
            // A BYE and a close alert, each perhaps a train of its own: neither may find the batch full.
            if !self.lifecycle.outbox.batch().has_room_for(4) {
                self.flush(io);
            }
            self.lifecycle.end(key, EndReason::ShuttingDown, now);
        }
        self.flush(io);
    }

    fn flush<I: Io>(&mut self, io: &mut I) {
        let Lifecycle { outbox, peers, streams, counters, .. } = &mut self.lifecycle;
        outbox.flush(io, peers, streams, counters);
    }
}
