//! Joining: a DTLS handshake of each version, and a whole join of one client without sockets and without HTTP (first
//! check, DTLS, keys on both sides), by CPU time. Client and node run in one thread, so each row holds both ends; the
//! node's share is about half. `cargo bench --bench joins`.

use std::time::{Duration, SystemTime};

use corecast::description::{DtlsRole, Fingerprint, FingerprintHash, IceCredentials};
use corecast::dtls::{DtlsIdentity, DtlsVersions};
use corecast::lab::peer::{ClientPeer, PeerConfig};
use corecast::session::{Session, SessionEvent};
use corecast::time::Timestamp;
use corecast::transport::{Arrival, PathId, TrainBatch};
use corecast::wire::demux;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

fn ice(name: &str) -> IceCredentials {
    IceCredentials { ufrag: name.to_owned(), password: format!("{name}-password-long-enough-for-ice") }
}

fn fingerprints(identity: &DtlsIdentity) -> Vec<Fingerprint> {
    vec![Fingerprint { hash: FingerprintHash::Sha256, value: identity.fingerprint_sha256().to_vec() }]
}

/// Every datagram of a batch, in order.
fn datagrams(batch: &mut TrainBatch) -> Vec<Vec<u8>> {
    let all = batch.trains().iter().flat_map(|train| {
        batch.bytes(train).chunks(usize::from(train.segment_size)).map(<[u8]>::to_vec).collect::<Vec<_>>()
    });
    let all = all.collect();
    batch.clear();
    all
}

/// Joins once; panics where it does not.
fn join(node: &DtlsIdentity, client: &DtlsIdentity, versions: DtlsVersions, seed: u64) {
    let mut now = Timestamp::from_millis(1_000);
    let from = Arrival { path: PathId::default(), remote: ([192, 0, 2, 1], 5_000).into() };
    let mut session = Session::new(ice("node"), ice("peer"), DtlsRole::Server, fingerprints(client), [1; 16], now);
    let config = PeerConfig {
        local_ice: ice("peer"),
        remote_ice: ice("node"),
        dtls_role: DtlsRole::Client,
        versions,
        remote_fingerprints: fingerprints(node),
        node: ([192, 0, 2, 2], 5_000).into(),
        seed,
    };
    let mut peer = ClientPeer::new(client, config, now);
    let (mut to_node, mut to_peer) = (TrainBatch::new(), TrainBatch::new());
    let mut connected = false;
    for _ in 0..20 {
        peer.handle_timeout(&mut to_node, now);
        for mut bytes in datagrams(&mut to_node) {
            let kind = demux::classify(&bytes);
            let _ = session.handle_datagram(node, kind, from, &mut bytes, &mut to_peer, now);
        }
        while let Some(event) = session.poll_event() {
            assert!(!matches!(event, SessionEvent::Failed(_)), "{event:?}");
            connected |= event == SessionEvent::Connected;
        }
        for mut bytes in datagrams(&mut to_peer) {
            let _ = peer.handle_datagram(&mut bytes, &mut to_node, now);
        }
        if connected && peer.is_connected() && to_node.is_empty() {
            return;
        }
        now = now + Duration::from_millis(1);
    }
    panic!("no connection after 20 exchanges");
}

fn benches(c: &mut Criterion) {
    let node = DtlsIdentity::generate(SystemTime::now()).expect("a certificate");
    let client = DtlsIdentity::generate(SystemTime::now()).expect("a certificate");
    let mut group = c.benchmark_group("joins/ICE, DTLS, keys, both ends");
    let mut seed = 0;
    for (name, versions) in [("DTLS 1.3", DtlsVersions::Any), ("DTLS 1.2", DtlsVersions::Only12)] {
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter(|| {
                seed += 1;
                join(&node, &client, versions, seed);
            });
        });
    }
    group.finish();
    c.bench_function("joins/a certificate (once per node)", |b| {
        b.iter(|| DtlsIdentity::generate(SystemTime::now()));
    });
}

criterion_group! {
    name = joins;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(1_500));
    targets = benches
}
criterion_main!(joins);
