//! Tokens of every kind, the doors they are shown at, and a server that answers what a test tells it to.

#![allow(dead_code, missing_docs, unreachable_pub)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use corecast::auth::secret::Secret;
use corecast::config::Auth;
use jsonwebtoken::{EncodingKey, Header, encode};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};

use crate::signal_support::client::Socket;
use crate::signal_support::{Node, PATIENCE, Plan, Response, start};

pub const SECRET: &str = "a secret of the tests, 32 bytes at least";

/// Where something is asked for: a transport, the place of its token, and what it is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    Whip,
    Whep,
    Admin,
    /// `publish` over a socket, the token there.
    Publish(Place),
    /// `subscribe` over a socket, the token there.
    Subscribe(Place),
}

/// Where a socket's token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the handshake, as a subprotocol.
    Handshake,
    /// In the first message.
    Hello,
    /// In the request itself.
    Request,
}

/// Those over sockets first: they close what they opened.
pub const DOORS: [Door; 9] = [
    Door::Publish(Place::Handshake),
    Door::Publish(Place::Hello),
    Door::Publish(Place::Request),
    Door::Subscribe(Place::Handshake),
    Door::Subscribe(Place::Hello),
    Door::Subscribe(Place::Request),
    Door::Whip,
    Door::Whep,
    Door::Admin,
];

impl Door {
    /// What a token must allow here.
    pub fn action(self) -> &'static str {
        match self {
            Self::Whip | Self::Publish(_) => "publish",
            Self::Whep | Self::Subscribe(_) => "play",
            Self::Admin => "admin",
        }
    }

    /// Whether it says with a header how to authenticate.
    pub fn is_http(self) -> bool {
        matches!(self, Self::Whip | Self::Whep | Self::Admin)
    }

    /// The status when one is let in.
    pub fn opened(self) -> u16 {
        if self == Self::Admin { 200 } else { 201 }
    }

    /// Asks with these headers more. Over a socket their token is put where this door has it, and what opened is closed
    /// again before this returns.
    pub fn ask(self, node: &Node, stream: &str, headers: &[(&str, &str)], offer: &str) -> Response {
        let mut all = vec![("content-type", "application/sdp")];
        all.extend(headers);
        match self {
            Self::Whip => node.ask("POST", &format!("/whip/{stream}"), &all, offer),
            Self::Whep => node.ask("POST", &format!("/whep/{stream}"), &all, offer),
            Self::Admin => node.ask_admin("/api/v1/node", headers),
            Self::Publish(place) => ask_socket(node, ("publish", stream, offer), place, headers),
            Self::Subscribe(place) => ask_socket(node, ("subscribe", stream, offer), place, headers),
        }
    }

    /// Ends what was opened.
    pub fn leave(self, node: &Node, opened: &Response) {
        if matches!(self, Self::Whip | Self::Whep) {
            assert_eq!(node.ask("DELETE", &opened.header("location"), &[], "").status, 200);
        }
    }

    /// Asks with `token`.
    pub fn show(self, node: &Node, stream: &str, token: &str) -> Response {
        self.ask(node, stream, &[("authorization", &format!("Bearer {token}"))], "ok")
    }
}

fn ask_socket(
    node: &Node,
    (kind, stream, offer): (&str, &str, &str),
    place: Place,
    headers: &[(&str, &str)],
) -> Response {
    let of = |name: &str| headers.iter().find(|(have, _)| *have == name).map(|(_, value)| *value);
    let token =
        |wanted: Place| of("authorization").and_then(|value| value.strip_prefix("Bearer ")).filter(|_| place == wanted);
    let offered = token(Place::Handshake).map(|token| format!("corecast.token.{token}"));
    let mut handshake: Vec<_> = offered.iter().map(|offered| ("sec-websocket-protocol", offered.as_str())).collect();
    handshake.extend(of("origin").map(|origin| ("origin", origin)));
    let mut socket = Socket::connect_plain(node, &handshake).unwrap();
    // `null` is no token.
    let welcome = socket.ask(json!({"type": "hello", "version": 1, "token": token(Place::Hello)}));
    if welcome["type"] == "error" {
        assert_eq!(socket.closed(), 4001, "{welcome}");
        return told(&welcome);
    }
    let answer = socket.ask(json!({"type": kind, "stream": stream, "sdp": offer, "token": token(Place::Request)}));
    if answer["type"] == "answer" {
        let closed = socket.ask(json!({"type": "close", "session": answer["session"]}));
        assert_eq!(closed["type"], "closed", "{closed}");
    }
    told(&answer)
}

/// A socket's answer as HTTP would have told it.
pub fn told(message: &Value) -> Response {
    let mut headers = vec![("content-type".to_owned(), "application/problem+json".to_owned())];
    headers.extend(message["retry_after_s"].as_u64().map(|wait_s| ("retry-after".to_owned(), wait_s.to_string())));
    let status = message["status"].as_u64().unwrap_or(201);
    Response { status: status.try_into().unwrap(), headers, body: message.to_string() }
}

/// A node that judges by `auth`.
pub fn node(auth: Auth) -> Node {
    start(Plan { auth, ..Plan::default() })
}

/// One that wants tokens made with [`SECRET`], at the operator's port too.
pub fn shared_secret() -> Auth {
    Auth { require: true, secret: Some(Secret::new(SECRET)), admin_token_required: true, ..Auth::default() }
}

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Claims that open `door` for the stream `demo`.
pub fn claims(door: Door) -> Value {
    json!({ "action": door.action(), "stream": "demo", "exp": now() + 600, "sub": "alice" })
}

pub fn sign(claims: &Value) -> String {
    sign_with(claims, SECRET, &Header::default())
}

pub fn sign_with(claims: &Value, secret: &str, header: &Header) -> String {
    encode(header, claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
}

/// Status and code of a refusal.
pub fn refusal(response: &Response) -> (u16, String) {
    (response.status, if response.status < 400 { String::new() } else { response.code() })
}

/// A request as the server saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub head: String,
    pub body: String,
}

impl Seen {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// What it answers: the bytes, given how many requests came before.
type Script = Box<dyn Fn(usize, &Seen) -> Vec<u8> + Send + Sync>;

/// A server on loopback, over TLS or not, one thread per connection and one request on each.
pub struct Server {
    pub port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    script: Arc<Mutex<Script>>,
    directory: tempfile::TempDir,
    scheme: &'static str,
}

impl Server {
    pub fn http(script: impl Fn(usize, &Seen) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::start(false, Box::new(script))
    }

    pub fn https(script: impl Fn(usize, &Seen) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::start(true, Box::new(script))
    }

    fn start(tls: bool, script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let directory = tempfile::tempdir().unwrap();
        let config = tls.then(|| Arc::new(server_tls(directory.path())));
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let script = Arc::new(Mutex::new(script));
        let (all_seen, told) = (seen.clone(), script.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, seen, script) = (config.clone(), all_seen.clone(), told.clone());
                thread::spawn(move || match config {
                    None => serve(stream, &seen, &script),
                    Some(config) => {
                        let connection = rustls::ServerConnection::new(config).unwrap();
                        serve(rustls::StreamOwned::new(connection, stream), &seen, &script);
                    }
                });
            }
        });
        let scheme = if tls { "https" } else { "http" };
        Self { port, seen, script, directory, scheme }
    }

    pub fn url(&self) -> Secret {
        Secret::new(format!("{}://127.0.0.1:{}/path", self.scheme, self.port))
    }

    /// The authority its certificate can be believed by.
    pub fn ca(&self) -> std::path::PathBuf {
        self.directory.path().join("ca.pem")
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// From now on it answers this.
    pub fn now_answers(&self, script: impl Fn(usize, &Seen) -> Vec<u8> + Send + Sync + 'static) {
        *self.script.lock().unwrap() = Box::new(script);
    }

    /// Waits until it has seen `count` requests.
    pub fn wait_seen(&self, count: usize) -> Vec<Seen> {
        let deadline = Instant::now() + PATIENCE;
        while self.seen().len() < count {
            assert!(Instant::now() < deadline, "{:?}", self.seen());
            thread::sleep(Duration::from_millis(5));
        }
        self.seen()
    }
}

fn server_tls(directory: &std::path::Path) -> rustls::ServerConfig {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
    std::fs::write(directory.join("ca.pem"), certificate.pem()).unwrap();
    let chain = vec![CertificateDer::from_pem_slice(certificate.pem().as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap()
}

fn serve(mut stream: impl Read + Write, seen: &Mutex<Vec<Seen>>, script: &Mutex<Script>) {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4_096];
    let request = loop {
        let read = stream.read(&mut buffer).unwrap_or(0);
        if read == 0 {
            return;
        }
        bytes.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
        });
        if body.len() >= length.unwrap_or(0) {
            break Seen { head: head.to_owned(), body: body.to_owned() };
        }
    };
    let before = {
        let mut seen = seen.lock().unwrap();
        seen.push(request.clone());
        seen.len() - 1
    };
    let answer = script.lock().unwrap()(before, &request);
    let _ = stream.write_all(&answer);
    let _ = stream.flush();
}

/// An HTTP answer.
pub fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}

/// 200 with JSON.
pub fn json_answer(body: &str) -> Vec<u8> {
    answer("200 OK", "content-type: application/json\r\n", body)
}

/// Nobody listens there, and nobody else can while the socket is kept.
pub fn dead_url() -> (socket2::Socket, Secret) {
    let held = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    held.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let port = held.local_addr().unwrap().as_socket().unwrap().port();
    (held, Secret::new(format!("http://127.0.0.1:{port}/")))
}
