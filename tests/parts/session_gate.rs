//! The session's own gate: nothing but STUN is taken from a path that no authentic check came from, also where the worker
//! would have let it through.

use std::time::SystemTime;

use corecast::description::{DtlsRole, IceCredentials};
use corecast::dtls::{Dtls, DtlsEvent, DtlsIdentity, DtlsVersions};
use corecast::lab::peer::checks::Checks;
use corecast::limits;
use corecast::session::{Inbound, Rejected, Session};
use corecast::time::Timestamp;
use corecast::transport::{Arrival, PathId, TrainBatch};
use corecast::wire::demux::classify;

fn credentials(name: &str) -> IceCredentials {
    IceCredentials { ufrag: format!("{name}ufrag"), password: format!("{name}-password-of-24-letters") }
}

#[test]
fn dtls_and_media_are_taken_from_validated_paths_only() {
    let now = Timestamp::from_millis(1_000);
    let identity = DtlsIdentity::generate(SystemTime::now()).unwrap();
    let mut session =
        Session::new(credentials("node"), credentials("peer"), DtlsRole::Server, Vec::new(), [1; 16], now);
    let mut out = TrainBatch::new();
    let [own, other] =
        [1, 2].map(|number| Arrival { path: PathId::numbered(number), remote: ([192, 0, 2, 1], number).into() });
    let mut client = Dtls::new_client(&identity, DtlsVersions::Only12, Vec::new(), now);
    let mut hello = vec![0; limits::DTLS_DATAGRAM_OUT_BYTES_MAX];
    let Some(DtlsEvent::Datagram(len)) = client.poll(&mut hello) else { panic!("a client begins with a hello") };
    hello.truncate(len);
    let (rtp, rtcp) = ([[0x80, 96].as_slice(), &[0; 60]].concat(), [[0x80, 200].as_slice(), &[0; 60]].concat());
    let mut take = |session: &mut Session, from: Arrival, bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        out.clear();
        let kind = classify(&bytes);
        let taken = session.handle_datagram(&identity, kind, from, &mut bytes, &mut out, now);
        (taken, out.trains().len())
    };
    for bytes in [&hello, &rtp, &rtcp] {
        assert_eq!(take(&mut session, own, bytes), (Err(Rejected::PathNotValidated), 0));
    }
    let mut checks = Checks::new(credentials("peer"), credentials("node"), 1, now);
    let mut check = [0; limits::STUN_REPLY_BYTES_MAX];
    let len = checks.poll(&mut check, now).unwrap();
    assert_eq!(take(&mut session, own, &check[..len]), (Ok(Inbound::Handled), 1));
    // One path is validated; the other still is not.
    for bytes in [&hello, &rtp, &rtcp] {
        assert_eq!(take(&mut session, other, bytes), (Err(Rejected::PathNotValidated), 0));
    }
    let (taken, answers) = take(&mut session, own, &hello);
    assert!(taken == Ok(Inbound::Handled) && answers > 0, "the hello is answered where it may be");
    assert_eq!(take(&mut session, own, &rtp), (Err(Rejected::NoKeys), 0));
}
