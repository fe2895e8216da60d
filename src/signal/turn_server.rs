//! The node's own TURN server ([`crate::turn`]) as signalling sees it: what sessions are told of it, and connections until
//! their Allocate is authentic. Then they go to the session's worker, TLS state and all, so that no media passes this thread.
//!
//! ```text
//!   port of HTTPS ─┬─ 00..03, …, 21 12 a4 42 at 4: TURN over TCP ──┐
//!                  └─ TLS, not h2, then 00..03: TURN over TLS ──────┴─▶ Greeting ──▶ worker
//! ```
//!
//! Browsers send no ALPN with TURN, others `stun.turn` (RFC 7443) or that and more. HTTP never begins with a byte below 0x20, so
//! the first byte decides.

use std::io;
use std::net::{IpAddr, SocketAddr};

use futures_util::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::live::Live;
use super::random;
use super::runtime::{self, TcpStream};
use super::tls::{Certificates, Moved};
use super::turns::InTurns;
use crate::config::IceServer;
use crate::metrics::SignallingCounters;
use crate::net::{self, Accepted, Carries, TurnConnection, clock};
use crate::transport::Announced;
use crate::turn::{self, Client, Framed, Greeted, Greeting, Secret};
use crate::worker::mailbox::{Control, SessionId, WorkerHandle};
use crate::{limits, turn::Credentials};

/// Bytes read at once from a connection that is not admitted.
const READ_BYTES: usize = 2 * limits::TURN_MESSAGE_BYTES_MAX;

/// What the server needs of the node.
pub(super) struct TurnServer {
    secret: Secret,
    workers: WorkerOf,
    /// The addresses that are put into candidates.
    announce: Vec<Announced>,
    /// The port of HTTPS, as it is bound.
    port: u16,
    certificates: Certificates,
    counters: SignallingCounters,
}

/// The worker of a session that lives.
pub(super) type WorkerOf = Box<dyn Fn(SessionId) -> Option<WorkerHandle>>;

/// A client that was admitted, and whose worker is to have it.
struct Admitted {
    client: Box<Client>,
    worker: WorkerHandle,
    early: Vec<u8>,
}

impl TurnServer {
    pub(super) fn new(
        workers: WorkerOf,
        announce: Vec<Announced>,
        port: u16,
        certificates: Certificates,
        counters: SignallingCounters,
    ) -> Self {
        Self { secret: Secret::new(&random::bytes()), workers, announce, port, certificates, counters }
    }

    /// What the client of a session is told, who came by the name `host`.
    pub(super) fn told(&self, session: SessionId, host: Option<&str>, live: &Live) -> Option<IceServer> {
        let own = live.public_url.as_deref().and_then(|url| url.parse::<hyper::Uri>().ok());
        let own = own.as_ref().and_then(hyper::Uri::host).map(str::to_ascii_lowercase);
        let url = self.url(own.as_deref().into_iter().chain(host))?;
        let Credentials { username, password } = self.secret.credentials(session.0, clock::unix_s());
        Some(IceServer { urls: vec![url], username: Some(username), credential: Some(password) })
    }

    /// TLS by a name that the certificate has: Firefox takes no address there, and no browser a certificate of somebody else.
    /// Without such a name TCP alone.
    fn url<'h>(&self, hosts: impl Iterator<Item = &'h str> + Clone) -> Option<String> {
        // What it relays to are the UDP ports.
        self.announce.iter().find_map(|address| address.udp(0, self.port))?;
        let address = |host: &str| host.trim_matches(['[', ']']).parse::<IpAddr>().ok();
        let reached = |host: &str| self.reached(address(host));
        let named = hosts.clone().find(|host| address(host).is_none() && self.certificates.has_name(host));
        if let Some(host) = named {
            return Some(format!("turns:{host}:{}?transport=tcp", reached(host)?.port()));
        }
        // Who came by loopback to plain HTTP need not find HTTPS there.
        match hosts.clone().find(|host| address(host).is_none_or(|ip| !ip.is_loopback())) {
            Some(host) => Some(format!("turn:{host}:{}?transport=tcp", reached(host)?.port())),
            None => Some(format!("turn:{}?transport=tcp", self.reached(hosts.clone().find_map(address))?)),
        }
    }

    /// Where clients reach the port of HTTPS: at this address, else at the first that is announced for TCP.
    fn reached(&self, ip: Option<IpAddr>) -> Option<SocketAddr> {
        let at = || self.announce.iter().filter_map(|address| address.tcp(self.port));
        at().find(|address| Some(address.ip()) == ip).or_else(|| at().next())
    }

    /// Serves a connection that is TURN over TCP. Returns whether a worker has it.
    pub(super) async fn serve(&self, mut stream: InTurns<TcpStream>) -> bool {
        let Ok(remote) = stream.get_ref().peer_addr() else { return false };
        let Some(admitted) = self.greet(&mut stream, Vec::new(), remote).await else { return false };
        self.hand_over(stream.get_ref(), remote, admitted, None).is_ok()
    }

    /// Serves a connection that is TURN over TLS, and of which `early` was read.
    pub(super) async fn serve_tls(
        &self,
        mut stream: futures_rustls::server::TlsStream<InTurns<TcpStream>>,
        early: Vec<u8>,
    ) -> bool {
        let Ok(remote) = stream.get_ref().0.get_ref().peer_addr() else { return false };
        let Some(admitted) = self.greet(&mut stream, early, remote).await else { return false };
        let (stream, tls) = stream.into_inner();
        self.hand_over(stream.get_ref(), remote, admitted, Some(Moved::new(tls))).is_ok()
    }

    async fn greet<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        early: Vec<u8>,
        remote: SocketAddr,
    ) -> Option<Admitted> {
        runtime::timeout(limits::TURN_GREETING_TIME_MAX, self.greeted(stream, early, remote)).await?
    }

    /// Answers what comes until a session's client is admitted.
    async fn greeted<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        mut read: Vec<u8>,
        remote: SocketAddr,
    ) -> Option<Admitted> {
        let mut greeting = Greeting::new(remote, random::bytes(), net::now());
        let mut out = Vec::new();
        loop {
            match turn::first(&read) {
                Framed::Broken => return None,
                Framed::Partial => {
                    let mut buffer = [0; READ_BYTES];
                    let len = stream.read(&mut buffer).await.ok().filter(|len| *len > 0)?;
                    read.extend_from_slice(buffer.get(..len)?);
                }
                Framed::Whole(len) => {
                    let lives = |session| (self.workers)(SessionId(session)).is_some();
                    let message = read.get(..len)?;
                    match greeting.receive(message, &self.secret, lives, (net::now(), clock::unix_s()), &mut out) {
                        Greeted::Answered => {
                            stream.write_all(&out).await.ok()?;
                            stream.flush().await.ok()?;
                            out.clear();
                            read.drain(..len);
                        }
                        Greeted::Admitted(client) => {
                            let worker = (self.workers)(SessionId(client.session()))?;
                            return Some(Admitted { client, worker, early: read });
                        }
                        Greeted::Closed => return None,
                    }
                }
            }
        }
    }

    fn hand_over(
        &self,
        stream: &TcpStream,
        remote: SocketAddr,
        admitted: Admitted,
        tls: Option<Moved>,
    ) -> io::Result<()> {
        let Admitted { mut client, worker, early } = admitted;
        client.reach(self.announce.iter().filter_map(|address| address.udp(worker.index.0, worker.media_port)));
        let stream = stream.duplicate()?;
        let local_ip = stream.local_addr()?.ip();
        let tls = tls.map(|tls| Box::new(tls) as Box<dyn net::TlsSession>);
        let carries = Carries::Turn(Box::new(TurnConnection { client, tls, early }));
        let message = Control::Connect(Box::new(Accepted { stream: stream.into(), remote, local_ip, carries }));
        worker.try_send(message).map_err(|_| io::Error::from(io::ErrorKind::WouldBlock))?;
        self.counters.turn_client_admitted();
        Ok(())
    }
}
