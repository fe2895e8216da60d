//! What is measured of one viewer's network, and when it is sent another encoding: see [`crate::bandwidth`].

use std::time::Duration;

/// Bytes of one viewer's estimate: ring of trains, evidence, decision. Of 5,000 viewers 1.4 MB, which stays in the cache.
pub const BANDWIDTH_STATE_BYTES_MAX: usize = 288;

/// Trains remembered until feedback tells of them. At [`SAMPLE_INTERVAL_ALERT`] they are 0.66 s: a queue of 300 ms, a round
/// trip of 100 ms and a report's interval of 250 ms. Full: the oldest is forgotten.
pub const TRAINS_SAMPLED_MAX: usize = 11;

/// Packets of one sampled train. More: a further train.
pub const TRAIN_PACKETS_SAMPLED_MAX: usize = 16;

/// Trains sampled of one frame. A key frame has more; the rest goes without numbers.
pub const TRAINS_PER_FRAME_SAMPLED_MAX: u8 = 2;

/// How long a train's packets may take to leave, as they arrive one by one from the publisher. Longer: a further train.
pub const TRAIN_SPREAD_MAX: Duration = Duration::from_millis(20);

/// A train is forgotten after this long: its time of sending has 16 bits of 250 µs.
pub const TRAIN_AGE_MAX: Duration = Duration::from_secs(8);

const _: () = assert!(2 * TRAIN_AGE_MAX.as_millis() < 65_536 / 4);

/// Pause between two sampled frames while all is calm: three reports a second and viewer. Where 5 Mbit/s became 0.4, browsers' pictures
/// stood still for 0.49 to 0.55 s with 430 ms, and for 0.20 to 0.44 s in six of eight runs with this.
pub const SAMPLE_INTERVAL_CALM: Duration = Duration::from_millis(330);

/// The same for a viewer whose network carries [`AMPLE_PERCENT`] of what it is sent and more: at 30 frames a second, 2.3 reports.
pub const SAMPLE_INTERVAL_AMPLE: Duration = Duration::from_millis(430);
/// See [`SAMPLE_INTERVAL_AMPLE`].
pub const AMPLE_PERCENT: u32 = 800;

/// The same for a viewer whose network carries less than [`TIGHT_PERCENT`] of what it is sent: where that becomes narrower, it must be
/// known before the queue is full.
pub const SAMPLE_INTERVAL_TIGHT: Duration = Duration::from_millis(120);
/// See [`SAMPLE_INTERVAL_TIGHT`].
pub const TIGHT_PERCENT: u32 = 200;

/// The same for a viewer that has just come, switches, or whose network looks wrong.
pub const SAMPLE_INTERVAL_ALERT: Duration = Duration::from_millis(60);

/// Numbers behind the newest that are taken to have been sent, though their trains are forgotten. Older ones were never sent.
pub const NUMBERS_REMEMBERED_AS_SENT: u16 = 4_096;

/// Statuses that are read of one transport-wide feedback packet: more than all trains that are remembered hold. More: the rest
/// is left out, counted.
pub const TRANSPORT_STATUSES_FOLDED_MAX: usize = 512;

/// Feedback that comes on request is asked for of so many packets at once at most: as many as are remembered.
pub const ASKED_PACKETS_MAX: u16 = (TRAINS_SAMPLED_MAX * TRAIN_PACKETS_SAMPLED_MAX) as u16;
const _: () = assert!(ASKED_PACKETS_MAX <= u8::MAX as u16);

/// While every frame is sampled, feedback is asked for of so many packets at least: not for each frame of one.
pub const ASKED_PACKETS_MIN: u16 = 3;

const _: () = assert!(TRANSPORT_STATUSES_FOLDED_MAX >= 2 * TRAINS_SAMPLED_MAX * TRAIN_PACKETS_SAMPLED_MAX);

/// Transport-wide feedback packets that one viewer may send at once; browsers send one in 50 ms at most, and one per datagram.
/// More: not looked at, counted.
pub const TRANSPORT_FEEDBACKS_AT_ONCE: u8 = 8;

/// Pause after which one viewer may send one more.
pub const TRANSPORT_FEEDBACK_PAUSE: Duration = Duration::from_millis(20);

/// Rates of trains that are kept: at [`SAMPLE_INTERVAL_CALM`] they are 3 s.
pub const CAPACITY_SAMPLES_MAX: usize = 10;

/// Rates of trains within this time are one sample, the lowest of them: an alert viewer's ten would be half a second.
pub const CAPACITY_SAMPLE_INTERVAL: Duration = Duration::from_millis(100);

/// When no rate was measured for this long, those before say nothing of today. Longer than [`PROBE_INTERVAL`].
pub const CAPACITY_AGE_MAX: Duration = Duration::from_secs(6);

/// A rate above this, in bits a second, is taken for this: what is measured of so few packets differs, and nothing that is decided does.
pub const CAPACITY_BITS_PER_SECOND_MAX: u64 = 50_000_000;

/// Pause between two probes of a viewer whose frames are of one packet and say nothing of the capacity: a few packets once more
/// (RTX). Of a layer of 150 kbit/s they are 5 %, and none where a frame has several packets.
pub const PROBE_INTERVAL: Duration = Duration::from_secs(4);

/// Pause until the next probe where nothing was heard of the last one.
pub const PROBE_AGAIN: Duration = Duration::from_millis(1_600);

/// Pause until a probe that found room is followed by one that makes sure. Longer than a round trip, a report's interval and a
/// receiver that was busy.
pub const PROBE_SURE_PAUSE: Duration = Duration::from_millis(450);

/// Rates further apart than this do not belong together. Shorter than the pauses between probes that say the same.
pub const CAPACITY_SPARSE: Duration = Duration::from_millis(1_500);

/// Rates without which nobody goes up where they come from probes: one says what a receiver did that was busy for a moment.
pub const RATES_FOR_TRIAL_MIN: usize = 2;

/// After so long without a rate probes are taken to be of no use, and a trial is made without.
pub const PROBES_IN_VAIN_TIME: Duration = Duration::from_secs(30);

/// Packets of a probe. What comes after [`TRAIN_BYTES_UNRATED`] must be more than one, where they have 300 bytes or more.
pub const PROBE_PACKETS: usize = 6;

/// Packets of one that makes sure, before real media is sent: of 450 bytes they wait 0.12 s behind 0.4 Mbit/s, which no busy receiver
/// hides, and nobody sees.
pub const PROBE_PACKETS_SURE: usize = 14;
const _: () = assert!(PROBE_PACKETS_SURE <= TRAIN_PACKETS_SAMPLED_MAX);
const _: () = assert!(PROBE_SURE_PAUSE.as_millis() < CAPACITY_SPARSE.as_millis());

/// What a link may pass at once after a train's first packet, and what its rate is therefore not made of: with that packet it is more
/// than the smallest token bucket of Linux, which holds one full packet.
pub const TRAIN_BYTES_UNRATED: u16 = 1_500;

const _: () = assert!(PROBE_AGAIN.as_millis() > CAPACITY_SPARSE.as_millis());
const _: () = assert!(CAPACITY_AGE_MAX.as_secs() > PROBE_INTERVAL.as_secs());

/// Packets that were in flight when another encoding began are told of within this time, and are not its loss.
pub const FLIGHT_TIME: Duration = Duration::from_millis(400);

/// Half the time over which the shortest delay is the one without a queue.
pub const DELAY_BASE_HALF: Duration = Duration::from_secs(5);

/// Over which loss and the delivered rate are measured.
pub const LOSS_WINDOW: Duration = Duration::from_millis(500);

/// Packets in such a window below which it goes on.
pub const LOSS_WINDOW_PACKETS_MIN: u16 = 24;

/// A queue that makes a viewer suspect: all frames are sampled.
pub const QUEUE_SUSPECT_MS: u16 = 50;

/// How long a viewer stays suspect after the last sign.
pub const SUSPECT_TIME: Duration = Duration::from_secs(2);

/// Signs within that time for which all frames are sampled. A path that shows more, and of which nothing is decided, as it jitters or
/// others fill its queue, is sampled at [`SAMPLE_INTERVAL_TIGHT`]: half the reports, at a time when whole audiences may be suspect.
pub const SUSPECT_SIGNS_NEW_MAX: u8 = 8;

/// A queue in two samples at which a viewer goes down.
pub const QUEUE_DOWN_MS: u16 = 100;

/// A queue in one sample at which a viewer goes down.
pub const QUEUE_DOWN_AT_ONCE_MS: u16 = 200;

/// Trains that left within this time are one sample of the queue, the shortest of theirs: a key frame queues before itself.
pub const QUEUE_SAMPLE_TIME: Duration = Duration::from_millis(100);

/// A queue in two samples at which a trial ends.
pub const QUEUE_TRIAL_MS: u16 = 60;

/// A queue below which a viewer may go up: one of two samples, so that jitter keeps nobody down.
pub const QUEUE_UP_MS: u16 = 20;

/// Loss above the path's usual one at which a viewer goes down, in thousandths of two windows. Of one window: twice and a half.
pub const LOSS_DOWN_PERMILLE: u16 = 100;

/// Requests for packets within this time belong together.
pub const MISSED_WINDOW: Duration = Duration::from_millis(400);

/// Packets that must be asked for in that time before it counts as heavy loss, and in how many runs: an outage is one.
pub const MISSED_PACKETS_MIN: u8 = 10;
/// See [`MISSED_PACKETS_MIN`].
pub const MISSED_RUNS_MIN: u8 = 3;

/// What of the packets between the first and the newest they must be, in hundredths. More than any path's usual loss
/// ([`USUAL_LOSS_PERMILLE_MAX`]).
pub const MISSED_PERCENT_MIN: u32 = 35;

/// After this long a number that seems to lie behind the newest is taken for a new one: numbers wrap.
pub const MISSED_NUMBER_AGE_MAX: Duration = Duration::from_secs(20);

const _: () = assert!(MISSED_PERCENT_MIN * 10 > 2 * USUAL_LOSS_PERMILLE_MAX as u32);

/// A key frame and the frames that follow until it is sent are as much as this time of their encoding: seven to ten frames at once.
pub const KEY_FRAME_TIME: Duration = Duration::from_millis(330);

/// How long at most a viewer is sent no picture so that what waits in its network leaves first.
pub const QUEUE_DRAIN_MAX: Duration = Duration::from_millis(400);

/// Loss above twice the usual one at which a trial ends, in thousandths.
pub const LOSS_TRIAL_PERMILLE: u16 = 20;

/// How long a queue must have been short before a viewer goes up, how long a trial lasts, and how long the first layer is held.
pub const UP_QUIET_TIME: Duration = Duration::from_secs(2);

/// How long a switch may wait for its key frame. Longer: a way up is given up.
pub const SWITCH_WAIT_MAX: Duration = Duration::from_secs(3);

/// A trial's first samples are of its key frame, which queues before itself.
pub const TRIAL_KEY_FRAME_TIME: Duration = Duration::from_millis(500);

/// After a switch downward the queue needs this long to drain before the next is considered.
pub const DOWN_SETTLE_TIME: Duration = Duration::from_millis(700);

/// How long the lowest layer must overload a viewer's network before it gets sound only.
pub const SOUND_ONLY_AFTER: Duration = Duration::from_secs(3);

/// What the free share must be of what a layer takes before it is tried, in hundredths.
pub const HEADROOM_UP_PERCENT: u32 = 130;

/// The same for one that is only probed for, by a long probe.
pub const HEADROOM_PROBED_PERCENT: u32 = 110;

/// How much more than a short probe the long one after it may say, in hundredths of that.
pub const SURE_PERCENT: u32 = 120;

/// What of the measured rate a layer may take after a switch downward, in hundredths.
pub const SHARE_DOWN_PERCENT: u32 = 80;

/// Seconds until the next trial after one has failed, at first and at most; doubled each time.
pub const TRIAL_WAIT_S_MIN: u8 = 5;
/// See [`TRIAL_WAIT_S_MIN`].
pub const TRIAL_WAIT_S_MAX: u8 = 240;

/// The same at most for who is sent no picture.
pub const PICTURE_AGAIN_S_MAX: u8 = 60;

/// The same after one that showed less than a fourth of what had been measured.
pub const TRIAL_WAIT_S_LIED: u8 = 60;
/// See [`TRIAL_WAIT_S_LIED`].
pub const LIED_PERCENT: u32 = 400;

/// How old a receiver's own estimate may be.
pub const REMB_AGE_MAX: Duration = Duration::from_secs(5);

/// Switches that are remembered per viewer, for reports.
pub const SWITCHES_REMEMBERED: usize = 8;

/// Loss that is taken for a path's own, at most, in thousandths. More is never usual.
pub const USUAL_LOSS_PERMILLE_MAX: u16 = 150;

/// How long all frames of a viewer are sampled that has just come.
pub const JOINING_TIME: Duration = Duration::from_secs(4);

/// A switch downward that has not taken effect after this long is followed by another, lower still, where the queue grows.
pub const DOWN_AGAIN_TIME: Duration = Duration::from_secs(1);

/// A queue that no buffer should hold, at which even the lowest layer is too much.
pub const QUEUE_ENDLESS_MS: u16 = 1_500;

/// What of a layer's rate a receiver's own estimate must be, in hundredths. Less: the viewer goes down.
pub const CEILING_PERCENT: u32 = 85;

/// After a switch a receiver's own estimate needs this long to follow.
pub const CEILING_TIME: Duration = Duration::from_secs(4);

/// How long it must have been quiet before a layer is tried without knowing what the network carries.
pub const BLIND_QUIET_TIME: Duration = Duration::from_secs(6);

/// How often the pause between two sampled frames is doubled at most: feedback may then be 5.8 s late.
pub const SAMPLE_STRETCH_MAX: u8 = 3;

/// A layer that was gone up to, and that carried for so long, is proven: the waits begin anew. One that fails sooner is a trial
/// that has failed.
pub const PROVEN_TIME: Duration = Duration::from_secs(30);
