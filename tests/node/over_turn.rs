//! Media inside TURN on the port of HTTPS, for networks that let out nothing but TLS; and those who would relay elsewhere.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use corecast::crypto::digest;
use corecast::description::Direction;
use corecast::dtls::DtlsIdentity;
use corecast::limits;
use corecast::turn::{Framed, REALM, first};
use corecast::wire::stun::{StunClass, StunMessage, StunWriter, attribute};

use crate::client::{self, HERE, Http, Opened};
use crate::honest::{self, Honest};
use crate::hostile_peers::tls::{Tls, tls};
use crate::node::Node;

const ALLOCATE: u16 = 0x003;
const REFRESH: u16 = 0x004;
const CREATE_PERMISSION: u16 = 0x008;
const CHANNEL_BIND: u16 = 0x009;
const CHANNEL_NUMBER: u16 = 0x000c;
const XOR_PEER_ADDRESS: u16 = 0x0012;
const REQUESTED_TRANSPORT: (u16, &[u8]) = (0x0019, &[17, 0, 0, 0]);
const CHANNEL: u16 = 0x4000;

trait Stream: Read + Write + Send {
    /// How long a read may take.
    fn patience(&self, time: Duration);
}

impl Stream for TcpStream {
    fn patience(&self, time: Duration) {
        self.set_read_timeout(Some(time)).unwrap();
    }
}

impl Stream for Tls {
    fn patience(&self, time: Duration) {
        self.sock.patience(time);
    }
}

/// A session that is open, and the credentials that came with it.
struct Session {
    opened: Opened,
    url: String,
    username: String,
    password: String,
}

impl Session {
    fn open(node: &Node) -> Self {
        let identity = DtlsIdentity::generate(SystemTime::now()).unwrap();
        let candidate = "127.0.0.1:9".parse().unwrap();
        let opened =
            client::open(&mut Http::to(node.http), &identity, Direction::Play, "spare", candidate).expect("201");
        let link = opened.link.clone();
        let quoted = |name: &str| {
            let (_, rest) = link.split_once(&format!("{name}=\"")).unwrap_or_else(|| panic!("no {name} in {link}"));
            rest.split('"').next().unwrap().to_owned()
        };
        let url = link.split(['<', '>']).nth(1).unwrap().to_owned();
        Self { username: quoted("username"), password: quoted("credential"), url, opened }
    }

    fn end(&self, node: &Node) {
        let answer = Http::to(node.http).ask("DELETE", &self.opened.location, &[], "").unwrap();
        assert_eq!(answer.status, 200);
    }
}

/// One connection to the server.
struct Client {
    stream: Box<dyn Stream>,
    read: Vec<u8>,
    username: String,
    key: [u8; 16],
    nonce: Vec<u8>,
}

impl Client {
    fn connect(node: &Node, session: &Session, in_tls: bool) -> Self {
        match in_tls {
            // As browsers do: without a protocol's name.
            true => Self::over_tls(node, session, ""),
            false => {
                let stream = Box::new(client::connect(HERE, node.https).unwrap());
                Self::on(stream, &session.username, &session.password)
            }
        }
    }

    fn over_tls(node: &Node, session: &Session, protocol: &str) -> Self {
        Self::on(Box::new(tls(HERE, node.https, protocol).unwrap()), &session.username, &session.password)
    }

    fn on(stream: Box<dyn Stream>, username: &str, password: &str) -> Self {
        let key = digest::md5(format!("{username}:{REALM}:{password}").as_bytes());
        Self { stream, read: Vec::new(), username: username.to_owned(), key, nonce: Vec::new() }
    }

    fn request(&self, method: u16, has: &[(u16, &[u8])], peer: Option<SocketAddr>) -> Vec<u8> {
        let mut bytes = vec![0; 1_000];
        let mut writer = StunWriter::new(&mut bytes, StunClass::Request, method, &[9; 12]);
        for (kind, value) in has {
            writer = writer.attribute(*kind, value);
        }
        if let Some(peer) = peer {
            writer = writer.xor_address(XOR_PEER_ADDRESS, peer);
        }
        if !self.nonce.is_empty() {
            writer = writer
                .username(self.username.as_bytes())
                .attribute(attribute::REALM, REALM.as_bytes())
                .attribute(attribute::NONCE, &self.nonce)
                .integrity(&self.key);
        }
        let len = writer.finish().unwrap();
        bytes.truncate(len);
        bytes
    }

    /// The next whole message.
    fn next(&mut self) -> io::Result<Vec<u8>> {
        let mut buffer = [0; 4_096];
        loop {
            match first(&self.read) {
                Framed::Whole(len) => return Ok(self.read.drain(..len).collect()),
                Framed::Broken => panic!("no message: {:?}", &self.read[..self.read.len().min(20)]),
                Framed::Partial => match self.stream.read(&mut buffer)? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    len => self.read.extend_from_slice(&buffer[..len]),
                },
            }
        }
    }

    /// The code of the answer to a request; 0 for success.
    fn ask(&mut self, method: u16, has: &[(u16, &[u8])], peer: Option<SocketAddr>) -> io::Result<u16> {
        let request = self.request(method, has, peer);
        self.stream.write_all(&request)?;
        self.stream.flush()?;
        let answer = self.next()?;
        let answer = StunMessage::parse(&answer).unwrap();
        if let Some(nonce) = answer.attribute(attribute::NONCE) {
            self.nonce = nonce.to_vec();
        }
        Ok(answer.error_code().unwrap_or(0))
    }

    /// Learns the nonce, then allocates.
    fn allocate(&mut self) -> io::Result<u16> {
        assert_eq!(self.ask(ALLOCATE, &[REQUESTED_TRANSPORT], None)?, 401);
        self.ask(ALLOCATE, &[REQUESTED_TRANSPORT], None)
    }

    fn bind(&mut self, to: SocketAddr) -> u16 {
        let [n0, n1] = CHANNEL.to_be_bytes();
        self.ask(CHANNEL_BIND, &[(CHANNEL_NUMBER, &[n0, n1, 0, 0])], Some(to)).unwrap()
    }

    fn is_closed(&mut self) -> bool {
        loop {
            match self.next() {
                Ok(_) => {}
                Err(error) => return !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
            }
        }
    }
}

/// Between a peer that speaks UDP and the node's TURN server: a channel to the media port.
struct Bridge {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
    carried: Arc<[AtomicU64; 2]>,
    thread: Option<JoinHandle<()>>,
    _session: Session,
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Bridge {
    fn build(node: &Node, in_tls: bool) -> Self {
        let session = Session::open(node);
        let mut client = Client::connect(node, &session, in_tls);
        assert_eq!(client.allocate().unwrap(), 0);
        assert_eq!(client.bind(node.media), 0);
        client.stream.patience(Duration::from_millis(2));
        let udp = honest::socket_between();
        udp.set_nonblocking(true).unwrap();
        let address = udp.local_addr().unwrap();
        let (ended, carried) = (Arc::new(AtomicBool::new(false)), Arc::new([AtomicU64::new(0), AtomicU64::new(0)]));
        let of_thread = (ended.clone(), carried.clone());
        let thread = std::thread::spawn(move || {
            honest::beside_the_worker();
            carry(client, &udp, &of_thread.0, &of_thread.1);
        });
        Self { address, ended, carried, thread: Some(thread), _session: session }
    }
}

fn carry(mut client: Client, udp: &UdpSocket, ended: &AtomicBool, carried: &[AtomicU64; 2]) {
    let (mut peer, mut buffer) = (None, [0; 4_096]);
    while !ended.load(Ordering::Relaxed) {
        while let Ok((len, from)) = udp.recv_from(&mut buffer) {
            peer = Some(from);
            carried[0].fetch_add(1, Ordering::Relaxed);
            let mut message = [CHANNEL.to_be_bytes(), (len as u16).to_be_bytes()].concat();
            message.extend_from_slice(&buffer[..len]);
            message.resize(message.len().next_multiple_of(4), 0);
            if client.stream.write_all(&message).and_then(|()| client.stream.flush()).is_err() {
                return;
            }
        }
        // Reads give up after a moment, so that what is to be sent is.
        match client.next() {
            Ok(message) => {
                let [n0, n1, l0, l1, data @ ..] = message.as_slice() else { panic!("a short message") };
                assert_eq!([*n0, *n1], CHANNEL.to_be_bytes());
                carried[1].fetch_add(1, Ordering::Relaxed);
                if let Some(peer) = peer {
                    let _ = udp.send_to(&data[..usize::from(u16::from_be_bytes([*l0, *l1]))], peer);
                }
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(_) => return,
        }
    }
}

fn paths(node: &Node) -> Vec<String> {
    let worker = node.worker();
    let sessions = worker["sessions"].as_array().unwrap();
    sessions.iter().map(|session| session["path"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_publisher_and_a_viewer_play_through_turn_over_tcp_and_over_tls() {
    let _turn = crate::turn();
    let node = Node::start();
    let bridges = [true, false].map(|in_tls| Bridge::build(&node, in_tls));
    let honest = Honest::play(node.doors(), [Some(bridges[0].address), Some(bridges[1].address)]);
    std::thread::sleep(Duration::from_secs(3));
    let mut record = honest.record();
    honest.stop_publishing();
    std::thread::sleep(Duration::from_secs(1));
    record.merge(&honest.record());
    let counts = &record.counts;
    let (sent, received) = (counts.sent_video + counts.sent_audio, counts.received());
    assert!(sent > 100 && received.abs_diff(sent) <= 40, "{sent} sent, {received} received: {counts:?}");
    assert_eq!((counts.lost(), counts.gaps, counts.unauthentic, counts.duplicates), (0, 0, 0, 0), "{counts:?}");
    let paths = paths(&node);
    for path in ["turn-tls", "turn-tcp"] {
        assert!(paths.iter().any(|used| used == path), "{paths:?}");
    }
    for bridge in &bridges {
        assert!(bridge.carried[0].load(Ordering::Relaxed) > 5 && bridge.carried[1].load(Ordering::Relaxed) > 20);
    }
}

#[test]
fn nothing_is_relayed_elsewhere_and_credentials_end_with_their_session() {
    let _turn = crate::turn();
    let node = Node::start();
    let session = Session::open(&node);
    assert_eq!(session.url, format!("turns:localhost:{}?transport=tcp", node.https.port()));
    for in_tls in [false, true] {
        let mut client = Client::connect(&node, &session, in_tls);
        assert_eq!(client.allocate().unwrap(), 0);
        let operator = SocketAddr::new(node.media.ip(), node.admin.port());
        let mapped = IpAddr::V6(std::net::Ipv4Addr::LOCALHOST.to_ipv6_mapped());
        for peer in [
            "9.9.9.9:53".parse().unwrap(),
            "127.0.0.2:80".parse().unwrap(),
            operator,
            SocketAddr::new(mapped, node.admin.port()),
            node.https,
        ] {
            assert_eq!(client.ask(CREATE_PERMISSION, &[], Some(peer)).unwrap(), 403, "{peer}");
            assert_eq!(client.bind(peer), 403, "{peer}");
        }
        assert_eq!(client.ask(CREATE_PERMISSION, &[], Some(node.media)).unwrap(), 0);
        assert_eq!(client.bind(node.media), 0);
    }
    // Other clients name a protocol, and not always TURN's.
    for protocol in ["stun.turn", "http/1.1"] {
        assert_eq!(Client::over_tls(&node, &session, protocol).allocate().unwrap(), 0, "{protocol}");
    }
    // A wrong password, and a right one under another name.
    let another = Session::open(&node);
    for (username, password) in [(&session.username, "wrong"), (&another.username, &session.password[..])] {
        let stream = Box::new(client::connect(HERE, node.https).unwrap());
        assert_eq!(Client::on(stream, username, password).allocate().unwrap(), 401);
    }
    // The session ends: what it holds is closed, and it gets no more.
    let mut client = Client::connect(&node, &session, true);
    assert_eq!(client.allocate().unwrap(), 0);
    session.end(&node);
    assert!(client.is_closed());
    assert_eq!(Client::connect(&node, &session, false).allocate().unwrap(), 401);
    assert_eq!(Client::connect(&node, &another, false).allocate().unwrap(), 0);
}

#[test]
fn floods_halves_and_readers_who_never_read_are_closed_and_the_honest_notice_nothing() {
    let _turn = crate::turn();
    let node = Node::start();
    let honest = Honest::play(node.doors(), [None; 2]);
    let before = node.descriptors();
    let session = Session::open(&node);
    // Requests of strangers, a half message, and channel data before there is an allocation.
    let bare = Client::connect(&node, &session, false).request(ALLOCATE, &[REQUESTED_TRANSPORT], None);
    let flood = bare.repeat(limits::TURN_GREETING_REQUESTS_MAX as usize + 1);
    let mut openings = Vec::new();
    for in_tls in [false, true] {
        for opening in [&flood[..], &bare[..10], &[0, 1, 0, 4, 0x21, 0x12, 0xa4, 0x42], &bare[..19]] {
            let mut client = Client::connect(&node, &session, in_tls);
            client.stream.write_all(opening).unwrap();
            client.stream.flush().unwrap();
            openings.push(client);
        }
    }
    assert!(openings.iter_mut().all(Client::is_closed));
    // More allocations than a session may have: those that carry nothing make place.
    let mut clients: Vec<Client> = (0..3 * limits::TURN_ALLOCATIONS_PER_SESSION_MAX)
        .map(|number| {
            let mut client = Client::connect(&node, &session, number % 2 == 0);
            assert_eq!(client.allocate().unwrap(), 0);
            client
        })
        .collect();
    let open = clients.split_off(2 * limits::TURN_ALLOCATIONS_PER_SESSION_MAX);
    assert!(clients.iter_mut().all(Client::is_closed));
    // Each of those asks and never reads.
    for mut client in open {
        let request = client.request(REFRESH, &[], None);
        let wrote = (0..100_000).take_while(|_| client.stream.write_all(&request).is_ok()).count();
        assert!(wrote < 100_000);
    }
    session.end(&node);
    let deadline = Instant::now() + Duration::from_secs(20);
    while node.descriptors() > before {
        assert!(Instant::now() < deadline, "{} descriptors, {before} before", node.descriptors());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(node.metric("corecast_http_connections_refused_total{reason=\"turn_not_admitted\"}") >= 8.0);
    assert!(node.metric("corecast_turn_clients_admitted_total") >= 12.0);
    assert_eq!(honest.record().counts.lost(), 0);
}
