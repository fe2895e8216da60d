//! HTTP/1.1 and HTTP/2 connections: hyper driven over a futures stream, on one task per connection.
//!
//! Everything about a connection is bounded: the time for the TLS handshake, for a request's head and for its body, the
//! time without a request, the bytes of head and body, the number of streams, the number of connections
//! ([`super::connections`]), the time on this thread ([`super::turns`]), and frames that ask for nothing
//! ([`super::http2_frames`]). A panic is caught and counted, and ends only its own connection.
//!
//! Not here: what a request means ([`super::router`]).

use std::cell::Cell;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::{Either, FutureExt as _, LocalBoxFuture, select};
use futures_util::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;

use super::admission::{ClientAddress, PerAddress};
use super::connections::{Connections, Displaced, NoPlace, Place};
use super::http2_frames::Counted;
use super::ice_tcp::{IceTcp, Sorted};
use super::request_body::RequestBody;
use super::runtime::{self, HyperIo, HyperTimer, Listener, Streams, TcpStream};
use super::turn_server::TurnServer;
use super::turns::{InTurns, Share, Turns};
use crate::limits;
use crate::metrics::SignallingCounters;
use crate::net::clock;

/// A request.
pub(super) type Request = hyper::Request<RequestBody>;
/// A response: its body is always in memory.
pub(super) type Response = hyper::Response<Full<Bytes>>;

/// Answers requests; cheap to clone, shared by every connection of a listener.
pub(super) trait Service: Clone + Unpin + 'static {
    /// Answers one request. If the answer is a 101, the service puts into `upgrade` what takes the connection over.
    fn call(&self, request: Request, upgrade: &Upgrade) -> impl Future<Output = Response>;
}

/// Where a service puts what takes a connection over after a 101 (RFC 9110 §7.8). HTTP/1.1 only.
#[derive(Clone, Default)]
pub(super) struct Upgrade(Rc<Cell<Option<Successor>>>);

/// Takes a connection over from HTTP.
type Successor = Box<dyn FnOnce(Upgraded) -> LocalBoxFuture<'static, ()>>;

impl Upgrade {
    /// Hands the connection to `successor` once the response has been written.
    pub(super) fn to(&self, successor: impl FnOnce(Upgraded) -> LocalBoxFuture<'static, ()> + 'static) {
        self.0.set(Some(Box::new(successor)));
    }
}

/// A connection that is no longer used for HTTP.
pub(super) struct Upgraded {
    /// The byte stream, decrypted if the connection uses TLS.
    pub(super) io: Box<dyn Duplex>,
    /// Bytes that were already read after the request.
    pub(super) early: Bytes,
}

/// Both directions of a connection.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Duplex for S {}

/// A listener's settings.
#[derive(Clone)]
pub(super) struct ListenerOptions {
    /// TLS; `None` means plain HTTP.
    pub(super) tls: Option<futures_rustls::TlsAcceptor>,
    /// How many connections may be open at once.
    pub(super) connections_max: usize,
    /// How many of them one address may have, over all listeners.
    pub(super) per_address: Rc<PerAddress>,
    /// Where connections go that carry media; `None` on a port that has only HTTP.
    pub(super) ice_tcp: Option<Rc<IceTcp>>,
    /// The TURN server on the same port; `None` where there is none.
    pub(super) turn: Option<Rc<TurnServer>>,
    /// Whose turn it is on this thread.
    pub(super) turns: Rc<Turns>,
    /// The counters of connections.
    pub(super) counters: SignallingCounters,
}

/// Why a connection was closed without being served to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ConnectionRefused {
    /// `accept` failed, or the peer had already left.
    AcceptFailed,
    /// The listener's limit is reached.
    TooMany,
    /// The limit of its address is reached.
    TooManyFromAddress,
    /// The TLS handshake failed.
    TlsFailed,
    /// The TLS handshake took too long.
    TlsSlow,
    /// It had not asked for anything, and a newcomer got its place.
    Unfinished,
    /// It was idle, and a newcomer got its place.
    Idle,
    /// Its network had many of all places, and a newcomer got this one.
    OfMany,
    /// Its client's network uses the thread more than it may, and there were few places left.
    OverShare,
    /// The client sent too many HTTP/2 frames that ask for nothing.
    ControlFrames,
    /// It began like media over TCP, and no session has it.
    NoSession,
    /// It began like TURN, and was not admitted.
    TurnNotAdmitted,
    /// Its task panicked.
    Panicked,
}

impl ConnectionRefused {
    /// The name in metrics.
    const fn name(self) -> &'static str {
        match self {
            Self::AcceptFailed => "accept_failed",
            Self::TooMany => "too_many",
            Self::TooManyFromAddress => "too_many_from_address",
            Self::TlsFailed => "tls_failed",
            Self::TlsSlow => "tls_slow",
            Self::Unfinished => "unfinished",
            Self::Idle => "idle",
            Self::OfMany => "of_many",
            Self::OverShare => "over_share",
            Self::ControlFrames => "too_many_control_frames",
            Self::NoSession => "no_session",
            Self::TurnNotAdmitted => "turn_not_admitted",
            Self::Panicked => "panicked",
        }
    }
}

/// Accepts connections until the task is dropped. The connections continue in tasks of their own.
pub(super) async fn accept_loop<S: Service>(listener: Listener, options: ListenerOptions, service: S) {
    let table = Connections::new(options.connections_max, options.per_address.clone(), options.counters.clone());
    let mut accepted = 0_usize;
    loop {
        let stream = match listener.accept().await {
            Ok(stream) => stream,
            Err(error) => {
                // There are no descriptors left, or the peer left the queue. The pause keeps this loop from spinning.
                tracing::debug!(%error, "accept failed");
                options.refused(ConnectionRefused::AcceptFailed);
                runtime::sleep(std::time::Duration::from_millis(10)).await;
                continue;
            }
        };
        // Connections that wait in the kernel are accepted without a pause.
        accepted += 1;
        if accepted.is_multiple_of(limits::ACCEPTS_PER_TURN) {
            runtime::next_turn().await;
        }
        // The peer is already gone.
        let Ok(address) = stream.peer_addr() else {
            options.refused(ConnectionRefused::AcceptFailed);
            continue;
        };
        let before = clock::used();
        let place = options.place(&table, address.ip());
        options.turns.charge(address.ip(), clock::used().saturating_sub(before));
        match place {
            Ok(place) => start(stream, ClientAddress(address.ip()), options.clone(), service.clone(), place),
            Err(why) => options.refused(why),
        }
    }
}

impl ListenerOptions {
    fn refused(&self, why: ConnectionRefused) {
        self.counters.connection_refused(why.name());
    }

    async fn sort(&self, stream: &TcpStream) -> Sorted {
        match &self.ice_tcp {
            Some(ice_tcp) => ice_tcp.sort(stream).await,
            None => Sorted::Http,
        }
    }

    fn place(&self, table: &Rc<Connections>, address: IpAddr) -> Result<Rc<Place>, ConnectionRefused> {
        if table.few_left() && self.turns.is_over(address) {
            return Err(ConnectionRefused::OverShare);
        }
        table.take(address, clock::now()).map_err(|none| match none {
            NoPlace::Table => ConnectionRefused::TooMany,
            NoPlace::Address => ConnectionRefused::TooManyFromAddress,
        })
    }
}

/// Starts a connection's task. It ends when the connection does, or when its place goes to a newcomer.
fn start<S: Service>(
    stream: TcpStream,
    address: ClientAddress,
    options: ListenerOptions,
    service: S,
    place: Rc<Place>,
) {
    let share = options.turns.share(address.0);
    let keeper = place.clone();
    let counters = options.counters.clone();
    let task = {
        let (share, counters) = (share.clone(), counters.clone());
        guarded(counters, async move {
            match options.sort(&stream).await {
                Sorted::Http => connection(share.io(stream), address, &options, service, place, share).await,
                Sorted::Turn => {
                    if let Some(turn) = &options.turn
                        && turn.serve(share.io(stream)).await
                    {
                        return;
                    }
                    options.refused(ConnectionRefused::TurnNotAdmitted);
                }
                Sorted::Taken => {}
                Sorted::Refused => options.refused(ConnectionRefused::NoSession),
            }
        })
    };
    runtime::spawn(async move {
        let refused = match keeper.keep(share.run(Box::pin(task))).await {
            None => return,
            Some(Displaced::Unfinished) => ConnectionRefused::Unfinished,
            Some(Displaced::Idle) => ConnectionRefused::Idle,
            Some(Displaced::Asking) => ConnectionRefused::OfMany,
        };
        counters.connection_refused(refused.name());
    })
    .detach();
}

/// A task in which a panic ends only its own connection.
async fn guarded(counters: SignallingCounters, task: impl Future<Output = ()>) {
    if AssertUnwindSafe(task).catch_unwind().await.is_err() {
        counters.connection_refused(ConnectionRefused::Panicked.name());
        tracing::error!("a connection's task panicked; the connection is closed, the node serves on");
    }
}

/// Accepts TLS if the listener has it, then serves the HTTP version that ALPN chose.
async fn connection<S: Service>(
    stream: InTurns<TcpStream>,
    address: ClientAddress,
    options: &ListenerOptions,
    service: S,
    place: Rc<Place>,
    share: Share,
) {
    let client = Client { address, place, share, counters: options.counters.clone() };
    let Some(tls) = &options.tls else {
        return serve_http1(stream, client, service).await;
    };
    match runtime::timeout(limits::TLS_HANDSHAKE_TIME_MAX, tls.accept(stream)).await {
        Some(Ok(stream)) => match (stream.get_ref().1.alpn_protocol(), &options.turn) {
            (Some(b"h2"), _) => serve_http2(stream, client, service).await,
            (_, Some(turn)) => http1_or_turn(stream, client, options, turn, service).await,
            (_, None) => serve_http1(stream, client, service).await,
        },
        Some(Err(error)) => {
            tracing::debug!(%error, "TLS handshake failed");
            options.refused(ConnectionRefused::TlsFailed);
        }
        None => options.refused(ConnectionRefused::TlsSlow),
    }
}

/// Tells TURN from HTTP by the first byte, which no request begins with. By what protocol was asked for (RFC 7301) they cannot be
/// told: browsers name none with TURN, and others name several.
async fn http1_or_turn<S: Service>(
    mut stream: futures_rustls::server::TlsStream<InTurns<TcpStream>>,
    client: Client,
    options: &ListenerOptions,
    turn: &TurnServer,
    service: S,
) {
    let mut early = vec![0; limits::TURN_MESSAGE_BYTES_MAX];
    let Some(Ok(len)) = runtime::timeout(limits::REQUEST_HEAD_TIME_MAX, stream.read(&mut early)).await else { return };
    early.truncate(len);
    if early.first().is_some_and(|first| *first <= 3) {
        drop(client);
        if !turn.serve_tls(stream, early).await {
            options.refused(ConnectionRefused::TurnNotAdmitted);
        }
        return;
    }
    serve_http1(Begun { early: early.into(), stream }, client, service).await;
}

/// A stream of which something was read.
struct Begun<S> {
    early: Bytes,
    stream: S,
}

impl<S: AsyncRead + Unpin> AsyncRead for Begun<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.early.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let len = self.early.len().min(buffer.len());
        let early = self.early.split_to(len);
        if let Some(slot) = buffer.get_mut(..early.len()) {
            slot.copy_from_slice(&early);
        }
        Poll::Ready(Ok(early.len()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Begun<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(context)
    }
}

/// Who is connected, and what that takes.
struct Client {
    address: ClientAddress,
    place: Rc<Place>,
    share: Share,
    counters: SignallingCounters,
}

impl Client {
    /// Returns once no request has been under way for [`limits::CONNECTION_IDLE_MAX`].
    async fn idle(&self) {
        loop {
            let now = clock::now();
            let idle_since = self.place.idle_since();
            let deadline = idle_since.unwrap_or(now) + limits::CONNECTION_IDLE_MAX;
            if now >= deadline {
                return;
            }
            runtime::Sleep::until(deadline).await;
        }
    }

    /// Wraps the service for hyper. It tracks requests under way and adds the client's address to each.
    fn watched<S: Service>(
        &self,
        service: S,
        upgrade: &Upgrade,
    ) -> impl hyper::service::Service<
        hyper::Request<Incoming>,
        Response = Response,
        Error = Infallible,
        Future = LocalBoxFuture<'static, Result<Response, Infallible>>,
    > + use<S> {
        let (address, place, upgrade) = (self.address, self.place.clone(), upgrade.clone());
        let share = self.share.clone();
        service_fn(move |request: hyper::Request<Incoming>| {
            let mut request = request.map(RequestBody::Incoming);
            request.extensions_mut().insert(address);
            let (service, upgrade, under_way) = (service.clone(), upgrade.clone(), place.begin_request());
            let share = share.clone();
            async move {
                share.request().await;
                let response = service.call(request, &upgrade).await;
                drop(under_way);
                Ok(response)
            }
            .boxed_local()
        })
    }
}

async fn serve_http1<S: Service>(stream: impl AsyncRead + AsyncWrite + Unpin + 'static, client: Client, service: S) {
    let upgrade = Upgrade::default();
    let mut connection = http1::Builder::new()
        .timer(HyperTimer)
        .header_read_timeout(limits::REQUEST_HEAD_TIME_MAX)
        .max_buf_size(limits::REQUEST_HEAD_BYTES_MAX)
        .serve_connection(HyperIo(stream), client.watched(service, &upgrade));
    let served = poll_fn(|context| connection.poll_without_shutdown(context));
    match select(pin!(served), pin!(client.idle())).await {
        Either::Left((Ok(()), _)) => {}
        // The peer caused these errors: broken connections, bad requests (hyper answers 400), slow heads.
        Either::Left((Err(error), _)) => {
            tracing::debug!(%error, "HTTP/1.1 connection ended");
            return;
        }
        Either::Right(_) => return,
    }
    let parts = connection.into_parts();
    let mut io = parts.io.0;
    match upgrade.0.take() {
        Some(successor) => {
            // The successor runs in a task of its own, so that everything HTTP held for the connection is freed, also
            // its place. It goes on in the connection's turns.
            let Client { share, counters, .. } = client;
            let task = guarded(counters, successor(Upgraded { io: Box::new(io), early: parts.read_buf }));
            runtime::spawn(share.run(Box::pin(task))).detach();
        }
        None => {
            runtime::timeout(limits::SOCKET_CLOSE_TIME_MAX, io.close()).await;
        }
    }
}

async fn serve_http2<S: Service>(stream: impl AsyncRead + AsyncWrite + Unpin + 'static, client: Client, service: S) {
    let streams = Streams::default();
    let too_many: Rc<Cell<bool>> = Rc::default();
    let connection = http2::Builder::new(streams.clone())
        .timer(HyperTimer)
        .max_concurrent_streams(limits::HTTP2_STREAMS_MAX)
        .max_header_list_size(limits::REQUEST_HEAD_BYTES_MAX as u32)
        .initial_stream_window_size(limits::HTTP2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(limits::HTTP2_CONNECTION_WINDOW_BYTES)
        .keep_alive_interval(limits::CONNECTION_IDLE_MAX / 2)
        .serve_connection(
            HyperIo(Counted::new(stream, too_many.clone())),
            client.watched(service, &Upgrade::default()),
        );
    let both = streams.drive(connection);
    if let Either::Left((Err(error), _)) = select(pin!(both), pin!(client.idle())).await {
        tracing::debug!(%error, "HTTP/2 connection ended");
    }
    if too_many.get() {
        client.counters.connection_refused(ConnectionRefused::ControlFrames.name());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Audience, BuildInfo};

    #[derive(Clone)]
    struct Nothing;

    impl Service for Nothing {
        async fn call(&self, _: Request, _: &Upgrade) -> Response {
            Response::default()
        }
    }

    #[test]
    fn connections_that_wait_are_not_all_accepted_before_others_have_their_turn() {
        runtime::run(|| async {
            let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
            let to = listener.local_addr().unwrap();
            let waiting = 6 * limits::ACCEPTS_PER_TURN;
            let _held: Vec<_> = (0..waiting).map(|_| std::net::TcpStream::connect(to).unwrap()).collect();
            let counters = SignallingCounters::new();
            let options = ListenerOptions {
                tls: None,
                connections_max: 1_000,
                per_address: PerAddress::new(1_000, &[]),
                ice_tcp: None,
                turn: None,
                turns: Turns::new(crate::auth::address::Exempt::new(&[])),
                counters: counters.clone(),
            };
            let _accepting = runtime::spawn(accept_loop(listener, options, Nothing));
            let (mut turns, mut accepted) = (0, 0);
            while accepted < waiting && turns < 10_000 {
                runtime::next_turn().await;
                turns += 1;
                let build = BuildInfo { version: "", commit: "", features: "" };
                let text = counters.encode(Audience::default(), build, std::sync::Arc::default());
                let line = text.lines().find_map(|line| line.strip_prefix("corecast_http_connections "));
                let now: usize = line.unwrap().parse().unwrap();
                // The loop may have its turn twice where another task has it once.
                assert!(now - accepted <= 3 * limits::ACCEPTS_PER_TURN, "{accepted}, and {now} a turn later");
                accepted = now;
            }
            assert_eq!(accepted, waiting);
        })
        .unwrap();
    }
}
