//! The inputs that drive a session: datagrams, time and the close. Each is passed on to ICE, to the current epoch and,
//! while keys change, to the epoch beside it ([`super::rekey`]).

use super::event::{Inbound, Rejected, SessionEvent, SessionState};
use super::peer::{Session, answer_check, open, send_requests};
use crate::dtls::{self, DtlsIdentity};
use crate::ice::CheckRefused;
use crate::limits;
use crate::time::Timestamp;
use crate::transport::{Arrival, PathId, TrainBatch};
use crate::wire::demux::DatagramKind;
use crate::wire::stun::{StunClass, StunMessage};

impl Session {
    /// Handles a connectivity check. The caller has parsed it already to find the session it belongs to, so it is not
    /// parsed twice.
    ///
    /// # Errors
    /// Why it was dropped. Nothing changed then but counters.
    pub fn handle_check(
        &mut self,
        identity: &DtlsIdentity,
        check: &StunMessage<'_>,
        from: Arrival,
        out: &mut TrainBatch,
        now: Timestamp,
    ) -> Result<(), Rejected> {
        let answered = self.answer_check(identity, check, from, out, now);
        self.rejected += u64::from(answered.is_err());
        answered
    }

    /// Handles one datagram: opens media in place, and writes an answer to `out` where one is due.
    ///
    /// # Errors
    /// Why it was dropped. Nothing changed then but counters.
    pub fn handle_datagram(
        &mut self,
        identity: &DtlsIdentity,
        kind: DatagramKind,
        from: Arrival,
        bytes: &mut [u8],
        out: &mut TrainBatch,
        now: Timestamp,
    ) -> Result<Inbound, Rejected> {
        let inbound = self.dispatch(identity, kind, from, bytes, out, now);
        match &inbound {
            Ok(Inbound::Rtp(_) | Inbound::Rtcp(_)) => {
                self.last_heard = now;
                self.heard(from.path, now);
            }
            Ok(Inbound::Handled) => {}
            Err(_) => self.rejected += 1,
        }
        inbound
    }

    fn dispatch(
        &mut self,
        identity: &DtlsIdentity,
        kind: DatagramKind,
        from: Arrival,
        bytes: &mut [u8],
        out: &mut TrainBatch,
        now: Timestamp,
    ) -> Result<Inbound, Rejected> {
        if kind == DatagramKind::Stun {
            let check = StunMessage::parse(bytes).map_err(|_| Rejected::Unknown)?;
            if check.class() == StunClass::Success {
                let answered = self.handle_answer(&check, from, now);
                return if answered { Ok(Inbound::Handled) } else { Err(Rejected::Check(CheckRefused::NotARequest)) };
            }
            return self.answer_check(identity, &check, from, out, now).map(|()| Inbound::Handled);
        }
        if !self.ice.is_validated(from.path) && !self.other_has_validated(from.path) {
            return Err(Rejected::PathNotValidated);
        }
        match kind {
            DatagramKind::Dtls => {
                if !dtls::is_whole(bytes) {
                    return Err(Rejected::Dtls);
                }
                self.ice.received(from.path, bytes.len());
                if self.other.is_some() {
                    self.handle_dtls_of_two(from.path, bytes, out, now);
                } else if self.current.dtls.is_none() {
                    return Err(Rejected::PathNotValidated);
                } else if self.current.take_dtls(bytes, now) {
                    self.drain_current(from.path, out, now);
                } else {
                    self.current.note_unread(self.last_heard, now);
                }
                Ok(Inbound::Handled)
            }
            DatagramKind::Rtp | DatagramKind::Rtcp if self.other.is_some() => self.open_under_either(kind, bytes),
            DatagramKind::Rtp | DatagramKind::Rtcp => open(&mut self.current, kind, bytes),
            DatagramKind::Stun | DatagramKind::Unknown => Err(Rejected::Unknown),
        }
    }

    fn answer_check(
        &mut self,
        identity: &DtlsIdentity,
        check: &StunMessage<'_>,
        from: Arrival,
        out: &mut TrainBatch,
        now: Timestamp,
    ) -> Result<(), Rejected> {
        if !out.has_room(limits::STUN_REPLY_BYTES_MAX) {
            return Err(Rejected::NoRoom);
        }
        let outcome = match answer_check(&mut self.ice, check, from, out, now) {
            // The username may belong to an epoch with paths, and so credentials, of its own.
            Err(CheckRefused::Username) if self.other.is_some() => {
                return self.handle_others_check(identity, check, from, out, now);
            }
            outcome => outcome.map_err(Rejected::Check)?,
        };
        self.note_check(&outcome, from.path, now);
        self.note_moved(outcome.selected);
        if self.current.dtls.is_none() && self.state == SessionState::New {
            self.state = SessionState::Handshaking;
            self.current.begin_handshake(identity, now);
            self.drain_current(from.path, out, now);
        }
        Ok(())
    }

    /// Handles a Binding response: the answer to a request of the node's own. Returns whether it was one.
    pub fn handle_answer(&mut self, answer: &StunMessage<'_>, from: Arrival, now: Timestamp) -> bool {
        let outcome = self.ice.take_answer(answer, from.path, now);
        let others = self.other.as_mut().and_then(|other| other.ice.as_mut());
        if outcome.is_none() && others.and_then(|ice| ice.take_answer(answer, from.path, now)).is_none() {
            return false;
        }
        self.last_heard = now;
        self.note_moved(outcome.is_some_and(|outcome| outcome.selected));
        true
    }

    /// Asks for an answer on a path that another session claims, and queues the request.
    pub fn ask(&mut self, path: PathId, out: &mut TrainBatch, now: Timestamp) {
        self.ice.ask(path, now);
        send_requests(&mut self.ice, 1, out, now);
        if let Some(ice) = self.other.as_mut().and_then(|other| other.ice.as_mut()) {
            ice.ask(path, now);
            send_requests(ice, 1, out, now);
        }
    }

    /// When something last confirmed that this session's peer is at a path; `None` while the path is not proven.
    #[must_use]
    pub fn confirmed(&self, path: PathId) -> Option<Timestamp> {
        let others = self.other.as_ref().and_then(|other| other.ice.as_ref()?.confirmed(path));
        self.ice.confirmed(path).max(others)
    }

    /// Gives up a path whose address belongs to another session now.
    pub fn lose(&mut self, path: PathId, now: Timestamp) {
        self.ice.lose(path, now);
        if let Some(ice) = self.other.as_mut().and_then(|other| other.ice.as_mut()) {
            ice.lose(path, now);
        }
    }

    fn heard(&mut self, path: PathId, now: Timestamp) {
        self.ice.heard(path, now);
        if let Some(ice) = self.other.as_mut().and_then(|other| other.ice.as_mut()) {
            ice.heard(path, now);
        }
    }

    fn note_moved(&mut self, selected: bool) {
        if selected && self.state == SessionState::Connected {
            self.events.push_back(SessionEvent::Moved);
        }
    }

    /// Runs the timers that are due.
    pub fn handle_timeout(&mut self, out: &mut TrainBatch, now: Timestamp) {
        let moved = self.ice.handle_timeout(now);
        self.note_moved(moved);
        send_requests(&mut self.ice, 1, out, now);
        let Some(path) = self.ice.selected() else { return };
        self.current.handle_timeout(now);
        self.drain_current(path, out, now);
        self.handle_other_timeout(out, now);
        self.close_if_due(now);
        if self.current.shrink(now) {
            self.events.shrink_to_fit();
        }
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        // What is sent on a path waits for one: its only one may have been a connection that is closed.
        let on_path =
            self.ice.selected().map(|_| [self.current.next_deadline(), self.other_deadline(), self.closes_at()]);
        on_path.into_iter().flatten().chain([self.ice.next_deadline()]).flatten().min()
    }

    /// Ends the session: a close alert is queued for each DTLS association.
    pub fn close(&mut self, out: &mut TrainBatch, now: Timestamp) {
        self.current.close(&mut self.ice, out, now);
        if let Some(other) = self.other.as_deref_mut() {
            other.epoch.close(other.ice.as_mut().unwrap_or(&mut self.ice), out, now);
        }
        self.state = SessionState::Ended;
    }
}
