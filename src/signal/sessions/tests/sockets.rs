//! By socket: owners, secrets, graces and follows.

use super::super::sockets::SocketId;
use super::{BOUNDS, Book, T0, T1, W0, end, join, named};
use crate::description::Direction;
use crate::signal::stream_name::StreamName;
use crate::worker::mailbox::{EndReason, SessionId};

const A: SessionId = SessionId(1);
const B: SessionId = SessionId(2);

fn own(book: &mut Book, socket: SocketId, session: SessionId, name: &str, direction: Direction, secret: &str) {
    join(book, session.0, name, direction, W0);
    book.given_to_socket(socket, session, secret.to_owned());
    book.check();
}

fn hearers(book: &Book, stream: &str) -> usize {
    book.hearers_of(&named(stream)).count()
}

#[test]
fn a_lost_session_can_be_taken_over_with_its_secret_during_the_grace() {
    let mut book = Book::new(BOUNDS);
    let first = book.socket_opened();
    own(&mut book, first, A, "s", Direction::Play, "secret");
    own(&mut book, first, B, "s", Direction::Publish, "other");
    assert!(book.socket_of(A).is_some() && hearers(&book, "s") == 1);
    book.socket_closed(first, T1);
    assert!(book.socket_of(A).is_none() && hearers(&book, "s") == 0);
    assert!(book.connected(A).is_none());
    assert_eq!((book.next_expiry(), book.take_lost(T0)), (Some(T1), vec![]));

    let second = book.socket_opened();
    for wrong in ["", "Secret", "secret ", "other"] {
        assert!(book.resumed(second, A, wrong).is_none(), "{wrong:?}");
    }
    let resumed = book.resumed(second, A, "secret").unwrap();
    assert!(resumed.connected && resumed.plays == Some(named("s")) && resumed.taken_from.is_none());
    assert!(book.resumed(second, A, "secret").is_none(), "named twice");
    assert_eq!((hearers(&book, "s"), book.sessions_of(second)), (1, vec![A]));

    assert_eq!(book.take_lost(T1), [B]);
    assert!(book.resumed(second, B, "other").is_none(), "its grace is over");
    book.socket_closed(second, T1);
    assert_eq!(book.take_lost(T1), [A]);
    assert!(end(&mut book, 1, T1) && end(&mut book, 2, T1));
    assert!(book.is_empty(), "{book:?}");
}

#[test]
fn a_session_goes_to_the_second_socket_while_the_first_is_open() {
    let mut book = Book::new(BOUNDS);
    let (first, second) = (book.socket_opened(), book.socket_opened());
    own(&mut book, first, A, "s", Direction::Play, "secret");
    assert!(book.resumed(second, A, "secret").unwrap().taken_from.is_some());
    assert!(book.owns(second, A) && !book.owns(first, A));
    book.socket_closed(first, T1);
    assert!(book.socket_of(A).is_some() && hearers(&book, "s") == 1 && book.take_lost(T1).is_empty());
    assert_eq!(book.ended(A, EndReason::Left, T1).unwrap().socket, Some(second));
    assert!(book.ended(A, EndReason::Left, T1).is_none());
    book.socket_closed(second, T1);
    assert!(book.is_empty(), "{book:?}");
}

#[test]
fn a_socket_hears_of_a_stream_once_for_any_number_of_reasons() {
    let mut book = Book::new(BOUNDS);
    let one = book.socket_opened();
    own(&mut book, one, A, "s", Direction::Play, "");
    own(&mut book, one, B, "s", Direction::Play, "");
    assert!(
        book.follow(one, &named("s"), 1, None)
            && book.follow(one, &named("s"), 1, None)
            && !book.follow(one, &named("t"), 1, None)
    );
    assert_eq!(hearers(&book, "s"), 1);
    end(&mut book, 1, T0);
    book.unfollow(one, &named("s"));
    book.unfollow(one, &named("s"));
    assert_eq!(hearers(&book, "s"), 1, "it still plays it");
    end(&mut book, 2, T0);
    assert_eq!(hearers(&book, "s"), 0);
    assert!(book.follow(one, &named("t"), 1, None));
    book.socket_closed(one, T0);
    assert!(book.is_empty(), "{book:?}");
}

#[test]
fn a_follow_ends_when_its_permission_expires_unless_renewed() {
    let mut book = Book::new(BOUNDS);
    let (one, other) = (book.socket_opened(), book.socket_opened());
    for (socket, stream, until) in
        [(one, "s", Some(T0)), (one, "s", Some(T0)), (one, "t", Some(T0)), (other, "s", None)]
    {
        assert!(book.follow(socket, &named(stream), 2, until));
    }
    assert!(book.follow(one, &named("t"), 2, Some(T1)), "with leave for longer");
    assert_eq!((book.next_expiry(), hearers(&book, "s"), hearers(&book, "t")), (Some(T0), 2, 1));
    let streams = |told: Vec<(SocketId, StreamName)>| told.into_iter().map(|(_, stream)| stream).collect::<Vec<_>>();
    assert_eq!(streams(book.end_follows(T0)), [named("s")]);
    assert_eq!((book.next_expiry(), hearers(&book, "s"), hearers(&book, "t")), (Some(T1), 1, 1));
    assert!(book.follow(one, &named("t"), 2, None) && book.next_expiry().is_none(), "with leave for ever");
    assert!(book.follow(one, &named("s"), 2, Some(T1)));
    book.socket_closed(one, T1);
    book.socket_closed(other, T1);
    assert!(book.end_follows(T1).is_empty());
    assert!(book.is_empty(), "{book:?}");
}

#[test]
fn a_publisher_hears_of_no_stream_and_a_lost_session_may_end_by_itself() {
    let mut book = Book::new(BOUNDS);
    let one = book.socket_opened();
    own(&mut book, one, A, "s", Direction::Publish, "");
    assert_eq!(hearers(&book, "s"), 0);
    book.socket_closed(one, T0);
    assert_eq!(book.ended(A, EndReason::Left, T0).unwrap().socket, None);
    assert!(book.is_empty(), "{book:?}");
}
