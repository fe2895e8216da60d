//! Who may do what, on the real front end: every action × every fault a token can have × every transport, and what else
//! stands between a client and a session: sessions of one token, refusals in a row, the operator's port.

use corecast::auth::secret::Secret;
use corecast::config::{Admission, Auth};
use jsonwebtoken::{Algorithm, Header};
use serde_json::{Value, json};

use crate::auth_support::{DOORS, Door, SECRET, claims, node, now, refusal, shared_secret, sign, sign_with};
use crate::signal_support::{Node, Plan, Response, start};

/// A token with one fault, and the refusal it must meet.
struct Fault {
    name: &'static str,
    token: fn(Value) -> String,
    expected: (u16, &'static str),
}

/// Claims with one changed; null takes it away.
fn with(mut claims: Value, name: &str, value: Value) -> Value {
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(name);
    } else {
        claims[name] = value;
    }
    claims
}

fn signed_with(claims: Value, name: &str, value: Value) -> String {
    sign(&with(claims, name, value))
}

/// Another part of the token in the place of the one it has.
fn with_part(token: &str, index: usize, part: &str) -> String {
    let mut parts: Vec<&str> = token.split('.').collect();
    parts[index] = part;
    parts.join(".")
}

/// `{"alg":"none","typ":"JWT"}`
const ALG_NONE: &str = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";

const FAULTS: &[Fault] = &[
    Fault { name: "expired", token: |c| signed_with(c, "exp", json!(now() - 40)), expected: (401, "token_expired") },
    Fault {
        name: "expired when computers were new",
        token: |c| signed_with(c, "exp", json!(0)),
        expected: (401, "token_expired"),
    },
    Fault { name: "no exp", token: |c| signed_with(c, "exp", Value::Null), expected: (401, "token_malformed") },
    Fault {
        name: "exp as text",
        token: |c| signed_with(c, "exp", json!("4102444800")),
        expected: (401, "token_malformed"),
    },
    Fault {
        name: "exp as null",
        token: |mut c| {
            c["exp"] = Value::Null;
            sign(&c)
        },
        expected: (401, "token_malformed"),
    },
    Fault {
        name: "nbf to come",
        token: |c| signed_with(c, "nbf", json!(now() + 300)),
        expected: (401, "token_not_yet_valid"),
    },
    Fault { name: "nbf as text", token: |c| signed_with(c, "nbf", json!("soon")), expected: (401, "token_malformed") },
    Fault {
        name: "another secret",
        token: |c| sign_with(&c, "another secret, which is as long as the first", &Header::default()),
        expected: (401, "token_wrong_key"),
    },
    Fault {
        name: "the secret and a letter more",
        token: |c| sign_with(&c, &format!("{SECRET}x"), &Header::default()),
        expected: (401, "token_wrong_key"),
    },
    Fault {
        name: "HS384",
        token: |c| sign_with(&c, SECRET, &Header::new(Algorithm::HS384)),
        expected: (401, "token_wrong_key"),
    },
    Fault {
        name: "alg none",
        token: |c| with_part(&with_part(&sign(&c), 0, ALG_NONE), 2, ""),
        expected: (401, "token_malformed"),
    },
    Fault {
        name: "alg none with a signature",
        token: |c| with_part(&sign(&c), 0, ALG_NONE),
        expected: (401, "token_malformed"),
    },
    Fault { name: "no signature", token: |c| with_part(&sign(&c), 2, ""), expected: (401, "token_wrong_key") },
    Fault {
        name: "claims of another token",
        token: |c| {
            let other = sign(&with(c.clone(), "stream", json!("*")));
            with_part(&sign(&c), 1, other.split('.').nth(1).unwrap())
        },
        expected: (401, "token_wrong_key"),
    },
    Fault {
        name: "critical extension",
        token: |c| sign_with(&c, SECRET, &Header { crit: Some(vec!["b64".to_owned()]), ..Header::default() }),
        expected: (401, "token_malformed"),
    },
    Fault {
        name: "another audience",
        token: |c| signed_with(c, "aud", json!("node-b")),
        expected: (401, "token_wrong_audience"),
    },
    Fault {
        name: "other audiences",
        token: |c| signed_with(c, "aud", json!(["node-b", "node-aa"])),
        expected: (401, "token_wrong_audience"),
    },
    Fault {
        name: "no audience",
        token: |c| signed_with(c, "aud", Value::Null),
        expected: (401, "token_wrong_audience"),
    },
    Fault { name: "audience 7", token: |c| signed_with(c, "aud", json!(7)), expected: (401, "token_malformed") },
    Fault {
        name: "another issuer",
        token: |c| signed_with(c, "iss", json!("them")),
        expected: (401, "token_wrong_issuer"),
    },
    Fault { name: "no issuer", token: |c| signed_with(c, "iss", Value::Null), expected: (401, "token_wrong_issuer") },
    Fault { name: "no action", token: |c| signed_with(c, "action", Value::Null), expected: (401, "token_malformed") },
    Fault { name: "action 7", token: |c| signed_with(c, "action", json!(7)), expected: (401, "token_malformed") },
    Fault {
        name: "another action",
        token: |c| signed_with(c, "action", json!("record")),
        expected: (403, "token_wrong_action"),
    },
    Fault {
        name: "no action of many",
        token: |c| signed_with(c, "action", json!([])),
        expected: (403, "token_wrong_action"),
    },
    Fault {
        name: "a star is no action",
        token: |c| signed_with(c, "action", json!("*")),
        expected: (403, "token_wrong_action"),
    },
    Fault {
        name: "an endless subject",
        token: |c| signed_with(c, "sub", json!("x".repeat(257))),
        expected: (401, "token_malformed"),
    },
    Fault { name: "garbage", token: |_| "garbage".to_owned(), expected: (401, "token_malformed") },
    Fault { name: "dots", token: |_| "..".to_owned(), expected: (401, "token_malformed") },
    Fault { name: "four parts", token: |c| sign(&c) + ".x", expected: (401, "token_malformed") },
    Fault {
        name: "not base64",
        token: |c| with_part(&sign(&c), 0, "{\"alg\":\"HS256\"}"),
        expected: (401, "token_malformed"),
    },
    Fault {
        name: "too long",
        token: |c| signed_with(c, "padding", json!("x".repeat(4_000))),
        expected: (401, "token_malformed"),
    },
];

/// Those that only an action with a stream can have.
const STREAM_FAULTS: &[Fault] = &[
    Fault {
        name: "another stream",
        token: |c| signed_with(c, "stream", json!("demo2")),
        expected: (403, "token_wrong_stream"),
    },
    Fault {
        name: "another case",
        token: |c| signed_with(c, "stream", json!("Demo")),
        expected: (403, "token_wrong_stream"),
    },
    Fault {
        name: "another pattern",
        token: |c| signed_with(c, "stream", json!("demo-*")),
        expected: (403, "token_wrong_stream"),
    },
    Fault {
        name: "no stream",
        token: |c| signed_with(c, "stream", Value::Null),
        expected: (403, "token_wrong_stream"),
    },
    Fault { name: "stream 7", token: |c| signed_with(c, "stream", json!(7)), expected: (401, "token_malformed") },
    Fault {
        name: "more streams than a token names",
        token: |c| signed_with(c, "stream", json!(vec!["demo"; 65])),
        expected: (401, "token_malformed"),
    },
];

fn strict() -> Auth {
    Auth { audience: Some("node-a".to_owned()), issuer: Some("us".to_owned()), ..shared_secret() }
}

fn good(door: Door) -> Value {
    with(with(claims(door), "aud", json!("node-a")), "iss", json!("us"))
}

#[test]
fn every_fault_of_a_token_is_refused_by_its_name_at_every_door_before_anything_is_read_or_taken() {
    let node = node(strict());
    for door in DOORS {
        let streams = if door == Door::Admin { &[][..] } else { STREAM_FAULTS };
        for fault in FAULTS.iter().chain(streams) {
            let token = (fault.token)(good(door));
            let response = door.show(&node, "demo", &token);
            let (status, code) = refusal(&response);
            assert_eq!((status, code.as_str()), fault.expected, "{door:?}: {}: {}", fault.name, response.body);
            let challenge = response.header("www-authenticate");
            assert_eq!(challenge.starts_with("Bearer realm="), door.is_http(), "{door:?}: {}: {challenge}", fault.name);
            assert!(!response.body.contains(&token), "a refusal does not repeat the token");
        }
        // An offer that is no SDP: whoever may not ask does not learn that.
        let unread = door.ask(&node, "demo", &[], "not SDP");
        assert_eq!(refusal(&unread), (401, "token_missing".to_owned()), "{door:?}");
        let challenge = if door.is_http() { "Bearer realm=\"corecast\"" } else { "" };
        assert_eq!(unread.header("www-authenticate"), challenge, "{door:?}");
    }
    assert_eq!(node.told(), [""; 0], "no worker was asked for anything");
    // The same doors open for the token without a fault: the table refuses faults and not everything.
    for door in DOORS {
        let response = door.show(&node, "demo", &sign(&good(door)));
        assert_eq!(response.status, door.opened(), "{door:?}: {}", response.body);
    }
}

#[test]
fn what_a_token_may_say_is_understood_at_every_door() {
    let node = node(shared_secret());
    for door in DOORS {
        for (name, change) in [
            ("a list of actions", json!({ "action": ["record", "publish", "play", "admin"] })),
            ("a pattern", json!({ "stream": "d*o" })),
            ("any stream", json!({ "stream": "*" })),
            ("a list of streams", json!({ "stream": ["other", "demo"] })),
            ("a clock 20 s ahead", json!({ "nbf": now() + 20 })),
            ("a clock 20 s behind", json!({ "exp": now() - 20 })),
            ("a time with a fraction", json!({ "exp": now() as f64 + 60.5 })),
            ("claims nobody knows", json!({ "jti": "7", "scope": { "a": [1] } })),
            ("no subject", json!({ "sub": null })),
        ] {
            let mut claims = claims(door);
            for (claim, value) in change.as_object().unwrap() {
                claims = with(claims, claim, value.clone());
            }
            let response = door.show(&node, "demo", &sign(&claims));
            assert_eq!(response.status, door.opened(), "{door:?}: {name}: {}", response.body);
            door.leave(&node, &response);
        }
    }
}

#[test]
fn a_token_opens_the_door_it_is_for_and_no_other() {
    let node = node(shared_secret());
    for (number, made_for) in DOORS.into_iter().enumerate() {
        // A token each: one that is refused sixteen times within a minute is one too many.
        let token = sign(&with(claims(made_for), "jti", json!(number)));
        for asked in DOORS {
            let response = asked.show(&node, "demo", &token);
            match made_for.action() == asked.action() {
                true => {
                    assert_eq!(response.status, asked.opened(), "{asked:?}: {}", response.body);
                    asked.leave(&node, &response);
                }
                false => {
                    assert_eq!(refusal(&response), (403, "token_wrong_action".to_owned()), "{made_for:?} {asked:?}")
                }
            }
        }
    }
}

#[test]
fn a_token_for_an_audience_is_refused_by_a_node_that_has_none() {
    let node = node(shared_secret());
    let response = Door::Whep.show(&node, "demo", &sign(&good(Door::Whep)));
    assert_eq!(refusal(&response), (401, "token_wrong_audience".to_owned()));
}

#[test]
fn a_token_is_taken_from_one_header_and_never_from_a_url() {
    let node = node(shared_secret());
    let token = sign(&claims(Door::Whep));
    for query in ["token", "access_token", "jwt"] {
        let path = format!("/whep/demo?{query}={token}");
        let response = node.ask("POST", &path, &[("content-type", "application/sdp")], "ok");
        assert_eq!(refusal(&response), (401, "token_missing".to_owned()), "{query}");
    }
    let (bearer, shouted) = (format!("Bearer {token}"), format!("BEARER {token}"));
    let (bearer, shouted) = (bearer.as_str(), shouted.as_str());
    for (headers, expected) in [
        (vec![("authorization", bearer)], (201, "")),
        (vec![("authorization", shouted)], (201, "")),
        (vec![("authorization", token.as_str())], (401, "token_malformed")),
        (vec![("authorization", "Basic dXNlcjpwYXNz")], (401, "token_malformed")),
        (vec![("authorization", bearer), ("authorization", bearer)], (401, "token_malformed")),
        (vec![("cookie", bearer)], (401, "token_missing")),
    ] {
        let (status, code) = refusal(&Door::Whep.ask(&node, "demo", &headers, "ok"));
        assert_eq!((status, code.as_str()), expected, "{headers:?}");
    }
}

#[test]
fn a_session_is_changed_and_ended_by_who_has_its_url_with_no_token() {
    let node = node(shared_secret());
    let opened = Door::Whip.show(&node, "demo", &sign(&claims(Door::Whip)));
    let (location, tag) = (opened.header("location"), opened.header("etag"));
    assert_eq!(node.patch(&location, &tag, "second/password").status, 200);
    assert_eq!(node.ask("DELETE", &location, &[], "").status, 200);
    assert_eq!(node.ask("OPTIONS", "/whip/demo", &[], "").status, 204, "a preflight carries no token");
}

#[test]
fn a_token_for_pages_of_an_origin_is_for_them_only() {
    let listed = ["https://app.example.org", "*.example.net", "https://evil.example"].map(str::to_owned).to_vec();
    let node = start(Plan { auth: shared_secret(), cors_origins: listed, ..Plan::default() });
    let token = |origin: Value| format!("Bearer {}", sign(&with(claims(Door::Whep), "origin", origin)));
    for (claim, origin, expected) in [
        (json!("https://app.example.org"), Some("https://app.example.org"), (201, "")),
        (json!(["https://x.example", "*.example.net"]), Some("https://a.example.net"), (201, "")),
        (json!("https://app.example.org"), Some("https://evil.example"), (403, "token_wrong_origin")),
        (json!("https://app.example.org"), None, (403, "token_wrong_origin")),
        (json!("*.example.net"), Some("https://app.example.org"), (403, "token_wrong_origin")),
        (json!("*"), Some("https://app.example.org"), (403, "token_wrong_origin")),
        (json!([]), Some("https://app.example.org"), (403, "token_wrong_origin")),
        // What the node does not list is refused whatever the token says.
        (json!("https://unlisted.example"), Some("https://unlisted.example"), (403, "origin_not_allowed")),
    ] {
        let bearer = token(claim.clone());
        let mut headers = vec![("authorization", bearer.as_str())];
        headers.extend(origin.map(|origin| ("origin", origin)));
        let (status, code) = refusal(&Door::Whep.ask(&node, "demo", &headers, "ok"));
        assert_eq!((status, code.as_str()), expected, "{claim} {origin:?}");
    }
}

#[test]
fn a_token_plays_as_often_at_once_as_it_may_and_publishing_is_not_counted() {
    let node = node(shared_secret());
    let limited = |door| sign(&with(claims(door), "viewers_max", json!(2)));
    let token = limited(Door::Whep);
    let first = Door::Whep.show(&node, "demo", &token);
    assert_eq!((first.status, Door::Whep.show(&node, "demo", &token).status), (201, 201));
    let refused = Door::Whep.show(&node, "demo", &token);
    assert_eq!(refusal(&refused), (403, "token_in_use".to_owned()));
    assert!(refused.body.contains("(2)") && refused.header("www-authenticate").is_empty(), "{refused:?}");
    // An offer that is refused later takes no place, and one that ends gives its back.
    assert_eq!(node.ask("DELETE", &first.header("location"), &[], "").status, 200);
    let bearer = format!("Bearer {token}");
    assert_eq!(Door::Whep.ask(&node, "demo", &[("authorization", &bearer)], "no codec").status, 406);
    assert_eq!(Door::Whep.show(&node, "demo", &token).status, 201);
    assert_eq!(Door::Whep.show(&node, "demo", &token).status, 403);
    assert_eq!(Door::Whip.show(&node, "demo", &limited(Door::Whip)).status, 201);
    assert_eq!(Door::Whep.show(&node, "demo", &sign(&claims(Door::Whep))).status, 201, "another token");
}

#[test]
fn who_fails_too_often_is_429_and_a_good_token_from_the_same_address_is_not() {
    let admission = Admission { exempt_addresses: Vec::new(), ..Admission::for_workers(2) };
    let node = start(Plan { auth: shared_secret(), admission, ..Plan::default() });
    let expired = sign(&with(claims(Door::Whep), "exp", json!(now() - 100)));
    for _ in 0..16 {
        assert_eq!(Door::Whep.show(&node, "demo", &expired).status, 401);
    }
    let refused = Door::Whep.show(&node, "demo", &expired);
    assert_eq!(refusal(&refused), (429, "too_many_failures".to_owned()));
    let retry_after_s: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=61).contains(&retry_after_s), "{retry_after_s}");
    // Another bad token is still told why, until the address has failed too often.
    for number in 0..111 {
        assert_eq!(Door::Whep.show(&node, "demo", &format!("{expired}{number}")).status, 401, "{number}");
    }
    assert_eq!(Door::Whep.show(&node, "demo", "yet another").status, 429);
    assert_eq!(Door::Whep.ask(&node, "demo", &[], "ok").status, 429);
    assert_eq!(Door::Whep.show(&node, "demo", &sign(&claims(Door::Whep))).status, 201);
    let metrics = Door::Admin.show(&node, "", &sign(&claims(Door::Admin)));
    assert_eq!(metrics.status, 200);
}

/// Asks with `headers` until it is refused, and how often it was let in before.
fn opened_until_refused(door: Door, node: &Node, headers: &[(&str, &str)]) -> (usize, Response) {
    for opened in 0..200 {
        let response = door.ask(node, "demo", headers, "ok");
        if response.status != door.opened() {
            return (opened, response);
        }
        door.leave(node, &response);
    }
    panic!("{door:?} opens for ever")
}

#[test]
fn who_opens_sessions_too_often_with_one_token_is_429_at_every_door_and_another_token_is_not() {
    // One a second, ten at once.
    let admission = Admission { joins_per_second_and_token_max: 1, ..Admission::for_workers(2) };
    let node = start(Plan { auth: shared_secret(), admission, ..Plan::default() });
    for door in DOORS.into_iter().filter(|door| *door != Door::Admin) {
        let bearer = |subject: &str| format!("Bearer {}", sign(&with(claims(door), "sub", json!(subject))));
        let token = bearer(&format!("{door:?}"));
        let (opened, refused) = opened_until_refused(door, &node, &[("authorization", &token)]);
        assert!(opened >= 10, "{door:?}: {opened}");
        assert_eq!(refusal(&refused), (429, "too_many_joins_of_one".to_owned()), "{door:?}");
        let retry_after_s: u64 = refused.header("retry-after").parse().unwrap();
        assert!((1..=2).contains(&retry_after_s), "{door:?}: {retry_after_s}");
        let other = bearer(&format!("another {door:?}"));
        let response = door.ask(&node, "demo", &[("authorization", &other)], "ok");
        assert_eq!(response.status, door.opened(), "{door:?}: {}", response.body);
        door.leave(&node, &response);
    }
    let look = sign(&claims(Door::Admin));
    assert!((0..30).all(|_| Door::Admin.show(&node, "", &look).status == 200), "looking is no joining");
}

#[test]
fn who_opens_sessions_too_often_from_one_address_is_429_with_a_token_and_where_none_is_asked_for() {
    for auth in [shared_secret(), Auth::default()] {
        let is_judged = auth.require;
        let admission = Admission {
            exempt_addresses: Vec::new(),
            joins_per_second_and_address_max: 1,
            ..Admission::for_workers(2)
        };
        let node = start(Plan { auth, admission, ..Plan::default() });
        if is_judged {
            // Tried in vain, which others at the same address do not have to pay for.
            assert!((0..30).all(|number| Door::Whep.show(&node, "demo", &format!("bad{number}")).status == 401));
        }
        let bearer = format!("Bearer {}", sign(&claims(Door::Whep)));
        let (opened, refused) = opened_until_refused(Door::Whep, &node, &[("authorization", &bearer)]);
        assert!(opened >= 10, "{opened}");
        assert_eq!(refusal(&refused), (429, "too_many_joins_of_one".to_owned()));
    }
}

#[test]
fn where_a_token_is_optional_one_that_is_shown_must_be_good() {
    let node = node(Auth { require: false, ..shared_secret() });
    assert_eq!(Door::Whep.ask(&node, "demo", &[], "ok").status, 201);
    assert_eq!(Door::Whep.show(&node, "demo", "bad").status, 401);
    assert_eq!(Door::Whep.show(&node, "demo", &sign(&claims(Door::Whep))).status, 201);
    assert_eq!(refusal(&Door::Admin.ask(&node, "", &[], "")), (401, "token_missing".to_owned()));
}

#[test]
fn where_nothing_is_configured_everybody_is_let_in_and_tokens_say_nothing() {
    let node = node(Auth::default());
    for door in DOORS {
        assert_eq!(door.ask(&node, "demo", &[], "ok").status, door.opened(), "{door:?}");
    }
    assert_eq!(Door::Whep.show(&node, "demo", "anything").status, 201);
    let for_a_proxy = [("authorization", "Basic dXNlcjpwYXNz")];
    assert_eq!(Door::Whep.ask(&node, "demo", &for_a_proxy, "ok").status, 201);
}

#[test]
fn the_operators_port_on_loopback_shows_no_figures_to_a_page_that_reaches_it_under_a_name_of_its_own() {
    let ask = |node: &Node, path: &str, host: &str, token: &str| {
        node.ask_admin(path, &[("host", host), ("authorization", &format!("Bearer {token}"))])
    };
    let open = node(Auth::default());
    for path in ["/metrics", "/api/v1/node"] {
        assert_eq!(
            refusal(&ask(&open, path, "evil.example:8444", "x")),
            (421, "not_by_that_name".to_owned()),
            "{path}"
        );
        for own in ["127.0.0.1:8444", "localhost:8444", "[::1]:8444"] {
            assert_eq!(ask(&open, path, own, "x").status, 200, "{path} of {own}");
        }
    }
    assert_eq!(ask(&open, "/healthz", "evil.example", "x").status, 200, "it tells a bit");

    // Behind a proxy with a name: a page knows no token.
    let auth = Auth { admin_token_required: true, secret: Some(Secret::new(SECRET)), ..Auth::default() };
    let node = node(auth);
    let token = sign(&claims(Door::Admin));
    assert_eq!(ask(&node, "/metrics", "figures.example.org", &token).status, 200);
    assert_eq!(ask(&node, "/metrics", "figures.example.org", "x").status, 401);
}

#[test]
fn the_operators_port_off_loopback_is_tls_and_shows_figures_to_an_admin_token_only() {
    let auth = Auth { require: true, secret: Some(Secret::new(SECRET)), ..Auth::default() };
    let node = start(Plan { auth, admin: "0.0.0.0:0".parse().unwrap(), ..Plan::default() });
    for path in ["/healthz", "/readyz", "/dashboard", "/dashboard.js", "/page.js"] {
        assert_eq!(node.ask_admin(path, &[]).status, 200, "{path}");
    }
    let (admin, play) = (sign(&claims(Door::Admin)), sign(&claims(Door::Whep)));
    for path in ["/metrics", "/api/v1/node"] {
        let ask = |token: &str| node.ask_admin(path, &[("authorization", &format!("Bearer {token}"))]);
        assert_eq!(refusal(&node.ask_admin(path, &[])), (401, "token_missing".to_owned()), "{path}");
        assert_eq!(refusal(&ask(&play)), (403, "token_wrong_action".to_owned()), "{path}");
        assert_eq!(ask(&admin).status, 200, "{path}");
    }
    // In plain HTTP nothing answers there, not even to a good token.
    let plain = std::net::TcpStream::connect(("127.0.0.1", node.admin.port())).unwrap();
    let bearer = format!("Bearer {admin}");
    let request = crate::signal_support::request("GET", "/metrics", &[("authorization", bearer.as_str())], "");
    assert_eq!(crate::signal_support::exchange(plain, &request).status, 0);
}
