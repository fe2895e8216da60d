//! Our client against our server in virtual time: versions, profiles, and what networks do to datagrams.

mod dtls_support;

use std::time::Duration;

use corecast::dtls::{DtlsError, DtlsState, DtlsVersions, ProtectionProfile};
use corecast::limits::{DTLS_HANDSHAKE_MAX, DTLS_RETRANSMIT_FIRST};
use dtls_support::*;

const VERSIONS: [(DtlsVersions, &str); 3] =
    [(DtlsVersions::Only12, "1.2"), (DtlsVersions::Only13, "1.3"), (DtlsVersions::Any, "1.3")];

#[test]
fn each_version_connects_with_the_same_keys_on_both_ends() {
    let (a, b) = (identity(), identity());
    for (versions, name) in VERSIONS {
        let mut pair = Pair::new(&a, versions, &b, faithful());
        pair.run(Duration::from_secs(1));
        pair.assert_connected(name);
        assert_eq!((pair.client.version(), pair.server.version()), (Some(name), Some(name)), "{versions:?}");
        assert_eq!((pair.client.state(), pair.server.state()), (DtlsState::Connected, DtlsState::Connected));
    }
}
