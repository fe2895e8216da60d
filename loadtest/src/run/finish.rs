//! The end of a test: what is on its way is waited for, clients leave, and everything is added up.

use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use corecast::net;
use corecast::net::host::KernelUdpCounters;

use super::Load;
use crate::load::LoadCommand;
use crate::machine::CpuTimes;
use crate::results::{self, Accounts, DataAccounts, OwnThread, Picture, Results, Verdict};

/// Time after the last frame for packets on their way and for retransmissions.
const DRAIN: Duration = Duration::from_millis(1_500);
/// Further time when the number of packets to come is known and not all have come: the server may have been stopped for
/// a while.
const LATE_MAX: Duration = Duration::from_secs(3);

impl Load {
    /// What became of every packet so far.
    pub(super) fn packet_accounts(&self) -> Accounts {
        let counts = &self.total.counts;
        let due = self.due();
        Accounts {
            sent: counts.sent_video + counts.sent_audio,
            due,
            received: counts.received(),
            lost: counts.lost(),
            unseen: due.map(|due| due as i64 - (counts.received() + counts.lost()) as i64),
            socket_drops: counts.socket_drops,
        }
    }

    /// What became of every data message so far.
    pub(super) fn data_accounts(&self, refused: u64, per_second: f64) -> Option<DataAccounts> {
        let counts = &self.total.counts;
        let sent = counts.data_sent * self.planned.len() as u64;
        self.reads_data.then(|| DataAccounts {
            refused,
            sent: counts.data_sent,
            due: (self.viewers_first && self.publishers > 0).then(|| sent / self.publishers),
            received: counts.data_received,
            lost: counts.data_lost(),
            late: counts.data_late,
            per_second,
        })
    }

    /// What viewers saw so far, where they watch.
    pub(super) fn picture_accounts(&self) -> Option<Picture> {
        let watched: u64 = self.timeline.iter().map(|second| second.with_picture).sum();
        (self.pictures && !self.planned.is_empty()).then(|| Picture::of(&self.total.counts, watched as f64))
    }

    pub(super) fn finish(mut self) -> Result<Results, String> {
        let interrupted = self.stop.swap(false, Ordering::Relaxed);
        let (server, machine_busy) = self.window_cpu();
        let data_per_second = self.window.counts.data_received as f64 / self.window_seconds();
        let packets_per_second = self.window.counts.received() as f64 / self.window_seconds();
        if self.publishers > 0 && !self.planned.is_empty() {
            self.threads[0].tell(LoadCommand::StopPublishing);
            self.run_while(DRAIN, |_| true);
            self.run_while(LATE_MAX, |load| load.due().is_some_and(|due| load.total.counts.received() < due));
        }
        let ended_at = net::now();
        let intended = self.planned.iter().filter(|at| **at <= ended_at).count() as u64;
        for thread in &self.threads {
            thread.tell(LoadCommand::End);
        }
        let broken = self.broken.take();
        self.run_while(Duration::from_secs(10), |load| load.states.iter().any(|state| !state.ended));
        if let Some(error) = broken.or(self.broken.take()) {
            return Err(error);
        }
        self.progress.finish_and_clear();
        let mut threads = self.own_threads();
        let mut signal = None;
        if let Some(signalling) = self.signalling.take() {
            signal = Some(signalling.record());
            signalling.end();
        }
        let signal = signal.ok_or("signalling ended before its time")?;
        let seconds = ended_at.since(self.begun).as_secs_f64();
        threads.push(OwnThread {
            name: "signalling".to_owned(),
            busy_mean: signal.cpu.as_secs_f64() / seconds.max(1e-3),
            ..OwnThread::default()
        });
        let counts = self.total.counts;
        let distributions = results::distributions(&self.total, &signal);
        let joining =
            self.planned.first().zip(self.total.last_connected).map(|(first, last)| last.since(*first).as_secs_f64());
        let accounts = self.packet_accounts();
        let data = self.data_accounts(signal.data_refused, data_per_second);
        let picture = self.picture_accounts();
        let rekeys = self.rekeys.take().map(|rekeys| rekeys.complete(&counts, &signal.rekeys_failed));
        let whole_busy = CpuTimes::read(None).machine_busy_since(&self.cpu);
        let bottleneck = results::bottleneck(&counts, &distributions, &threads, machine_busy.max(whole_busy));
        Ok(Results {
            version: env!("CARGO_PKG_VERSION"),
            command: command_line(),
            unix_time: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            interrupted,
            seconds,
            viewers_intended: intended,
            viewers_connected: counts.connected,
            viewers_with_picture: self.states.iter().map(|state| state.with_picture).sum(),
            joins_per_second: joining.map_or(0.0, |joining| counts.connected as f64 / joining.max(1e-3)),
            publishers_intended: self.publishers,
            requests_answered: signal.answered,
            requests_failed: signal.failures,
            accounts,
            data,
            picture,
            rekeys,
            counts: counts.named().into_iter().collect(),
            distributions,
            timeline: self.timeline,
            threads,
            server,
            machine_busy,
            packets_per_second,
            kernel: since(&KernelUdpCounters::read().unwrap_or_default(), &self.kernel),
            bottleneck,
            knee: None,
            verdict: Verdict::default(),
        })
    }
}

fn since(now: &KernelUdpCounters, before: &KernelUdpCounters) -> KernelUdpCounters {
    KernelUdpCounters {
        in_datagrams: now.in_datagrams.saturating_sub(before.in_datagrams),
        out_datagrams: now.out_datagrams.saturating_sub(before.out_datagrams),
        no_ports: now.no_ports.saturating_sub(before.no_ports),
        in_errors: now.in_errors.saturating_sub(before.in_errors),
        receive_buffer_errors: now.receive_buffer_errors.saturating_sub(before.receive_buffer_errors),
        send_buffer_errors: now.send_buffer_errors.saturating_sub(before.send_buffer_errors),
        checksum_errors: now.checksum_errors.saturating_sub(before.checksum_errors),
        memory_errors: now.memory_errors.saturating_sub(before.memory_errors),
    }
}

/// The command line without the token.
fn command_line() -> String {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    for at in 0..words.len() {
        if words[at] == "--token" && at + 1 < words.len() {
            words[at + 1] = "…".to_owned();
        } else if words[at].starts_with("--token=") {
            words[at] = "--token=…".to_owned();
        }
    }
    words.join(" ")
}
