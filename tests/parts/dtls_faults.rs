//! OpenSSL and GnuTLS over a network with faults, in both roles, and what they do that WebRTC does not: small datagrams,
//! renegotiation, certificates of each kind. In every case both ends have the same keys afterwards, or the refusal has
//! its name and its alert.
//!
//! Not run, and why:
//! - BoringSSL's BoGo cases. Their runner can be had (Debian's source package android-platform-external-boringssl), but
//!   next to none of its handshakes carries `use_srtp` and a client's certificate, and the node refuses all others;
//! - DTLS 1.3, which neither program has: browsers judge it (`tests/browser`);
//! - sequences of messages that no correct peer sends, which `dtls_forged` writes by hand;
//! - resumption, tickets, PSK, early data: the node never offers them.
//!
//! Needs the programs `openssl` and `gnutls-cli`; without them the tests fail.

use crate::dtls_judge::*;
use corecast::description::{DtlsRole, FingerprintHash};
use corecast::dtls::DtlsError;
use corecast::srtp::SrtpProfile::{AeadAes128Gcm, AesCm128HmacSha1_80};

/// How GnuTLS calls the profile that it has.
const GNUTLS_CM_SHA1: &str = "SRTP_AES128_CM_HMAC_SHA1_80";

const OPENSSL: [&str; 6] = ["-use_srtp", GCM_128, "-cert", "cert.pem", "-key", "key.pem"];
const GNUTLS: [&str; 6] = ["--x509certfile", "cert.pem", "--x509keyfile", "key.pem", "--srtp-profiles", GNUTLS_CM_SHA1];

type Faults = (String, Box<dyn Fn(bool, usize) -> Fate + Send + Sync>);

/// Each of the first datagrams of either end lost, late or twice, and all of them late or twice.
fn faults() -> Vec<Faults> {
    let mut faults: Vec<Faults> = Vec::new();
    for is_ours in [false, true] {
        let whose = if is_ours { "our" } else { "their" };
        for (at, fate) in [(0, Fate::IsLost), (1, Fate::IsLost), (2, Fate::IsLost), (1, Fate::ArrivesLate)] {
            let one = move |ours, number| if (ours, number) == (is_ours, at) { fate } else { Fate::Arrives };
            faults.push((format!("{whose} datagram {at}: {fate:?}"), Box::new(one)));
        }
    }
    for fate in [Fate::ArrivesTwice, Fate::ArrivesLate] {
        faults.push((format!("all: {fate:?}"), Box::new(move |_, _| fate)));
    }
    // Not every third: a flight of three would lose the same one each time.
    let some = |_, at| if [2, 5, 6, 11, 13, 18].contains(&at) { Fate::IsLost } else { Fate::Arrives };
    faults.push(("six lost".to_owned(), Box::new(some)));
    faults
}

/// Runs all of them at once: each waits for the timers of the other end.
fn in_threads<T: Send>(cases: Vec<T>, judge: impl Fn(T) + Copy + Send) {
    std::thread::scope(|scope| cases.into_iter().for_each(|case| drop(scope.spawn(move || judge(case)))));
}

#[test]
fn openssl_connects_through_loss_reordering_and_duplicates_in_both_roles() {
    for role in [DtlsRole::Server, DtlsRole::Client] {
        in_threads(faults(), |(name, fate)| {
            let directory = tempfile::tempdir().unwrap();
            make_certificate("p-256", directory.path());
            let expected = vec![fingerprint(FingerprintHash::Sha256, directory.path())];
            // Messages in pieces, so that there is something to reorder.
            let more: &[&str] =
                if role == DtlsRole::Client { &["-Verify", "1", "-mtu", "400"] } else { &["-mtu", "400"] };
            let judgement = Judgement { fate: &*fate, ..Judgement::new(directory.path(), role, expected) };
            let outcome = judgement.openssl(&[&OPENSSL, more].concat(), 56);
            assert!(outcome.failed.is_none(), "{role:?}, {name}: {:?}", outcome.failed);
            assert_same_keys(&outcome, AeadAes128Gcm, GCM_128);
        });
    }
}

#[test]
fn gnutls_connects_through_loss_reordering_and_duplicates() {
    in_threads(faults(), |(name, fate)| {
        let directory = tempfile::tempdir().unwrap();
        make_certificate("p-256", directory.path());
        let expected = vec![fingerprint(FingerprintHash::Sha256, directory.path())];
        let judgement = Judgement { fate: &*fate, ..Judgement::new(directory.path(), DtlsRole::Server, expected) };
        let outcome = judgement.gnutls(&[&GNUTLS, &["--mtu", "400"][..]].concat(), 60);
        assert!(outcome.failed.is_none(), "{name}: {:?}", outcome.failed);
        assert_same_keys(&outcome, AesCm128HmacSha1_80, GNUTLS_CM_SHA1);
    });
}

#[test]
fn gnutls_connects_with_each_kind_of_certificate_but_p_224() {
    in_threads(vec!["rsa-2048", "rsa-4096", "p-256", "p-384", "p-521"], |kind| {
        let directory = tempfile::tempdir().unwrap();
        make_certificate(kind, directory.path());
        let expected = vec![fingerprint(FingerprintHash::Sha256, directory.path())];
        let outcome = Judgement::new(directory.path(), DtlsRole::Server, expected).gnutls(&GNUTLS, 60);
        assert!(outcome.failed.is_none(), "{kind}: {:?}: {}", outcome.failed, outcome.says);
        assert_same_keys(&outcome, AesCm128HmacSha1_80, GNUTLS_CM_SHA1);
    });
}

#[test]
fn gnutls_is_told_why_it_is_refused() {
    // FFmpeg with GnuTLS brings P-224.
    let p_224 = [&GNUTLS[..], &["--priority", "NORMAL:+CURVE-ALL:+SIGN-ALL"]].concat();
    let dtls_1_0 = [&GNUTLS[..], &["--priority", "LEGACY:-VERS-ALL:+VERS-DTLS1.0"]].concat();
    let cases = vec![
        ("p-224", p_224, DtlsError::UnsupportedCertificate, "alert"),
        ("p-256", GNUTLS[..4].to_vec(), DtlsError::NoCommonProfile, "handshake failed"),
        ("p-256", GNUTLS[4..].to_vec(), DtlsError::NoCertificate, "alert"),
        ("p-256", dtls_1_0, DtlsError::NoCommonVersion, "alert"),
    ];
    in_threads(cases, |(kind, arguments, error, says)| {
        let directory = tempfile::tempdir().unwrap();
        make_certificate(kind, directory.path());
        let expected = vec![fingerprint(FingerprintHash::Sha256, directory.path())];
        let outcome = Judgement::new(directory.path(), DtlsRole::Server, expected).gnutls(&arguments, 60);
        assert_eq!(outcome.failed, Some(error), "{}", outcome.says);
        assert!(outcome.says.to_lowercase().contains(says), "{error:?}: {}", outcome.says);
    });
}

#[test]
fn openssl_connects_with_the_smallest_datagrams_and_the_longest_flights() {
    let cases = ["256", "512", "1200"].into_iter().flat_map(|mtu| [("rsa-4096", mtu), ("p-384", mtu)]);
    in_threads(cases.collect(), |(kind, mtu)| {
        let directory = tempfile::tempdir().unwrap();
        make_certificate(kind, directory.path());
        let expected = vec![fingerprint(FingerprintHash::Sha256, directory.path())];
        for role in [DtlsRole::Server, DtlsRole::Client] {
            let more: &[&str] = if role == DtlsRole::Client { &["-Verify", "1", "-mtu", mtu] } else { &["-mtu", mtu] };
            let outcome =
                Judgement::new(directory.path(), role, expected.clone()).openssl(&[&OPENSSL, more].concat(), 56);
            assert_same_keys(&outcome, AeadAes128Gcm, GCM_128);
        }
    });
}

#[test]
fn renegotiation_gives_no_new_keys() {
    let directory = tempfile::tempdir().unwrap();
    make_certificate("p-256", directory.path());
    let expected = vec![fingerprint(FingerprintHash::Sha256, directory.path())];
    let judgement = Judgement { input: "R\n", ..Judgement::new(directory.path(), DtlsRole::Server, expected) };
    // `run` fails when keys come twice.
    let outcome = judgement.openssl(&OPENSSL, 56);
    assert!(outcome.says.contains("RENEGOTIATING"), "{}", outcome.says);
    assert_same_keys(&outcome, AeadAes128Gcm, GCM_128);
    assert!(outcome.failed.is_none(), "{:?}", outcome.failed);
}
