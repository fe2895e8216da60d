//! What becomes of sessions whose socket is gone: taken over with the secret, ended after the grace, ended at once where
//! the client said it is done. Media is not asked: signalling alone decides.

use std::thread;
use std::time::{Duration, Instant};

use corecast::worker::mailbox::{EndReason, Notice};
use serde_json::{Value, json};

use super::{notice, number};
use crate::signal_support::client::{CLOSE, Socket};
use crate::signal_support::{Node, PATIENCE, Plan, ended, start};

fn with_grace(grace: Duration) -> Node {
    let mut plan = Plan::default();
    plan.sockets.grace = grace;
    start(plan)
}

/// Waits until the node has as many sockets.
fn wait_sockets(node: &Node, count: usize) {
    let deadline = Instant::now() + PATIENCE;
    let line = format!("corecast_sockets {count}");
    while !node.admin("/metrics").body.lines().any(|have| have == line) {
        assert!(Instant::now() < deadline, "{line}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn was_ended(node: &Node) -> bool {
    node.told().iter().any(|line| line.contains("close"))
}

#[test]
fn a_session_goes_on_without_its_socket_and_the_next_socket_hears_what_was_missed() {
    let node = start(Plan::default());
    let mut socket = Socket::open(&node);
    let (playing, publishing) = (socket.start("subscribe", "a"), socket.start("publish", "b"));
    socket.cut();
    wait_sockets(&node, 0);
    // While nobody listens: it connects, its publisher comes, and the other session ends.
    notice(&node, Notice::Connected { session: number(&playing) });
    node.open("whip", "a");
    notice(&node, ended(number(&publishing), EndReason::TimedOut));

    let mut socket = Socket::connect(&node);
    let resume = json!([
        {"session": publishing["session"], "secret": publishing["secret"]},
        {"session": playing["session"], "secret": playing["secret"]},
        {"session": playing["session"], "secret": playing["secret"]},
        {"session": "1", "secret": "unknown"},
    ]);
    let welcome = socket.ask(json!({"type": "hello", "version": 1, "resume": resume}));
    assert_eq!(welcome["resumed"], json!([playing["session"]]));
    assert_eq!(welcome["gone"].as_array().unwrap().len(), 3, "ended, named twice, never there: {welcome}");
    assert_eq!(socket.event(), json!({"type": "connected", "session": playing["session"]}));
    assert_eq!(socket.event(), json!({"type": "stream", "stream": "a", "live": true}));
    // It is this socket's now, in every way.
    notice(&node, Notice::Moved { session: number(&playing) });
    assert_eq!(socket.event()["type"], "moved");
    assert_eq!(socket.ask(json!({"type": "close", "session": playing["session"]}))["type"], "closed");
    assert!(node.admin("/metrics").body.contains("corecast_sessions_resumed_total 1\n"));
    socket.assert_silent();
}

#[test]
fn a_wrong_secret_resumes_nothing_and_takes_nothing_away() {
    let node = start(Plan::default());
    let mut socket = Socket::open(&node);
    let answer = socket.start("publish", "a");
    let other = socket.start("publish", "b");
    let secret = answer["secret"].as_str().unwrap();
    for wrong in [&json!(""), &json!(secret[1..]), &json!(format!("{secret}x")), &other["secret"]] {
        let (mut thief, welcome) = Socket::resume(&node, &answer["session"], wrong);
        assert_eq!((&welcome["resumed"], &welcome["gone"]), (&json!([]), &json!([answer["session"]])));
        assert_eq!(thief.ask(json!({"type": "close", "session": answer["session"]}))["code"], "no_such_session");
    }
    socket.assert_silent();
    assert_eq!(socket.ask(json!({"type": "close", "session": answer["session"]}))["type"], "closed");
    let (_, welcome) = Socket::resume(&node, &answer["session"], &answer["secret"]);
    assert_eq!(welcome["resumed"], json!([]), "a secret is worth nothing after the session's end");
}

#[test]
fn a_second_socket_takes_over_while_the_first_is_open_and_the_first_is_told() {
    let node = with_grace(Duration::from_millis(200));
    let mut first = Socket::open(&node);
    let answer = first.start("subscribe", "a");
    first.event();
    let (mut second, welcome) = Socket::resume(&node, &answer["session"], &answer["secret"]);
    assert_eq!(welcome["resumed"], json!([answer["session"]]));
    let told = first.event();
    assert_eq!((&told["code"], &told["session"]), (&json!("resumed_elsewhere"), &answer["session"]));
    assert_eq!(second.event()["type"], "stream");
    node.open("whip", "a");
    assert_eq!(second.event()["live"], true);
    first.assert_silent();
    assert_eq!(first.ask(json!({"type": "close", "session": answer["session"]}))["code"], "no_such_session");
    // The first socket's end, in order or not, ends nothing any more.
    first.frame(CLOSE, &1000_u16.to_be_bytes());
    assert_eq!(first.closed(), 1000);
    wait_sockets(&node, 1);
    thread::sleep(Duration::from_millis(300));
    assert!(!was_ended(&node));
    second.assert_silent();
}

#[test]
fn a_session_nobody_resumes_ends_when_the_grace_is_over_and_not_before() {
    // Long enough for the other session to be taken over meanwhile, also where the machine takes its time.
    let grace = Duration::from_secs(4);
    let node = with_grace(grace);
    let mut socket = Socket::open(&node);
    let (first, second) = (socket.start("publish", "a"), socket.start("publish", "b"));
    let cut = Instant::now();
    socket.cut();
    wait_sockets(&node, 0);
    let (mut kept, welcome) = Socket::resume(&node, &second["session"], &second["secret"]);
    assert_eq!(welcome["resumed"], json!([second["session"]]));
    while !was_ended(&node) {
        assert!(cut.elapsed() < grace + PATIENCE);
        thread::sleep(Duration::from_millis(5));
    }
    assert!(cut.elapsed() >= grace, "{:?}", cut.elapsed());
    node.wait_told("close signalling_lost");
    let (_, welcome) = Socket::resume(&node, &first["session"], &first["secret"]);
    assert_eq!(welcome["gone"], json!([first["session"]]));
    assert_eq!(kept.ask(json!({"type": "close", "session": second["session"]}))["type"], "closed");
    assert_eq!(node.report()["publishers"], 0);
}

#[test]
fn the_nearest_grace_is_waited_for_also_when_something_else_is_waited_for_longer() {
    // A viewer waits 60 s for its publisher; the grace after it is shorter and must not wait with it.
    let node = with_grace(Duration::from_millis(100));
    node.open("whep", "nobody");
    let mut socket = Socket::open(&node);
    socket.start("publish", "a");
    socket.cut();
    node.wait_told("close signalling_lost");
}

#[test]
fn a_client_that_closes_in_order_is_done_and_any_other_may_come_back() {
    let code = |code: u16| code.to_be_bytes().to_vec();
    for (payload, echoed, is_done) in
        [(code(1000), 1000, true), (Vec::new(), 1005, true), (code(1001), 1001, false), (code(4321), 4321, false)]
    {
        let node = start(Plan::default());
        let mut socket = Socket::open(&node);
        let answer = socket.start("publish", "a");
        socket.frame(CLOSE, &payload);
        assert_eq!(socket.closed(), echoed);
        wait_sockets(&node, 0);
        let (_, welcome): (_, Value) = Socket::resume(&node, &answer["session"], &answer["secret"]);
        if is_done {
            node.wait_told("close left");
            let deadline = Instant::now() + PATIENCE;
            while node.report()["publishers"] != 0 {
                assert!(Instant::now() < deadline);
            }
        } else {
            assert_eq!(welcome["resumed"], json!([answer["session"]]));
            assert!(!was_ended(&node));
        }
    }
}
