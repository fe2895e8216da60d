//! Whom a node believes, at both ends of a connection: the chain leads to an authority of `cluster.ca`, its time is now, and its name
//! is that of a node of this cluster, or of the very node that was dialled.
//!
//! Chain and time are checked by rustls's own verifiers (webpki, RFC 5280), each for its end's use. Names of hosts are not looked at:
//! nodes are called by their names in the cluster, whatever address they have. Whether a node that dials is in the directory is asked
//! after the handshake ([`super::listener`]), because the directory lives on the signalling thread.
//!
//! What was found is left in [`Seen`], since a TLS error can carry neither a name nor a reason in words. Left out: revocation lists. A
//! node that is taken out of the directory is refused; an authority that leaked is taken out of `cluster.ca`.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig, SignatureScheme,
};

use super::name::{NoName, NodeName, described, shown};
use super::refusal::{Kind, Refusal};

/// HTTP/2 and nothing else (RFC 7301).
pub(super) const ALPN: &[u8] = b"h2";

/// The authorities that are believed.
#[derive(Clone, Debug)]
pub(super) struct Trust {
    roots: Arc<RootCertStore>,
    clients: Arc<dyn ClientCertVerifier>,
    provider: Arc<CryptoProvider>,
}

impl Trust {
    /// Believes these.
    ///
    /// # Errors
    /// When none of them is an authority.
    pub(super) fn new(authorities: Vec<CertificateDer<'static>>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        if roots.add_parsable_certificates(authorities).0 == 0 {
            return Err("there is no authority's certificate in it".into());
        }
        let (roots, provider) = (Arc::new(roots), Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
        let clients = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone());
        // Strangers are not told whom this cluster believes.
        let clients = clients.clear_root_hint_subjects().build().map_err(|error| error.to_string())?;
        Ok(Self { roots, clients, provider })
    }

    /// Them.
    pub(super) fn roots(&self) -> Arc<RootCertStore> {
        self.roots.clone()
    }

    /// What the other nodes will find wrong with this node's own chain, if they believe the same authorities.
    pub(super) fn judge(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<(), Refusal> {
        let Some((own, intermediates)) = chain.split_first() else { return Ok(()) };
        self.of_client(own, intermediates, now)?;
        self.of_server(own, intermediates, now)
    }

    fn of_client(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Refusal> {
        let found = self.clients.verify_client_cert(end_entity, intermediates, now);
        found.map(drop).map_err(|error| refused_chain(&error, end_entity))
    }

    fn of_server(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Refusal> {
        let found = ParsedCertificate::try_from(end_entity).and_then(|parsed| {
            let algorithms = self.provider.signature_verification_algorithms.all;
            rustls::client::verify_server_cert_signed_by_trust_anchor(
                &parsed,
                &self.roots,
                intermediates,
                now,
                algorithms,
            )
        });
        found.map_err(|error| refused_chain(&error, end_entity))
    }

    /// For one connection that is taken, of a node of that cluster.
    pub(super) fn accept(&self, own: &Arc<CertifiedKey>, me: &NodeName, seen: Seen) -> Result<ServerConfig, Error> {
        let verifier = Verifier { trust: self.clone(), expected: Expected::Cluster(me.cluster.clone()), seen };
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(Arc::new(verifier))
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(own.clone())));
        // A session that is resumed would be believed for what was checked once.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(config)
    }

    /// For one connection to that node.
    pub(super) fn dial(&self, own: &Arc<CertifiedKey>, to: NodeName, seen: Seen) -> Result<ClientConfig, Error> {
        let verifier = Verifier { trust: self.clone(), expected: Expected::Node(to), seen };
        // "Dangerous" is what rustls calls every verifier that is not its own; this one calls rustls's.
        let mut config = ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own.clone())));
        config.resumption = Resumption::disabled();
        config.enable_sni = false;
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(config)
    }
}

/// What a handshake has found out about the other end.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen(Arc<Mutex<Option<Result<NodeName, Refusal>>>>);

impl Seen {
    fn put(&self, found: Result<NodeName, Refusal>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
    }

    /// The other end's name, or why it is refused; `None` where it has shown nothing.
    pub(super) fn take(&self) -> Option<Result<NodeName, Refusal>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Who may be at the other end.
#[derive(Debug)]
enum Expected {
    /// Any node of this cluster.
    Cluster(String),
    /// This node.
    Node(NodeName),
}

impl Expected {
    fn check(&self, name: &NodeName) -> Result<(), Refusal> {
        let (kind, text) = match self {
            Self::Cluster(cluster) if name.cluster != *cluster => {
                (Kind::AnotherCluster, format!("its certificate names {name}, and this cluster is {cluster}"))
            }
            Self::Node(node) if name != node => {
                let kind = match (name.cluster == node.cluster, name.node == node.node) {
                    (false, _) => Kind::AnotherCluster,
                    (true, true) => Kind::AnotherRegion,
                    (true, false) => Kind::AnotherNode,
                };
                (kind, format!("its certificate names {name}, and {node} was dialled"))
            }
            Self::Cluster(_) | Self::Node(_) => return Ok(()),
        };
        Err(Refusal { kind, text })
    }
}

/// Checks the other end of one connection.
#[derive(Debug)]
struct Verifier {
    trust: Trust,
    expected: Expected,
    seen: Seen,
}

impl Verifier {
    /// Leaves what was found, and has TLS say it.
    fn judge(&self, chain: Result<(), Refusal>, end_entity: &CertificateDer<'_>) -> Result<(), Error> {
        let found = chain.and_then(|()| named(end_entity)).and_then(|name| self.expected.check(&name).map(|()| name));
        let verdict = found.as_ref().map(|_| ()).map_err(|refusal| Error::InvalidCertificate(refusal.kind.error()));
        self.seen.put(found);
        verdict
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.trust.clients.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.judge(self.trust.of_client(end_entity, intermediates, now), end_entity)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.trust.clients.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.trust.clients.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trust.clients.supported_verify_schemes()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.judge(self.trust.of_server(end_entity, intermediates, now), end_entity)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.trust.clients.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.trust.clients.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trust.clients.supported_verify_schemes()
    }
}

fn named(end_entity: &CertificateDer<'_>) -> Result<NodeName, Refusal> {
    NodeName::of(end_entity).map_err(|none| {
        let said = described(end_entity);
        let text = match none {
            NoName::Unreadable => "its certificate's names cannot be read".to_owned(),
            NoName::None => format!(
                "its certificate, of {said}, does not say which node it is of: a subject alternative name \
                 URI:corecast://CLUSTER/REGION/NODE is missing"
            ),
            NoName::Malformed => {
                format!("its certificate names {said}, which is not of the form corecast://CLUSTER/REGION/NODE")
            }
            NoName::Several => format!("its certificate names several nodes: {said}"),
        };
        Refusal { kind: Kind::NoName, text }
    })
}

fn refused_chain(error: &Error, end_entity: &CertificateDer<'_>) -> Refusal {
    let kind = match error {
        Error::InvalidCertificate(error) => Kind::of(error),
        _ => Kind::BadCertificate,
    };
    let said = described(end_entity);
    let parsed = x509_parser::parse_x509_certificate(end_entity).ok().map(|(_, parsed)| parsed);
    let text = match (kind, parsed) {
        (Kind::OtherAuthority, Some(parsed)) => format!(
            "its certificate, {said}, is of {}, which is no authority in cluster.ca",
            shown(&parsed.issuer().to_string())
        ),
        (Kind::Expired, Some(parsed)) => {
            format!("its certificate, {said}, ended at {}", parsed.validity().not_after)
        }
        (Kind::NotYetValid, Some(parsed)) => {
            format!("its certificate, {said}, begins at {}", parsed.validity().not_before)
        }
        (Kind::WrongUse, _) => format!(
            "its certificate, {said}, is not for this end of a connection: its extended key usage needs both clientAuth and \
             serverAuth"
        ),
        _ => format!("its certificate, {said}, is refused: {}", shown(&error.to_string())),
    };
    Refusal { kind, text }
}
