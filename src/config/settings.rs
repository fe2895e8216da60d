//! All settings, each described once. Everything else about settings is made from this table or checked against it.
//!
//! They are in the order of the file. [`super::setting`] has the builders.

use super::setting::Setting;
use crate::limits;

/// The settings of one table of the file.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// The title of the section.
    pub title: &'static str,
    /// The settings in order. All of them are in the same table of the file, or all at its top level.
    pub settings: &'static [Setting],
}

/// The greatest value of each bound in [`LIMITS`] that has no maximum of its own.
const MANY: u32 = 1_000_000;

/// Two years in seconds: the most that browsers' preload lists ask for.
const HSTS_AGE_MAX_S: u32 = 2 * 366 * 86_400;

/// Every section, in the file's order.
pub const SECTIONS: &[Section] = &[
    Section { title: "Addresses, threads and files", settings: NODE },
    Section { title: "Signalling's thread", settings: SIGNALLING },
    Section { title: "Media", settings: MEDIA },
    Section { title: "TURN", settings: TURN },
    Section { title: "Certificates", settings: TLS },
    Section { title: "Log", settings: LOG },
    Section { title: "Who may publish and watch", settings: AUTH },
    Section { title: "Publishers", settings: PUBLISH },
    Section { title: "Web pages of others", settings: CORS },
    Section { title: "Limits", settings: LIMITS },
    Section { title: "Cluster", settings: CLUSTER },
    Section { title: "STUN and TURN servers told to clients", settings: ICE_SERVERS },
];

const NODE: &[Setting] = &[
    Setting::text("https", "127.0.0.1:8443")
        .flag("--https ADDR")
        .help("Serve HTTPS (pages, WHIP, WHEP, sockets) here")
        .remark("Another address than loopback needs something in `[auth]`, or `allow_anyone`"),
    Setting::optional("http", "off", "127.0.0.1:8080")
        .flag("--http ADDR")
        .help("Serve the same in plain HTTP here, for a TLS-terminating proxy or tools on this host; loopback only"),
    Setting::optional("http_redirect", "off", "0.0.0.0:80")
        .flag("--http-redirect ADDR")
        .help("Answer plain HTTP here with a redirect to HTTPS, and an ACME authority's challenges (tls.acme_webroot)")
        .remark("It opens no session"),
    Setting::text("admin", "127.0.0.1:8444")
        .flag("--admin ADDR")
        .help("Serve /metrics, /healthz, /readyz, /api/v1/node and /dashboard here")
        .remark("Off loopback over TLS, and figures to who shows a token"),
    Setting::optional("public_url", "they are paths", "https://live.example.org")
        .flag("--public-url URL")
        .live()
        .help("Scheme and host clients reach this node by; Location headers start with it"),
    Setting::list("trusted_proxies", &[])
        .help("Proxies in front of the node, like 10.0.0.7 or 10.0.0.0/8, that are believed for whom they ask")
        .remark(
            "Limits, `viewers_max`, takeovers, logs and the webhook's questions then hold for the client that `Forwarded` or \
             `X-Forwarded-For` names, the last that is no such proxy. A listed proxy must set one of the two and must not pass on \
             the other as its client sent it",
        ),
    Setting::optional("cores", "all this process may use", "0-1")
        .flag("--cores LIST")
        .help("Run one pinned worker on each of these cores, like 0,2-3")
        .remark("At most 256"),
    Setting::choice("io", &["uring", "mmsg", "auto"], "auto")
        .flag("--io BACKEND")
        .help("How workers send and receive: uring, mmsg or auto (uring, or mmsg for a worker that gets no ring)")
        .remark("None of them lets a node start where io_uring is forbidden to the process: signalling needs it"),
    Setting::optional(
        "state_directory",
        "$STATE_DIRECTORY, else $XDG_STATE_HOME/corecast, else ~/.local/state/corecast",
        "/var/lib/corecast",
    )
    .flag("--state-directory DIR")
    .help("Keep what the node makes itself here")
    .remark("Nobody else may be able to write there"),
    Setting::switch("allow_anyone")
        .flag("--allow-anyone")
        .help("Serve addresses other than loopback although anyone who reaches them may then publish and watch"),
];

const SIGNALLING: &[Setting] = &[
    Setting::optional("signalling.cores", "those without a worker, else all", "0")
        .help("Cores on which the signalling thread may run"),
    Setting::number("signalling.nice", 0, 19, limits::SIGNALLING_NICE_DEFAULT as u32)
        .ends("as media", "yields to everything", "")
        .help("Nice value of signalling beside a worker on the same core"),
];

const TURN: &[Setting] = &[Setting::switch_on("turn.enabled")
    .help("Relay to this node's own media over TLS and TCP on the port of `https`, for viewers whose network lets out nothing else")
    .remark("Never with `media.udp_only`. It relays to nobody else")];

const MEDIA: &[Setting] = &[
    Setting::list("media.ips", &[])
        .flag("--media-ip IP")
        .help("Bind media sockets to this address, instead of every address")
        .remark("At most 16; an empty list means every address"),
    Setting::number("media.port_base", 1, 65_535, 20_000)
        .flag("--media-port-base PORT")
        .help("Worker i uses UDP port PORT + i")
        .remark("The last worker's port must be at most 65535"),
    Setting::list("media.announce", &[])
        .flag("--announce ADDRESS")
        .help("Put this public address into ICE candidates, instead of the host's own addresses; with the port that clients reach, like 203.0.113.7:443, where the network maps ports")
        .remark("`IP:PORT` is for TCP, and for UDP of worker 0; worker i is at PORT + i. `IP:PORT/udp` and `IP:PORT/tcp` are for one of them. Loopback is among the host's own only while `https` is on loopback"),
    Setting::switch("media.udp_only")
        .help("No media over TCP on the port of `https`, which is for viewers whose network drops UDP"),
    Setting::switch_on("media.data")
        .help("Take part in data channels: those of publishers are mirrored to viewers")
        .remark("Without, answers refuse `m=application`, and everything else plays; a viewer's memory is then 15 to 18 KiB less"),
    Setting::number("media.dscp", 0, 63, 0)
        .ends("not marked", "", "")
        .help("Mark media over UDP with this differentiated services code point (RFC 8837 §5: 34 is AF41, 46 is EF)")
        .remark("It helps only where the network in between heeds it; many clear it"),
    Setting::number(
        "media.frame_hold_ms",
        0,
        limits::FRAME_HOLD_MAX.as_millis() as u32,
        limits::FRAME_HOLD_DEFAULT.as_millis() as u32,
    )
    .ends("off", "", "milliseconds")
    .help("How long a worker that is more than half busy holds video for the last packet of its frame")
    .remark("More packets then go in one message"),
    Setting::number(
        "media.certificate_age_h",
        1,
        limits::DTLS_CERTIFICATE_AGE_MAX_H,
        limits::DTLS_CERTIFICATE_AGE_DEFAULT_H,
    )
    .help("New sessions get another DTLS certificate after so many hours")
    .remark("Running sessions keep theirs"),
    Setting::number("media.key_lifetime_s", 0, limits::KEY_LIFETIME_MAX_S, limits::KEY_LIFETIME_DEFAULT_S)
        .ends("never", "", "seconds")
        .help("Clients on a socket are asked for other SRTP keys after so long, a tenth more or less")
        .remark("Not below 60. How keys change: [Keys that change](keys.md)"),
    Setting::choice("media.plain_clients_at_key_age", &["keep", "end"], "keep")
        .live()
        .help("What becomes of WHIP and WHEP clients whose keys are that old, and which cannot be asked")
        .remark("`end` ends their sessions 30 s later, unless they changed their keys by themselves"),
    Setting::switch("media.rekey_in_place")
        .help("A client may change its keys by beginning DTLS anew on the connection it has")
        .remark("Not gapless in browsers: [Keys that change](keys.md)"),
];

const TLS: &[Setting] = &[
    Setting::optional("tls.cert", "self-signed, made once, kept in the state directory", "/etc/corecast/tls/chain.pem")
        .flag("--tls-cert FILE")
        .live()
        .help("Certificate chain in PEM form, leaf first")
        .remark("Read again when the file changes"),
    Setting::optional("tls.key", "", "/etc/corecast/tls/key.pem")
        .flag("--tls-key FILE")
        .live()
        .help("Private key of --tls-cert in PEM form")
        .remark("Read again when the file changes"),
    Setting::tables(
        "tls.certificates",
        &["cert", "key"],
        "[{ cert = \"/etc/corecast/tls/www.pem\", key = \"/etc/corecast/tls/www-key.pem\" }]",
    )
    .live()
    .help("Further certificates, chosen by the name that a client asks for (SNI)")
    .remark("A client that asks for none of their names gets `tls.cert`"),
    Setting::optional("tls.acme_webroot", "", "/var/lib/acme")
        .live()
        .help("Directory into which an ACME client writes its answers; needs http_redirect")
        .remark("What `certbot --webroot -w` or `lego --http.webroot` is given"),
    Setting::number("tls.hsts_age_s", 0, HSTS_AGE_MAX_S, 0)
        .ends("off", "", "seconds")
        .by_default("a year with http_redirect and a certificate of yours, else 0", "31536000")
        .live()
        .help("For how long browsers are told to use HTTPS only (RFC 6797)"),
];

const LOG: &[Setting] = &[
    Setting::choice("log.level", &["error", "warn", "info", "debug", "trace"], "info")
        .flag("--log LEVEL")
        .live()
        .help("Log this and what is more severe: error, warn, info, debug or trace"),
    Setting::choice("log.format", &["text", "json"], "text").flag("--log-format FORMAT").help("Log as text or json"),
    Setting::switch("log.addresses").live().help("Log whole client addresses, not just their network (/24, /48)"),
];

const AUTH: &[Setting] = &[
    Setting::switch("auth.require")
        .by_default("on where there is a key or a webhook to judge by", "true")
        .flag("--auth-require")
        .live()
        .help("Open nothing without a token"),
    Setting::optional("auth.secret", "", "at-least-32-bytes-made-by-openssl-rand-base64-32")
        .live()
        .help("The shared secret of HS256 tokens itself, at least 32 bytes; leave out secret_file then. The file must not be readable by others (chmod o=)"),
    Setting::optional("auth.secret_file", "", "/etc/corecast/secret")
        .flag("--auth-secret-file FILE")
        .live()
        .help("Take the shared secret of HS256 tokens from this file, which nobody else may read"),
    Setting::optional("auth.jwks", "", "https://id.example.org/.well-known/jwks.json")
        .flag("--auth-jwks FILE|URL")
        .live()
        .help("Believe tokens signed with the keys of this set (RFC 7517): a file, or an https URL that is looked at again")
        .remark("RS256, ES256 and EdDSA"),
    Setting::number("auth.jwks_interval_s", 1, 86_400, limits::JWKS_INTERVAL_DEFAULT.as_secs() as u32)
        .live()
        .help("How many seconds until the key set is looked at again"),
    Setting::optional("auth.webhook", "", "https://app.example.org/corecast")
        .flag("--auth-webhook URL")
        .live()
        .help("Ask this https URL before a session opens"),
    Setting::number("auth.webhook_timeout_ms", 1, 10_000, limits::WEBHOOK_TIME_DEFAULT.as_millis() as u32)
        .live()
        .help("Milliseconds that the webhook may take, one repetition included"),
    Setting::optional("auth.ca", "the system's", "/etc/corecast/ca.pem")
        .live()
        .help("PEM file of the authorities that the key set's and the webhook's URL are checked against"),
    Setting::optional("auth.audience", "", "live.example.org")
        .flag("--auth-audience NAME")
        .live()
        .help("Believe only tokens whose aud names this"),
    Setting::optional("auth.issuer", "", "https://id.example.org")
        .live()
        .help("Believe only tokens whose iss is this"),
    Setting::switch("auth.admin_token_required")
        .live()
        .help("The operator's port wants a token on loopback too; elsewhere it always does"),
];

const PUBLISH: &[Setting] = &[Setting::choice("publish.takeover", &["same_subject", "any", "never"], "same_subject")
    .flag("--publish-takeover WHO")
    .live()
    .help("Who takes over a name with a publisher that lives: same_subject, any or never")
    .remark(
        "`same_subject` is a client with the same `sub` in its token, or with the same token, or from the same address where \
         nothing judges clients and no proxy passes them on. A publisher that was silent for 2 s yields to anyone who may publish, except with `never`",
    )];

const CORS: &[Setting] = &[Setting::list("cors.origins", &[])
    .live()
    .help("Web pages of these origins may call, like https://www.example.org or *.example.org")
    .remark("Holds for requests and for WebSockets")];

const LIMITS: &[Setting] = &[
    Setting::number("limits.sessions_per_worker_max", 1, MANY, limits::SESSIONS_PER_WORKER_DEFAULT)
        .help("Sessions of a worker")
        .remark("At the limit the session goes to its second choice of worker; then 503"),
    Setting::number("limits.sessions_per_address_max", 1, MANY, limits::SESSIONS_PER_ADDRESS_DEFAULT)
        .live()
        .help("Sessions of one client address (IPv6: of one /64)")
        .remark("At the limit: 429"),
    Setting::number("limits.connections_max", 1, MANY, limits::CONNECTIONS_MAX as u32)
        .help("HTTP connections of each listener")
        .remark("At the limit: closed"),
    Setting::number("limits.connections_per_address_max", 1, MANY, limits::CONNECTIONS_PER_ADDRESS_DEFAULT)
        .help("HTTP connections of one client address on all ports together")
        .remark("At the limit: closed"),
    Setting::list("limits.exempt_addresses", &["127.0.0.1", "::1"])
        .help("No limit per address holds for these: a proxy on this host, a load tester elsewhere"),
    Setting::number("limits.joins_per_second_max", 1, MANY, 0)
        .by_default("1,000 for each worker", "2000")
        .live()
        .help("Sessions opened in a second")
        .remark("At the limit: 503"),
    Setting::number("limits.joins_per_second_and_address_max", 1, MANY, 0)
        .by_default("a sixteenth of joins_per_second_max", "125")
        .live()
        .help("Those of one client address, ten seconds' worth at once")
        .remark("At the limit: 429"),
    Setting::number("limits.joins_per_second_and_token_max", 1, MANY, 0)
        .by_default("a quarter of joins_per_second_max", "500")
        .live()
        .help("Those with one token, ten seconds' worth at once")
        .remark("At the limit: 429"),
    Setting::number("limits.streams_max", 1, MANY, limits::STREAMS_DEFAULT)
        .live()
        .help("Streams published at once")
        .remark("At the limit: 503"),
    Setting::number(
        "limits.viewers_per_stream_max",
        1,
        limits::VIEWERS_PER_STREAM_DEFAULT,
        limits::VIEWERS_PER_STREAM_DEFAULT,
    )
    .live()
    .help("Viewers of one stream")
    .remark("At the limit: 503"),
    Setting::number("limits.waiting_viewers_max", 1, MANY, limits::WAITING_VIEWERS_DEFAULT)
        .live()
        .help("Viewers of names that nobody publishes")
        .remark("At the limit: 503"),
    Setting::number("limits.waiting_time_s", 1, 86_400, limits::WAITING_TIME_DEFAULT.as_secs() as u32)
        .live()
        .help("Seconds after which the session of a waiting viewer ends"),
    Setting::number("limits.publisher_bitrate_max_kbps", 64, MANY, limits::PUBLISHER_BITRATE_DEFAULT_KBPS)
        .help("Kilobits that one publisher may send in a second, repairs included")
        .remark("Near it: told by REMB; over it: not forwarded, counted as `uplink_over_bitrate`"),
    Setting::number("limits.sockets_max", 1, MANY, limits::SOCKETS_DEFAULT)
        .help("WebSockets open at once")
        .remark("At the limit: 503"),
    Setting::number("limits.sockets_per_address_max", 1, MANY, limits::SOCKETS_PER_ADDRESS_DEFAULT)
        .help("Those of one client address")
        .remark("At the limit: 429"),
    Setting::number("limits.signalling_grace_s", 1, 600, limits::SIGNALLING_GRACE_DEFAULT.as_secs() as u32)
        .help("Seconds that sessions outlive the socket that opened them"),
];

const CLUSTER: &[Setting] = &[
    Setting::list("cluster.engine", &[])
        .by_default("the node is alone", "[\"https://10.0.0.1:2379\", \"https://10.0.0.2:2379\"]")
        .help("Client URLs of the members of an etcd that several nodes share")
        .remark("`https`, and `http` on loopback only. What it is asked: [Clusters](clusters.md)"),
    Setting::text("cluster.name", "corecast")
        .help("The cluster's name, which keeps several of them apart in one engine"),
    Setting::optional("cluster.node", "the machine's name", "edge-1").help("This node's name, which no other node has"),
    Setting::text("cluster.region", "default").help("This node's region"),
    Setting::optional("cluster.url", "`https`, where that names an address", "https://10.0.0.7:8443")
        .help("Where other nodes reach this one's HTTPS"),
    Setting::optional("cluster.listen", "the address of `https`, port 8446", "10.0.0.7:8446")
        .help("Where other nodes' connections are taken: TLS 1.3, and both ends show a certificate")
        .remark("Needs `cluster.ca`, `cluster.cert` and `cluster.key`. It is for nodes only: no client needs to reach it"),
    Setting::optional("cluster.address", "`cluster.listen`, where that names an address", "edge-1.example.org:8446")
        .help("Where other nodes reach that, as host:port"),
    Setting::number("cluster.generation", 0, 65_535, 0)
        .help("Raised by one on all nodes when the engine was restored from a backup")
        .remark("Its revisions go back then, and those that were given before would win"),
    Setting::optional("cluster.ca", "the system's", "/etc/corecast/cluster/ca.pem")
        .help("PEM file of the authorities that the engine's certificate and other nodes' are checked against")
        .remark("Read again when it changes, where `cluster.cert` and `cluster.key` are set too"),
    Setting::optional("cluster.cert", "none", "/etc/corecast/cluster/node.pem")
        .help("Certificate chain in PEM form that the node shows the engine and other nodes")
        .remark(
            "Beside `cluster.ca` it must name this node: `corecast://CLUSTER/REGION/NODE` ([Clusters](clusters.md#certificates)); it is \
             read again when it changes",
        ),
    Setting::optional("cluster.key", "", "/etc/corecast/cluster/node-key.pem").help("Private key of cluster.cert"),
];

const ICE_SERVERS: &[Setting] = &[Setting::tables(
    "ice_servers",
    &["urls", "username", "credential"],
    "[[ice_servers]]\nurls = [\"turn:turn.example.org:3478?transport=udp\"]\nusername = \"user\"\ncredential = \"password\"",
)
.live()
.help("STUN or TURN server told to clients that were let in; the node itself uses none")
.remark("In `Link` headers (RFC 9725 §4.6) and in a socket's `answer`")];

/// Every setting, in the file's order.
pub fn all() -> impl Iterator<Item = &'static Setting> {
    SECTIONS.iter().flat_map(|section| section.settings)
}

/// The setting with this name, as it is written in the file.
#[must_use]
pub fn find(key: &str) -> Option<&'static Setting> {
    all().find(|setting| setting.key == key)
}

/// The setting with this name, for names that are written in this program.
///
/// # Panics
/// When there is no such setting, which means that the name is misspelt.
pub(super) fn of(key: &str) -> &'static Setting {
    #[allow(clippy::panic)]
    find(key).unwrap_or_else(|| panic!("there is no setting {key}"))
}
