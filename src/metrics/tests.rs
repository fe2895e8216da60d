//! Tests of `/metrics`. They compare every byte, except values that come from the kernel.

use std::collections::BTreeSet;
use std::path::Path;

use super::*;
use crate::worker::report::{EncodingReport, ResidenceReport, StreamReport, Traffic, TrainsReport};

#[test]
fn the_text_has_signallings_counters_and_every_workers_figures() {
    let counters = SignallingCounters::new();
    counters.request("whip", 201);
    counters.request("whip", 201);
    counters.connection_opened();
    counters.session_ended("left");
    let report = |worker| WorkerReport {
        worker,
        cpu_time_ns: 1_500_000_000,
        system_time_ns: 500_000_000,
        sent: Traffic { packets: 7, bytes: 8_400 },
        dropped: [("replayed", 3)].into(),
        trains: TrainsReport { by_packets: vec![(1, 5), (8, 1), (9, 2)], ..TrainsReport::default() },
        residence: vec![ResidenceReport { class: "audio", viewer: "last", p99_us: 1_500, ..Default::default() }],
        streams: vec![StreamReport { name: "a".into(), origin: worker == 0, viewers: 2, ..Default::default() }],
        ..WorkerReport::default()
    };
    let audience = Audience { publishers: 1, viewers: 4, waiting_viewers: 0 };
    let build = BuildInfo { version: "1", commit: "abc", features: "none" };
    let text = counters.encode(audience, build, vec![report(0), report(1)].into());
    assert!(text.contains("\ncorecast_kernel_udp_receive_buffer_errors_total "), "{text}");
    assert!(text.contains("\ncorecast_resident_memory_bytes "), "{text}");
    for line in [
        "corecast_http_requests_total{route=\"whip\",status=\"201\"} 2",
        "corecast_http_connections 1",
        "corecast_sessions_ended_total{reason=\"left\"} 1",
        "corecast_viewers 4",
        "corecast_build{version=\"1\",commit=\"abc\",features=\"none\"} 1",
        "corecast_worker_sent_packets_total{worker=\"1\"} 7",
        "corecast_worker_cpu_seconds_total{worker=\"0\"} 1.5",
        "corecast_worker_system_cpu_seconds_total{worker=\"1\"} 0.5",
        "corecast_worker_dropped_total{worker=\"0\",reason=\"replayed\"} 3",
        "corecast_worker_trains_total{worker=\"0\",packets=\"1\"} 5",
        "corecast_worker_trains_total{worker=\"0\",packets=\"8\"} 3",
        "corecast_worker_residence_seconds{worker=\"1\",class=\"audio\",viewer=\"last\",quantile=\"0.99\"} 0.0015",
        "corecast_stream_viewers{stream=\"a\"} 4",
        "corecast_stream_published{stream=\"a\"} 1",
        "# EOF",
    ] {
        assert!(text.lines().any(|have| have == line), "{line} is not in\n{text}");
    }
}

#[test]
fn names_that_nobody_publishes_are_no_labels_and_published_ones_have_a_bound() {
    let stream = |name: String, origin, viewers| StreamReport { name, origin, viewers, ..Default::default() };
    let mut streams: Vec<StreamReport> = (0..2_000).map(|i| stream(format!("invented-{i}"), false, 1_000)).collect();
    streams.extend((0..300).map(|i| stream(format!("published-{i:03}"), true, i)));
    let build = BuildInfo { version: "1", commit: "abc", features: "none" };
    let report = WorkerReport { streams, ..WorkerReport::default() };
    let text = SignallingCounters::new().encode(Audience::default(), build, vec![report].into());
    let of_streams = text.lines().filter(|line| line.starts_with("corecast_stream_")).count();
    assert_eq!(of_streams, 2 * (crate::limits::STREAM_LABELS_MAX + 1));
    assert!(!text.contains("invented"));
    let others = 2_000 * 1_000 + (0..100).sum::<u64>();
    for line in [
        "corecast_stream_viewers{stream=\"published-299\"} 299".to_owned(),
        format!("corecast_stream_viewers{{stream=\"(others)\"}} {others}"),
        "corecast_stream_published{stream=\"(others)\"} 100".to_owned(),
    ] {
        assert!(text.lines().any(|have| have == line), "{line}");
    }
}

#[test]
fn every_counter_ends_in_total_and_no_name_appears_twice() {
    let build = BuildInfo { version: "1", commit: "abc", features: "none" };
    let text = SignallingCounters::new().encode(Audience::default(), build, vec![WorkerReport::default()].into());
    let names: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let unique: BTreeSet<&&str> = names.iter().collect();
    assert_eq!(names.len(), unique.len());
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        let is_counter = names.contains(&format!("{} counter", name.trim_end_matches("_total")).as_str());
        assert_eq!(is_counter, name.ends_with("_total"), "{line}");
    }
}

/// A node in whose reports the figures have distinct values.
fn busy_node() -> (SignallingCounters, Vec<WorkerReport>) {
    let counters = SignallingCounters::new();
    // One set of labels for each, because the order of several is not deterministic.
    counters.request("whep", 503);
    counters.connection_opened();
    counters.connection_opened();
    counters.connection_closed();
    counters.connection_refused("too_many");
    counters.session_refused("full");
    counters.session_ended("left");
    counters.nearest_fits();
    counters.path_too_narrow();
    counters.plain_client_at_key_age();
    counters.nothing_fits();
    counters.webhook_events_dropped(3);
    counters.webhook_questions_turned_away(4);
    counters.certificates([("live.example.org", 2_000_000_000), ("live.example.org", 1_900_000_000)].into_iter());
    counters.socket_opened();
    counters.socket_opened();
    counters.socket_closed("idle");
    counters.socket_message("hello");
    counters.session_resumed();
    let traffic = |of: u64| Traffic { packets: of, bytes: of * 1_000 };
    let encoding = |rid: &str, alive, bits_per_second, height, viewers| EncodingReport {
        kind: "video",
        rid: rid.into(),
        alive,
        bits_per_second,
        height,
        viewers,
        ..EncodingReport::default()
    };
    let report = |worker: u16| {
        let of = u64::from(worker) * 100;
        WorkerReport {
            worker,
            cpu_time_ns: 1_500_000_000 + of,
            system_time_ns: 500_000_000,
            uptime_ns: 9_000_000_000,
            rounds: of + 1,
            busy_permille: 125,
            received: traffic(of + 2),
            sent: traffic(of + 3),
            forwarded: traffic(of + 4),
            retransmitted: traffic(of + 5),
            channel_messages_received: of + 14,
            channel_messages_sent: of + 15,
            channel_messages_back: of + 16,
            messages_sent: of + 6,
            segments_sent: of + 7,
            lane_packets_sent: of + 8,
            lane_packets_received: of + 9,
            joins: of + 10,
            connected: of + 11,
            handshakes: of + 12,
            handshakes_deferred: of + 13,
            ended: [("left", 1), ("timed_out", of)].into(),
            dropped: [("cursor_skips", 0), ("srtp_replayed", of + 1)].into(),
            trains: TrainsReport { by_packets: vec![(1, 5), (8, 1), (9, 2)], ..TrainsReport::default() },
            residence: vec![ResidenceReport {
                class: "audio",
                viewer: "last",
                packets: 4,
                p50_us: 20,
                p99_us: 1_500,
                p999_us: 2_000,
                max_us: 9_999,
            }],
            streams: vec![
                StreamReport {
                    name: "a".into(),
                    origin: worker == 0,
                    viewers: 2,
                    encodings: vec![
                        EncodingReport { kind: "audio", bits_per_second: 64_000, alive: true, ..Default::default() },
                        encoding("h", worker == 0, 2_400_000, 720, 2),
                        encoding("l", true, 150_000, 180, of),
                    ],
                    ..Default::default()
                },
                StreamReport { name: "\"b\"".into(), viewers: of, ..Default::default() },
            ],
            ..WorkerReport::default()
        }
    };
    (counters, vec![report(0), report(1)])
}

/// The text without the values that come from the kernel.
fn steady(text: &str) -> String {
    let line = |line: &str| match line.split_once(' ') {
        Some((name, _)) if name.starts_with("corecast_kernel_") || name == "corecast_resident_memory_bytes" => {
            format!("{name} …\n")
        }
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

/// Dashboards and alerts use these names, so a changed line here is a change for them. `BLESS=1` rewrites the file.
#[test]
fn the_metrics_text_equals_the_golden_file() {
    let (counters, reports) = busy_node();
    let audience = Audience { publishers: 1, viewers: 4, waiting_viewers: 2 };
    let build = BuildInfo { version: "1", commit: "abc", features: "none" };
    let text = steady(&counters.encode(audience, build, reports.into()));
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/metrics/golden.txt");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    let golden = std::fs::read_to_string(&file).unwrap();
    let first = text.lines().zip(golden.lines()).find(|(now, then)| now != then);
    assert_eq!(first, None, "the first line that differs");
    assert_eq!(text, golden);
}

/// The value at `path` (`workers[].sent.packets`), of the first element of each list.
fn at<'a>(json: &'a serde_json::Value, path: &str) -> &'a serde_json::Value {
    path.split('.').fold(json, |value, step| match step.strip_suffix("[]") {
        Some(list) => &value[list][0],
        None => &value[step],
    })
}

#[test]
fn the_json_report_has_each_figure_of_a_worker_where_its_declaration_says() {
    let (_, reports) = busy_node();
    let report = &reports[1];
    let json = serde_json::json!({ "workers": [report] });
    for figure in worker::WORKER {
        let path = figure.description.json;
        let told = at(&json, path);
        match figure.values(report)[..] {
            [(ref labels, figure::Value::Count(value))] if labels.is_empty() => {
                let told = told.as_u64().or(told.as_array().map(|list| list.len() as u64));
                assert_eq!(told, Some(value), "{path}");
            }
            [(ref labels, figure::Value::Real(value))] if labels.is_empty() => {
                let scale = told.as_f64().unwrap() / value;
                let expected = if path.ends_with("_ns") { 1e9 } else { 1e3 };
                assert!((scale / expected - 1.0).abs() < 1e-9, "{path}: {scale}");
            }
            _ => assert!(told.is_object() || told.is_array(), "{path}: {told}"),
        }
    }
    for figure in worker::STREAMS {
        let told = at(&json, figure.description.json);
        assert!(told.is_boolean() || told.is_u64(), "{}", figure.description.json);
    }
}

#[test]
fn every_field_of_a_workers_report_is_a_figure_or_a_listed_exception() {
    /// Fields that describe the worker, or that follow from other figures.
    const NO_FIGURES: &[&str] = &["core", "io", "media_port", "segments_per_message", "streams", "worker"];
    let json = serde_json::to_value(WorkerReport::default()).unwrap();
    let told: BTreeSet<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    let field = |path: &'static str| path.strip_prefix("workers[].")?.split(['.', '[']).next();
    let mut declared: BTreeSet<&str> = worker::WORKER.iter().filter_map(|f| field(f.description.json)).collect();
    declared.extend(NO_FIGURES);
    assert_eq!(told, declared);
}

#[test]
fn the_json_report_has_the_kernels_figures_under_their_own_names() {
    let json = serde_json::json!({ "kernel_udp": crate::net::host::KernelUdpCounters::default() });
    for figure in host::KERNEL_UDP {
        assert!(at(&json, figure.description.json).is_u64(), "{}", figure.description.json);
    }
    assert_eq!(json["kernel_udp"].as_object().unwrap().len(), host::KERNEL_UDP.len());
}

#[test]
fn the_table_of_figures_has_every_figure_of_the_text() {
    let (counters, reports) = busy_node();
    let build = BuildInfo { version: "1", commit: "abc", features: "none" };
    let text = counters.encode(Audience::default(), build, reports.into());
    let table = reference::markdown();
    let mut figures = 0;
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        let total = if kind == "counter" { "_total" } else { "" };
        assert!(table.contains(&format!("| `{name}{total}` |")), "{name}");
        figures += 1;
    }
    assert_eq!(figures, reference::descriptions().len());
}

/// `BLESS=1` rewrites the manual's page.
#[test]
fn the_manuals_table_of_figures_is_made_from_their_declarations() {
    let (begin, end) = ("<!-- figures: begin -->\n", "<!-- figures: end -->\n");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/manual/figures.md");
    let page = std::fs::read_to_string(&file).unwrap();
    let (before, rest) = page.split_once(begin).unwrap();
    let (_, after) = rest.split_once(end).unwrap();
    let made = format!("{before}{begin}\n{}\n{end}{after}", reference::markdown());
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&file, &made).unwrap();
    }
    let hint = "`BLESS=1 cargo test --lib metrics` writes the page anew";
    assert!(std::fs::read_to_string(&file).unwrap() == made, "{hint}");
}
