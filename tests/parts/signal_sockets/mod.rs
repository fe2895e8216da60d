//! Signalling over WebSocket against a real server on loopback, over TLS: every message, every refusal, every close code.

mod frames;
mod lost;
mod opening;

use corecast::config::Takeover;
use corecast::worker::mailbox::{EndReason, Notice, SessionId};
use serde_json::{Value, json};

use crate::signal_support::client::Socket;
use crate::signal_support::{Habit, Node, Plan, ended, start};

/// The session an answer names, as workers know it.
fn number(answer: &Value) -> SessionId {
    SessionId(answer["session"].as_str().unwrap().parse().unwrap())
}

fn notice(node: &Node, notice: Notice) {
    node.notices.send(notice).unwrap();
}

#[test]
fn a_client_is_welcomed_with_what_it_may_do_and_told_of_ice_servers_when_it_was_let_in() {
    let server = corecast::config::IceServer {
        urls: vec!["turn:turn.example.org".into()],
        username: Some("user".into()),
        credential: Some("word".into()),
    };
    let node = start(Plan { ice_servers: vec![server], ..Plan::default() });
    let mut socket = Socket::connect(&node);
    let welcome = socket.ask(json!({"type": "hello", "version": 1, "unknown": true}));
    let expected = json!({
        "type": "welcome", "id": 1, "version": 1, "node": "test", "grace_s": 30,
        "limits": {"message_bytes": 65_536, "messages_per_second": 50, "messages_burst": 200, "sessions": 32,
            "follows": 64, "idle_s": 60},
        "resumed": [], "gone": [],
    });
    assert_eq!(welcome, expected);
    assert_eq!(socket.ask(json!({"type": "ping"})), json!({"type": "pong", "id": 2}));
    let answer = socket.start("subscribe", "demo");
    let [own, other] = answer["ice_servers"].as_array().unwrap().as_slice() else { panic!("{answer}") };
    assert_eq!(*other, json!({"urls": ["turn:turn.example.org"], "username": "user", "credential": "word"}));
    // The node's own, for this session.
    let url = own["urls"][0].as_str().unwrap();
    assert_eq!(url, format!("turn:node.test:{}?transport=tcp", node.https.port()), "no certificate is for the name");
    let (expiry, session) = own["username"].as_str().unwrap().split_once(':').unwrap();
    assert!(expiry.parse::<u64>().is_ok() && json!(session) == answer["session"], "{answer}");
}

#[test]
fn several_streams_are_published_played_and_closed_over_one_socket() {
    let node = start(Plan::default());
    let mut socket = Socket::open(&node);
    let mut secrets = Vec::new();
    for stream in ["a", "b"] {
        for (kind, direction) in [("publish", "publish"), ("subscribe", "play"), ("subscribe", "play")] {
            let answer = socket.start(kind, stream);
            assert_eq!((&answer["stream"], &answer["direction"]), (&json!(stream), &json!(direction)));
            let worker = answer["worker"].as_u64().unwrap();
            assert!(answer["sdp"].as_str().unwrap().contains(&format!("192.0.2.1:4000{worker}")), "{answer}");
            node.wait_told(&format!("{worker} open {stream} {direction}"));
            let secret = answer["secret"].as_str().unwrap().to_owned();
            assert!(secret.len() * 6 >= 128 && !secrets.contains(&secret));
            secrets.push(secret);
        }
        for _ in 0..2 {
            assert_eq!(socket.event(), json!({"type": "stream", "stream": stream, "live": true}));
        }
    }
    assert_eq!((&node.report()["publishers"], &node.report()["viewers"]), (&json!(2), &json!(4)));
    let answer = socket.start("subscribe", "a");
    socket.event();
    let session = &answer["session"];
    let closed = socket.ask(json!({"type": "close", "session": session}));
    assert_eq!((&closed["type"], &closed["session"]), (&json!("closed"), session));
    node.wait_told("close left");
    let again = socket.ask(json!({"type": "close", "session": session}));
    assert_eq!(again["code"], "no_such_session", "{again}");
    assert_eq!(node.report()["viewers"], 4, "its worker has let go of it before the answer");
    socket.assert_silent();
}

#[test]
fn every_request_that_is_refused_says_why_and_leaves_the_socket_open() {
    let node = start(Plan { takeover: Takeover::Never, ..Plan::default() });
    let mut socket = Socket::open(&node);
    let taken = socket.start("publish", "taken");
    let mut other = Socket::open(&node);
    let foreign = other.start("publish", "foreign");
    let (mine, foreign) = (&taken["session"], &foreign["session"]);
    let long = "a".repeat(129);
    for (message, status, code) in [
        (json!({"type": "publish", "stream": "a", "sdp": "nonsense"}), 400, "bad_sdp"),
        (json!({"type": "subscribe", "stream": "a", "sdp": "no codec"}), 406, "no_common_codec"),
        (json!({"type": "subscribe", "stream": "a", "sdp": "no bundle"}), 422, "sdp_not_servable"),
        (json!({"type": "publish", "stream": "taken", "sdp": "ok"}), 409, "name_taken"),
        (json!({"type": "publish", "stream": "a/b", "sdp": "ok"}), 400, "bad_stream_name"),
        (json!({"type": "publish", "stream": "", "sdp": "ok"}), 400, "bad_stream_name"),
        (json!({"type": "follow", "stream": long}), 400, "bad_stream_name"),
        (json!({"type": "unfollow", "stream": long}), 400, "bad_stream_name"),
        (json!({"type": "publish", "stream": "a"}), 400, "bad_message"),
        (json!({"type": "restart", "session": mine}), 400, "bad_message"),
        (json!({"type": "restart", "session": mine, "fragment": "nonsense"}), 400, "bad_sdp"),
        (json!({"type": "restart", "session": mine, "fragment": "candidate"}), 400, "not_a_restart"),
        (json!({"type": "restart", "session": mine, "fragment": "first/password"}), 400, "not_a_restart"),
        (json!({"type": "restart", "session": foreign, "fragment": "a/b"}), 404, "no_such_session"),
        (json!({"type": "close", "session": foreign}), 404, "no_such_session"),
        (json!({"type": "close", "session": "x"}), 404, "no_such_session"),
        (json!({"type": "hello", "version": 1}), 400, "hello_again"),
        (json!({"type": "dance"}), 400, "unknown_type"),
    ] {
        let error = socket.ask(message.clone());
        assert_eq!((&error["type"], &error["status"], &error["code"]), (&json!("error"), &json!(status), &json!(code)));
        assert!(error["title"].is_string() && error["detail"].as_str().is_some_and(|text| text.len() > 5), "{error}");
    }
    for (session, candidate, code) in [
        (foreign, "candidate:1 1 udp 1 192.0.2.1 1 typ host", "no_such_session"),
        (mine, "nonsense", "bad_candidate"),
        (mine, "candidate:1\r\na=x", "bad_candidate"),
    ] {
        socket.send(&json!({"type": "candidate", "session": session, "candidate": candidate, "mid": "0"}));
        let error = socket.event();
        assert_eq!((&error["code"], &error["session"], error.get("id")), (&json!(code), session, None), "{error}");
    }
    // A number that is none cannot be answered under it.
    socket.send(&json!({"type": "ping", "id": -1}));
    assert_eq!(socket.event()["code"], "bad_message");
    for candidate in ["candidate:1 1 udp 1 192.0.2.1 1 typ host", ""] {
        socket.send(&json!({"type": "candidate", "session": mine, "candidate": candidate, "mid": "0"}));
    }
    socket.assert_silent();
    let metrics = node.admin("/metrics").body;
    for line in [
        "corecast_sockets 2",
        "corecast_socket_messages_total{type=\"unreadable\"} 4",
        "corecast_sessions_refused_total{reason=\"name_taken\"} 1",
    ] {
        assert!(metrics.lines().any(|have| have == line), "{line} is not in {metrics}");
    }
}

#[test]
fn a_full_first_worker_means_the_second_choice_and_two_full_ones_an_error_that_says_when_to_come_back() {
    let node = start(Plan { workers: vec![Habit::Full, Habit::Accept], ..Plan::default() });
    let mut socket = Socket::open(&node);
    for _ in 0..8 {
        assert_eq!(socket.start("subscribe", "a")["worker"], 1);
    }
    let node = start(Plan { workers: vec![Habit::Full; 2], ..Plan::default() });
    let error = Socket::open(&node).ask(json!({"type": "subscribe", "stream": "a", "sdp": "ok"}));
    assert_eq!(
        (&error["status"], &error["code"], &error["retry_after_s"]),
        (&json!(503), &json!("node_full"), &json!(5))
    );
}

#[test]
fn sessions_and_follows_of_one_socket_are_bounded() {
    let mut plan = Plan::default();
    plan.sockets.sessions_max = 2;
    let node = start(plan);
    let mut socket = Socket::open(&node);
    let first = socket.start("subscribe", "a");
    socket.start("subscribe", "a");
    let refused = socket.ask(json!({"type": "subscribe", "stream": "a", "sdp": "ok"}));
    assert_eq!((&refused["status"], &refused["code"]), (&json!(429), &json!("too_many_on_socket")));
    socket.ask(json!({"type": "close", "session": first["session"]}));
    socket.start("subscribe", "a");
    for number in 0..64 {
        assert_eq!(socket.ask(json!({"type": "follow", "stream": format!("s{number}")}))["type"], "following");
    }
    assert_eq!(socket.ask(json!({"type": "follow", "stream": "s0"}))["type"], "following", "the same again is no more");
    assert_eq!(socket.ask(json!({"type": "follow", "stream": "t"}))["code"], "too_many_follows");
    assert_eq!(socket.ask(json!({"type": "unfollow", "stream": "s0"}))["type"], "unfollowed");
    assert_eq!(socket.ask(json!({"type": "follow", "stream": "t"}))["type"], "following");
}

#[test]
fn who_plays_or_follows_a_stream_hears_at_once_and_whenever_its_publisher_comes_and_goes() {
    let node = start(Plan::default());
    let (mut viewer, mut follower, mut stranger) = (Socket::open(&node), Socket::open(&node), Socket::open(&node));
    let live = |live: bool| json!({"type": "stream", "stream": "a", "live": live});
    let viewing = viewer.start("subscribe", "a");
    assert_eq!(viewer.event(), live(false));
    assert_eq!(
        follower.ask(json!({"type": "follow", "stream": "a"})),
        json!({"type": "following", "id": 2, "stream": "a"})
    );
    assert_eq!(follower.event(), live(false));
    // A publisher over HTTP counts like any other.
    let publisher = node.open("whip", "a");
    assert_eq!((viewer.event(), follower.event()), (live(true), live(true)));
    node.ask("DELETE", &publisher.location, &[], "");
    assert_eq!((viewer.event(), follower.event()), (live(false), live(false)));
    let publishing = stranger.start("publish", "a");
    assert_eq!((viewer.event(), follower.event()), (live(true), live(true)));
    follower.ask(json!({"type": "unfollow", "stream": "a"}));
    viewer.ask(json!({"type": "close", "session": viewing["session"]}));
    stranger.ask(json!({"type": "close", "session": publishing["session"]}));
    for socket in [&mut viewer, &mut follower, &mut stranger] {
        socket.assert_silent();
    }
}

#[test]
fn what_workers_tell_of_a_session_reaches_the_socket_that_has_it_and_no_other() {
    let node = start(Plan::default());
    let (mut socket, mut other) = (Socket::open(&node), Socket::open(&node));
    let answer = socket.start("publish", "a");
    other.start("publish", "b");
    let (session, name) = (number(&answer), &answer["session"]);
    notice(&node, Notice::Connected { session });
    assert_eq!(socket.event(), json!({"type": "connected", "session": name}));
    notice(&node, Notice::Moved { session });
    assert_eq!(socket.event(), json!({"type": "moved", "session": name}));
    notice(&node, Notice::NearestFits { session, published: "H264 high".into(), sent_as: "H264 baseline".into() });
    let nearest =
        json!({"type": "nearest_fits", "session": name, "published": "H264 high", "sent_as": "H264 baseline"});
    assert_eq!(socket.event(), nearest);
    notice(&node, Notice::PathTooNarrow { session });
    assert_eq!(socket.event(), json!({"type": "path_too_narrow", "session": name}));
    notice(&node, Notice::NothingFits { session, published: "video/VP8".into() });
    let error = socket.event();
    assert_eq!((&error["code"], &error["session"], &error["status"]), (&json!("nothing_fits"), name, &json!(406)));
    assert!(error["detail"].as_str().unwrap().contains("video/VP8"), "{error}");
    notice(&node, ended(session, EndReason::TimedOut));
    let over = socket.event();
    assert_eq!((&over["type"], &over["session"], &over["reason"]), (&json!("ended"), name, &json!("timed_out")));
    assert!(over["detail"].as_str().is_some_and(|detail| detail.contains("30 s")), "{over}");
    // It is gone for its client too, and of sessions nobody has over a socket nobody is told.
    notice(&node, ended(session, EndReason::TimedOut));
    notice(&node, Notice::Connected { session: SessionId(7) });
    assert_eq!(socket.ask(json!({"type": "close", "session": name}))["code"], "no_such_session");
    socket.assert_silent();
    other.assert_silent();
}

#[test]
fn with_trickle_the_candidates_follow_the_answer_and_an_empty_one_ends_them() {
    let node = start(Plan::default());
    let mut socket = Socket::open(&node);
    let answer = socket.ask(json!({"type": "publish", "stream": "a", "sdp": "sections", "trickle": true}));
    assert_eq!(answer["sdp"], "v=0\r\nm=audio 9 x\r\na=mid:a0\r\n");
    for candidate in ["candidate:1 1 udp", ""] {
        let expected = json!({"type": "candidate", "session": answer["session"], "candidate": candidate, "mid": "a0"});
        assert_eq!(socket.event(), expected);
    }
    let whole = socket.ask(json!({"type": "publish", "stream": "b", "sdp": "sections"}));
    assert!(whole["sdp"].as_str().unwrap().ends_with("a=candidate:1 1 udp\r\na=end-of-candidates\r\n"), "{whole}");
    socket.assert_silent();
}

#[test]
fn ice_restarts_over_the_socket_as_often_as_the_network_changes() {
    let node = start(Plan::default());
    let mut socket = Socket::open(&node);
    let answer = socket.start("publish", "a");
    for round in 0..3 {
        let fragment = format!("round{round}/password");
        let restarted = socket.ask(json!({"type": "restart", "session": answer["session"], "fragment": fragment}));
        assert_eq!((&restarted["type"], &restarted["session"]), (&json!("restarted"), &answer["session"]));
        assert!(restarted["fragment"].as_str().is_some_and(|fragment| fragment.starts_with("new ")), "{restarted}");
        node.wait_told(&format!("{} restart round{round}", answer["worker"]));
    }
}

#[test]
fn a_node_that_ends_says_so_on_every_socket_and_opens_no_more() {
    let mut node = start(Plan::default());
    let mut sockets: Vec<Socket> = (0..3).map(|_| Socket::open(&node)).collect();
    sockets[0].start("publish", "a");
    let signalling = node.signalling.take().unwrap();
    let stopping = std::thread::spawn(move || signalling.stop());
    for socket in &mut sockets {
        assert_eq!(socket.event(), json!({"type": "going_away", "in_s": 2}));
        assert_eq!(socket.closed(), 1001);
    }
    drop(sockets);
    stopping.join().unwrap();
    assert!(!node.told().iter().any(|line| line.contains("close")), "its workers end the sessions themselves");
}
