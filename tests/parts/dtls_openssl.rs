//! OpenSSL as a judge from outside: its DTLS client against our server, and its server against our client, over a
//! loopback socket, with RSA and ECDSA certificates and each SRTP profile, and the keying material both ends export (RFC 5764 §4.2) compared.
//!
//! Needs the `openssl` program; without it the tests fail.

use std::io::{Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::dtls_support::identity;
use corecast::description::{DtlsRole, Fingerprint, FingerprintHash};
use corecast::dtls::{Dtls, DtlsError, DtlsEvent, DtlsState, ExportedKeys};
use corecast::srtp::SrtpProfile;
use corecast::time::Timestamp;

const GCM_128: &str = "SRTP_AEAD_AES_128_GCM";
const GCM_256: &str = "SRTP_AEAD_AES_256_GCM";
const CM_SHA1: &str = "SRTP_AES128_CM_SHA1_80";

fn openssl(arguments: &[&str], directory: &Path) -> String {
    let output = Command::new("openssl").args(arguments).current_dir(directory).output();
    let output = output.expect("the tests need the openssl program");
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// A certificate in `cert.pem` and its key in `key.pem`.
fn make_certificate(kind: &str, directory: &Path) {
    let key: &[&str] = match kind {
        "rsa-2048" => &["rsa:2048"],
        "rsa-4096" => &["rsa:4096"],
        "p-224" => &["ec", "-pkeyopt", "ec_paramgen_curve:P-224"],
        "p-256" | "12 kB" => &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
        "p-384" => &["ec", "-pkeyopt", "ec_paramgen_curve:P-384"],
        "p-521" => &["ec", "-pkeyopt", "ec_paramgen_curve:P-521"],
        "ed25519" => &["ed25519"],
        other => panic!("{other}"),
    };
    let mut arguments = vec!["req", "-x509", "-nodes", "-subj", "/CN=peer", "-days", "2"];
    arguments.extend(["-keyout", "key.pem", "-out", "cert.pem", "-newkey"]);
    arguments.extend(key);
    let names: Vec<_> = (0..220).map(|number| format!("DNS:{number:050}.example")).collect();
    let names = format!("subjectAltName={}", names.join(","));
    if kind == "12 kB" {
        arguments.extend(["-addext", &names]);
    }
    openssl(&arguments, directory);
}

fn fingerprint(hash: FingerprintHash, directory: &Path) -> Fingerprint {
    let name = match hash {
        FingerprintHash::Sha256 => "-sha256",
        FingerprintHash::Sha384 => "-sha384",
        FingerprintHash::Sha512 => "-sha512",
    };
    let text = openssl(&["x509", "-in", "cert.pem", "-noout", "-fingerprint", name], directory);
    let hex = text.trim().split_once('=').expect("name=value").1;
    Fingerprint { hash, value: hex.split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect() }
}

/// What came of one association with OpenSSL as the client.
#[derive(Default)]
struct Outcome {
    keys: Option<ExportedKeys>,
    version: Option<&'static str>,
    failed: Option<DtlsError>,
    closed: bool,
    datagrams_in: usize,
    openssl_says: String,
}

/// Ends the client even when the test panics.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Who ends the association once both ends have their keys.
#[derive(Clone, Copy, PartialEq)]
enum Closes {
    Client,
    Server,
}

/// OpenSSL as the client, and what came of it.
fn run(directory: &Path, expected: Vec<Fingerprint>, arguments: &[&str], export_len: usize, closes: Closes) -> Outcome {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let len = export_len.to_string();
    let version = if arguments.contains(&"-dtls1") { "-dtls1" } else { "-dtls1_2" };
    let arguments: Vec<_> = [&["s_client", version, "-connect", &address, "-keymatexportlen", &len][..], arguments]
        .concat()
        .into_iter()
        .enumerate()
        .filter(|&(at, argument)| at < 2 || argument != "-dtls1")
        .map(|(_, argument)| argument)
        .collect();
    drive(directory, &arguments, socket, None, (DtlsRole::Server, expected), closes)
}

/// OpenSSL as the server, and what came of it.
fn run_server(directory: &Path, expected: Vec<Fingerprint>, arguments: &[&str], export_len: usize) -> Outcome {
    // A port that is free now.
    let theirs = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (address, len) = (theirs.to_string(), export_len.to_string());
    let arguments = [&["s_server", "-dtls1_2", "-accept", &address, "-keymatexportlen", &len][..], arguments].concat();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    drive(directory, &arguments, socket, Some(theirs), (DtlsRole::Client, expected), Closes::Server)
}

/// Runs OpenSSL with `arguments` and our end beside it, until both have ended.
fn drive(
    directory: &Path,
    arguments: &[&str],
    socket: UdpSocket,
    mut peer: Option<SocketAddr>,
    (role, expected): (DtlsRole, Vec<Fingerprint>),
    closes: Closes,
) -> Outcome {
    socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    let mut child = Running(
        Command::new("openssl")
            .args(arguments)
            .args(["-keymatexport", "EXTRACTOR-dtls_srtp"])
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the tests need the openssl program"),
    );
    let mut stdin = child.0.stdin.take();
    let text = texts_of(&mut child.0);
    let start = Instant::now();
    let now = || Timestamp::from_nanos(u64::try_from(start.elapsed().as_nanos()).unwrap());
    let mut dtls = Dtls::new(&identity(), role, expected, now());
    let mut outcome = Outcome::default();
    let mut failed_at: Option<Instant> = None;
    let mut buffer = [0; 2_048];
    while start.elapsed() < Duration::from_secs(25) {
        while let Ok(piece) = text.try_recv() {
            outcome.openssl_says.push_str(&piece);
        }
        if let Ok((len, from)) = socket.recv_from(&mut buffer) {
            peer = Some(from);
            outcome.datagrams_in += 1;
            dtls.handle_datagram(&buffer[..len], now());
        }
        if dtls.next_deadline().is_some_and(|at| at <= now()) {
            dtls.handle_timeout(now());
        }
        let has_exported = outcome.openssl_says.contains("Keying material: ");
        if outcome.keys.is_some() && has_exported && dtls.state() == DtlsState::Connected {
            match closes {
                Closes::Client => drop(stdin.take()),
                Closes::Server => dtls.close(now()),
            }
        }
        while let Some(event) = dtls.poll(&mut buffer) {
            match event {
                DtlsEvent::Datagram(len) => {
                    let _ = socket.send_to(&buffer[..len], peer.unwrap());
                }
                DtlsEvent::Connected(keys) => {
                    outcome.keys = Some(keys);
                    outcome.version = dtls.version();
                }
                DtlsEvent::Failed(error) => outcome.failed = Some(error),
                DtlsEvent::Closed => outcome.closed = true,
                DtlsEvent::ApplicationData(_) => {}
            }
        }
        let over = matches!(dtls.state(), DtlsState::Closed | DtlsState::Failed);
        // s_server would go on for ever.
        if over && (child.0.try_wait().unwrap().is_some() || (role == DtlsRole::Client && outcome.failed.is_none())) {
            break;
        }
        if dtls.state() == DtlsState::Failed && outcome.keys.is_none() {
            // OpenSSL would try for a minute; what matters is that it never connects, and what it says of our alert.
            let since = failed_at.get_or_insert_with(Instant::now).elapsed();
            if outcome.openssl_says.contains("alert") || since > Duration::from_secs(3) {
                let _ = child.0.kill();
            }
        }
    }
    drop(stdin.take().map(|mut stdin| stdin.flush()));
    drop(child);
    outcome.openssl_says.extend(text.iter());
    outcome
}

/// What a process writes, on both of its streams.
fn texts_of(child: &mut Child) -> mpsc::Receiver<String> {
    let (to_us, text) = mpsc::channel();
    let streams =
        [Box::new(child.stdout.take().unwrap()) as Box<dyn Read + Send>, Box::new(child.stderr.take().unwrap())];
    for mut stream in streams {
        let to_us = to_us.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 4_096];
            while let Ok(len @ 1..) = stream.read(&mut buffer) {
                let _ = to_us.send(String::from_utf8_lossy(&buffer[..len]).into_owned());
            }
        });
    }
    text
}

#[track_caller]
fn assert_same_keys(outcome: &Outcome, profile: SrtpProfile, name: &str) {
    let says = &outcome.openssl_says;
    let Some(keys) = &outcome.keys else { panic!("{name}: {:?}\n{says}", outcome.failed) };
    assert_eq!(keys.profile(), profile);
    assert!(says.contains(&format!("SRTP Extension negotiated, profile={name}")), "{says}");
    let hex = says.split("Keying material: ").nth(1).unwrap().split_whitespace().next().unwrap();
    let ours: String = keys.material().iter().map(|byte| format!("{byte:02X}")).collect();
    assert_eq!(ours, hex, "{name}: exported keying material");
    assert_eq!(hex.len(), profile.exported_len() * 2);
    assert_eq!(outcome.version, Some("1.2"));
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
        let outcome = run(directory.path(), expected, &arguments, len, Closes::Client);
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
        let says = &outcome.openssl_says;
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
    let outcome = run(directory.path(), expected, &arguments, 56, Closes::Client);
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
    let outcome = run(directory.path(), expected, &arguments, 56, Closes::Server);
    assert_same_keys(&outcome, SrtpProfile::AeadAes128Gcm, GCM_128);
    assert!(outcome.openssl_says.contains("\nclosed"), "{}", outcome.openssl_says);
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
        let outcome = run(one.path(), expected, &arguments, 56, Closes::Client);
        assert_eq!(outcome.failed, Some(DtlsError::FingerprintMismatch), "{kind}: {}", outcome.openssl_says);
        assert_eq!(outcome.keys, None);
        assert!(outcome.openssl_says.contains("alert bad certificate"), "{}", outcome.openssl_says);

        let expected = vec![fingerprint(FingerprintHash::Sha256, one.path())];
        let outcome = run(one.path(), expected, &["-use_srtp", GCM_128], 56, Closes::Client);
        assert_eq!(outcome.failed, Some(DtlsError::NoCertificate), "{kind}: {}", outcome.openssl_says);
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
        let outcome = run(directory.path(), expected, &arguments, 56, Closes::Client);
        let says = &outcome.openssl_says;
        assert_eq!(outcome.failed, Some(error), "{name}: {says}");
        assert!(says.contains(alert), "{name}: {says}");
        assert_eq!(outcome.keys, None);
    };
    // Each waits for some seconds.
    std::thread::scope(|scope| cases.into_iter().for_each(|case| drop(scope.spawn(move || judge(case)))));
}
