//! Hours in the life of a node: sessions that come, move to another address, leave, or are never heard of again, while one
//! stream plays on. Does anything grow?
//!
//! `tests/soak/run [minutes]` runs it and keeps the figures; plain `cargo test` runs ten seconds of it, which show that the
//! soak itself works and that everything is given back. Resident memory of the last minute is compared with that of the
//! fifth (in a run of less than ten minutes, of the middle one); file descriptors must not change at all.
//!
//! Left out: load. A few dozen sessions at a time are enough to leak, and leave the machine usable.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::MutexGuard;
use std::time::{Duration, Instant, SystemTime};

use corecast::crypto::random::{Random as _, SystemRandom};
use corecast::description::Direction;
use corecast::dtls::DtlsIdentity;
use corecast::net;
use corecast::wire::rtcp::receiver_report;

use crate::client::Http;
use crate::honest::{self, Honest};
use crate::hostile::{self, Hostile};
use crate::node::Node;

const SAMPLE_INTERVAL: Duration = Duration::from_secs(10);
const MINUTE: Duration = Duration::from_secs(60);
/// One session begins in this time.
const ARRIVAL_INTERVAL: Duration = Duration::from_millis(100);
/// Longer than anything takes that is waited for.
const PATIENCE: Duration = Duration::from_secs(20);
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// One sample of so many is told while it runs: one a minute.
const REPORTED_OF: usize = 6;
/// Of the fifth minute's memory.
const GROWTH_MAX: f64 = 0.05;

/// How a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Ending {
    /// `DELETE`.
    Leaves,
    /// DTLS close alert.
    Closes,
    /// Its socket is gone, and nobody says so.
    Vanishes,
    /// It was opened and its client never came.
    NeverComes,
}

/// A session of the coming and going.
struct Guest {
    peer: Hostile,
    ending: Ending,
    until: Instant,
    /// When its address changes, if it does.
    moves: Option<Instant>,
    next_report: Instant,
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Duration,
    resident_bytes: u64,
    descriptors: usize,
    sessions: usize,
}

#[derive(Default)]
struct Tally {
    opened: u64,
    refused: u64,
    moved: u64,
    ended: BTreeMap<Ending, u64>,
}

struct Soak {
    node: Node,
    _honest: Honest,
    http: Http,
    identity: DtlsIdentity,
    guests: Vec<Guest>,
    tally: Tally,
    /// Given back last: after the node has ended.
    _turn: MutexGuard<'static, ()>,
}

fn chance(percent: u64) -> bool {
    SystemRandom.u64() % 100 < percent
}

impl Soak {
    fn begin() -> Self {
        let turn = crate::turn();
        let node = Node::start();
        honest::beside_the_worker();
        let honest = Honest::play(node.doors(), [None; 2]);
        let http = Http::to(node.http);
        let identity = DtlsIdentity::generate(SystemTime::now()).unwrap();
        Self { node, _honest: honest, http, identity, guests: Vec::new(), tally: Tally::default(), _turn: turn }
    }

    fn arrive(&mut self) {
        // One in ten publishes a name of its own, of which the node takes few; some watch those.
        let (direction, stream) = match SystemRandom.u64() % 10 {
            0 => (Direction::Publish, format!("guest-{}", SystemRandom.u64() % 12)),
            1 => (Direction::Play, format!("guest-{}", SystemRandom.u64() % 12)),
            _ => (Direction::Play, honest::STREAM.to_owned()),
        };
        let Ok(peer) = Hostile::open(&self.node, &mut self.http, &self.identity, direction, &stream) else {
            self.tally.refused += 1;
            return;
        };
        self.tally.opened += 1;
        // In turn and not by chance, the rare ones first: ten seconds are to see each.
        let ending = match self.tally.opened % 10 {
            1 => Ending::NeverComes,
            2 | 3 => Ending::Closes,
            4..=6 => Ending::Vanishes,
            _ => Ending::Leaves,
        };
        let now = Instant::now();
        let stays = Duration::from_millis(500 + SystemRandom.u64() % 7_500);
        let moves = (chance(30) && ending != Ending::NeverComes).then(|| now + stays / 2);
        self.guests.push(Guest { peer, ending, until: now + stays, moves, next_report: now + REPORT_INTERVAL });
    }

    fn step(&mut self) {
        let now = Instant::now();
        let mut going = Vec::new();
        for (at, guest) in self.guests.iter_mut().enumerate() {
            if guest.until <= now {
                going.push(at);
                continue;
            }
            if guest.ending == Ending::NeverComes {
                continue;
            }
            if guest.moves.is_some_and(|at| at <= now) {
                guest.moves = None;
                guest.peer.socket = hostile::socket(SocketAddr::from(([127, 0, 0, 1], 0)), self.node.media);
                // A client whose network has changed checks at once, from where it is now.
                let node = guest.peer.opened.peer.node;
                guest.peer.peer.change_path(node, net::now());
                self.tally.moved += 1;
            }
            if guest.next_report <= now {
                guest.next_report = now + REPORT_INTERVAL;
                guest.peer.send_rtcp(|slot| receiver_report::write(slot, 1, &[]));
            }
            guest.peer.step(|_| {});
        }
        for at in going.into_iter().rev() {
            let guest = self.guests.swap_remove(at);
            self.end(guest);
        }
    }

    fn end(&mut self, mut guest: Guest) {
        // Who was held up so long that it has no association yet cannot close it.
        if guest.ending == Ending::Closes && !guest.peer.peer.is_connected() {
            guest.ending = Ending::Leaves;
        }
        *self.tally.ended.entry(guest.ending).or_default() += 1;
        match guest.ending {
            Ending::Leaves => {
                let answer = self.http.ask("DELETE", &guest.peer.opened.location, &[], "").unwrap();
                assert!(matches!(answer.status, 200 | 404), "{answer:?}");
            }
            Ending::Closes => guest.peer.close(),
            Ending::Vanishes | Ending::NeverComes => {}
        }
    }

    fn sample(&self, begun: Instant) -> Sample {
        // Before the node is asked: the question is a connection.
        let (descriptors, (resident_bytes, _)) = (self.node.descriptors(), self.node.memory());
        let sessions = self.node.worker()["sessions"].as_array().unwrap().len();
        Sample { at: begun.elapsed(), resident_bytes, descriptors, sessions }
    }

    /// Lets them come and go for so long.
    fn run(&mut self, time: Duration, interval: Duration) -> Vec<Sample> {
        let begun = Instant::now();
        let (mut next_arrival, mut next_sample) = (begun, begun + interval);
        let mut samples = Vec::new();
        while begun.elapsed() < time {
            // Never more than one at a time: a machine that stood still must not make a crowd afterwards.
            let now = Instant::now();
            if next_arrival <= now {
                next_arrival = (next_arrival + ARRIVAL_INTERVAL).max(now);
                self.arrive();
            }
            self.step();
            if next_sample <= now {
                next_sample = (next_sample + interval).max(now);
                samples.push(self.sample(begun));
                if samples.len().is_multiple_of(REPORTED_OF) {
                    println!("{}", progress(samples.last().unwrap(), time));
                }
            }
            std::thread::sleep(Duration::from_millis(4));
        }
        samples
    }

    /// Everybody leaves properly.
    fn end_all(&mut self) {
        for mut guest in std::mem::take(&mut self.guests) {
            guest.ending = Ending::Leaves;
            self.end(guest);
        }
    }
}

fn progress(sample: &Sample, time: Duration) -> String {
    let Sample { at, resident_bytes, descriptors, sessions } = sample;
    let mib = *resident_bytes as f64 / f64::from(1 << 20);
    format!(
        "{:.0} of {:.0} s: {mib:.2} MiB resident, {descriptors} descriptors, {sessions} sessions",
        at.as_secs_f64(),
        time.as_secs_f64()
    )
}

/// Mean resident bytes of the samples of one minute, which ends at `end`.
fn minute(samples: &[Sample], end: Duration) -> f64 {
    let of: Vec<f64> = samples
        .iter()
        .filter(|sample| sample.at <= end + SAMPLE_INTERVAL / 2 && sample.at + MINUTE > end)
        .map(|sample| sample.resident_bytes as f64)
        .collect();
    of.iter().sum::<f64>() / of.len().max(1) as f64
}

/// Words, and whether it is well.
fn verdict(samples: &[Sample], time: Duration, tally: &Tally) -> (String, bool) {
    let reference = if time >= 10 * MINUTE { 5 * MINUTE } else { time / 2 };
    let (before, after) = (minute(samples, reference), minute(samples, time));
    let growth = after / before - 1.0;
    let settled = samples.iter().filter(|sample| sample.at >= reference);
    let (low, high) = settled
        .fold((usize::MAX, 0), |(low, high), sample| (low.min(sample.descriptors), high.max(sample.descriptors)));
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{:.0} minutes, {} sessions opened, {} refused",
        time.as_secs_f64() / 60.0,
        tally.opened,
        tally.refused
    );
    let _ = writeln!(text, "ended {:?}; {} moved to another address", tally.ended, tally.moved);
    let _ = writeln!(
        text,
        "resident: {:.2} MiB in the minute before {:.0} s, {:.2} MiB in the last: {:+.1} % (at most {:.0} %)",
        mib(before),
        reference.as_secs_f64(),
        mib(after),
        100.0 * growth,
        100.0 * GROWTH_MAX,
    );
    let _ = writeln!(text, "descriptors: {low} to {high} since then (must not change)");
    let well = growth <= GROWTH_MAX && low == high;
    let _ = writeln!(text, "{}", if well { "PASS" } else { "FAIL" });
    (text, well)
}

fn csv(samples: &[Sample]) -> String {
    let mut text = "seconds,resident_bytes,descriptors,sessions\n".to_owned();
    for Sample { at, resident_bytes, descriptors, sessions } in samples {
        let _ = writeln!(text, "{:.0},{resident_bytes},{descriptors},{sessions}", at.as_secs_f64());
    }
    text
}

#[test]
#[ignore = "takes as long as it is told to: tests/soak/run [minutes]"]
fn memory_and_descriptors_stay_where_they_are() {
    let minutes: f64 = std::env::var("CORECAST_SOAK_MINUTES").ok().and_then(|text| text.parse().ok()).unwrap_or(30.0);
    let time = MINUTE.mul_f64(minutes);
    let mut soak = Soak::begin();
    let samples = soak.run(time, SAMPLE_INTERVAL);
    soak.end_all();
    let (text, well) = verdict(&samples, time, &soak.tally);
    let artifacts = std::env::var_os("CORECAST_ARTIFACTS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/artifacts"), PathBuf::from)
        .join("soak");
    std::fs::create_dir_all(&artifacts).unwrap();
    std::fs::write(artifacts.join("samples.csv"), csv(&samples)).unwrap();
    std::fs::write(artifacts.join("report.txt"), &text).unwrap();
    println!("{text}{}", artifacts.join("samples.csv").display());
    assert!(well, "{text}");
}

#[test]
fn ten_seconds_of_coming_and_going_leave_nothing_but_those_who_vanished() {
    let mut soak = Soak::begin();
    let before = soak.node.descriptors();
    let samples = soak.run(Duration::from_secs(10), Duration::from_secs(1));
    soak.end_all();
    let Tally { opened, moved, ended, .. } = &soak.tally;
    assert!(*opened > 40 && *moved > 0 && ended.len() == 4, "{opened} opened, {moved} moved, {ended:?}");
    assert!(samples.iter().any(|sample| sample.sessions > 12));
    // Who vanished or never came is given up after 30 and 20 s; the soak proper sees that.
    let left = (ended[&Ending::Vanishes] + ended[&Ending::NeverComes] + 2) as usize;
    let deadline = Instant::now() + PATIENCE;
    while soak.node.worker()["sessions"].as_array().unwrap().len() > left {
        assert!(Instant::now() < deadline, "{left} may be left");
        std::thread::sleep(Duration::from_millis(100));
    }
    // The connection the soak itself keeps. Those of the questions above are gone a moment later.
    let deadline = Instant::now() + PATIENCE;
    while soak.node.descriptors() > before + 1 {
        assert!(Instant::now() < deadline, "{} descriptors, {before} before", soak.node.descriptors());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn growth_and_a_lost_descriptor_are_found() {
    let flat =
        |at: u64| Sample { at: Duration::from_secs(at * 10), resident_bytes: 20 << 20, descriptors: 40, sessions: 9 };
    let samples: Vec<Sample> = (1..=180).map(flat).collect();
    let time = 30 * MINUTE;
    assert!(verdict(&samples, time, &Tally::default()).1);
    let grown = samples.iter().map(|s| Sample { resident_bytes: s.resident_bytes + s.at.as_secs() * 1_500, ..*s });
    assert!(!verdict(&grown.collect::<Vec<_>>(), time, &Tally::default()).1);
    let mut leaked = samples;
    leaked[179].descriptors += 1;
    assert!(!verdict(&leaked, time, &Tally::default()).1);
}
