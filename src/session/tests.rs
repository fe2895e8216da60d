//! Sessions with two epochs, and sessions that are exported and imported, tested through real handshakes with a client
//! made of the same parts.

mod data;
mod export;
mod lost_path;

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use super::*;
use crate::description::{DtlsRole, Fingerprint, FingerprintHash, IceCredentials};
use crate::dtls::{Dtls, DtlsError, DtlsEvent, DtlsIdentity, DtlsVersions};
use crate::lab::peer::checks::Checks;
use crate::limits;
use crate::srtp::{SrtpError, SrtpKeys, SrtpReceiver, SrtpSender};
use crate::time::Timestamp;
use crate::transport::{Arrival, PathAddress, PathBook, PathId, TrainBatch, UdpPath};
use crate::wire::bytes::{ImportError, StateBytes, refuses_damage};
use crate::wire::demux::{DatagramKind, classify};

const PAYLOAD: &[u8] = b"one packet of a picture";

fn credentials(name: &str) -> IceCredentials {
    IceCredentials { ufrag: format!("{name}ufrag"), password: format!("{name}-password-of-24-letters") }
}

fn fingerprints(identity: &DtlsIdentity) -> Vec<Fingerprint> {
    vec![Fingerprint { hash: FingerprintHash::Sha256, value: identity.fingerprint_sha256().to_vec() }]
}

/// The client's two addresses.
const FIRST: PathId = PathId::numbered(0);
const SECOND: PathId = PathId::numbered(1);

fn address(path: PathId) -> PathAddress {
    let mut book = PathBook::new();
    for port in [4_000, 5_000] {
        book.enter(UdpPath::to(([192, 0, 2, 1], port).into())).unwrap();
    }
    *book.address(path).unwrap()
}

/// The client's end of one epoch.
struct ClientEpoch {
    dtls: Dtls,
    keys: Option<(SrtpSender, SrtpReceiver)>,
    closed: bool,
    data: Vec<Box<[u8]>>,
    path: PathId,
}

/// A session and its client, connected without a network.
struct Pair {
    node: DtlsIdentity,
    client: DtlsIdentity,
    session: Session,
    epochs: Vec<ClientEpoch>,
    events: Vec<SessionEvent>,
    out: TrainBatch,
    path: PathId,
    now: Timestamp,
    unique: u64,
}

impl Pair {
    /// A session whose first epoch is connected.
    fn connected(versions: DtlsVersions) -> Self {
        Self::connect(versions, false)
    }

    fn connect(versions: DtlsVersions, carry_data: bool) -> Self {
        let now = Timestamp::from_millis(1_000);
        let [node, client] = [0, 1].map(|_| DtlsIdentity::generate(SystemTime::now()).unwrap());
        let mut session = Session::new(
            credentials("node"),
            credentials("peer"),
            DtlsRole::Server,
            fingerprints(&client),
            [1; 16],
            now,
        );
        if carry_data {
            session.carry_data();
        }
        let path = FIRST;
        let mut pair = Self {
            node,
            client,
            session,
            epochs: Vec::new(),
            events: Vec::new(),
            out: TrainBatch::new(),
            path,
            now,
            unique: 0,
        };
        let mut check = [0; limits::STUN_REPLY_BYTES_MAX];
        let len = Checks::new(credentials("peer"), credentials("node"), 1, now).poll(&mut check, now).unwrap();
        assert_eq!(pair.deliver(&mut check[..len]), Ok(Inbound::Handled));
        pair.add_client(versions);
        pair.run();
        assert!(pair.epochs[0].keys.is_some() && pair.session.state() == SessionState::Connected);
        assert_eq!(pair.session.dtls_version().is_some_and(|v| v == "1.2"), versions == DtlsVersions::Only12);
        pair
    }

    /// A client's association for the next handshake.
    fn add_client(&mut self, versions: DtlsVersions) {
        let mut dtls = Dtls::new_client(&self.client, versions, fingerprints(&self.node), self.now);
        dtls.expect_application_data(true);
        self.epochs.push(ClientEpoch { dtls, keys: None, closed: false, data: Vec::new(), path: self.path });
    }

    fn begin_epoch(&mut self) -> Result<EpochNumber, EpochRefused> {
        let expected = fingerprints(&self.client);
        self.session.begin_epoch(&self.node, DtlsRole::Server, expected, &mut self.out, self.now)
    }

    /// Begins a second epoch and connects it, without switching to it.
    fn with_next(versions: [DtlsVersions; 2]) -> Self {
        let mut pair = Self::connected(versions[0]);
        assert_eq!(pair.begin_epoch(), Ok(EpochNumber(1)));
        pair.add_client(versions[1]);
        pair.run();
        assert!(pair.epochs[1].keys.is_some());
        assert!(pair.events.contains(&SessionEvent::EpochConnected(EpochNumber(1))), "{:?}", pair.events);
        pair
    }

    fn deliver(&mut self, bytes: &mut [u8]) -> Result<Inbound, Rejected> {
        self.deliver_on(self.path, bytes)
    }

    fn deliver_on(&mut self, path: PathId, bytes: &mut [u8]) -> Result<Inbound, Rejected> {
        let kind = classify(bytes);
        let from = Arrival { path, remote: address(path).remote() };
        self.session.handle_datagram(&self.node, kind, from, bytes, &mut self.out, self.now)
    }

    /// Delivers datagrams in both directions until there are none.
    fn run(&mut self) {
        for _ in 0..50 {
            let mut moved = false;
            for index in 0..self.epochs.len() {
                let mut datagram = [0; limits::DTLS_DATAGRAM_OUT_BYTES_MAX];
                while let Some(event) = self.epochs[index].dtls.poll(&mut datagram) {
                    match event {
                        DtlsEvent::Datagram(len) => {
                            moved = true;
                            let path = self.epochs[index].path;
                            let taken = self.deliver_on(path, &mut datagram[..len]);
                            // The client may answer the close alert of an epoch whose path has already been removed.
                            let gone = self.session.egress().is_some_and(|(_, selected)| selected != path);
                            assert!(taken == Ok(Inbound::Handled) || gone && taken == Err(Rejected::PathNotValidated));
                        }
                        DtlsEvent::Connected(exported) => {
                            let keys = SrtpKeys::from_exported(exported.profile(), exported.material(), true).unwrap();
                            let sender = SrtpSender::new(keys.profile, &keys.local);
                            let receiver = SrtpReceiver::new(keys.profile, &keys.remote);
                            self.epochs[index].keys = Some((sender, receiver));
                        }
                        DtlsEvent::ApplicationData(data) => self.epochs[index].data.push(data),
                        DtlsEvent::Closed => self.epochs[index].closed = true,
                        DtlsEvent::Failed(error) => panic!("client {index}: {error}"),
                    }
                }
            }
            for (path, datagram) in self.sent_on() {
                moved = true;
                if classify(&datagram) == DatagramKind::Dtls {
                    // Two of the client's associations may share a path, so each must recognise its own datagrams.
                    let here = self.epochs.iter_mut().filter(|epoch| epoch.path == path);
                    here.for_each(|epoch| epoch.dtls.handle_datagram(&datagram, self.now));
                }
            }
            while let Some(event) = self.session.poll_event() {
                self.events.push(event);
            }
            if !moved {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    fn sent_on(&mut self) -> Vec<(PathId, Vec<u8>)> {
        let mut sent = Vec::new();
        for train in self.out.trains() {
            let datagrams = self.out.bytes(train).chunks(usize::from(train.segment_size));
            sent.extend(datagrams.map(|datagram| (train.path, datagram.to_vec())));
        }
        self.out.clear();
        sent
    }

    fn sent(&mut self) -> Vec<Vec<u8>> {
        self.sent_on().into_iter().map(|(_, datagram)| datagram).collect()
    }

    fn later(&mut self, passed: Duration) {
        self.now = self.now + passed;
        self.session.handle_timeout(&mut self.out, self.now);
        self.run();
    }

    /// The client's packet, sealed under one of its epochs.
    fn packet_under(&self, epoch: usize, index: u64) -> Vec<u8> {
        let (sender, _) = self.epochs[epoch].keys.as_ref().unwrap();
        seal(sender, 0xc11e, index)
    }

    /// Whether the client opens `packet` under one of its epochs.
    fn client_opens(&mut self, epoch: usize, packet: &[u8]) -> bool {
        let (_, receiver) = self.epochs[epoch].keys.as_mut().unwrap();
        receiver.open_rtp(&mut packet.to_vec()).is_ok()
    }

    fn session_opens(&mut self, packet: &[u8]) -> Result<(), Rejected> {
        let mut packet = packet.to_vec();
        match self.deliver(&mut packet)? {
            Inbound::Rtp(opened) => {
                assert_eq!(&packet[opened.header.header_len..opened.header.header_len + opened.payload_len], PAYLOAD);
                Ok(())
            }
            other => panic!("{other:?}"),
        }
    }
}

fn seal(sender: &SrtpSender, ssrc: u32, index: u64) -> Vec<u8> {
    seal_payload(sender, ssrc, index, PAYLOAD)
}

fn seal_payload(sender: &SrtpSender, ssrc: u32, index: u64, payload: &[u8]) -> Vec<u8> {
    let mut slot = [0; 200];
    slot[..2].copy_from_slice(&[0x80, 96]);
    slot[2..4].copy_from_slice(&(index as u16).to_be_bytes());
    slot[8..12].copy_from_slice(&ssrc.to_be_bytes());
    let len = sender.seal_rtp(index, 12, &mut slot, payload, 0).unwrap();
    slot[..len].to_vec()
}

const ALL_PAIRS: [[DtlsVersions; 2]; 4] = [
    [DtlsVersions::Only13, DtlsVersions::Only13],
    [DtlsVersions::Only12, DtlsVersions::Only12],
    [DtlsVersions::Only12, DtlsVersions::Only13],
    [DtlsVersions::Only13, DtlsVersions::Only12],
];

#[test]
fn media_flows_both_ways_under_both_epochs_and_the_old_one_ends() {
    for versions in ALL_PAIRS {
        let mut pair = Pair::connected(versions[0]);
        assert_eq!(pair.session_opens(&pair.packet_under(0, 100)), Ok(()));
        pair.begin_epoch().unwrap();
        pair.add_client(versions[1]);
        // Media goes on while the second handshake runs.
        assert_eq!(pair.session_opens(&pair.packet_under(0, 101)), Ok(()));
        pair.run();
        assert_eq!(pair.session.other_epoch().unwrap().number(), EpochNumber(1));
        assert!(pair.session.other_epoch().unwrap().is_connected());

        // Both ends seal under both; each packet opens under its own keys only.
        let old = seal(pair.session.egress().unwrap().0, 0x40de, 7);
        let new = seal(pair.session.next_egress().unwrap().0, 0x40de, 7);
        assert_ne!(old, new);
        assert!(pair.client_opens(0, &old) && !pair.client_opens(1, &old), "{versions:?}");
        assert!(pair.client_opens(1, &new) && !pair.client_opens(0, &new), "{versions:?}");
        for (epoch, index) in [(0, 102), (1, 5), (0, 103), (1, 6), (0, 104)] {
            assert_eq!(pair.session_opens(&pair.packet_under(epoch, index)), Ok(()), "{versions:?}: {epoch} {index}");
        }
        assert_eq!(pair.session.epoch().opened_packets(), 5);
        assert_eq!(pair.session.other_epoch().unwrap().opened_packets(), 2);
        assert_eq!(pair.session.rejected, 0);

        // The new epoch takes over: nothing more is sealed under the old one, but packets under way still open.
        assert_eq!(pair.session.switch_epoch(Duration::from_secs(2), pair.now), Ok(EpochNumber(1)));
        assert!(pair.session.next_egress().is_none());
        let sealed = seal(pair.session.egress().unwrap().0, 0x40de, 8);
        assert!(pair.client_opens(1, &sealed) && !pair.client_opens(0, &sealed));
        assert_eq!(pair.session_opens(&pair.packet_under(0, 105)), Ok(()));
        assert_eq!(pair.session_opens(&pair.packet_under(1, 7)), Ok(()));

        pair.later(Duration::from_millis(1_999));
        assert_eq!(pair.session_opens(&pair.packet_under(0, 106)), Ok(()));
        let total = pair.session.received_packets();
        pair.later(Duration::from_millis(1));
        assert!(pair.session.other_epoch().is_none());
        assert!(pair.events.contains(&SessionEvent::EpochEnded(EpochNumber(0))));
        assert!(pair.epochs[0].closed && !pair.epochs[1].closed, "the old association ends by a close alert");
        assert_eq!(
            pair.session_opens(&pair.packet_under(0, 107)),
            Err(Rejected::Srtp(SrtpError::Authentication)),
            "{versions:?}"
        );
        assert_eq!(pair.session.rejected, 1);
        assert_eq!(pair.session_opens(&pair.packet_under(1, 8)), Ok(()));
        assert_eq!(pair.session.received_packets(), total + 1, "what the old epoch received stays counted");
        assert_eq!(pair.session.state(), SessionState::Connected);
    }
}

#[test]
fn a_packet_under_neither_epoch_is_refused_once() {
    let mut pair = Pair::with_next([DtlsVersions::Only13; 2]);
    let mut forged = pair.packet_under(0, 9);
    forged[20] ^= 1;
    assert_eq!(pair.session_opens(&forged), Err(Rejected::Srtp(SrtpError::Authentication)));
    assert_eq!(pair.session.rejected, 1);
    // A replay is recognised under its own epoch, whichever is tried first.
    for first in [0, 1] {
        let packets = [pair.packet_under(0, 20 + first), pair.packet_under(1, 20 + first)];
        for packet in &packets {
            assert_eq!(pair.session_opens(packet), Ok(()));
        }
        for packet in &packets {
            assert_eq!(pair.session_opens(packet), Err(Rejected::Srtp(SrtpError::Replayed)));
        }
    }
    assert_eq!(pair.session.rejected, 5);
}

#[test]
fn rtcp_opens_under_both_epochs_and_is_sent_under_the_current_one() {
    let mut pair = Pair::with_next([DtlsVersions::Only12; 2]);
    let report = [0x80, 201, 0, 1, 0, 0, 0xc1, 0x1e];
    for epoch in [0, 1, 0] {
        let mut slot = [0; 64];
        slot[..report.len()].copy_from_slice(&report);
        let (sender, _) = pair.epochs[epoch].keys.as_mut().unwrap();
        let len = sender.seal_rtcp(&mut slot, report.len()).unwrap();
        assert_eq!(pair.deliver(&mut slot[..len]), Ok(Inbound::Rtcp(report.len())));
    }
    for (current, sealed) in [(0, 1), (1, 1)] {
        let write = |slot: &mut [u8]| {
            slot.get_mut(..report.len())?.copy_from_slice(&report);
            Some(report.len())
        };
        pair.session.send_rtcp(&mut pair.out, write).unwrap();
        let datagram = pair.sent().pop().unwrap();
        let opens = |epoch: &mut ClientEpoch| epoch.keys.as_mut().unwrap().1.open_rtcp(&mut datagram.clone()).is_ok();
        let opened: Vec<bool> = pair.epochs.iter_mut().map(opens).collect();
        assert_eq!(opened, [current == 0, current == 1]);
        assert_eq!(pair.session.epoch().sealed_packets(), sealed);
        let _ = pair.session.switch_epoch(Duration::from_secs(1), pair.now);
    }
}

#[test]
fn a_close_alert_of_the_old_association_is_ignored_during_the_next_handshake() {
    for versions in ALL_PAIRS {
        let mut pair = Pair::connected(versions[0]);
        pair.begin_epoch().unwrap();
        // Chromium's order: the old association's close alert, then the new one's hello.
        pair.epochs[0].dtls.close(pair.now);
        pair.run();
        assert_eq!(pair.session.state(), SessionState::Connected);
        assert_eq!(pair.session_opens(&pair.packet_under(0, 50)), Ok(()), "its keys hold");
        pair.add_client(versions[1]);
        pair.run();
        pair.session.switch_epoch(Duration::ZERO, pair.now).unwrap();
        pair.later(Duration::ZERO);
        assert_eq!(pair.session_opens(&pair.packet_under(1, 1)), Ok(()), "{versions:?}");
        assert!(!pair.events.contains(&SessionEvent::Closed));
        // From now on a close alert of the new association ends the session.
        pair.epochs[1].dtls.close(pair.now);
        pair.run();
        assert_eq!(pair.session.state(), SessionState::Ended);
        assert!(pair.events.contains(&SessionEvent::Closed));
    }
}

#[test]
fn a_next_epoch_that_fails_leaves_the_session_as_it_was() {
    // Its peer shows another certificate than was promised.
    let mut pair = Pair::connected(DtlsVersions::Only13);
    let wrong = fingerprints(&pair.node);
    pair.session.begin_epoch(&pair.node, DtlsRole::Server, wrong, &mut pair.out, pair.now).unwrap();
    assert_eq!(pair.begin_epoch(), Err(EpochRefused::Busy));
    pair.add_client(DtlsVersions::Only13);
    pair.run();
    pair.later(limits::DTLS_DOUBT_MAX);
    assert!(pair.events.contains(&SessionEvent::EpochFailed(EpochNumber(1), DtlsError::FingerprintMismatch)));
    assert_eq!(pair.session_opens(&pair.packet_under(0, 1)), Ok(()));
    assert!(pair.session.other_epoch().is_none());
    // The peer never answers.
    pair.epochs.truncate(1);
    pair.begin_epoch().unwrap();
    assert_eq!(pair.session.switch_epoch(Duration::ZERO, pair.now), Err(EpochRefused::NoNext));
    assert_eq!(pair.session.next_deadline().map(|at| at <= pair.now + limits::SESSION_SETUP_MAX), Some(true));
    pair.later(limits::SESSION_SETUP_MAX);
    assert!(pair.events.contains(&SessionEvent::EpochFailed(EpochNumber(1), DtlsError::Timeout)));
    assert_eq!(pair.session_opens(&pair.packet_under(0, 2)), Ok(()));
    // The peer closes the old association meanwhile. Its engine is gone, so the session is in doubt.
    pair.begin_epoch().unwrap();
    pair.epochs[0].dtls.close(pair.now);
    pair.run();
    pair.session.end_other_epoch(&mut pair.out, pair.now);
    assert_eq!(pair.session.state(), SessionState::Connected);
    assert_eq!(pair.session.silent_at(), pair.now + limits::SESSION_DOUBT_MAX);
}

#[test]
fn a_peer_that_closes_and_fails_its_next_handshake_is_gone() {
    let mut pair = Pair::connected(DtlsVersions::Only13);
    pair.begin_epoch().unwrap();
    pair.epochs[0].dtls.close(pair.now);
    pair.run();
    assert_eq!(pair.session.state(), SessionState::Connected);
    pair.session.end_other_epoch(&mut pair.out, pair.now);
    assert_eq!(pair.session.state(), SessionState::Ended);
}

#[test]
fn an_explicit_call_ends_the_old_epoch_and_an_overlap_has_a_bound() {
    let mut pair = Pair::with_next([DtlsVersions::Only13; 2]);
    pair.session.switch_epoch(Duration::from_secs(3_600), pair.now).unwrap();
    assert_eq!(pair.session.switch_epoch(Duration::ZERO, pair.now), Err(EpochRefused::NoNext));
    assert!(pair.session.epoch().seals() && !pair.session.other_epoch().unwrap().seals());
    assert_eq!(pair.session.other_deadline(), Some(pair.now + limits::EPOCH_OVERLAP_MAX));
    pair.session.end_other_epoch(&mut pair.out, pair.now);
    assert_eq!(pair.session_opens(&pair.packet_under(0, 1)), Err(Rejected::Srtp(SrtpError::Authentication)));
    assert_eq!(pair.session_opens(&pair.packet_under(1, 1)), Ok(()));
    // Another epoch can then begin.
    assert_eq!(pair.begin_epoch(), Ok(EpochNumber(2)));
}

#[test]
fn an_epoch_knows_its_age_and_what_it_sealed() {
    let mut pair = Pair::with_next([DtlsVersions::Only13; 2]);
    pair.session.note_sealed(3);
    pair.session.note_next_sealed(2);
    pair.later(Duration::from_secs(5));
    let (current, next) = (pair.session.epoch(), pair.session.other_epoch().unwrap());
    assert_eq!((current.sealed_packets(), next.sealed_packets()), (3, 2));
    assert_eq!(next.age(pair.now), Duration::from_secs(5));
    pair.session.switch_epoch(Duration::ZERO, pair.now).unwrap();
    assert_eq!(pair.session.epoch().sealed_packets(), 2);
}

#[test]
fn a_session_with_one_epoch_reserves_only_a_pointer_for_a_second() {
    // The memory budget of a viewer has room for tens of bytes, not for a second set of keys.
    let without_ice = size_of::<Session>() - size_of::<crate::ice::IceLite>();
    assert!(without_ice <= 232, "{without_ice}, an epoch {}", size_of::<Epoch>());
}

/// A check from the client with these user fragments, sent by its first or second connection.
fn check(local: &str, remote: &str, seed: u64, now: Timestamp) -> Vec<u8> {
    let mut check = vec![0; limits::STUN_REPLY_BYTES_MAX];
    let len = Checks::new(credentials(local), credentials(remote), seed, now).poll(&mut check, now).unwrap();
    check.truncate(len);
    check
}

#[test]
fn a_second_connection_has_its_own_paths_and_both_play_until_the_switch() {
    let (first, second) = (FIRST, SECOND);
    for versions in ALL_PAIRS {
        let mut pair = Pair::connected(versions[0]);
        let (local, remote, expected) = (credentials("node2"), credentials("peer2"), fingerprints(&pair.client));
        let number =
            pair.session.begin_epoch_on_its_own_paths(local, remote, DtlsRole::Server, expected, pair.now).unwrap();
        pair.path = second;
        pair.add_client(versions[1]);
        pair.path = first;
        // Only a check with the second credentials opens the second path.
        let mut hello = [0; limits::DTLS_DATAGRAM_OUT_BYTES_MAX];
        let Some(DtlsEvent::Datagram(len)) = pair.epochs[1].dtls.poll(&mut hello) else { panic!("no hello") };
        assert_eq!(pair.deliver_on(second, &mut hello[..len]), Err(Rejected::PathNotValidated));
        let unknown = pair.deliver_on(second, &mut check("peer3", "node3", 3, pair.now));
        assert_eq!(unknown, Err(Rejected::Check(crate::ice::CheckRefused::Username)));
        assert_eq!(pair.deliver_on(second, &mut check("peer2", "node2", 2, pair.now)), Ok(Inbound::Handled));
        assert_eq!(pair.deliver_on(second, &mut hello[..len]), Ok(Inbound::Handled));
        pair.run();
        assert!(pair.events.contains(&SessionEvent::PathAdded(second)));
        assert!(pair.events.contains(&SessionEvent::EpochConnected(number)), "{versions:?}");
        assert!(!pair.events.contains(&SessionEvent::Moved), "the current epoch stays where it is");

        // Both play, each on its path, and both are kept alive by checks.
        assert_eq!(pair.session.egress().unwrap().1, first);
        assert_eq!(pair.session.next_egress().unwrap().1, second);
        for (epoch, path) in [(0, first), (1, second), (0, first)] {
            let mut packet = pair.packet_under(epoch, 10 + pair.session.received_packets());
            assert!(matches!(pair.deliver_on(path, &mut packet), Ok(Inbound::Rtp(_))));
        }
        for (path, names, seed) in [(first, ("peer", "node"), 11), (second, ("peer2", "node2"), 12)] {
            let mut check = check(names.0, names.1, seed, pair.now);
            assert_eq!(pair.deliver_on(path, &mut check), Ok(Inbound::Handled));
            assert_eq!(pair.session.egress().unwrap().1, first);
        }
        pair.run();

        // The session is moved to another process in between.
        let bytes = pair.exported();
        if versions == ALL_PAIRS[0] {
            refuses_damage(&bytes, |bytes| export::import(bytes, pair.now));
        }
        pair.import(bytes.as_slice());
        pair.session.switch_epoch(Duration::from_secs(1), pair.now).unwrap();
        assert_eq!(pair.session.egress().unwrap().1, second);
        let mut late = pair.packet_under(0, 40);
        assert!(matches!(pair.deliver_on(first, &mut late), Ok(Inbound::Rtp(_))));
        assert_eq!(pair.session.retired_ufrag(), None);

        pair.later(Duration::from_secs(1));
        assert!(pair.epochs[0].closed && !pair.epochs[1].closed, "{versions:?}: the close alert goes by the old path");
        assert!(pair.events.contains(&SessionEvent::PathRemoved(first)));
        assert_eq!(pair.session.retired_ufrag().as_deref(), Some("nodeufrag"));
        assert_eq!(pair.session.retired_ufrag(), None);
        assert_eq!(pair.session.ice().local_ufrag(), "node2ufrag");
        let mut late = pair.packet_under(0, 41);
        assert_eq!(pair.deliver_on(first, &mut late), Err(Rejected::PathNotValidated));
        let mut packet = pair.packet_under(1, 42);
        assert!(matches!(pair.deliver_on(second, &mut packet), Ok(Inbound::Rtp(_))));
    }
}

#[test]
fn a_second_connection_that_never_comes_retires_its_user_fragment() {
    let mut pair = Pair::connected(DtlsVersions::Only13);
    let (local, remote) = (credentials("node2"), credentials("peer2"));
    pair.session.begin_epoch_on_its_own_paths(local, remote, DtlsRole::Server, Vec::new(), pair.now).unwrap();
    assert!(pair.session.next_egress().is_none());
    pair.later(limits::SESSION_SETUP_MAX);
    assert!(pair.events.contains(&SessionEvent::EpochFailed(EpochNumber(1), DtlsError::Timeout)));
    assert_eq!(pair.begin_epoch(), Err(EpochRefused::Busy), "its user fragment is still known");
    assert_eq!(pair.session.retired_ufrag().as_deref(), Some("node2ufrag"));
    assert_eq!(pair.begin_epoch(), Ok(EpochNumber(1)));
}
