//! `[cluster]`: nothing of it, or enough of it.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::{ConfigError, Environment, Placed, Settings, Sources, is_origin, number, parse_address, settings};
use crate::config::host_port::HostPort;
use crate::config::member::Member;
use crate::config::{CertificateFiles, Cluster, ClusterChannel, ClusterSettings};
use crate::limits;

type Get = fn(&ClusterSettings) -> Option<String>;

/// What has no default to be written down: who sets it wants a cluster.
const TEXTS: [(&str, Get); 7] = [
    ("cluster.node", |cluster| cluster.node.clone()),
    ("cluster.url", |cluster| cluster.url.clone()),
    ("cluster.listen", |cluster| cluster.listen.clone()),
    ("cluster.address", |cluster| cluster.address.clone()),
    ("cluster.ca", |cluster| cluster.ca.clone()),
    ("cluster.cert", |cluster| cluster.cert.clone()),
    ("cluster.key", |cluster| cluster.key.clone()),
];

pub(super) fn cluster(
    sources: &Sources<'_>,
    environment: &Environment,
    https: SocketAddr,
) -> Result<Option<Cluster>, ConfigError> {
    let engine = sources.pick("cluster.engine", |s| s.cluster.engine.clone()).filter(|placed| !placed.value.is_empty());
    let Some(engine) = engine else {
        let stray = TEXTS.iter().find_map(|(key, get)| sources.pick(key, |s| get(&s.cluster)));
        return match stray {
            Some(stray) => Err(stray.refuse(
                &stray.value,
                "means something in a cluster only: name the members of its engine in cluster.engine, or leave it out",
            )),
            None => Ok(None),
        };
    };
    let members = members(&engine)?;
    let text = |key: &'static str, get: Get| sources.pick(key, |s| get(&s.cluster));
    let pair = match (text("cluster.cert", |c| c.cert.clone()), text("cluster.key", |c| c.key.clone())) {
        (Some(cert), Some(key)) => Some(CertificateFiles { cert: cert.value.into(), key: key.value.into() }),
        (None, None) => None,
        (Some(lone), None) => return Err(lone.refuse(&lone.value, "needs cluster.key beside it")),
        (None, Some(lone)) => return Err(lone.refuse(&lone.value, "needs cluster.cert beside it")),
    };
    let ca = text("cluster.ca", |c| c.ca.clone()).map(|placed| PathBuf::from(placed.value));
    let places = (text("cluster.listen", |c| c.listen.clone()), text("cluster.address", |c| c.address.clone()));
    let channel = match (places, ca.is_some() && pair.is_some()) {
        (places, true) => Some(channel(places, https)?),
        ((None, None), false) => None,
        ((Some(lone), _) | (None, Some(lone)), false) => {
            return Err(lone.refuse(
                &lone.value,
                "needs cluster.ca, cluster.cert and cluster.key: nodes speak to each other only where both ends show a \
                 certificate",
            ));
        }
    };
    Ok(Some(Cluster {
        engine: members,
        name: name(named(sources, "cluster.name", |c| c.name.clone()))?,
        node: name(text("cluster.node", |c| c.node.clone()).unwrap_or_else(|| Placed {
            value: environment.host_name.clone().unwrap_or_default(),
            place: "cluster.node (default: the machine's name)".to_owned(),
        }))?,
        region: name(named(sources, "cluster.region", |c| c.region.clone()))?,
        url: url(text("cluster.url", |c| c.url.clone()), https)?,
        generation: number(sources, "cluster.generation", |s: &Settings| s.cluster.generation)?
            .try_into()
            .unwrap_or_default(),
        ca,
        identity: pair,
        channel,
    }))
}

/// Where other nodes' connections are taken, and where they reach that.
fn channel(
    (listen, address): (Option<Placed<String>>, Option<Placed<String>>),
    https: SocketAddr,
) -> Result<ClusterChannel, ConfigError> {
    let place = listen.as_ref().map_or("cluster.listen (default)", |listen| &listen.place).to_owned();
    let listen = match listen {
        Some(listen) => parse_address(listen)?.value,
        None => SocketAddr::new(https.ip(), limits::CLUSTER_CHANNEL_PORT),
    };
    let address = match address {
        Some(placed) => {
            HostPort::parse(&placed.value).map_err(|rule| placed.refuse(&placed.value, rule.to_string()))?
        }
        None if listen.ip().is_unspecified() || listen.port() == 0 => {
            let rule = format!(
                "names no address that other nodes reach: say where they do in cluster.address, like 10.0.0.7:{}",
                limits::CLUSTER_CHANNEL_PORT
            );
            return Err(ConfigError::Value { place, value: listen.to_string(), rule });
        }
        None => listen.into(),
    };
    Ok(ClusterChannel { listen, address })
}

fn named(sources: &Sources<'_>, key: &'static str, get: Get) -> Placed<String> {
    sources.pick_text(key, |s| get(&s.cluster))
}

fn members(engine: &Placed<Vec<String>>) -> Result<Vec<Member>, ConfigError> {
    let mut members: Vec<Member> = Vec::with_capacity(engine.value.len());
    for text in &engine.value {
        let member = Member::parse(text).map_err(|rule| engine.refuse(text, rule.to_string()))?;
        if !member.has_tls() && !member.is_loopback() {
            return Err(engine.refuse(
                text,
                "must be https: who can change what passes to the engine takes every stream; http is for loopback",
            ));
        }
        if !members.contains(&member) {
            members.push(member);
        }
    }
    Ok(members)
}

fn name(placed: Placed<String>) -> Result<String, ConfigError> {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if placed.value.is_empty()
        || placed.value.len() > limits::CLUSTER_NAME_BYTES_MAX
        || !placed.value.bytes().all(is_good)
    {
        let rule = format!("must be 1 to {} letters, digits and - _ .", limits::CLUSTER_NAME_BYTES_MAX);
        return Err(placed.refuse(&placed.value, rule));
    }
    Ok(placed.value)
}

fn url(placed: Option<Placed<String>>, https: SocketAddr) -> Result<String, ConfigError> {
    match placed {
        Some(placed) if !placed.value.starts_with("https://") || !is_origin(&placed.value) => Err(placed.refuse(
            &placed.value,
            "must be https and a host without a path or closing slash, like https://10.0.0.7:8443",
        )),
        Some(placed) => Ok(placed.value),
        None if https.ip().is_unspecified() => {
            let key = settings::of("cluster.url").key;
            Err(ConfigError::Value {
                place: key.to_owned(),
                value: "(none)".to_owned(),
                rule: format!(
                    "https = {https} names no address that other nodes reach: say where they do, like https://10.0.0.7:{}",
                    https.port()
                ),
            })
        }
        None => Ok(format!("https://{https}")),
    }
}
