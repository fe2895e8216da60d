//! What must be refused is refused and counted, and nobody else notices.

use std::cell::RefCell;
use std::rc::Rc;

use crate::worker_support::{Hop, MS, Opening, World, stranger};
use corecast::description::MediaKind;
use corecast::dtls::DtlsVersions;
use corecast::limits;
use corecast::wire::demux::{self, DatagramKind};
use corecast::wire::stun::{StunMessage, StunWriter};
use corecast::worker::mailbox::EndReason;

/// Who sent it, and what.
type Seen = Vec<(usize, Vec<u8>)>;

/// Copies of what the clients send, and which of them shall be lost.
#[derive(Clone, Default)]
struct Tap {
    seen: Rc<RefCell<Seen>>,
    lose: Rc<RefCell<Option<(usize, DatagramKind)>>>,
}

impl Tap {
    fn install(world: &mut World) -> Self {
        let tap = Self::default();
        let inner = tap.clone();
        world.filter = Box::new(move |hop: &Hop<'_>| {
            if hop.to_client {
                return true;
            }
            inner.seen.borrow_mut().push((hop.client, hop.bytes.to_vec()));
            let kind = demux::classify(hop.bytes);
            let lost = *inner.lose.borrow() == Some((hop.client, kind));
            if lost {
                // One only.
                *inner.lose.borrow_mut() = None;
            }
            !lost
        });
        tap
    }

    fn last(&self, client: usize, kind: DatagramKind) -> Vec<u8> {
        let seen = self.seen.borrow();
        let found = seen.iter().rev().find(|(from, bytes)| *from == client && demux::classify(bytes) == kind);
        found.expect("there was one").1.clone()
    }
}

/// A publisher and a viewer that plays; [`Playing::assert_undisturbed`] is the other session of every test here.
struct Playing {
    world: World,
    publisher: usize,
    viewer: usize,
}

fn playing() -> Playing {
    let mut world = World::new(2);
    let publisher = world.join(&Opening::publisher(0));
    let viewer = world.join(&Opening::viewer(1));
    world.clients[publisher].publisher().fragments = Some(4);
    world.run(300 * MS);
    Playing { world, publisher, viewer }
}

impl Playing {
    #[track_caller]
    fn assert_undisturbed(&mut self) {
        let before = self.world.clients[self.viewer].received(MediaKind::Video).len();
        self.world.run(500 * MS);
        let received = self.world.clients[self.viewer].received(MediaKind::Video);
        assert!(received.len() > before + 50, "the other session plays on");
        assert!(received.windows(2).all(|pair| pair[1].index == pair[0].index + 1), "without a hole");
        assert_eq!(self.world.clients[self.viewer].refused, 0);
        assert_eq!((self.world.ended(self.viewer), self.world.ended(self.publisher)), (None, None));
    }

    /// Everything worker 0 dropped or refused.
    fn drops(&mut self) -> u64 {
        self.world.report(0).dropped.values().sum()
    }
}

#[test]
fn a_wrong_fingerprint_ends_the_session_before_any_media() {
    for versions in [DtlsVersions::Only12, DtlsVersions::Only13] {
        let mut playing = playing();
        let world = &mut playing.world;
        let viewer = world.open(&Opening { wrong_fingerprint: true, versions, ..Opening::viewer(0) });
        let publisher = world.open(&Opening {
            wrong_fingerprint: true,
            versions,
            stream: corecast::worker::mailbox::StreamId(7),
            ..Opening::publisher(0)
        });
        for client in [viewer, publisher] {
            world.clients[client].keeps_datagrams = true;
        }
        world.run(3_000 * MS + limits::DTLS_DOUBT_MAX);
        for client in [viewer, publisher] {
            assert_eq!(world.ended(client), Some(EndReason::FingerprintMismatch), "{versions:?}");
            let kinds: Vec<_> =
                world.clients[client].datagrams.iter().map(|(_, bytes)| demux::classify(bytes)).collect();
            assert!(!kinds.is_empty() && !kinds.iter().any(|k| matches!(k, DatagramKind::Rtp | DatagramKind::Rtcp)));
            assert!(world.session(client).is_none());
        }
        assert_eq!(world.report(0).ended.get("fingerprint_mismatch"), Some(&2));
        playing.assert_undisturbed();
    }
}

#[test]
fn a_replayed_packet_is_counted_and_not_forwarded() {
    let mut playing = playing();
    let tap = Tap::install(&mut playing.world);
    playing.world.run(100 * MS);
    let address = playing.world.clients[playing.publisher].address;
    let stored = |playing: &mut Playing| -> u64 {
        playing.world.report(0).streams[0].encodings.iter().map(|encoding| encoding.stored.packets).sum()
    };
    let before = stored(&mut playing);
    for kind in [DatagramKind::Rtp, DatagramKind::Rtcp] {
        if kind == DatagramKind::Rtcp {
            let now = playing.world.now;
            playing.world.clients[playing.publisher].send_sender_reports(now);
            playing.world.run(5 * MS);
        }
        let bytes = tap.last(playing.publisher, kind);
        playing.world.run(2 * MS);
        let before = playing.world.dropped(0, "srtp_replayed");
        for _ in 0..3 {
            playing.world.inject(0, address, &bytes);
        }
        assert_eq!(playing.world.dropped(0, "srtp_replayed"), before + 3, "{kind:?}");
    }
    // What was stored in between is what was published in those nine milliseconds at most.
    assert!(stored(&mut playing) - before <= 6);
    playing.assert_undisturbed();
}

#[test]
fn a_forged_check_opens_no_path() {
    let mut playing = playing();
    let tap = Tap::install(&mut playing.world);
    playing.world.run(3_000 * MS);
    let genuine = tap.last(playing.publisher, DatagramKind::Stun);
    let username = StunMessage::parse(&genuine).unwrap().username().unwrap().to_vec();
    let other_worker = playing.world.clients[playing.viewer].peer.local_ice().ufrag.clone();
    let check = |username: &[u8], password: &str| {
        let mut out = [0; 256];
        let len = StunWriter::binding_request(&mut out, &[9; 12])
            .username(username)
            .priority(1)
            .ice_controlling(1)
            .use_candidate()
            .integrity(password.as_bytes())
            .fingerprint()
            .finish()
            .unwrap();
        out[..len].to_vec()
    };
    playing.world.take_trains(0);
    let wrong_worker = format!("ABnodeelsewhere:{other_worker}");
    let cases = [
        (check(&username, "not-the-password-at-all!"), "stun_integrity"),
        (check(b"AAnobodyknows:p", "not-the-password-at-all!"), "stun_unknown_user"),
        (check(wrong_worker.as_bytes(), "not-the-password-at-all!"), "stun_wrong_worker"),
    ];
    for (forged, reason) in cases {
        playing.world.inject(0, stranger(), &forged);
        assert_eq!(playing.world.dropped(0, reason), 1, "{reason}");
    }
    // A broken FINGERPRINT with everything else genuine.
    let mut broken = genuine.clone();
    *broken.last_mut().unwrap() ^= 1;
    playing.world.inject(0, stranger(), &broken);
    assert_eq!(playing.world.dropped(0, "stun_fingerprint"), 1);

    let media = tap.last(playing.publisher, DatagramKind::Rtp);
    playing.world.inject(0, stranger(), &media);
    playing.world.inject(0, stranger(), &[22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0]);
    assert_eq!(playing.world.dropped(0, "unknown_address"), 2, "DTLS and SRTP come from validated paths only");
    let answered = playing.world.take_trains(0).iter().any(|train| train.path.remote() == stranger());
    assert!(!answered, "a forger gets no reply");
    playing.assert_undisturbed();
}

#[test]
fn dtls_is_not_answered_before_a_valid_check() {
    let mut playing = playing();
    let tap = Tap::install(&mut playing.world);
    let joined = playing.world.join(&Opening::viewer(0));
    let hello = tap.seen.borrow().iter().find(|(from, bytes)| *from == joined && bytes[0] == 22).unwrap().1.clone();
    playing.world.take_trains(0);
    let before = playing.world.dropped(0, "unknown_address");
    playing.world.inject(0, stranger(), &hello);
    assert_eq!(playing.world.dropped(0, "unknown_address"), before + 1);
    assert!(!playing.world.take_trains(0).iter().any(|train| train.path.remote() == stranger()));
}

/// A ClientHello of DTLS 1.0 or 1.2 without extensions: no SRTP.
fn bare_hello(minor: u8, number: u8) -> Vec<u8> {
    let body = [&[0xfe, minor][..], &[number; 32], &[0, 0, 0, 2, 0xc0, 0x2b, 1, 0]].concat();
    let length = [0, 0, u8::try_from(body.len()).unwrap()];
    let message = [&[1][..], &length, &[0, 0, 0, 0, 0], &length, &body].concat();
    let record = [22, 0xfe, minor, 0, 0, 0, 0, 0, 0, 0, number, 0, u8::try_from(message.len()).unwrap()];
    [&record[..], &message].concat()
}

#[test]
fn a_refused_handshake_ends_its_session_by_name() {
    for (minor, reason) in [(0xfd, EndReason::DtlsNoProfile), (0xff, EndReason::DtlsNoVersion)] {
        let mut playing = playing();
        let world = &mut playing.world;
        let newcomer = world.clients.len();
        world.filter = Box::new(move |hop: &Hop<'_>| {
            hop.to_client || hop.client != newcomer || demux::classify(hop.bytes) != DatagramKind::Dtls
        });
        let viewer = world.open(&Opening::viewer(0));
        world.run(200 * MS);
        let address = world.clients[viewer].address;
        world.inject(0, address, &bare_hello(minor, 1));
        world.run(limits::DTLS_DOUBT_MAX - 500 * MS);
        assert_eq!(world.ended(viewer), None, "a better hello may come");
        world.run(1_000 * MS);
        assert_eq!(world.ended(viewer), Some(reason));
        assert_eq!(world.report(0).ended.get(reason.name()), Some(&1));
        playing.assert_undisturbed();
    }
}

#[test]
fn forged_hellos_and_alerts_at_a_join_keep_nobody_out() {
    let mut playing = playing();
    let world = &mut playing.world;
    let viewer = world.open(&Opening::viewer(0));
    let address = world.clients[viewer].address;
    for number in 0..40 {
        world.inject(0, address, &bare_hello(if number % 2 == 0 { 0xfd } else { 0xff }, number));
        world.inject(0, address, &[21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 1, number, 0, 2, 2, 40]);
        world.run(5 * MS);
    }
    world.run(limits::DTLS_DOUBT_MAX + 1_000 * MS);
    assert_eq!(world.ended(viewer), None);
    assert!(world.clients[viewer].received(MediaKind::Video).len() > 50, "it plays");
    playing.assert_undisturbed();
}

#[test]
fn every_truncation_of_every_kind_of_packet_is_refused_and_counted() {
    let mut playing = playing();
    let tap = Tap::install(&mut playing.world);
    playing.world.run(3_000 * MS);
    let address = playing.world.clients[playing.publisher].address;

    // Media: the packets themselves are lost, so that nothing but their length is wrong.
    for kind in [DatagramKind::Rtp, DatagramKind::Rtcp] {
        *tap.lose.borrow_mut() = Some((playing.publisher, kind));
        while tap.lose.borrow().is_some() {
            playing.world.run(MS);
        }
        // No other packet may follow before the whole one arrives below.
        let lost = tap.seen.borrow().clone();
        let lost = lost.iter().rev().find(|(from, bytes)| *from == playing.publisher && demux::classify(bytes) == kind);
        let whole = lost.unwrap().1.clone();
        let before = playing.drops();
        for len in 0..whole.len() {
            playing.world.inject(0, address, &whole[..len]);
        }
        assert_eq!(playing.drops() - before, whole.len() as u64, "{kind:?}");
        // Nor do single flipped bits pass.
        for bit in (0..whole.len() * 8).step_by(7) {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            playing.world.inject(0, address, &flipped);
        }
        assert_eq!(playing.drops() - before, (whole.len() + (whole.len() * 8).div_ceil(7)) as u64, "{kind:?}");
        let before = playing.drops();
        playing.world.inject(0, address, &whole);
        assert_eq!(playing.drops(), before, "the whole one is still good");
    }

    let check = tap.last(playing.publisher, DatagramKind::Stun);
    let before = playing.drops();
    for len in 0..check.len() {
        playing.world.inject(0, address, &check[..len]);
        playing.world.inject(0, stranger(), &check[..len]);
    }
    assert_eq!(playing.drops() - before, 2 * check.len() as u64, "STUN");
    playing.assert_undisturbed();
}

#[test]
fn every_truncation_of_a_handshake_is_refused_and_counted_and_the_handshake_succeeds() {
    for versions in [DtlsVersions::Only12, DtlsVersions::Only13] {
        let mut playing = playing();
        let tap = Tap::install(&mut playing.world);
        let world = &mut playing.world;
        let joining = world.open(&Opening { versions, ..Opening::viewer(0) });
        let address = world.clients[joining].address;
        let (mut done, mut datagrams) = (0, 0);
        for _ in 0..400 {
            world.run(MS);
            let seen: Vec<Vec<u8>> =
                tap.seen
                    .borrow()
                    .iter()
                    .skip(done)
                    .cloned()
                    .map(|(from, bytes)| {
                        if from == joining && demux::classify(&bytes) == DatagramKind::Dtls {
                            bytes
                        } else {
                            Vec::new()
                        }
                    })
                    .collect();
            done += seen.len();
            // They overtake the whole datagram, which is still on its way.
            for whole in seen.iter().filter(|bytes| !bytes.is_empty()) {
                datagrams += 1;
                let before: u64 = world.report(0).dropped.values().sum();
                // Cut between two records it is shorter, but nothing is truncated.
                let cuts: Vec<usize> =
                    (0..whole.len()).filter(|&len| !corecast::dtls::is_whole(&whole[..len])).collect();
                assert!(whole.len() - cuts.len() <= 4, "{versions:?}: {} of {}", cuts.len(), whole.len());
                for &len in &cuts {
                    world.inject(0, address, &whole[..len]);
                }
                let after: u64 = world.report(0).dropped.values().sum();
                assert_eq!(after - before, cuts.len() as u64, "{versions:?}, datagram {datagrams}");
            }
        }
        assert!(datagrams >= 2 && world.clients[joining].peer.is_connected(), "{versions:?}");
        assert!(!world.clients[joining].received(MediaKind::Video).is_empty());
        playing.assert_undisturbed();
    }
}

#[test]
fn what_a_viewer_sends_as_media_goes_nowhere() {
    let mut playing = playing();
    let viewer = playing.viewer;
    let client = &mut playing.world.clients[viewer];
    let packet = corecast::lab::peer::OutgoingRtp {
        ssrc: 5,
        index: 7,
        payload_type: 96,
        payload: &[1; 50],
        ..Default::default()
    };
    client.peer.send_rtp(&mut client.out, &packet).unwrap();
    playing.world.run(5 * MS);
    assert_eq!(playing.world.dropped(1, "media_from_viewer"), 1);
    playing.assert_undisturbed();
}
