//! The end of a connection that dials it: TCP, TLS with exactly the node that was meant, HTTP/2, and a first answer, which says that the
//! other node takes this one's certificate too.

use std::cell::Cell;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_rustls::TlsConnector;
use futures_util::future::{Either, select};
use http_body_util::Full;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::http::uri::{Authority, Parts, PathAndQuery, Scheme};
use hyper::{Request, Response, StatusCode, Uri, Version};
use rustls::AlertDescription;
use rustls::pki_types::ServerName;

use super::ChannelError;
use super::body::Bodies;
use super::identity::Identity;
use super::io::{Telling, Together, alert_of, linger};
use super::listener::REFUSED;
use super::name::{NodeName, shown};
use super::refusal::{Kind, Refusal};
use super::secret::LinkSecret;
use super::trust::{ALPN, Seen};
use crate::limits;
use crate::net::clock;
use crate::signal::runtime::{self, HyperIo, HyperTimer, Streams, Task, TcpStream};

/// A connection to another node.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    pub(super) secret: LinkSecret,
    under_way: Cell<u32>,
    used: Cell<Instant>,
    is_over: Rc<Cell<bool>>,
    bodies: Rc<Bodies>,
    _driver: Task,
}

/// A request that was not sent, since the connection had ended.
pub(super) struct NotSent(pub(super) Request<Bytes>);

impl Connection {
    /// Connects to that node.
    pub(super) async fn dial(
        identity: &Identity,
        to: NodeName,
        address: SocketAddr,
        bodies: Rc<Bodies>,
    ) -> Result<Rc<Self>, ChannelError> {
        let unreachable = |error: &dyn std::error::Error| ChannelError::Unreachable(error.to_string());
        let stream = TcpStream::connect(address).await.map_err(|error| unreachable(&error))?;
        let seen = Seen::default();
        let config = identity.trust.dial(&identity.certified, to, seen.clone()).map_err(|error| unreachable(&error))?;
        // Its name is in its certificate, and no host's.
        let host = ServerName::from(address.ip());
        let stream = match TlsConnector::from(Arc::new(config)).connect(host, Together(stream)).into_fallible().await {
            Ok(stream) => stream,
            Err((error, stream)) => {
                linger(stream).await;
                return Err(match (seen.take(), alert_of(&error)) {
                    (Some(Err(refusal)), _) => ChannelError::Refused(refusal),
                    (_, Some(alert)) => told_by(alert),
                    _ => unreachable(&error),
                });
            }
        };
        let tls = stream.get_ref().1;
        if tls.alpn_protocol() != Some(ALPN) {
            return Err(ChannelError::Unreachable("it does not speak HTTP/2".into()));
        }
        let secret = LinkSecret::of_dialled(tls).map_err(|error| unreachable(&error))?;

        let alert: Rc<Cell<Option<AlertDescription>>> = Rc::default();
        let streams = Streams::default();
        let io = HyperIo(Telling::new(stream, alert.clone()));
        let shaking = http2::Builder::new(streams.clone())
            .timer(HyperTimer)
            .max_header_list_size(limits::CHANNEL_HEAD_BYTES_MAX)
            .initial_stream_window_size(limits::CHANNEL_BODY_BYTES_MAX as u32)
            .initial_connection_window_size(limits::CHANNEL_WINDOW_BYTES)
            .keep_alive_interval(limits::CHANNEL_PING_INTERVAL)
            .keep_alive_timeout(limits::CHANNEL_PING_TIME_MAX)
            .keep_alive_while_idle(true)
            .handshake(io);
        let is_over: Rc<Cell<bool>> = Rc::default();
        let over = is_over.clone();
        let (end, has_ended) = flume::bounded::<()>(1);
        let (sender, connection) = shaking.await.map_err(|error| unreachable(&error))?;
        let driver = runtime::spawn(async move {
            if let Err(error) = streams.drive(connection).await {
                tracing::debug!(%error, "the connection to another node ended");
            }
            over.set(true);
            drop(end);
        });
        let connection = Self {
            sender,
            secret,
            under_way: Cell::new(0),
            used: Cell::new(clock::now()),
            is_over,
            bodies,
            _driver: driver,
        };
        let said = match select(pin!(connection.say_hello()), pin!(has_ended.recv_async())).await {
            Either::Left((said, _)) => said,
            Either::Right(_) => Err(ChannelError::Lost),
        };
        match said {
            Ok(()) => Ok(Rc::new(connection)),
            Err(error) => Err(alert.get().map_or(error, told_by)),
        }
    }

    async fn say_hello(&self) -> Result<(), ChannelError> {
        let hello = Request::get("/hello").body(Bytes::new());
        let hello = hello.map_err(|error| ChannelError::Unreachable(error.to_string()))?;
        let answer = self.ask(hello, 1).await.unwrap_or(Err(ChannelError::Lost))?;
        let refused = answer.headers().get(REFUSED).filter(|_| answer.status() == StatusCode::FORBIDDEN);
        let Some(kind) = refused else { return Ok(()) };
        let kind = kind.to_str().ok().and_then(Kind::named).unwrap_or(Kind::BadCertificate);
        let text = shown(&String::from_utf8_lossy(answer.body()));
        Err(ChannelError::RefusedThere(Refusal { kind, text }))
    }

    /// Asks. The request comes back where it was not sent, because the connection had ended.
    pub(super) async fn ask(
        &self,
        request: Request<Bytes>,
        under_way_max: u32,
    ) -> Result<Result<Response<Bytes>, ChannelError>, NotSent> {
        let Some(_under_way) = UnderWay::begin(self, under_way_max) else { return Ok(Err(ChannelError::TooMany)) };
        let request = match on_the_wire(request) {
            Ok(request) => request,
            Err(why) => return Ok(Err(ChannelError::Unreachable(why))),
        };
        let response = match self.sender.clone().try_send_request(request.map(Full::new)).await {
            Ok(response) => response,
            Err(mut error) => {
                return match error.take_message() {
                    Some(request) => Err(NotSent(request.map(whole))),
                    None => Ok(Err(ChannelError::Lost)),
                };
            }
        };
        let (head, body) = response.into_parts();
        Ok(match self.bodies.read(body).await {
            Ok(body) => Ok(Response::from_parts(head, body)),
            Err(unread) => Err(ChannelError::Unread(unread.to_string())),
        })
    }

    /// Whether it has ended.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.get() || self.sender.is_closed()
    }

    /// Since when nothing is asked for on it; `None` while something is.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        (self.under_way.get() == 0).then(|| self.used.get())
    }
}

/// The bytes of a body that was not sent.
fn whole(body: Full<Bytes>) -> Bytes {
    use futures_util::FutureExt as _;
    use http_body_util::BodyExt as _;
    body.collect().now_or_never().and_then(Result::ok).map(http_body_util::Collected::to_bytes).unwrap_or_default()
}

/// As HTTP/2 wants it: with a scheme and an authority (RFC 9113 §8.3.1), which say nothing here.
fn on_the_wire(request: Request<Bytes>) -> Result<Request<Bytes>, String> {
    let (mut head, body) = request.into_parts();
    let mut parts = Parts::default();
    parts.scheme = Some(Scheme::HTTPS);
    parts.authority = Some(Authority::from_static("node"));
    parts.path_and_query = Some(head.uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/")));
    head.uri = Uri::from_parts(parts).map_err(|error| error.to_string())?;
    head.version = Version::HTTP_2;
    Ok(Request::from_parts(head, body))
}

/// A request under way.
struct UnderWay<'a>(&'a Connection);

impl<'a> UnderWay<'a> {
    fn begin(of: &'a Connection, most: u32) -> Option<Self> {
        let under_way = of.under_way.get();
        if under_way >= most {
            return None;
        }
        of.under_way.set(under_way + 1);
        Some(Self(of))
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.set(self.0.under_way.get().saturating_sub(1));
        self.0.used.set(clock::now());
    }
}

fn told_by(alert: AlertDescription) -> ChannelError {
    match Kind::told_by(alert) {
        Some((kind, words)) => ChannelError::RefusedThere(Refusal { kind, text: words.to_owned() }),
        None => ChannelError::Unreachable(format!("TLS alert {alert:?}")),
    }
}
