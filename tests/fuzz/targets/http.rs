//! WHIP and WHEP as bytes on a connection to the real front end (listener, hyper, router, SDP) in this process. Only the
//! workers are stood in for: they say yes, because what they do is the other targets' matter. Any bytes get a status this
//! node gives, no 500, and the front end serves on.
//!
//! In the input byte 1 stands for the path of a session that is open and byte 2 for its entity tag, since both are random.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use corecast::auth::Authoriser;
use corecast::auth::address::Shown;
use corecast::auth::secret::Secret;
use corecast::config::Auth;
use corecast::net::Waker;
use corecast::signal::{self, Signalling};
use corecast::worker::mailbox::{WorkerHandle, WorkerIndex};

use super::{Seed, front, sdp};

/// What this node answers with.
const STATUSES: [u16; 22] =
    [200, 201, 204, 304, 400, 401, 403, 404, 405, 406, 408, 409, 412, 413, 414, 415, 422, 428, 429, 431, 503, 505];

/// How long a request that may be incomplete is waited for before the sending half is closed: on loopback an answer takes
/// less than a tenth of it. Closed too early, the request is cancelled, which is an input like any other.
const PATIENCE: Duration = Duration::from_millis(8);

/// How long the target's own requests are waited for, which are whole: as good as for ever.
const PATIENCE_WITH_OWN: Duration = Duration::from_secs(60);

struct Session {
    path: String,
    entity_tag: String,
}

struct Server {
    http: SocketAddr,
    session: Mutex<Session>,
    /// Kept, because dropping it ends the server.
    _signalling: Signalling,
}

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(start)
}

fn start() -> Server {
    let (change, changes) = flume::bounded(1);
    let (notices_in, notices) = flume::bounded(4_096);
    let (handle, control) = WorkerHandle::new(WorkerIndex(0), 40_000, Waker::noop());
    thread::spawn(move || {
        while let Ok(message) = control.recv() {
            front::answer(message, &notices_in);
        }
    });
    drop(change);
    // A token is not needed, so that everything behind it is reached; one that is shown is judged, as bytes from anywhere.
    let secret = Some(Secret::new("0123456789abcdef0123456789abcdef"));
    let auth = Auth { secret, ..Auth::default() };
    let admission = front::admission();
    let authoriser = Authoriser::start(&auth, &admission, Shown::Network).expect("a secret");
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let setup = front::setup(any, authoriser, admission, vec![handle], notices, changes);
    let signalling = signal::start(setup).expect("a front end");
    let http = signalling.http.expect("plain HTTP");
    let session = Mutex::new(open(http));
    Server { http, session, _signalling: signalling }
}

/// Opens the session that byte 1 stands for.
fn open(http: SocketAddr) -> Session {
    let answer = exchange(http, &post("/whep/live", sdp::offers()[2].2), PATIENCE_WITH_OWN);
    assert_eq!(status(&answer), Some(201), "{answer}");
    opened(&answer).expect("a session has a path and a tag")
}

fn opened(answer: &str) -> Option<Session> {
    let header = |name: &str| {
        let head = answer.split("\r\n\r\n").next()?;
        head.split("\r\n").find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(": ")?.to_owned()))
    };
    Some(Session { path: header("location")?, entity_tag: header("etag")? })
}

pub fn run(data: &[u8]) {
    let server = server();
    let mut session = server.session.lock().expect("one input at a time");
    let mut bytes = Vec::with_capacity(data.len() + 256);
    for &byte in data {
        match byte {
            1 => bytes.extend_from_slice(session.path.as_bytes()),
            2 => bytes.extend_from_slice(session.entity_tag.as_bytes()),
            _ => bytes.push(byte),
        }
    }
    let answer = exchange(server.http, &bytes, PATIENCE);
    if answer.starts_with("HTTP/1.") {
        let status = status(&answer);
        assert!(status.is_some_and(|status| STATUSES.contains(&status)), "{answer}");
    } else {
        // Bytes that are no request are not answered: the connection is closed. HTTP/2 is for TLS only.
        assert!(answer.is_empty(), "{answer}");
    }
    // Whatever was opened is closed again; every answer of a pipeline is looked at.
    for part in answer.split("HTTP/1.").filter(|part| part.contains(" 201 ")) {
        if let Some(opened) = opened(part) {
            exchange(server.http, &request("DELETE", &opened.path, &[], ""), PATIENCE_WITH_OWN);
        }
    }
    let deleted = bytes.windows(6).any(|window| window == b"DELETE");
    if deleted || bytes.windows(5).any(|window| window == b"PATCH") {
        exchange(server.http, &request("DELETE", &session.path, &[], ""), PATIENCE_WITH_OWN);
        *session = open(server.http);
    }
}

/// Sends bytes and reads what comes, to its end; after `patience` without anything, the sending half is closed.
fn exchange(http: SocketAddr, bytes: &[u8], patience: Duration) -> String {
    let mut stream = TcpStream::connect(http).expect("the front end listens");
    stream.set_read_timeout(Some(patience)).expect("a time above zero");
    stream.set_nodelay(true).expect("a TCP socket");
    // The server may answer and close before all is sent.
    let _ = stream.write_all(bytes);
    let (mut answer, mut buffer, mut waited) = (Vec::new(), [0; 16 * 1024], 0);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => answer.extend_from_slice(&buffer[..read]),
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                waited += 1;
                let _ = stream.shutdown(Shutdown::Write);
                assert!(waited < 1_000, "the connection is neither answered nor closed");
            }
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn status(answer: &str) -> Option<u16> {
    answer.split(' ').nth(1)?.parse().ok()
}

fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: node.test\r\nconnection: close\r\n{headers}");
    format!("{head}content-length: {length}\r\n\r\n{body}").into_bytes()
}

fn post(path: &str, offer: &str) -> Vec<u8> {
    request("POST", path, &[("content-type", "application/sdp")], offer)
}

pub fn seeds() -> Vec<Seed> {
    let fragment = ("content-type", "application/trickle-ice-sdpfrag");
    let restart = "a=ice-ufrag:newU\r\na=ice-pwd:newPasswordOf22CharactersX\r\n";
    let offer = sdp::offers()[6].2;
    let chunked = format!(
        "POST /whip/chunked HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: application/sdp\r\n\
         transfer-encoding: chunked\r\n\r\n{:x}\r\n{offer}\r\n0\r\n\r\n",
        offer.len()
    );
    let pipelined = [b"GET /sdk.js HTTP/1.1\r\nhost: a\r\n\r\n".to_vec(), request("HEAD", "/", &[], "")].concat();
    vec![
        ("whip".into(), post("/whip/live2", offer)),
        ("whep".into(), post("/whep/live", sdp::offers()[8].2)),
        ("trickle".into(), request("PATCH", "\u{1}", &[fragment, ("if-match", "\u{2}")], sdp::TRICKLE)),
        ("restart".into(), request("PATCH", "\u{1}", &[fragment, ("if-match", "\"*\"")], restart)),
        ("stale".into(), request("PATCH", "\u{1}", &[fragment, ("if-match", "\"old\", W/\"x\"")], restart)),
        ("delete".into(), request("DELETE", "\u{1}", &[("if-match", "\u{2}")], "")),
        ("delete-unknown".into(), request("DELETE", "/whip/a/b", &[], "")),
        (
            "preflight".into(),
            request(
                "OPTIONS",
                "/whep/a",
                &[("origin", "https://www.example.org"), ("access-control-request-method", "POST")],
                "",
            ),
        ),
        ("foreign".into(), request("POST", "/whep/a", &[("origin", "https://evil.example")], "v=0")),
        ("page".into(), request("GET", "/", &[("if-none-match", "\"0\", W/\"1\"")], "")),
        ("chunked".into(), chunked.into_bytes()),
        ("pipelined".into(), pipelined),
        ("http2-preface".into(), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec()),
        ("incomplete".into(), b"POST /whip/a HTTP/1.1\r\ncontent-length: 99\r\n\r\nv=0".to_vec()),
    ]
}
