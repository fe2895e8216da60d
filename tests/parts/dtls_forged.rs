//! Forged plaintext while a handshake runs. Whoever knows the peer's address can send such datagrams in its name, and
//! before there are keys nothing tells them from the peer's. At every step of an honest handshake one is put in, and the
//! handshake comes to its end all the same.
//!
//! What an end answers to a forged datagram goes to the peer, as everything does; how a peer bears answers to what it did
//! not ask is its own affair. So these answers are not delivered.

use std::cell::Cell;
use std::time::Duration;

use corecast::description::DtlsRole;
use corecast::dtls::{Dtls, DtlsError, DtlsEvent, DtlsState, DtlsVersions};
use corecast::limits;
use corecast::time::Timestamp;

use crate::dtls_support::*;

/// Longer than two retransmissions of a flight, and shorter than the end of a handshake.
const SOME_SECONDS: Duration = Duration::from_secs(6);

const HANDSHAKE: u8 = 22;
const ALERT: u8 = 21;

/// A plaintext record.
fn record(content_type: u8, number: u64, fragment: &[u8]) -> Vec<u8> {
    let length = u16::try_from(fragment.len()).unwrap().to_be_bytes();
    [&[content_type, 0xfe, 0xfd, 0, 0][..], &number.to_be_bytes()[2..], &length, fragment].concat()
}

/// Bytes `offset..offset + data.len()` of a handshake message of `length` bytes.
fn fragment(kind: u8, sequence: u16, length: usize, offset: usize, data: &[u8], number: u64) -> Vec<u8> {
    let u24 = |value: usize| u32::try_from(value).unwrap().to_be_bytes()[1..].to_vec();
    let sequence = sequence.to_be_bytes().to_vec();
    record(
        HANDSHAKE,
        number,
        &[vec![kind], u24(length), sequence, u24(offset), u24(data.len()), data.to_vec()].concat(),
    )
}

fn message(kind: u8, sequence: u16, body: &[u8], number: u64) -> Vec<u8> {
    fragment(kind, sequence, body.len(), 0, body, number)
}

/// What an association with nobody at the other end sends first.
fn first_flight(dtls: &mut Dtls) -> Vec<Vec<u8>> {
    let (mut out, mut datagrams) = ([0; 1_500], Vec::new());
    while let Some(event) = dtls.poll(&mut out) {
        let DtlsEvent::Datagram(len) = event else { panic!("{event:?}") };
        datagrams.push(out[..len].to_vec());
    }
    datagrams
}

/// A stranger's ClientHello.
fn hello_of_another(versions: DtlsVersions) -> Vec<u8> {
    let (client, server) = (identity(), identity());
    let mut dtls = Dtls::new_client(&client, versions, fingerprints_of(&server), Timestamp::from_millis(1_000));
    first_flight(&mut dtls).concat()
}

/// A ClientHello of this version, without extensions.
fn bare_hello(version: [u8; 2], number: u64) -> Vec<u8> {
    let body = [&version[..], &[9; 32], &[0, 0, 0, 2, 0xc0, 0x2b, 1, 0]].concat();
    message(1, 0, &body, number)
}

/// Datagrams in a client's name, by what they are.
fn forged_by_a_client() -> Vec<(&'static str, Vec<u8>)> {
    let certificate = [&[0, 1, 3, 0, 1, 0][..], &[0x30; 256]].concat();
    let exchange = [&[32][..], &[7; 32]].concat();
    let proof = [&[4, 3, 0, 72][..], &[0x30; 72]].concat();
    let mut forged = vec![
        ("a stranger's hello of 1.2", hello_of_another(DtlsVersions::Only12)),
        ("a stranger's hello of 1.3", hello_of_another(DtlsVersions::Only13)),
        ("a hello that offers both", hello_of_another(DtlsVersions::Any)),
        ("a hello without SRTP", bare_hello([0xfe, 0xfd], 3)),
        ("a hello of DTLS 1.0", bare_hello([0xfe, 0xff], 3)),
        ("a hello that is none", message(1, 0, &[0; 60], 3)),
        ("a second hello that is none", message(1, 1, &[0; 60], 3)),
        ("a piece of a hello", fragment(1, 0, 300, 100, &[3; 50], 0)),
        ("the first byte of a long hello", fragment(1, 0, 8_000, 0, &[3], 0)),
        ("a certificate", message(11, 2, &certificate, 2)),
        ("no certificate", message(11, 2, &[0, 0, 0], 2)),
        ("a certificate that is too long", fragment(11, 2, 12_000, 0, &[3; 600], 2)),
        ("a piece of a certificate", fragment(11, 2, 300, 20, &[3; 50], 2)),
        ("a key exchange", message(16, 3, &exchange, 3)),
        ("a proof", message(15, 4, &proof, 4)),
        ("a proof that is too long", message(15, 4, &[1; 5_000], 4)),
        (
            "a whole flight",
            [message(11, 2, &certificate, 2), message(16, 3, &exchange, 3), message(15, 4, &proof, 4)].concat(),
        ),
        ("ServerHelloDone", message(14, 2, &[], 2)),
        ("a fatal alert", record(ALERT, 9, &[2, 40])),
        ("a close alert", record(ALERT, 9, &[1, 0])),
        ("ChangeCipherSpec", record(20, 9, &[1])),
        ("application data in plaintext", record(23, 9, &[1; 40])),
    ];
    for content_type in [20, 21, 22, 23] {
        let mut protected = record(content_type, 0, &[5; 48]);
        protected[4] = 1;
        forged.push(("a protected record of 1.2", protected));
    }
    forged.push(("a protected record of 1.3", [&[0x2e, 0, 1, 0, 40][..], &[5; 40]].concat()));
    forged
}

/// What a server answers to a stranger.
fn answer_to_another(versions: DtlsVersions) -> Vec<u8> {
    let (client, server) = (identity(), identity());
    let mut pair = Pair::new(&client, versions, &server, faithful());
    pair.run(Duration::from_secs(1));
    let plain = |sent: &&Sent| sent.from == End::Server && sent.bytes[0] == HANDSHAKE;
    pair.log.iter().filter(plain).flat_map(|sent| sent.bytes.clone()).collect()
}

/// Datagrams in a server's name, by what they are.
fn forged_by_a_server() -> Vec<(&'static str, Vec<u8>)> {
    let certificate = [&[0, 1, 3, 0, 1, 0][..], &[0x30; 256]].concat();
    let exchange = [&[3, 0, 29, 32][..], &[7; 32], &[4, 3, 0, 72], &[0x30; 72]].concat();
    let hello = [&[0xfe, 0xfd][..], &[7; 32], &[0, 0xc0, 0x2b, 0]].concat();
    vec![
        ("a cookie", message(3, 0, &[0xfe, 0xff, 4, 1, 2, 3, 4], 0)),
        ("a cookie that is none", message(3, 0, &[0xfe, 0xff, 40, 1, 2], 0)),
        ("a hello", message(2, 0, &hello, 1)),
        ("a hello after a cookie", message(2, 1, &hello, 1)),
        ("a certificate", message(11, 2, &certificate, 2)),
        ("a certificate that is too long", fragment(11, 2, 12_000, 0, &[3; 600], 2)),
        ("a key exchange", message(12, 3, &exchange, 3)),
        ("a request for a certificate", message(13, 4, &[1, 64, 0, 2, 4, 3, 0, 0], 3)),
        ("ServerHelloDone", message(14, 5, &[], 3)),
        ("another server's flight of 1.2", answer_to_another(DtlsVersions::Only12)),
        ("another server's flight of 1.3", answer_to_another(DtlsVersions::Only13)),
        ("a fatal alert", record(ALERT, 9, &[2, 40])),
        ("a close alert", record(ALERT, 9, &[1, 0])),
        ("ChangeCipherSpec", record(20, 9, &[1])),
        ("a protected record", {
            let mut protected = record(HANDSHAKE, 0, &[5; 48]);
            protected[4] = 1;
            protected
        }),
    ]
}

/// Takes what an end has to say after a forged datagram, and delivers it nowhere.
fn discard(dtls: &mut Dtls, what: &str) {
    let mut out = [0; 1_500];
    while let Some(event) = dtls.poll(&mut out) {
        assert!(matches!(event, DtlsEvent::Datagram(_)), "{what}: {event:?}");
    }
}

/// Steps of a handshake without disturbance: arrivals and timers.
fn steps_of(versions: DtlsVersions) -> usize {
    let mut pair = Pair::new(&identity(), versions, &identity(), faithful());
    let until = pair.now + Duration::from_secs(1);
    let mut steps = 0;
    while (pair.client_reports.keys.is_none() || pair.server_reports.keys.is_none()) && pair.step(until) {
        steps += 1;
    }
    pair.assert_connected("undisturbed");
    steps
}

#[test]
fn no_forged_datagram_keeps_a_server_from_its_client() {
    let (client, server) = (identity(), identity());
    for versions in [DtlsVersions::Only12, DtlsVersions::Only13, DtlsVersions::Any] {
        let steps = steps_of(versions);
        assert!(steps >= 3, "{steps}");
        for (name, forged) in forged_by_a_client() {
            for at in 0..steps {
                let what = format!("{versions:?}: {name} before step {at} of {steps}");
                let mut pair = Pair::new(&client, versions, &server, faithful());
                for _ in 0..at {
                    pair.step(pair.now + Duration::from_secs(1));
                }
                pair.server.handle_datagram(&forged, pair.now);
                discard(&mut pair.server, &what);
                pair.run(SOME_SECONDS);
                pair.assert_connected(&what);
                assert_eq!(pair.server.state(), DtlsState::Connected, "{what}");
            }
        }
    }
}

#[test]
fn all_forged_datagrams_at_every_step_keep_no_server_from_its_client() {
    let (client, server) = (identity(), identity());
    for versions in [DtlsVersions::Only12, DtlsVersions::Any] {
        let forged = forged_by_a_client();
        let mut pair = Pair::new(&client, versions, &server, faithful());
        let until = pair.now + SOME_SECONDS;
        while pair.server_reports.keys.is_none() {
            for (name, forged) in &forged {
                pair.server.handle_datagram(forged, pair.now);
                discard(&mut pair.server, name);
            }
            assert!(pair.step(until), "{versions:?}: {:?}", pair.server);
        }
        pair.run(Duration::from_secs(1));
        pair.assert_connected(&format!("{versions:?}"));
    }
}

#[test]
fn strangers_hellos_without_end_do_not_take_the_place_of_the_clients_own() {
    for versions in [DtlsVersions::Only12, DtlsVersions::Only13] {
        let (client, server) = (identity(), identity());
        let mut pair = Pair::new(&client, versions, &server, faithful());
        // The client's hello is there, and its answer under way.
        pair.step(pair.now + Duration::from_secs(1));
        for _ in 0..20 {
            pair.now = pair.now + limits::DTLS_ATTEMPT_INTERVAL_MIN;
            pair.server.handle_datagram(&hello_of_another(versions), pair.now);
            discard(&mut pair.server, "a stranger's hello");
        }
        pair.run(SOME_SECONDS);
        pair.assert_connected(&format!("{versions:?}"));
    }
}

#[test]
fn a_hello_with_another_cookie_asks_for_the_right_one_again() {
    let (client, server) = (identity(), identity());
    let mut pair = Pair::new(&client, DtlsVersions::Only12, &server, faithful());
    pair.step(pair.now + Duration::from_secs(1));
    // The client's own hello, with a cookie that an observer has made up: version, random, an empty session, the cookie.
    let hello = pair.log[0].bytes.clone();
    let body = &hello[13 + 12..];
    let cookie_at = 2 + 32 + 1 + usize::from(body[34]);
    assert_eq!(body[cookie_at], 0, "no cookie yet");
    let forged = [&body[..cookie_at], &[20][..], &[1; 20], &body[cookie_at + 1..]].concat();
    pair.server.handle_datagram(&message(1, 1, &forged, 77), pair.now);
    discard(&mut pair.server, "a made-up cookie");
    pair.run(SOME_SECONDS);
    pair.assert_connected("a made-up cookie");
}

#[test]
fn no_forged_datagram_keeps_the_node_as_a_client_from_its_server() {
    let (client, server) = (identity(), identity());
    let mut undisturbed = Pair::of_nodes(&client, &server, faithful());
    let mut steps = 0;
    while undisturbed.client_reports.keys.is_none() {
        assert!(undisturbed.step(undisturbed.now + Duration::from_secs(1)));
        steps += 1;
    }
    undisturbed.run(Duration::from_secs(1));
    undisturbed.assert_connected("undisturbed");
    for (name, forged) in forged_by_a_server() {
        for at in 0..steps {
            let what = format!("{name} before step {at} of {steps}");
            let mut pair = Pair::of_nodes(&client, &server, faithful());
            for _ in 0..at {
                pair.step(pair.now + Duration::from_secs(1));
            }
            // What it answers does go to the server, which has to bear it as well.
            pair.client.handle_datagram(&forged, pair.now);
            pair.drain();
            pair.run(SOME_SECONDS);
            pair.assert_connected(&what);
        }
    }
}

#[test]
fn the_node_as_a_client_makes_good_any_single_lost_datagram() {
    let (a, b) = (identity(), identity());
    for lost in [
        None,
        Some((End::Client, 0)),
        Some((End::Client, 1)),
        Some((End::Client, 2)),
        Some((End::Server, 0)),
        Some((End::Server, 1)),
        Some((End::Server, 2)),
    ] {
        let network: Network<'_> = Box::new(move |sent| match lost {
            Some(lost) if lost == (sent.from, sent.number) => Vec::new(),
            _ => vec![(LATENCY, sent.bytes.clone())],
        });
        let mut pair = Pair::of_nodes(&a, &b, network);
        pair.run(Duration::from_secs(5));
        pair.assert_connected(&format!("{lost:?}"));
        assert_eq!(pair.client.version(), Some("1.2"));
    }
}

#[test]
fn a_clients_own_hello_is_no_second_one_unless_it_was_asked_for() {
    let (client, server) = (identity(), identity());
    let mut pair = Pair::new(&client, DtlsVersions::Only13, &server, faithful());
    for step in 0..3 {
        // What an observer sends: the client's hello, with the number of a second one.
        for (number, sent) in pair.log.clone().iter().filter(|sent| sent.from == End::Client).enumerate() {
            if let [HANDSHAKE, _, _, _, _, _, _, _, _, _, _, _, _, 1, ..] = sent.bytes[..] {
                let mut forged = sent.bytes.clone();
                forged[10] = 40 + number as u8;
                forged[13 + 5] = 1;
                pair.server.handle_datagram(&forged, pair.now);
                discard(&mut pair.server, "an observed hello");
            }
        }
        assert!(pair.step(pair.now + Duration::from_secs(1)), "step {step}");
    }
    pair.run(SOME_SECONDS);
    pair.assert_connected("an observed hello");
}

#[test]
fn a_fatal_alert_ends_a_handshake_only_when_nothing_follows_it() {
    for followed in [false, true] {
        let server = identity();
        let mut now = Timestamp::from_millis(1_000);
        let mut dtls = Dtls::new(&server, DtlsRole::Server, fingerprints_of(&identity()), now);
        dtls.handle_datagram(&hello_of_another(DtlsVersions::Only13), now);
        discard(&mut dtls, "a hello");
        dtls.handle_datagram(&record(ALERT, 9, &[2, 40]), now);
        if followed {
            now = now + Duration::from_millis(500);
            dtls.handle_datagram(&hello_of_another(DtlsVersions::Only13), now);
            discard(&mut dtls, "a hello after the alert");
        }
        let (mut out, mut failed) = ([0; 1_500], None);
        while let Some(at) = dtls.next_deadline().filter(|&at| at < Timestamp::from_millis(6_000)) {
            dtls.handle_timeout(at);
            while let Some(event) = dtls.poll(&mut out) {
                if let DtlsEvent::Failed(error) = event {
                    failed = Some(error);
                }
            }
        }
        assert_eq!(failed, (!followed).then_some(DtlsError::PeerAlert(40)));
    }
}

#[test]
fn handshakes_begun_in_a_peers_name_are_bounded_and_end() {
    let (client, server) = (identity(), identity());
    let mut dtls = Dtls::new(&server, DtlsRole::Server, fingerprints_of(&client), Timestamp::from_millis(1_000));
    let mut now = Timestamp::from_millis(1_000);
    let mut answered = 0;
    for number in 0..200 {
        let versions = if number % 2 == 0 { DtlsVersions::Only12 } else { DtlsVersions::Only13 };
        dtls.handle_datagram(&hello_of_another(versions), now);
        answered += usize::from(!first_flight(&mut dtls).is_empty());
        now = now + Duration::from_millis(1);
    }
    // Four at once, and then one in 50 ms.
    assert!((4..=8).contains(&answered), "{answered} of 200 hellos within 200 ms were answered");
    let mut failed = false;
    while let Some(at) = dtls.next_deadline() {
        now = now.max(at);
        dtls.handle_timeout(now);
        let mut out = [0; 1_500];
        while let Some(event) = dtls.poll(&mut out) {
            failed |= matches!(event, DtlsEvent::Failed(_));
        }
    }
    assert!(failed && dtls.state() == DtlsState::Failed);
}

/// A check that was sent again from a stranger's address leads his handshake to the session, and he completes it.
#[test]
fn a_strangers_whole_handshake_ends_nothing() {
    for versions in [DtlsVersions::Only12, DtlsVersions::Only13] {
        let (client, stranger, server) = (identity(), identity(), identity());
        let promised = fingerprints_of(&client);
        let mut pair = Pair::expecting(&stranger, versions, fingerprints_of(&server), &server, promised, faithful());
        pair.run(Duration::from_secs(1));
        assert_eq!(pair.server_reports.failed, None, "{versions:?}");
        pair.client = Dtls::new_client(&client, versions, fingerprints_of(&server), pair.now);
        pair.client_reports = Default::default();
        pair.drain();
        pair.run(SOME_SECONDS);
        pair.assert_connected(&format!("{versions:?}"));
    }
}

/// The same, and he closes before his certificate is there: with DTLS 1.3 he has the keys to do so.
#[test]
fn a_strangers_close_before_his_certificate_ends_nothing() {
    for comes in [true, false] {
        let (client, stranger, server) = (identity(), identity(), identity());
        let (versions, promised) = (DtlsVersions::Only13, fingerprints_of(&client));
        // What is longer than a close alert carries his certificate.
        let is_lossy = Cell::new(true);
        let network: Network<'_> = Box::new(|sent| match sent.from {
            End::Client if is_lossy.get() && sent.number > 0 && sent.bytes.len() > 40 => vec![],
            _ => vec![(LATENCY, sent.bytes.clone())],
        });
        let mut pair = Pair::expecting(&stranger, versions, fingerprints_of(&server), &server, promised, network);
        pair.run(Duration::from_millis(500));
        assert!(pair.client_reports.keys.is_some() && pair.server_reports.keys.is_none());
        pair.client.close(pair.now);
        pair.drain();
        pair.run(Duration::from_millis(500));
        assert!(!pair.server_reports.closed && pair.server_reports.failed.is_none(), "{:?}", pair.server_reports);
        is_lossy.set(false);
        if comes {
            pair.client = Dtls::new_client(&client, versions, fingerprints_of(&server), pair.now);
            pair.client_reports = Default::default();
            pair.drain();
            pair.run(SOME_SECONDS);
            pair.assert_connected("behind a stranger's close");
        } else {
            pair.run(limits::DTLS_DOUBT_MAX);
            assert!(pair.server_reports.closed && pair.server_reports.failed.is_none(), "{:?}", pair.server_reports);
        }
    }
}
