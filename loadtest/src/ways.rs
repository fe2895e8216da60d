//! What a viewer's media comes over, beside UDP: ICE over TCP (RFC 6544), or TURN over TCP or TLS (RFC 8656).
//!
//! Left out: UDP beside it. A browser checks all ways at once and takes the best; here each viewer has one, so that a test is of
//! that way. Publishers have UDP.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use clap::ValueEnum;
use corecast::lab::peer::answer::RemoteAnswer;
use corecast::lab::peer::carriers::{Allocating, Framed, Next, Relayed};
use corecast::net::TlsSession;
use corecast::net::lab::fleet_sockets::{Carrier, FleetSocket};
use rustls::ClientConnection;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::http::{Client, Created, HttpError, REQUEST_MAX};

/// Way of media.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Way {
    /// UDP
    Udp,
    /// ICE over TCP, to a passive candidate of the answer
    Tcp,
    /// TURN over TCP
    TurnTcp,
    /// TURN inside TLS
    TurnTls,
}

/// Connects a viewer's socket. `media` is where its datagrams would go over UDP.
pub(crate) async fn connect(
    way: Way,
    client: &Client,
    created: &Created,
    answer: &RemoteAnswer,
    media: SocketAddr,
) -> Result<FleetSocket, String> {
    tokio::time::timeout(REQUEST_MAX, connected(way, client, created, answer, media))
        .await
        .map_err(|_| HttpError::TooLate.to_string())?
}

async fn connected(
    way: Way,
    client: &Client,
    created: &Created,
    answer: &RemoteAnswer,
    media: SocketAddr,
) -> Result<FleetSocket, String> {
    if matches!(way, Way::Udp | Way::Tcp) {
        let candidate = answer.tcp_candidate_near(created.server.ip());
        let candidate = candidate.ok_or("--over tcp: the server's answer has no passive TCP candidate")?;
        let stream = TcpStream::connect(candidate).await.map_err(|error| error.to_string())?;
        return socket(stream, Box::new(Framed::default()));
    }
    let turn = turn_server(&created.links, way).ok_or("--over: no Link of the server's answer names TURN over TCP")?;
    let found = tokio::net::lookup_host((turn.host.as_str(), turn.port)).await.map_err(|error| error.to_string())?;
    let found: Vec<SocketAddr> = found.collect();
    // A name may have addresses that only other clients reach.
    let near = found.iter().find(|address| address.ip() == created.server.ip()).or(found.first());
    let near = near.ok_or("the TURN server's name has no address")?;
    let mut stream = TcpStream::connect(near).await.map_err(|error| error.to_string())?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let mut allocating = Allocating::new(&turn.username, &turn.credential, media);
    let failed = |error: io::Error| error.to_string();
    if way == Way::TurnTcp {
        allocate(&mut stream, &mut allocating).await.map_err(failed)?;
        return socket(stream, Box::new(Relayed::new(None)));
    }
    let mut stream = client.tls(&turn.host, stream).await.map_err(|error| error.to_string())?;
    allocate(&mut stream, &mut allocating).await.map_err(failed)?;
    let (stream, tls) = stream.into_inner();
    socket(stream, Box::new(Relayed::new(Some(Box::new(Tls(tls))))))
}

fn socket(stream: TcpStream, carrier: Box<dyn Carrier>) -> Result<FleetSocket, String> {
    stream.into_std().and_then(|stream| FleetSocket::over(stream, carrier)).map_err(|error| error.to_string())
}

/// Asks and reads until the channel is bound. The server sends nothing behind its last answer before it is sent something.
async fn allocate<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, allocating: &mut Allocating) -> io::Result<()> {
    let mut next = Next::Ask(allocating.begin()?);
    let mut buffer = [0; 2_048];
    loop {
        match next {
            Next::Ask(request) => {
                stream.write_all(&request).await?;
                stream.flush().await?;
            }
            Next::Read => {}
            Next::Bound => return Ok(()),
        }
        let len = tokio::time::timeout(Duration::from_secs(20), stream.read(&mut buffer)).await??;
        if len == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        next = allocating.take(&buffer[..len])?;
    }
}

/// A TURN server as a `Link` header has it (RFC 9725 §4.6).
#[derive(Debug, PartialEq, Eq)]
struct TurnServer {
    host: String,
    port: u16,
    username: String,
    credential: String,
}

/// The server to use for a way: one of its scheme, else another over TCP, because this node takes both on one port.
fn turn_server(links: &[String], way: Way) -> Option<TurnServer> {
    let wanted = if way == Way::TurnTls { "turns:" } else { "turn:" };
    let found: Vec<(bool, TurnServer)> = links.iter().filter_map(|link| parse_link(link, wanted)).collect();
    let best = found.iter().position(|(fits, _)| *fits).unwrap_or(0);
    found.into_iter().nth(best).map(|(_, server)| server)
}

/// `<turns:HOST:PORT?transport=tcp>; rel="ice-server"; username="…"; credential="…"`, and whether it has the scheme.
fn parse_link(link: &str, wanted: &str) -> Option<(bool, TurnServer)> {
    let (url, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    let (scheme, rest) = url.split_once(':')?;
    let default_port = match scheme {
        "turns" => 5_349,
        "turn" if url.contains("transport=tcp") => 3_478,
        _ => return None,
    };
    let authority = rest.split('?').next()?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok()?),
        _ => (authority, default_port),
    };
    let value = |name: &str| {
        let (_, rest) = parameters.split_once(&format!("{name}=\""))?;
        Some(rest.split('"').next()?.to_owned())
    };
    let host = host.trim_matches(['[', ']']).to_owned();
    let server = TurnServer { host, port, username: value("username")?, credential: value("credential")? };
    Some((url.starts_with(wanted), server))
}

/// TLS of a client after its handshake.
#[derive(Debug)]
struct Tls(ClientConnection);

impl Tls {
    fn take(&mut self, plain: &mut Vec<u8>) -> io::Result<bool> {
        match io::Read::read_to_end(&mut self.0.reader(), plain) {
            Ok(_) => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
            Err(error) => Err(error),
        }
    }

    fn drain(&mut self, wire: &mut Vec<u8>) -> io::Result<()> {
        while self.0.wants_write() {
            self.0.write_tls(wire)?;
        }
        Ok(())
    }
}

impl TlsSession for Tls {
    fn open(&mut self, mut wire: &[u8], plain: &mut Vec<u8>, answer: &mut Vec<u8>) -> io::Result<bool> {
        let mut is_open = self.take(plain)?;
        while is_open && !wire.is_empty() {
            self.0.read_tls(&mut wire)?;
            let taken = self.0.process_new_packets();
            self.drain(answer)?;
            taken.map_err(io::Error::other)?;
            is_open = self.take(plain)?;
        }
        Ok(is_open)
    }

    fn seal(&mut self, plain: &[u8], wire: &mut Vec<u8>) -> io::Result<()> {
        io::Write::write_all(&mut self.0.writer(), plain)?;
        self.drain(wire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_names_the_server_of_the_way_or_one_that_takes_both() {
        let link = |url: &str| format!("<{url}>; rel=\"ice-server\"; username=\"1:2\"; credential=\"a+b=\"");
        let server = |host: &str, port| {
            let (username, credential) = ("1:2".to_owned(), "a+b=".to_owned());
            Some(TurnServer { host: host.to_owned(), port, username, credential })
        };
        let both = [link("stun:s"), link("turn:h:9?transport=tcp"), link("turns:h:443?transport=tcp")];
        assert_eq!(turn_server(&both, Way::TurnTls), server("h", 443));
        assert_eq!(turn_server(&both, Way::TurnTcp), server("h", 9));
        assert_eq!(turn_server(&[link("turns:[::1]?transport=tcp")], Way::TurnTcp), server("::1", 5_349));
        assert_eq!(turn_server(&[link("turn:h:9")], Way::TurnTcp), None, "that is UDP");
    }
}
