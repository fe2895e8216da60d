//! `corecast cluster status`: asks a node what it knows of its cluster, and prints it.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use crate::auth::client;
use crate::cli::ClusterStatusOptions;
use crate::config::Config;
use crate::limits;
use crate::signal::ownership::report::{ChannelReport, ClusterReport, NodeReport, RefusalReport, StreamReport};
use crate::worker::links::report::LinkReport;

/// Asks and prints. The exit code is 1 when the node cannot be asked, or the engine does not answer it.
pub fn run(config: &Config, options: &ClusterStatusOptions) -> ExitCode {
    match ask(config, options) {
        Ok(report) => {
            let text = if options.json {
                serde_json::to_string_pretty(&report).unwrap_or_default() + "\n"
            } else {
                lines(&report)
            };
            // A reader that closes the pipe early (`| head`) is no reason to fail.
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::from(u8::from(report.engine.away_s.is_some()))
        }
        Err(why) => {
            eprintln!("corecast: error: {why}");
            ExitCode::FAILURE
        }
    }
}

fn ask(config: &Config, options: &ClusterStatusOptions) -> Result<ClusterReport, String> {
    let scheme = if config.admin.ip().is_loopback() { "http" } else { "https" };
    let node = options.node.clone().unwrap_or_else(|| format!("{scheme}://{}", config.admin));
    let node = node.trim_end_matches('/');
    let token = options.token_file.as_deref().map(token).transpose()?;
    let agent = client::agent(options.ca.as_deref(), node.starts_with("https://")).map_err(|error| match error {
        client::ClientError::Unreadable { file, error } => format!("--ca = {}: {error}", file.display()),
        client::ClientError::NoAuthorities => {
            "this system has no certificate authorities to believe the node by: name a PEM file with --ca".to_owned()
        }
    })?;
    let mut request = agent
        .get(format!("{node}/api/v1/cluster"))
        .config()
        .timeout_global(Some(limits::CLUSTER_STATUS_TIME_MAX))
        .build();
    if let Some(token) = token {
        request = request.header("Authorization", format!("Bearer {token}"));
    }
    let mut response = request.call().map_err(|error| {
        format!(
            "{node}: {}: is the node there, and is this its operator's port (admin)? --node URL names another one",
            client::words(&error)
        )
    })?;
    let status = response.status().as_u16();
    let body = response.body_mut().read_to_string().map_err(|error| format!("{node}: {}", client::words(&error)))?;
    if status != 200 {
        let problem: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
        let detail = problem.get("detail").and_then(serde_json::Value::as_str).unwrap_or("no reason is given");
        return Err(format!("{node} answers {status}: {detail}"));
    }
    serde_json::from_str(&body).map_err(|error| format!("{node}: its answer cannot be read: {error}"))
}

fn token(file: &Path) -> Result<String, String> {
    std::fs::read_to_string(file).map(|text| text.trim().to_owned()).map_err(|error| {
        format!("--token-file = {}: {error}: it must hold a token with the action admin", file.display())
    })
}

fn lines(report: &ClusterReport) -> String {
    let ClusterReport { cluster, node, region, engine, nodes, streams, channel, refused, links } = report;
    let mut text = format!("cluster {cluster}, as {node} (region {region}) knows it\n");
    let _ = match engine.away_s {
        None => writeln!(text, "engine  {} answers, revision {}", engine.asked, engine.revision),
        Some(away_s) => writeln!(
            text,
            "engine  {} has not answered for {away_s:.0} s: what follows is of revision {}; new names wait, all else goes on",
            engine.asked, engine.revision
        ),
    };
    let _ = match channel {
        Some(ChannelReport { address, certificate, certificate_ends, accepted, dialled, .. }) => writeln!(
            text,
            "channel {address}, as {certificate} until {certificate_ends}; {accepted} connections taken, {dialled} made"
        ),
        None => writeln!(
            text,
            "channel none: this node speaks to no other, since it shows no certificate (cluster.ca, cluster.cert, cluster.key)"
        ),
    };
    let told = |number: Option<String>| number.unwrap_or_else(|| "–".to_owned());
    let of_node = |node: &NodeReport| {
        let used = told(node.used_permille.map(|permille| format!("{:.1} %", f64::from(permille) / 10.0)));
        let sessions = told(node.sessions.map(|sessions| sessions.to_string()));
        let channel = told(node.channel.clone());
        let NodeReport { name, region, state, url, version, streams, .. } = node;
        let (streams, version) = (streams.to_string(), version.clone());
        [name.clone(), region.clone(), state.clone(), used, sessions, streams, version, url.clone(), channel]
    };
    text.push('\n');
    let header = ["NODE", "REGION", "STATE", "USED", "SESSIONS", "STREAMS", "VERSION", "URL", "CHANNEL"];
    table(&mut text, header, nodes.iter().map(of_node).collect());
    text.push('\n');
    let of_stream = |stream: &StreamReport| {
        [stream.name.clone(), stream.node.clone(), stream.epoch.to_string(), stream.session.clone()]
    };
    table(&mut text, ["STREAM", "NODE", "EPOCH", "SESSION"], streams.iter().map(of_stream).collect());
    if !links.is_empty() {
        text.push('\n');
        let of_link = |link: &LinkReport| {
            let LinkReport { stream, node, is_parent, silent_ms, round_trip_us, encodings, counts } = link;
            let way = if *is_parent { "from" } else { "to" };
            let round_trip = told(round_trip_us.map(|us| format!("{:.1} ms", us as f64 / 1e3)));
            let (packets, again, lost) = match is_parent {
                true => (counts.received_packets, counts.asked, counts.lost),
                false => (counts.sent_packets, counts.repeated, counts.gone),
            };
            [
                stream.clone(),
                format!("{way} {node}"),
                encodings.to_string(),
                packets.to_string(),
                again.to_string(),
                lost.to_string(),
                round_trip,
                format!("{silent_ms} ms ago"),
            ]
        };
        let header = ["LINK", "NODE", "ENCODINGS", "PACKETS", "AGAIN", "LOST", "ROUND TRIP", "HEARD"];
        table(&mut text, header, links.iter().map(of_link).collect());
    }
    if !refused.is_empty() {
        text.push('\n');
        let of_refusal = |one: &RefusalReport| {
            let RefusalReport { side, address, node, kind, detail, times, ago_s } = one;
            let (ago, times) = (format!("{ago_s:.0} s"), times.to_string());
            [side.clone(), address.clone(), told(node.clone()), ago, times, kind.clone(), detail.clone()]
        };
        let header = ["REFUSED", "ADDRESS", "NODE", "AGO", "TIMES", "KIND", "WHY"];
        table(&mut text, header, refused.iter().map(of_refusal).collect());
    }
    text
}

/// Columns as wide as what is in them.
fn table<const N: usize>(text: &mut String, header: [&str; N], rows: Vec<[String; N]>) {
    let mut widths = header.map(|cell| cell.chars().count());
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut line = |row: [&str; N]| {
        let mut written = String::new();
        for (cell, width) in row.into_iter().zip(widths) {
            let _ = write!(written, "{cell:width$}  ");
        }
        text.push_str(written.trim_end());
        text.push('\n');
    };
    line(header);
    for row in &rows {
        line(row.each_ref().map(String::as_str));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::ownership::report::EngineReport;

    #[test]
    fn a_status_is_read_at_a_glance() {
        let engine = EngineReport {
            asked: "https://e1:2379".into(),
            away_s: Some(61.2),
            has_lease: false,
            revision: 12,
            left_out: 0,
        };
        let node = |name: &str, used_permille: Option<u16>| NodeReport {
            name: name.into(),
            region: "eu".into(),
            url: format!("https://{name}:8443"),
            channel: used_permille.map(|_| format!("{name}:8446")),
            version: "0.1.0".into(),
            state: "ready".into(),
            used_permille,
            sessions: used_permille.map(u32::from),
            streams: 1,
        };
        let stream = StreamReport { name: "demo".into(), node: "edge-1".into(), epoch: 9, session: "7".into() };
        let report = ClusterReport {
            cluster: "live".into(),
            node: "edge-1".into(),
            region: "eu".into(),
            engine,
            nodes: vec![node("edge-1", Some(123)), node("o", None)],
            streams: vec![stream],
            channel: None,
            refused: Vec::new(),
            links: Vec::new(),
        };
        assert_eq!(
            lines(&report),
            "cluster live, as edge-1 (region eu) knows it\n\
             engine  https://e1:2379 has not answered for 61 s: what follows is of revision 12; new names wait, all else goes on\n\
             channel none: this node speaks to no other, since it shows no certificate (cluster.ca, cluster.cert, cluster.key)\n\
             \n\
             NODE    REGION  STATE  USED    SESSIONS  STREAMS  VERSION  URL                  CHANNEL\n\
             edge-1  eu      ready  12.3 %  123       1        0.1.0    https://edge-1:8443  edge-1:8446\n\
             o       eu      ready  –       –         1        0.1.0    https://o:8443       –\n\
             \n\
             STREAM  NODE    EPOCH  SESSION\n\
             demo    edge-1  9      7\n"
        );
    }
}
