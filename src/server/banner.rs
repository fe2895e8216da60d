//! The lines printed after start, for a person: where to go, what runs, and what could be better.

use std::fmt;
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::config::{Config, LogFormat, Tls};
use crate::signal::Signalling;
use crate::signal::tls::CERT_FILE;

/// Where the manual says how browsers come to trust the node's own certificate.
const TRUST: &str = "src/manual/deployment.md, \"Trust the node's own certificate\"";

/// Prints it to standard output; with JSON logs it is one event instead.
pub(super) fn print(config: &Config, signalling: &Signalling, io_kind: &str, io_reason: &str) {
    let page = config.public_url.clone().unwrap_or_else(|| format!("https://{}", reachable(signalling.https)));
    let workers = config.cores.len();
    let ports = (config.media.port_base, usize::from(config.media.port_base) + workers - 1);
    if config.log.format == LogFormat::Json {
        tracing::info!(
            page,
            admin = %signalling.admin,
            workers,
            io = io_kind,
            io_reason,
            media_port_first = ports.0,
            media_port_last = ports.1,
            "serving"
        );
    } else {
        let text = text(config, signalling, &page, ports, &format!("{io_kind} ({io_reason})"));
        // A failed write is ignored: a reader that closes the pipe after the first lines must not end the node.
        let _ = io::stdout().write_all(text.as_bytes());
    }
    warn(config, ports);
    crate::doctor::memory::log(config);
}

/// The lines for a person.
fn text(config: &Config, signalling: &Signalling, page: &str, ports: (u16, usize), io: &str) -> String {
    let mut text = String::new();
    let mut line = |line: fmt::Arguments<'_>| text.push_str(&format!("{line}\n"));
    let workers = config.cores.len();
    line(format_args!("Corecast serves {page}/"));
    if let Some(http) = signalling.http {
        line(format_args!("  plain HTTP   http://{http}/ (this host only)"));
    }
    if let Some(redirect) = signalling.http_redirect {
        let challenges = if config.acme_webroot.is_some() { ", and answers to ACME challenges" } else { "" };
        line(format_args!("  redirect     http://{redirect}/ to HTTPS{challenges}"));
    }
    line(format_args!("  publish      WHIP {page}/whip/NAME   or the page {page}/publish/NAME"));
    line(format_args!("  watch        WHEP {page}/whep/NAME   or the page {page}/watch/NAME"));
    let scheme = if signalling.admin.ip().is_loopback() { "http" } else { "https" };
    line(format_args!(
        "  operator     {scheme}://{}/dashboard, /metrics, /healthz, /readyz, /api/v1/node",
        reachable(signalling.admin)
    ));
    if config.auth.require {
        let is_shared = config.auth.secret.is_some() || config.auth.secret_file.is_some();
        let who = match (is_shared, config.auth.jwks.is_some()) {
            (true, _) => "whoever has a token: corecast token --action play --stream NAME makes one",
            (false, true) => "whoever has a token of yours",
            (false, false) => "whom the webhook allows",
        };
        line(format_args!("  who may      {who}"));
    }
    let cores: Vec<String> = config.cores.iter().map(ToString::to_string).collect();
    let ports = if workers == 1 { ports.0.to_string() } else { format!("{} to {}", ports.0, ports.1) };
    line(format_args!("  workers      {workers}, on core {}; UDP {ports}", cores.join(", ")));
    line(format_args!("  I/O          {io}"));
    if config.tls == Tls::SelfSigned && config.public_url.is_none() {
        let file = config.state_directory.join(CERT_FILE);
        line(format_args!(
            "  certificate  self-signed: the browser warns once; use --tls-cert and --tls-key for a real one"
        ));
        line(format_args!("  to trust it  curl --cacert {}; browsers: {TRUST}", file.display()));
    }
    line(format_args!("Ctrl-C ends it."));
    text
}

/// An address that a browser can open: the wildcard address becomes loopback, which it includes.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => SocketAddr::from((Ipv4Addr::LOCALHOST, address.port())),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => SocketAddr::from((Ipv6Addr::LOCALHOST, address.port())),
        _ => address,
    }
}

/// Warns of settings that work but that an operator may want to change.
fn warn(config: &Config, ports: (u16, usize)) {
    if config.allow_anyone && !config.auth.require && !config.is_loopback_only() {
        tracing::warn!("anyone who reaches {} may publish and watch (allow_anyone)", config.https);
    }
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    if let Some((low, high)) = port_range(&range)
        && ports.1 >= usize::from(low)
        && ports.0 <= high
    {
        tracing::warn!(
            "media ports {} to {} lie in the ephemeral range {low} to {high}: another program may take one between \
             two starts; choose a lower --media-port-base",
            ports.0,
            ports.1
        );
    }
}

/// The two numbers of `ip_local_port_range`.
fn port_range(text: &str) -> Option<(u16, u16)> {
    let mut numbers = text.split_whitespace().map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_named_by_an_address_a_browser_can_open() {
        for (bound, shown) in [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("192.0.2.1:1", "192.0.2.1:1")] {
            assert_eq!(reachable(bound.parse().unwrap()).to_string(), shown);
        }
    }

    #[test]
    fn the_kernels_port_range_is_read() {
        assert_eq!(port_range("32768\t60999\n"), Some((32_768, 60_999)));
        assert_eq!(port_range(""), None);
    }
}
