//! This node's part in a cluster, made from its configuration: the engine with its certificates, what the node says of itself, and where
//! it speaks to other nodes.

use std::fmt;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::cluster::channel::Channels;
use crate::cluster::channel::identity::{Files, Identities, IdentityError};
use crate::cluster::channel::name::NodeName;
use crate::cluster::etcd::{Etcd, Identity};
use crate::cluster::links::LinkKeeper;
use crate::cluster::membership::Membership;
use crate::cluster::registry::{Myself, Registry, TakesOver};
use crate::config::host_port::HostPort;
use crate::config::member::Member;
use crate::config::{Cluster, Config, Takeover};
use crate::signal::ownership::{Book, MakeOwnership};
use crate::signal::runtime::Bound;
use crate::worker::links::mailbox::{LinkNotice, LinksHandle};

/// The cluster's certificates cannot be used, or its address.
#[derive(Debug)]
pub struct ClusterError {
    setting: &'static str,
    value: String,
    why: String,
}

impl fmt::Display for ClusterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { setting, value, why } = self;
        write!(f, "{setting} = {value}: {why}")
    }
}

impl std::error::Error for ClusterError {}

/// Who owns streams' names: this process, or a cluster's engine.
pub(super) fn ownership(
    config: &Config,
    links: Option<(LinksHandle, flume::Receiver<LinkNotice>)>,
) -> Result<MakeOwnership, ClusterError> {
    let Some(cluster) = &config.cluster else { return Ok(Box::new(|| Rc::new(Book::default()))) };
    let channel = channel(cluster)?;
    let identity =
        cluster.engine.iter().any(Member::has_tls).then(|| identity(cluster, channel.as_ref())).transpose()?;
    let engine = cluster.engine.clone();
    let mut boot = [0; 8];
    // Two boots of one node must differ; the clock says so where the system has no random numbers.
    if getrandom::fill(&mut boot).is_err() {
        boot = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos().to_le_bytes()[..8]
            .try_into()
            .unwrap_or_default();
    }
    let me = Myself {
        cluster: cluster.name.clone(),
        name: cluster.node.clone(),
        region: cluster.region.clone(),
        boot: boot.iter().map(|byte| format!("{byte:02x}")).collect(),
        url: cluster.url.clone(),
        channel: cluster.channel.as_ref().map(|channel| channel.address.to_string()),
        generation: cluster.generation,
    };
    let takes_over = match config.takeover {
        Takeover::SameSubject => TakesOver::SameSubject,
        Takeover::Any => TakesOver::Anyone,
        Takeover::Never => TakesOver::Nobody,
    };
    Ok(Box::new(move || {
        let registry = Rc::new(Registry::start(Rc::new(Etcd::new(engine, identity)), me, takes_over));
        let channels = channel
            .map(|Ready { bound, address, identities }| Channels::start(bound, address, identities, registry.clone()))
            .map(Rc::new);
        let links = channels.clone().zip(links).map(|(channels, (worker, notices))| {
            Rc::new(LinkKeeper::start(registry.clone(), channels, worker, notices))
        });
        Rc::new(Membership::new(registry, channels, links))
    }))
}

/// What it takes to speak to other nodes.
struct Ready {
    bound: Bound,
    address: HostPort,
    identities: Identities,
}

/// Reads the certificates and listens: what is wrong with either is told before the first session.
fn channel(cluster: &Cluster) -> Result<Option<Ready>, ClusterError> {
    let (Some(channel), Some(ca), Some(pair)) = (&cluster.channel, &cluster.ca, &cluster.identity) else {
        tracing::warn!(
            "this node shows no certificate and speaks to no other: set cluster.ca, cluster.cert and cluster.key"
        );
        return Ok(None);
    };
    let files = Files { ca: ca.clone(), cert: pair.cert.clone(), key: pair.key.clone() };
    let me = NodeName { cluster: cluster.name.clone(), region: cluster.region.clone(), node: cluster.node.clone() };
    let identities = Identities::read(files, me).map_err(|IdentityError { setting, file, why }| ClusterError {
        setting,
        value: file.display().to_string(),
        why,
    })?;
    let bound = Bound::bind(channel.listen).map_err(|error| ClusterError {
        setting: "cluster.listen",
        value: channel.listen.to_string(),
        why: match error.kind() {
            io::ErrorKind::AddrInUse => {
                format!("{error}: stop the program that listens there (ss -ltnp), or choose another address")
            }
            _ => format!("{error}: choose an address of this host"),
        },
    })?;
    Ok(Some(Ready { bound, address: channel.address.clone(), identities }))
}

/// What the engine is shown, and by what it is believed: what other nodes are, if that is all there.
fn identity(cluster: &Cluster, channel: Option<&Ready>) -> Result<Identity, ClusterError> {
    let wrong = |setting, value: &std::path::Path, why: &dyn fmt::Display| ClusterError {
        setting,
        value: value.display().to_string(),
        why: format!("{why}: it must be a readable PEM file of what the setting names"),
    };
    if let Some(Ready { identities, .. }) = channel {
        let config = identities.for_engine().map_err(|error| wrong("cluster.engine", "".as_ref(), &error))?;
        return Ok(Identity(Arc::new(config)));
    }
    let mut roots = RootCertStore::empty();
    match &cluster.ca {
        Some(file) => {
            let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
            let found = found.map_err(|error| wrong("cluster.ca", file, &error))?;
            if roots.add_parsable_certificates(found).0 == 0 {
                return Err(wrong("cluster.ca", file, &"there is no authority's certificate in it"));
            }
        }
        None => _ = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs),
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong("cluster.engine", "".as_ref(), &error))?
        .with_root_certificates(roots);
    let config = match &cluster.identity {
        Some(pair) => {
            let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(&pair.cert).and_then(Iterator::collect);
            let chain = chain.map_err(|error| wrong("cluster.cert", &pair.cert, &error))?;
            let key =
                PrivateKeyDer::from_pem_file(&pair.key).map_err(|error| wrong("cluster.key", &pair.key, &error))?;
            builder.with_client_auth_cert(chain, key).map_err(|error| wrong("cluster.cert", &pair.cert, &error))?
        }
        None => builder.with_no_client_auth(),
    };
    Ok(Identity(Arc::new(config)))
}
