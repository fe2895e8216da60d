//! A session's client asks for other keys, over the socket: every message, every refusal.

use std::sync::atomic::Ordering;
use std::time::Instant;

use corecast::config::PlainClients;
use corecast::limits;
use corecast::worker::mailbox::{Notice, Rekeyed, SessionId};
use serde_json::{Value, json};

use crate::signal_support::client::Socket;
use crate::signal_support::{Node, Opened, PATIENCE, Plan, start};

const SDP: (&str, &str) = ("content-type", "application/sdp");

/// The event of that type that comes next; others in between are left out.
fn event(socket: &mut Socket, kind: &str) -> Value {
    loop {
        let event = socket.event();
        if event["type"] == kind {
            return event;
        }
    }
}

/// A session that is connected.
fn connected(node: &Node, socket: &mut Socket, kind: &str, stream: &str) -> (Value, SessionId) {
    let session = socket.start(kind, stream)["session"].clone();
    let number = node.last_session();
    node.notices.send(Notice::Connected { session: number }).unwrap();
    assert_eq!(event(socket, "connected")["session"], session);
    (session, number)
}

fn rekey(socket: &mut Socket, session: &Value, sdp: &str) -> Value {
    socket.ask(json!({"type": "rekey", "session": session, "sdp": sdp}))
}

#[test]
fn a_session_gets_a_second_transport_on_its_worker_and_tells_what_became_of_it() {
    let node = start(Plan::default());
    let mut socket = Socket::open(&node);
    let (session, number) = connected(&node, &mut socket, "subscribe", "demo");
    let before = node.report();
    let answer = rekey(&mut socket, &session, "ok");
    assert_eq!((&answer["type"], &answer["session"]), (&json!("answer"), &session), "{answer}");
    assert!(answer["sdp"].as_str().is_some_and(|sdp| !sdp.is_empty()) && answer["ice_servers"].is_array(), "{answer}");
    assert_eq!(answer.get("secret"), None, "it keeps the one that it has");
    node.wait_told("rekey demo Ok(())");
    assert_eq!(rekey(&mut socket, &session, "ok")["code"], "rekey_under_way");
    socket.send(&json!({"type": "switched", "session": session}));
    let told = event(&mut socket, "rekeyed");
    assert_eq!(told, json!({"type": "rekeyed", "session": session, "reason": "switched"}));
    // One that comes late is no error.
    socket.send(&json!({"type": "switched", "session": session}));
    socket.assert_silent();
    let after = node.report();
    assert_eq!((&before["viewers"], &after["viewers"]), (&json!(1), &json!(1)), "it is not a second viewer");

    rekey(&mut socket, &session, "ok");
    node.notices.send(Notice::Rekeyed { session: number, outcome: Rekeyed::NeverConnected }).unwrap();
    let told = event(&mut socket, "rekey_failed");
    assert_eq!((&told["session"], &told["reason"]), (&session, &json!("never_connected")));
    assert!(told["detail"].as_str().is_some_and(|detail| detail.len() > 5));
}

#[test]
fn what_cannot_be_answered_changes_nothing() {
    let node = start(Plan::default());
    let mut socket = Socket::open(&node);
    let (publishing, _) = connected(&node, &mut socket, "publish", "live");
    let (session, _) = connected(&node, &mut socket, "subscribe", "live");
    let young = socket.start("subscribe", "live")["session"].clone();
    let mut other = Socket::open(&node);
    for (message, status, code) in [
        (json!({"session": session}), 400, "bad_message"),
        (json!({"session": session, "sdp": "nonsense"}), 400, "bad_sdp"),
        (json!({"session": "7", "sdp": "ok"}), 404, "no_such_session"),
        (json!({"session": young, "sdp": "ok"}), 409, "not_connected"),
        (json!({"session": publishing, "sdp": "H264"}), 409, "rekey_differs"),
    ] {
        let mut message = message;
        message["type"] = json!("rekey");
        let error = socket.ask(message.clone());
        assert_eq!((&error["status"], &error["code"]), (&json!(status), &json!(code)), "{message}: {error}");
    }
    assert_eq!(rekey(&mut other, &session, "ok")["code"], "no_such_session", "it is another socket's");
    other.send(&json!({"type": "switched", "session": session}));
    assert_eq!(other.event()["code"], "no_such_session");
    node.silent.store(true, Ordering::SeqCst);
    let busy = rekey(&mut socket, &session, "ok");
    assert_eq!((&busy["code"], &busy["status"]), (&json!("rekeys_wait"), &json!(503)));
    assert!(busy["retry_after_s"].is_number());
    node.silent.store(false, Ordering::SeqCst);
    assert_eq!(rekey(&mut socket, &session, "ok")["type"], "answer", "a refused one is not under way");
    assert!(!node.told().iter().any(|line| line.contains("close")), "{:?}", node.told());
}

#[test]
fn a_session_changes_its_keys_only_so_often() {
    let node = start(Plan::default());
    let mut socket = Socket::open(&node);
    let (session, _) = connected(&node, &mut socket, "subscribe", "demo");
    for _ in 0..limits::REKEYS_AT_ONCE {
        assert_eq!(rekey(&mut socket, &session, "ok")["type"], "answer");
        socket.send(&json!({"type": "switched", "session": session}));
        event(&mut socket, "rekeyed");
    }
    assert_eq!(rekey(&mut socket, &session, "ok")["code"], "too_many_rekeys");
}

#[test]
fn a_client_on_a_socket_is_told_that_its_keys_are_old() {
    let node = start(Plan { plain_clients: PlainClients::End, ..Plan::default() });
    let mut socket = Socket::open(&node);
    let (session, number) = connected(&node, &mut socket, "subscribe", "demo");
    for is_first in [true, false] {
        node.notices.send(Notice::KeysDue { session: number, is_first }).unwrap();
        let told = event(&mut socket, "rekey");
        assert_eq!(told, json!({"type": "rekey", "session": session, "within_s": limits::REKEY_WITHIN.as_secs()}));
    }
    socket.assert_silent();
}

#[test]
fn a_client_that_has_only_a_url_is_counted_and_ended_where_the_operator_says_so() {
    for (plain_clients, ends) in [(PlainClients::Keep, false), (PlainClients::End, true)] {
        let node = start(Plan { plain_clients, ..Plan::default() });
        node.open("whep", "demo");
        let session = node.last_session();
        for is_first in [true, false, true] {
            node.notices.send(Notice::KeysDue { session, is_first }).unwrap();
        }
        // They are heard in order: with the last one's count the one before is done.
        let deadline = Instant::now() + PATIENCE;
        let line =
            if ends { "corecast_plain_clients_at_key_age_total" } else { "corecast_plain_clients_at_key_age_total 2" };
        while !node.admin("/metrics").body.lines().any(|have| have.starts_with(line)) {
            assert!(Instant::now() < deadline, "{line}");
        }
        match ends {
            true => node.wait_told("close keys_too_old"),
            false => {
                // A question to both workers: what signalling has sent before has come.
                assert_eq!(node.report()["viewers"], 1);
                assert!(!node.told().iter().any(|line| line.contains("close")), "{:?}", node.told());
            }
        }
    }
}

/// A session of WHIP or WHEP that is connected.
fn connected_over_http(node: &Node, kind: &str) -> (Opened, SessionId) {
    let opened = node.open(kind, "demo");
    let number = node.last_session();
    node.notices.send(Notice::Connected { session: number }).unwrap();
    // Notices are heard in order, and this one is answered by a worker.
    let deadline = Instant::now() + PATIENCE;
    while node.ask("POST", &opened.location, &[SDP], "nonsense").code() == "not_connected" {
        assert!(Instant::now() < deadline);
    }
    (opened, number)
}

#[test]
fn over_http_a_second_offer_is_posted_to_the_sessions_url() {
    for kind in ["whip", "whep"] {
        let node = start(Plan::default());
        let (opened, number) = connected_over_http(&node, kind);
        let url = &opened.location;
        let (old, new) = (format!("{url}/old"), format!("{url}/new"));
        let early = node.ask("DELETE", &old, &[], "");
        assert_eq!((early.status, early.code().as_str()), (404, "no_second_transport"));
        let post = || node.ask("POST", url, &[SDP], "ok");
        let second = post();
        assert_eq!((second.status, second.header("location")), (201, new.clone()), "{second:?}");
        assert_eq!(second.header("content-type"), "application/sdp");
        assert_eq!(second.header("etag"), opened.etag, "the session is the same");
        assert!(second.header("link").contains(&format!("<{old}>; rel=\"urn:corecast:old-transport\"")), "{second:?}");
        assert_eq!(post().code(), "rekey_under_way");
        assert_eq!(node.ask("GET", &old, &[], "").header("allow"), "DELETE, OPTIONS");
        assert_eq!(node.ask("DELETE", &new, &[], "").status, 200);
        node.wait_told("abandoned");
        wait_for_one_transport(&node, url);
        assert_eq!(post().status, 201, "it may try again");
        assert_eq!(node.ask("DELETE", &old, &[], "").status, 200);
        node.wait_told("switched");
        assert_eq!(node.patch(url, &opened.etag, "candidate").status, 204, "its URL names it still");
        let wrong = node.ask("DELETE", &old.replace("/demo/", "/other/"), &[], "");
        assert_eq!((wrong.status, wrong.code().as_str()), (404, "no_such_session"));
        assert!(!node.told().iter().any(|line| line.contains("close")), "{:?}", node.told());
        assert_eq!(node.ask("DELETE", url, &[], "").status, 200);
        node.wait_told("close left");
        assert_eq!(number, node.last_session(), "no other session was opened");
    }
}

/// Waits until signalling has heard that a session has one transport.
fn wait_for_one_transport(node: &Node, url: &str) {
    let deadline = Instant::now() + PATIENCE;
    while node.ask("POST", url, &[SDP], "nonsense").code() == "rekey_under_way" {
        assert!(Instant::now() < deadline);
    }
}
