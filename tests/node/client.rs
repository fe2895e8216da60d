//! Signalling as a client does it: HTTP/1.1 on one connection, from any address of this host; offers and answers.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use corecast::crypto::random::{Random as _, SystemRandom};
use corecast::description::{Direction, IceCredentials};
use corecast::dtls::{DtlsIdentity, DtlsVersions};
use corecast::lab::peer::PeerConfig;
use corecast::lab::peer::answer::RemoteAnswer;
use corecast::lab::peer::offer::{self, LocalOffer, Published};
use corecast::lab::peer::terms::Sources;
use corecast::wire::codec::Codec;
use socket2::{Domain, Socket, Type};

/// Where everybody comes from unless something else is said; exempt from the limits by address.
pub(crate) const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.filter(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next().unwrap_or("")
    }
}

/// A connection that is kept and made anew when the server has closed it.
pub(crate) struct Http {
    from: IpAddr,
    to: SocketAddr,
    stream: Option<TcpStream>,
}

/// A TCP connection from one of this host's addresses.
pub(crate) fn connect(from: IpAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(from, 0).into())?;
    socket.connect(&to.into())?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Http {
    pub(crate) fn to(to: SocketAddr) -> Self {
        Self { from: HERE, to, stream: None }
    }

    pub(crate) fn from(self, from: IpAddr) -> Self {
        Self { from, ..self }
    }

    pub(crate) fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> io::Result<Answer> {
        let mut text = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        text.push_str(body);
        if let Some(stream) = self.stream.as_mut()
            && let Ok(answer) = exchange(stream, &text)
        {
            return Ok(answer);
        }
        let mut stream = connect(self.from, self.to)?;
        let answer = exchange(&mut stream, &text)?;
        self.stream = Some(stream);
        Ok(answer)
    }
}

fn exchange(stream: &mut TcpStream, request: &str) -> io::Result<Answer> {
    stream.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        if let Some(answer) = parse(&bytes) {
            return Ok(answer);
        }
        match stream.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => bytes.extend_from_slice(&buffer[..read]),
        }
    }
}

/// The answer, once it is whole.
fn parse(bytes: &[u8]) -> Option<Answer> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let answer = Answer { status, head: head.to_owned(), body: body.to_owned() };
    let len: usize = answer.header("content-length").parse().unwrap_or(0);
    (body.len() >= len).then_some(answer)
}

/// Letters of `ice-char`.
fn ice_text(len: usize) -> String {
    (0..len).map(|_| char::from(b'a' + (SystemRandom.u64() % 26) as u8)).collect()
}

/// A session of this client's.
pub(crate) struct Opened {
    pub(crate) answer: RemoteAnswer,
    pub(crate) peer: PeerConfig,
    pub(crate) sources: Sources,
    pub(crate) cname: String,
    pub(crate) location: String,
    pub(crate) entity_tag: String,
    /// The first `Link`.
    pub(crate) link: String,
}

/// Opens a session without data channels; the status where it is refused.
pub(crate) fn open(
    http: &mut Http,
    identity: &DtlsIdentity,
    direction: Direction,
    stream: &str,
    candidate: SocketAddr,
) -> Result<Opened, u16> {
    open_with(http, identity, direction, stream, candidate, false)
}

/// The same, with data channels where `data` says so.
pub(crate) fn open_with(
    http: &mut Http,
    identity: &DtlsIdentity,
    direction: Direction,
    stream: &str,
    candidate: SocketAddr,
    data: bool,
) -> Result<Opened, u16> {
    let ice = IceCredentials { ufrag: ice_text(4), password: ice_text(24) };
    let fingerprint_sha256 = identity.fingerprint_sha256();
    let local = LocalOffer { ice: &ice, fingerprint_sha256, candidate, session_id: SystemRandom.u64(), data };
    let base = SystemRandom.u64() as u32 & !3;
    let sources = Sources { audio: base | 1, video: base | 2, video_rtx: Some(base | 3) };
    let cname = ice_text(16);
    let (kind, offer) = match direction {
        Direction::Play => ("whep", offer::play(&local)),
        Direction::Publish => {
            let published = Published { codec: Codec::H264, audio: true, sources, cname: &cname, rids: &[] };
            ("whip", offer::publish(&local, &published))
        }
    };
    let headers = [("content-type", "application/sdp")];
    let answer = http.ask("POST", &format!("/{kind}/{stream}"), &headers, &offer).map_err(|_| 0_u16)?;
    if answer.status != 201 {
        return Err(answer.status);
    }
    let (location, entity_tag) = (answer.header("location").to_owned(), answer.header("etag").to_owned());
    let link = answer.header("link").to_owned();
    let answer = RemoteAnswer::parse(&answer.body).expect("the node's answer can be read");
    let remote = answer.candidate_near(HERE).expect("the node has a candidate on loopback");
    let peer = PeerConfig {
        local_ice: ice,
        remote_ice: answer.ice.clone(),
        dtls_role: answer.dtls_role,
        versions: DtlsVersions::Any,
        remote_fingerprints: answer.fingerprints.clone(),
        node: remote,
        seed: SystemRandom.u64(),
    };
    Ok(Opened { answer, peer, sources, cname, location, entity_tag, link })
}
