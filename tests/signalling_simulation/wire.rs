//! A client's connections and requests.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use corecast::signal::runtime::simulated::net::{self, Cable, Conditions};
use corecast::signal::runtime::simulated::random;
use corecast::signal::runtime::{self, HyperIo};
use futures_util::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use rustls::pki_types::ServerName;

use crate::node::Addresses;
use crate::world::{World, millis};

/// How a client talks to the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speech {
    /// HTTP/1.1, in plain.
    Plain,
    /// HTTP/1.1 over TLS.
    Tls,
    /// HTTP/2, which is over TLS.
    Http2,
}

/// A connection's bytes.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Duplex for S {}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) location: String,
    pub(crate) etag: String,
    pub(crate) body: String,
}

impl Answer {
    /// `code` of a problem, or the status.
    pub(crate) fn code(&self) -> String {
        let problem = serde_json::from_str::<serde_json::Value>(&self.body).unwrap_or_default();
        format!("{} {}", self.status, problem["code"].as_str().unwrap_or("-"))
    }
}

/// A request.
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) body: &'a str,
}

/// Who asks, and how.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) world: Rc<World>,
    pub(crate) addresses: Addresses,
    pub(crate) address: IpAddr,
    pub(crate) speech: Speech,
    /// It belongs to a flood.
    pub(crate) is_flood: bool,
}

/// How the network between a client and the node is.
fn conditions(world: &World, is_flood: bool) -> Conditions {
    let latency = millis(0, world.scenario.latency_max.as_millis() as u64);
    // A flood in single bytes is a long run, and no other one.
    let cuts = [1, 7, 100, 1_460, 1_460, 16_384];
    let cuts = if is_flood { &cuts[2..] } else { &cuts };
    Conditions { latency, jitter: latency / 2, segment_bytes_max: cuts[random::below(cuts.len())] }
}

/// Does to a connection what the scenario does to connections.
fn trouble(world: &Rc<World>, cable: Cable) {
    if !world.fault(world.scenario.connection_faults) {
        return;
    }
    let (kind, after, worlds) = (random::below(4), millis(0, 600), world.clone());
    world.spawn(async move {
        runtime::sleep(after).await;
        if worlds.is_calm() {
            return;
        }
        match kind {
            0 => {
                worlds.count("fault: reset");
                cable.reset();
            }
            1 => {
                worlds.count("fault: swallowed");
                cable.swallow();
            }
            _ => {
                worlds.count("fault: stalled");
                cable.stall(millis(50, 4_000).min(worlds.storm_left()));
            }
        }
    });
}

impl Caller {
    /// A connection to a port of the node.
    pub(crate) async fn dial(&self, to: SocketAddr) -> io::Result<net::Stream> {
        if self.address.is_loopback() {
            // The operator's, on this host: nothing happens to its connections.
            let at_once = Conditions { latency: Duration::ZERO, jitter: Duration::ZERO, segment_bytes_max: usize::MAX };
            return Ok(net::connect(self.address, to, at_once).await?.0);
        }
        let (stream, cable) = net::connect(self.address, to, conditions(&self.world, self.is_flood)).await?;
        trouble(&self.world, cable);
        Ok(stream)
    }

    /// A connection as the client's speech wants it, for HTTP/1.1.
    pub(crate) async fn connect(&self) -> io::Result<Box<dyn Duplex>> {
        match self.speech {
            Speech::Plain => Ok(Box::new(self.dial(self.addresses.http).await?)),
            Speech::Tls | Speech::Http2 => Ok(Box::new(self.secure(b"http/1.1").await?)),
        }
    }

    pub(crate) async fn secure(&self, alpn: &[u8]) -> io::Result<impl Duplex + use<>> {
        let stream = self.dial(self.addresses.https).await?;
        let mut config = (**crate::node::client_tls()).clone();
        config.alpn_protocols = vec![alpn.to_vec()];
        let name = ServerName::try_from("node.test").map_err(io::Error::other)?;
        futures_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    /// One request on a connection of its own. An answer that takes longer than `patience` is none.
    pub(crate) async fn ask(&self, request: Request<'_>, patience: Duration) -> Option<Answer> {
        let asking = async {
            match self.speech {
                Speech::Http2 => self.ask_http2(&request).await,
                Speech::Plain | Speech::Tls => self.ask_http1(&request).await,
            }
        };
        let answer = runtime::timeout(patience, asking).await?.ok()?;
        if answer.status >= 500 && answer.status != 503 {
            self.world.break_rule("no failure", format!("{} {}: {answer:?}", request.method, request.path));
        }
        Some(answer)
    }

    async fn ask_http1(&self, request: &Request<'_>) -> io::Result<Answer> {
        let mut io = self.connect().await?;
        io.write_all(text_of(request).as_bytes()).await?;
        io.flush().await?;
        let mut bytes = Vec::new();
        let mut buffer = [0; 4_096];
        loop {
            let read = io.read(&mut buffer).await?;
            bytes.extend_from_slice(&buffer[..read]);
            if read == 0 {
                break;
            }
        }
        let (answer, rest) = parse(&bytes).ok_or(io::ErrorKind::UnexpectedEof)?;
        if !rest.is_empty() {
            let rest = String::from_utf8_lossy(rest).into_owned();
            self.world.break_rule("answered once", format!("{} {}: {rest}", request.method, request.path));
        }
        Ok(answer)
    }

    async fn ask_http2(&self, request: &Request<'_>) -> io::Result<Answer> {
        let io = HyperIo(self.secure(b"h2").await?);
        let (mut sender, connection) = http2::handshake(Spawn, io).await.map_err(io::Error::other)?;
        let driving = runtime::spawn(async move {
            let _ = connection.await;
        });
        let mut builder = hyper::Request::builder().method(request.method);
        builder = builder.uri(format!("https://node.test{}", request.path));
        for (name, value) in request.headers {
            builder = builder.header(*name, *value);
        }
        let body = Full::new(Bytes::copy_from_slice(request.body.as_bytes()));
        let request = builder.body(body).map_err(io::Error::other)?;
        let answer = sender.send_request(request).await.map_err(io::Error::other)?;
        let status = answer.status().as_u16();
        let header = |name: &str| {
            let value = answer.headers().get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let (location, etag) = (header("location"), header("etag"));
        let body = answer.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
        drop(driving);
        Ok(Answer { status, location, etag, body: String::from_utf8_lossy(&body).into_owned() })
    }
}

/// A request as HTTP/1.1 writes it.
pub(crate) fn text_of(request: &Request<'_>) -> String {
    let host = ("host", "node.test");
    let host = (!request.headers.iter().any(|(name, _)| *name == host.0)).then_some(&host);
    let headers = host.into_iter().chain(request.headers);
    let headers: String = headers.map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let (method, path, body, len) = (request.method, request.path, request.body, request.body.len());
    format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n{headers}content-length: {len}\r\n\r\n{body}")
}

/// The first answer in `bytes`, and what follows it.
fn parse(bytes: &[u8]) -> Option<(Answer, &[u8])> {
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
    let mut lines = text.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let (mut location, mut etag, mut len) = (String::new(), String::new(), 0);
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        match name.to_ascii_lowercase().as_str() {
            "location" => location = value.to_owned(),
            "etag" => etag = value.to_owned(),
            "content-length" => len = value.parse().ok()?,
            _ => {}
        }
    }
    let rest = &bytes[head + 4..];
    let body = String::from_utf8_lossy(rest.get(..len)?).into_owned();
    Some((Answer { status, location, etag, body }, &rest[len..]))
}

/// hyper's tasks on the simulated executor.
#[derive(Clone)]
struct Spawn;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Spawn {
    fn execute(&self, future: F) {
        runtime::spawn(future).detach();
    }
}
