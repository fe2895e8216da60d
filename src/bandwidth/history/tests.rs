use super::*;
use crate::wire::rtcp::transport_feedback::{self, FeedbackHeader};
use crate::wire::rtcp::{self, RtcpPacket};

const FRAME_MS: u64 = 60;

fn at(ms: u64) -> Timestamp {
    Timestamp::from_millis(ms)
}

/// A history in which a frame of `packets` left every [`FRAME_MS`] from `from` on; the first numbers of each.
fn sent(history: &mut History, from: u64, frames: u64, packets: usize) -> Vec<u16> {
    let mut firsts = Vec::new();
    for frame in 0..frames {
        let now = at(from + frame * FRAME_MS);
        assert!(history.samples(Duration::from_millis(FRAME_MS), Millis::of(now)));
        firsts.push(history.next_number());
        for packet in 1..=packets {
            history.stamp(1_200, packet == packets, Millis::of(now));
        }
        assert!(!history.is_sampling());
        history.left(firsts[firsts.len() - 1], true, now);
    }
    firsts
}

/// What feedback shows that tells of numbers from `base` on: ticks after 64 ms of the receiver's clock, or lost.
fn fold(history: &mut History, base: u16, arrivals: &[Option<u16>], now: u64) -> (Vec<Observation>, Folded) {
    let arrivals_us: Vec<_> =
        arrivals.iter().map(|ticks| ticks.map(|ticks| 64_000 + u64::from(ticks) * TICK_US)).collect();
    let mut statuses = vec![None; arrivals.len()];
    let quantised = transport_feedback::quantise(&arrivals_us, &mut statuses);
    let header =
        FeedbackHeader { base_sequence: base, reference_time: quantised.reference_time, ..FeedbackHeader::default() };
    let mut out = vec![0; 8_192];
    let written = transport_feedback::write(&mut out, &header, &statuses).unwrap();
    let packet = rtcp::packets(&out[..written.len]).next().unwrap().unwrap();
    let RtcpPacket::TransportFeedback(feedback) = packet else { panic!() };
    let (mut seen, mut folded) = (Vec::new(), Folded::default());
    history.fold(&feedback, at(now), &mut folded, |observation| seen.push(*observation));
    (seen, folded)
}

#[test]
fn a_trains_spread_and_delay_are_those_of_its_packets() {
    let mut history = History::new(Millis::of(at(1_000)));
    let firsts = sent(&mut history, 1_000, 2, 5);
    let (seen, folded) = fold(&mut history, firsts[1], &[Some(0), Some(8), Some(16), Some(24), Some(32)], 1_100);
    assert_eq!((seen.len(), folded), (1, Folded::default()));
    assert_eq!((seen[0].told, seen[0].lost), (5, 0));
    assert_eq!(seen[0].spread, Some(Spread { bytes: 2_400, arrival_ticks: 16, sent_ticks: 0, is_long: true }));
    let later = fold(&mut history, firsts[0], &[Some(0)], 1_100).0[0].delay.unwrap();
    // It left 60 ms before the other and is told to have arrived with it.
    assert_eq!(later.wrapping_sub(seen[0].delay.unwrap()), FRAME_MS as u16 * 4);
}

#[test]
fn the_spread_is_of_what_comes_after_the_first() {
    // A key frame's parameter sets come first, and are short.
    let mut history = History::new(Millis::of(at(1_000)));
    history.samples(Duration::from_millis(FRAME_MS), Millis::of(at(1_000)));
    let first = history.stamp(60, false, Millis::of(at(1_000)));
    history.stamp(1_200, false, Millis::of(at(1_000)));
    history.stamp(1_200, true, Millis::of(at(1_000)));
    let (seen, _) = fold(&mut history, first, &[Some(0), Some(38), Some(77)], 1_100);
    assert_eq!(seen[0].spread, Some(Spread { bytes: 2_400, arrival_ticks: 77, sent_ticks: 0, is_long: false }));
    let (seen, _) = fold(&mut history, first, &[Some(0), Some(38)], 1_100);
    assert_eq!(seen, [], "told already");
}

#[test]
fn what_a_token_bucket_passes_at_once_is_no_part_of_a_trains_rate() {
    // Behind 1 Mbit/s and a bucket of 1,500 bytes: a packet and a quarter of the next come at once, then one each 9.6 ms.
    let mut history = History::new(Millis::of(at(1_000)));
    let firsts = sent(&mut history, 1_000, 2, 6);
    let behind = [Some(0), Some(29), Some(67), Some(106), Some(144), Some(182)];
    let (seen, _) = fold(&mut history, firsts[0], &behind, 1_200);
    assert_eq!(seen[0].spread, Some(Spread { bytes: 3_600, arrival_ticks: 182 - 67, sent_ticks: 0, is_long: true }));
    // Where the packet that it begins with is lost, it begins with the next.
    let (seen, _) = fold(&mut history, firsts[1], &[Some(0), Some(29), None, Some(106), None, Some(182)], 1_200);
    assert_eq!(seen[0].spread, Some(Spread { bytes: 2_400, arrival_ticks: 182 - 106, sent_ticks: 0, is_long: true }));
}

#[test]
fn a_train_that_leaves_bit_by_bit_says_how_long_that_took() {
    let mut history = History::new(Millis::of(at(1_000)));
    history.samples(Duration::from_millis(FRAME_MS), Millis::of(at(1_000)));
    let first = history.next_number();
    for packet in 0..4 {
        let now = at(1_000 + packet * 3);
        let number = history.stamp(1_000, packet == 3, Millis::of(now));
        history.left(number, true, now);
    }
    let (seen, _) = fold(&mut history, first, &[Some(0), Some(12), Some(24), Some(36)], 1_100);
    assert_eq!(seen[0].spread, Some(Spread { bytes: 1_000, arrival_ticks: 12, sent_ticks: 12, is_long: true }));
    // Told in two pieces, each is a part of it.
    let mut history = History::new(Millis::of(at(1_000)));
    let first = sent(&mut history, 1_000, 1, 4)[0];
    let (seen, _) = fold(&mut history, first, &[Some(0), Some(12)], 1_100);
    assert_eq!(seen[0].spread, Some(Spread { bytes: 1_200, arrival_ticks: 12, sent_ticks: 0, is_long: false }));
    let (seen, _) = fold(&mut history, first + 2, &[Some(24), Some(36)], 1_160);
    assert_eq!((seen[0].told, seen[0].spread.unwrap().arrival_ticks), (2, 12));
}

#[test]
fn a_status_counts_once_and_what_was_lost_may_come_after_all() {
    let mut history = History::new(Millis::of(at(1_000)));
    let first = sent(&mut history, 1_000, 1, 4)[0];
    let told = [Some(0), None, None, Some(3)];
    let (seen, _) = fold(&mut history, first, &told, 1_100);
    assert_eq!((seen[0].told, seen[0].lost, seen[0].recovered), (4, 2, 0));
    for _ in 0..3 {
        assert_eq!(fold(&mut history, first, &told, 1_100).0, [], "told again");
    }
    let (seen, _) = fold(&mut history, first, &[Some(0), Some(9), None, Some(3)], 1_160);
    assert_eq!((seen[0].told, seen[0].lost, seen[0].recovered), (0, 0, 1));
    assert_eq!((seen[0].delay, seen[0].spread), (None, None), "it was overtaken");
}

#[test]
fn what_the_kernel_refused_is_nobodys_loss() {
    let mut history = History::new(Millis::of(at(1_000)));
    let firsts = sent(&mut history, 1_000, 2, 3);
    history.left(firsts[0], false, at(1_000));
    let (seen, _) = fold(&mut history, firsts[0], &[None, None, None, Some(0), None, Some(1)], 1_200);
    assert_eq!(seen.iter().map(|seen| (seen.told, seen.lost)).collect::<Vec<_>>(), [(3, 1)]);
}

#[test]
fn numbers_that_were_never_sent_are_counted_and_nothing_else() {
    let mut history = History::new(Millis::of(at(1_000)));
    sent(&mut history, 1_000, 3, 4);
    let next = history.next_number();
    let (seen, folded) = fold(&mut history, next, &[Some(0); 100], 1_200);
    assert_eq!((seen.len(), folded.never_sent), (0, 100));
    let (seen, folded) = fold(&mut history, next.wrapping_add(30_000), &[Some(0); 700], 1_200);
    assert_eq!(seen.len(), 0);
    let read = limits::TRANSPORT_STATUSES_FOLDED_MAX as u32;
    assert_eq!((folded.never_sent, folded.left_out), (read, 700 - read));
    // Of nothing that is remembered nothing is looked at.
    let (seen, folded) = fold(&mut history, 1, &[Some(0); 100], 1_200 + limits::TRAIN_AGE_MAX.as_millis() as u64);
    assert_eq!((seen.len(), folded), (0, Folded::default()));
}

#[test]
fn feedback_of_what_is_forgotten_says_that_it_is_late_and_makes_room_for_later() {
    let mut history = History::new(Millis::of(at(1_000)));
    let frames = 3 * TRAINS as u64;
    let firsts = sent(&mut history, 1_000, frames, 2);
    let now = 1_000 + frames * FRAME_MS;
    let (seen, folded) = fold(&mut history, firsts[0], &[Some(0), Some(1)], now);
    assert_eq!(folded, Folded::default());
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].late_by, Some((TRAINS as u64 * FRAME_MS * 4) as u16));
    // Frames are sampled less often now, so that more time is remembered.
    let interval = Duration::from_millis(FRAME_MS);
    sent(&mut history, now, 1, 2);
    assert!(
        !history.samples(interval, Millis::of(at(now + 60))) && history.samples(interval, Millis::of(at(now + 120)))
    );
    // Forgotten and lost: nothing was late.
    let mut history = History::new(Millis::of(at(1_000)));
    let firsts = sent(&mut history, 1_000, frames, 2);
    assert_eq!(fold(&mut history, firsts[0], &[None, None], now).0, []);
}

#[test]
fn a_key_frame_is_sampled_in_part_and_a_pause_ends_a_train() {
    let mut history = History::new(Millis::of(at(1_000)));
    let now = Millis::of(at(1_000));
    assert!(history.samples(Duration::from_millis(FRAME_MS), now));
    let mut stamped = 0;
    for packet in 0..60 {
        if history.is_sampling() {
            history.stamp(1_200, packet == 59, now);
            stamped += 1;
        }
    }
    assert_eq!(stamped, usize::from(limits::TRAINS_PER_FRAME_SAMPLED_MAX) * limits::TRAIN_PACKETS_SAMPLED_MAX);
    let mut history = History::new(now);
    history.samples(Duration::from_millis(FRAME_MS), now);
    for packet in 0..30 {
        if packet % 10 == 0 {
            history.cut();
        }
        if history.is_sampling() {
            history.stamp(1_200, false, now);
        }
    }
    assert_eq!(history.next_number(), 21);
}

#[test]
fn trains_are_forgotten_before_their_times_are_ambiguous() {
    let mut history = History::new(Millis::of(at(1_000)));
    let age = limits::TRAIN_AGE_MAX.as_millis() as u64;
    let first = sent(&mut history, 1_000, 1, 2)[0];
    let second = sent(&mut history, 1_000 + age, 1, 2)[0];
    assert!(history.find(first, 0).is_some());
    let third = sent(&mut history, 1_100 + age, 1, 2)[0];
    assert!(history.find(first, 0).is_none() && history.find(second, 0).is_some());
    sent(&mut history, 1_200 + 3 * age, 1, 2);
    assert!(history.find(third, 0).is_none());
}

#[test]
fn what_was_not_told_of_is_counted_until_it_is() {
    let mut history = History::new(Millis::of(at(1_000)));
    let firsts = sent(&mut history, 1_000, 3, 4);
    assert_eq!(history.untold(), 12);
    fold(&mut history, firsts[0], &[Some(0), Some(1), None, Some(3)], 1_200);
    assert_eq!(history.untold(), 8, "what was told lost is told");
    fold(&mut history, firsts[2], &[Some(0), Some(1), Some(2), Some(3)], 1_250);
    assert_eq!(history.untold(), 0, "what a newer report passed over is not asked for any more");
    fold(&mut history, firsts[0], &[Some(0)], 1_300);
    assert_eq!(history.untold(), 0, "an old report takes nothing back");
    // Of a number that was never sent.
    sent(&mut history, 1_300, 1, 4);
    fold(&mut history, firsts[2].wrapping_add(30_000), &[Some(0)], 1_400);
    assert_eq!(history.untold(), 4);
    for frame in 0..90 {
        sent(&mut history, 2_000 + frame * FRAME_MS, 1, 4);
    }
    assert_eq!(history.untold(), u16::from(u8::MAX), "bounded");
}
