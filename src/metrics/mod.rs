//! The node's figures in Prometheus' text format: signalling's own counters, and the workers' reports as they were told.
//!
//! Counters are cumulative and end in `_total`, units stand in the name. Per stream there are two figures; per session
//! none here: thousands of viewers would make thousands of series (`GET /api/v1/node` has them).

use std::fmt::{self, Write as _};
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

use crate::net::host::KernelUdpCounters;
use crate::net::process;
use crate::worker::report::WorkerReport;

/// The `Content-Type` of [`SignallingCounters::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TypeLabel {
    r#type: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NameLabel {
    name: String,
}

/// What signalling counts. Cheap to clone: all clones count together.
#[derive(Clone, Debug)]
pub struct SignallingCounters {
    registry: Arc<Registry>,
    requests: Family<RequestLabels, Counter>,
    connections_opened: Counter,
    connections: Gauge,
    connections_refused: Family<ReasonLabel, Counter>,
    sessions_refused: Family<ReasonLabel, Counter>,
    sessions_ended: Family<ReasonLabel, Counter>,
    nothing_fits: Counter,
    webhook_events_dropped: Counter,
    certificates: Family<NameLabel, Gauge>,
    sockets: Gauge,
    sockets_closed: Family<ReasonLabel, Counter>,
    socket_messages: Family<TypeLabel, Counter>,
    sessions_resumed: Counter,
    publishers: Gauge,
    viewers: Gauge,
    waiting_viewers: Gauge,
}

/// Sessions and viewers as the directory counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Audience {
    /// Publishers' sessions.
    pub publishers: usize,
    /// Viewers' sessions, the waiting ones among them.
    pub viewers: usize,
    /// Viewers of names nobody publishes.
    pub waiting_viewers: usize,
}

impl Default for SignallingCounters {
    fn default() -> Self {
        Self::new()
    }
}

impl SignallingCounters {
    /// All at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut counters = Self {
            registry: Arc::default(),
            requests: Family::default(),
            connections_opened: Counter::default(),
            connections: Gauge::default(),
            connections_refused: Family::default(),
            sessions_refused: Family::default(),
            sessions_ended: Family::default(),
            nothing_fits: Counter::default(),
            webhook_events_dropped: Counter::default(),
            certificates: Family::default(),
            sockets: Gauge::default(),
            sockets_closed: Family::default(),
            socket_messages: Family::default(),
            sessions_resumed: Counter::default(),
            publishers: Gauge::default(),
            viewers: Gauge::default(),
            waiting_viewers: Gauge::default(),
        };
        let mut registry = Registry::with_prefix("corecast");
        let r = &mut registry;
        r.register("http_requests", "HTTP requests answered", counters.requests.clone());
        r.register("http_connections_opened", "HTTP connections accepted", counters.connections_opened.clone());
        r.register("http_connections", "HTTP connections open now", counters.connections.clone());
        r.register(
            "http_connections_refused",
            "HTTP connections that were closed without being served to their end, by reason",
            counters.connections_refused.clone(),
        );
        r.register("sessions_refused", "Sessions refused by signalling, by reason", counters.sessions_refused.clone());
        r.register("sessions_ended", "Sessions that ended, by reason", counters.sessions_ended.clone());
        r.register(
            "viewers_nothing_fits",
            "Times a viewer had negotiated nothing that fits what is published",
            counters.nothing_fits.clone(),
        );
        r.register(
            "webhook_events_dropped",
            "Starts and ends of sessions that the operator's endpoint was not told of",
            counters.webhook_events_dropped.clone(),
        );
        r.register(
            "tls_certificate_not_after_timestamp_seconds",
            "When a served HTTPS certificate ends, by the first name it is for",
            counters.certificates.clone(),
        );
        r.register("sockets", "WebSocket connections open now", counters.sockets.clone());
        r.register("sockets_closed", "WebSocket connections that ended, by reason", counters.sockets_closed.clone());
        r.register("socket_messages", "Messages from WebSocket clients, by type", counters.socket_messages.clone());
        r.register("sessions_resumed", "Sessions that another socket took over", counters.sessions_resumed.clone());
        r.register("publishers", "Publishers' sessions now", counters.publishers.clone());
        r.register("viewers", "Viewers' sessions now, waiting ones among them", counters.viewers.clone());
        r.register("waiting_viewers", "Viewers of names nobody publishes now", counters.waiting_viewers.clone());
        counters.registry = Arc::new(registry);
        counters
    }

    /// A request was answered. `route` is one of a fixed set, never text from the peer.
    pub fn request(&self, route: &'static str, status: u16) {
        self.requests.get_or_create(&RequestLabels { route, status }).inc();
    }

    /// A connection was accepted.
    pub fn connection_opened(&self) {
        self.connections_opened.inc();
        self.connections.inc();
    }

    /// An accepted connection is gone.
    pub fn connection_closed(&self) {
        self.connections.dec();
    }

    /// A connection was closed by this node before its peer wanted.
    pub fn connection_refused(&self, reason: &'static str) {
        self.connections_refused.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// A session was refused.
    pub fn session_refused(&self, reason: &'static str) {
        self.sessions_refused.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// A session ended.
    pub fn session_ended(&self, reason: &'static str) {
        self.sessions_ended.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// A viewer gets nothing of one kind.
    pub fn nothing_fits(&self) {
        self.nothing_fits.inc();
    }

    /// Events that were not told, so far.
    pub fn webhook_events_dropped(&self, total: u64) {
        self.webhook_events_dropped.inc_by(total.saturating_sub(self.webhook_events_dropped.get()));
    }

    /// When each served certificate ends, in seconds since 1970: the earliest where several share their first name.
    pub fn certificates<'a>(&self, ends: impl Iterator<Item = (&'a str, i64)>) {
        self.certificates.clear();
        for (name, end) in ends {
            let gauge = self.certificates.get_or_create(&NameLabel { name: name.to_owned() });
            gauge.set(if gauge.get() == 0 { end } else { gauge.get().min(end) });
        }
    }

    /// A connection became a socket.
    pub fn socket_opened(&self) {
        self.sockets.inc();
    }

    /// A socket is gone.
    pub fn socket_closed(&self, reason: &'static str) {
        self.sockets.dec();
        self.sockets_closed.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// A message came over a socket. `kind` is one of a fixed set, never text from the peer.
    pub fn socket_message(&self, kind: &'static str) {
        self.socket_messages.get_or_create(&TypeLabel { r#type: kind }).inc();
    }

    /// A session was taken over by another socket.
    pub fn session_resumed(&self) {
        self.sessions_resumed.inc();
    }

    /// Everything as text, with `audience` and the workers' `reports` as of now.
    #[must_use]
    pub fn encode(&self, audience: Audience, build: BuildInfo, reports: Vec<WorkerReport>) -> String {
        let gauge = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        self.publishers.set(gauge(audience.publishers));
        self.viewers.set(gauge(audience.viewers));
        self.waiting_viewers.set(gauge(audience.waiting_viewers));
        let mut node = Registry::with_prefix("corecast");
        node.register_collector(Box::new(build));
        node.register_collector(Box::new(Host));
        node.register_collector(Box::new(Workers(reports)));
        let mut text = String::with_capacity(16 * 1024);
        let encoded = encode_registry(&mut text, &self.registry)
            .and_then(|()| encode_registry(&mut text, &node))
            .and_then(|()| encode_eof(&mut text));
        if encoded.is_err() {
            // Writing into a string fails only when a collector says so.
            let _ = writeln!(text, "# the metrics could not be encoded to their end");
        }
        text
    }
}

/// What runs.
#[derive(Clone, Copy, Debug)]
pub struct BuildInfo {
    /// The package's version.
    pub version: &'static str,
    /// The commit.
    pub commit: &'static str,
    /// The cargo features.
    pub features: &'static str,
}

impl Collector for BuildInfo {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut metric = encoder.encode_descriptor("build", "What runs; always 1", None, MetricType::Gauge)?;
        let labels = [("version", self.version), ("commit", self.commit), ("features", self.features)];
        ConstGauge::new(1_i64).encode(metric.encode_family(&labels)?)
    }
}

/// What the kernel tells of this process and of its network namespace, read when scraped.
#[derive(Debug)]
struct Host;

/// A figure of the kernel's.
type KernelFigure = fn(&KernelUdpCounters) -> u64;

const KERNEL_UDP: &[(&str, &str, KernelFigure)] = &[
    ("kernel_udp_in_datagrams", "UDP datagrams delivered, all programs' of this network namespace", |k| k.in_datagrams),
    ("kernel_udp_out_datagrams", "UDP datagrams sent, all programs' of this network namespace", |k| k.out_datagrams),
    ("kernel_udp_no_ports", "UDP datagrams to ports nobody listens on", |k| k.no_ports),
    ("kernel_udp_in_errors", "UDP datagrams not delivered for any other reason", |k| k.in_errors),
    ("kernel_udp_receive_buffer_errors", "Of those: a socket's receive buffer was full", |k| k.receive_buffer_errors),
    ("kernel_udp_send_buffer_errors", "UDP datagrams not sent: a send buffer or an interface's queue was full", |k| {
        k.send_buffer_errors
    }),
    ("kernel_udp_checksum_errors", "UDP datagrams with a wrong checksum", |k| k.checksum_errors),
    ("kernel_udp_memory_errors", "UDP datagrams not delivered for want of UDP memory", |k| k.memory_errors),
];

impl Collector for Host {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        if let Ok(bytes) = process::resident_bytes() {
            let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
            let metric = encoder.encode_descriptor(
                "resident_memory_bytes",
                "Memory the process has resident",
                None,
                MetricType::Gauge,
            )?;
            ConstGauge::new(bytes).encode(metric)?;
        }
        let Ok(counters) = KernelUdpCounters::read() else { return Ok(()) };
        for (name, help, figure) in KERNEL_UDP {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            ConstCounter::new(figure(&counters)).encode(metric)?;
        }
        Ok(())
    }
}

/// The workers' reports as a collector: nothing is kept between scrapes.
#[derive(Debug)]
struct Workers(Vec<WorkerReport>);

/// A figure of a worker.
type Figure = fn(&WorkerReport) -> u64;

/// Name (without `_total`), help and value of each cumulative figure.
const COUNTERS: &[(&str, &str, Figure)] = &[
    ("worker_rounds", "Rounds of the worker's loop", |w| w.rounds),
    ("worker_received_packets", "Datagrams received", |w| w.received.packets),
    ("worker_received_bytes", "UDP payload received", |w| w.received.bytes),
    ("worker_sent_packets", "Datagrams sent, retransmissions included", |w| w.sent.packets),
    ("worker_sent_bytes", "UDP payload sent, retransmissions included", |w| w.sent.bytes),
    ("worker_forwarded_packets", "Media packets sealed and sent to viewers", |w| w.forwarded.packets),
    ("worker_forwarded_bytes", "Media bytes sealed and sent to viewers", |w| w.forwarded.bytes),
    ("worker_retransmitted_packets", "Packets sent again on request", |w| w.retransmitted.packets),
    ("worker_retransmitted_bytes", "Bytes sent again on request", |w| w.retransmitted.bytes),
    ("worker_messages_sent", "Messages handed to the kernel; a train is one", |w| w.messages_sent),
    ("worker_segments_sent", "Segments handed to the kernel", |w| w.segments_sent),
    ("worker_lane_packets_sent", "Lane records sent to other workers", |w| w.lane_packets_sent),
    ("worker_lane_packets_received", "Lane records received from other workers", |w| w.lane_packets_received),
    ("worker_joins", "Sessions opened", |w| w.joins),
    ("worker_connected", "Sessions that finished DTLS", |w| w.connected),
    ("worker_handshakes_deferred", "Datagrams of handshakes that waited for a later round", |w| w.handshakes_deferred),
];

/// A worker's figures that are broken down by reason.
type ByReason = fn(&WorkerReport) -> &std::collections::BTreeMap<&'static str, u64>;

const BY_REASON: &[(&str, &str, ByReason)] = &[
    ("worker_ended", "Sessions ended, by reason", |w| &w.ended),
    ("worker_dropped", "What was dropped or refused, by reason", |w| &w.dropped),
];

impl Collector for Workers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let label = |worker: &WorkerReport| worker.worker.to_string();
        for (name, help, figure) in COUNTERS {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for worker in &self.0 {
                ConstCounter::new(figure(worker)).encode(metric.encode_family(&[("worker", label(worker))])?)?;
            }
        }
        for (name, help, figures) in BY_REASON {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for worker in &self.0 {
                for (reason, value) in figures(worker) {
                    let labels = [("worker", label(worker)), ("reason", (*reason).to_owned())];
                    ConstCounter::new(*value).encode(metric.encode_family(&labels)?)?;
                }
            }
        }
        self.encode_seconds_and_gauges(&mut encoder)?;
        self.encode_live(&mut encoder)?;
        self.encode_streams(&mut encoder)
    }
}

impl Workers {
    fn encode_seconds_and_gauges(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let label = |worker: &WorkerReport| [("worker", worker.worker.to_string())];
        let mut metric =
            encoder.encode_descriptor("worker_cpu_seconds", "CPU time of its thread", None, MetricType::Counter)?;
        for worker in &self.0 {
            ConstCounter::new(worker.cpu_time_ns as f64 / 1e9).encode(metric.encode_family(&label(worker))?)?;
        }
        let mut metric = encoder.encode_descriptor(
            "worker_system_cpu_seconds",
            "The part of its CPU time that the kernel used",
            None,
            MetricType::Counter,
        )?;
        for worker in &self.0 {
            ConstCounter::new(worker.system_time_ns as f64 / 1e9).encode(metric.encode_family(&label(worker))?)?;
        }
        let mut metric =
            encoder.encode_descriptor("worker_uptime_seconds", "Time since it started", None, MetricType::Gauge)?;
        for worker in &self.0 {
            ConstGauge::new(worker.uptime_ns as f64 / 1e9).encode(metric.encode_family(&label(worker))?)?;
        }
        let mut metric = encoder.encode_descriptor(
            "worker_busy_ratio",
            "Share of the last second it was busy",
            None,
            MetricType::Gauge,
        )?;
        for worker in &self.0 {
            ConstGauge::new(f64::from(worker.busy_permille) / 1e3).encode(metric.encode_family(&label(worker))?)?;
        }
        let mut metric =
            encoder.encode_descriptor("worker_sessions", "Sessions on the worker now", None, MetricType::Gauge)?;
        for worker in &self.0 {
            ConstGauge::new(worker.sessions.len() as i64).encode(metric.encode_family(&label(worker))?)?;
        }
        let help = "Sessions that are open and not connected now";
        let mut metric = encoder.encode_descriptor("worker_handshakes", help, None, MetricType::Gauge)?;
        for worker in &self.0 {
            ConstGauge::new(worker.handshakes as i64).encode(metric.encode_family(&label(worker))?)?;
        }
        Ok(())
    }

    /// Train lengths in steps of two, since 64 series a worker would say no more; residence as quantiles since the start.
    fn encode_live(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Messages handed to the kernel, by the packets they carried: at least so many, less than twice";
        let mut metric = encoder.encode_descriptor("worker_trains", help, None, MetricType::Counter)?;
        for worker in &self.0 {
            let mut steps = std::collections::BTreeMap::new();
            for &(packets, messages) in &worker.trains.by_packets {
                *steps.entry(1_u64 << packets.max(1).ilog2()).or_insert(0) += messages;
            }
            for (packets, messages) in steps {
                let labels = [("worker", worker.worker.to_string()), ("packets", packets.to_string())];
                ConstCounter::new(messages).encode(metric.encode_family(&labels)?)?;
            }
        }
        let help =
            "Time from a packet's arrival until its send to the first or last viewer had returned, since the start";
        let mut metric = encoder.encode_descriptor("worker_residence_seconds", help, None, MetricType::Gauge)?;
        for worker in &self.0 {
            for r in &worker.residence {
                for (quantile, us) in [("0.5", r.p50_us), ("0.99", r.p99_us), ("0.999", r.p999_us), ("1", r.max_us)] {
                    let worker = worker.worker.to_string();
                    let labels =
                        [("worker", worker.as_str()), ("class", r.class), ("viewer", r.viewer), ("quantile", quantile)];
                    ConstGauge::new(us as f64 / 1e6).encode(metric.encode_family(&labels)?)?;
                }
            }
        }
        Ok(())
    }

    /// Streams are named by users, but their number is bounded by the sessions, and these figures are two each.
    fn encode_streams(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut viewers = std::collections::BTreeMap::new();
        let mut published = std::collections::BTreeMap::new();
        for stream in self.0.iter().flat_map(|worker| &worker.streams) {
            *viewers.entry(stream.name.as_str()).or_insert(0_u64) += stream.viewers;
            *published.entry(stream.name.as_str()).or_insert(false) |= stream.origin;
        }
        let mut metric =
            encoder.encode_descriptor("stream_viewers", "Viewers of the stream", None, MetricType::Gauge)?;
        for (name, viewers) in viewers {
            let viewers = i64::try_from(viewers).unwrap_or(i64::MAX);
            ConstGauge::new(viewers).encode(metric.encode_family(&[("stream", name)])?)?;
        }
        let mut metric = encoder.encode_descriptor(
            "stream_published",
            "Whether the stream has a publisher",
            None,
            MetricType::Gauge,
        )?;
        for (name, published) in published {
            ConstGauge::new(i64::from(published)).encode(metric.encode_family(&[("stream", name)])?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
