use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::attribute::*;
use super::*;
use crate::limits;
use crate::time::Timestamp;
use crate::wire::stun::{BINDING, StunClass, StunMessage, StunWriter, attribute};

const MEDIA: &str = "198.51.100.7:7000";
const MEDIA_V6: &str = "[2001:db8::7]:7000";
const UNIX_S: u64 = 1_700_000_000;
const SESSION: u64 = 77;

fn at(seconds: u64) -> Timestamp {
    Timestamp::ZERO + Duration::from_secs(1_000 + seconds)
}

fn secret() -> Secret {
    Secret::new(&[7; 32])
}

/// A client program: what it knows, and the server on the other end.
struct Peer {
    credentials: Credentials,
    nonce: String,
    out: Vec<u8>,
}

/// What a request has beside its credentials.
#[derive(Clone, Copy)]
enum Has<'a> {
    Raw(u16, &'a [u8]),
    Peer(SocketAddr),
}

const TRANSPORT: Has<'static> = Has::Raw(REQUESTED_TRANSPORT, &[UDP, 0, 0, 0]);

impl Peer {
    fn new(credentials: Credentials) -> Self {
        Self { credentials, nonce: String::new(), out: Vec::new() }
    }

    fn key(&self) -> [u8; 16] {
        let Credentials { username, password } = &self.credentials;
        crate::crypto::digest::md5(format!("{username}:{REALM}:{password}").as_bytes())
    }

    /// A request with credentials.
    fn request(&self, method: u16, has: &[Has<'_>]) -> Vec<u8> {
        let mut bytes = vec![0; 1_000];
        let writer = StunWriter::new(&mut bytes, StunClass::Request, method, &[3; 12]);
        let len = has
            .iter()
            .fold(writer, |writer, has| match has {
                Has::Raw(kind, value) => writer.attribute(*kind, value),
                Has::Peer(address) => writer.xor_address(XOR_PEER_ADDRESS, *address),
            })
            .username(self.credentials.username.as_bytes())
            .attribute(attribute::REALM, REALM.as_bytes())
            .attribute(attribute::NONCE, self.nonce.as_bytes())
            .integrity(&self.key())
            .finish()
            .unwrap();
        bytes.truncate(len);
        bytes
    }

    fn allocate(&self) -> Vec<u8> {
        self.request(ALLOCATE, &[TRANSPORT])
    }

    fn greet(&mut self, greeting: &mut Greeting, request: &[u8], lives: u64, unix_s: u64) -> Greeted {
        self.out.clear();
        let greeted = greeting.receive(request, &secret(), |session| session == lives, (at(0), unix_s), &mut self.out);
        if let Ok(answer) = StunMessage::parse(&self.out)
            && let Some(nonce) = answer.attribute(attribute::NONCE)
        {
            self.nonce = String::from_utf8(nonce.to_vec()).unwrap();
        }
        greeted
    }

    /// The error code of the answer; 0 for success.
    fn code(&self) -> u16 {
        let answer = StunMessage::parse(&self.out).unwrap();
        match answer.class() {
            StunClass::Success => {
                assert!(answer.method() == BINDING || answer.verify_integrity(&self.key()));
                0
            }
            _ => answer.error_code().unwrap(),
        }
    }

    fn ask(&mut self, client: &mut Client, method: u16, has: &[Has<'_>], now: Timestamp) -> u16 {
        let mut request = self.request(method, has);
        self.out.clear();
        client.receive(&mut request, now, &mut self.out);
        self.code()
    }

    fn permit(&mut self, client: &mut Client, to: &str, now: Timestamp) -> u16 {
        self.ask(client, CREATE_PERMISSION, &[Has::Peer(to.parse().unwrap())], now)
    }

    fn bind(&mut self, client: &mut Client, number: u16, to: &str, now: Timestamp) -> u16 {
        let [n0, n1] = number.to_be_bytes();
        let has = [Has::Raw(CHANNEL_NUMBER, &[n0, n1, 0, 0]), Has::Peer(to.parse().unwrap())];
        self.ask(client, CHANNEL_BIND, &has, now)
    }
}

fn mapped() -> SocketAddr {
    "[::ffff:203.0.113.9]:40000".parse().unwrap()
}

fn greeting() -> Greeting {
    Greeting::new(mapped(), [5; 16], at(0))
}

/// A client that has its nonce, and the server's side of it, admitted but not allocated.
fn admitted() -> (Peer, Client) {
    let mut peer = Peer::new(secret().credentials(SESSION, UNIX_S));
    let mut greeting = greeting();
    let first = peer.allocate();
    assert!(matches!(peer.greet(&mut greeting, &first, SESSION, UNIX_S), Greeted::Answered));
    let second = peer.allocate();
    let Greeted::Admitted(mut client) = peer.greet(&mut greeting, &second, SESSION, UNIX_S) else {
        panic!("not admitted: {}", peer.code())
    };
    client.reach([MEDIA.parse().unwrap(), MEDIA_V6.parse().unwrap()]);
    client.label(49_200);
    (peer, *client)
}

fn allocated() -> (Peer, Client) {
    let (mut peer, mut client) = admitted();
    let mut request = peer.allocate();
    peer.out.clear();
    assert_eq!(client.receive(&mut request, at(0), &mut peer.out), Received::Nothing);
    assert_eq!(peer.code(), 0);
    (peer, client)
}

#[test]
fn an_allocation_is_a_label_and_begins_with_the_nonce_of_the_connection() {
    let (peer, client) = allocated();
    let answer = StunMessage::parse(&peer.out).unwrap();
    let relayed = answer.xor_address(answer.attribute(XOR_RELAYED_ADDRESS).unwrap()).unwrap();
    assert_eq!(relayed, "198.51.100.7:49200".parse::<SocketAddr>().unwrap());
    assert_eq!((client.relayed(), client.session()), (Some(relayed), SESSION));
    assert_eq!(answer.xor_mapped_address(), Some("203.0.113.9:40000".parse().unwrap()));
    assert_eq!(answer.attribute(LIFETIME), Some(&600_u32.to_be_bytes()[..]));
}

#[test]
fn who_has_no_wrong_expired_foreign_or_ended_credentials_gets_401_and_a_nonce() {
    let good = secret().credentials(SESSION, UNIX_S);
    let age = limits::TURN_CREDENTIALS_AGE_MAX.as_secs();
    let wrong = Credentials { password: "x".into(), ..good.clone() };
    let foreign = Secret::new(&[8; 32]).credentials(SESSION, UNIX_S);
    // Another session's name under this session's password.
    let renamed = Credentials { username: good.username.replace(":77", ":78"), ..good.clone() };
    let nobody = Credentials { username: "guest".into(), ..good.clone() };
    for (credentials, lives, unix_s, code) in [
        (good.clone(), SESSION, UNIX_S + age - 1, None),
        (good.clone(), SESSION, UNIX_S + age, Some(401)),
        (good, SESSION + 1, UNIX_S, Some(401)),
        (wrong, SESSION, UNIX_S, Some(401)),
        (foreign, SESSION, UNIX_S, Some(401)),
        (renamed, 78, UNIX_S, Some(401)),
        (nobody, SESSION, UNIX_S, Some(401)),
    ] {
        let mut peer = Peer::new(credentials.clone());
        let mut greeting = greeting();
        let bare = peer.request(ALLOCATE, &[]);
        peer.greet(&mut greeting, &bare, lives, unix_s);
        // A nonce that is not this connection's.
        assert_eq!(peer.code(), 438);
        let request = peer.allocate();
        let greeted = peer.greet(&mut greeting, &request, lives, unix_s);
        match code {
            None => assert!(matches!(greeted, Greeted::Admitted(_)), "{credentials:?}"),
            Some(code) => {
                assert!(matches!(greeted, Greeted::Answered), "{credentials:?}");
                assert_eq!(peer.code(), code, "{credentials:?}");
            }
        }
    }
}

#[test]
fn strangers_may_ask_a_few_times_and_send_nothing_else() {
    let mut bytes = [0; 100];
    let len = StunWriter::new(&mut bytes, StunClass::Request, ALLOCATE, &[1; 12]).finish().unwrap();
    let bare = bytes[..len].to_vec();
    let mut peer = Peer::new(secret().credentials(SESSION, UNIX_S));
    let mut asked = greeting();
    for _ in 0..limits::TURN_GREETING_REQUESTS_MAX {
        assert!(matches!(peer.greet(&mut asked, &bare, SESSION, UNIX_S), Greeted::Answered));
        assert_eq!(peer.code(), 401);
        assert!(peer.out.len() <= 6 * bare.len(), "{}", peer.out.len());
    }
    assert!(matches!(peer.greet(&mut asked, &bare, SESSION, UNIX_S), Greeted::Closed));
    let len = StunWriter::new(&mut bytes, StunClass::Indication, SEND, &[1; 12]).finish().unwrap();
    for other in [&bytes[..len], &[0x40, 0, 0, 4, 1, 2, 3, 4], b"GET / HTTP/1.1\r\n\r\n"] {
        assert!(matches!(peer.greet(&mut greeting(), other, SESSION, UNIX_S), Greeted::Closed));
    }
    // Where does it come from? And a request that needs an allocation, with right credentials.
    let len = StunWriter::binding_request(&mut bytes, &[1; 12]).finish().unwrap();
    let mut asked = greeting();
    peer.greet(&mut asked, &bytes[..len], SESSION, UNIX_S);
    let told = StunMessage::parse(&peer.out).unwrap().xor_mapped_address();
    assert_eq!(told, Some("203.0.113.9:40000".parse().unwrap()));
    peer.greet(&mut asked, &bare, SESSION, UNIX_S);
    let refresh = peer.request(REFRESH, &[]);
    peer.greet(&mut asked, &refresh, SESSION, UNIX_S);
    assert_eq!(peer.code(), 437);
}

#[test]
fn no_peer_but_this_nodes_own_media_is_permitted_or_bound() {
    let (mut peer, mut client) = allocated();
    for (to, code) in [
        ("9.9.9.9:7000", 403),
        ("127.0.0.1:7000", 403),
        ("[::ffff:127.0.0.1]:7000", 403),
        // The operator's port.
        ("198.51.100.7:9090", 403),
        ("[::ffff:198.51.100.7]:9090", 403),
        ("0.0.0.0:7000", 403),
        ("[2001:db8::7]:7000", 443),
        ("[::1]:7000", 443),
    ] {
        assert_eq!(peer.permit(&mut client, to, at(0)), code, "{to}");
        assert_eq!(peer.bind(&mut client, 0x4000, to, at(0)), code, "{to}");
    }
    // One that is refused takes the others with it.
    let (ours, other) = (MEDIA.parse().unwrap(), "9.9.9.9:53".parse().unwrap());
    let both = [Has::Peer(ours), Has::Peer(other)];
    assert_eq!(peer.ask(&mut client, CREATE_PERMISSION, &both, at(0)), 403);
    assert!(!client.wrap(ours.ip(), b"datagram", at(0), &mut Vec::new()));
    // The port may be left out, and the family may be hidden.
    assert_eq!(peer.permit(&mut client, "198.51.100.7:0", at(0)), 0);
    assert_eq!(peer.permit(&mut client, "[::ffff:198.51.100.7]:7000", at(0)), 0);
    assert!(client.wrap(ours.ip(), b"datagram", at(0), &mut Vec::new()));
}

#[test]
fn datagrams_go_both_ways_by_indication_and_by_channel_while_they_are_permitted() {
    let (mut peer, mut client) = allocated();
    let (media, ip): (SocketAddr, IpAddr) = (MEDIA.parse().unwrap(), "198.51.100.7".parse().unwrap());
    let indication = |to: SocketAddr| {
        let mut bytes = [0; 200];
        let len = StunWriter::new(&mut bytes, StunClass::Indication, SEND, &[1; 12])
            .xor_address(XOR_PEER_ADDRESS, to)
            .attribute(DATA, b"hello")
            .finish();
        bytes[..len.unwrap()].to_vec()
    };
    let mut none = Vec::new();
    assert_eq!(client.receive(&mut indication(media), at(1), &mut none), Received::Nothing);
    assert_eq!(client.used_ips().count(), 0);
    assert_eq!(peer.permit(&mut client, MEDIA, at(1)), 0);
    let received = Received::Datagram { local_ip: ip, bytes: &mut b"hello".to_vec()[..] };
    assert_eq!(client.receive(&mut indication(media), at(1), &mut none), received);
    let operator = "198.51.100.7:9090".parse().unwrap();
    assert_eq!(client.receive(&mut indication(operator), at(1), &mut none), Received::Nothing);
    assert_eq!(client.used_ips().collect::<Vec<_>>(), [ip]);
    let mut told = Vec::new();
    assert!(client.wrap(ip, b"datagram!", at(1), &mut told));
    let data = StunMessage::parse(&told).unwrap();
    assert_eq!((data.method(), data.class()), (DATA_INDICATION, StunClass::Indication));
    assert_eq!(data.attribute(DATA), Some(&b"datagram!"[..]));
    assert_eq!(data.xor_address(data.attribute(XOR_PEER_ADDRESS).unwrap()), Some(media));

    // A channel.
    let mut channel = [0x40, 1, 0, 5, b'h', b'e', b'l', b'l', b'o', 0, 0, 0];
    assert_eq!(client.receive(&mut channel, at(1), &mut none), Received::Nothing);
    assert_eq!(peer.bind(&mut client, 0x3fff, MEDIA, at(2)), 400);
    assert_eq!(peer.bind(&mut client, 0x4001, MEDIA, at(2)), 0);
    assert_eq!(peer.bind(&mut client, 0x4002, MEDIA, at(2)), 400);
    assert_eq!(client.receive(&mut channel, at(2), &mut none), received);
    told.clear();
    assert!(client.wrap(ip, b"datagram!", at(2), &mut told));
    assert_eq!(told, [&[0x40, 1, 0, 9][..], b"datagram!", &[0; 3]].concat());
    assert_eq!(first(&told), Framed::Whole(told.len()));
    // Channel data that says it is longer than it is.
    assert_eq!(client.receive(&mut [0x40, 1, 0, 5, 1, 2, 3, 4], at(2), &mut none), Received::Closed);

    // Both run out while the allocation goes on: the permission first.
    let longest = limits::TURN_LIFETIME_MAX.as_secs() as u32;
    assert_eq!(peer.ask(&mut client, REFRESH, &[lifetime(&longest.to_be_bytes())], at(2)), 0);
    let over = at(2) + limits::TURN_PERMISSION_TIME;
    assert_eq!(client.receive(&mut indication(media), over, &mut none), Received::Nothing);
    assert_eq!(client.receive(&mut channel, over, &mut none), received);
    let over = at(2) + limits::TURN_CHANNEL_TIME;
    assert!(client.is_allocated(over));
    assert!(!client.wrap(ip, b"datagram", over, &mut told));
    assert_eq!(client.receive(&mut channel, over, &mut none), Received::Nothing);
    assert!(none.is_empty());
}

#[test]
fn an_allocation_is_refreshed_given_back_or_runs_out() {
    let (mut peer, mut client) = allocated();
    assert_eq!(peer.ask(&mut client, ALLOCATE, &[], at(1)), 437);
    assert_eq!(peer.permit(&mut client, MEDIA, at(1)), 0);
    assert_eq!(peer.ask(&mut client, REFRESH, &[lifetime(&100_000_u32.to_be_bytes())], at(1)), 0);
    let told = StunMessage::parse(&peer.out).unwrap().attribute(LIFETIME).unwrap().to_vec();
    assert_eq!(told, (limits::TURN_LIFETIME_MAX.as_secs() as u32).to_be_bytes());
    assert_eq!(client.kept_until(), at(0) + limits::TURN_UNUSED_MAX);
    assert_eq!(peer.ask(&mut client, REFRESH, &[lifetime(&100_u32.to_be_bytes())], at(2)), 0);
    assert!(client.wrap(MEDIA.parse::<SocketAddr>().unwrap().ip(), b"datagram", at(101), &mut Vec::new()));
    // Over.
    assert!(!client.wrap(MEDIA.parse::<SocketAddr>().unwrap().ip(), b"datagram", at(102), &mut Vec::new()));
    assert_eq!(peer.ask(&mut client, REFRESH, &[lifetime(&100_u32.to_be_bytes())], at(102)), 437);
    // A new one, which is given back with its permissions.
    assert_eq!(peer.ask(&mut client, ALLOCATE, &[TRANSPORT], at(103)), 0);
    assert_eq!(peer.ask(&mut client, REFRESH, &[lifetime(&0_u32.to_be_bytes())], at(104)), 0);
    assert!(!client.is_allocated(at(104)));
    assert_eq!(peer.permit(&mut client, MEDIA, at(104)), 437);
    assert_eq!(peer.ask(&mut client, ALLOCATE, &[TRANSPORT], at(105)), 0);
    assert!(!client.wrap(MEDIA.parse::<SocketAddr>().unwrap().ip(), b"datagram", at(105), &mut Vec::new()));
}

fn lifetime(seconds: &[u8]) -> Has<'_> {
    Has::Raw(LIFETIME, seconds)
}

#[test]
fn what_this_server_has_not_is_refused_by_its_name() {
    let (mut peer, mut client) = admitted();
    let mut refused =
        |kind: u16, value: &'static [u8]| peer.ask(&mut client, ALLOCATE, &[TRANSPORT, Has::Raw(kind, value)], at(0));
    // DONT-FRAGMENT, RESERVATION-TOKEN; a port beside it that is reserved; a family that there is not.
    assert_eq!(refused(EVEN_PORT, &[0x80]), 508);
    assert_eq!(refused(0x001a, &[]), 420);
    assert_eq!(refused(0x0022, &[0; 8]), 420);
    assert_eq!(refused(REQUESTED_ADDRESS_FAMILY, &[3, 0, 0, 0]), 440);
    // ADDITIONAL-ADDRESS-FAMILY may be passed over.
    assert_eq!(refused(0x8000, &[2, 0, 0, 0]), 0);
    let (mut peer, mut client) = admitted();
    assert_eq!(peer.ask(&mut client, ALLOCATE, &[TRANSPORT, Has::Raw(EVEN_PORT, &[0])], at(0)), 0);
    assert!(client.relayed().is_some_and(|relayed| relayed.port() % 2 == 0));
    let (mut peer, mut client) = admitted();
    let tcp = [Has::Raw(REQUESTED_TRANSPORT, &[6, 0, 0, 0])];
    assert_eq!(peer.ask(&mut client, ALLOCATE, &tcp, at(0)), 442);
    assert_eq!(peer.ask(&mut client, ALLOCATE, &[], at(0)), 400);
    assert_eq!(peer.ask(&mut client, 0x00a, &[], at(0)), 400, "Connect (RFC 6062)");
    let six = [TRANSPORT, Has::Raw(REQUESTED_ADDRESS_FAMILY, &[2, 0, 0, 0])];
    assert_eq!(peer.ask(&mut client, ALLOCATE, &six, at(0)), 0);
    assert_eq!(client.relayed(), Some("[2001:db8::7]:49200".parse().unwrap()));
    assert_eq!(peer.permit(&mut client, MEDIA_V6, at(0)), 0);
    assert_eq!(peer.permit(&mut client, MEDIA, at(0)), 443);
}

#[test]
fn requests_need_the_same_user_its_key_and_the_nonce_of_the_hour() {
    let (mut peer, mut client) = allocated();
    let good = peer.credentials.clone();
    let hour = limits::TURN_NONCE_AGE_MAX.as_secs();
    assert_eq!(peer.permit(&mut client, MEDIA, at(1)), 0);
    let mut bare = [0; 64];
    let len = StunWriter::new(&mut bare, StunClass::Request, REFRESH, &[1; 12]).finish().unwrap();
    peer.out.clear();
    client.receive(&mut bare[..len], at(1), &mut peer.out);
    assert_eq!(peer.code(), 401);
    peer.credentials.password.push('x');
    assert_eq!(peer.permit(&mut client, MEDIA, at(1)), 401);
    peer.credentials = good;
    assert_eq!(peer.ask(&mut client, REFRESH, &[lifetime(&100_000_u32.to_be_bytes())], at(1)), 0);
    assert_eq!(peer.permit(&mut client, MEDIA, at(hour)), 438);
    let nonce = StunMessage::parse(&peer.out).unwrap().attribute(attribute::NONCE).unwrap().to_vec();
    peer.nonce = String::from_utf8(nonce).unwrap();
    assert_eq!(peer.permit(&mut client, MEDIA, at(hour)), 0);
}

#[test]
fn who_floods_with_requests_or_has_too_many_allocations_is_closed() {
    let (mut peer, mut client) = admitted();
    client.deny();
    let mut request = peer.allocate();
    peer.out.clear();
    assert_eq!(client.receive(&mut request, at(0), &mut peer.out), Received::Closed);
    assert_eq!(peer.code(), 486);
    let (peer, mut client) = allocated();
    let request = peer.request(REFRESH, &[]);
    let taken =
        (0..1_000).take_while(|_| client.receive(&mut request.clone(), at(0), &mut Vec::new()) == Received::Nothing);
    // The Allocate was one.
    assert_eq!(taken.count(), limits::TURN_REQUESTS_AT_ONCE as usize - 1);
}
