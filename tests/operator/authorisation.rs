//! The program as an operator meets authorisation: making tokens, starting with keys that are wrong, and what a node at
//! its most talkative says of tokens, keys, ICE credentials and addresses: nothing.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;

use serde_json::json;

use crate::BINARY;
use crate::signal_support::client::Socket;
use crate::signal_support::{exchange, request};

const SECRET: &str = "c2VjcmV0LW9mLXRoZS10ZXN0LXNlY3JldC1vZi10aGU";
const OFFER: &str = include_str!("../data/sdp/chromium-publish.sdp");

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A directory with a secret in it that only its owner may read.
fn with_secret() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("secret");
    std::fs::write(&file, format!("{SECRET}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    (directory, file)
}

fn run(arguments: &[&str]) -> Output {
    Command::new(BINARY).args(arguments).output().unwrap()
}

#[test]
fn a_token_is_printed_alone_and_says_what_was_asked_for() {
    let (directory, secret) = with_secret();
    let config = directory.path().join("node.toml");
    let keys = format!("secret_file = '{}'\naudience = 'node-a'\nissuer = 'us'\n", secret.display());
    std::fs::write(&config, format!("[auth]\n{keys}")).unwrap();
    let secret = secret.to_str().unwrap();
    let mut all = vec!["token", "--action", "play", "--action", "publish", "--stream", "demo", "--stream", "event-*"];
    all.extend(["--expires", "2h", "--origin", "*.example.org", "--viewers-max", "5", "--subject", "alice"]);
    let with_config = ["--config", config.to_str().unwrap()];
    for more in [&["--secret-file", secret][..], &["--auth-secret-file", secret], &with_config] {
        let output = run(&[&all[..], more].concat());
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        let printed = text(&output.stdout);
        let token = printed.strip_suffix('\n').unwrap();
        assert!(!token.contains(char::is_whitespace), "{token:?}");
        let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS256);
        validation.set_audience(&["node-a"]);
        let key = jsonwebtoken::DecodingKey::from_secret(SECRET.as_bytes());
        let claims = jsonwebtoken::decode::<serde_json::Value>(token, &key, &validation).unwrap().claims;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let lifetime_s = claims["exp"].as_u64().unwrap() - now;
        assert!((7_100..=7_200).contains(&lifetime_s), "{claims}");
        let mut expected = serde_json::json!({
            "action": ["play", "publish"], "stream": ["demo", "event-*"], "exp": claims["exp"], "sub": "alice",
            "origin": "*.example.org", "viewers_max": 5
        });
        if more == with_config {
            expected["aud"] = "node-a".into();
            expected["iss"] = "us".into();
        }
        assert_eq!(claims, expected);
    }
}

#[test]
fn a_token_that_cannot_be_made_is_one_clear_line_and_nothing_on_standard_output() {
    let (directory, secret) = with_secret();
    let exposed = directory.path().join("exposed");
    std::fs::write(&exposed, SECRET).unwrap();
    std::fs::set_permissions(&exposed, std::fs::Permissions::from_mode(0o644)).unwrap();
    let (secret, exposed) = (secret.to_str().unwrap(), exposed.to_str().unwrap());
    let play = ["token", "--action", "play", "--stream", "demo"];
    for (arguments, code, expected) in [
        (play.to_vec(), 1, "--secret-file"),
        ([&play[..], &["--secret-file", "/nonexistent/secret"]].concat(), 1, "/nonexistent/secret: cannot be read"),
        ([&play[..], &["--secret-file", exposed]].concat(), 1, "others may read it (mode 0644): chmod 600"),
        (vec!["token", "--stream", "demo"], 2, "--action"),
        (vec!["token", "--action", "play"], 2, "--stream"),
        (vec!["token", "--action", "watch", "--stream", "demo"], 2, "publish, play, admin"),
        ([&play[..], &["--expires", "1"]].concat(), 2, "like 90s, 30m, 12h or 7d"),
        ([&play[..], &["--expires", "0s"]].concat(), 2, "like 90s, 30m, 12h or 7d"),
        ([&play[..], &["--expires", "99999999999999999d"]].concat(), 2, "like 90s, 30m, 12h or 7d"),
        ([&play[..], &["--origin", "*", "--secret-file", secret]].concat(), 2, "any page on the web"),
        ([&play[..], &["--viewers-max", "0"]].concat(), 2, "--viewers-max"),
    ] {
        let output = run(&arguments);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
        assert!(error.contains(expected), "{arguments:?}: {error}");
        assert!(output.stdout.is_empty() && !error.contains(SECRET), "{arguments:?}");
    }
    assert!(run(&["token", "--action", "admin", "--secret-file", secret]).status.success(), "admin needs no stream");
}

#[test]
fn a_node_whose_keys_cannot_be_used_does_not_start_and_says_what_to_do() {
    let (directory, _) = with_secret();
    let write = |name: &str, content: &str, mode| {
        let path = directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (exposed, short) = (write("exposed", SECRET, 0o604), write("short", "hunter2", 0o600));
    let not_a_set = write("jwks", "{}", 0o644);
    let port = crate::ports::free().to_string();
    let elsewhere = ["--https", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--media-port-base", &port, "--cores", "0"];
    for (arguments, code, expected) in [
        (vec!["--auth-secret-file", exposed.as_str()], 1, "others may read it (mode 0604): chmod 600"),
        (vec!["--auth-secret-file", short.as_str()], 1, "must be 32 to"),
        (vec!["--auth-jwks", not_a_set.as_str()], 1, "not a key set (RFC 7517)"),
        (
            vec!["--auth-jwks", "http://id.example.org/key"],
            2,
            "--auth-jwks = (hidden): plain http is for this host only",
        ),
        (
            vec!["--auth-require"],
            2,
            "--auth-require = true: there is nothing to judge a token by: set auth.secret_file",
        ),
        (vec!["--https", "0.0.0.0:0"], 2, "auth.require = true"),
        (vec!["--admin", "0.0.0.0:0", "--allow-anyone"], 2, "is served over TLS to who shows a token"),
    ] {
        // A flag that is given twice is an error of its own.
        let others = if code == 1 { &elsewhere[..] } else { &[] };
        let output = Command::new(BINARY)
            .args(others)
            .args(&arguments)
            .env("STATE_DIRECTORY", directory.path())
            .output()
            .unwrap();
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
        assert!(error.contains(expected), "{arguments:?}: {error}");
        assert!(!error.contains("hunter2") && !error.contains(SECRET), "{error}");
    }
}

#[test]
fn check_config_shows_neither_the_secret_nor_urls_that_may_hold_one() {
    let (directory, _) = with_secret();
    let config = directory.path().join("node.toml");
    let auth =
        format!("secret = '{SECRET}'\nwebhook = 'https://a.example/{SECRET}'\njwks = 'https://a.example/{SECRET}'\n");
    std::fs::write(&config, format!("[auth]\n{auth}")).unwrap();
    let refused = run(&["check-config", "--config", config.to_str().unwrap()]);
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{error}");
    assert!(
        error.contains("auth.secret = (hidden)") && error.contains("mode 0644") && error.contains("chmod o="),
        "{error}"
    );
    assert!(!error.contains(SECRET));
    std::fs::set_permissions(&config, std::fs::Permissions::from_mode(0o640)).unwrap();
    let output = run(&["check-config", "--config", config.to_str().unwrap()]);
    let printed = text(&output.stdout);
    assert!(output.status.success() && !printed.contains(SECRET), "{printed}");
    for line in ["require = true", "secret = \"(hidden)\"", "webhook = \"(hidden)\"", "addresses = false"] {
        assert!(printed.lines().any(|have| have == line), "{line} is not in\n{printed}");
    }
}

/// A node with everything it can say going into one string.
struct Talkative {
    child: Child,
    http: String,
    said: thread::JoinHandle<String>,
    errors: thread::JoinHandle<String>,
}

/// The number of its UDP port is that of its HTTP port too: one that the kernel gives to nobody by itself.
fn talkative(state: &Path, port: &str, arguments: &[&str]) -> Talkative {
    let http = format!("127.0.0.1:{port}");
    let mut child = Command::new(BINARY)
        .args(["--https", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--http", &http, "--media-port-base", port])
        .args(["--cores", "0", "--log", "trace"])
        .args(arguments)
        .env("STATE_DIRECTORY", state)
        .env("RUST_LOG", "trace")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let errors = thread::spawn(move || {
        let mut said = String::new();
        let _ = stderr.read_to_string(&mut said);
        said
    });
    let said = thread::spawn(move || {
        let mut said = String::new();
        while stdout.read_line(&mut said).unwrap_or(0) > 0 {}
        said
    });
    Talkative { child, http, said, errors }
}

impl Talkative {
    /// Connects once it listens.
    fn stream(&self) -> std::net::TcpStream {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        loop {
            match std::net::TcpStream::connect(&self.http) {
                Ok(stream) => return stream,
                Err(error) => assert!(std::time::Instant::now() < deadline, "{error}"),
            }
            thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    fn end(mut self) -> String {
        let ended = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(ended.success() && self.child.wait().unwrap().success());
        self.said.join().unwrap() + &self.errors.join().unwrap()
    }
}

/// The value of an SDP attribute.
fn attribute<'a>(sdp: &'a str, name: &str) -> &'a str {
    let line = sdp.lines().find_map(|line| line.strip_prefix("a=")?.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("{name} is in {sdp}")).trim()
}

#[test]
fn a_node_that_logs_everything_says_no_token_no_key_no_ice_credential_and_no_whole_address() {
    let (directory, secret) = with_secret();
    let file = secret.to_str().unwrap();
    let make = |more: &[&str]| {
        let output = run(&[&["token", "--action", "publish", "--secret-file", file][..], more].concat());
        text(&output.stdout).trim().to_owned()
    };
    let addresses = directory.path().join("addresses.toml");
    std::fs::write(&addresses, "[log]\naddresses = true\n").unwrap();
    let (good, wrong) = (make(&["--stream", "demo", "--subject", "alice"]), make(&["--stream", "other"]));
    for (format, config, shown) in [
        ("text", None, "127.0.0.0/24"),
        ("json", None, "127.0.0.0/24"),
        ("text", Some(addresses.to_str().unwrap()), "client=\"127.0.0.1\""),
    ] {
        let mut arguments = vec!["--log-format", format, "--auth-secret-file", file];
        arguments.extend(config.iter().flat_map(|config| ["--config", config]));
        let node = talkative(directory.path(), &crate::ports::free().to_string(), &arguments);
        let mut secrets = vec![SECRET.to_owned(), "BEGIN".to_owned(), good.clone(), wrong.clone()];
        let post = |token: &str| {
            let bearer = format!("Bearer {token}");
            let headers = [("content-type", "application/sdp"), ("authorization", bearer.as_str())];
            exchange(node.stream(), &request("POST", "/whip/demo", &headers, OFFER))
        };
        assert_eq!((post(&wrong).status, post("not-a-token-at-all").status), (403, 401));
        let opened = post(&good);
        assert_eq!(opened.status, 201, "{}", opened.body);
        let location = opened.header("location");
        let bearer = format!("Bearer {good}");
        let query = format!("/whip/demo?token={good}");
        exchange(node.stream(), &request("POST", &query, &[("authorization", bearer.as_str())], OFFER));
        let fragment = "a=ice-ufrag:newU\r\na=ice-pwd:newPasswordNewPassword0000\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n";
        let headers = [("content-type", "application/trickle-ice-sdpfrag"), ("if-match", "\"*\"")];
        let restarted = exchange(node.stream(), &request("PATCH", &location, &headers, fragment));
        assert_eq!(restarted.status, 200, "{}", restarted.body);
        assert_eq!(exchange(node.stream(), &request("DELETE", &location, &[], "")).status, 200);
        // The same over a socket, whose library traces the messages it reads and writes.
        let offered = format!("corecast.token.{wrong}");
        let mut socket = Socket::over(node.stream(), &[("sec-websocket-protocol", offered.as_str())]).unwrap();
        assert_eq!(socket.ask(json!({"type": "hello", "version": 1, "token": good}))["type"], "welcome");
        let publish = json!({"type": "publish", "stream": "demo", "sdp": OFFER});
        let mut unfit = publish.clone();
        unfit["token"] = wrong.as_str().into();
        assert_eq!(socket.ask(unfit)["code"], "token_wrong_stream");
        let answer = socket.ask(publish);
        secrets.push(answer["secret"].as_str().unwrap().to_owned());
        for sdp in [OFFER, &opened.body, &restarted.body, answer["sdp"].as_str().unwrap()] {
            secrets.push(attribute(sdp, "ice-pwd").to_owned());
            secrets.push(attribute(sdp, "ice-ufrag").to_owned());
        }
        secrets.extend(["newPasswordNewPassword0000".to_owned(), "not-a-token-at-all".to_owned()]);
        secrets.push(location.rsplit('/').next().unwrap().to_owned());
        // A token is no less one without its signature.
        secrets.extend(good.split('.').skip(1).map(str::to_owned));
        let said = node.end();
        for secret in &secrets {
            // The offer's four characters may stand in any word: ours are looked for as words.
            let is_said =
                said.split(|c: char| !(c.is_ascii_alphanumeric() || "+/-_.".contains(c))).any(|w| w == secret);
            assert!(!is_said && (secret.len() < 8 || !said.contains(secret)), "{secret} is in\n{said}");
        }
        assert!(said.contains(shown) && said.contains("alice") && said.contains("token_wrong_stream"), "{said}");
        let client_lines = said.lines().filter(|line| line.contains("client"));
        if config.is_none() {
            assert!(client_lines.clone().count() >= 2 && client_lines.clone().all(|line| !line.contains("127.0.0.1")));
        }
    }
}
