//! The results of a test: figures, whether the tester itself was the limit, and whether the check passed.

use std::collections::BTreeMap;
use std::time::Duration;

use corecast::lab::peer::record::{Counts, LoadRecord};
use corecast::net::host::KernelUdpCounters;
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::rekeys::Rekeys;
use crate::signalling::SignalRecord;

/// Above this part of a core a thread of the tester has no time left for bursts.
const BUSY_LINE: f64 = 0.90;
/// When the 99th percentile of late starts is above this, the tester was too slow.
const START_LATE_LINE_US: u64 = 50_000;
/// When the 99th percentile of a publisher's late packets is above this, they were not sent as the model says.
const SEND_LATE_LINE_US: u64 = 20_000;
/// When the 99th percentile of the time that datagrams waited in the kernel is above this, the tester read too late.
const READ_LATE_LINE_US: u64 = 100_000;
const MACHINE_FULL_LINE: f64 = 0.95;

/// A distribution in microseconds.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Distribution {
    pub(crate) count: u64,
    pub(crate) p50: u64,
    pub(crate) p90: u64,
    pub(crate) p99: u64,
    pub(crate) p999: u64,
    pub(crate) max: u64,
    /// Value at each of [`CURVE`]'s quantiles, for the plot.
    pub(crate) curve: Vec<u64>,
}

/// Quantiles of a plotted curve.
pub(crate) const CURVE: [f64; 14] =
    [0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 0.9995, 0.9999, 1.0];

impl Distribution {
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        if histogram.is_empty() {
            return Self::default();
        }
        let at = |quantile| histogram.value_at_quantile(quantile);
        Self {
            count: histogram.len(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: histogram.max(),
            curve: CURVE.into_iter().map(at).collect(),
        }
    }
}

/// One second of the test.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Second {
    pub(crate) second: u64,
    /// Viewers that should have begun, that are connected, and that have a complete key frame.
    pub(crate) intended: u64,
    pub(crate) connected: u64,
    pub(crate) with_picture: u64,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) lost: u64,
    pub(crate) latency_p50_us: u64,
    pub(crate) latency_p99_us: u64,
}

/// A thread of the tester.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct OwnThread {
    pub(crate) name: String,
    /// Share of a core, 0 to 1, over the whole test and in the busiest second.
    pub(crate) busy_mean: f64,
    pub(crate) busy_max: f64,
    pub(crate) messages_received: u64,
    pub(crate) datagrams_received: u64,
    pub(crate) receives_rearmed: u64,
}

/// The server's CPU, while all viewers were there.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ServerCpu {
    pub(crate) pid: u32,
    /// Cores in use, all threads together.
    pub(crate) cores: f64,
    pub(crate) busiest_thread: String,
    pub(crate) busiest_thread_cores: f64,
    /// CPU time of all its threads divided by the packets viewers received, nanoseconds.
    pub(crate) ns_per_packet: f64,
    /// Its memory, and what it had before the first client.
    pub(crate) resident_bytes: Option<u64>,
    pub(crate) resident_bytes_before: Option<u64>,
}

/// A step of the search for the knee.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Step {
    pub(crate) viewers: u64,
    pub(crate) connected: u64,
    pub(crate) packets_per_second: f64,
    pub(crate) loss: f64,
    pub(crate) latency_p99_us: u64,
    pub(crate) server: Option<ServerCpu>,
    pub(crate) machine_busy: f64,
    /// Which line was crossed.
    pub(crate) crossed: Option<String>,
}

/// The result of the search.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Knee {
    /// The most viewers with which every line was kept.
    pub(crate) viewers: u64,
    /// Why the search ended.
    pub(crate) reason: String,
    /// The line was crossed by the tester, not by the server.
    pub(crate) tester_was_the_limit: bool,
    pub(crate) steps: Vec<Step>,
}

/// Whether the check passed.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Verdict {
    /// What failed; empty for a pass.
    pub(crate) failed: Vec<String>,
}

impl Verdict {
    pub(crate) fn passed(&self) -> bool {
        self.failed.is_empty()
    }
}

/// What became of every packet.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Accounts {
    /// Packets a publisher sent for the first time.
    pub(crate) sent: u64,
    /// Packets that viewers should have received: with --viewers-first, sent × viewers of that stream.
    pub(crate) due: Option<u64>,
    /// Packets that viewers received, each sequence number once.
    pub(crate) received: u64,
    /// Skipped sequence numbers that never came.
    pub(crate) lost: u64,
    /// `due` − received − lost: before a viewer's first packet or after its last.
    pub(crate) unseen: Option<i64>,
    /// Messages dropped by the clients' sockets.
    pub(crate) socket_drops: u64,
}

/// What became of every data message.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct DataAccounts {
    /// Clients whose data channels the server refused.
    pub(crate) refused: u64,
    /// Messages that publishers sent.
    pub(crate) sent: u64,
    /// Messages that viewers should have received: with --viewers-first, sent × viewers of that stream.
    pub(crate) due: Option<u64>,
    /// Messages that viewers received.
    pub(crate) received: u64,
    /// Skipped numbers that never came.
    pub(crate) lost: u64,
    /// Received messages that were older than 500 ms.
    pub(crate) late: u64,
    /// Received, while all viewers were there.
    pub(crate) per_second: f64,
}

/// What viewers that watch their picture saw.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Picture {
    /// Frames shown, to all of them together.
    pub(crate) frames: u64,
    pub(crate) freezes: u64,
    pub(crate) frozen_seconds: f64,
    /// Of the time that viewers had a picture, 0 to 1.
    pub(crate) frozen_share: f64,
    /// Times a picture went over to another encoding.
    pub(crate) switches: u64,
    /// The part of the frames that was of each encoding, from the lowest that this tester publishes; the last one stands for
    /// the fourth and above. Empty where frames do not say (another publisher's).
    pub(crate) encoding_shares: Vec<f64>,
    /// Reports on the network that viewers sent.
    pub(crate) feedbacks: u64,
    pub(crate) rembs: u64,
}

impl Picture {
    /// Of the counters, and for how many seconds viewers had a picture, all together.
    pub(crate) fn of(counts: &Counts, watched_seconds: f64) -> Self {
        let by_encoding = [counts.frames_of_0, counts.frames_of_1, counts.frames_of_2, counts.frames_of_3];
        let told: u64 = by_encoding.iter().sum();
        let frozen_seconds = counts.frozen_ms as f64 / 1e3;
        let highest = by_encoding.iter().rposition(|frames| *frames > 0).map_or(0, |at| at + 1);
        Self {
            frames: counts.frames,
            freezes: counts.freezes,
            frozen_seconds,
            frozen_share: (frozen_seconds / watched_seconds.max(1e-3)).min(1.0),
            switches: counts.switches,
            encoding_shares: by_encoding[..highest].iter().map(|frames| *frames as f64 / told as f64).collect(),
            feedbacks: counts.feedbacks,
            rembs: counts.rembs,
        }
    }
}

/// Lines that a test may not cross.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lines {
    /// The part of the packets that may be lost for good.
    pub(crate) loss: f64,
    /// Of the 99th percentile of one-way video latency.
    pub(crate) latency: Option<Duration>,
}

/// Everything.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Results {
    pub(crate) version: &'static str,
    pub(crate) command: String,
    pub(crate) unix_time: u64,
    pub(crate) interrupted: bool,
    pub(crate) seconds: f64,
    pub(crate) viewers_intended: u64,
    pub(crate) viewers_connected: u64,
    pub(crate) viewers_with_picture: u64,
    pub(crate) joins_per_second: f64,
    pub(crate) publishers_intended: u64,
    pub(crate) requests_answered: u64,
    pub(crate) requests_failed: BTreeMap<String, u64>,
    pub(crate) accounts: Accounts,
    pub(crate) data: Option<DataAccounts>,
    pub(crate) picture: Option<Picture>,
    pub(crate) rekeys: Option<Rekeys>,
    pub(crate) counts: BTreeMap<&'static str, u64>,
    /// Microseconds.
    pub(crate) distributions: BTreeMap<&'static str, Distribution>,
    pub(crate) timeline: Vec<Second>,
    pub(crate) threads: Vec<OwnThread>,
    pub(crate) server: Option<ServerCpu>,
    pub(crate) machine_busy: f64,
    /// Received, while all viewers were there.
    pub(crate) packets_per_second: f64,
    /// Of this network namespace, during the test.
    pub(crate) kernel: KernelUdpCounters,
    /// Why the tester, and not the server, may be what was measured; empty when it was not.
    pub(crate) bottleneck: Vec<String>,
    pub(crate) knee: Option<Knee>,
    pub(crate) verdict: Verdict,
}

/// The distributions of a record, by the names of `report.json`.
pub(crate) fn distributions(record: &LoadRecord, signalling: &SignalRecord) -> BTreeMap<&'static str, Distribution> {
    [
        ("start_to_answer", &signalling.answer_us),
        ("start_to_connected", &record.connect_us),
        ("start_to_first_packet", &record.first_packet_us),
        ("start_to_key_frame", &record.key_frame_us),
        ("start_to_live", &record.live_us),
        ("rekey_to_connected", &record.second_connect_us),
        ("rekey_overlap", &record.overlap_us),
        ("video_latency", &record.video_latency_us),
        ("audio_latency", &record.audio_latency_us),
        ("data_latency", &record.data_latency_us),
        ("own_start_late", &signalling.late_us),
        ("own_send_late", &record.send_late_us),
        ("own_read_late", &record.read_late_us),
    ]
    .into_iter()
    .map(|(name, histogram)| (name, Distribution::of(histogram)))
    .collect()
}

/// Why the tester may have been the limit.
pub(crate) fn bottleneck(
    counts: &Counts,
    distributions: &BTreeMap<&'static str, Distribution>,
    threads: &[OwnThread],
    machine_busy: f64,
) -> Vec<String> {
    let mut reasons = Vec::new();
    for thread in threads.iter().filter(|thread| thread.busy_max > BUSY_LINE) {
        reasons.push(format!(
            "the tester's thread {} was {:.0} % busy in its busiest second: give it more --cores, or fewer viewers",
            thread.name,
            thread.busy_max * 100.0
        ));
    }
    if counts.socket_drops > 0 {
        reasons.push(format!(
            "the clients' sockets dropped {} messages because their receive buffers were full: raise net.core.rmem_max \
             or --socket-buffer",
            counts.socket_drops
        ));
    }
    if counts.sends_failed > 0 {
        reasons.push(format!("the kernel refused {} datagrams of the clients", counts.sends_failed));
    }
    for (name, line, what) in [
        ("own_start_late", START_LATE_LINE_US, "started viewers"),
        ("own_send_late", SEND_LATE_LINE_US, "sent published packets"),
        ("own_read_late", READ_LATE_LINE_US, "read what had arrived"),
    ] {
        let p99 = distributions.get(name).map_or(0, |distribution| distribution.p99);
        if p99 > line {
            reasons.push(format!("the tester {what} up to {:.0} ms late (99 of 100)", p99 as f64 / 1e3));
        }
    }
    if machine_busy > MACHINE_FULL_LINE {
        reasons.push(format!(
            "the whole machine was {:.0} % busy: where the server runs on it too, each was in the other's way",
            machine_busy * 100.0
        ));
    }
    reasons
}

/// What failed.
pub(crate) fn verdict(results: &Results, lines: &Lines) -> Verdict {
    let max_loss = lines.loss;
    let mut failed = Vec::new();
    let count = |name: &str| results.counts.get(name).copied().unwrap_or(0);
    let missing = results.viewers_intended.saturating_sub(results.viewers_connected);
    if missing > 0 && !results.interrupted {
        failed.push(format!("{missing} of {} viewers did not connect", results.viewers_intended));
    }
    let publishing = count("publishing");
    if publishing < results.publishers_intended {
        failed.push(format!("{publishing} of {} publishers connected", results.publishers_intended));
    }
    if count("ended_early") > 0 {
        failed.push(format!("{} clients ended before they were asked to", count("ended_early")));
    }
    if results.viewers_connected > 0 && results.accounts.received == 0 {
        failed.push("no packet reached any viewer: is somebody publishing this stream?".to_owned());
    }
    let lost = results.accounts.lost + results.accounts.unseen.map_or(0, |unseen| unseen.unsigned_abs());
    let all = results.accounts.received + lost;
    let loss = if all == 0 { 0.0 } else { lost as f64 / all as f64 };
    if loss > max_loss {
        failed.push(format!(
            "{lost} of {all} packets were lost ({:.3} %, the line is {:.3} %)",
            loss * 100.0,
            max_loss * 100.0
        ));
    }
    for (name, what) in [("unauthentic", "were not authentic"), ("duplicates", "came twice")] {
        if count(name) > 0 {
            failed.push(format!("{} packets {what}", count(name)));
        }
    }
    failed.extend(results.rekeys.iter().flat_map(Rekeys::failures));
    failed.extend(late(results.distributions.get("video_latency"), lines.latency));
    failed.extend(results.data.as_ref().and_then(|data| failed_data(data, max_loss)));
    Verdict { failed }
}

/// Whether a server that loses nothing plays it too late.
fn late(latency: Option<&Distribution>, line: Option<Duration>) -> Option<String> {
    let (p99, line) = (latency.filter(|latency| latency.count > 0)?.p99, line?.as_millis() as u64);
    (p99 > line * 1_000).then(|| {
        format!(
            "video came {:.0} ms after it was sent (99 of 100 packets came sooner), the line is {line} ms",
            p99 as f64 / 1e3
        )
    })
}

/// What failed of data channels.
fn failed_data(data: &DataAccounts, max_loss: f64) -> Option<String> {
    if data.refused > 0 {
        return Some(format!("the server refused data channels to {} clients", data.refused));
    }
    if data.sent > 0 && data.received == 0 {
        return Some("no data message reached any viewer".to_owned());
    }
    let loss = data.lost as f64 / (data.received + data.lost).max(1) as f64;
    (loss > max_loss).then(|| {
        format!("{} data messages were lost ({:.3} %, the line is {:.3} %)", data.lost, loss * 100.0, max_loss * 100.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tester_that_was_the_limit_reports_itself() {
        let counts = Counts { socket_drops: 7, ..Counts::default() };
        let late = Distribution { p99: 60_000, ..Distribution::default() };
        let distributions = BTreeMap::from([("own_start_late", late)]);
        let thread = OwnThread { name: "load-1".to_owned(), busy_max: 0.97, ..OwnThread::default() };
        let reasons = bottleneck(&counts, &distributions, &[thread], 0.99);
        assert_eq!(reasons.len(), 4, "{reasons:?}");
        assert!(reasons[0].contains("load-1 was 97 % busy"));
        assert!(bottleneck(&Counts::default(), &BTreeMap::new(), &[OwnThread::default()], 0.5).is_empty());
    }

    #[test]
    fn a_server_that_plays_late_fails_and_one_without_send_times_is_not_judged() {
        let of = |count, p99| Distribution { count, p99, ..Distribution::default() };
        let line = Some(Duration::from_millis(1_000));
        assert!(late(Some(&of(9, 2_000_000)), line).unwrap().contains("2000 ms after it was sent"));
        for (latency, line) in [(of(9, 1_000_000), line), (of(0, 0), line), (of(9, 2_000_000), None)] {
            assert_eq!(late(Some(&latency), line), None);
        }
        assert_eq!(late(None, line), None);
    }

    #[test]
    fn shares_of_encodings_are_of_the_frames_that_say() {
        let counts =
            Counts { frames: 110, frames_of_0: 25, frames_of_2: 75, freezes: 2, frozen_ms: 500, ..Counts::default() };
        let picture = Picture::of(&counts, 50.0);
        assert_eq!(picture.encoding_shares, [0.25, 0.0, 0.75]);
        assert_eq!((picture.frozen_seconds, picture.frozen_share), (0.5, 0.01));
        assert!(Picture::of(&Counts { frames: 9, ..Counts::default() }, 0.0).encoding_shares.is_empty());
    }

    #[test]
    fn data_that_is_refused_lost_or_never_comes_fails() {
        let came = DataAccounts { sent: 10, received: 100, ..DataAccounts::default() };
        assert_eq!(failed_data(&came, 0.0), None);
        assert_eq!(failed_data(&DataAccounts { lost: 1, ..came.clone() }, 0.01), None);
        assert!(failed_data(&DataAccounts { lost: 2, ..came.clone() }, 0.01).unwrap().contains("2 data messages"));
        assert!(failed_data(&DataAccounts { refused: 3, ..came.clone() }, 1.0).unwrap().contains("3 clients"));
        assert!(failed_data(&DataAccounts { received: 0, ..came }, 1.0).unwrap().contains("no data message"));
    }

    #[test]
    fn an_empty_distribution_is_all_zeros() {
        assert_eq!(Distribution::of(&LoadRecord::default().connect_us).count, 0);
    }
}
