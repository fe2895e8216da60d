//! The end of a connection that takes it: TLS with the other node's certificate, whether the directory has that node, then its requests.
//!
//! In TLS 1.3 who dials is done before its certificate is judged. So a chain or a name that is refused is told by an alert, and the
//! connection is closed in such a way that the alert arrives. A node that only the directory does not have is told in HTTP, by
//! [`REFUSED`] and 403, for a moment.

use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use futures_rustls::TlsAcceptor;
use futures_rustls::server::TlsStream;
use futures_util::future::{Either, FutureExt as _, select};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};

use super::body::{Bodies, Unread};
use super::directory::Directory;
use super::identity::Identities;
use super::io::{linger, tls_error};
use super::name::NodeName;
use super::places::{Begun, Place, Places};
use super::refusal::{Kind, Refusal, Refusals, Side};
use super::secret::LinkSecret;
use super::service::{Paths, Peer, text};
use super::trust::{ALPN, Seen};
use crate::limits;
use crate::net::clock;
use crate::signal::runtime::{self, HyperIo, HyperTimer, Listener, Streams, TcpStream};

/// The header by which a node that is refused learns why: a [`Kind`]'s name.
pub(super) const REFUSED: HeaderName = HeaderName::from_static("corecast-refused");

/// All that a connection which is taken needs.
pub(super) struct Door {
    pub(super) identities: Identities,
    pub(super) directory: Rc<dyn Directory>,
    pub(super) refusals: Rc<Refusals>,
    pub(super) paths: Rc<Paths>,
    pub(super) handshakes: Rc<Places>,
    pub(super) connections: Rc<Places>,
    pub(super) begun: Begun,
    pub(super) bodies: Rc<Bodies>,
    /// Connections that were closed in their handshake for another reason than a certificate.
    pub(super) failed: Cell<u64>,
}

/// Accepts connections until the task is dropped. They go on in tasks of their own.
pub(super) async fn accept_loop(listener: Listener, door: Rc<Door>) {
    let mut accepted = 0_u32;
    loop {
        let stream = match listener.accept().await {
            Ok(stream) => stream,
            Err(error) => {
                // There are no descriptors left, or the peer left the queue. The pause keeps this loop from spinning.
                tracing::debug!(%error, "accept failed");
                runtime::sleep(std::time::Duration::from_millis(10)).await;
                continue;
            }
        };
        accepted = accepted.wrapping_add(1);
        if accepted.is_multiple_of(limits::ACCEPTS_PER_TURN as u32) {
            runtime::next_turn().await;
        }
        let Ok(address) = stream.peer_addr() else { continue };
        if !door.begun.may(address.ip()) {
            door.failed.set(door.failed.get() + 1);
            continue;
        }
        let door = door.clone();
        runtime::spawn(async move {
            if AssertUnwindSafe(door.take(stream, address)).catch_unwind().await.is_err() {
                tracing::error!(
                    "a task of another node's connection panicked; the connection is closed, the node serves on"
                );
            }
        })
        .detach();
    }
}

/// A connection whose handshake is over.
struct Shaken {
    stream: TlsStream<TcpStream>,
    peer: Peer,
    /// Why the directory does not admit it.
    refused: Option<Refusal>,
}

impl Door {
    async fn take(self: Rc<Self>, stream: TcpStream, address: SocketAddr) {
        let shaken = {
            let place = self.handshakes.take(None, limits::CHANNEL_HANDSHAKES_MAX, 1);
            match select(pin!(place.lost()), pin!(self.shake(stream, address))).await {
                Either::Left(_) => None,
                Either::Right((shaken, _)) => shaken,
            }
        };
        let Some(Shaken { stream, peer, refused }) = shaken else { return };
        if let Some(refusal) = refused {
            self.refusals.note(Side::Accepted, &address.to_string(), None, refusal.clone());
            let telling = serve(stream, move |_| {
                let refusal = refusal.clone();
                async move { told(&refusal) }
            });
            runtime::timeout(limits::CHANNEL_REFUSED_TIME_MAX, telling).await;
            return;
        }
        let (most, of_node) = (limits::CHANNEL_CONNECTIONS_MAX, limits::CHANNEL_CONNECTIONS_PER_NODE_MAX);
        let place: Place = self.connections.take(Some(&peer.node), most, of_node);
        let door = self.clone();
        let serving = serve(stream, move |request| door.clone().answer(peer.clone(), request));
        let _ = select(pin!(place.lost()), pin!(serving)).await;
    }

    /// The handshake, and what the directory says of who is there.
    async fn shake(&self, stream: TcpStream, address: SocketAddr) -> Option<Shaken> {
        let shaking = async {
            let seen = Seen::default();
            let identity = self.identities.now();
            let config = identity.trust.accept(&identity.certified, self.identities.me(), seen.clone());
            let config = config.map_err(|error| tracing::error!(%error, "TLS between nodes cannot be set up")).ok()?;
            match TlsAcceptor::from(Arc::new(config)).accept(stream).into_fallible().await {
                Ok(stream) => Some((stream, seen)),
                Err((error, stream)) => {
                    self.failed(&error, &seen, address);
                    linger(stream).await;
                    None
                }
            }
        };
        let Some(shaken) = runtime::timeout(limits::CHANNEL_HANDSHAKE_TIME_MAX, shaking).await else {
            self.failed.set(self.failed.get() + 1);
            return None;
        };
        let (stream, seen) = shaken?;
        let connection = stream.get_ref().1;
        // The handshake does not end without a certificate that was judged good.
        let (name, secret) = (seen.take()?.ok()?, LinkSecret::of_accepted(connection).ok()?);
        if connection.alpn_protocol() != Some(ALPN) {
            self.failed.set(self.failed.get() + 1);
            return None;
        }
        let refused = self.admit(&name).await.err();
        let NodeName { region, node, .. } = name;
        Some(Shaken { stream, peer: Peer { node, region, address, secret }, refused })
    }

    /// Takes note of a handshake that failed.
    fn failed(&self, error: &io::Error, seen: &Seen, address: SocketAddr) {
        let tls = tls_error(error);
        let (side, refusal) = match (seen.take(), tls) {
            (Some(Err(refusal)), _) => (Side::Accepted, refusal),
            (_, Some(rustls::Error::NoCertificatesPresented)) => {
                let text = "it shows no certificate: only nodes of this cluster connect here".to_owned();
                (Side::Accepted, Refusal { kind: Kind::NoCertificate, text })
            }
            (_, Some(rustls::Error::AlertReceived(alert))) => match Kind::told_by(*alert) {
                Some((kind, words)) => (Side::Told, Refusal { kind, text: words.to_owned() }),
                None => return self.failed.set(self.failed.get() + 1),
            },
            _ => {
                tracing::debug!(%error, %address, "a handshake with another node failed");
                return self.failed.set(self.failed.get() + 1);
            }
        };
        self.refusals.note(side, &address.to_string(), None, refusal);
    }

    /// Whether the directory has that node. One that has just joined is waited for.
    async fn admit(&self, name: &NodeName) -> Result<(), Refusal> {
        let deadline = clock::now() + limits::CHANNEL_JOINED_WAIT_MAX;
        loop {
            match self.look_up(name) {
                Err(refusal) if clock::now() >= deadline => return Err(refusal),
                Err(_) => runtime::sleep(limits::CHANNEL_JOINED_LOOK_INTERVAL).await,
                admitted => return admitted,
            }
        }
    }

    fn look_up(&self, name: &NodeName) -> Result<(), Refusal> {
        let (kind, text) = match self.directory.listed(&name.node) {
            Some(listed) if listed.region == name.region => return Ok(()),
            Some(listed) => (
                Kind::AnotherRegion,
                format!(
                    "its certificate names {name}, and the directory has {} in region {}",
                    name.node, listed.region
                ),
            ),
            None if self.directory.is_known() => (
                Kind::NotInTheCluster,
                format!("its certificate names {name}, and the directory has no node {}", name.node),
            ),
            None => (
                Kind::NotInTheCluster,
                format!(
                    "its certificate names {name}, and the directory is not known yet: the cluster's engine has not answered"
                ),
            ),
        };
        Err(Refusal { kind, text })
    }

    async fn answer(self: Rc<Self>, peer: Peer, request: Request<Incoming>) -> Response<Bytes> {
        let (head, body) = request.into_parts();
        match self.bodies.read(body).await {
            Ok(body) => self.paths.answer(peer, Request::from_parts(head, body)).await,
            Err(unread) => {
                let status = match unread {
                    Unread::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
                    Unread::TooSlow => StatusCode::REQUEST_TIMEOUT,
                    Unread::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
                    Unread::Broken => StatusCode::BAD_REQUEST,
                };
                text(status, &unread.to_string())
            }
        }
    }
}

fn told(refusal: &Refusal) -> Response<Bytes> {
    let mut response = text(StatusCode::FORBIDDEN, &refusal.text);
    response.headers_mut().insert(REFUSED, HeaderValue::from_static(refusal.kind.name()));
    response
}

/// Answers requests until the connection ends, or the other node answers no ping. One that does not ask for anything at first is no
/// node: that says hello at once.
async fn serve<F, A>(stream: TlsStream<TcpStream>, answer: F)
where
    F: Fn(Request<Incoming>) -> A + 'static,
    A: Future<Output = Response<Bytes>> + 'static,
{
    let streams = Streams::default();
    let has_asked: Rc<Cell<bool>> = Rc::default();
    let asks = has_asked.clone();
    let service = service_fn(move |request| {
        asks.set(true);
        let answering = answer(request);
        async move { Ok::<_, Infallible>(answering.await.map(Full::new)) }
    });
    let connection = http2::Builder::new(streams.clone())
        .timer(HyperTimer)
        .max_concurrent_streams(limits::CHANNEL_REQUESTS_MAX)
        .max_header_list_size(limits::CHANNEL_HEAD_BYTES_MAX)
        .initial_stream_window_size(limits::CHANNEL_BODY_BYTES_MAX as u32)
        .initial_connection_window_size(limits::CHANNEL_WINDOW_BYTES)
        .keep_alive_interval(limits::CHANNEL_PING_INTERVAL)
        .keep_alive_timeout(limits::CHANNEL_PING_TIME_MAX)
        .serve_connection(HyperIo(stream), service);
    let says_nothing = async {
        runtime::sleep(limits::CHANNEL_HANDSHAKE_TIME_MAX).await;
        if has_asked.get() {
            std::future::pending::<()>().await;
        }
    };
    match select(pin!(streams.drive(connection)), pin!(says_nothing)).await {
        Either::Left((Ok(()), _)) => {}
        Either::Left((Err(error), _)) => tracing::debug!(%error, "another node's connection ended"),
        Either::Right(_) => tracing::debug!("a connection of another node asked for nothing"),
    }
}
