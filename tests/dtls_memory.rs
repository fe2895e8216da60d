//! Bytes that one association keeps, by a counting allocator: the Rust heap, without the few kilobytes that aws-lc takes
//! from the C heap (about 3 kB with DTLS 1.3). One test in the file, so that nothing else allocates meanwhile.

#[path = "support/counting.rs"]
mod counting;
mod dtls_support;

use std::time::Duration;

use corecast::description::DtlsRole;
use corecast::dtls::{Dtls, DtlsVersions};
use corecast::time::Timestamp;
use counting::allocated;
use dtls_support::*;

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

#[test]
fn an_association_keeps_little_before_and_after_its_handshake() {
    let (a, b) = (identity(), identity());
    // The libraries' tables that are made once.
    for versions in [DtlsVersions::Only12, DtlsVersions::Only13] {
        let mut pair = Pair::new(&a, versions, &b, faithful());
        pair.run(Duration::from_secs(1));
        pair.assert_connected("warm");
    }
    const COUNT: usize = 20;
    let before = allocated();
    let fingerprints = fingerprints_of(&a);
    let waiting: Vec<_> =
        (0..COUNT).map(|_| Dtls::new(&b, DtlsRole::Server, fingerprints.clone(), Timestamp::ZERO)).collect();
    let waiting_bytes = (allocated() - before) / COUNT as isize;
    drop(waiting);
    println!("waiting server: {waiting_bytes} bytes");
    assert!(waiting_bytes < 512, "{waiting_bytes}");

    for (versions, bound) in [(DtlsVersions::Only13, 16 * 1024), (DtlsVersions::Only12, 13 * 1024)] {
        let mut servers = Vec::with_capacity(COUNT);
        let before = allocated();
        for _ in 0..COUNT {
            let mut pair = Pair::new(&a, versions, &b, faithful());
            pair.run(Duration::from_secs(5));
            pair.assert_connected("measured");
            servers.push(std::mem::replace(&mut pair.server, Dtls::new(&b, DtlsRole::Server, vec![], pair.now)));
        }
        let bytes = (allocated() - before) / COUNT as isize;
        println!("connected server, {versions:?}: {bytes} bytes");
        assert!(bytes < bound, "{versions:?}: {bytes} bytes");
    }
}
