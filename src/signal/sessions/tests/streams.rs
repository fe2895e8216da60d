//! By stream: names, routes, bounds and waits.

use std::time::Duration;

use super::super::streams::{NotAdmitted, StreamBounds};
use super::{BOUNDS, Book, T0, W0, W1, W2, admit, end, join, named};
use crate::description::Direction;
use crate::metrics::Audience;
use crate::worker::mailbox::{Control, Origin, SessionId};

/// All routes that wait, as (told worker, origin, audience).
fn routes(book: &mut Book) -> Vec<(u16, Option<u16>, Vec<u16>)> {
    let mut told = Vec::new();
    for worker in book.workers_to_tell().collect::<Vec<_>>() {
        while let Some(Control::Route { origin, audience, .. }) = book.take_route(worker) {
            let origin = origin.map(|origin| match origin {
                Origin::Worker(worker) => worker.0,
                Origin::Node(node) => panic!("{node:?} publishes nothing"),
            });
            told.push((worker.0, origin, audience.iter().map(|listener| listener.worker.0).collect()));
        }
    }
    told
}

#[test]
fn a_name_has_one_publisher_until_that_session_has_ended() {
    let mut book = Book::new(BOUNDS);
    let a = admit(&mut book, 1, "a", Direction::Publish).unwrap();
    assert_eq!(admit(&mut book, 2, "a", Direction::Publish), Err(NotAdmitted::NameTaken));
    assert_ne!(admit(&mut book, 3, "b", Direction::Publish).unwrap(), a);
    assert!(end(&mut book, 1, T0));
    assert!(!end(&mut book, 1, T0));
    assert!(admit(&mut book, 4, "a", Direction::Publish).is_ok());
}

#[test]
fn routes_go_to_origin_and_audience_and_to_whoever_left() {
    let mut book = Book::new(BOUNDS);
    join(&mut book, 1, "a", Direction::Publish, W0);
    assert_eq!(routes(&mut book), [(0, Some(0), vec![])]);
    join(&mut book, 2, "a", Direction::Play, W1);
    assert_eq!(routes(&mut book), [(0, Some(0), vec![1]), (1, Some(0), vec![1])]);
    join(&mut book, 3, "a", Direction::Play, W1);
    assert_eq!(routes(&mut book), [], "a second viewer on a worker changes no route");
    join(&mut book, 4, "a", Direction::Play, W2);
    let all = [(0, Some(0), vec![1, 2]), (1, Some(0), vec![1, 2]), (2, Some(0), vec![1, 2])];
    assert_eq!(routes(&mut book), all);
    end(&mut book, 4, T0);
    assert_eq!(routes(&mut book), [(0, Some(0), vec![1]), (1, Some(0), vec![1]), (2, Some(0), vec![1])]);
    end(&mut book, 1, T0);
    assert_eq!(routes(&mut book), [(0, None, vec![1]), (1, None, vec![1])]);
    end(&mut book, 2, T0);
    assert_eq!(routes(&mut book), []);
    end(&mut book, 3, T0);
    assert_eq!(routes(&mut book), [(1, None, vec![])]);
    assert!(book.is_empty());
}

#[test]
fn a_name_is_live_while_its_publisher_is_served() {
    let mut book = Book::new(BOUNDS);
    admit(&mut book, 1, "a", Direction::Publish).unwrap();
    assert!(!book.is_live(&named("a")) && book.take_went().is_empty());
    book.served(SessionId(1), W0);
    join(&mut book, 2, "a", Direction::Play, W1);
    assert!(book.is_live(&named("a")) && !book.is_live(&named("b")));
    end(&mut book, 1, T0);
    // One that is taken back before it was served never was there.
    admit(&mut book, 3, "a", Direction::Publish).unwrap();
    end(&mut book, 3, T0);
    assert!(!book.is_live(&named("a")));
    assert_eq!(book.take_went(), [(named("a"), true), (named("a"), false)]);
    assert!(book.take_went().is_empty());
}

#[test]
fn a_worker_that_was_away_between_two_routes_is_told_from_one_that_stayed() {
    let mut book = Book::new(BOUNDS);
    let membership = |book: &mut Book| {
        let Some(Control::Route { audience, .. }) = book.take_route(W0) else { panic!("nothing to tell") };
        audience[0].membership
    };
    join(&mut book, 1, "a", Direction::Publish, W0);
    join(&mut book, 2, "a", Direction::Play, W1);
    let first = membership(&mut book);
    join(&mut book, 3, "a", Direction::Play, W1);
    join(&mut book, 4, "a", Direction::Play, W2);
    end(&mut book, 2, T0);
    assert_eq!(membership(&mut book), first, "it has had a viewer all the time");
    end(&mut book, 3, T0);
    join(&mut book, 5, "a", Direction::Play, W1);
    assert_ne!(membership(&mut book), first);
}

#[test]
fn a_burst_of_joins_is_one_route_with_the_newest_state() {
    let mut book = Book::new(BOUNDS);
    join(&mut book, 1, "a", Direction::Publish, W0);
    for session in 2..200 {
        join(&mut book, session, "a", Direction::Play, W1);
    }
    assert_eq!(routes(&mut book), [(0, Some(0), vec![1]), (1, Some(0), vec![1])]);
}

#[test]
fn waiting_viewers_are_bounded_and_a_publisher_frees_their_places() {
    let mut book = Book::new(BOUNDS);
    join(&mut book, 1, "a", Direction::Play, W0);
    join(&mut book, 2, "b", Direction::Play, W0);
    assert_eq!(admit(&mut book, 3, "a", Direction::Play), Err(NotAdmitted::TooManyWaiting));
    join(&mut book, 4, "a", Direction::Publish, W1);
    assert_eq!(book.audience(), Audience { publishers: 1, viewers: 2, waiting_viewers: 1 });
    join(&mut book, 5, "a", Direction::Play, W0);
    join(&mut book, 6, "b", Direction::Play, W0);
}

#[test]
fn streams_and_the_viewers_of_each_are_bounded() {
    let mut book = Book::new(BOUNDS);
    book.set_bounds(StreamBounds { viewers_per_stream_max: 2, ..BOUNDS });
    for (session, name) in [(1, "a"), (2, "b"), (3, "c")] {
        join(&mut book, session, name, Direction::Publish, W0);
    }
    assert_eq!(admit(&mut book, 4, "d", Direction::Publish), Err(NotAdmitted::TooManyStreams));
    join(&mut book, 5, "a", Direction::Play, W0);
    join(&mut book, 6, "a", Direction::Play, W1);
    assert_eq!(admit(&mut book, 7, "a", Direction::Play), Err(NotAdmitted::TooManyViewers));
    join(&mut book, 8, "b", Direction::Play, W0);
    end(&mut book, 5, T0);
    end(&mut book, 3, T0);
    join(&mut book, 7, "a", Direction::Play, W0);
    join(&mut book, 4, "d", Direction::Publish, W0);
}

#[test]
fn viewers_outlive_their_publisher_even_above_the_waiting_bound() {
    let mut book = Book::new(BOUNDS);
    join(&mut book, 1, "a", Direction::Publish, W0);
    for session in 2..6 {
        join(&mut book, session, "a", Direction::Play, W0);
    }
    assert_eq!(book.next_expiry(), None);
    end(&mut book, 1, T0);
    assert_eq!(book.audience().waiting_viewers, 4);
    let over = T0 + Duration::from_secs(10);
    assert_eq!(book.next_expiry(), Some(over));
    assert_eq!(book.take_expired(T0 + Duration::from_secs(9)), []);
    join(&mut book, 7, "a", Direction::Publish, W1);
    assert_eq!(book.take_expired(over), [], "the publisher came back in time");
    end(&mut book, 7, over);
    assert_eq!(book.take_expired(over + Duration::from_secs(10)).len(), 4);
    assert_eq!(book.next_expiry(), None);
}

#[test]
fn a_viewer_whose_wait_ends_while_it_is_opened_waits_once_more() {
    let mut book = Book::new(BOUNDS);
    admit(&mut book, 1, "a", Direction::Play).unwrap();
    let over = T0 + Duration::from_secs(10);
    assert_eq!(book.take_expired(over), []);
    assert!(book.served(SessionId(1), W0));
    assert_eq!(book.take_expired(over + Duration::from_secs(10)), [(SessionId(1), W0)]);
}

#[test]
fn a_session_that_ends_before_it_is_served_leaves_nothing_behind() {
    let mut book = Book::new(BOUNDS);
    admit(&mut book, 1, "a", Direction::Publish).unwrap();
    assert!(end(&mut book, 1, T0));
    assert!(!book.served(SessionId(1), W0));
    assert_eq!(routes(&mut book), []);
    assert!(book.is_empty());
}
