//! No hole but for packets that never came, no number for two packets, and every number leads back to its packet.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::relay::store::numbers::TrackId;
use crate::wire::bytes::{StateBytes, refuses_damage};

const FIRST: PacketIndex = PacketIndex(100);

fn encoding(rid: usize) -> EncodingId {
    TrackId::new(1).unwrap().encoding(rid).unwrap()
}

fn at(ms: u64) -> Timestamp {
    Timestamp::from_millis(ms)
}

/// Sends a packet and returns its index.
fn send(rewriter: &mut Rewriter, sequence: u64) -> u64 {
    let placed = rewriter.place(Sequence(sequence)).unwrap();
    rewriter.sent(placed.index);
    placed.index.0
}

fn located(rewriter: &Rewriter, index: u64) -> Option<(usize, u64)> {
    let located = rewriter.locate(PacketIndex(index).sequence_number())?;
    assert_eq!(located.index, PacketIndex(index));
    Some((located.encoding.rid(), located.sequence.0))
}

fn rewriter() -> Rewriter {
    let mut rewriter = Rewriter::new(FIRST, 5);
    assert_eq!((rewriter.encoding(), rewriter.place(Sequence(10))), (None, None));
    rewriter.jump(encoding(0), Sequence(10), 5, at(0));
    rewriter
}

#[test]
fn dropped_packets_leave_no_hole_and_late_ones_keep_their_numbers() {
    let mut rewriter = rewriter();
    assert_eq!((send(&mut rewriter, 10), send(&mut rewriter, 12)), (100, 102));
    assert!(
        rewriter.leave_out(Sequence(13), Renumbering::NONE, at(1))
            && rewriter.leave_out(Sequence(14), Renumbering::NONE, at(1))
    );
    // 15 is still on its way.
    assert_eq!(send(&mut rewriter, 16), 104);
    assert!(rewriter.leave_out(Sequence(17), Renumbering::NONE, at(2)));
    assert_eq!(send(&mut rewriter, 18), 105);
    assert_eq!((send(&mut rewriter, 15), send(&mut rewriter, 11)), (103, 101));
    assert_eq!((rewriter.place(Sequence(13)), rewriter.place(Sequence(17))), (None, None), "they were dropped");
    let sent = [10, 11, 12, 15, 16, 18].map(|sequence| Some((0, sequence)));
    assert_eq!([100, 101, 102, 103, 104, 105].map(|index| located(&rewriter, index)), sent);
}

#[test]
fn a_packet_with_a_number_is_not_dropped_any_more() {
    let mut rewriter = rewriter();
    send(&mut rewriter, 10);
    send(&mut rewriter, 12);
    assert!(!rewriter.leave_out(Sequence(11), Renumbering::NONE, at(1)), "the viewer waits for it");
    assert!(!rewriter.leave_out(Sequence(9), Renumbering::NONE, at(1)), "there is no number to save");
    assert_eq!(send(&mut rewriter, 11), 101);
}

#[test]
fn a_switch_goes_on_at_the_next_number_and_a_return_does_not_repeat() {
    let mut rewriter = rewriter();
    assert_eq!(send(&mut rewriter, 10), 100);
    rewriter.jump(encoding(1), Sequence(7_000), 900, at(1));
    assert_eq!((rewriter.encoding(), send(&mut rewriter, 7_000)), (Some(encoding(1)), 101));
    assert!(!rewriter.is_ahead(encoding(0), Sequence(10)) && rewriter.is_ahead(encoding(0), Sequence(11)));
    assert!(rewriter.is_ahead(encoding(2), Sequence(0)));
    rewriter.jump(encoding(0), Sequence(40), 5, at(2));
    assert_eq!(send(&mut rewriter, 40), 102);
    assert!(!rewriter.is_ahead(encoding(1), Sequence(7_000)) && rewriter.is_ahead(encoding(1), Sequence(7_001)));
    let sent = [(0, 10), (1, 7_000), (0, 40)].map(Some);
    assert_eq!([100, 101, 102].map(|index| located(&rewriter, index)), sent);
    let offsets = [100, 101, 102].map(|number| rewriter.locate(number).unwrap().timestamp_offset);
    assert_eq!(offsets, [5, 900, 5]);
    assert_eq!(rewriter.newest_sent(), rewriter.locate(102));
}

#[test]
fn numbers_kept_for_packets_that_never_came_are_used_after_a_jump() {
    let mut rewriter = rewriter();
    send(&mut rewriter, 10);
    // 11 to 13 are missing, 14 is dropped: nothing after 10 was sent.
    assert!(rewriter.leave_out(Sequence(14), Renumbering::NONE, at(1)));
    rewriter.jump(encoding(1), Sequence(70), 0, at(2));
    assert_eq!(send(&mut rewriter, 70), 101);
    assert_eq!((located(&rewriter, 100), located(&rewriter, 101)), (Some((0, 10)), Some((1, 70))));
}

#[test]
fn one_that_drops_every_second_packet_is_repeated_for_as_long_as_rings_remember() {
    let mut rewriter = rewriter();
    let period_ms = limits::RING_HISTORY.as_millis() as u64 / 60;
    let mut sent = Vec::new();
    for n in 0..1_000 {
        let sequence = 10 + 2 * n;
        sent.push((send(&mut rewriter, sequence), sequence));
        assert!(rewriter.leave_out(Sequence(sequence + 1), Renumbering::NONE, at(n * period_ms)));
    }
    for &(index, sequence) in &sent[1_000 - 60..] {
        assert_eq!(located(&rewriter, index), Some((0, sequence)));
    }
    assert!(rewriter.earlier.len() <= limits::REWRITING_RUNS_MAX);
    assert_eq!(located(&rewriter, sent[0].0), None, "long gone");
}

#[test]
fn one_that_is_sent_everything_needs_no_memory_beside_its_own() {
    let mut rewriter = rewriter();
    for sequence in 10..10_000 {
        send(&mut rewriter, sequence);
    }
    assert_eq!(rewriter.earlier.capacity(), 0);
    assert!(size_of::<Rewriter>() <= 88, "{} bytes", size_of::<Rewriter>());
}

#[test]
fn what_is_placed_as_it_is_stored_is_placed_as_everything_is() {
    let squeeze = Squeeze::new(9_000, 99_000, Duration::from_millis(400), 90_000);
    let mut rewriter = rewriter();
    send(&mut rewriter, 10);
    rewriter.jump(encoding(0), Sequence(40), 5, at(1));
    assert!(rewriter.is_plain() && rewriter.place_plain(Sequence(39)).is_none(), "what is late is another matter");
    assert!(rewriter.squeeze(squeeze) && !rewriter.is_plain());
    assert_eq!(rewriter.place_plain(Sequence(41)), None);
    assert_eq!((send(&mut rewriter, 41), send(&mut rewriter, 43)), (102, 104));
    rewriter.squeeze_over(Sequence(44));
    assert!(rewriter.is_plain());
    for sequence in (30..60).map(Sequence) {
        let (plain, placed) = (rewriter.place_plain(sequence), rewriter.place(sequence));
        assert_eq!(plain.is_some(), sequence.0 >= 44, "{sequence:?}");
        assert!(plain.is_none() || plain == placed, "{sequence:?}");
    }
    let renumbering = Renumbering::NONE.with_a_picture_less();
    assert!(rewriter.leave_out(Sequence(44), renumbering, at(2)) && rewriter.is_plain() == renumbering.is_none());
}

#[test]
fn a_squeeze_is_of_its_run_until_it_is_over_and_repeats_know_of_it() {
    let squeeze = Squeeze::new(9_000, 99_000, Duration::from_millis(400), 90_000);
    let mut rewriter = rewriter();
    send(&mut rewriter, 10);
    assert!(!rewriter.squeeze(squeeze), "something was sent of this run");
    rewriter.jump(encoding(0), Sequence(40), 5, at(1));
    assert!(rewriter.squeeze(squeeze) && rewriter.squeezed() == Some(squeeze));
    // Dropped packets change nothing, at its beginning or later.
    assert!(rewriter.leave_out(Sequence(40), Renumbering::NONE, at(1)));
    assert_eq!(send(&mut rewriter, 41), 101);
    assert!(rewriter.leave_out(Sequence(42), Renumbering::NONE, at(1)));
    assert_eq!((send(&mut rewriter, 43), send(&mut rewriter, 45)), (102, 104));
    assert!(rewriter.squeezed().is_some());
    rewriter.squeeze_over(Sequence(46));
    assert_eq!((rewriter.squeezed(), send(&mut rewriter, 46)), (None, 105));
    assert!(rewriter.leave_out(Sequence(47), Renumbering::NONE, at(2)));
    assert_eq!((send(&mut rewriter, 48), send(&mut rewriter, 44)), (106, 103));
    let of = |index| rewriter.locate(index).unwrap().squeeze;
    assert_eq!(
        [100, 101, 102, 103, 104, 105, 106].map(of).map(|of| of == squeeze),
        [false, true, true, true, true, false, false]
    );
    for sequence in [41, 43, 44, 45, 46, 48] {
        let placed = rewriter.place(Sequence(sequence)).unwrap();
        assert_eq!(Some(placed), rewriter.locate(placed.index.sequence_number()).map(|located| located.placed()));
    }
    let placed = |sequence| rewriter.place(Sequence(sequence)).unwrap();
    assert!(placed(41).timestamp(9_000) >= 99_005 && placed(46).timestamp(140_000) == 140_005);
    assert_eq!(import(exported(&rewriter).as_slice()), Ok(rewriter));
}

#[test]
fn numbers_go_on_in_another_process() {
    let mut before = rewriter();
    send(&mut before, 10);
    before.leave_out(Sequence(11), Renumbering::NONE, at(3));
    send(&mut before, 12);
    before.jump(encoding(2), Sequence(500), 77, at(4));
    send(&mut before, 500);
    let bytes = exported(&before);
    assert_eq!(import(bytes.as_slice()), Ok(before));
    refuses_damage(&bytes, import);
    // Runs that overlap.
    let mut overlapping = bytes.as_slice().to_vec();
    overlapping[21 + 8] = 0xff;
    assert_eq!(import(&overlapping), Err(ImportError::Malformed));
    let vacant = Rewriter::new(FIRST, 5);
    assert_eq!(import(exported(&vacant).as_slice()), Ok(vacant));
}

fn exported(rewriter: &Rewriter) -> StateBytes {
    let mut out = StateWriter::new();
    rewriter.export(at(9), &mut out);
    out.finish()
}

fn import(bytes: &[u8]) -> Result<Rewriter, ImportError> {
    let mut from = StateReader::new(bytes);
    let rewriter = Rewriter::import(at(9), &mut from)?;
    from.finish()?;
    Ok(rewriter)
}

/// What becomes of the next packet of the present encoding.
#[derive(Clone, Copy, Debug)]
enum Step {
    Send,
    Drop,
    /// It comes when as many others have come as this says.
    Late(usize),
    Lose,
    /// The viewer goes on elsewhere, so many packets further on.
    Jump {
        rid: usize,
        ahead: u64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => Just(Step::Send),
        3 => Just(Step::Drop),
        2 => (1..6_usize).prop_map(Step::Late),
        1 => Just(Step::Lose),
        1 => (0..3_usize, 0..200_u64).prop_map(|(rid, ahead)| Step::Jump { rid, ahead }),
    ];
    prop::collection::vec(step, 1..200)
}

/// What the viewer was sent and what it was not, beside the rewriter under test.
#[derive(Default)]
struct Model {
    sent: BTreeMap<u64, (usize, u64)>,
    dropped: BTreeSet<(usize, u64)>,
}

impl Model {
    fn send(&mut self, rewriter: &mut Rewriter, packet: (usize, u64)) {
        let Some(placed) = rewriter.place(Sequence(packet.1)) else { return };
        rewriter.sent(placed.index);
        assert_eq!(self.sent.insert(placed.index.0, packet), None, "one number for two packets");
        self.check(rewriter);
    }

    fn check(&self, rewriter: &Rewriter) {
        let newest = *self.sent.last_key_value().unwrap().0;
        assert_eq!(rewriter.next_index(), PacketIndex(newest + 1));
        for index in FIRST.0..=newest {
            let found = located(rewriter, index).expect("nothing is forgotten yet");
            match self.sent.get(&index) {
                Some(packet) => assert_eq!(found, *packet, "a repeat of another packet"),
                None => {
                    assert!(!self.dropped.contains(&found), "a hole where a packet was dropped");
                    assert!(!self.sent.values().any(|packet| *packet == found), "two numbers for one packet");
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn numbers_are_unbroken_and_repeats_exact_whatever_is_dropped_late_or_switched(steps in steps()) {
        let mut rewriter = Rewriter::new(FIRST, 0);
        let mut model = Model::default();
        let mut next = [1_000_u64, 70_000, 40];
        let mut rid = 0;
        let mut late: Vec<(usize, u64)> = Vec::new();
        rewriter.jump(encoding(rid), Sequence(next[rid]), 0, at(0));
        for step in steps {
            let packet = (rid, next[rid]);
            match step {
                Step::Send => model.send(&mut rewriter, packet),
                Step::Drop => {
                    if rewriter.leave_out(Sequence(packet.1), Renumbering::NONE, at(1)) {
                        model.dropped.insert(packet);
                    } else {
                        model.send(&mut rewriter, packet);
                    }
                }
                Step::Late(after) => late.push((after, packet.1)),
                Step::Lose => {}
                Step::Jump { rid: to, ahead } => {
                    rid = to;
                    next[rid] += ahead;
                    prop_assert!(rewriter.is_ahead(encoding(rid), Sequence(next[rid])));
                    rewriter.jump(encoding(rid), Sequence(next[rid]), 0, at(1));
                    late.clear();
                    continue;
                }
            }
            next[rid] += 1;
            for entry in &mut late {
                entry.0 -= 1;
            }
            let due: Vec<u64> = late.iter().filter(|entry| entry.0 == 0).map(|entry| entry.1).collect();
            late.retain(|entry| entry.0 > 0);
            for sequence in due {
                // Whatever the choice of layers says of it now.
                if rewriter.leave_out(Sequence(sequence), Renumbering::NONE, at(1)) {
                    model.dropped.insert((rid, sequence));
                } else {
                    model.send(&mut rewriter, (rid, sequence));
                }
            }
            prop_assert!(model.sent.is_empty() || rewriter.next_index() > FIRST);
        }
    }

    #[test]
    fn any_bytes_are_a_rewriter_or_none(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(mut rewriter) = Rewriter::import(at(9), &mut StateReader::new(&bytes)) {
            let _ = rewriter.locate(7);
            rewriter.leave_out(Sequence(9), Renumbering::NONE, at(1));
            rewriter.jump(encoding(1), Sequence(10), 0, at(2));
            prop_assert!(rewriter.place(Sequence(10)).is_some());
        }
    }
}

#[test]
fn under_other_keys_the_round_of_sequence_numbers_becomes_the_first() {
    let mut rewriter = Rewriter::new(PacketIndex(65_530), 0);
    let encoding = EncodingId::from_number(0).unwrap();
    let now = Timestamp::from_millis(1_000);
    rewriter.jump(encoding, Sequence(100), 0, now);
    for sequence in 100..110 {
        let placed = rewriter.place(Sequence(sequence)).unwrap();
        assert_eq!(placed.index.0, 65_430 + sequence);
        rewriter.sent(placed.index);
    }
    assert_eq!(rewriter.locate(65_535).unwrap().sequence, Sequence(105));
    rewriter.restart_rollovers();
    // 65,536 was the round's first number.
    assert_eq!(rewriter.next_index(), PacketIndex(4));
    assert_eq!(rewriter.place(Sequence(110)).unwrap().index, PacketIndex(4));
    assert_eq!(
        rewriter.locate(3).map(|located| (located.sequence, located.index)),
        Some((Sequence(109), PacketIndex(3)))
    );
    assert_eq!(rewriter.locate(65_535), None, "it has no index under these keys");
    assert_eq!(rewriter.place(Sequence(105)), None, "nor when it comes late");
    // In the first round nothing changes.
    let before = rewriter.next_index();
    rewriter.restart_rollovers();
    assert_eq!(rewriter.next_index(), before);
    assert!(rewriter.locate(3).is_some());
}
