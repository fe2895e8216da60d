//! Whatever happens to sessions and sockets, in whatever order: no index differs from the table, and all are empty when it
//! is.

use std::rc::Rc;
use std::time::Duration;

use proptest::prelude::*;

use super::super::sockets::SocketId;
use super::super::streams::StreamBounds;
use super::{Book, T0, named};
use crate::description::Direction;
use crate::time::Timestamp;
use crate::worker::mailbox::{EndReason, OpenRefused, SessionId, WorkerIndex};

/// What happens, and to which of those there are.
#[derive(Clone, Copy, Debug)]
enum Step {
    Admit {
        name: u8,
        publish: bool,
    },
    Ask(u8),
    Serve {
        session: u8,
        worker: u8,
    },
    Refuse(u8),
    Open(u8),
    GiveUrl(u8),
    Retag(u8),
    Disown(u8),
    Connect(u8),
    End(u8),
    OpenSocket,
    CloseSocket(u8),
    GiveToSocket {
        session: u8,
        socket: u8,
    },
    Resume {
        session: u8,
        socket: u8,
        secret: bool,
    },
    Follow {
        socket: u8,
        name: u8,
        limited: bool,
    },
    Unfollow {
        socket: u8,
        name: u8,
    },
    /// Time passes; who waited long enough ends.
    Expire(u8),
    TakeRoutes(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let number = 0..8_u8;
    let name = 0..3_u8;
    prop_oneof![
        4 => (name.clone(), any::<bool>()).prop_map(|(name, publish)| Step::Admit { name, publish }),
        2 => number.clone().prop_map(Step::Ask),
        4 => (number.clone(), 0..3_u8).prop_map(|(session, worker)| Step::Serve { session, worker }),
        1 => number.clone().prop_map(Step::Refuse),
        4 => number.clone().prop_map(Step::Open),
        2 => number.clone().prop_map(Step::GiveUrl),
        1 => number.clone().prop_map(Step::Retag),
        1 => number.clone().prop_map(Step::Disown),
        1 => number.clone().prop_map(Step::Connect),
        3 => number.clone().prop_map(Step::End),
        2 => Just(Step::OpenSocket),
        1 => number.clone().prop_map(Step::CloseSocket),
        3 => (number.clone(), number.clone()).prop_map(|(session, socket)| Step::GiveToSocket { session, socket }),
        2 => (number.clone(), number.clone(), any::<bool>())
            .prop_map(|(session, socket, secret)| Step::Resume { session, socket, secret }),
        2 => (number.clone(), name.clone(), any::<bool>())
            .prop_map(|(socket, name, limited)| Step::Follow { socket, name, limited }),
        1 => (number.clone(), name).prop_map(|(socket, name)| Step::Unfollow { socket, name }),
        2 => number.prop_map(Step::Expire),
        1 => (0..3_u8).prop_map(Step::TakeRoutes),
    ]
}

struct Run {
    book: Book,
    now: Timestamp,
    sessions: Vec<SessionId>,
    sockets: Vec<SocketId>,
    so_far: u64,
    kept: Rc<()>,
}

impl Run {
    fn session(&self, number: u8) -> SessionId {
        let number = usize::from(number);
        // Also one that is not there.
        self.sessions.get(number % (self.sessions.len() + 1)).copied().unwrap_or(SessionId(u64::MAX))
    }

    fn socket(&self, number: u8) -> Option<SocketId> {
        self.sockets.get(usize::from(number) % self.sockets.len().max(1)).copied()
    }

    fn end(&mut self, session: SessionId) {
        let is_known = self.sessions.contains(&session);
        self.sessions.retain(|have| *have != session);
        assert_eq!(self.book.ended(session, EndReason::Left, self.now).is_some(), is_known);
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Admit { name, publish } => {
                let name = named(["a", "b", "c"][usize::from(name)]);
                let direction = if publish { Direction::Publish } else { Direction::Play };
                self.so_far += 1;
                let session = SessionId(self.so_far);
                if self.book.admitted(session, &name, direction, self.now).is_ok() {
                    self.sessions.push(session);
                }
            }
            Step::Ask(number) => self.book.asked(self.session(number), flume::bounded(1).0),
            Step::Serve { session, worker } => {
                self.book.served(self.session(session), WorkerIndex(worker.into()));
            }
            Step::Refuse(number) => self.book.refused(self.session(number), OpenRefused::Full),
            Step::Open(number) => {
                self.book.opened(self.session(number), self.kept.clone());
            }
            Step::GiveUrl(number) => {
                let session = self.session(number);
                self.book.given_url(session, format!("token {}", session.0), "tag".to_owned());
            }
            Step::Retag(number) => self.book.retagged(self.session(number), "another".to_owned()),
            Step::Disown(number) => _ = self.book.disowned(self.session(number), EndReason::Left),
            Step::Connect(number) => _ = self.book.connected(self.session(number)),
            Step::End(number) => self.end(self.session(number)),
            Step::OpenSocket => self.sockets.push(self.book.socket_opened()),
            Step::CloseSocket(number) => {
                let Some(socket) = self.socket(number) else { return };
                self.sockets.retain(|have| *have != socket);
                self.book.socket_closed(socket, self.now + Duration::from_secs(3));
            }
            Step::GiveToSocket { session, socket } => {
                let Some(socket) = self.socket(socket) else { return };
                self.book.given_to_socket(socket, self.session(session), "secret".to_owned());
            }
            Step::Resume { session, socket, secret } => {
                let Some(socket) = self.socket(socket) else { return };
                let secret = if secret { "secret" } else { "wrong" };
                let resumed = self.book.resumed(socket, self.session(session), secret);
                assert!(resumed.is_none() || secret == "secret");
            }
            Step::Follow { socket, name, limited } => {
                let Some(socket) = self.socket(socket) else { return };
                let until = limited.then(|| self.now + Duration::from_secs(2));
                self.book.follow(socket, &named(["a", "b", "c"][usize::from(name)]), 2, until);
            }
            Step::Unfollow { socket, name } => {
                let Some(socket) = self.socket(socket) else { return };
                self.book.unfollow(socket, &named(["a", "b", "c"][usize::from(name)]));
            }
            Step::Expire(seconds) => self.expire(Duration::from_secs(seconds.into())),
            Step::TakeRoutes(worker) => while self.book.take_route(WorkerIndex(worker.into())).is_some() {},
        }
    }

    fn expire(&mut self, passed: Duration) {
        self.now = self.now + passed;
        self.book.end_follows(self.now);
        let (expired, lost) = (self.book.take_expired(self.now), self.book.take_lost(self.now));
        for session in expired.into_iter().map(|(session, _)| session).chain(lost) {
            if self.sessions.contains(&session) {
                self.end(session);
            }
        }
        assert!(self.book.next_expiry().is_none_or(|next| next > self.now));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_index_is_empty_when_the_table_is(steps in prop::collection::vec(step(), 0..120)) {
        let bounds = StreamBounds {
            waiting_viewers_max: 3,
            waiting_time: Duration::from_secs(5),
            streams_max: 2,
            viewers_per_stream_max: 4,
        };
        let mut run = Run {
            book: Book::new(bounds),
            now: T0,
            sessions: Vec::new(),
            sockets: Vec::new(),
            so_far: 0,
            kept: Rc::new(()),
        };
        for step in steps {
            run.take(step);
            run.book.check();
        }
        while let Some(session) = run.sessions.last().copied() {
            run.end(session);
            run.book.check();
        }
        assert_eq!(Rc::strong_count(&run.kept), 1, "something is kept of a session that has ended");
        for socket in std::mem::take(&mut run.sockets) {
            run.book.socket_closed(socket, run.now);
        }
        assert!(run.book.is_empty(), "{:?}", run.book);
    }
}
