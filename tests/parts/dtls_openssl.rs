//! OpenSSL as a judge from outside: its DTLS client against our server, and its server against our client, over a
//! loopback socket, with RSA and ECDSA certificates and each SRTP profile, and the keying material that both ends export
//! (RFC 5764 §4.2) compared.
//!
//! Needs the `openssl` program; without it the tests fail.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::dtls_judge::*;
use corecast::description::{DtlsRole, Fingerprint, FingerprintHash};
use corecast::dtls::DtlsError;
use corecast::srtp::SrtpProfile;

/// OpenSSL as the client.
fn run(directory: &Path, expected: Vec<Fingerprint>, arguments: &[&str], export_len: usize, closes: Closes) -> Outcome {
    Judgement { closes, ..Judgement::new(directory, DtlsRole::Server, expected) }.openssl(arguments, export_len)
}

/// OpenSSL as the server.
fn run_server(directory: &Path, expected: Vec<Fingerprint>, arguments: &[&str], export_len: usize) -> Outcome {
    Judgement::new(directory, DtlsRole::Client, expected).openssl(arguments, export_len)
}

#[test]
fn rsa_and_ecdsa_certificates_and_each_profile_export_the_same_keys() {
    use SrtpProfile::*;
    let any_order = format!("{CM_SHA1}:{GCM_256}:{GCM_128}");
    let brief = format!("{GCM_128}:{CM_SHA1}");
    let without_128 = format!("{CM_SHA1}:{GCM_256}");
    let hashes = [FingerprintHash::Sha256, FingerprintHash::Sha384, FingerprintHash::Sha512];
    let cases = [
        ("rsa-2048", brief.as_str(), AeadAes128Gcm, GCM_128),
        ("rsa-2048", CM_SHA1, AesCm128HmacSha1_80, CM_SHA1), // as GStreamer's
        ("rsa-2048", any_order.as_str(), AeadAes128Gcm, GCM_128),
        ("rsa-4096", without_128.as_str(), AeadAes256Gcm, GCM_256),
        ("p-256", any_order.as_str(), AeadAes128Gcm, GCM_128),
        ("p-256", without_128.as_str(), AeadAes256Gcm, GCM_256),
        ("p-256", CM_SHA1, AesCm128HmacSha1_80, CM_SHA1),
        ("p-384", brief.as_str(), AeadAes128Gcm, GCM_128),
        ("p-521", brief.as_str(), AeadAes128Gcm, GCM_128),
    ];
    for ((kind, offer, profile, name), hash) in cases.into_iter().zip(hashes.into_iter().cycle()) {
        let directory = tempfile::tempdir().unwrap();
        make_certificate(kind, directory.path());
        let expected = vec![fingerprint(hash, directory.path())];
        let arguments = ["-use_srtp", offer, "-cert", "cert.pem", "-key", "key.pem"];
        let len = profile.exported_len();
        let outcome = run(directory.path(), expected, &arguments, len, Closes::TheProgram);
        assert_same_keys(&outcome, profile, name);
        assert!(outcome.closed, "{kind}: OpenSSL's close alert");
    }
}

#[test]
fn the_node_is_the_client_of_servers_with_each_kind_of_certificate() {
    use SrtpProfile::*;
    let cases = [
        ("rsa-2048", CM_SHA1, AesCm128HmacSha1_80),
        ("rsa-4096", GCM_128, AeadAes128Gcm),
        ("p-256", GCM_256, AeadAes256Gcm),
        ("p-256", GCM_128, AeadAes128Gcm),
        ("p-384", GCM_128, AeadAes128Gcm),
    ];
    for (kind, name, profile) in cases {
        let directory = tempfile::tempdir().unwrap();
        make_certificate(kind, directory.path());
        let expected = vec![fingerprint(FingerprintHash::Sha256, directory.path())];
        let arguments = ["-use_srtp", name, "-cert", "cert.pem", "-key", "key.pem", "-Verify", "1"];
        let outcome = run_server(directory.path(), expected, &arguments, profile.exported_len());
        assert_same_keys(&outcome, profile, name);
        assert!(outcome.keys.is_some_and(|keys| keys.is_client()), "{kind}");
    }
}

#[test]
fn the_node_as_a_client_refuses_a_server_by_name_and_alert() {
    let usual = ["-use_srtp", GCM_128, "-cert", "cert.pem", "-key", "key.pem", "-Verify", "1"];
    let cases = [
        // Our hello names the library's groups, and a server's key must be of one of them (RFC 8422 §5.1.1).
        ("p-224", true, usual.to_vec(), DtlsError::PeerAlert(40), "no shared cipher"),
        ("p-521", true, usual.to_vec(), DtlsError::PeerAlert(40), "no shared cipher"),
        ("p-256", false, usual.to_vec(), DtlsError::FingerprintMismatch, "alert bad certificate"),
        ("rsa-2048", false, usual.to_vec(), DtlsError::FingerprintMismatch, "alert bad certificate"),
        ("p-256", true, usual[2..].to_vec(), DtlsError::NoCommonProfile, "alert handshake failure"),
    ];
    let judge = |(kind, promised, arguments, error, alert): (&str, bool, Vec<&str>, DtlsError, &str)| {
        let directory = tempfile::tempdir().unwrap();
        make_certificate(kind, directory.path());
        let mut expected = vec![fingerprint(FingerprintHash::Sha256, directory.path())];
        expected[0].value[31] ^= u8::from(!promised);
        let outcome = run_server(directory.path(), expected, &arguments, 56);
        let says = &outcome.says;
        assert_eq!(outcome.failed, Some(error), "{kind}: {says}");
        assert!(says.contains(alert), "{kind}: {says}");
        assert_eq!(outcome.keys, None);
    };
    std::thread::scope(|scope| cases.into_iter().for_each(|case| drop(scope.spawn(move || judge(case)))));
}

#[test]
fn a_flight_in_small_fragments_is_put_together() {
    let directory = tempfile::tempdir().unwrap();
    make_certificate("rsa-2048", directory.path());
    let expected = vec![fingerprint(FingerprintHash::Sha256, directory.path())];
    let arguments = ["-use_srtp", GCM_128, "-cert", "cert.pem", "-key", "key.pem", "-mtu", "256"];
    let outcome = run(directory.path(), expected, &arguments, 56, Closes::TheProgram);
    assert_same_keys(&outcome, SrtpProfile::AeadAes128Gcm, GCM_128);
    assert!(outcome.datagrams_in > 6, "{} datagrams: not fragmented", outcome.datagrams_in);
}

#[test]
fn openssl_understands_our_close_alert() {
    let directory = tempfile::tempdir().unwrap();
    make_certificate("p-256", directory.path());
    let expected = vec![fingerprint(FingerprintHash::Sha256, directory.path())];
    let arguments = ["-use_srtp", GCM_128, "-cert", "cert.pem", "-key", "key.pem"];
    let started = Instant::now();
    let outcome = run(directory.path(), expected, &arguments, 56, Closes::We);
    assert_same_keys(&outcome, SrtpProfile::AeadAes128Gcm, GCM_128);
    assert!(outcome.says.contains("\nclosed"), "{}", outcome.says);
    assert!(started.elapsed() < Duration::from_secs(20), "the client ended by itself");
}

#[test]
fn another_certificate_than_promised_or_none_gives_no_keys() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for kind in ["rsa-2048", "p-256"] {
        make_certificate(kind, one.path());
        make_certificate(kind, other.path());
        let expected = vec![fingerprint(FingerprintHash::Sha256, other.path())];
        let arguments = ["-use_srtp", GCM_128, "-cert", "cert.pem", "-key", "key.pem"];
        let outcome = run(one.path(), expected, &arguments, 56, Closes::TheProgram);
        assert_eq!(outcome.failed, Some(DtlsError::FingerprintMismatch), "{kind}: {}", outcome.says);
        assert_eq!(outcome.keys, None);
        assert!(outcome.says.contains("alert bad certificate"), "{}", outcome.says);

        let expected = vec![fingerprint(FingerprintHash::Sha256, one.path())];
        let outcome = run(one.path(), expected, &["-use_srtp", GCM_128], 56, Closes::TheProgram);
        assert_eq!(outcome.failed, Some(DtlsError::NoCertificate), "{kind}: {}", outcome.says);
        assert_eq!(outcome.keys, None);
    }
}

#[test]
fn a_refused_client_is_told_by_an_alert_and_the_operator_by_a_name() {
    // What the client brings, the certificate that its SDP promised, why it is refused, and how OpenSSL calls the alert.
    let usual = ["-use_srtp", GCM_128, "-cert", "cert.pem", "-key", "key.pem"];
    let with = |more: &[&'static str]| [&usual[..], more].concat();
    let certificate = &usual[2..];
    let sha1_32 = [&["-use_srtp", "SRTP_AES128_CM_SHA1_32"][..], certificate].concat();
    let cases = [
        ("only SHA1_32", "p-256", sha1_32, DtlsError::NoCommonProfile, "alert handshake failure"),
        ("no use_srtp", "p-256", certificate.to_vec(), DtlsError::NoCommonProfile, "alert handshake failure"),
        ("P-224", "p-224", with(&[]), DtlsError::UnsupportedCertificate, "alert unsupported certificate"),
        ("12 kB", "12 kB", with(&[]), DtlsError::MessageTooLong, "alert illegal parameter"),
        ("no certificate", "p-256", usual[..2].to_vec(), DtlsError::NoCertificate, "alert handshake failure"),
        (
            "DTLS 1.0",
            "p-256",
            with(&["-dtls1", "-cipher", "ALL:@SECLEVEL=0"]),
            DtlsError::NoCommonVersion,
            "alert protocol version",
        ),
        (
            "CBC suites",
            "p-256",
            with(&["-cipher", "ECDHE-ECDSA-AES128-SHA"]),
            DtlsError::NoCommonParameters,
            "alert insufficient security",
        ),
        (
            "suites for an RSA server",
            "rsa-2048",
            with(&["-cipher", "ECDHE-RSA-AES128-GCM-SHA256"]),
            DtlsError::NoCommonParameters,
            "alert insufficient security",
        ),
        (
            "P-521 groups",
            "p-256",
            with(&["-groups", "P-521"]),
            DtlsError::NoCommonParameters,
            "alert handshake failure",
        ),
    ];
    let judge = |(name, kind, arguments, error, alert): (&str, &str, Vec<&str>, DtlsError, &str)| {
        let directory = tempfile::tempdir().unwrap();
        make_certificate(kind, directory.path());
        let expected = vec![fingerprint(FingerprintHash::Sha256, directory.path())];
        let outcome = run(directory.path(), expected, &arguments, 56, Closes::TheProgram);
        let says = &outcome.says;
        assert_eq!(outcome.failed, Some(error), "{name}: {says}");
        assert!(says.contains(alert), "{name}: {says}");
        assert_eq!(outcome.keys, None);
    };
    // Each waits for some seconds.
    std::thread::scope(|scope| cases.into_iter().for_each(|case| drop(scope.spawn(move || judge(case)))));
}
