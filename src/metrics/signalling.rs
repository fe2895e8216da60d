//! Signalling's own counters.

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode_registry;
use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::figure::FigureDescription;
use super::log_lines;

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

/// The numbers of sessions, from the table of sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Audience {
    /// Sessions of publishers.
    pub publishers: usize,
    /// Sessions of viewers, including those that wait.
    pub viewers: usize,
    /// Sessions of viewers that wait for a publisher.
    pub waiting_viewers: usize,
}

/// Declares the figures: field, type, name (without `corecast_` and `_total`), meaning, and path in `/api/v1/node`.
macro_rules! figures {
    ($($field:ident: $Type:ty = $name:literal, $help:literal, $json:literal;)+) => {
        /// Signalling's own counters. Cheap to clone; all clones share the same counters.
        #[derive(Clone, Debug)]
        pub struct SignallingCounters {
            registry: Arc<Registry>,
            $($field: $Type,)+
        }

        pub(super) const DESCRIPTIONS: &[FigureDescription] = &[
            $(FigureDescription { name: $name, kind: <$Type as TypedMetric>::TYPE, help: $help, json: $json },)+
        ];

        impl SignallingCounters {
            /// All at zero.
            #[must_use]
            pub fn new() -> Self {
                let mut registry = Registry::with_prefix("corecast");
                $(
                    let $field = <$Type>::default();
                    registry.register($name, $help, $field.clone());
                )+
                Self { registry: Arc::new(registry), $($field,)+ }
            }
        }
    };
}

figures! {
    requests: Family<RequestLabels, Counter> = "http_requests",
        "HTTP requests answered", "";
    connections_opened: Counter = "http_connections_opened",
        "HTTP connections accepted", "";
    connections: Gauge = "http_connections",
        "HTTP connections open now", "";
    connections_refused: Family<ReasonLabel, Counter> = "http_connections_refused",
        "HTTP connections that were closed without being served to their end, by reason", "";
    sessions_refused: Family<ReasonLabel, Counter> = "sessions_refused",
        "Sessions refused by signalling, by reason", "";
    sessions_ended: Family<ReasonLabel, Counter> = "sessions_ended",
        "Sessions that ended, by reason", "";
    nearest_fits: Counter = "viewers_nearest_fits",
        "Times a viewer was sent the nearest of what it had negotiated, which may not decode what is published", "";
    path_too_narrow: Counter = "viewers_path_too_narrow",
        "Viewers whose network passed no full packet", "";
    plain_clients_at_key_age: Counter = "plain_clients_at_key_age",
        "Sessions of WHIP and WHEP whose keys have become old and whose clients could not be told", "";
    nothing_fits: Counter = "viewers_nothing_fits",
        "Times a viewer had negotiated nothing of the published codec", "";
    turn_clients_admitted: Counter = "turn_clients_admitted",
        "TURN connections that were admitted and given to their session's worker", "";
    webhook_events_dropped: Counter = "webhook_events_dropped",
        "Starts and ends of sessions that the operator's endpoint was not told of", "";
    webhook_questions_turned_away: Counter = "webhook_questions_turned_away",
        "Questions that the operator's endpoint was not asked, because too many waited", "";
    certificates: Family<NameLabel, Gauge> = "tls_certificate_not_after_timestamp_seconds",
        "When a served HTTPS certificate ends, by the first name it is for", "";
    sockets: Gauge = "sockets",
        "WebSocket connections open now", "";
    sockets_closed: Family<ReasonLabel, Counter> = "sockets_closed",
        "WebSocket connections that ended, by reason", "";
    socket_messages: Family<TypeLabel, Counter> = "socket_messages",
        "Messages from WebSocket clients, by type", "";
    sessions_resumed: Counter = "sessions_resumed",
        "Sessions that another socket took over", "";
    log_lines_left_out: Counter = "log_lines_left_out",
        "Lines that the log left out, because there were too many or nobody read it", "";
    publishers: Gauge = "publishers",
        "Publishers' sessions now", "publishers";
    viewers: Gauge = "viewers",
        "Viewers' sessions now, waiting ones among them", "viewers";
    waiting_viewers: Gauge = "waiting_viewers",
        "Viewers of names nobody publishes now", "waiting_viewers";
}

impl Default for SignallingCounters {
    fn default() -> Self {
        Self::new()
    }
}

impl SignallingCounters {
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

    /// This node closed a connection without serving it to its end.
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

    /// A viewer is sent the nearest of what it negotiated.
    pub fn nearest_fits(&self) {
        self.nearest_fits.inc();
    }

    /// The keys of a client that cannot be told are old.
    pub fn plain_client_at_key_age(&self) {
        self.plain_clients_at_key_age.inc();
    }

    /// A viewer's network passes no full packet.
    pub fn path_too_narrow(&self) {
        self.path_too_narrow.inc();
    }

    /// A viewer gets no media of one kind, because nothing that it negotiated fits.
    pub fn nothing_fits(&self) {
        self.nothing_fits.inc();
    }

    /// A TURN client was admitted.
    pub fn turn_client_admitted(&self) {
        self.turn_clients_admitted.inc();
    }

    /// Sets how many webhook events were dropped so far.
    pub fn webhook_events_dropped(&self, total: u64) {
        self.webhook_events_dropped.inc_by(total.saturating_sub(self.webhook_events_dropped.get()));
    }

    /// Sets how many questions the webhook was not asked so far.
    pub fn webhook_questions_turned_away(&self, total: u64) {
        self.webhook_questions_turned_away.inc_by(total.saturating_sub(self.webhook_questions_turned_away.get()));
    }

    /// Sets when each served certificate expires, in seconds since 1970. If several have the same first name, the
    /// earliest counts.
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

    /// Writes all figures as text, with `audience` as the current numbers.
    pub(super) fn write(&self, text: &mut String, audience: Audience) -> fmt::Result {
        let gauge = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        self.log_lines_left_out.inc_by(log_lines::left_out().saturating_sub(self.log_lines_left_out.get()));
        self.publishers.set(gauge(audience.publishers));
        self.viewers.set(gauge(audience.viewers));
        self.waiting_viewers.set(gauge(audience.waiting_viewers));
        encode_registry(text, &self.registry)
    }
}
