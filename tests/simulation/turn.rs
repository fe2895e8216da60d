//! A client's end of TURN (RFC 8656): it allocates, asks for peers that it must not have, and then carries datagrams to the
//! node's media port, on a channel as Chromium does or in indications as Firefox does.

use std::net::SocketAddr;

use corecast::crypto::digest;
use corecast::turn::{Credentials, REALM};
use corecast::wire::stun::{StunClass, StunMessage, StunWriter, attribute};

use crate::tcp::DATA;

pub(crate) const ALLOCATE: u16 = 0x003;
const SEND_INDICATION: u16 = 0x006;
const CREATE_PERMISSION: u16 = 0x008;
const CHANNEL_BIND: u16 = 0x009;
const CHANNEL_NUMBER: u16 = 0x000c;
const XOR_PEER_ADDRESS: u16 = 0x0012;
const REQUESTED_TRANSPORT: (u16, &[u8]) = (0x0019, &[17, 0, 0, 0]);
const CHANNEL: u16 = 0x4000;

/// What begins every datagram that is sent to a foreign peer: RTP of a source that nobody has, so that it is looked at as any
/// datagram is.
pub(crate) const FOREIGN: [u8; 12] = [0x80, 96, 0, 1, 0, 0, 0, 1, 0xf0, 0x2e, 0x16, 0x04];

/// Peers that nobody may reach through the node.
const FOREIGN_PEERS: [([u8; 4], u16); 3] = [([9, 9, 9, 9], 53), ([127, 0, 0, 1], 22), ([192, 0, 2, 77], 9)];

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Allocating,
    Permitting,
    Ready,
    /// It was refused.
    Refused,
}

/// What a message from the node was.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// An answer; these are to be sent.
    Answer(Vec<Vec<u8>>),
    /// The way is ready.
    Ready,
    /// The node grants what it must not.
    Granted(String),
    /// It was refused.
    Refused,
    Datagram(Vec<u8>),
}

/// One client.
#[derive(Debug)]
pub(crate) struct TurnEnd {
    username: String,
    key: [u8; 16],
    nonce: Vec<u8>,
    step: Step,
    channel: bool,
    /// The node's media port, as it announces it.
    node: SocketAddr,
    requests: u8,
    /// A request of it was for a foreign peer.
    foreign: Vec<u8>,
}

impl TurnEnd {
    pub(crate) fn new(credentials: &Credentials, channel: bool, node: SocketAddr) -> Self {
        let Credentials { username, password } = credentials;
        Self {
            username: username.clone(),
            key: digest::md5(format!("{username}:{REALM}:{password}").as_bytes()),
            nonce: Vec::new(),
            step: Step::Allocating,
            channel,
            node,
            requests: 0,
            foreign: Vec::new(),
        }
    }

    /// The first request.
    pub(crate) fn begin(&mut self) -> Vec<u8> {
        self.request(ALLOCATE, None)
    }

    fn request(&mut self, method: u16, peer: Option<SocketAddr>) -> Vec<u8> {
        self.requests += 1;
        let mut transaction = [9; 12];
        transaction[0] = self.requests;
        let mut bytes = vec![0; 500];
        let mut writer = StunWriter::new(&mut bytes, StunClass::Request, method, &transaction);
        match method {
            ALLOCATE => writer = writer.attribute(REQUESTED_TRANSPORT.0, REQUESTED_TRANSPORT.1),
            CHANNEL_BIND => {
                let [high, low] =
                    (CHANNEL + u16::from(self.requests) * u16::from(peer != Some(self.node))).to_be_bytes();
                writer = writer.attribute(CHANNEL_NUMBER, &[high, low, 0, 0]);
            }
            _ => {}
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
        let len = writer.finish().expect("it fits");
        bytes.truncate(len);
        bytes
    }

    /// Takes a whole message.
    pub(crate) fn receive(&mut self, message: &[u8]) -> Told {
        if let Some(datagram) = crate::tcp::datagram_of(message, true) {
            return Told::Datagram(datagram.to_vec());
        }
        let Ok(stun) = StunMessage::parse(message) else { return Told::Answer(Vec::new()) };
        let number = stun.transaction_id()[0];
        let code = stun.error_code();
        if self.foreign.contains(&number) {
            return match code {
                Some(403) => Told::Answer(Vec::new()),
                other => Told::Granted(format!("a foreign peer is answered with {other:?}, not 403")),
            };
        }
        match (self.step, code) {
            (Step::Allocating, Some(401)) if self.nonce.is_empty() => {
                self.nonce = stun.attribute(attribute::NONCE).unwrap_or_default().to_vec();
                Told::Answer(vec![self.request(ALLOCATE, None)])
            }
            (Step::Allocating, None) => {
                self.step = Step::Permitting;
                let mut requests = Vec::new();
                for (number, (ip, port)) in FOREIGN_PEERS.into_iter().enumerate() {
                    let method = if number == 1 { CREATE_PERMISSION } else { CHANNEL_BIND };
                    requests.push(self.request(method, Some((ip, port).into())));
                    self.foreign.push(self.requests);
                    requests.push(self.indication((ip, port).into(), &[FOREIGN.as_slice(), &[7; 60]].concat()));
                }
                let method = if self.channel { CHANNEL_BIND } else { CREATE_PERMISSION };
                requests.push(self.request(method, Some(self.node)));
                Told::Answer(requests)
            }
            (Step::Permitting, None) => {
                self.step = Step::Ready;
                Told::Ready
            }
            (Step::Ready, None) => Told::Answer(Vec::new()),
            (_, Some(_)) => {
                self.step = Step::Refused;
                Told::Refused
            }
            (Step::Refused, None) => Told::Answer(Vec::new()),
        }
    }

    fn indication(&self, peer: SocketAddr, datagram: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; datagram.len() + 100];
        let len = StunWriter::new(&mut bytes, StunClass::Indication, SEND_INDICATION, &[1; 12])
            .xor_address(XOR_PEER_ADDRESS, peer)
            .attribute(DATA, datagram)
            .finish();
        bytes.truncate(len.expect("it fits"));
        bytes
    }

    /// A datagram for the node's media port.
    pub(crate) fn wrap(&self, datagram: &[u8]) -> Vec<u8> {
        if !self.channel {
            return self.indication(self.node, datagram);
        }
        let mut bytes = [&CHANNEL.to_be_bytes()[..], &(datagram.len() as u16).to_be_bytes(), datagram].concat();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }
}
