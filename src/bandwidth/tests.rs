//! The whole of it on links of known capacity: see [`super::links`].

use std::time::Duration;

use super::Bandwidth;
use super::controller::Place;
use super::links::{Link, World, encoding, ladder, run};
use super::why::Why;
use crate::limits;
use crate::relay::store::numbers::EncodingId;
use crate::time::Timestamp;

/// Kilobits a second of three encodings of one picture, sound included.
const LADDER: [u64; 3] = [150, 500, 1_700];
const SEEDS: [u64; 4] = [7, 1_001, 424_242, 99_999_989];

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Whether a viewer was sent `rid`, and nothing else, between two points in seconds.
#[track_caller]
fn assert_sent(world: &World, rid: usize, from_s: u64, to_s: u64) {
    let sent = world.seen.mostly(from_s * 1_000, to_s * 1_000);
    assert_eq!(sent, (Some(rid), 1.0), "{:?} {}", world.seen.decisions, world.figures());
}

#[test]
fn each_viewer_settles_within_eight_seconds_on_what_its_link_carries_and_stays_there() {
    for seed in SEEDS {
        for (kbps, rid) in [(20_000, 2), (10_000, 2), (5_000, 2), (2_500, 2), (1_200, 1), (700, 1), (400, 0), (200, 0)]
        {
            let world = run(&LADDER, Link::of(kbps), seed, seconds(120));
            assert_sent(&world, rid, 8, 120);
            // A probe takes a link of 200 kbit/s 144 ms, every 4 s.
            let most = if kbps <= 200 { 120 } else { 100 };
            assert!(world.seen.queue_p95() <= most, "{} ms on {kbps} kbit/s", world.seen.queue_p95());
        }
    }
}

#[test]
fn a_steady_link_sees_no_switch_in_ten_minutes_and_hardly_a_probe() {
    let world = run(&LADDER, Link::of(5_000), 7, seconds(600));
    assert_eq!(world.seen.decisions.len(), 1, "{:?}", world.seen.decisions);
    assert!(world.seen.probed_bytes * 100 < world.seen.sent_bytes, "{} bytes", world.seen.probed_bytes);
    // Where the next one does not fit, what a frame of one packet cannot tell is found out by probes.
    let narrow = run(&LADDER, Link::of(400), 7, seconds(600));
    assert_eq!(narrow.seen.decisions, []);
    let (probed, sent) = (narrow.seen.probed_bytes, narrow.seen.sent_bytes);
    assert!(probed > 0 && probed * 20 < sent, "{probed} of {sent} bytes");
}

#[test]
fn a_link_that_narrows_is_followed_within_a_second_and_one_that_widens_within_eight() {
    for seed in SEEDS {
        let mut world = World::new(&LADDER, Link::of(1_000), seed);
        let mut at_s = 0;
        for (kbps, rid, within_ms) in [
            (1_000, 1, 8_000),
            (2_500, 2, 8_000),
            (450, 0, 1_000),
            (1_000, 1, 8_000),
            (5_000, 2, 8_000),
            (400, 0, 1_000),
            (5_000, 2, 8_000),
        ] {
            world.link.kbps = kbps;
            world.link.queue_bytes = kbps * 300 / 8;
            world.run(30_000);
            let steps: Vec<_> = world.seen.decisions.iter().filter(|decision| decision.0 >= at_s * 1_000).collect();
            let (after, _) = world.seen.first_after(at_s * 1_000).unwrap();
            assert!(after <= within_ms && steps.len() <= 2, "{kbps} kbit/s: {steps:?} at {at_s} s");
            assert_sent(&world, rid, at_s + 8, at_s + 30);
            at_s += 30;
        }
        assert!(world.seen.queue_p95() <= 100, "{} ms", world.seen.queue_p95());
    }
}

#[test]
fn loss_that_a_path_always_has_keeps_nobody_down() {
    for seed in SEEDS {
        for loss in [10, 50, 100] {
            let world = run(&LADDER, Link { loss, ..Link::of(10_000) }, seed, seconds(120));
            assert_sent(&world, 2, 8, 120);
        }
    }
}

#[test]
fn lost_feedback_is_no_lost_packet() {
    for seed in SEEDS {
        let world = run(&LADDER, Link { feedback_loss: 300, ..Link::of(5_000) }, seed, seconds(300));
        // Two probes must be heard of, one soon after the other.
        assert_sent(&world, 2, 15, 300);
    }
}

#[test]
fn other_traffic_takes_its_share_and_the_viewer_keeps_its_own() {
    for seed in SEEDS {
        for (cross_kbps, rid) in [(3_000, 2), (6_000, 2), (9_000, 1)] {
            let link = Link { cross_kbps, ..Link::of(10_000) };
            let world = run(&LADDER, link, seed, seconds(120));
            let (most, share) = world.seen.mostly(10_000, 120_000);
            assert!(most >= Some(rid) && share > 0.7, "{cross_kbps}: {:?} {}", world.seen.decisions, world.figures());
            assert!(world.seen.queue_p95() <= 100, "{} ms", world.seen.queue_p95());
        }
    }
}

#[test]
fn a_receiver_that_is_busy_for_a_moment_makes_hardly_a_trial_behind_a_thin_link() {
    // In five minutes, one of ten such viewers: 19 of 199 seeds.
    let tried = |seed: &u64| {
        let world = run(&LADDER, Link { busy: 100, ..Link::of(400) }, seed * 7_919, seconds(300));
        let failed = world.seen.decisions.iter().filter(|decision| decision.2 == Why::TrialFailed).count();
        assert_eq!(failed * 2, world.seen.decisions.len(), "{:?} {}", world.seen.decisions, world.figures());
        failed > 0
    };
    let tried = (1..=40).filter(tried).count();
    assert!(tried <= 6, "{tried} of 40");
}

#[test]
fn where_feedback_is_lost_nothing_is_tried_that_the_last_rate_says_not_to_fit() {
    for seed in SEEDS {
        let world = run(&LADDER, Link { feedback_loss: 600, ..Link::of(800) }, seed, seconds(300));
        let highest = world.seen.decisions.iter().filter_map(|decision| decision.1).max();
        assert_eq!(highest, Some(1), "{:?} {}", world.seen.decisions, world.figures());
    }
}

#[test]
fn a_small_token_bucket_hides_from_nobody_what_a_link_carries() {
    for seed in SEEDS {
        for (kbps, rid) in [(5_000, 2), (1_200, 1), (400, 0)] {
            let world = run(&LADDER, Link { bucket_bytes: 2_500, ..Link::of(kbps) }, seed, seconds(120));
            assert_sent(&world, rid, 8, 120);
            assert!(world.seen.decisions.len() <= 1, "{kbps}: {:?}", world.seen.decisions);
        }
    }
}

#[test]
fn a_token_bucket_shows_more_than_it_carries_and_trials_find_it_out_less_and_less_often() {
    for seed in SEEDS {
        let wide = run(&LADDER, Link { bucket_bytes: 30_000, ..Link::of(10_000) }, seed, seconds(120));
        assert_sent(&wide, 2, 8, 120);
        let narrow = run(&LADDER, Link { bucket_bytes: 30_000, ..Link::of(1_200) }, seed, seconds(600));
        let (most, share) = narrow.seen.mostly(20_000, 600_000);
        assert!(most == Some(1) && share > 0.95, "{most:?} {share} {:?}", narrow.seen.decisions);
        let failed = narrow.seen.decisions.iter().filter(|decision| decision.2 == Why::TrialFailed);
        assert!((4..=14).contains(&failed.count()), "{:?}", narrow.seen.decisions);
    }
}

#[test]
fn an_uplink_that_spaces_the_packets_of_a_frame_is_not_taken_for_the_viewers_link() {
    for seed in SEEDS {
        let world = run(&LADDER, Link { uplink_kbps: 3_000, ..Link::of(20_000) }, seed, seconds(60));
        assert_sent(&world, 2, 8, 60);
    }
}

#[test]
fn what_carries_no_picture_gets_sound_only_and_the_picture_again_when_it_does() {
    for seed in SEEDS {
        let mut world = World::new(&LADDER, Link::of(400), seed);
        world.run(20_000);
        world.link.kbps = 60;
        world.run(40_000);
        let silent = world.seen.decisions.iter().filter(|decision| decision.1.is_none()).count();
        assert!(silent >= 2, "{:?}", world.seen.decisions);
        world.link.kbps = 5_000;
        world.run(70_000);
        assert_sent(&world, 2, 125, 130);
    }
}

#[test]
fn a_stream_of_one_encoding_is_never_anything_else_while_it_fits() {
    for seed in SEEDS {
        for link in
            [Link::of(5_000), Link { loss: 100, ..Link::of(5_000) }, Link { feedback_loss: 500, ..Link::of(3_000) }]
        {
            let world = run(&[2_000], link, seed, seconds(60));
            assert_eq!(world.seen.decisions, [], "{}", world.figures());
        }
    }
}

#[test]
fn jitter_is_no_queue() {
    for seed in SEEDS {
        let world = run(&LADDER, Link { jitter_ms: 40, ..Link::of(10_000) }, seed, seconds(300));
        assert_sent(&world, 2, 15, 300);
    }
}

#[test]
fn a_picture_that_stands_still_says_nothing_and_changes_nothing() {
    let mut world = World::new(&LADDER, Link::of(1_200), 7);
    world.run(20_000);
    let before = world.seen.decisions.clone();
    world.is_still = true;
    world.run(120_000);
    world.is_still = false;
    world.run(20_000);
    assert_eq!(world.seen.decisions, before, "{}", world.figures());
}

/// A viewer that sends receiver reports every second, and perhaps its own estimate: what it is sent, second by second.
fn by_reports(seconds: u64, report: impl Fn(u64, usize) -> (u64, u8, Option<u64>)) -> Vec<(u64, Option<usize>, Why)> {
    let ladder = ladder(&LADDER);
    let mut bandwidth = Bandwidth::new(Timestamp::ZERO);
    let (mut sent, mut decisions) = (1, Vec::new());
    for second in 1..=seconds {
        let now = Timestamp::from_millis(second * 1_000);
        let (round_trip_ms, lost, remb) = report(second, sent);
        bandwidth.receiver_report(round_trip_ms * 1_000, lost, now);
        remb.into_iter().for_each(|kbps| bandwidth.remb(kbps * 1_000, now));
        let place =
            Place { ladder: &ladder, sent: encoding(sent), awaited: None, can_probe: false, is_sound_only: false };
        if let Some(decision) = bandwidth.decide(&place, now) {
            let rid = decision.encoding.map(EncodingId::rid);
            decisions.push((second, rid, decision.why));
            sent = rid.unwrap_or(sent);
        }
    }
    decisions
}

#[test]
fn without_transport_wide_feedback_receiver_reports_do_more_slowly() {
    // All is well: one step, and no further there is.
    let decisions = by_reports(60, |_, _| (40, 0, None));
    assert!(matches!(decisions[..], [(6..=9, Some(2), Why::Room)]), "{decisions:?}");
    // The top overloads its network: the round trip says so within three seconds, and it is tried less and less often.
    let decisions = by_reports(300, |_, sent| if sent == 2 { (400, 0, None) } else { (40, 0, None) });
    let failed = decisions.iter().filter(|decision| matches!(decision.2, Why::TrialFailed | Why::Queue));
    assert!((3..=9).contains(&failed.count()), "{decisions:?}");
    let pairs = decisions.chunks(2);
    assert!(pairs.filter(|pair| pair.len() == 2).all(|pair| pair[1].0 - pair[0].0 <= 3), "{decisions:?}");
}

#[test]
fn a_receivers_own_estimate_is_a_ceiling() {
    let decisions = by_reports(120, |_, _| (40, 0, Some(600)));
    assert!(matches!(decisions[..], [(_, Some(2), Why::Room), (_, Some(1), Why::Ceiling), ..]), "{decisions:?}");
    let decisions = by_reports(120, |_, _| (40, 0, Some(300)));
    assert!(matches!(decisions[..], [(_, Some(0), Why::Ceiling), ..]), "{decisions:?}");
    // Where the receiver reports on the numbers themselves, it says nothing.
    let mut world = World::new(&LADDER, Link::of(5_000), 7);
    for _ in 0..60 {
        world.run(1_000);
        world.bandwidth.remb(100_000, Timestamp::from_millis(1_000 + world.now_ms()));
    }
    assert_sent(&world, 2, 8, 60);
}

/// The pauses between sampled frames of one packet, with a frame every millisecond from `from` on.
fn pauses(bandwidth: &mut Bandwidth, from: Timestamp) -> Vec<Duration> {
    let mut sampled = Vec::new();
    for frame in 0..2_000 {
        let now = from + Duration::from_millis(frame);
        if bandwidth.samples(now) {
            bandwidth.stamp(1_000, true, now);
            sampled.push(now);
        }
    }
    sampled.windows(2).map(|pair| pair[1].since(pair[0])).collect()
}

#[test]
fn a_viewer_whose_network_looks_wrong_on_and_on_is_sampled_as_one_whose_network_is_nearly_full() {
    let (start, late) = (Timestamp::from_millis(5), limits::JOINING_TIME + Duration::from_millis(5));
    let shortest = |signs: u8| {
        let mut bandwidth = Bandwidth::new(start);
        for _ in 0..signs {
            bandwidth.missed_late(Duration::from_millis(limits::QUEUE_DOWN_AT_ONCE_MS.into()), start + late);
        }
        pauses(&mut bandwidth, start + late).into_iter().min().unwrap()
    };
    assert_eq!(shortest(0), limits::SAMPLE_INTERVAL_CALM);
    assert_eq!(shortest(1), limits::SAMPLE_INTERVAL_ALERT);
    assert_eq!(shortest(limits::SUSPECT_SIGNS_NEW_MAX), limits::SAMPLE_INTERVAL_ALERT);
    assert_eq!(shortest(limits::SUSPECT_SIGNS_NEW_MAX + 1), limits::SAMPLE_INTERVAL_TIGHT);
    assert_eq!(shortest(u8::MAX), limits::SAMPLE_INTERVAL_TIGHT);
}

#[test]
fn before_the_next_sample_nothing_is_sampled_unless_something_is_heard() {
    let start = Timestamp::from_millis(5) + limits::JOINING_TIME;
    let mut bandwidth = Bandwidth::new(Timestamp::from_millis(5));
    assert!(bandwidth.samples(start));
    assert_eq!(bandwidth.next_sample(start), start, "the frame has begun");
    bandwidth.stamp(1_000, true, start);
    let next = bandwidth.next_sample(start);
    assert_eq!(next, start + limits::SAMPLE_INTERVAL_CALM);
    assert!(
        (start.as_nanos()..next.as_nanos()).step_by(1_000_000).all(|at| !bandwidth.samples(Timestamp::from_nanos(at)))
    );
    bandwidth.missed_late(Duration::from_millis(limits::QUEUE_DOWN_AT_ONCE_MS.into()), start);
    assert!(bandwidth.samples(start + limits::SAMPLE_INTERVAL_ALERT));
}
