//! DTLS associations under hostile datagrams, both roles. *Before*: anything at all to an association that waits or
//! shakes hands, where nobody holds the keys. *Between*: a real handshake whose datagrams are damaged, cut, repeated,
//! reordered or lost on the way. *Forged*: a real handshake that nothing happens to but a few datagrams of somebody
//! else, who knows the addresses; it comes to its end. *After*: the same as before to a connected pair. An association connects only to the peer whose
//! certificate it was told of, with the keys that the peer has.

use std::sync::OnceLock;
use std::time::Duration;

use corecast::description::{DtlsRole, Fingerprint};
use corecast::dtls::{Dtls, DtlsEvent, DtlsIdentity, DtlsVersions};
use corecast::limits;
use corecast::time::Timestamp;

use super::dtls_support::{End, Pair, Reports, faithful, fingerprints_of, identity};
use super::script::{Script, ScriptWriter};
use super::{Seed, memory};

const STEPS_MAX: usize = 64;

/// What an association may hold whatever comes: reassembly ([`limits::DTLS_REASSEMBLY_BYTES_MAX`]), records that wait ([`limits::DTLS_INBOX_MAX`] times
/// a datagram), the engine and its library's own queues.
const HELD_BYTES_MAX: isize = 256 * 1024;

/// The bit of the first byte that chooses the forger; the first bit is then the end that is forged to.
const FORGED: u8 = 0x80;

/// Datagrams that are forged: as many handshakes as one session may have under way, less the peer's own.
const FORGERIES_MAX: usize = limits::DTLS_ATTEMPTS_MAX - 1;

const VERSIONS: [DtlsVersions; 3] = [DtlsVersions::Any, DtlsVersions::Only12, DtlsVersions::Only13];

struct Identities {
    server: DtlsIdentity,
    client: DtlsIdentity,
}

fn identities() -> &'static Identities {
    static IDENTITIES: OnceLock<Identities> = OnceLock::new();
    IDENTITIES.get_or_init(|| Identities { server: identity(), client: identity() })
}

pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let mode = script.byte();
    let versions = VERSIONS[usize::from(mode >> 2) % VERSIONS.len()];
    if mode & FORGED != 0 {
        return forged(versions, mode & 1 != 0, script);
    }
    match mode % 4 {
        0 => before(server_of(identities()), script),
        1 => {
            let expected = fingerprints_of(&identities().server);
            let now = Timestamp::from_millis(1_000);
            before(Dtls::new_client(&identities().client, versions, expected, now), script);
        }
        2 => between(versions, script),
        _ => after(versions, script),
    }
}

fn server_of(identities: &Identities) -> Dtls {
    let expected = fingerprints_of(&identities.client);
    Dtls::new(&identities.server, DtlsRole::Server, expected, Timestamp::from_millis(1_000))
}

fn before(mut dtls: Dtls, mut script: Script<'_>) {
    let before = memory::held_bytes();
    let mut now = Timestamp::from_millis(1_000);
    let mut failed = 0;
    for _ in 0..STEPS_MAX {
        if script.is_over() {
            break;
        }
        match script.byte() % 8 {
            7 => {
                now = now + Duration::from_millis(u64::from(script.u16() % 4_096));
                dtls.handle_timeout(now);
            }
            6 => {
                assert!(!dtls.shrink(now), "nothing is connected");
            }
            _ => dtls.handle_datagram(script.chunk(), now),
        }
        let (connected, failures) = drain(&mut dtls);
        assert!(!connected, "connected to nobody");
        failed += failures;
        assert!(failed <= 1, "failed twice");
        let held = memory::held_bytes() - before;
        assert!(held < HELD_BYTES_MAX, "{held} bytes held");
    }
    dtls.close(now);
    drain(&mut dtls);
}

/// Polls until nothing is left; whether it connected and how often it failed.
fn drain(dtls: &mut Dtls) -> (bool, u32) {
    let mut out = [0; limits::DTLS_DATAGRAM_OUT_BYTES_MAX];
    let (mut connected, mut failed) = (false, 0);
    for count in 0.. {
        assert!(count < 1_000, "it never ends");
        match dtls.poll(&mut out) {
            None => break,
            Some(DtlsEvent::Datagram(len)) => assert!(len <= out.len()),
            Some(DtlsEvent::Connected(_)) => connected = true,
            Some(DtlsEvent::Failed(_)) => failed += 1,
            Some(DtlsEvent::ApplicationData(_) | DtlsEvent::Closed) => {}
        }
    }
    (connected, failed)
}

/// Both ends, the script for the network; one byte of it is the fate of one datagram.
fn between(versions: DtlsVersions, mut script: Script<'_>) {
    let Identities { server, client } = identities();
    let wrong = script.byte() % 8;
    let mut expected = (fingerprints_of(server), fingerprints_of(client));
    for (bit, fingerprints) in [(1, &mut expected.0), (2, &mut expected.1)] {
        if wrong == bit {
            fingerprints.iter_mut().for_each(|Fingerprint { value, .. }| value[31] ^= 1);
        }
    }
    let network = Box::new(move |sent: &super::dtls_support::Sent| {
        let mut copies = vec![(Duration::from_millis(10), sent.bytes.clone())];
        match script.byte() % 16 {
            1 => copies.clear(),
            2 => copies.push((Duration::from_millis(u64::from(script.byte())), sent.bytes.clone())),
            3 => copies[0].0 = Duration::from_millis(u64::from(script.u16() % 2_000)),
            4 => {
                let at = usize::from(script.u16()) % sent.bytes.len();
                copies[0].1[at] ^= script.byte();
            }
            5 => copies[0].1.truncate(usize::from(script.u16()) % sent.bytes.len()),
            6 => copies.push((Duration::from_millis(10), script.chunk().to_vec())),
            7 => copies[0].1.extend_from_slice(script.chunk()),
            _ => {}
        }
        copies
    });
    let mut pair = Pair::expecting(client, versions, expected.0, server, expected.1, network);
    pair.run(Duration::from_secs(30));
    check(&pair.client_reports, &pair.server_reports);
    assert!(wrong != 1 || pair.client_reports.keys.is_none(), "the server is somebody else");
    assert!(wrong != 2 || pair.server_reports.keys.is_none(), "the client is somebody else");
    close(&mut pair);
}

/// A handshake without faults beside a forger. `to_client`: to the node as a client, and what it answers goes to its
/// server. Otherwise to the server, whose answers to a stranger the client is spared: it is the other library's, which
/// takes them for its own.
fn forged(versions: DtlsVersions, to_client: bool, mut script: Script<'_>) {
    let Identities { server, client } = identities();
    let mut pair = match to_client {
        true => Pair::of_nodes(client, server, faithful()),
        false => Pair::new(client, versions, server, faithful()),
    };
    let until = pair.now + Duration::from_secs(1);
    for _ in 0..FORGERIES_MAX {
        for _ in 0..script.byte() % 8 {
            pair.step(until);
        }
        let bytes = script.chunk();
        if to_client {
            pair.client.handle_datagram(bytes, pair.now);
            pair.drain();
        } else if pair.server_reports.keys.is_none() {
            pair.server.handle_datagram(bytes, pair.now);
            assert!(!drain(&mut pair.server).0, "connected to a forger");
        }
    }
    pair.run(limits::DTLS_DOUBT_MAX * 2);
    pair.assert_connected("beside a forger");
}

/// A connected pair; the script's datagrams to either end.
fn after(versions: DtlsVersions, mut script: Script<'_>) {
    let Identities { server, client } = identities();
    let mut pair = Pair::new(client, versions, server, faithful());
    pair.run(Duration::from_secs(1));
    pair.assert_connected("an undisturbed handshake");
    let before = memory::held_bytes();
    for _ in 0..STEPS_MAX {
        if script.is_over() {
            break;
        }
        let step = script.byte();
        let to = if step & 1 == 0 { End::Server } else { End::Client };
        match step >> 1 & 7 {
            0 => {
                pair.server.shrink(pair.now);
            }
            1 => pair.run(Duration::from_millis(u64::from(script.u16() % 4_096))),
            2 => {
                // A datagram of the handshake once more, damaged.
                let which = usize::from(script.byte()) % pair.log.len();
                let (at, bits) = (usize::from(script.u16()), script.byte());
                let mut bytes = pair.log[which].bytes.clone();
                let at = at % bytes.len();
                bytes[at] ^= bits;
                pair.deliver_at(pair.now, to, bytes);
            }
            _ => pair.deliver_at(pair.now, to, script.chunk().to_vec()),
        }
        // The log of what was sent grows too: it is the test's own, and short.
        pair.run(Duration::from_millis(1));
        let own: usize = pair.log.iter().map(|sent| sent.bytes.len() + 128).sum();
        let held = memory::held_bytes() - before - 2 * own as isize;
        assert!(held < 2 * HELD_BYTES_MAX, "{held} bytes held");
    }
    check(&pair.client_reports, &pair.server_reports);
    close(&mut pair);
}

fn check(client: &Reports, server: &Reports) {
    if let (Some(client), Some(server)) = (&client.keys, &server.keys) {
        assert_eq!((client.profile(), client.material()), (server.profile(), server.material()));
        assert!(client.is_client() && !server.is_client());
    }
}

fn close(pair: &mut Pair<'_>) {
    pair.client.close(pair.now);
    pair.server.close(pair.now);
    pair.drain();
    pair.run(Duration::from_secs(60));
}

pub fn seeds() -> Vec<Seed> {
    let Identities { server, client } = identities();
    let mut seeds = Vec::new();
    for (number, name) in [(0, "any"), (1, "1.2"), (2, "1.3")] {
        let mut pair = Pair::new(client, VERSIONS[usize::from(number)], server, faithful());
        pair.run(Duration::from_secs(1));
        pair.assert_connected(name);
        for (role, from, what) in [(0, End::Client, "client"), (1, End::Server, "server")] {
            let mut script = ScriptWriter::default().byte(number << 2 | role);
            for sent in pair.log.iter().filter(|sent| sent.from == from) {
                script = script.byte(0).chunk(&sent.bytes);
            }
            seeds.push((format!("{what}-flights-{name}"), script.byte(7).u16(500).done()));
        }
        let fates = [0, 0, 0, 1, 0, 0, 2, 20, 0, 3, 50, 1, 4, 9, 0, 1, 5, 40, 0];
        let script = ScriptWriter::default().byte(number << 2 | 2);
        let lossy = fates.iter().fold(script.clone().byte(0), |script, &fate| script.byte(fate));
        seeds.push((format!("lossy-{name}"), lossy.done()));
        let flights = pair.log.iter().filter(|sent| sent.bytes.len() < 1_000).take(FORGERIES_MAX);
        for (bit, what) in [(0, "server"), (1, "client")] {
            let script = ScriptWriter::default().byte(FORGED | number << 2 | bit);
            let script = flights.clone().fold(script, |script, sent| script.byte(1).chunk(&sent.bytes));
            seeds.push((format!("forged-to-the-{what}-{name}"), script.done()));
        }
        seeds.push((format!("stranger-{name}"), script.byte(1 + number % 2).done()));
        let hello = pair.log[0].bytes.clone();
        let script = ScriptWriter::default().byte(number << 2 | 3).byte(6).chunk(&hello);
        let script = script.byte(4).byte(1).u16(20).byte(7).byte(5).byte(3).u16(0).byte(0);
        seeds.push((format!("after-{name}"), script.byte(2).u16(3_000).byte(0).byte(6).chunk(&[23; 40]).done()));
    }
    seeds
}
