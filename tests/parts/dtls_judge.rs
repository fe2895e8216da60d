//! Runs a foreign DTLS program, OpenSSL's or GnuTLS's, beside an association of ours over a loopback socket. No tests of
//! its own.

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

pub(crate) const GCM_128: &str = "SRTP_AEAD_AES_128_GCM";
pub(crate) const GCM_256: &str = "SRTP_AEAD_AES_256_GCM";
pub(crate) const CM_SHA1: &str = "SRTP_AES128_CM_SHA1_80";

pub(crate) fn openssl(arguments: &[&str], directory: &Path) -> String {
    let output = Command::new("openssl").args(arguments).current_dir(directory).output();
    let output = output.expect("the tests need the openssl program");
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// A certificate in `cert.pem` and its key in `key.pem`.
pub(crate) fn make_certificate(kind: &str, directory: &Path) {
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

pub(crate) fn fingerprint(hash: FingerprintHash, directory: &Path) -> Fingerprint {
    let name = match hash {
        FingerprintHash::Sha256 => "-sha256",
        FingerprintHash::Sha384 => "-sha384",
        FingerprintHash::Sha512 => "-sha512",
    };
    let text = openssl(&["x509", "-in", "cert.pem", "-noout", "-fingerprint", name], directory);
    let hex = text.trim().split_once('=').expect("name=value").1;
    Fingerprint { hash, value: hex.split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect() }
}

/// What came of one association.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) keys: Option<ExportedKeys>,
    pub(crate) version: Option<&'static str>,
    pub(crate) failed: Option<DtlsError>,
    pub(crate) closed: bool,
    pub(crate) datagrams_in: usize,
    /// What the program wrote.
    pub(crate) says: String,
}

/// Ends the program even when the test panics.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Who ends the association once both ends have their keys.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Closes {
    TheProgram,
    We,
}

/// What becomes of a datagram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fate {
    Arrives,
    IsLost,
    ArrivesTwice,
    /// Behind the next one, or a fifth of a second later.
    ArrivesLate,
}

/// One way through the network.
#[derive(Default)]
struct Way {
    count: usize,
    late: Option<(Instant, Vec<u8>)>,
}

impl Way {
    /// What arrives now that `datagram`, or nothing, was sent.
    fn pass(&mut self, datagram: Option<&[u8]>, fate: impl Fn(usize) -> Fate) -> Vec<Vec<u8>> {
        let mut arriving = Vec::new();
        if let Some(datagram) = datagram {
            let fate = fate(self.count);
            self.count += 1;
            match fate {
                Fate::IsLost => {}
                Fate::Arrives => arriving.push(datagram.to_vec()),
                Fate::ArrivesTwice => arriving = vec![datagram.to_vec(); 2],
                Fate::ArrivesLate if self.late.is_some() => arriving.push(datagram.to_vec()),
                Fate::ArrivesLate => self.late = Some((Instant::now(), datagram.to_vec())),
            }
        }
        let waited = |since: Instant| since.elapsed() > Duration::from_millis(200);
        arriving.extend(self.late.take_if(|late| !arriving.is_empty() || waited(late.0)).map(|late| late.1));
        arriving
    }
}

/// A run of a foreign program and an association of ours.
pub(crate) struct Judgement<'a> {
    /// Where its certificate and key are.
    pub(crate) directory: &'a Path,
    /// Our role, and the certificate that the program promised.
    pub(crate) role: DtlsRole,
    pub(crate) expected: Vec<Fingerprint>,
    pub(crate) closes: Closes,
    /// Written to the program once both ends have their keys.
    pub(crate) input: &'a str,
    /// The fate of a datagram: whether it is ours, and its number among those of its sender.
    pub(crate) fate: &'a dyn Fn(bool, usize) -> Fate,
}

impl<'a> Judgement<'a> {
    pub(crate) fn new(directory: &'a Path, role: DtlsRole, expected: Vec<Fingerprint>) -> Self {
        Self { directory, role, expected, closes: Closes::We, input: "", fate: &|_, _| Fate::Arrives }
    }

    /// OpenSSL, as whatever we are not.
    pub(crate) fn openssl(self, arguments: &[&str], export_len: usize) -> Outcome {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let ours = socket.local_addr().unwrap().to_string();
        // A port that is free now.
        let theirs = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (at, peer) = (theirs.to_string(), (self.role == DtlsRole::Client).then_some(theirs));
        let len = export_len.to_string();
        let version = if arguments.contains(&"-dtls1") { &[][..] } else { &["-dtls1_2"] };
        let role =
            if self.role == DtlsRole::Client { ["s_server", "-accept", &at] } else { ["s_client", "-connect", &ours] };
        let export = ["-keymatexport", "EXTRACTOR-dtls_srtp", "-keymatexportlen", &len];
        self.run("openssl", &[&role, version, &export, arguments].concat(), &socket, peer)
    }

    /// GnuTLS, as a client.
    pub(crate) fn gnutls(self, arguments: &[&str], export_len: usize) -> Outcome {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port().to_string();
        let len = export_len.to_string();
        let usual = ["--udp", "--insecure", "-p", &port, "127.0.0.1", "--keymatexport", "EXTRACTOR-dtls_srtp"];
        self.run("gnutls-cli", &[&usual, &["--keymatexportsize", &len][..], arguments].concat(), &socket, None)
    }

    /// Runs `program` and our end beside it, until both have ended.
    fn run(self, program: &str, arguments: &[&str], socket: &UdpSocket, mut peer: Option<SocketAddr>) -> Outcome {
        socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        let child = Command::new(program)
            .args(arguments)
            .current_dir(self.directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = Running(child.unwrap_or_else(|error| panic!("the tests need the program {program}: {error}")));
        let mut stdin = child.0.stdin.take();
        let text = texts_of(&mut child.0);
        let start = Instant::now();
        let now = || Timestamp::from_nanos(u64::try_from(start.elapsed().as_nanos()).unwrap());
        let mut dtls = Dtls::new(&identity(), self.role, self.expected.clone(), now());
        let (mut outcome, mut ways) = (Outcome::default(), [Way::default(), Way::default()]);
        let [to_them, to_us] = &mut ways;
        let (mut over_since, mut talked_at): (Option<Instant>, Option<Instant>) = (None, None);
        let mut buffer = [0; 2_048];
        while start.elapsed() < Duration::from_secs(25) {
            outcome.says.extend(text.try_iter());
            let received = socket.recv_from(&mut buffer).ok();
            if let Some((_, from)) = received {
                peer = Some(from);
                outcome.datagrams_in += 1;
            }
            let datagram = received.and_then(|(len, _)| buffer.get(..len));
            for arrived in to_us.pass(datagram, |number| (self.fate)(false, number)) {
                dtls.handle_datagram(&arrived, now());
            }
            if dtls.next_deadline().is_some_and(|at| at <= now()) {
                dtls.handle_timeout(now());
            }
            if outcome.keys.is_some() && exported(&outcome.says).is_some() && dtls.state() == DtlsState::Connected {
                if let (None, Some(stdin)) = (talked_at, &mut stdin) {
                    let _ = stdin.write_all(self.input.as_bytes()).and_then(|()| stdin.flush());
                }
                let since = talked_at.get_or_insert_with(Instant::now).elapsed();
                let waits = !self.input.is_empty() && since < Duration::from_secs(2);
                match self.closes {
                    _ if waits => {}
                    Closes::TheProgram => drop(stdin.take()),
                    Closes::We => dtls.close(now()),
                }
            }
            while let Some(event) = dtls.poll(&mut buffer) {
                let mut sent = None;
                match event {
                    DtlsEvent::Datagram(len) => sent = buffer.get(..len),
                    DtlsEvent::Connected(keys) => {
                        assert!(outcome.keys.replace(keys).is_none(), "new keys on a running association");
                        outcome.version = dtls.version();
                    }
                    DtlsEvent::Failed(error) => outcome.failed = Some(error),
                    DtlsEvent::Closed => outcome.closed = true,
                    DtlsEvent::ApplicationData(_) => {}
                }
                for arriving in to_them.pass(sent, |number| (self.fate)(true, number)) {
                    let _ = socket.send_to(&arriving, peer.unwrap());
                }
            }
            for arriving in to_them.pass(None, |_| Fate::Arrives) {
                let _ = socket.send_to(&arriving, peer.unwrap());
            }
            let over = matches!(dtls.state(), DtlsState::Closed | DtlsState::Failed);
            // A server would go on for ever.
            let server_is_done = self.role == DtlsRole::Client && outcome.failed.is_none();
            if over && (child.0.try_wait().unwrap().is_some() || server_is_done) {
                break;
            }
            if over {
                // A refused program would try for a minute, and GnuTLS's client waits for input; what matters is what it
                // says of our alert.
                let since = over_since.get_or_insert_with(Instant::now).elapsed();
                if outcome.says.to_lowercase().contains("alert") || since > Duration::from_secs(3) {
                    let _ = child.0.kill();
                }
            }
        }
        drop(stdin.take().map(|mut stdin| stdin.flush()));
        drop(child);
        outcome.says.extend(text.iter());
        outcome
    }
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

/// The keying material that a program says it has, in capitals: `Keying material: ` is OpenSSL's, the other GnuTLS's.
fn exported(says: &str) -> Option<String> {
    let (_, after) = says.split_once("Keying material: ").or_else(|| says.split_once("Key material: "))?;
    let (hex, _) = after.split_once('\n')?;
    Some(hex.trim().to_uppercase())
}

/// `name` is the profile's, as the program calls it.
#[track_caller]
pub(crate) fn assert_same_keys(outcome: &Outcome, profile: SrtpProfile, name: &str) {
    let says = &outcome.says;
    let Some(keys) = &outcome.keys else { panic!("{name}: {:?}\n{says}", outcome.failed) };
    assert_eq!(keys.profile(), profile);
    let agreed = [format!("SRTP Extension negotiated, profile={name}"), format!("SRTP profile: {name}")];
    assert!(agreed.iter().any(|agreed| says.contains(agreed)), "{says}");
    let ours: String = keys.material().iter().map(|byte| format!("{byte:02X}")).collect();
    assert_eq!(Some(ours), exported(says), "{name}: exported keying material");
    assert_eq!(outcome.version, Some("1.2"));
}
