//! TURN (RFC 8656): a stream of messages from a stranger; then the same from a client with credentials, whose requests are
//! sealed for it, so that its wishes are looked at. Whatever it wants, it reaches this node's own addresses only.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use corecast::limits;
use corecast::time::Timestamp;
use corecast::turn::{Client, Credentials, Framed, Greeted, Greeting, REALM, Received, Secret, first};
use corecast::wire::stun::{StunClass, StunMessage, StunWriter, attribute};

use super::Seed;

const SESSION: u64 = 7;
const UNIX_S: u64 = 1_700_000_000;
const ALLOCATE: u16 = 0x003;

fn own() -> [SocketAddr; 2] {
    [([198, 51, 100, 7], 7_000).into(), "[2001:db8::7]:7000".parse().expect("an address")]
}

fn greeting() -> Greeting {
    Greeting::new(([203, 0, 113, 9], 40_000).into(), [3; 16], Timestamp::ZERO)
}

struct Keys {
    secret: Secret,
    credentials: Credentials,
    key: [u8; 16],
    nonce: Vec<u8>,
}

impl Keys {
    fn new() -> Self {
        let secret = Secret::new(&[5; 32]);
        let credentials = secret.credentials(SESSION, UNIX_S);
        let Credentials { username, password } = &credentials;
        let key = corecast::crypto::digest::md5(format!("{username}:{REALM}:{password}").as_bytes());
        Self { secret, key, credentials, nonce: Vec::new() }
    }

    /// A request with the attributes of another one, authentic.
    fn seal(&self, method: u16, of: Option<&StunMessage<'_>>) -> Option<Vec<u8>> {
        let mut bytes = vec![0; of.map_or(0, |of| of.bytes().len()) + 300];
        let mut writer = StunWriter::new(&mut bytes, StunClass::Request, method, &[1; 12]);
        const OURS: [u16; 3] = [attribute::USERNAME, attribute::REALM, attribute::NONCE];
        for attribute in of.into_iter().flat_map(StunMessage::attributes) {
            if !OURS.contains(&attribute.kind) && attribute.kind != attribute::FINGERPRINT {
                writer = writer.attribute(attribute.kind, attribute.value);
            }
        }
        if of.is_none() {
            writer = writer.attribute(0x0019, &[17, 0, 0, 0]);
        }
        let len = writer
            .username(self.credentials.username.as_bytes())
            .attribute(attribute::REALM, REALM.as_bytes())
            .attribute(attribute::NONCE, &self.nonce)
            .integrity(&self.key)
            .finish()?;
        bytes.truncate(len);
        Some(bytes)
    }

    fn learn(&mut self, answer: &[u8]) {
        if let Ok(answer) = StunMessage::parse(answer)
            && let Some(nonce) = answer.attribute(attribute::NONCE)
        {
            self.nonce = nonce.to_vec();
        }
    }
}

pub fn run(data: &[u8]) {
    stranger(data);
    client(data);
}

fn stranger(data: &[u8]) {
    let keys = Keys::new();
    let (mut greeting, mut rest, mut answers) = (greeting(), data, 0);
    while let Framed::Whole(len) = first(rest) {
        let (message, after) = rest.split_at(len);
        rest = after;
        let mut out = Vec::new();
        match greeting.receive(message, &keys.secret, |_| true, (Timestamp::ZERO, UNIX_S), &mut out) {
            Greeted::Answered => {
                answers += 1;
                assert!(answers <= limits::TURN_GREETING_REQUESTS_MAX);
                assert_eq!(first(&out), Framed::Whole(out.len()), "one whole answer");
            }
            Greeted::Admitted(_) => panic!("nobody can know the password"),
            Greeted::Closed => return,
        }
    }
}

fn client(data: &[u8]) {
    let mut keys = Keys::new();
    let mut greeting = greeting();
    let mut out = Vec::new();
    let mut ask = |request: &[u8], out: &mut Vec<u8>, keys: &Keys| {
        out.clear();
        greeting.receive(request, &keys.secret, |session| session == SESSION, (Timestamp::ZERO, UNIX_S), out)
    };
    let bare = keys.seal(ALLOCATE, None).expect("room");
    ask(&bare, &mut out, &keys);
    keys.learn(&out);
    let good = keys.seal(ALLOCATE, None).expect("room");
    let Greeted::Admitted(mut client) = ask(&good, &mut out, &keys) else { panic!("right credentials") };
    client.reach(own());
    client.label(50_000);
    let (mut rest, mut now) = (data, Timestamp::ZERO);
    while let Framed::Whole(len) = first(rest) {
        let (message, after) = rest.split_at(len);
        rest = after;
        now = now + Duration::from_secs(u64::from(message.last().copied().unwrap_or(0)));
        let mut message = match StunMessage::parse(message) {
            Ok(request) if request.class() == StunClass::Request => match keys.seal(request.method(), Some(&request)) {
                Some(sealed) => sealed,
                None => return,
            },
            _ => message.to_vec(),
        };
        out.clear();
        let received = client.receive(&mut message, now, &mut out);
        if let Received::Datagram { local_ip, bytes } = &received {
            assert!(own().iter().any(|own| own.ip() == *local_ip) && bytes.len() <= data.len());
        }
        if received == Received::Closed {
            return;
        }
        if !out.is_empty() {
            assert_eq!(first(&out), Framed::Whole(out.len()), "one whole answer");
            keys.learn(&out);
        }
        check(&mut client, now);
    }
}

/// What must hold of a client at any time.
fn check(client: &mut Client, now: Timestamp) {
    assert!(client.kept_until() <= now + limits::TURN_LIFETIME_MAX);
    assert!(client.used_ips().all(|ip| own().iter().any(|own| own.ip() == ip)));
    if let Some(relayed) = client.relayed() {
        assert!(relayed.port() == 50_000 && own().iter().any(|own| own.ip() == relayed.ip()));
    }
    for (ip, len) in own().iter().map(|own| own.ip()).zip([0, limits::DATAGRAM_OUT_BYTES_MAX]) {
        let mut out = Vec::new();
        if client.wrap(ip, &vec![9; len], now, &mut out) {
            assert!(client.relayed().is_some());
            assert_eq!(first(&out), Framed::Whole(out.len()), "one whole message");
        }
    }
    assert!(!client.wrap(IpAddr::from([9, 9, 9, 9]), b"datagram", now, &mut Vec::new()));
}

pub fn seeds() -> Vec<Seed> {
    let peer = |writer: StunWriter<'_>, address: &str| -> Vec<u8> {
        let len = writer.xor_address(0x0012, address.parse().expect("an address")).finish();
        vec![len.expect("room") as u8]
    };
    let message = |class, method, fill: &dyn Fn(&mut [u8], StunClass, u16) -> usize| {
        let mut bytes = [0; 256];
        let len = fill(&mut bytes, class, method);
        bytes[..len].to_vec()
    };
    let allocate = message(StunClass::Request, ALLOCATE, &|bytes, class, method| {
        StunWriter::new(bytes, class, method, &[1; 12]).attribute(0x0019, &[17, 0, 0, 0]).finish().expect("room")
    });
    let permit = |address: &'static str| {
        message(StunClass::Request, 0x008, &move |bytes, class, method| {
            peer(StunWriter::new(bytes, class, method, &[1; 12]), address)[0].into()
        })
    };
    let bind = message(StunClass::Request, 0x009, &|bytes, class, method| {
        let writer = StunWriter::new(bytes, class, method, &[1; 12]).attribute(0x000c, &[0x40, 0, 0, 0]);
        peer(writer, "198.51.100.7:7000")[0].into()
    });
    let send = message(StunClass::Indication, 0x006, &|bytes, class, method| {
        let writer = StunWriter::new(bytes, class, method, &[1; 12]).attribute(0x0013, b"datagram");
        peer(writer, "198.51.100.7:7000")[0].into()
    });
    let refresh = message(StunClass::Request, 0x004, &|bytes, class, method| {
        StunWriter::new(bytes, class, method, &[1; 12]).attribute(0x000d, &[0, 0, 0, 0]).finish().expect("room")
    });
    let channel = [&[0x40, 0, 0, 8][..], b"datagram"].concat();
    let ours = permit("198.51.100.7:7000");
    vec![
        ("channel".into(), [&allocate[..], &bind, &channel, &channel].concat()),
        ("indication".into(), [&allocate[..], &ours, &send, &send].concat()),
        ("elsewhere".into(), [&allocate[..], &permit("9.9.9.9:53"), &permit("[::ffff:198.51.100.7]:22")].concat()),
        ("given-back".into(), [&allocate[..], &bind, &refresh, &channel, &allocate, &channel].concat()),
        (
            "binding".into(),
            message(StunClass::Request, 1, &|bytes, class, method| {
                StunWriter::new(bytes, class, method, &[1; 12]).finish().expect("room")
            }),
        ),
    ]
}
