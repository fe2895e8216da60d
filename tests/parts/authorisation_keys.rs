//! Public keys from a set: tokens of another library, a set that changes, one that turns bad, and one behind HTTPS.

use std::path::Path;
use std::time::Duration;

use corecast::config::{Admission, Auth, JwksSource};
use serde_json::Value;

use crate::auth_support::{Door, SECRET, Server, answer, claims, json_answer, node, refusal, sign};
use corecast::auth::secret::Secret;

const JWKS: &str = include_str!("../data/tokens/jwks.json");
const ROTATED: &str = include_str!("../data/tokens/jwks_rotated.json");
/// Made by PyJWT (`data/tokens/make.py`); all for playing `demo`.
const TOKENS: &str = include_str!("../data/tokens/tokens.json");

struct Vector {
    name: String,
    token: String,
    answer: String,
}

fn vectors() -> Vec<Vector> {
    let all: Vec<Value> = serde_json::from_str(TOKENS).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    all.iter()
        .map(|vector| Vector {
            name: text(&vector["name"]),
            token: text(&vector["token"]),
            answer: text(&vector["answer"]),
        })
        .collect()
}

fn token(name: &str) -> String {
    vectors().into_iter().find(|vector| vector.name == name).unwrap().token
}

fn by_file(path: &Path) -> Auth {
    Auth { require: true, jwks: Some(JwksSource::File(path.to_owned())), ..Auth::default() }
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

#[test]
fn another_librarys_tokens_are_believed_by_their_keys_algorithm_and_by_nothing_a_token_says() {
    let jwks = file(JWKS);
    // A shared secret beside the set must make nothing of these good either.
    for secret in [None, Some(Secret::new(SECRET))] {
        let node = node(Auth { secret, ..by_file(jwks.path()) });
        for Vector { name, token, answer } in vectors() {
            let response = Door::Whep.show(&node, "demo", &token);
            let (status, code) = refusal(&response);
            let expected = match answer.as_str() {
                "ok" => (201, ""),
                "rotated" => (401, "token_wrong_key"),
                code => (401, code),
            };
            assert_eq!((status, code.as_str()), expected, "{name}: {}", response.body);
        }
    }
}

#[test]
fn a_set_and_a_secret_are_believed_beside_each_other() {
    let jwks = file(JWKS);
    let node = node(Auth { secret: Some(Secret::new(SECRET)), ..by_file(jwks.path()) });
    assert_eq!(Door::Whep.show(&node, "demo", &token("EdDSA")).status, 201);
    assert_eq!(Door::Whep.show(&node, "demo", &sign(&claims(Door::Whep))).status, 201);
}

#[test]
fn a_key_that_is_new_in_the_set_is_found_when_its_first_token_comes_and_one_that_went_is_no_longer_believed() {
    let jwks = file(JWKS);
    let node = node(by_file(jwks.path()));
    assert_eq!(Door::Whep.show(&node, "demo", &token("ES256")).status, 201);
    std::fs::write(jwks.path(), ROTATED).unwrap();
    assert_eq!(Door::Whep.show(&node, "demo", &token("ES256")).status, 201, "nobody has looked yet");
    assert_eq!(Door::Whep.show(&node, "demo", &token("by the newer key")).status, 201);
    assert_eq!(refusal(&Door::Whep.show(&node, "demo", &token("ES256"))), (401, "token_wrong_key".to_owned()));
}

#[test]
fn a_set_that_turns_bad_leaves_the_old_keys_in_force() {
    for bad in ["", "<html>", "{\"keys\":[]}", "{\"keys\":7}", &format!("{{\"keys\":[{}]}}", " ".repeat(300_000))] {
        let jwks = file(JWKS);
        let node = node(by_file(jwks.path()));
        std::fs::write(jwks.path(), bad).unwrap();
        assert_eq!(Door::Whep.show(&node, "demo", &token("by the newer key")).status, 401);
        assert_eq!(Door::Whep.show(&node, "demo", &token("RS256")).status, 201, "{:.20}", bad);
    }
}

#[test]
fn a_file_that_is_no_set_is_a_start_up_error_that_says_what_is_wrong() {
    let start = |path: &Path| {
        let error = corecast::auth::Authoriser::start(&by_file(path), &Admission::for_workers(1), Default::default())
            .unwrap_err();
        error.to_string()
    };
    let bad = file("not a set");
    assert!(start(bad.path()).contains("not a key set (RFC 7517) at line 1"), "{}", start(bad.path()));
    assert!(start(Path::new("/nonexistent/keys.json")).contains("auth.jwks = /nonexistent/keys.json: cannot be read"));
}

fn by_url(server: &Server) -> Auth {
    Auth { jwks: Some(JwksSource::Url(server.url())), ca: Some(server.ca()), require: true, ..Auth::default() }
}

#[test]
fn a_set_behind_https_is_fetched_and_invented_key_ids_do_not_make_the_node_knock_again_and_again() {
    let server = Server::https(|_, _| {
        std::thread::sleep(Duration::from_millis(300));
        json_answer(JWKS)
    });
    let node = node(by_url(&server));
    server.wait_seen(1);
    assert!(server.seen()[0].head.starts_with("GET /path HTTP/1.1"), "{:?}", server.seen());
    // It waits for the look that is under way, and is no reason for another.
    assert_eq!(Door::Whep.show(&node, "demo", &token("RS256")).status, 201);
    server.now_answers(|_, _| json_answer(ROTATED));
    assert_eq!(Door::Whep.show(&node, "demo", &token("by the newer key")).status, 201);
    for _ in 0..5 {
        assert_eq!(Door::Whep.show(&node, "demo", &token("RS256 with an id nobody knows")).status, 401);
    }
    assert_eq!(server.seen().len(), 2, "one look at start, one for the first unknown key");
}

#[test]
fn until_a_set_has_come_nobody_can_say_and_then_it_is_as_ever() {
    let failing = || Server::https(|_, _| answer("500 Internal Server Error", "", ""));
    let (down, back) = (failing(), failing());
    let (refusing, recovering) = (node(by_url(&down)), node(by_url(&back)));
    let refused = Door::Whep.show(&refusing, "demo", &token("EdDSA"));
    assert_eq!(refusal(&refused), (503, "authorisation_unavailable".to_owned()));
    assert!(!refused.header("retry-after").is_empty());
    back.wait_seen(1);
    back.now_answers(|_, _| json_answer(JWKS));
    assert_eq!(Door::Whep.show(&recovering, "demo", &token("EdDSA")).status, 201);
}

#[test]
fn a_set_is_not_taken_from_a_server_that_cannot_prove_who_it_is_nor_from_where_it_points_to() {
    let (server, other) = (Server::https(|_, _| json_answer(JWKS)), Server::https(|_, _| json_answer(JWKS)));
    let unproven = node(Auth { ca: Some(other.ca()), ..by_url(&server) });
    let refused = Door::Whep.show(&unproven, "demo", &token("EdDSA"));
    assert_eq!(refusal(&refused), (503, "authorisation_unavailable".to_owned()));
    let target = other.url().expose().to_owned();
    server.now_answers(move |_, _| answer("302 Found", &format!("location: {target}\r\n"), ""));
    let redirected = node(by_url(&server));
    assert_eq!(Door::Whep.show(&redirected, "demo", &token("EdDSA")).status, 503);
    assert_eq!(other.seen().len(), 0, "a redirect is not followed");
}
