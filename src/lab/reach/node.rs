//! The node's HTTP: opens a session by WHEP, reads what the answer offers, and ends it.

use std::fmt;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper::Uri;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::Target;
use crate::crypto::random::{Random as _, SystemRandom};
use crate::description::IceCredentials;
use crate::dtls::{DtlsIdentity, DtlsVersions};
use crate::lab::peer::answer::RemoteAnswer;
use crate::lab::peer::offer::{self, LocalOffer};
use crate::lab::peer::{ClientPeer, PeerConfig};
use crate::net;
use crate::time::Timestamp;

/// A node that has not answered a request by then counts as not answering.
const REQUEST_WITHIN: Duration = Duration::from_secs(15);
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// The node to look at.
pub(super) struct Node {
    agent: Agent,
    tls: Arc<ClientConfig>,
    origin: String,
    stream: String,
    token: Option<String>,
    identity: DtlsIdentity,
}

/// A session that is open.
pub(super) struct Session {
    pub(super) answered_after: Duration,
    /// Candidates, in the node's order.
    pub(super) udp: Vec<SocketAddr>,
    pub(super) tcp: Vec<SocketAddr>,
    servers: Vec<TurnServer>,
    location: Option<String>,
    ice: IceCredentials,
    answer: RemoteAnswer,
    identity: DtlsIdentity,
}

/// A TURN server over TCP or TLS, with credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TurnServer {
    is_tls: bool,
    pub(super) host: String,
    port: u16,
    pub(super) username: String,
    pub(super) credential: String,
}

/// Why there is no session.
pub(super) struct NoSession {
    pub(super) found: String,
    pub(super) fix: String,
}

impl Node {
    pub(super) fn new(target: &Target) -> Result<Self, String> {
        let wrong = || {
            format!(
                "--from = {}: must be the address of a node, like https://node.example or https://192.0.2.1:8443",
                target.url
            )
        };
        let url: Uri = target.url.parse().map_err(|_| wrong())?;
        let (scheme, authority) = url.scheme_str().zip(url.authority()).ok_or_else(wrong)?;
        if !matches!(scheme, "http" | "https") || !matches!(url.path(), "" | "/") || url.query().is_some() {
            return Err(wrong());
        }
        let token = match &target.token_file {
            None => None,
            Some(file) => {
                let unreadable =
                    |error| format!("--token-file = {}: {error}: name a file with a token in it", file.display());
                Some(std::fs::read_to_string(file).map_err(unreadable)?.trim().to_owned())
            }
        };
        let roots = roots(target)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(roots.iter().cloned());
        let tls = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(store)
            .with_no_client_auth();
        let roots: Vec<_> = roots.iter().map(|root| Certificate::from_der(root).to_owned()).collect();
        let trust = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(provider)
            .root_certs(RootCerts::from(roots))
            .build();
        let agent = Agent::config_builder()
            .tls_config(trust)
            .max_redirects(0)
            .http_status_as_error(false)
            .timeout_global(Some(REQUEST_WITHIN))
            .user_agent(concat!("corecast-doctor/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Ok(Self {
            agent,
            tls: Arc::new(tls),
            origin: format!("{scheme}://{authority}"),
            stream: target.stream.clone(),
            token,
            identity: DtlsIdentity::generate(SystemTime::now()).map_err(|error| error.to_string())?,
        })
    }

    pub(super) const fn tls(&self) -> &Arc<ClientConfig> {
        &self.tls
    }

    /// Opens a viewer's session.
    pub(super) fn open(&self) -> Result<Session, NoSession> {
        let ice = IceCredentials { ufrag: ice_text(8), password: ice_text(24) };
        let local = LocalOffer {
            ice: &ice,
            fingerprint_sha256: self.identity.fingerprint_sha256(),
            // The node answers checks from anywhere, and is told no real address: RFC 5737, the discard port.
            candidate: ([192, 0, 2, 1], 9).into(),
            session_id: SystemRandom.u64() >> 1,
            data: false,
        };
        let url = format!("{}/whep/{}", self.origin, self.stream);
        let began = net::now();
        let request = self.agent.post(&url).header("content-type", "application/sdp");
        let request = match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        };
        let unreachable = |error: ureq::Error| NoSession {
            found: format!("POST {url}: {error}"),
            fix: "look whether the URL opens in a browser here; --ca FILE believes a self-signed certificate"
                .to_owned(),
        };
        let mut response = request.send(offer::play(&local)).map_err(unreachable)?;
        let answered_after = net::now().since(began);
        let text = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string().map_err(unreachable)?;
        if response.status().as_u16() != 201 {
            return Err(refused(response.status().as_u16(), &text));
        }
        let header = |name| response.headers().get_all(name).iter().filter_map(|value| value.to_str().ok());
        let answer = RemoteAnswer::parse(&text).map_err(|error| NoSession {
            found: format!("POST {url}: {error}"),
            fix: "look whether this is the address of a node".to_owned(),
        })?;
        let location = header("location")
            .next()
            .map(|at| if at.starts_with('/') { format!("{}{at}", self.origin) } else { at.to_owned() });
        Ok(Session {
            answered_after,
            udp: candidates(&text, "udp"),
            tcp: candidates(&text, "tcp"),
            servers: header("link").filter_map(TurnServer::read).collect(),
            location,
            ice,
            answer,
            identity: self.identity.clone(),
        })
    }

    /// Ends a session. One that cannot be ended so ends by itself.
    pub(super) fn end(&self, session: &Session) {
        if let Some(location) = &session.location {
            let request = self.agent.delete(location);
            let _ = match &self.token {
                Some(token) => request.header("authorization", format!("Bearer {token}")).call(),
                None => request.call(),
            };
        }
    }
}

impl Session {
    /// The TURN server over TCP or TLS. The node takes both on one port and names the safer one.
    pub(super) fn turn(&self, tls: bool) -> Option<TurnServer> {
        let named =
            self.servers.iter().find(|server| server.is_tls == tls).or_else(|| self.servers.iter().find(|_| !tls));
        named.map(|server| TurnServer { is_tls: tls, ..server.clone() })
    }

    /// The viewer. `node` is what its checks name where the carrier does not.
    pub(super) fn peer(&self, node: SocketAddr, now: Timestamp) -> ClientPeer {
        let config = PeerConfig {
            local_ice: self.ice.clone(),
            remote_ice: self.answer.ice.clone(),
            dtls_role: self.answer.dtls_role,
            versions: DtlsVersions::Any,
            remote_fingerprints: self.answer.fingerprints.clone(),
            node,
            seed: SystemRandom.u64(),
        };
        ClientPeer::new(&self.identity, config, now)
    }
}

impl TurnServer {
    /// Reads a `Link` header (RFC 9725 §4.6). What is no TURN server over a connection is none of the ways.
    fn read(link: &str) -> Option<Self> {
        let (url, parameters) = link.trim_start().strip_prefix('<')?.split_once('>')?;
        let quoted = |name: &str| {
            let (_, rest) = parameters.split_once(&format!("{name}=\""))?;
            Some(rest.split('"').next()?.to_owned())
        };
        let (scheme, rest) = url.split_once(':')?;
        let (place, transport) = rest.split_once("?transport=").unwrap_or((rest, ""));
        let is_tls = scheme == "turns";
        if !(is_tls || scheme == "turn" && transport == "tcp") {
            return None;
        }
        let (host, port) = match place.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.ends_with(']')) {
            Some((host, port)) => (host, port.parse().ok()?),
            None => (place, if is_tls { 5_349 } else { 3_478 }),
        };
        let host = host.trim_matches(['[', ']']).to_owned();
        Some(Self { is_tls, host, port, username: quoted("username")?, credential: quoted("credential")? })
    }

    pub(super) fn addresses(&self) -> Result<Vec<SocketAddr>, String> {
        let found = (self.host.as_str(), self.port).to_socket_addrs();
        found.map(Iterator::collect).map_err(|error| format!("{self}: {error}"))
    }
}

impl fmt::Display for TurnServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "turns" } else { "turn" };
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        write!(f, "{scheme}:{host}:{}", self.port)
    }
}

/// The certificates that the node is believed by.
fn roots(target: &Target) -> Result<Vec<CertificateDer<'static>>, String> {
    let Some(file) = &target.ca else { return Ok(rustls_native_certs::load_native_certs().certs) };
    let wrong = |error: String| format!("--ca = {}: {error}: name a PEM file of certificates", file.display());
    let found: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(file).map_err(|error| wrong(error.to_string()))?.collect();
    let found = found.map_err(|error| wrong(error.to_string()))?;
    if found.is_empty() { Err(wrong("no certificate in it".to_owned())) } else { Ok(found) }
}

fn refused(status: u16, text: &str) -> NoSession {
    let detail = serde_json::from_str::<serde_json::Value>(text).ok();
    let detail = detail.as_ref().and_then(|problem| problem["detail"].as_str()).unwrap_or_default();
    let fix = match status {
        401 | 403 => "name a file with a token that allows to play this stream: --token-file FILE, --stream NAME",
        404 | 405 => "look whether this is the address of a node",
        429 | 503 => "wait, and try again",
        _ => "look into the node's log",
    };
    NoSession { found: format!("refused with status {status}: {detail}"), fix: fix.to_owned() }
}

/// The candidates of one protocol, each once, in the answer's order.
fn candidates(sdp: &str, protocol: &str) -> Vec<SocketAddr> {
    let mut found = Vec::new();
    for line in sdp.lines().filter_map(|line| line.strip_prefix("a=candidate:")) {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, _, carried, _, ip, port, ..] = words[..] else { continue };
        let (Ok(ip), Ok(port)) = (ip.parse::<IpAddr>(), port.parse()) else { continue };
        let address = SocketAddr::new(ip, port);
        if carried.eq_ignore_ascii_case(protocol) && !found.contains(&address) {
            found.push(address);
        }
    }
    found
}

/// Characters of `ice-char`.
fn ice_text(len: usize) -> String {
    (0..len).map(|_| char::from(b'a' + (SystemRandom.u64() % 26) as u8)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turn_servers_are_read_from_links() {
        let parameters = "; rel=\"ice-server\"; username=\"9:7\"; credential=\"a+/=\"; credential-type=\"password\"";
        for (url, expected) in [
            ("turns:node.example:443?transport=tcp", Some("turns:node.example:443")),
            ("turn:192.0.2.1:8443?transport=tcp", Some("turn:192.0.2.1:8443")),
            ("turn:[2001:db8::1]:8443?transport=tcp", Some("turn:[2001:db8::1]:8443")),
            ("turns:node.example", Some("turns:node.example:5349")),
            ("turn:node.example:3478", None),
            ("turn:node.example:3478?transport=udp", None),
            ("turn:node.example:70000?transport=tcp", None),
            ("stun:node.example:3478", None),
        ] {
            let server = TurnServer::read(&format!("<{url}>{parameters}"));
            assert_eq!(server.as_ref().map(ToString::to_string).as_deref(), expected, "{url}");
            if let Some(server) = server {
                assert_eq!((&server.username[..], &server.credential[..]), ("9:7", "a+/="));
            }
        }
        assert_eq!(TurnServer::read("<turns:node.example:443>; rel=\"ice-server\""), None, "no credentials");
    }

    #[test]
    fn candidates_keep_the_nodes_order_and_are_told_apart_by_protocol() {
        let sdp = "v=0\r\na=candidate:1 1 udp 9 192.0.2.1 20000 typ host\r\na=candidate:2 1 UDP 8 2001:db8::1 20000 typ host\r\n\
                   a=candidate:3 1 tcp 7 192.0.2.1 443 typ host tcptype passive\r\na=candidate:1 1 udp 9 192.0.2.1 20000 typ host\r\n\
                   a=candidate:4 1 udp 6 node.local 20000 typ host\r\na=candidate:5\r\n";
        let text = |protocol| candidates(sdp, protocol).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(text("udp"), ["192.0.2.1:20000", "[2001:db8::1]:20000"]);
        assert_eq!(text("tcp"), ["192.0.2.1:443"]);
    }

    #[test]
    fn wrong_flags_name_the_value_and_the_fix() {
        let target = |url: &str| Target { url: url.into(), stream: "demo".into(), ..Target::default() };
        for url in
            ["", "node.example", "ftp://node.example", "https://node.example/watch/demo", "https://node.example/?a"]
        {
            let error = Node::new(&target(url)).err().unwrap();
            assert!(error.starts_with(&format!("--from = {url}: must be the address of a node")), "{error}");
        }
        for (given, start) in [
            (Target { ca: Some("/nothing".into()), ..target("https://a.example") }, "--ca = /nothing: "),
            (
                Target { token_file: Some("/nothing".into()), ..target("https://a.example") },
                "--token-file = /nothing: ",
            ),
        ] {
            let error = Node::new(&given).err().unwrap();
            assert!(error.starts_with(start) && error.contains(": name a "), "{error}");
        }
    }
}
