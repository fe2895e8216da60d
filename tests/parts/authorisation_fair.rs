//! One client's questions keep no other client out: at the operator's endpoint, and by following streams.

use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use corecast::auth::secret::Secret;
use corecast::config::{Admission, Auth};
use serde_json::{Value, json};

use crate::auth_support::{Server, json_answer, refusal};
use crate::signal_support::client::Socket;
use crate::signal_support::{Node, PATIENCE, Plan, Response, start};

/// A node behind a proxy on this host that says for whom it asks.
fn plan(change: impl FnOnce(&mut Admission)) -> Plan {
    let mut admission = Admission { trusted_proxies: vec!["127.0.0.1".parse().unwrap()], ..Admission::for_workers(2) };
    change(&mut admission);
    Plan { admission, ..Plan::default() }
}

fn join(node: &Node, client: &str) -> Response {
    node.ask("POST", "/whep/live", &[("content-type", "application/sdp"), ("x-forwarded-for", client)], "ok")
}

fn follower(node: &Node, client: &str) -> Socket {
    let mut socket = Socket::connect_plain(node, &[("x-forwarded-for", client)]).unwrap();
    assert_eq!(socket.ask(json!({"type": "hello", "version": 1}))["type"], "welcome");
    socket
}

/// Follows one stream after the other until it is refused.
fn follow_until_refused(socket: &mut Socket) -> Value {
    let mut answers = (0..60).map(|number| socket.ask(json!({"type": "follow", "stream": format!("s{number}")})));
    answers.find(|answer| answer["type"] == "error").expect("sixty are more than may be")
}

#[test]
fn a_crowd_of_one_address_at_a_slow_endpoint_leaves_room_for_another_clients_question() {
    let gate: Arc<(Mutex<bool>, Condvar)> = Arc::default();
    let opened = gate.clone();
    let server = Server::http(move |_, _| {
        drop(opened.1.wait_while(opened.0.lock().unwrap(), |open| !*open).unwrap());
        json_answer(r#"{"allow": true}"#)
    });
    let webhook = Some(Secret::new(server.url().expose()));
    let auth = Auth { require: true, webhook, webhook_time_max: PATIENCE, ..Auth::default() };
    let node = start(Plan { auth, ..plan(|_| ()) });
    thread::scope(|scope| {
        let crowd: Vec<_> = (0..40).map(|_| scope.spawn(|| join(&node, "192.0.2.1").status)).collect();
        // As many as one address may have under way; the others wait.
        assert_eq!(server.wait_seen(16).len(), 16);
        let other = scope.spawn(|| join(&node, "192.0.2.2").status);
        let asked = server.wait_seen(17);
        assert_eq!(asked.last().unwrap().json()["address"], "192.0.2.2", "before the crowd's next one");
        *gate.0.lock().unwrap() = true;
        gate.1.notify_all();
        assert_eq!(other.join().unwrap(), 201);
        assert!(crowd.into_iter().all(|one| one.join().unwrap() == 201), "nobody of the crowd is lost either");
    });
}

#[test]
fn an_address_follows_at_the_rate_at_which_it_may_join() {
    let node = start(plan(|limits| limits.joins_per_second_and_address_max = 1));
    let mut socket = follower(&node, "192.0.2.1");
    let refused = follow_until_refused(&mut socket);
    assert_eq!((&refused["status"], &refused["code"]), (&json!(429), &json!("too_many_joins_of_one")), "{refused}");
    assert!(refused["retry_after_s"].as_u64().is_some_and(|wait_s| wait_s > 0), "{refused}");
    assert_eq!(socket.ask(json!({"type": "ping"}))["type"], "pong", "the socket stays");
    // Another socket of the address changes nothing, and nobody else is concerned.
    let again = follower(&node, "192.0.2.1").ask(json!({"type": "follow", "stream": "a"}));
    let joined = join(&node, "192.0.2.1");
    assert!(
        again["code"] == "too_many_joins_of_one" || refusal(&joined).1 == "too_many_joins_of_one",
        "{again} {joined:?}"
    );
    assert_eq!(follower(&node, "192.0.2.2").ask(json!({"type": "follow", "stream": "a"}))["type"], "following");
    assert_eq!(join(&node, "192.0.2.2").status, 201);
}

#[test]
fn follows_of_all_clients_have_a_rate_and_take_nothing_from_the_sessions() {
    let node = start(plan(|limits| {
        limits.joins_per_second_max = 4;
        limits.joins_per_second_and_address_max = 1_000;
    }));
    let refused = follow_until_refused(&mut follower(&node, "192.0.2.1"));
    assert_eq!((&refused["status"], &refused["code"]), (&json!(503), &json!("too_many_joins")), "{refused}");
    assert_eq!(join(&node, "192.0.2.2").status, 201);
    let metrics = node.admin("/metrics").body;
    assert!(metrics.contains("corecast_sessions_refused_total{reason=\"too_many_joins\"}"), "{metrics}");
}
