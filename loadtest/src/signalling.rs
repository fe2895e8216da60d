//! The signalling thread: makes offers, posts them when they are due, hands the answers to the load threads, and ends
//! the sessions again.
//!
//! Open loop: a client's start is fixed by its number and the ramp. The number of requests in flight is not limited, so
//! a slow server gets many at once. How late this thread starts a request is recorded, because that delay is the
//! tester's fault.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use corecast::description::{IceCredentials, MediaKind};
use corecast::dtls::DtlsIdentity;
use corecast::lab::link;
use corecast::lab::peer::PeerConfig;
use corecast::lab::peer::answer::RemoteAnswer;
use corecast::lab::peer::data::{DataScript, DataViewer};
use corecast::lab::peer::offer::{self, LocalOffer, Published};
use corecast::lab::peer::publisher::{Encoding, PublisherConfig, Script};
use corecast::lab::peer::record::{self, LoadRecord};
use corecast::lab::peer::terms::Sources;
use corecast::lab::peer::viewer::ViewerConfig;
use corecast::net::lab::fleet_sockets::FleetSocket;
use corecast::net::{self, process};
use corecast::time::{NtpTime, Timestamp};
use corecast::wire::codec::Codec;
use hdrhistogram::Histogram;
use url::Url;

use crate::file::Pictures;
use crate::http::{Client, HttpError, resolve};
use crate::load::{LoadCommand, LoadThread, NewClient, NewKind, random};
use crate::script::TraceScript;
use crate::second::{self, Session};
use crate::ways::{self, Way};

/// The encodings of `--simulcast`, from the lowest, and the part of `--bitrate` that each has: half and a quarter of the width.
const RIDS: [&str; 3] = ["l", "m", "h"];
const PARTS: [f64; 3] = [1.0 / 16.0, 1.0 / 4.0, 1.0];
/// `DELETE` requests in flight at a time.
const GOODBYES_AT_ONCE: usize = 64;
/// Time for all `DELETE` requests together.
const GOODBYES_MAX: Duration = Duration::from_secs(5);
/// Reasons of failure that are counted separately.
const REASONS_MAX: usize = 32;

/// One client to begin.
pub(crate) struct Join {
    pub(crate) url: Url,
    pub(crate) at: Timestamp,
    pub(crate) thread: usize,
    pub(crate) what: What,
}

/// What kind of client.
pub(crate) enum What {
    View(Viewing),
    Publish(Publishing),
}

/// A viewer.
#[derive(Clone)]
pub(crate) struct Viewing {
    /// Which one, of all of the test.
    pub(crate) number: u32,
    /// Its session's second transport.
    pub(crate) is_second: bool,
    pub(crate) verify_fraction: f64,
    pub(crate) data: Option<DataViewer>,
    pub(crate) over: Way,
    pub(crate) picture: bool,
    pub(crate) link: Option<Arc<link::script::Script>>,
}

/// A publisher's video and audio.
#[derive(Clone)]
pub(crate) struct Publishing {
    pub(crate) stream: u32,
    pub(crate) bitrate: f64,
    pub(crate) fps: u32,
    pub(crate) gop: Duration,
    pub(crate) audio: bool,
    pub(crate) pictures: Option<Arc<Pictures>>,
    /// Three encodings instead of one.
    pub(crate) simulcast: bool,
    pub(crate) data: Option<DataScript>,
}

impl Publishing {
    fn codec(&self) -> Codec {
        self.pictures.as_ref().map_or(Codec::H264, |pictures| pictures.codec)
    }

    fn script(&self) -> Box<dyn Script> {
        match &self.pictures {
            Some(pictures) => Box::new(pictures.script(self.fps)),
            None => Box::new(TraceScript::new(self.bitrate, self.fps, self.gop, self.stream.into())),
        }
    }

    /// The rids of its encodings; none without simulcast.
    fn rids(&self) -> &'static [&'static str] {
        if self.simulcast { &RIDS } else { &[] }
    }

    fn encodings(&self, sources: &Sources) -> Vec<Encoding> {
        if !self.simulcast {
            return vec![Encoding::only(sources, self.script())];
        }
        let encoding = |(at, (rid, part)): (u32, (&&str, f64))| {
            let trace = TraceScript::new(self.bitrate * part, self.fps, self.gop, self.stream.into());
            let ssrc = sources.video.wrapping_add(at << 4);
            let picture = (1280 >> (2 - at), 720 >> (2 - at));
            let script = Box::new(trace.of_picture(picture));
            Encoding { rid: Some((*rid).to_owned()), ssrc, rtx_ssrc: Some(ssrc ^ 1), script }
        };
        (0..).zip(RIDS.iter().zip(PARTS)).map(encoding).collect()
    }
}

/// What signalling measured.
#[derive(Clone)]
pub(crate) struct SignalRecord {
    /// Clients whose request was started, answered, refused.
    pub(crate) started: u64,
    pub(crate) answered: u64,
    pub(crate) failures: BTreeMap<String, u64>,
    /// Clients that asked for data channels and were refused them.
    pub(crate) data_refused: u64,
    /// Requests for other keys that failed, by reason.
    pub(crate) rekeys_failed: BTreeMap<String, u64>,
    /// From intended start to the whole answer, µs.
    pub(crate) answer_us: Histogram<u64>,
    /// From intended start to when this thread started the request, µs.
    pub(crate) late_us: Histogram<u64>,
    /// CPU time of the thread.
    pub(crate) cpu: Duration,
}

impl SignalRecord {
    fn new() -> Self {
        let LoadRecord { connect_us, first_packet_us, .. } = LoadRecord::default();
        Self {
            started: 0,
            answered: 0,
            failures: BTreeMap::new(),
            data_refused: 0,
            rekeys_failed: BTreeMap::new(),
            answer_us: connect_us,
            late_us: first_packet_us,
            cpu: Duration::ZERO,
        }
    }

    fn fail(&mut self, reason: String) {
        count(&mut self.failures, reason);
    }

    pub(crate) fn fail_rekey(&mut self, reason: String) {
        count(&mut self.rekeys_failed, reason);
    }

    pub(crate) fn failed(&self) -> u64 {
        self.failures.values().sum()
    }
}

fn count(failures: &mut BTreeMap<String, u64>, reason: String) {
    let known = failures.len() < REASONS_MAX || failures.contains_key(&reason);
    let reason = if known { reason } else { "other reasons".to_owned() };
    *failures.entry(reason).or_default() += 1;
}

enum Order {
    Join(Box<Join>),
    Rekey(u32, Timestamp),
    Switch(u32),
    End,
}

/// The signalling thread.
pub(crate) struct Signalling {
    orders: tokio::sync::mpsc::UnboundedSender<Order>,
    shared: Arc<Shared>,
    ended: flume::Receiver<()>,
}

pub(crate) struct Shared {
    pub(crate) client: Client,
    threads: Vec<LoadThread>,
    fingerprint_sha256: [u8; 32],
    socket_buffer: usize,
    ntp_at_zero: NtpTime,
    pub(crate) record: Mutex<SignalRecord>,
    /// Viewers' sessions by the viewer's number.
    pub(crate) viewers: Mutex<BTreeMap<u32, Session>>,
    sessions: Mutex<Vec<(Url, SocketAddr)>>,
    servers: Mutex<BTreeMap<String, SocketAddr>>,
}

impl Signalling {
    /// Starts the thread.
    pub(crate) fn start(
        client: Client,
        threads: Vec<LoadThread>,
        identity: &DtlsIdentity,
        socket_buffer: usize,
    ) -> Result<Self, String> {
        let (orders, inbox) = tokio::sync::mpsc::unbounded_channel();
        let (end, ended) = flume::bounded(1);
        let shared = Arc::new(Shared {
            client,
            threads,
            fingerprint_sha256: identity.fingerprint_sha256(),
            socket_buffer,
            ntp_at_zero: ntp_at_zero(),
            record: Mutex::new(SignalRecord::new()),
            viewers: Mutex::default(),
            sessions: Mutex::default(),
            servers: Mutex::default(),
        });
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
        let of_thread = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("signalling".to_owned())
            .spawn(move || {
                runtime.block_on(serve(of_thread, inbox));
                let _ = end.send(());
            })
            .map_err(|error| error.to_string())?;
        Ok(Self { orders, shared, ended })
    }

    /// Schedules a client to begin at its intended start.
    pub(crate) fn join(&self, join: Join) {
        let _ = self.orders.send(Order::Join(Box::new(join)));
    }

    /// Schedules other keys for a viewer.
    pub(crate) fn rekey(&self, viewer: u32, at: Timestamp) {
        let _ = self.orders.send(Order::Rekey(viewer, at));
    }

    /// A viewer uses its second transport.
    pub(crate) fn switch(&self, viewer: u32) {
        let _ = self.orders.send(Order::Switch(viewer));
    }

    /// What was measured so far.
    pub(crate) fn record(&self) -> SignalRecord {
        lock(&self.shared.record).clone()
    }

    /// Ends all sessions, and the thread.
    pub(crate) fn end(self) {
        let _ = self.orders.send(Order::End);
        let _ = self.ended.recv_timeout(GOODBYES_MAX + Duration::from_secs(1));
    }
}

/// Locks the value, even after a panic of another thread: it holds only figures, which are valid at any time.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// NTP time of the monotonic clock's zero.
fn ntp_at_zero() -> NtpTime {
    /// Seconds from 1900 to 1970 (RFC 5905 §6).
    const UNIX_TO_NTP: u64 = 2_208_988_800;
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let at_zero = since_1970.saturating_sub(net::now().since(Timestamp::ZERO));
    NtpTime(UNIX_TO_NTP << 32) + at_zero
}

async fn serve(shared: Arc<Shared>, mut inbox: tokio::sync::mpsc::UnboundedReceiver<Order>) {
    let mut tick = tokio::time::interval(Duration::from_millis(250));
    loop {
        tokio::select! {
            order = inbox.recv() => match order {
                Some(Order::Join(join)) => {
                    let shared = Arc::clone(&shared);
                    tokio::spawn(async move { begin(&shared, *join).await });
                }
                Some(Order::Rekey(viewer, at)) => {
                    let shared = Arc::clone(&shared);
                    tokio::spawn(async move { second::rekey(&shared, viewer, at).await });
                }
                Some(Order::Switch(viewer)) => {
                    let shared = Arc::clone(&shared);
                    tokio::spawn(async move { second::switch(&shared, viewer).await });
                }
                Some(Order::End) | None => break,
            },
            _ = tick.tick() => lock(&shared.record).cpu = process::thread_cpu_time(),
        }
    }
    let sessions = std::mem::take(&mut *lock(&shared.sessions));
    let limit = Arc::new(tokio::sync::Semaphore::new(GOODBYES_AT_ONCE));
    let goodbyes: Vec<_> = sessions
        .into_iter()
        .map(|(session, server)| {
            let (shared, limit) = (Arc::clone(&shared), Arc::clone(&limit));
            tokio::spawn(async move {
                let _turn = limit.acquire().await;
                let _ = shared.client.delete(&session, server).await;
            })
        })
        .collect();
    let all = async {
        for goodbye in goodbyes {
            let _ = goodbye.await;
        }
    };
    let _ = tokio::time::timeout(GOODBYES_MAX, all).await;
}

pub(crate) async fn begin(shared: &Shared, join: Join) {
    tokio::time::sleep(join.at.since(net::now())).await;
    let late = net::now().since(join.at);
    let is_second = matches!(&join.what, What::View(viewing) if viewing.is_second);
    {
        let mut record = lock(&shared.record);
        record.started += u64::from(!is_second);
        record::note(&mut record.late_us, late);
    }
    let (at, thread) = (join.at, join.thread);
    match connect(shared, join).await {
        Ok(client) => {
            let took = net::now().since(at);
            let mut record = lock(&shared.record);
            if !is_second {
                record.answered += 1;
                record::note(&mut record.answer_us, took);
            }
            drop(record);
            if let Some(thread) = shared.threads.get(thread) {
                thread.tell(LoadCommand::Add(Box::new(client)));
            }
        }
        Err(reason) if is_second => lock(&shared.record).fail_rekey(reason),
        Err(reason) => lock(&shared.record).fail(reason),
    }
}

/// The server's address, looked up once.
async fn server_of(shared: &Shared, url: &Url) -> Result<SocketAddr, HttpError> {
    let key = url.authority().to_owned() + url.scheme();
    if let Some(known) = lock(&shared.servers).get(&key) {
        return Ok(*known);
    }
    let server = resolve(url).await?;
    lock(&shared.servers).insert(key, server);
    Ok(server)
}

/// Letters of `ice-char`.
fn ice_text(len: usize) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let letter = |_| {
        let at = (random() & 63) as usize;
        char::from(LETTERS[at])
    };
    (0..len).map(letter).collect()
}

async fn connect(shared: &Shared, join: Join) -> Result<NewClient, String> {
    let server = server_of(shared, &join.url).await.map_err(|error| error.to_string())?;
    let open = |remote| {
        FleetSocket::towards(remote, shared.socket_buffer)
            .map_err(|error| format!("no socket for a client: {error} (see ulimit -n)"))
    };
    let mut socket = open(server)?;
    let candidate = socket.local_address().map_err(|error| error.to_string())?;
    // Chromium's lengths.
    let local_ice = IceCredentials { ufrag: ice_text(4), password: ice_text(24) };
    let data = match &join.what {
        What::View(viewing) => viewing.data.is_some(),
        What::Publish(publishing) => publishing.data.is_some(),
    };
    let fingerprint_sha256 = shared.fingerprint_sha256;
    let local = LocalOffer { ice: &local_ice, fingerprint_sha256, candidate, session_id: random(), data };
    let base = random() as u32 & !3;
    let sources = Sources { audio: base | 1, video: base | 2, video_rtx: Some(base | 3) };
    let cname = ice_text(16);
    let offer = match &join.what {
        What::View(_) => offer::play(&local),
        What::Publish(publishing) => {
            let (codec, audio) = (publishing.codec(), publishing.audio);
            offer::publish(&local, &Published { codec, audio, sources, cname: &cname, rids: publishing.rids() })
        }
    };
    let created = shared.client.post(&join.url, server, offer).await.map_err(|error| error.to_string())?;
    let is_second = matches!(&join.what, What::View(viewing) if viewing.is_second);
    if let Some(session) = &created.session
        && !is_second
    {
        lock(&shared.sessions).push((session.clone(), created.server));
    }
    let answer = RemoteAnswer::parse(&created.sdp).map_err(|error| error.to_string())?;
    if data && !answer.data {
        lock(&shared.record).data_refused += 1;
    }
    let remote = answer.candidate_near(created.server.ip()).map_err(|error| error.to_string())?;
    let over = match &join.what {
        What::View(viewing) => viewing.over,
        What::Publish(_) => Way::Udp,
    };
    if over != Way::Udp {
        socket = ways::connect(over, &shared.client, &created, &answer, remote).await?;
    } else if socket.connect(remote).is_err() {
        // The candidate cannot be reached from the local address that reached the server's HTTP. Another local address
        // is used, which the server learns from the checks.
        socket = open(remote)?;
        socket.connect(remote).map_err(|error| format!("the server's candidate cannot be reached: {error}"))?;
    }
    if let What::Publish(publishing) = &join.what {
        accepts(publishing, &answer)?;
    }
    let peer = PeerConfig {
        local_ice,
        remote_ice: answer.ice.clone(),
        dtls_role: answer.dtls_role,
        versions: corecast::dtls::DtlsVersions::Any,
        remote_fingerprints: answer.fingerprints.clone(),
        node: remote,
        seed: random(),
    };
    let (link, viewer) = match &join.what {
        What::View(viewing) => {
            second::note(shared, viewing, join.thread, &created);
            (viewing.link.clone(), Some(viewing.number))
        }
        What::Publish(_) => (None, None),
    };
    let kind = match join.what {
        What::View(Viewing { verify_fraction, data, picture, .. }) => NewKind::Viewer(ViewerConfig {
            answer,
            intended: join.at,
            verify_fraction,
            seed: random(),
            data,
            watches: picture,
        }),
        What::Publish(publishing) => NewKind::Publisher(Box::new(PublisherConfig {
            answer,
            encodings: publishing.encodings(&sources),
            sources,
            cname,
            audio: publishing.audio,
            data: publishing.data,
            ntp_at_zero: shared.ntp_at_zero,
            seed: random(),
        })),
    };
    Ok(NewClient { socket, peer, kind, link, viewer, is_second })
}

/// Whether the server takes the encodings of a simulcast.
fn accepts(publishing: &Publishing, answer: &RemoteAnswer) -> Result<(), String> {
    let accepted = answer.section(MediaKind::Video).map_or(0, |media| media.rids.len());
    match publishing.rids().len() {
        offered if accepted < offered => {
            Err(format!("the server accepts {accepted} of the {offered} encodings of --simulcast"))
        }
        _ => Ok(()),
    }
}

/// The video file, if one is named.
pub(crate) fn pictures(file: Option<&PathBuf>) -> Result<Option<Arc<Pictures>>, String> {
    file.map(|path| Pictures::open(path).map(Arc::new).map_err(|error| error.to_string())).transpose()
}
