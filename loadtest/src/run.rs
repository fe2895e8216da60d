//! A test from its start to its report.

mod finish;
mod rekeying;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use corecast::dtls::DtlsIdentity;
use corecast::lab::peer::data::{DataScript, DataViewer};
use corecast::lab::peer::record::LoadRecord;
use corecast::limits;
use corecast::net::host::KernelUdpCounters;
use corecast::net::{self, process};
use corecast::time::Timestamp;
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::{self, Common, LinkArgs, Publish, Watch};
use crate::forward::{self, Forward};
use crate::http;
use crate::knee;
use crate::load::{Account, LoadThread};
use crate::machine::{self, CpuTimes};
use crate::rekeys::{self, Rekeys};
use crate::report;
use crate::results::{self, Lines, OwnThread, Results, Second, ServerCpu, Verdict};
use crate::signalling::{Join, Publishing, Signalling, Viewing, What, pictures};

/// How long publishers have to connect before viewers begin.
const PUBLISHERS_CONNECT_MAX: Duration = Duration::from_secs(15);
/// How long viewers have to connect before a publisher that comes last begins.
const VIEWERS_CONNECT_MAX: Duration = Duration::from_secs(15);
/// Time from the command to the first intended start, so that the first client is not late already.
const HEAD_START: Duration = Duration::from_millis(100);

/// Runs a command and returns its results.
pub(crate) fn run(command: &cli::Command) -> Result<Results, String> {
    let (publish, watch, common) = match command {
        cli::Command::Watch { watch, common } => (None, Some(watch), common),
        cli::Command::Publish { publish, common, .. } => (Some(publish), None, common),
        cli::Command::Run { publish, watch, common } => (Some(publish), Some(watch), common),
        cli::Command::Link(_) => return Err("link is no test".to_owned()),
    };
    if publish.is_some_and(|publish| publish.simulcast) && watch.is_some_and(|watch| watch.viewers_first) {
        return Err(
            "--viewers-first expects every viewer to get every packet, and of --simulcast each gets one encoding of \
                    three: leave out one of the two"
                .to_owned(),
        );
    }
    if let Some(watch) = watch {
        rekeys::check(publish, watch)?;
    }
    let mut load = Load::start(publish, watch, common)?;
    let viewers_first = watch.is_some_and(|watch| watch.viewers_first && !watch.find_knee);
    if let Some(publish) = publish
        && !viewers_first
    {
        load.publish(publish)?;
        load.run_while(PUBLISHERS_CONNECT_MAX, |load| load.publishers_pending(publish));
    }
    let knee = match (watch, command) {
        (Some(watch), _) if watch.find_knee => Some(knee::find(&mut load, watch, common)?),
        (Some(watch), _) => {
            let last = load.watch(watch, watch.viewers)?;
            load.expect(last + watch.seconds);
            load.run_until(last);
            if let Some(publish) = publish
                && viewers_first
            {
                load.run_while(VIEWERS_CONNECT_MAX, |load| load.viewers_pending());
                load.publish(publish)?;
                load.run_while(PUBLISHERS_CONNECT_MAX, |load| load.publishers_pending(publish));
                load.expect(net::now() + watch.seconds);
                load.begin_window();
                load.run_until(net::now() + watch.seconds);
            } else {
                load.begin_window();
                load.run_while(watch.seconds, |load| load.viewers_pending());
                if net::now() < last + watch.seconds / 2 {
                    load.begin_window();
                }
                load.run_until(last + watch.seconds);
            }
            if let Some(span) = watch.rekey {
                load.rekey(span);
            }
            None
        }
        (None, cli::Command::Publish { seconds, .. }) => {
            load.expect(net::now() + *seconds);
            load.run_until(net::now() + *seconds);
            None
        }
        (None, _) => None,
    };
    let mut results = load.finish()?;
    results.knee = knee;
    let lines = Lines { loss: common.max_loss, latency: watch.and_then(|watch| watch.max_latency.0) };
    results.verdict = if results.knee.is_some() { Verdict::default() } else { results::verdict(&results, &lines) };
    report::print(&results);
    if let Some(directory) = &common.report {
        report::write(&results, directory).map_err(|error| format!("--report {}: {error}", directory.display()))?;
        println!("report       {}", directory.join("report.html").display());
    }
    Ok(results)
}

/// Forwards as a link until it is interrupted or its time is over.
pub(crate) fn forward(link: &LinkArgs) -> Result<(), String> {
    let LinkArgs { listen, to, link: script, shared, seconds } = link;
    let forward = Forward { listen: *listen, to: *to, script: Arc::clone(script), shared: *shared };
    let stop = catch_interrupts()?;
    let ready = |at| println!("forwarding {at} to {to}; Ctrl-C ends it.");
    let (counts, clients) = forward::run(&forward, &stop, *seconds, ready)?;
    println!("clients      {clients}");
    for (name, counts) in ["from clients", "to clients"].into_iter().zip(counts) {
        println!(
            "{name:<13}{} datagrams, {:.1} MB; {} lost at random, {} for which the queue had no room",
            counts.passed,
            counts.bytes as f64 / 1e6,
            counts.lost,
            counts.dropped
        );
    }
    Ok(())
}

/// The state of one load thread, by its last account.
#[derive(Clone, Debug, Default)]
struct ThreadState {
    own: OwnThread,
    cpu: Duration,
    wall: Duration,
    connected: u64,
    with_picture: u64,
    ended: bool,
}

/// A running test.
pub(crate) struct Load {
    threads: Vec<LoadThread>,
    states: Vec<ThreadState>,
    accounts: flume::Receiver<Account>,
    signalling: Option<Signalling>,
    /// Threads below this number are the publishers'.
    viewers_from: usize,
    pub(crate) total: LoadRecord,
    /// Measured since [`Self::begin_window`].
    pub(crate) window: LoadRecord,
    window_cpu: CpuTimes,
    window_begun: Timestamp,
    /// Intended starts of viewers, ascending.
    planned: Vec<Timestamp>,
    publishers: u64,
    timeline: Vec<Second>,
    latency: Histogram<u64>,
    begun: Timestamp,
    kernel: KernelUdpCounters,
    cpu: CpuTimes,
    server_pid: Option<u32>,
    stop: Arc<AtomicBool>,
    progress: ProgressBar,
    broken: Option<String>,
    viewers_first: bool,
    reads_data: bool,
    /// Viewers watch their picture.
    pictures: bool,
    rests: Option<u64>,
    rekeys: Option<Rekeys>,
}

/// What publishers send on data channels.
fn data_script(publish: &Publish) -> Option<DataScript> {
    let (bytes, reliable) = (publish.data_bytes as usize, !publish.data_unreliable);
    publish.data.map(|rate| DataScript { rate, bytes, reliable })
}

/// One core for each load thread, `None` for a thread that is not pinned: first the publishers' thread, if there are
/// publishers, then the viewers'.
fn thread_cores(common: &Common, viewers: u32, streams: u32) -> Result<Vec<Option<u16>>, String> {
    let mut cores: Vec<Option<u16>> = Vec::new();
    if streams > 0 {
        cores.push(None);
    }
    if viewers > 0 {
        let allowed = process::allowed_cores().map_err(|error| error.to_string())?.len();
        match &common.cores {
            Some(list) => cores.extend(list.0.iter().copied().map(Some)),
            None => cores.extend(std::iter::repeat_n(None, (allowed / 2).max(1))),
        }
    }
    Ok(cores)
}

/// Starts a load thread for each of [`thread_cores`].
fn start_threads(
    cores: Vec<Option<u16>>,
    viewers: u32,
    streams: u32,
    identity: &DtlsIdentity,
    accounts: &flume::Sender<Account>,
) -> Result<(Vec<LoadThread>, Vec<ThreadState>), String> {
    let viewers_from = usize::from(streams > 0);
    let viewer_threads = (cores.len() - viewers_from).max(1) as u32;
    let mut threads = Vec::new();
    let mut states = Vec::new();
    for (index, core) in cores.into_iter().enumerate() {
        let (name, clients) = if index < viewers_from {
            ("publishers".to_owned(), streams)
        } else {
            (format!("load-{}", index - viewers_from), viewers.div_ceil(viewer_threads))
        };
        let thread = LoadThread::start(index, &name, clients, core, identity.clone(), accounts.clone())?;
        threads.push(thread);
        let own = OwnThread { name, ..OwnThread::default() };
        states.push(ThreadState { own, ..ThreadState::default() });
    }
    Ok((threads, states))
}

/// A flag that SIGINT and SIGTERM set. A second signal ends the tester at once.
fn catch_interrupts() -> Result<Arc<AtomicBool>, String> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        let end = signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&stop));
        end.and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop))).map_err(|error| error.to_string())?;
    }
    Ok(stop)
}

/// Raises the limits of open files and locked memory as far as this many clients need.
fn raise_limits(viewers: u32, streams: u32) -> Result<(), String> {
    let files = process::raise_open_files().map_err(|error| error.to_string())?;
    let needed = u64::from(viewers) * 2 + u64::from(streams) * 2 + 64;
    if files < needed {
        return Err(format!("{needed} open files are needed and {files} allowed: run `ulimit -Hn {needed}` as root"));
    }
    // An error is ignored: if the memory cannot be locked, making the ring fails with a better message.
    let _ = process::raise_locked_memory(u64::from(limits::FLEET_CLIENTS_MAX) << 12);
    Ok(())
}

impl Load {
    fn start(publish: Option<&Publish>, watch: Option<&Watch>, common: &Common) -> Result<Self, String> {
        let stop = catch_interrupts()?;
        // While keys change a viewer has two sockets.
        let viewers = watch.map_or(0, |watch| watch.viewers << u32::from(watch.rekey.is_some()));
        let streams = publish.map_or(0, |publish| publish.streams);
        raise_limits(viewers, streams)?;
        let identity = DtlsIdentity::generate(SystemTime::now()).map_err(|error| error.to_string())?;
        let (sender, accounts) = flume::unbounded();
        let viewers_from = usize::from(streams > 0);
        let cores = thread_cores(common, viewers, streams)?;
        let (threads, states) = start_threads(cores, viewers, streams, &identity, &sender)?;
        let client = http::Client::new(common.insecure, common.token.clone()).map_err(|error| error.to_string())?;
        let signalling = Signalling::start(client, threads.clone(), &identity, common.socket_buffer)?;
        let progress = ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template("{elapsed_precise} [{bar:30}] {msg}") {
            progress.set_style(style.progress_chars("=> "));
        }
        let cpu = CpuTimes::read(common.server_pid);
        if let Some(pid) = common.server_pid
            && cpu.server_threads.is_empty()
        {
            return Err(format!("--server-pid {pid}: there is no such process on this host"));
        }
        let begun = net::now();
        Ok(Self {
            threads,
            states,
            accounts,
            signalling: Some(signalling),
            viewers_from,
            total: LoadRecord::default(),
            window: LoadRecord::default(),
            window_cpu: cpu.clone(),
            window_begun: begun,
            planned: Vec::new(),
            publishers: 0,
            timeline: Vec::new(),
            latency: LoadRecord::default().video_latency_us,
            begun,
            kernel: KernelUdpCounters::read().unwrap_or_default(),
            cpu,
            server_pid: common.server_pid,
            stop,
            progress,
            broken: None,
            viewers_first: watch.is_some_and(|watch| watch.viewers_first),
            reads_data: watch.is_some_and(|watch| watch.read) || publish.is_some_and(|publish| publish.data.is_some()),
            pictures: watch.is_some_and(|watch| watch.picture || watch.link.is_some())
                || publish.is_some_and(|publish| publish.simulcast),
            rests: common.server_pid.and_then(machine::resident_bytes),
            rekeys: None,
        })
    }

    fn join(&self, join: Join) {
        if let Some(signalling) = &self.signalling {
            signalling.join(join);
        }
    }

    fn publish(&mut self, publish: &Publish) -> Result<(), String> {
        let pictures = pictures(publish.file.as_ref())?;
        let at = net::now() + HEAD_START;
        for stream in 0..publish.streams {
            let publishing = Publishing {
                stream,
                bitrate: publish.bitrate,
                fps: publish.fps,
                gop: publish.gop,
                audio: publish.audio,
                pictures: pictures.clone(),
                simulcast: publish.simulcast,
                data: data_script(publish),
            };
            let url = cli::address(&publish.whip, stream)?;
            self.join(Join { url, at, thread: 0, what: What::Publish(publishing) });
        }
        self.publishers = publish.streams.into();
        Ok(())
    }

    /// Starts viewers until there are `viewers` in all; returns the last one's intended start.
    pub(crate) fn watch(&mut self, watch: &Watch, viewers: u32) -> Result<Timestamp, String> {
        let begin = net::now() + HEAD_START;
        let present = self.planned.len() as u32;
        let threads = self.threads.len() - self.viewers_from;
        let mut last = begin;
        for (place, viewer) in (present..viewers).enumerate() {
            last = begin + Duration::from_secs_f64(place as f64 / watch.ramp);
            let thread = self.viewers_from + viewer as usize % threads;
            let data = match viewer < watch.data_stalled {
                true => DataViewer::Stalls,
                false => DataViewer::Reads,
            };
            let data = self.reads_data.then_some(data);
            let what = What::View(Viewing {
                number: viewer,
                is_second: false,
                verify_fraction: watch.verify_fraction,
                data,
                over: watch.over,
                picture: self.pictures,
                link: watch.link.clone(),
            });
            self.join(Join { url: watch.address_of(viewer)?, at: last, thread, what });
            self.planned.push(last);
        }
        Ok(last)
    }

    fn publishers_pending(&self, publish: &Publish) -> bool {
        let failed = self.signalling.as_ref().map_or(0, |signalling| signalling.record().failed());
        self.total.counts.publishing + failed < u64::from(publish.streams)
    }

    /// Whether a viewer that should have begun is neither connected nor refused.
    pub(crate) fn viewers_pending(&self) -> bool {
        let failed = self.signalling.as_ref().map_or(0, |signalling| signalling.record().failed());
        self.total.counts.connected + failed < self.planned.len() as u64
    }

    /// When the test will end, for the progress bar.
    fn expect(&self, end: Timestamp) {
        self.progress.set_length(end.since(self.begun).as_secs());
    }

    /// Whether it was interrupted, or cannot go on.
    pub(crate) fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.broken.is_some()
    }

    /// Processes accounts until `end`.
    pub(crate) fn run_until(&mut self, end: Timestamp) {
        self.run_while(end.since(net::now()), |_| true);
    }

    /// Processes accounts while a condition holds, at most for `limit`.
    pub(crate) fn run_while(&mut self, limit: Duration, mut condition: impl FnMut(&Self) -> bool) {
        let end = net::now() + limit;
        while !self.is_over() && net::now() < end && condition(self) {
            let wait = end.since(net::now()).min(Duration::from_millis(100));
            if let Ok(account) = self.accounts.recv_timeout(wait) {
                self.take(account);
            }
        }
    }

    fn take(&mut self, account: Account) {
        let Account { thread, record, cpu, wall, counters, ready, ended, .. } = account;
        let (viewers_connected, viewers_with_picture) = (account.viewers_connected, account.viewers_with_picture);
        let state = &mut self.states[thread];
        (state.connected, state.with_picture) = (viewers_connected.into(), viewers_with_picture.into());
        state.cpu += cpu;
        state.wall += wall;
        // Short accounts, such as the last one, are not representative.
        if wall > Duration::from_millis(250) {
            state.own.busy_max = state.own.busy_max.max(cpu.as_secs_f64() / wall.as_secs_f64());
        }
        state.own.messages_received = counters.messages_received;
        state.own.datagrams_received = counters.datagrams_received;
        state.own.receives_rearmed = counters.rearmed;
        if let Some(error) = ended {
            state.ended = true;
            self.broken = self.broken.take().or(error);
        }
        for viewer in ready {
            self.switch(viewer);
        }
        self.note_second(&record);
        self.total.merge(&record);
        self.window.merge(&record);
        self.show();
    }

    fn note_second(&mut self, record: &LoadRecord) {
        let now = net::now();
        let second = now.since(self.begun).as_secs();
        if self.timeline.last().is_none_or(|last| last.second != second) {
            self.latency.reset();
            self.timeline.push(Second { second, ..Second::default() });
        }
        // Adding cannot fail: both histograms have the same bounds.
        let _ = self.latency.add(&record.video_latency_us);
        let intended = self.planned.partition_point(|at| *at <= now) as u64;
        let (connected, with_picture) =
            self.states.iter().fold((0, 0), |sum, state| (sum.0 + state.connected, sum.1 + state.with_picture));
        if let Some(last) = self.timeline.last_mut() {
            last.packets += record.counts.received();
            last.bytes += record.counts.received_bytes;
            last.lost += record.counts.missing.saturating_sub(record.counts.filled);
            (last.intended, last.connected, last.with_picture) = (intended, connected, with_picture);
            if !self.latency.is_empty() {
                last.latency_p50_us = self.latency.value_at_quantile(0.5);
                last.latency_p99_us = self.latency.value_at_quantile(0.99);
            }
        }
    }

    fn show(&self) {
        let Some(second) = self.timeline.last() else { return };
        self.progress.set_position(net::now().since(self.begun).as_secs());
        let before = self.timeline.len().checked_sub(2).and_then(|at| self.timeline.get(at)).unwrap_or(second);
        self.progress.set_message(format!(
            "{}/{} viewers, {:.0} packets/s, {:.1} Mbit/s, {} lost, p99 {:.1} ms",
            second.connected,
            self.planned.len(),
            before.packets as f64,
            before.bytes as f64 * 8e-6,
            self.total.counts.lost(),
            before.latency_p99_us as f64 / 1e3,
        ));
    }

    /// Figures of [`Self::window`] are counted from now on.
    pub(crate) fn begin_window(&mut self) {
        self.window = LoadRecord::default();
        self.window_cpu = CpuTimes::read(self.server_pid);
        self.window_begun = net::now();
    }

    /// How long the window is open.
    pub(crate) fn window_seconds(&self) -> f64 {
        net::now().since(self.window_begun).as_secs_f64().max(1e-3)
    }

    /// The server's CPU and the machine's in the window.
    pub(crate) fn window_cpu(&self) -> (Option<ServerCpu>, f64) {
        let cpu = CpuTimes::read(self.server_pid);
        let wall_ns = self.window_seconds() * 1e9;
        let server = self.server_pid.map(|pid| {
            let ns = cpu.server_ns_since(&self.window_cpu) as f64;
            let (name, busiest) = cpu.busiest_since(&self.window_cpu).unwrap_or(("none", 0));
            ServerCpu {
                pid,
                cores: ns / wall_ns,
                busiest_thread: name.to_owned(),
                busiest_thread_cores: busiest as f64 / wall_ns,
                ns_per_packet: ns / (self.window.counts.received().max(1) as f64),
                resident_bytes: machine::resident_bytes(pid),
                resident_bytes_before: self.rests,
            }
        });
        (server, cpu.machine_busy_since(&self.window_cpu))
    }

    /// Connected viewers, by the load threads' last accounts.
    pub(crate) fn connected(&self) -> u64 {
        self.states.iter().map(|state| state.connected).sum()
    }

    /// Packets that viewers should have received by now, when all were connected before the first was sent.
    fn due(&self) -> Option<u64> {
        let counts = &self.total.counts;
        (self.viewers_first && self.publishers > 0)
            .then(|| (counts.sent_video + counts.sent_audio) * self.planned.len() as u64 / self.publishers)
    }

    /// The tester's own threads.
    pub(crate) fn own_threads(&self) -> Vec<OwnThread> {
        let busy = |state: &ThreadState| OwnThread {
            busy_mean: state.cpu.as_secs_f64() / state.wall.as_secs_f64().max(1e-3),
            ..state.own.clone()
        };
        self.states.iter().map(busy).collect()
    }

    /// Forgets the busiest seconds so far.
    pub(crate) fn forget_busy(&mut self) {
        for state in &mut self.states {
            state.own.busy_max = 0.0;
        }
    }
}
