//! A name that has a publisher: who takes it over, who is told to ask again, and what becomes of the others.

use std::sync::atomic::Ordering;

use crate::auth_support::{now, shared_secret, sign};
use crate::signal_support::client::Socket;
use crate::signal_support::{Node, Plan, Response, start};
use corecast::config::Takeover;
use serde_json::json;

const SDP: (&str, &str) = ("content-type", "application/sdp");

/// A token that allows everything and says who has it.
fn token(subject: Option<&str>, until_s: u64) -> String {
    let mut claims = json!({"action": "publish", "stream": "*", "exp": now() + until_s});
    if let Some(subject) = subject {
        claims["sub"] = json!(subject);
    }
    format!("Bearer {}", sign(&claims))
}

fn publish(node: &Node, token: &str) -> Response {
    node.ask("POST", "/whip/live", &[SDP, ("authorization", token)], "ok")
}

/// It is refused, and told when to ask again.
#[track_caller]
fn assert_taken(response: &Response) {
    let told = (response.status, response.code(), response.header("retry-after"));
    assert_eq!(told, (409, "name_taken".to_owned(), "2".to_owned()), "{response:?}");
}

#[test]
fn where_nothing_judges_a_publisher_takes_its_name_over_from_the_same_address_and_viewers_stay() {
    let node = start(Plan::default());
    let mut socket = Socket::open(&node);
    let first = socket.start("publish", "live");
    node.open("whep", "live");
    let second = node.post("whip", "live", "ok");
    assert_eq!(second.status, 201, "{}", second.body);
    assert_eq!(node.told().iter().filter(|line| line.ends_with("close replaced")).count(), 1, "{:?}", node.told());
    let ended = socket.event();
    assert_eq!((&ended["type"], &ended["reason"]), (&json!("ended"), &json!("replaced")), "{ended}");
    assert_eq!(ended["session"], first["session"]);
    let report = node.report();
    assert_eq!((&report["publishers"], &report["viewers"]), (&json!(1), &json!(1)));
}

#[test]
fn over_http_the_replaced_publisher_learns_it_from_its_url_so_that_two_do_not_replace_each_other_in_turn() {
    let node = start(Plan::default());
    let (first, second) = (node.open("whip", "live"), node.open("whip", "live"));
    let gone = node.patch(&first.location, "*", "a/b");
    assert_eq!((gone.status, gone.code().as_str()), (410, "replaced"));
    assert_eq!(node.ask("DELETE", &first.location, &[], "").status, 200);
    assert_eq!(node.patch(&second.location, &second.etag, "candidate").status, 204, "the other one goes on");
}

#[test]
fn the_address_of_a_proxy_says_nothing_of_who_its_clients_are() {
    let node = start(Plan::default());
    for (number, header) in ["forwarded", "x-forwarded-for", "via"].into_iter().enumerate() {
        let path = format!("/whip/live{number}");
        let post = || node.ask("POST", &path, &[SDP, (header, "192.0.2.1")], "ok");
        assert_eq!(post().status, 201);
        assert_taken(&post());
        // Nor is who comes past the proxy the same as one of its clients.
        assert_taken(&node.ask("POST", &path, &[SDP], "ok"));
    }
}

#[test]
fn an_offer_that_is_refused_replaces_nobody() {
    let node = start(Plan::default());
    node.open("whip", "live");
    for (offer, status) in [("nonsense", 400), ("no codec", 406)] {
        assert_eq!(node.post("whip", "live", offer).status, status);
    }
    assert!(!node.told().iter().any(|line| line.contains("close")), "{:?}", node.told());
    assert_eq!(node.report()["publishers"], 1);
}

#[test]
fn a_name_is_taken_over_by_the_tokens_subject_and_from_a_silent_publisher_by_all_who_may_publish() {
    let node = start(Plan { auth: shared_secret(), ..Plan::default() });
    let (anna, again, bert) = (token(Some("anna"), 60), token(Some("anna"), 90), token(Some("bert"), 60));
    assert_eq!(publish(&node, &anna).status, 201);
    assert_taken(&publish(&node, &bert));
    assert_eq!(publish(&node, &again).status, 201, "another token of the same subject");
    node.silent.store(true, Ordering::SeqCst);
    assert_eq!(publish(&node, &bert).status, 201, "she has fallen silent");
    node.silent.store(false, Ordering::SeqCst);
    assert_taken(&publish(&node, &anna));
    // Who has no token may not publish at all, silent or not.
    node.silent.store(true, Ordering::SeqCst);
    assert_eq!(node.post("whip", "live", "ok").status, 401);
}

#[test]
fn a_token_without_a_subject_stands_for_itself() {
    let node = start(Plan { auth: shared_secret(), ..Plan::default() });
    let (one, other, empty) = (token(None, 60), token(None, 90), token(Some(""), 60));
    assert_eq!(publish(&node, &one).status, 201);
    for stranger in [&other, &empty] {
        assert_taken(&publish(&node, stranger));
    }
    assert_eq!(publish(&node, &one).status, 201);
}

#[test]
fn the_setting_lets_everybody_or_nobody_take_a_name_over() {
    let (anna, bert) = (token(Some("anna"), 60), token(Some("bert"), 60));
    let any = start(Plan { auth: shared_secret(), takeover: Takeover::Any, ..Plan::default() });
    for token in [&anna, &bert, &anna] {
        assert_eq!(publish(&any, token).status, 201);
    }
    let never = start(Plan { auth: shared_secret(), takeover: Takeover::Never, ..Plan::default() });
    never.silent.store(true, Ordering::SeqCst);
    assert_eq!(publish(&never, &anna).status, 201);
    for token in [&anna, &bert] {
        assert_taken(&publish(&never, token));
    }
    assert!(!never.told().iter().any(|line| line.contains("close")), "{:?}", never.told());
}
