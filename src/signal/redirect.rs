//! The plain HTTP port of a public node (80). It redirects browsers to HTTPS, and answers the challenges by which an
//! ACME authority checks that a name leads here (RFC 8555 §8.3). It opens no session and serves no page.
//!
//! The answers are files that an ACME client wrote (`certbot --webroot`, `lego --http.webroot`). The name of a
//! challenge is checked before any file is opened: it must be base64url (RFC 8555 §8.1), so no name leads out of the
//! directory. Files are read on the executor. That is acceptable because it is one kilobyte from a local disk, once per
//! renewal, for a client that knows a name of 128 random bits. For any other name it is one `open` that fails.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::rc::Rc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderValue, LOCATION, X_CONTENT_TYPE_OPTIONS};
use hyper::http::uri::Authority;
use hyper::{Method, StatusCode};

use super::code::Code;
use super::http::{Request, Response, Service, Upgrade};
use super::live::LiveSettings;
use super::problem::Problem;
use super::shutdown::Shutdown;
use crate::limits;
use crate::metrics::SignallingCounters;

const CHALLENGES: &str = "/.well-known/acme-challenge/";

/// The service of the plain port.
#[derive(Clone)]
pub(super) struct RedirectService {
    pub(super) settings: Rc<LiveSettings>,
    pub(super) shutdown: Rc<Shutdown>,
    pub(super) counters: SignallingCounters,
    /// The port of HTTPS, which replaces the port that the client used.
    pub(super) https_port: u16,
}

impl Service for RedirectService {
    async fn call(&self, request: Request, _: &Upgrade) -> Response {
        let _under_way = self.shutdown.begin_request();
        let (route, answer) = match request.uri().path().strip_prefix(CHALLENGES) {
            Some(token) => ("acme_challenge", self.challenge(token, request.method())),
            None => ("redirect", self.redirect(&request)),
        };
        let mut response = answer.unwrap_or_else(Response::from);
        response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        self.counters.request(route, response.status().as_u16());
        response
    }
}

impl RedirectService {
    /// Answers 308, with which the client keeps its method (RFC 9110 §15.4.9).
    fn redirect(&self, request: &Request) -> Result<Response, Problem> {
        let terms = self.settings.now();
        let public = terms.live.public_url.as_deref().filter(|url| url.starts_with("https://"));
        let origin = match public {
            Some(url) => url.to_owned(),
            None => {
                let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
                https_origin(host.unwrap_or_default(), self.https_port).ok_or_else(no_host)?
            }
        };
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let location = HeaderValue::from_str(&(origin + path)).map_err(|_| no_host())?;
        let mut response = Response::default();
        *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
        response.headers_mut().insert(LOCATION, location);
        // Browsers may keep the redirect for a day, but not for ever, because the port may change.
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("max-age=86400"));
        Ok(response)
    }

    fn challenge(&self, token: &str, method: &Method) -> Result<Response, Problem> {
        if method != Method::GET && method != Method::HEAD {
            return Err(Problem::method("GET, HEAD"));
        }
        let terms = self.settings.now();
        let directory = terms.live.acme_webroot.as_deref().filter(|_| is_token(token)).ok_or_else(no_challenge)?;
        let answer = read_answer(directory, token).map_err(|error| {
            tracing::debug!(%error, "no answer to an ACME challenge");
            no_challenge()
        })?;
        tracing::info!("an ACME challenge was answered");
        let mut response = Response::new(Full::new(Bytes::from(answer)));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        Ok(response)
    }
}

/// `https://` and the host that a `Host` header names, with our port in place of its port.
fn https_origin(host: &str, port: u16) -> Option<String> {
    let authority: Authority = host.parse().ok()?;
    let host = authority.host();
    // User and password are not part of a host (RFC 9110 §4.2.4).
    if host.is_empty() || authority.as_str().contains('@') {
        return None;
    }
    Some(if port == 443 { format!("https://{host}") } else { format!("https://{host}:{port}") })
}

/// Whether a name has the form of an ACME token (RFC 8555 §8.1).
fn is_token(name: &str) -> bool {
    (1..=limits::ACME_TOKEN_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// Reads the file of that name. It must be a regular file, not a link, and not longer than an answer may be.
fn read_answer(directory: &Path, token: &str) -> io::Result<Vec<u8>> {
    let path = directory.join(CHALLENGES.trim_matches('/')).join(token);
    // Without O_NONBLOCK a pipe of that name would block the executor.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() > limits::ACME_ANSWER_BYTES_MAX {
        return Err(io::Error::other("not an answer's file"));
    }
    let mut answer = Vec::new();
    file.take(limits::ACME_ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    Ok(answer)
}

fn no_host() -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        Code::NoHost,
        "this port only redirects to HTTPS: name the host, or ask https:// at once",
    )
}

fn no_challenge() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        Code::NoSuchChallenge,
        "nothing answers this challenge: the ACME client must write it below tls.acme_webroot, in .well-known/acme-challenge",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_goes_to_the_host_that_was_asked_and_to_no_other() {
        for (host, port, expected) in [
            ("live.example.org", 443, Some("https://live.example.org")),
            ("live.example.org:80", 443, Some("https://live.example.org")),
            ("live.example.org", 8443, Some("https://live.example.org:8443")),
            ("192.0.2.1:80", 443, Some("https://192.0.2.1")),
            ("[2001:db8::1]:80", 8443, Some("https://[2001:db8::1]:8443")),
            ("", 443, None),
            ("a@evil.example", 443, None),
            ("live.example.org/evil", 443, None),
            ("a b", 443, None),
            (":80", 443, None),
        ] {
            assert_eq!(https_origin(host, port).as_deref(), expected, "{host:?}");
        }
    }

    #[test]
    fn only_a_name_of_base64url_is_looked_for() {
        for (name, expected) in [
            ("LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0", true),
            ("a-b_c", true),
            ("", false),
            (".", false),
            ("..", false),
            ("../secret", false),
            ("..%2fsecret", false),
            ("a/b", false),
            ("a.b", false),
            ("a\\b", false),
            ("a\0b", false),
            ("\u{e4}", false),
        ] {
            assert_eq!(is_token(name), expected, "{name:?}");
        }
        assert!(is_token(&"a".repeat(limits::ACME_TOKEN_BYTES_MAX)));
        assert!(!is_token(&"a".repeat(limits::ACME_TOKEN_BYTES_MAX + 1)));
    }

    #[test]
    fn an_answer_is_an_ordinary_small_file() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join(".well-known/acme-challenge");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("good"), "good.print").unwrap();
        std::fs::write(directory.join("long"), "x".repeat(limits::ACME_ANSWER_BYTES_MAX as usize + 1)).unwrap();
        std::os::unix::fs::symlink(directory.join("good"), directory.join("link")).unwrap();
        std::fs::create_dir(directory.join("directory")).unwrap();
        let made = std::process::Command::new("mkfifo").arg(directory.join("pipe")).status().unwrap();
        assert!(made.success());
        assert_eq!(read_answer(root.path(), "good").unwrap(), b"good.print");
        for name in ["long", "link", "directory", "pipe", "missing"] {
            assert!(read_answer(root.path(), name).is_err(), "{name}");
        }
    }
}
