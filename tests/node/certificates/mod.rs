//! Certificates of the running program: replaced while a viewer plays, a socket is open and a connection stands; reloads by
//! SIGHUP, good and bad; several by name; the port that redirects.
//!
//! What is read and how changes are noticed is tested beside the code (`src/signal/tls`); a whole ACME client against a whole
//! authority in `tests/tls`.

mod program;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use program::{Authority, Files, Node, PATIENCE, Tls, chain, connect, get, served, wait};
use rustls::HandshakeKind;
use rustls::version::{TLS12, TLS13};

use crate::honest::Honest;

const HOST: &str = "one.test";

/// A configuration file with these lines; ports that are free.
fn configure(directory: &Path, text: &str) -> std::path::PathBuf {
    let file = directory.join("node.toml");
    let new = directory.join("node.new");
    std::fs::write(&new, format!("https = '127.0.0.1:0'\nadmin = '127.0.0.1:0'\n{text}")).unwrap();
    std::fs::rename(new, &file).unwrap();
    file
}

/// A socket over TLS (RFC 6455), with what this test says over it.
struct Socket(Tls);

impl Socket {
    fn open(mut stream: Tls) -> Self {
        let upgrade = "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
            sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: corecast.v1\r\n";
        assert!(get(&mut stream, HOST, "/ws", upgrade).starts_with("HTTP/1.1 101"));
        let mut socket = Self(stream);
        assert!(socket.ask(r#"{"type":"hello","version":1,"id":1}"#).contains("welcome"));
        socket
    }

    /// A text frame out, masked with zeros, and a text frame in.
    fn ask(&mut self, text: &str) -> String {
        let len = u8::try_from(text.len()).unwrap();
        assert!(len < 126);
        self.0.write_all(&[&[0x81, 0x80 | len, 0, 0, 0, 0], text.as_bytes()].concat()).unwrap();
        self.0.flush().unwrap();
        loop {
            let mut head = [0; 2];
            self.0.read_exact(&mut head).unwrap();
            let mut len = u64::from(head[1]);
            if len == 126 {
                let mut longer = [0; 2];
                self.0.read_exact(&mut longer).unwrap();
                len = u16::from_be_bytes(longer).into();
            }
            let mut payload = vec![0; len as usize];
            self.0.read_exact(&mut payload).unwrap();
            // Pings of the node may come in between.
            if head[0] == 0x81 {
                return String::from_utf8(payload).unwrap();
            }
            assert_eq!(head[0], 0x89, "the socket was closed");
        }
    }
}

#[test]
fn a_certificate_is_replaced_and_neither_viewer_nor_socket_nor_connection_notices() {
    let directory = tempfile::tempdir().unwrap();
    let files = Files::of(directory.path(), "live");
    let authority = Authority::new();
    let old = authority.issue(&[HOST]);
    files.write(&old);
    let tls = format!("[tls]\ncert = '{}'\nkey = '{}'\n", files.cert.display(), files.key.display());
    let config = configure(directory.path(), &tls);
    let _turn = crate::turn();
    let node = Node::start(&config, None);
    let (client, port) = (authority.client(&[&TLS13, &TLS12]), node.https.port());
    assert_eq!(served(&client, port, HOST), chain(&old.0), "the whole chain, leaf first");

    let viewer = Honest::play(node.doors(), [None, None]);
    let mut socket = Socket::open(connect(&client, port, HOST));
    let mut standing = connect(&client, port, HOST);
    assert!(get(&mut standing, HOST, "/", "").starts_with("HTTP/1.1 200"));
    assert_eq!(connect(&client, port, HOST).conn.handshake_kind(), Some(HandshakeKind::Resumed));
    viewer.record();

    // Twice: found by looking, and at once by SIGHUP.
    let shown = chain(&old.0);
    let mut before = old.0;
    for by_signal in [false, true] {
        let new = authority.issue(&[HOST, "added.test"]);
        files.write(&new);
        if by_signal {
            node.hang_up();
        }
        // The same client, which could resume what it began under the old one.
        wait(|| served(&client, port, HOST) == chain(&new.0), || format!("the old one is served on\n{}", node.log()));
        assert_ne!(before, new.0);
        assert_eq!(connect(&client, port, HOST).conn.peer_certificates().unwrap(), chain(&new.0));
        before = new.0;
        assert!(get(&mut standing, HOST, "/", "").starts_with("HTTP/1.1 200"));
        assert!(socket.ask(r#"{"type":"ping","id":2}"#).contains("pong"));
    }
    assert_eq!(standing.conn.peer_certificates().unwrap(), shown, "a connection keeps its own");
    assert!(!node.log().contains("cannot be used"), "a moment between two files is no reason to warn\n{}", node.log());

    // What cannot be used changes nothing, and is told once.
    std::fs::write(&files.key, "not a key").unwrap();
    node.wait_logged("a certificate's files have changed and cannot be used");
    node.wait_logged("live-key.pem: cannot be read as a PEM private key");
    std::thread::sleep(Duration::from_millis(4_500));
    assert_eq!(node.log().matches("cannot be used").count(), 1, "{}", node.log());
    assert_eq!(served(&client, port, HOST), chain(&before));

    let record = viewer.record();
    let counts = &record.counts;
    assert!(counts.received_video > 300, "{:?}", counts.named());
    assert_eq!((counts.lost(), counts.gaps, counts.nacks, counts.ended_early), (0, 0, 0, 0), "{:?}", counts.named());
    drop(viewer);
    let metrics = get(&mut TcpStream::connect(node.admin).unwrap(), "localhost", "/metrics", "");
    assert!(metrics.contains("corecast_tls_certificate_not_after_timestamp_seconds{name=\"one.test\"} "), "{metrics}");
}

#[test]
fn a_reload_takes_what_it_can_names_what_it_cannot_and_a_bad_one_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let config = configure(directory.path(), "[cors]\norigins = ['https://a.example']\n");
    let node = Node::start(&config, Some(&path));
    let told = || {
        let mut datagram = [0; 2_048];
        let len = manager.recv(&mut datagram).unwrap();
        String::from_utf8(datagram[..len].to_vec()).unwrap()
    };
    assert!(told().starts_with("READY=1\nSTATUS=serving "));
    let reload = || {
        node.hang_up();
        let reloading = told();
        assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
        let ready = told();
        assert!(ready.starts_with("READY=1\nSTATUS=serving "), "{ready}");
        ready
    };
    let allows = |origin: &str| {
        let more = format!("origin: {origin}\r\n");
        let answer = get(&mut TcpStream::connect(node.http).unwrap(), "node", "/whep/x/y", &more);
        answer.contains(&format!("access-control-allow-origin: {origin}\r\n"))
    };
    assert!(allows("https://a.example") && !allows("https://b.example"));

    // Good: what is live is live, what is not is named.
    configure(
        directory.path(),
        "[cors]\norigins = ['https://b.example']\n[log]\nlevel = 'debug'\n[signalling]\nnice = 3\n",
    );
    assert!(!reload().contains("refused"));
    assert!(!allows("https://a.example") && allows("https://b.example"));
    node.wait_logged("changed=\"cors.origins, log.level\"");
    node.wait_logged("wait for a restart settings=\"signalling.nice\"");

    // Bad in several ways: nothing of it is taken.
    let wrong_file = "cert = '/nonexistent/c.pem'\nkey = '/nonexistent/k.pem'\n";
    for (text, reason) in [
        ("cors = [", "line 3, column 9: unclosed array"),
        ("htps = 'x'", "unknown field `htps`"),
        ("[cors]\norigins = ['https://a.example', '*']\n", "cors.origins = *"),
        (
            &format!("[cors]\norigins = ['https://a.example']\n[tls]\n{wrong_file}"),
            "/nonexistent/c.pem: cannot be read",
        ),
        ("[cors]\norigins = ['https://a.example']\n[auth]\nsecret_file = '/nonexistent/s'\n", "/nonexistent/s"),
    ] {
        configure(directory.path(), text);
        let status = reload();
        assert!(status.contains("the last reload was refused: ") && status.contains(reason), "{text}: {status}");
        assert_eq!(status.lines().count(), 2, "{status}");
        assert!(!allows("https://a.example") && allows("https://b.example"), "{text}");
        node.wait_logged("the configuration was not reloaded; all stays as it was");
        node.wait_logged(reason);
    }
    configure(directory.path(), "[cors]\norigins = ['https://a.example']\n");
    assert!(!reload().contains("refused"));
    assert!(allows("https://a.example"));
}

/// Writes a file that holds a secret: nobody else may read it.
fn write_private(file: &Path, text: &str) {
    std::fs::write(file, text).unwrap();
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn rules_that_hold_for_loopback_are_not_given_to_a_node_that_serves_everybody() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("node.toml");
    let secret = "0123456789abcdef0123456789abcdef";
    let text = format!("https = '0.0.0.0:0'\nadmin = '127.0.0.1:0'\n[auth]\nsecret = '{secret}'\n");
    write_private(&file, &text);
    let node = Node::start(&file, None);
    let post = || {
        let mut stream = TcpStream::connect(node.http).unwrap();
        let head = "POST /whip/x HTTP/1.1\r\nhost: node\r\nconnection: close\r\ncontent-type: application/sdp\r\n";
        write!(stream, "{head}content-length: 1\r\n\r\nx").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    assert_eq!(post(), "401");
    // A good file for the next start: loopback, where nobody needs a token.
    configure(directory.path(), "");
    node.hang_up();
    node.wait_logged("what could change now does not fit what cannot (https)");
    assert_eq!(post(), "401");
    assert!(!node.log().contains(secret));
    // Another secret is taken: the token of the old one is worth nothing.
    let new = "fedcba9876543210fedcba9876543210";
    write_private(&file, &format!("https = '0.0.0.0:0'\nadmin = '127.0.0.1:0'\n[auth]\nsecret = '{new}'\n"));
    node.hang_up();
    node.wait_logged("changed=\"auth.secret\"");
    assert!(!node.log().contains(new));
}

#[test]
fn each_name_gets_its_certificate_on_the_public_and_on_the_operators_port() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let [one, two, wild] = [&["one.test"][..], &["two.test"], &["*.wild.test"]].map(|names| authority.issue(names));
    let mut tls = String::from("[tls]\n");
    for (stem, pair) in [("one", &one), ("two", &two), ("wild", &wild)] {
        let files = Files::of(directory.path(), stem);
        files.write(pair);
        if stem != "one" {
            tls.push_str("[[tls.certificates]]\n");
        }
        tls.push_str(&format!("cert = '{}'\nkey = '{}'\n", files.cert.display(), files.key.display()));
    }
    let config = directory.path().join("node.toml");
    let auth = "[auth]\nsecret = '0123456789abcdef0123456789abcdef'\n";
    write_private(&config, &format!("https = '127.0.0.1:0'\nadmin = '0.0.0.0:0'\n{auth}{tls}"));
    let node = Node::start(&config, None);
    for versions in [&[&TLS13][..], &[&TLS12]] {
        for (name, expected) in [("one.test", &one), ("two.test", &two), ("a.wild.test", &wild)] {
            for port in [node.https.port(), node.admin.port()] {
                // Each time a client that has nothing to resume.
                let stream = connect(&authority.client(versions), port, name);
                assert_eq!(stream.conn.peer_certificates().unwrap(), chain(&expected.0), "{name}");
                let group = stream.conn.negotiated_key_exchange_group().unwrap().name();
                let best = if versions[0].version == rustls::ProtocolVersion::TLSv1_3 {
                    rustls::NamedGroup::X25519MLKEM768
                } else {
                    rustls::NamedGroup::X25519
                };
                assert_eq!(group, best);
            }
        }
    }
    // Told of, and served all the same: it is better than none.
    assert!(!node.log().contains("has expired"), "{}", node.log());
    let expired = authority.issue_until(&["two.test"], 2020);
    Files::of(directory.path(), "two").write(&expired);
    node.wait_logged("a certificate has expired: renew it");
    node.wait_logged("name=\"two.test\" until=\"2020-01-01\"");
}

#[test]
fn the_plain_port_redirects_and_answers_challenges_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let files = Files::of(directory.path(), "live");
    let authority = Authority::new();
    files.write(&authority.issue(&[HOST]));
    let webroot = directory.path().join("webroot");
    let challenges = webroot.join(".well-known/acme-challenge");
    std::fs::create_dir_all(&challenges).unwrap();
    std::fs::write(challenges.join("tok_en-1"), "tok_en-1.print").unwrap();
    std::fs::write(webroot.join("secret"), "secret").unwrap();
    let (cert, key) = (files.cert.display(), files.key.display());
    let text = format!(
        "http_redirect = '127.0.0.1:0'\n[tls]\ncert = '{cert}'\nkey = '{key}'\nacme_webroot = '{}'\n",
        webroot.display()
    );
    let node = Node::start(&configure(directory.path(), &text), None);
    let ask = |host: &str, path: &str| get(&mut TcpStream::connect(node.redirect.unwrap()).unwrap(), host, path, "");
    let answer = ask("live.example:80", "/watch.html?stream=a");
    assert!(answer.starts_with("HTTP/1.1 308"), "{answer}");
    let expected = format!("location: https://live.example:{}/watch.html?stream=a\r\n", node.https.port());
    assert!(answer.contains(&expected) && !answer.contains("strict-transport"), "{answer}");
    let answer = ask("live.example", "/.well-known/acme-challenge/tok_en-1");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\ntok_en-1.print"), "{answer}");
    for name in
        ["missing", "", ".", "..", "../secret", "../../secret", "..%2f..%2fsecret", "%2e%2e/%2e%2e/secret", "tok_en-1/"]
    {
        let answer = ask("live.example", &format!("/.well-known/acme-challenge/{name}"));
        assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("no_such_challenge"), "{name}: {answer}");
    }
    // Over TLS, and only there, browsers are told to stay.
    let client = authority.client(&[&TLS13]);
    let answer = get(&mut connect(&client, node.https.port(), HOST), HOST, "/", "");
    assert!(answer.contains("strict-transport-security: max-age=31536000\r\n"), "{answer}");
    assert!(!get(&mut TcpStream::connect(node.http).unwrap(), HOST, "/", "").contains("strict-transport"));
}
