//! Results for people and programs: the table at the end, `report.json`, and `report.html`, which is one file without
//! external references.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use crate::plots;
use crate::rekeys::Rekeys;
use crate::results::{Distribution, Results};

/// The distributions' names in `report.json` and for people.
const NAMES: [(&str, &str); 13] = [
    ("start_to_answer", "start to answer (HTTP)"),
    ("start_to_connected", "start to connected (DTLS)"),
    ("start_to_first_packet", "start to first packet"),
    ("start_to_key_frame", "start to first complete key frame"),
    ("start_to_live", "start to live picture"),
    ("rekey_to_connected", "keys: start to connected (DTLS)"),
    ("rekey_overlap", "keys: two transports play"),
    ("video_latency", "one-way latency, video"),
    ("audio_latency", "one-way latency, audio"),
    ("data_latency", "one-way latency, data messages"),
    ("own_start_late", "tester: starts late"),
    ("own_send_late", "tester: published packets late"),
    ("own_read_late", "tester: reads late"),
];

fn milliseconds(us: u64) -> String {
    let ms = us as f64 / 1e3;
    match ms {
        ms if ms >= 100.0 => format!("{ms:.0}"),
        ms if ms >= 1.0 => format!("{ms:.1}"),
        ms => format!("{ms:.3}"),
    }
}

/// The facts of a test as pairs of name and value.
fn facts(results: &Results) -> Vec<(&'static str, String)> {
    let count = |name: &str| results.counts.get(name).copied().unwrap_or(0);
    let accounts = &results.accounts;
    let mut facts = Vec::new();
    if results.publishers_intended > 0 {
        facts.push((
            "published",
            format!(
                "{} of {} streams, {} video and {} audio packets, {} again, {} key frames asked for",
                count("publishing"),
                results.publishers_intended,
                count("sent_video"),
                count("sent_audio"),
                count("sent_again"),
                count("key_frames_asked")
            ),
        ));
    }
    if results.viewers_intended > 0 {
        facts.push((
            "viewers",
            format!(
                "{} of {} connected, {} with a picture, {:.1} joins/s",
                results.viewers_connected,
                results.viewers_intended,
                results.viewers_with_picture,
                results.joins_per_second
            ),
        ));
        facts.push((
            "received",
            format!(
                "{} packets, {:.1} MB, {:.0} packets/s at the end; {} opened, {} not authentic",
                accounts.received,
                count("received_bytes") as f64 / 1e6,
                results.packets_per_second,
                count("opened"),
                count("unauthentic")
            ),
        ));
        facts.push((
            "lost",
            format!(
                "{} of {} skipped in {} gaps; {} recovered by RTX, {} reordered, {} duplicates; {} NACKs, {} PLIs",
                accounts.lost,
                count("missing"),
                count("gaps"),
                count("recovered"),
                count("reordered"),
                count("duplicates"),
                count("nacks"),
                count("plis")
            ),
        ));
    }
    if let (Some(due), Some(unseen)) = (accounts.due, accounts.unseen) {
        facts.push((
            "accounts",
            format!("due {due} = received {} + lost {} + unseen {unseen}", accounts.received, accounts.lost),
        ));
    }
    if let Some(picture) = &results.picture {
        let shares = picture.encoding_shares.iter().enumerate();
        let shares: Vec<String> = shares.map(|(at, share)| format!("{at}: {:.1} %", share * 100.0)).collect();
        let shares = if shares.is_empty() { "unknown".to_owned() } else { shares.join(", ") };
        facts.push((
            "picture",
            format!(
                "{} frames shown, {} freezes ({:.2} % of the time), {} switches; frames by encoding: {shares}",
                picture.frames,
                picture.freezes,
                picture.frozen_share * 100.0,
                picture.switches
            ),
        ));
    }
    if results.viewers_intended > 0 {
        facts.push(("feedback", format!("{} transport-wide reports, {} REMB", count("feedbacks"), count("rembs"))));
    }
    if count("link_lost") + count("link_dropped") > 0 {
        facts.push((
            "links",
            format!(
                "{} datagrams lost at random, {} for which a queue had no room (of this tester's own --link)",
                count("link_lost"),
                count("link_dropped")
            ),
        ));
    }
    if let Some(data) = &results.data {
        let due = data.due.map_or_else(String::new, |due| format!(" of {due}"));
        facts.push((
            "data",
            format!(
                "{} messages sent, {}{due} received ({:.0}/s at the end), {} lost, {} late; {} associations, {} channels closed by the server",
                data.sent,
                data.received,
                data.per_second,
                data.lost,
                data.late,
                count("data_connected"),
                count("data_closed")
            ),
        ));
    }
    facts.extend(results.rekeys.iter().flat_map(Rekeys::facts));
    let kernel = &results.kernel;
    facts.push((
        "kernel",
        format!(
            "{} UDP receive-buffer drops, {} send drops, {} to closed ports (whole network namespace); {} by clients' sockets",
            kernel.receive_buffer_errors, kernel.send_buffer_errors, kernel.no_ports, accounts.socket_drops
        ),
    ));
    if let Some(server) = &results.server {
        facts.push((
            "server CPU",
            format!(
                "{:.2} cores, {:.0} ns per forwarded packet; busiest thread {} at {:.0} %",
                server.cores,
                server.ns_per_packet,
                server.busiest_thread,
                server.busiest_thread_cores * 100.0
            ),
        ));
    }
    let server = results.server.as_ref();
    if let Some((now, before)) = server.and_then(|server| server.resident_bytes.zip(server.resident_bytes_before)) {
        let each = now.saturating_sub(before) as f64 / 1024.0 / results.viewers_connected.max(1) as f64;
        let mebibytes = |bytes: u64| bytes as f64 / (1 << 20) as f64;
        let (now, before) = (mebibytes(now), mebibytes(before));
        facts.push(("server memory", format!("{now:.1} MiB, {before:.1} before; {each:.1} KiB for each viewer")));
    }
    facts.push(("machine", format!("{:.0} % busy", results.machine_busy * 100.0)));
    for thread in &results.threads {
        let per_message = thread.datagrams_received as f64 / thread.messages_received.max(1) as f64;
        facts.push((
            "own thread",
            format!(
                "{}: {:.0} % busy, {:.0} % in its busiest second; {per_message:.1} packets per receive",
                thread.name,
                thread.busy_mean * 100.0,
                thread.busy_max * 100.0
            ),
        ));
    }
    for (reason, number) in &results.requests_failed {
        facts.push(("failed", format!("{number} × {reason}")));
    }
    facts
}

fn rows(results: &Results) -> impl Iterator<Item = (&'static str, &Distribution)> {
    NAMES.into_iter().filter_map(|(key, name)| {
        let distribution = results.distributions.get(key).filter(|distribution| distribution.count > 0)?;
        Some((name, distribution))
    })
}

fn outcome(results: &Results) -> String {
    match &results.knee {
        Some(knee) => format!("KNEE {} viewers: {}", knee.viewers, knee.reason),
        None if results.verdict.passed() => "PASS".to_owned(),
        None => format!("FAIL {}", results.verdict.failed.join("; ")),
    }
}

/// The table at the end.
pub(crate) fn print(results: &Results) {
    println!("{}", text(results));
}

fn text(results: &Results) -> String {
    let mut out = String::new();
    for (name, value) in facts(results) {
        let _ = writeln!(out, "{name:<13} {value}");
    }
    let _ = writeln!(
        out,
        "\n{:<36}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}",
        "milliseconds", "count", "p50", "p90", "p99", "p99.9", "max"
    );
    for (name, distribution) in rows(results) {
        let Distribution { count, p50, p90, p99, p999, max, .. } = *distribution;
        let [p50, p90, p99, p999, max] = [p50, p90, p99, p999, max].map(milliseconds);
        let _ = writeln!(out, "{name:<36}{count:>10}{p50:>10}{p90:>10}{p99:>10}{p999:>10}{max:>10}");
    }
    if let Some(knee) = &results.knee {
        let _ = writeln!(
            out,
            "\n{:>8}{:>12}{:>10}{:>12}{:>14}{:>12}",
            "viewers", "packets/s", "loss %", "p99 ms", "server ns/p", "machine %"
        );
        for step in &knee.steps {
            let server = step.server.as_ref().map_or("-".to_owned(), |server| format!("{:.0}", server.ns_per_packet));
            let _ = writeln!(
                out,
                "{:>8}{:>12.0}{:>10.3}{:>12}{server:>14}{:>12.0}",
                step.viewers,
                step.packets_per_second,
                step.loss * 100.0,
                milliseconds(step.latency_p99_us),
                step.machine_busy * 100.0
            );
        }
    }
    let _ = writeln!(out);
    for reason in &results.bottleneck {
        let _ = writeln!(out, "bottleneck   {reason}");
    }
    let _ = write!(out, "{}{}", outcome(results), if results.interrupted { " (interrupted)" } else { "" });
    out
}

/// Writes `report.json` and `report.html`.
pub(crate) fn write(results: &Results, directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    fs::write(directory.join("report.json"), serde_json::to_vec_pretty(results)?)?;
    fs::write(directory.join("report.html"), html(results)?)
}

const STYLE: &str = "
:root{color-scheme:light dark;--ink:#1c2430;--paper:#fff;--grid:#d5dae1;--soft:#5c6878;
--one:#0b6bcb;--two:#c2410c;--three:#15803d;--four:#7e22ce;--pass:#15803d;--fail:#b91c1c}
@media(prefers-color-scheme:dark){:root{--ink:#e6eaf0;--paper:#12161c;--grid:#333c48;--soft:#9aa6b5;
--one:#5aa9f7;--two:#fb923c;--three:#4ade80;--four:#c084fc;--pass:#4ade80;--fail:#f87171}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:920px;margin:2em auto;padding:0 1em}
h1{font-size:1.5em}h2{font-size:1.1em;margin:2em 0 .4em}code{font-size:.9em;overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:.25em .6em;border-bottom:1px solid var(--grid)}
th:first-child,td:first-child{text-align:left}th{font-weight:600;color:var(--soft)}
.facts td{text-align:left}.facts td:first-child{color:var(--soft);white-space:nowrap}
.legend{margin:0;font-size:.9em}.legend span{margin-right:1.4em}.legend b{display:inline-block;width:1.2em;height:3px;
vertical-align:middle;margin-right:.4em}svg{width:100%;height:auto}.pass{color:var(--pass)}.fail{color:var(--fail)}.note{border-left:3px solid var(--two);padding-left:.8em}";

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn html(results: &Results) -> io::Result<String> {
    let plots = plots::all(results).map_err(|error| io::Error::other(error.to_string()))?;
    let class = if results.verdict.passed() { "pass" } else { "fail" };
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Load test</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head><body>\n\
         <h1>Load test: <span class=\"{class}\">{}</span></h1>\n<p><code>corecast-loadtest {}</code></p>\n",
        escaped(&outcome(results)),
        escaped(&results.command)
    );
    for reason in &results.bottleneck {
        let _ = writeln!(out, "<p class=\"note\">The tester may have been the limit: {}</p>", escaped(reason));
    }
    out.push_str("<table class=\"facts\">");
    for (name, value) in facts(results) {
        let _ = writeln!(out, "<tr><td>{name}</td><td>{}</td></tr>", escaped(&value));
    }
    out.push_str("</table>\n<h2>Distributions, milliseconds</h2><table><tr><th></th><th>count</th><th>p50</th><th>p90</th><th>p99</th><th>p99.9</th><th>max</th></tr>");
    for (name, distribution) in rows(results) {
        let Distribution { count, p50, p90, p99, p999, max, .. } = *distribution;
        let _ = write!(out, "<tr><td>{name}</td><td>{count}</td>");
        for value in [p50, p90, p99, p999, max] {
            let _ = write!(out, "<td>{}</td>", milliseconds(value));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</table>\n");
    for (title, svg) in plots {
        let _ = writeln!(out, "<h2>{title}</h2>\n{svg}");
    }
    out.push_str("</body></html>\n");
    Ok(out)
}
