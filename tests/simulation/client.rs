//! A client of the simulation: the load tester's publisher or viewer ([`corecast::lab::peer`]), its two links, and what the
//! checkers remember of it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, SystemTime};

use corecast::data::SCTP_PORT;
use corecast::description::{
    DataTerms, Description, Direction, DtlsRole, ExtensionIds, Fingerprint, FingerprintHash, IceCredentials, MediaKind,
    SsrcPair,
};
use corecast::dtls::{DtlsIdentity, DtlsVersions};
use corecast::lab::bench::publisher::keys;
use corecast::lab::peer::answer::{AnsweredCodec, AnsweredMedia, RemoteAnswer};
use corecast::lab::peer::fleet::Agent as _;
use corecast::lab::peer::publisher::{Encoding, Publisher, PublisherConfig};
use corecast::lab::peer::terms::{self, Numbers, Offer, Sources};
use corecast::lab::peer::viewer::{Viewer, ViewerConfig};
use corecast::lab::peer::{ClientPeer, PeerConfig};
use corecast::limits;
use corecast::placement;
use corecast::srtp::SrtpKeys;
use corecast::time::{NtpTime, Timestamp};
use corecast::wire::codec::Codec;
use corecast::worker::mailbox::{OpenSession, SessionId, StreamId, WorkerIndex};
use corecast::worker::timers::NEVER;

use crate::check::content::Content;
use crate::check::sealed_once::SealedOnce;
use crate::check::silence::Heard;
use crate::check::timeline::Continuity;
use crate::data::DataEnd;
use crate::link::Link;
use crate::script::SimScript;
use crate::ways::Way;

/// A client's number; never given twice.
pub(crate) type ClientId = usize;

/// How a client gets its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joining {
    /// ICE, DTLS, SRTP.
    Handshake,
    /// Both ends begin with their keys.
    Preconnected,
}

/// What a session is opened for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    pub(crate) direction: Direction,
    pub(crate) stream: usize,
    pub(crate) joining: Joining,
    pub(crate) rtx: bool,
    /// Part of its packets a viewer opens.
    pub(crate) verify: f64,
    /// It is opened and nobody ever comes.
    pub(crate) phantom: bool,
    pub(crate) way: Way,
    pub(crate) data: bool,
}

pub(crate) enum Agent {
    Viewer(Box<Viewer>),
    Publisher(Box<Publisher>),
}

pub(crate) struct Client {
    pub(crate) session: SessionId,
    /// What it was made for.
    pub(crate) wish: Wish,
    /// The session's first client, whose number it has; the same one while its keys have not changed.
    pub(crate) first: ClientId,
    /// Of a first client: the transport that the session has, and the second one while its keys change.
    pub(crate) transport: ClientId,
    pub(crate) next: Option<ClientId>,
    pub(crate) rekeys: u32,
    /// When media was first sealed for this transport, and when its worker said that it has ended.
    pub(crate) sealed_since: Option<Timestamp>,
    /// How far the node's clock was ahead then.
    pub(crate) sealed_ahead: Duration,
    pub(crate) over: Option<Timestamp>,
    /// The client closes it, or is about to.
    pub(crate) is_leaving: bool,
    pub(crate) stream: usize,
    pub(crate) worker: usize,
    pub(crate) direction: Direction,
    pub(crate) sources: Sources,
    pub(crate) identity: DtlsIdentity,
    /// `None` once it is gone; its session may outlive it.
    pub(crate) agent: Option<Agent>,
    /// Whether the node was not seen to have ended the session.
    pub(crate) is_open: bool,
    /// Whether its worker told that it serves it; between that and its end it counts in the stream's routes.
    pub(crate) is_served: bool,
    pub(crate) is_connected: bool,
    /// A DTLS datagram has reached it: what it sends from now on shows so.
    pub(crate) has_read_dtls: bool,
    /// It is the forger's own, of which nothing is asked.
    pub(crate) is_forger: bool,
    /// DTLS was forged in its name before both ends had their keys. The node tells the peer's hello from forged ones by what
    /// follows, but its answers to those reach the client, and a client believes the first ServerHello that it reads.
    pub(crate) handshake_forged: bool,
    /// Whether the node has told so.
    pub(crate) node_connected: bool,
    /// How it reaches the node, or is about to; the connection that it uses, and the one that is being made.
    pub(crate) way: Way,
    pub(crate) connection: Option<u32>,
    pub(crate) connecting: Option<u32>,
    pub(crate) is_without_udp: bool,
    pub(crate) data: Option<Box<DataEnd>>,
    /// What it publishes.
    pub(crate) publication: Option<usize>,
    /// Its address for UDP.
    pub(crate) address: SocketAddr,
    pub(crate) up: Link,
    pub(crate) down: Link,
    pub(crate) armed: Timestamp,
    pub(crate) ice_generation: u32,
    /// Its silence counts from here on.
    pub(crate) excused: Timestamp,
    pub(crate) heard: Heard,
    pub(crate) sealed: SealedOnce,
    pub(crate) content: Content,
    pub(crate) continuity: Continuity,
}

impl Client {
    /// When its agent has something to do.
    pub(crate) fn next_deadline(&self) -> Timestamp {
        let next = match &self.agent {
            Some(Agent::Viewer(viewer)) => viewer.next_deadline(),
            Some(Agent::Publisher(publisher)) => publisher.next_deadline(),
            None => None,
        };
        let data = self.data.as_ref().filter(|_| self.agent.is_some()).and_then(|data| data.next_deadline());
        next.into_iter().chain(data).min().unwrap_or(NEVER)
    }

    pub(crate) fn has_ended(&self) -> bool {
        match &self.agent {
            Some(Agent::Viewer(viewer)) => viewer.has_ended(),
            Some(Agent::Publisher(publisher)) => publisher.has_ended(),
            None => true,
        }
    }
}

pub(crate) fn sources(client: ClientId, rtx: bool) -> Sources {
    let base = 0x1000_0000 + client as u32 * 16;
    Sources { audio: base, video: base + 1, video_rtx: rtx.then_some(base + 2) }
}

/// Whose synchronisation source it is, given by [`sources`].
pub(crate) fn owner_of_source(ssrc: u32) -> ClientId {
    (ssrc.wrapping_sub(0x1000_0000) / 16) as ClientId
}

/// An address nobody had before: `number` counts addresses.
pub(crate) fn address(number: u32) -> SocketAddr {
    let [_, a, b, c] = number.to_be_bytes();
    SocketAddr::from((Ipv4Addr::new(10, a, b, c), 40_000 + (number % 1_000) as u16))
}

pub(crate) fn node_address(worker: usize) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, 1], 20_000 + worker as u16))
}

pub(crate) fn node_ice(worker: usize, client: ClientId, generation: u32) -> IceCredentials {
    let ufrag = placement::ufrag(WorkerIndex(worker as u16), &format!("node{client:08}g{generation}"));
    IceCredentials { ufrag, password: format!("node-password-{client:08}-{generation}-0123456") }
}

pub(crate) fn peer_ice(client: ClientId, generation: u32) -> IceCredentials {
    IceCredentials {
        ufrag: format!("p{client:08}g{generation}"),
        password: format!("peer-password-{client:08}-{generation}-0123456"),
    }
}

/// Keys of a client that joins without a handshake.
pub(crate) fn preset_keys(client: ClientId, is_client: bool) -> SrtpKeys {
    keys(1 + client as u64, is_client)
}

/// What signalling asks a worker for.
pub(crate) fn open_session(
    client: ClientId,
    worker: usize,
    wish: &Wish,
    identity: &DtlsIdentity,
    node_identity: &DtlsIdentity,
) -> (OpenSession, flume::Receiver<Result<(), corecast::worker::mailbox::OpenRefused>>) {
    let (reply, answer) = flume::bounded(1);
    let offer = Offer {
        direction: wish.direction,
        ice: peer_ice(client, 0),
        fingerprint: fingerprint(identity),
        sources: sources(client, wish.rtx),
    };
    let data =
        DataTerms { sctp_port: SCTP_PORT, message_bytes_max: limits::DATA_MESSAGE_BYTES_ANNOUNCED, may_speak: false };
    let data = wish.data.then_some(data);
    let description = Description { dtls_role: DtlsRole::Server, data, ..terms::answer(&offer) };
    let stream = StreamId(1 + wish.stream as u128);
    let request = OpenSession {
        session: SessionId(client as u64),
        stream,
        stream_name: format!("stream-{}", stream.0),
        local_ice: node_ice(worker, client, 0),
        identity: node_identity.clone(),
        description,
        reply: Some(reply),
    };
    (request, answer)
}

fn fingerprint(identity: &DtlsIdentity) -> Fingerprint {
    Fingerprint { hash: FingerprintHash::Sha256, value: identity.fingerprint_sha256().to_vec() }
}

/// The answer a client would have read from SDP.
fn remote_answer(client: ClientId, worker: usize, wish: &Wish, node: &DtlsIdentity) -> RemoteAnswer {
    let numbers: Numbers = match wish.direction {
        Direction::Publish => terms::PUBLISH,
        Direction::Play => terms::PLAY,
    };
    let Sources { audio, video, video_rtx } = sources(client, wish.rtx);
    let extensions =
        ExtensionIds { mid: Some(numbers.mid), transport_cc: numbers.transport_cc, ..ExtensionIds::default() };
    let section = |kind, mid: &str, codec, ssrcs| AnsweredMedia {
        kind,
        mid: mid.to_owned(),
        codecs: vec![codec],
        extensions,
        ssrcs: vec![ssrcs],
        rids: Vec::new(),
    };
    let codec = |codec, payload_type, rtx_payload_type, feedback| AnsweredCodec {
        codec,
        payload_type,
        rtx_payload_type,
        nack: feedback,
        pli: feedback,
        transport_cc: numbers.transport_cc.is_some(),
        remb: false,
    };
    let rtx = wish.rtx.then_some(numbers.video_rtx);
    RemoteAnswer {
        ice: node_ice(worker, client, 0),
        fingerprints: vec![fingerprint(node)],
        dtls_role: DtlsRole::Client,
        candidates: vec![node_address(worker)],
        tcp_candidates: Vec::new(),
        media: vec![
            section(
                MediaKind::Audio,
                terms::MIDS[0],
                codec(Codec::Opus, numbers.audio, None, false),
                SsrcPair { media: audio, rtx: None },
            ),
            section(
                MediaKind::Video,
                terms::MIDS[1],
                codec(Codec::H264, numbers.video, rtx, true),
                SsrcPair { media: video, rtx: video_rtx },
            ),
        ],
        data: false,
    }
}

/// A certificate. Clients have one each: where they shared one, a handshake that strangers' datagrams led to another
/// client's session would end well.
pub(crate) fn make_identity(seed: u64) -> DtlsIdentity {
    DtlsIdentity::generate_for_simulation(SystemTime::now(), seed).expect("an identity")
}

/// The client's side of an opened session, with its certificate and the node's; `script` makes it a publisher.
pub(crate) fn make_agent(
    client: ClientId,
    worker: usize,
    wish: &Wish,
    [identity, node_identity]: [&DtlsIdentity; 2],
    script: Option<SimScript>,
    seed: u64,
    now: Timestamp,
) -> Agent {
    let answer = remote_answer(client, worker, wish, node_identity);
    let config = PeerConfig {
        local_ice: peer_ice(client, 0),
        remote_ice: answer.ice.clone(),
        dtls_role: DtlsRole::Client,
        versions: DtlsVersions::Any,
        remote_fingerprints: answer.fingerprints.clone(),
        node: node_address(worker),
        seed,
    };
    let mut peer = match wish.joining {
        Joining::Handshake => ClientPeer::new(identity, config, now),
        Joining::Preconnected => ClientPeer::connected(identity, config, &preset_keys(client, true), now),
    };
    if wish.data {
        peer.carry_data();
    }
    match script {
        None => {
            let config =
                ViewerConfig { answer, intended: now, verify_fraction: wish.verify, seed, data: None, watches: false };
            Agent::Viewer(Box::new(Viewer::new(peer, config, now)))
        }
        Some(script) => {
            let config = PublisherConfig {
                answer,
                sources: sources(client, wish.rtx),
                cname: format!("publisher-{client}"),
                encodings: vec![Encoding::only(&sources(client, wish.rtx), Box::new(script))],
                audio: true,
                data: None,
                // The publisher's own clock, far from the node's.
                ntp_at_zero: NtpTime(1_000_000 << 32),
                seed,
            };
            Agent::Publisher(Box::new(Publisher::new(peer, config, now)))
        }
    }
}
