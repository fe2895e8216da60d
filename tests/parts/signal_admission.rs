//! Who is refused at the door, with which status, and that places are given back: by address, by rate, by stream.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use corecast::config::Admission;
use corecast::limits;
use corecast::worker::mailbox::{EndReason, Notice};

use crate::signal_support::{Node, PATIENCE, Plan, ended, start};

/// One worker, nobody exempt, and what `change` makes of the limits.
fn node(change: impl FnOnce(&mut Admission)) -> Node {
    let mut admission = Admission { exempt_addresses: Vec::new(), ..Admission::for_workers(1) };
    change(&mut admission);
    start(Plan { admission, ..Plan::default() })
}

#[test]
fn an_address_with_as_many_sessions_as_it_may_is_429_until_one_has_ended() {
    let node = node(|limits| limits.sessions_per_address_max = 2);
    let first = node.open("whip", "a");
    node.open("whep", "a");
    let refused = node.post("whep", "a", "ok");
    assert_eq!((refused.status, refused.code().as_str()), (429, "too_many_from_address"));
    assert_eq!(refused.header("retry-after"), "5");
    assert!(refused.body.contains("limits.sessions_per_address_max"), "{}", refused.body);
    // A refused offer takes no place, and neither does one that is not understood.
    assert_eq!(node.ask("DELETE", &first.location, &[], "").status, 200);
    assert_eq!(node.post("whep", "a", "no codec").status, 406);
    node.open("whep", "a");
    assert_eq!(node.post("whep", "a", "ok").status, 429);
    // A session that ends by itself gives its place back too.
    node.notices.send(ended(node.last_session(), EndReason::TimedOut)).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while node.post("whep", "a", "ok").status != 201 {
        assert!(Instant::now() < deadline);
    }
    let metrics = node.admin("/metrics").body;
    assert!(metrics.contains("corecast_sessions_refused_total{reason=\"too_many_from_address\"}"), "{metrics}");
}

#[test]
fn an_address_has_a_part_of_the_places_for_who_is_not_connected_and_gets_them_back() {
    let node = node(|limits| limits.joins_per_second_max = 100_000);
    let max = limits::HANDSHAKES_PER_WORKER_MAX * 2 / limits::HANDSHAKES_ADDRESS_DIVISOR;
    for _ in 0..max {
        node.open("whep", "a");
    }
    let refused = node.post("whep", "a", "ok");
    assert_eq!((refused.status, refused.code().as_str()), (429, "too_many_handshakes"));
    node.notices.send(Notice::Connected { session: node.last_session() }).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while node.post("whep", "a", "ok").status != 201 {
        assert!(Instant::now() < deadline, "who has connected gives the place back");
    }
}

#[test]
fn this_host_is_exempt_unless_configured() {
    let mut admission = Admission { sessions_per_address_max: 1, ..Admission::for_workers(1) };
    admission.connections_per_address_max = 1;
    let node = start(Plan { admission, ..Plan::default() });
    let _open: Vec<TcpStream> = (0..5).map(|_| TcpStream::connect(node.http).unwrap()).collect();
    for _ in 0..5 {
        node.open("whep", "a");
    }
}

#[test]
fn sessions_come_in_at_the_configured_rate_after_a_burst() {
    let node = node(|limits| limits.joins_per_second_max = 8);
    // Two at once and eight a second: asked faster, which a busy machine may not let us at first, one is refused.
    let statuses: Vec<u16> = (0..2).map(|_| node.post("whep", "a", "ok").status).collect();
    assert_eq!(statuses, [201, 201]);
    let refused = (0..200).map(|_| node.post("whep", "a", "ok")).find(|response| response.status != 201);
    let refused = refused.expect("two hundred are more than may come");
    assert_eq!((refused.status, refused.code().as_str()), (503, "too_many_joins"));
    let deadline = Instant::now() + PATIENCE;
    while node.post("whep", "a", "ok").status != 201 {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn streams_and_viewers_of_a_stream_are_bounded_with_a_status_of_their_own() {
    let node = node(|limits| {
        limits.streams_max = 1;
        limits.viewers_per_stream_max = 1;
    });
    node.open("whip", "a");
    let refused = node.post("whip", "b", "ok");
    assert_eq!((refused.status, refused.code().as_str()), (503, "too_many_streams"));
    node.open("whep", "a");
    let refused = node.post("whep", "a", "ok");
    assert_eq!((refused.status, refused.code().as_str()), (503, "too_many_viewers"));
}

#[test]
fn connections_of_an_address_are_bounded_and_one_that_closes_makes_room() {
    let node = node(|limits| limits.connections_per_address_max = 3);
    let held: Vec<TcpStream> = (0..3).map(|_| TcpStream::connect(node.http).unwrap()).collect();
    let is_served = || {
        let mut stream = TcpStream::connect(node.http).unwrap();
        let _ = stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        answer.starts_with(b"HTTP/1.1 200")
    };
    let wait_until = |served: bool| {
        let deadline = Instant::now() + PATIENCE;
        while is_served() != served {
            assert!(Instant::now() < deadline, "{served}");
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    wait_until(false);
    drop(held);
    wait_until(true);
}
