//! The table as those who use it see it. Each helper ends with [`SessionTable::check`]: no index differs from the table.

mod random;
mod sockets;
mod streams;

use std::rc::Rc;
use std::time::Duration;

use super::streams::{NotAdmitted, StreamBounds};
use super::table::SessionTable;
use crate::description::Direction;
use crate::signal::stream_name::StreamName;
use crate::time::Timestamp;
use crate::worker::mailbox::{EndReason, SessionId, StreamId, WorkerIndex};

/// What is kept with a session here: its count of holders tells whether it is.
type Book = SessionTable<Rc<()>>;

const T0: Timestamp = Timestamp::from_millis(1_000);
const T1: Timestamp = Timestamp::from_millis(2_000);
const W0: WorkerIndex = WorkerIndex(0);
const W1: WorkerIndex = WorkerIndex(1);
const W2: WorkerIndex = WorkerIndex(2);

const BOUNDS: StreamBounds = StreamBounds {
    waiting_viewers_max: 2,
    waiting_time: Duration::from_secs(10),
    streams_max: 3,
    viewers_per_stream_max: 500,
};

fn named(text: &str) -> StreamName {
    StreamName::parse(text).unwrap()
}

fn admit(book: &mut Book, session: u64, name: &str, direction: Direction) -> Result<StreamId, NotAdmitted> {
    let admitted = book.admitted(SessionId(session), &named(name), direction, T0);
    book.check();
    admitted
}

fn join(book: &mut Book, session: u64, name: &str, direction: Direction, worker: WorkerIndex) {
    admit(book, session, name, direction).unwrap();
    assert!(book.served(SessionId(session), worker) && book.opened(SessionId(session), Rc::new(())));
    book.check();
}

fn end(book: &mut Book, session: u64, at: Timestamp) -> bool {
    let ended = book.ended(SessionId(session), EndReason::Left, at);
    book.check();
    ended.is_some()
}
