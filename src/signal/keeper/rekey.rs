//! What is kept while a session's keys change, and who is told when they have.

use crate::config::PlainClients;
use crate::description::{Description, Direction, MediaKind, NegotiatedMedia};
use crate::limits;
use crate::signal::code::Code;
use crate::signal::keeper::SessionKeeper;
use crate::signal::messages::message::{self, Told};
use crate::signal::next_transport::NextTransport;
use crate::signal::problem::Problem;
use crate::signal::stream_name::StreamName;
use crate::wire::codec::Codec;
use crate::worker::mailbox::{Control, EndReason, Rekeyed, SessionId, StreamId, WorkerIndex};
use hyper::StatusCode;

/// What a second offer of a session is answered by.
pub(in crate::signal) struct RekeyTerms {
    pub(in crate::signal) stream: StreamId,
    pub(in crate::signal) name: StreamName,
    pub(in crate::signal) worker: WorkerIndex,
    pub(in crate::signal) direction: Direction,
    pub(in crate::signal) cname: String,
    pub(in crate::signal) may_speak: bool,
}

impl SessionKeeper {
    /// What becomes of plain clients of WHIP and WHEP from now on.
    pub(in crate::signal) fn set_plain_clients(&self, plain_clients: PlainClients) {
        self.plain_clients.set(plain_clients);
    }

    /// A session's keys are old. A client on a socket is told; one that has only a URL cannot be.
    pub(in crate::signal) fn keys_due(&self, session: SessionId, is_first: bool) {
        let (socket, has_url) = {
            let table = self.table.borrow();
            (table.socket_of(session), table.has_url(session))
        };
        self.outboxes.tell(socket, &Told::Rekey { session: session.into(), within_s: limits::REKEY_WITHIN.as_secs() });
        if has_url && is_first {
            // It may change them by itself, in the time that is left until the next word of its worker.
            self.counters.plain_client_at_key_age();
        } else if has_url && self.plain_clients.get() == PlainClients::End {
            self.end(session, EndReason::KeysTooOld);
        }
    }

    /// The terms of a session whose client wants other keys. It may ask only so often.
    pub(in crate::signal) fn may_rekey(&self, session: SessionId) -> Result<RekeyTerms, Problem> {
        let mut table = self.table.borrow_mut();
        if !table.is_connected(session) {
            let known = table.open(session).is_some();
            return Err(if known { not_connected() } else { Problem::no_session() });
        }
        let open = table.open(session).ok_or_else(Problem::no_session)?;
        let kept = open.kept;
        if kept.next.is_some() {
            return Err(under_way());
        }
        let (at_once, pause) = (limits::REKEYS_AT_ONCE, limits::REKEY_PAUSE);
        if !kept.rekeys.take(at_once, pause, self.clock.now()) {
            let pause_s = pause.as_secs();
            let detail =
                format!("this session changes its keys too often: {at_once} times at once, then once in {pause_s} s");
            return Err(Problem::too_many(Code::TooManyRekeys, detail));
        }
        Ok(RekeyTerms {
            stream: open.stream,
            name: open.name.clone(),
            worker: open.worker,
            direction: kept.description.direction,
            cname: kept.description.cname.clone(),
            may_speak: kept.description.data.is_some_and(|data| data.may_speak),
        })
    }

    /// The session gets a second transport. It must carry what the first one carries.
    pub(in crate::signal) fn rekey_begins(&self, session: SessionId, next: NextTransport) -> Result<(), Problem> {
        let mut table = self.table.borrow_mut();
        let open = table.open(session).ok_or_else(Problem::no_session)?;
        if open.kept.next.is_some() {
            return Err(under_way());
        }
        if carried(&open.kept.description) != carried(&next.description) {
            let detail = "the offer differs from the session's first one: offer the same media in the same order, of a \
                          publisher with the same codec and rids, and data channels where it has them";
            return Err(Problem::new(StatusCode::CONFLICT, Code::RekeyDiffers, detail));
        }
        open.kept.next = Some(Box::new(next));
        Ok(())
    }

    /// The session gets none after all. Its worker is told, because it may have made one by now.
    pub(in crate::signal) fn rekey_given_up(&self, session: SessionId, asked: bool) {
        let mut table = self.table.borrow_mut();
        let Some(open) = table.open(session) else { return };
        open.kept.next = None;
        if asked {
            // Where there is no room, the transport ends by itself because nobody connects it.
            _ = self.workers.handle(open.worker).try_send(Control::AbandonRekey { session });
        }
    }

    /// Whether a session has a second transport.
    pub(in crate::signal) fn is_rekeying(&self, session: SessionId) -> bool {
        self.table.borrow_mut().open(session).is_some_and(|open| open.kept.next.is_some())
    }

    /// The client of a session does without its second transport. What was kept of it goes when the worker has let go of it.
    pub(in crate::signal) fn abandon_rekey(&self, session: SessionId) -> Result<(), Problem> {
        let worker = self.worker_of(session).ok_or_else(Problem::no_session)?;
        // Where there is no room, it ends when nothing comes by it.
        _ = self.workers.handle(worker).try_send(Control::AbandonRekey { session });
        Ok(())
    }

    /// The client of a session uses its second transport.
    pub(in crate::signal) fn switched(&self, session: SessionId) -> Result<(), Problem> {
        let mut table = self.table.borrow_mut();
        let open = table.open(session).ok_or_else(Problem::no_session)?;
        if open.kept.next.is_some() {
            // Where there is no room, the time of both is over soon all the same.
            _ = self.workers.handle(open.worker).try_send(Control::Switched { session });
        }
        Ok(())
    }

    /// A session that had two transports has one again.
    pub(in crate::signal) fn rekeyed(&self, session: SessionId, outcome: Rekeyed) {
        let mut table = self.table.borrow_mut();
        let socket = table.socket_of(session);
        let Some(open) = table.open(session) else { return };
        let next = open.kept.next.take();
        if next.is_none() && !outcome.is_change() {
            // Its client was refused, and knows.
            return;
        }
        if let Some(next) = next.filter(|_| outcome.is_change()) {
            let NextTransport { identity, description } = *next;
            (open.kept.identity, open.kept.description) = (identity, description);
        }
        drop(table);
        let reason = outcome.name();
        match outcome.is_change() {
            true => {
                tracing::info!(session = session.0, reason, "session has other keys");
                self.outboxes.tell(socket, &Told::Rekeyed { session: session.into(), reason });
            }
            false => {
                tracing::info!(session = session.0, reason, "session keeps its keys");
                let detail = message::detail_of_rekey(outcome);
                self.outboxes.tell(socket, &Told::RekeyFailed { session: session.into(), reason, detail });
            }
        }
    }
}

/// What a transport carries, as far as two of one session must agree.
#[derive(PartialEq, Eq)]
struct Carried<'a> {
    /// Each medium; of a publisher its codec too.
    media: Vec<(MediaKind, Option<Codec>, &'a [String])>,
    has_channels: bool,
}

fn carried(description: &Description) -> Carried<'_> {
    let is_publisher = description.direction == Direction::Publish;
    let codec_of = |media: &NegotiatedMedia| media.codecs.first().map(|codec| codec.codec).filter(|_| is_publisher);
    let media = description.media.iter().map(|media| (media.kind, codec_of(media), media.rids.as_slice()));
    Carried { media: media.collect(), has_channels: description.data.is_some() }
}

fn not_connected() -> Problem {
    let detail = "the session is not connected yet: its keys are as new as they can be";
    Problem::new(StatusCode::CONFLICT, Code::NotConnected, detail)
}

pub(in crate::signal) fn under_way() -> Problem {
    let detail = "the session has two transports already: say that you use the new one, or wait until one has ended";
    Problem::new(StatusCode::CONFLICT, Code::RekeyUnderWay, detail)
}
