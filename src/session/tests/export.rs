//! Sessions that are exported and imported in mid-stream: no index is sealed twice, nothing heard is taken again.

use super::*;

/// Records every packet that any process seals and checks that under one key an (SSRC, index) belongs to one sequence
/// of bytes (RFC 7714 §8.1). An epoch number stands for its key, because a session has one sender for each epoch.
#[derive(Default)]
struct SealedOnce {
    seen: HashMap<(EpochNumber, DatagramKind, u32, u64), Vec<u8>>,
}

impl SealedOnce {
    /// `rtp_index` is the index that was passed to the sender.
    fn observe(&mut self, epoch: EpochNumber, rtp_index: u64, sealed: &[u8]) -> Result<(), String> {
        let kind = classify(sealed);
        let (ssrc, index) = match kind {
            DatagramKind::Rtp => (&sealed[8..12], rtp_index),
            // With GCM the word of E flag and index comes last (RFC 7714 §9.2).
            DatagramKind::Rtcp => {
                let word = u32::from_be_bytes(*sealed.last_chunk().unwrap());
                (&sealed[4..8], u64::from(word & 0x7fff_ffff))
            }
            other => panic!("{other:?} is not sealed"),
        };
        let ssrc = u32::from_be_bytes(ssrc.try_into().unwrap());
        let before = self.seen.entry((epoch, kind, ssrc, index)).or_insert_with(|| sealed.to_vec());
        if before == sealed { Ok(()) } else { Err(format!("{epoch:?}, SSRC {ssrc:#x}, index {index}: sealed twice")) }
    }
}

/// The relay's state for a viewer: the next index. It is moved with the session, by value.
struct Relay {
    next: u64,
}

impl Relay {
    /// Seals a packet with unique contents under the current epoch, and a report after every few.
    fn send(&mut self, pair: &mut Pair, checker: &mut SealedOnce) -> Result<(), String> {
        let number = pair.session.epoch().number();
        let unique = pair.unique();
        let packet = seal_payload(pair.session.egress().unwrap().0, 0x40de, self.next, &unique);
        pair.session.note_sealed(1);
        checker.observe(number, self.next, &packet)?;
        let epoch = number.0 as usize;
        assert!(pair.client_opens(epoch, &packet), "{number:?}, index {}", self.next);
        self.next += 1;
        if self.next.is_multiple_of(3) {
            let unique = pair.unique();
            pair.session.send_rtcp(&mut pair.out, |slot| {
                slot.get_mut(..16)?.copy_from_slice(&[0x80, 200, 0, 3, 0, 0, 0x40, 0xde, 0, 0, 0, 0, 0, 0, 0, 0]);
                slot.get_mut(8..16)?.copy_from_slice(&unique);
                Some(16)
            });
            let report = pair.sent().pop().unwrap();
            checker.observe(number, 0, &report)?;
            assert!(pair.epochs[epoch].keys.as_mut().unwrap().1.open_rtcp(&mut report.clone()).is_ok());
        }
        Ok(())
    }
}

impl Pair {
    fn unique(&mut self) -> [u8; 8] {
        self.unique += 1;
        self.unique.to_be_bytes()
    }

    /// Exports the session from one process.
    pub(super) fn exported(&mut self) -> StateBytes {
        while let Some(event) = self.session.poll_event() {
            self.events.push(event);
        }
        let credentials = (credentials("gone"), credentials("gone"));
        let gone = Session::new(credentials.0, credentials.1, DtlsRole::Server, Vec::new(), [1; 16], self.now);
        let session = std::mem::replace(&mut self.session, gone);
        session.export(self.now, &mut |out, path| address(path).export(out)).unwrap()
    }

    /// Imports it in another process, whose clock differs.
    pub(super) fn import(&mut self, bytes: &[u8]) {
        self.now = self.now + Duration::from_secs(100_000);
        self.session = import(bytes, self.now).unwrap();
    }
}

pub(super) fn import(bytes: &[u8], now: Timestamp) -> Result<Session, ImportError> {
    Session::import(StateBytes::from(bytes.to_vec()), now, &mut |from| {
        let imported = PathAddress::import(from)?;
        let known = [FIRST, SECOND].into_iter().find(|path| address(*path) == imported);
        known.ok_or(ImportError::Malformed)
    })
}

#[test]
fn a_session_moves_in_mid_stream_and_no_index_is_sealed_twice() {
    for versions in [DtlsVersions::Only12, DtlsVersions::Only13] {
        let mut pair = Pair::connected(versions);
        let (mut relay, mut checker) = (Relay { next: 65_530 }, SealedOnce::default());
        let mut heard = Vec::new();
        for step in 0..400 {
            relay.send(&mut pair, &mut checker).unwrap();
            let packet = pair.packet_under(0, 30_000 + step);
            assert_eq!(pair.session_opens(&packet), Ok(()), "{step}");
            heard.push(packet);
            if step % 100 == 99 {
                let bytes = pair.exported();
                pair.import(bytes.as_slice());
                // Packets that the other process accepted are recognised as replays here.
                for packet in heard.iter().rev().take(50) {
                    assert_eq!(pair.session_opens(packet), Err(Rejected::Srtp(SrtpError::Replayed)));
                }
            }
        }
        assert_eq!(pair.session.epoch().opened_packets(), 400);
        assert_eq!(pair.session.epoch().sealed_packets(), 400 + 133);
        assert_eq!(checker.seen.len(), 400 + 133);
        assert_eq!(pair.session.dtls_version().is_some_and(|v| v == "1.2"), versions == DtlsVersions::Only12);
        // Datagrams, time limits and the close work as before.
        assert_eq!(pair.session.egress().unwrap().1, pair.path);
        assert!(pair.session.silent_at() > pair.now);
        pair.session.close(&mut pair.out, pair.now);
        pair.run();
        assert!(pair.epochs[0].closed, "the close alert was taken along");
    }
}

#[test]
fn a_session_moves_with_two_epochs_alive() {
    let mut pair = Pair::with_next([DtlsVersions::Only13, DtlsVersions::Only12]);
    let (mut relay, mut checker) = (Relay { next: 1 }, SealedOnce::default());
    relay.send(&mut pair, &mut checker).unwrap();
    assert_eq!(pair.session_opens(&pair.packet_under(1, 3)), Ok(()));
    // Before the switch, and after it.
    let bytes = pair.exported();
    refuses_damage(&bytes, |bytes| import(bytes, pair.now));
    pair.import(bytes.as_slice());
    relay.send(&mut pair, &mut checker).unwrap();
    pair.session.switch_epoch(Duration::from_secs(3), pair.now).unwrap();
    relay.send(&mut pair, &mut checker).unwrap();
    pair.later(Duration::from_secs(1));
    let bytes = pair.exported();
    refuses_damage(&bytes, |bytes| import(bytes, pair.now));
    pair.import(bytes.as_slice());
    relay.send(&mut pair, &mut checker).unwrap();
    assert_eq!(pair.session_opens(&pair.packet_under(0, 9)), Ok(()), "the overlap goes on");
    assert_eq!(pair.session_opens(&pair.packet_under(1, 3)), Err(Rejected::Srtp(SrtpError::Replayed)));
    pair.later(Duration::from_secs(2));
    assert!(pair.session.other_epoch().is_none(), "and ends two seconds later");
    assert_eq!(pair.session_opens(&pair.packet_under(0, 10)), Err(Rejected::Srtp(SrtpError::Authentication)));
    relay.send(&mut pair, &mut checker).unwrap();
}

#[test]
fn the_checker_detects_a_session_that_continues_in_two_processes() {
    // A broken hand-over: the bytes are kept and imported twice, so that both processes continue from the same index.
    let mut pair = Pair::connected(DtlsVersions::Only13);
    let (mut relay, mut checker) = (Relay { next: 1 }, SealedOnce::default());
    relay.send(&mut pair, &mut checker).unwrap();
    let (kept, stale) = (pair.exported().as_slice().to_vec(), relay.next);
    pair.import(&kept);
    // One RTP packet each, and a report at the third index.
    relay.send(&mut pair, &mut checker).unwrap();
    pair.import(&kept);
    let packet = seal_payload(pair.session.egress().unwrap().0, 0x40de, stale, b"something else");
    assert!(checker.observe(EpochNumber(0), stale, &packet).is_err(), "the same RTP index with other bytes");
    // The session itself counts SRTCP indexes.
    let write = |slot: &mut [u8]| {
        slot.get_mut(..8)?.copy_from_slice(&[0x80, 201, 0, 1, 0, 0, 0x40, 0xde]);
        Some(8)
    };
    pair.session.send_rtcp(&mut pair.out, write).unwrap();
    let report = pair.sent().pop().unwrap();
    assert!(checker.observe(EpochNumber(0), 0, &report).is_err(), "the same SRTCP index with other bytes");
}

#[test]
fn a_session_that_cannot_be_exported_is_returned_and_continues() {
    let export = |pair: &mut Pair| {
        let gone = Session::new(credentials("a"), credentials("b"), DtlsRole::Server, Vec::new(), [1; 16], pair.now);
        let session = std::mem::replace(&mut pair.session, gone);
        let refused = session.export(pair.now, &mut |out, path| address(path).export(out)).unwrap_err();
        pair.session = refused.session;
        refused.reason
    };
    let mut pair = Pair::connected(DtlsVersions::Only13);
    pair.begin_epoch().unwrap();
    assert_eq!(export(&mut pair), ExportRefused::Handshaking);
    pair.session.end_other_epoch(&mut pair.out, pair.now);
    assert_eq!(export(&mut pair), ExportRefused::EventsWaiting);
    pair.run();
    assert_eq!(pair.session_opens(&pair.packet_under(0, 1)), Ok(()), "it goes on");
    pair.session.close(&mut pair.out, pair.now);
    assert_eq!(export(&mut pair), ExportRefused::NotConnected);
}
