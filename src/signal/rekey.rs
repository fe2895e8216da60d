//! How a session gets other keys: its client offers a second connection, and the session's worker makes a second transport
//! for it ([`crate::worker`], `rekey`). This is the one implementation for sockets, WHIP and WHEP.
//!
//! The session stays what it is. Nobody is asked whether it may go on, it is not counted again, and it keeps its worker, its
//! secret and its URL's owner. What the second offer must agree with the first in is in [`super::keeper`].

use super::code::Code;
use super::keeper::SessionKeeper;
use super::keeper::rekey::{RekeyTerms, under_way};
use super::next_transport::NextTransport;
use super::opening::{Opened, Opener, can_play};
use super::problem::Problem;
use super::runtime;
use crate::description::Direction;
use crate::limits;
use crate::worker::mailbox::{Control, OpenSession, RekeyRefused, SessionId};

/// A change of keys between its offer and its answer.
struct Beginning<'a> {
    keeper: &'a SessionKeeper,
    session: SessionId,
    /// The worker was asked.
    asked: bool,
    has_begun: bool,
}

impl Drop for Beginning<'_> {
    fn drop(&mut self) {
        if !self.has_begun {
            self.keeper.rekey_given_up(self.session, self.asked);
        }
    }
}

impl Opener {
    /// Gives a session a second transport. Returns its answer.
    pub(super) async fn rekey(&self, session: SessionId, offer: &str) -> Result<Opened, Problem> {
        if self.shutdown.has_begun() {
            return Err(Problem::shutting_down());
        }
        let terms = self.keeper.may_rekey(session)?;
        let RekeyTerms { stream, name, worker, direction, cname, may_speak } = terms;
        let handle = self.keeper.workers().handle(worker);
        let mut answered = self.answers.answer(offer, direction, handle, &cname, &name)?;
        let description = &mut answered.answer.description;
        if let Some(data) = &mut description.data {
            data.may_speak = may_speak;
        }
        if direction == Direction::Play {
            can_play(&name, &self.keeper.published(&name), description)?;
        }
        let next = NextTransport { identity: answered.identity.clone(), description: description.clone() };
        self.keeper.rekey_begins(session, next)?;
        let mut beginning = Beginning { keeper: &self.keeper, session, asked: false, has_begun: false };
        let (reply, told) = flume::bounded(1);
        let request = OpenSession {
            session,
            stream,
            stream_name: name.to_string(),
            local_ice: answered.local_ice,
            identity: answered.identity,
            description: answered.answer.description,
            reply: None,
        };
        if handle.try_send(Control::Rekey { request: Box::new(request), reply }).is_err() {
            return Err(Problem::unavailable(Code::WorkerFull, "the node is overloaded: try again later"));
        }
        beginning.asked = true;
        match runtime::timeout(limits::WORKER_REPLY_TIME_MAX, told.recv_async()).await {
            Some(Ok(Ok(()))) => {}
            Some(Ok(Err(refused))) => {
                beginning.asked = false;
                return Err(refused_by_worker(refused));
            }
            _ => {
                let detail = "the session's worker did not answer: try again later";
                return Err(Problem::unavailable(Code::WorkerSilent, detail));
            }
        }
        beginning.has_begun = true;
        tracing::info!(session = session.0, "session gets other keys");
        Ok(Opened { session, worker, sdp: answered.answer.sdp })
    }
}

fn refused_by_worker(refused: RekeyRefused) -> Problem {
    match refused {
        RekeyRefused::NotConnected => Problem::no_session(),
        RekeyRefused::UnderWay => under_way(),
        RekeyRefused::Busy => {
            let detail = "sessions that join come first, or too many change their keys: try again later";
            Problem::unavailable(Code::RekeysWait, detail)
        }
        RekeyRefused::ShuttingDown => Problem::shutting_down(),
    }
}
