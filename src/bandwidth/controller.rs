//! Which encoding a viewer is to be sent: down at once, up by trial, and never without a way back up.
//!
//! ```text
//!            ┌──────────────── two seconds of room ───────────────┐
//!            ▼                                                    │
//!  Start ─▶ Trial ── two seconds without a queue ──────────────▶ Steady ── queue, loss ─▶ Settling ─▶ Steady
//!            │  └── queue, loss: back to the one before, and the next trial waits twice as long ───▲
//!            │                                                                                     │
//!            └── the lowest does not fit either ─▶ SoundOnly ── after the same waits ─▶ Trial      │
//! ```
//!
//! A switch takes effect with the target's next key frame. Until then [`Place::awaited`] names it, and nothing further is
//! decided but to go lower still, or to give a way up back where no key frame comes.

use std::time::Duration;

use super::estimator::{Estimator, Source};
use super::millis::Millis;
use super::rate::Rate;
use super::why::Why;
use crate::limits;
use crate::relay::store::numbers::EncodingId;

/// An encoding that a viewer may be sent, and what it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which one.
    pub encoding: EncodingId,
    /// What it takes, sound included.
    pub rate: Rate,
}

/// Where a viewer stands.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The encodings it may be sent now, by what they take, the least first: those that come from the publisher, that it can
    /// decode, and that it or its page has not ruled out.
    pub ladder: &'a [Step],
    /// What it is sent.
    pub sent: EncodingId,
    /// What it waits for.
    pub awaited: Option<EncodingId>,
    /// Packets can be repeated to it as a probe (RTX).
    pub can_probe: bool,
    /// It is sent no picture, by decision of this controller.
    pub is_sound_only: bool,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The encoding; `None` is sound only.
    pub encoding: Option<EncodingId>,
    /// Why.
    pub why: Why,
    /// What was sent waits in its network, or is lost there: nothing more of it is of use. What comes next is to be sent after
    /// so long.
    pub drain: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Start,
    Steady,
    Trial,
    Settling,
    SoundOnly,
}

/// How much more than what a viewer is sent its network carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// Little less makes it wait.
    Tight,
    /// Neither, or nothing is known.
    Some,
    /// So much that it must change a lot to matter.
    Ample,
}

impl Room {
    fn of(estimator: &Estimator) -> Self {
        let delivered = estimator.delivered();
        match estimator.capacity() {
            Some(capacity) if capacity < delivered.percent(limits::TIGHT_PERCENT) => Self::Tight,
            Some(capacity) if capacity >= delivered.percent(limits::AMPLE_PERCENT) => Self::Ample,
            Some(_) | None => Self::Some,
        }
    }
}

/// One viewer's decisions.
#[derive(Debug)]
pub struct Controller {
    phase: Phase,
    /// Into which phase the awaited switch leads.
    next_phase: Phase,
    why: Why,
    since: Millis,
    /// Since when there is neither queue nor unusual loss.
    quiet_since: Millis,
    /// Since when the lowest encoding does not fit.
    overloaded_since: Option<Millis>,
    /// When a switch was decided on that has not taken effect.
    awaited_since: Option<Millis>,
    next_trial: Millis,
    wait_s: u8,
    /// What was measured when a higher encoding did not fit: where that has grown, it is tried at once. The highest where it
    /// failed again then, or measured as if there were room: a token bucket shows far more than it carries.
    failed_share: Rate,
    /// What did not fit.
    failed: Option<EncodingId>,
    /// How much samples of the queue differ from one to the next, in quarters of a millisecond.
    jitter: u8,
    /// By what arrived and what was measured last.
    room: Room,
    /// When a probe was sent last.
    probed: Millis,
    /// Where a trial began.
    before: EncodingId,
}

fn longer(since: Millis, than: Duration, now: Millis) -> bool {
    now.since(since) >= than.as_millis() as u32
}

impl Controller {
    pub(super) fn new(now: Millis) -> Self {
        Self {
            phase: Phase::Start,
            next_phase: Phase::Start,
            why: Why::Start,
            since: now,
            quiet_since: now,
            overloaded_since: None,
            awaited_since: None,
            next_trial: now,
            wait_s: limits::TRIAL_WAIT_S_MIN,
            failed_share: Rate::default(),
            failed: None,
            jitter: 0,
            room: Room::Some,
            probed: now,
            before: EncodingId::default(),
        }
    }

    /// Why the viewer is sent what it is sent.
    #[must_use]
    pub const fn why(&self) -> Why {
        self.why
    }

    /// Whether nothing was decided yet.
    pub(super) fn is_new(&self) -> bool {
        self.phase == Phase::Start && self.awaited_since.is_none()
    }

    /// How much more than what it is sent its network carries.
    pub(super) const fn room(&self) -> Room {
        self.room
    }

    /// Whether all its frames are to be sampled.
    pub(super) fn is_alert(&self, now: Millis) -> bool {
        self.awaited_since.is_some()
            || match self.phase {
                Phase::Start => !longer(self.since, limits::JOINING_TIME, now),
                Phase::Trial | Phase::Settling => true,
                Phase::Steady | Phase::SoundOnly => false,
            }
    }

    /// How many packets a probe is to have that is due now, because the viewer would go up if there is room, and its frames are too
    /// small to tell; none where none is.
    pub(super) fn probe(&mut self, estimator: &Estimator, place: &Place<'_>, now: Millis) -> usize {
        let at = place.ladder.iter().position(|step| step.encoding == place.sent);
        let Some(next) = at.and_then(|at| place.ladder.get(at + 1)) else { return 0 };
        if !place.can_probe || estimator.source() != Source::Transport {
            return 0;
        }
        let fits = |rate: Rate| rate >= next.rate.percent(limits::HEADROOM_PROBED_PERCENT);
        let is_rated_lately = estimator.is_rated_lately(now);
        // One rate that says that there is room is made sure of before anything is decided.
        let is_open = is_rated_lately && !estimator.is_sure() && estimator.newest_rate().is_some_and(fits);
        if is_rated_lately && !is_open {
            return 0;
        }
        let (pause, packets) = if is_open {
            (limits::PROBE_SURE_PAUSE, limits::PROBE_PACKETS_SURE)
        } else if estimator.is_rated(now) && (estimator.is_sure() || !estimator.newest_rate().is_some_and(fits)) {
            (limits::PROBE_INTERVAL, limits::PROBE_PACKETS)
        } else {
            (limits::PROBE_AGAIN, limits::PROBE_PACKETS)
        };
        let may = !is_open || self.may_try(estimator.newest_rate(), now) || self.failed != Some(next.encoding);
        if !may || !longer(self.probed, pause, now) || !self.is_quiet_enough(estimator, place, now) {
            return 0;
        }
        self.probed = now;
        packets
    }

    /// See [`super::Bandwidth::decide`].
    pub(super) fn decide(&mut self, estimator: &mut Estimator, place: &Place<'_>, now: Millis) -> Option<Decision> {
        let (lowest, _) = place.ladder.split_first()?;
        if self.awaited_since.is_some() && place.awaited.is_none() {
            // A switch has taken effect.
            self.awaited_since = None;
            (self.phase, self.since) = (self.next_phase, now);
            estimator.begin_anew(now);
        }
        if place.is_sound_only {
            let due = now.has_reached(self.next_trial);
            return due.then(|| self.go(lowest.encoding, Why::PictureAgain, Phase::Trial, now));
        }
        let going = place.awaited.unwrap_or(place.sent);
        let at = place.ladder.iter().position(|step| step.encoding == going);
        let Some((at, &going)) = at.and_then(|at| Some((at, place.ladder.get(at)?))) else {
            return self.go_on_without(place, now);
        };
        self.take_note_of_quiet(estimator, now);
        self.room = Room::of(estimator);
        if at == 0 {
            if self.is_lowest_too_much(estimator, now) {
                return Some(self.go_silent(now));
            }
        } else if let Some(why) = self.must_go_down(estimator, place, at, now) {
            if let Some(backlog) = breaks_in(estimator, place, now) {
                // What a trial overloads is the network as it was.
                let is_trial = self.phase == Phase::Trial;
                let to = match is_trial {
                    true => self.fitting(estimator, place, at, why, now),
                    false => fitting_of_new(estimator, place, at),
                };
                let decision = self.step_down(going, to, why, estimator, now);
                if !is_trial {
                    estimator.keep_rates_below(rate_of(place, place.sent));
                }
                let drain = room_for(estimator, place, to, now).unwrap_or(backlog * 2 / 3);
                return Some(Decision { drain: Some(drain.min(limits::QUEUE_DRAIN_MAX)), ..decision });
            }
            let to = self.fitting(estimator, place, at, why, now);
            // What a trial has sent fills the queue, and would push out what follows it.
            let drain = if self.phase == Phase::Trial && estimator.queue_ms()[0] >= limits::QUEUE_DOWN_MS {
                room_for(estimator, place, to, now)
            } else {
                None
            };
            let decision = Decision { drain, ..self.step_down(going, to, why, estimator, now) };
            // Rates of before say nothing of a network that has become narrower.
            estimator.keep_newest_rate();
            return Some(decision);
        }
        if let Some(since) = self.awaited_since {
            let up = self.next_phase == Phase::Trial && place.awaited.is_some();
            if up && longer(since, limits::SWITCH_WAIT_MAX, now) {
                self.fail(going, estimator, now);
                return Some(self.go(place.sent, Why::NoKeyFrame, Phase::Steady, now));
            }
            return None;
        }
        self.end_phase(place.sent, now);
        let to = self.may_go_up(estimator, place, at, now)?;
        self.before = place.sent;
        Some(self.go(to, Why::Room, Phase::Trial, now))
    }

    /// The viewer's choice, or that of its page, has changed what it is sent: nothing is under way any more.
    pub fn overruled(&mut self, why: Why) {
        self.awaited_since = None;
        self.overloaded_since = None;
        (self.phase, self.why) = (Phase::Steady, why);
    }

    fn go(&mut self, encoding: EncodingId, why: Why, phase: Phase, now: Millis) -> Decision {
        self.awaited_since = Some(now);
        self.next_phase = phase;
        self.why = why;
        self.overloaded_since = None;
        self.quiet_since = now;
        Decision { encoding: Some(encoding), why, drain: None }
    }

    fn go_silent(&mut self, now: Millis) -> Decision {
        // Who has no picture is not kept from it by trials of before.
        self.wait_s = self.wait_s.min(limits::PICTURE_AGAIN_S_MAX);
        self.wait(now);
        self.awaited_since = None;
        self.overloaded_since = None;
        (self.phase, self.since, self.why) = (Phase::SoundOnly, now, Why::SoundOnly);
        Decision { encoding: None, why: Why::SoundOnly, drain: None }
    }

    /// What it is sent or waits for is not to be had any more: the next lower one is, or else the lowest.
    fn go_on_without(&mut self, place: &Place<'_>, now: Millis) -> Option<Decision> {
        let still_sent = place.ladder.iter().any(|step| step.encoding == place.sent);
        let to = if still_sent {
            place.sent
        } else {
            // Encodings are numbered in the offer's order, which says nothing of their rates: the lowest surely fits best.
            place.ladder.first()?.encoding
        };
        let phase = if self.phase == Phase::Start { Phase::Start } else { Phase::Steady };
        Some(self.go(to, Why::Stopped, phase, now))
    }

    fn take_note_of_quiet(&mut self, estimator: &Estimator, now: Millis) {
        let unusual = usual_and(estimator, limits::LOSS_TRIAL_PERMILLE);
        let [queue, before] = estimator.queue_ms();
        let moved = queue.abs_diff(before).min(limits::QUEUE_TRIAL_MS);
        self.jitter = self.jitter - self.jitter / 8 + (moved / 2) as u8;
        let jitter_ms = u16::from(self.jitter / 4);
        let is_quiet = queue.min(before) < limits::QUEUE_UP_MS + jitter_ms.min(limits::QUEUE_UP_MS)
            && queue.max(before) < limits::QUEUE_TRIAL_MS
            && estimator.sure_loss_permille()[0] <= unusual;
        if !is_quiet || estimator.source() == Source::Nothing {
            self.quiet_since = now;
        }
    }

    /// Whether the lowest encoding has been too much for long enough.
    fn is_lowest_too_much(&mut self, estimator: &Estimator, now: Millis) -> bool {
        let [queue, queue_before] = estimator.queue_ms();
        let [lost, lost_before] = estimator.sure_loss_permille();
        let (some, much) = (usual_and(estimator, 3 * limits::LOSS_DOWN_PERMILLE / 2), 3 * limits::LOSS_DOWN_PERMILLE);
        // Others may fill the queue, who are no reason to go.
        let queued = queue.min(queue_before) >= limits::QUEUE_DOWN_MS;
        let too_much = (queued && lost >= some)
            || lost.min(lost_before) >= usual_and(estimator, much)
            || queue.min(queue_before) >= limits::QUEUE_ENDLESS_MS;
        if !too_much {
            self.overloaded_since = None;
            return false;
        }
        let since = *self.overloaded_since.get_or_insert(now);
        longer(since, limits::SOUND_ONLY_AFTER, now)
    }

    /// Why the viewer must be sent less, if it must.
    fn must_go_down(&self, estimator: &Estimator, place: &Place<'_>, at: usize, now: Millis) -> Option<Why> {
        let [queue, queue_before] = estimator.queue_ms();
        let [lost, lost_before] = estimator.sure_loss_permille();
        let takes = place.ladder.get(at).map_or(Rate::MAX, |step| step.rate);
        // What is not sent yet costs nothing to change.
        let part = if self.awaited_since.is_some() { limits::SHARE_DOWN_PERCENT } else { 100 };
        let is_narrower =
            estimator.is_rated(now) && estimator.newest_rate().is_some_and(|rate| rate.percent(part) < takes);
        // On its way down, or just there: lower still only where that is known not to help, or did not.
        let settles = match self.awaited_since {
            Some(since) if self.next_phase == Phase::Settling => !longer(since, limits::DOWN_AGAIN_TIME, now),
            Some(_) => false,
            None => {
                // What is heard is as old as the queue was long.
                let settle =
                    limits::DOWN_SETTLE_TIME + Duration::from_millis(queue.min(limits::QUEUE_DOWN_AT_ONCE_MS).into());
                self.phase == Phase::Settling && !longer(self.since, settle, now)
            }
        };
        if settles && !is_narrower {
            return None;
        }
        if estimator.is_losing(now) && self.awaited_since.is_none() {
            return Some(Why::Loss);
        }
        // One train is enough where it says that far less is carried, and waited itself.
        if self.phase == Phase::Steady && queue >= limits::QUEUE_SUSPECT_MS && is_far_narrower(estimator, place, now) {
            return Some(Why::Queue);
        }
        let is_falling = queue < queue_before && self.phase == Phase::Settling && !is_narrower;
        let too_long = queue.min(queue_before) >= limits::QUEUE_DOWN_MS
            || queue >= limits::QUEUE_DOWN_AT_ONCE_MS
            || queue >= limits::QUEUE_DOWN_MS && is_narrower;
        if too_long && !is_falling {
            return Some(if self.phase == Phase::Trial { Why::TrialFailed } else { Why::Queue });
        }
        let (twice, once) = (limits::LOSS_DOWN_PERMILLE, limits::LOSS_DOWN_PERMILLE * 5 / 2);
        if lost.min(lost_before) >= usual_and(estimator, twice) || lost >= usual_and(estimator, once) {
            return Some(if self.phase == Phase::Trial { Why::TrialFailed } else { Why::Loss });
        }
        // Where a path loses anyway, one window may be chance.
        let lost = if estimator.usual_loss() > limits::LOSS_TRIAL_PERMILLE { lost.min(lost_before) } else { lost };
        if self.phase == Phase::Trial
            && lost > usual_and(estimator, estimator.usual_loss() + limits::LOSS_TRIAL_PERMILLE)
        {
            return Some(Why::TrialFailed);
        }
        let below = |ceiling: Rate| ceiling < takes.percent(limits::CEILING_PERCENT);
        if estimator.ceiling(now).is_some_and(below) && longer(self.since, limits::CEILING_TIME, now) {
            return Some(Why::Ceiling);
        }
        self.trial_queued(queue.min(queue_before), now)
    }

    fn trial_queued(&self, queue: u16, now: Millis) -> Option<Why> {
        let is_judged = self.phase == Phase::Trial && longer(self.since, limits::TRIAL_KEY_FRAME_TIME, now);
        (is_judged && queue >= limits::QUEUE_TRIAL_MS).then_some(Why::TrialFailed)
    }

    /// The best encoding below `at` that what was measured carries; the lowest where none is.
    fn fitting(&self, estimator: &Estimator, place: &Place<'_>, at: usize, why: Why, now: Millis) -> EncodingId {
        let below = place.ladder.get(..at).unwrap_or_default();
        let lowest = place.ladder.first().map_or(place.sent, |step| step.encoding);
        if self.phase == Phase::Trial
            && let Some(before) = below.iter().position(|step| step.encoding == self.before)
        {
            // A trial that went over several may have shown that one between fits.
            let most = estimator.newest_rate().filter(|_| estimator.is_rated_lately(now)).unwrap_or_default();
            let most = most.percent(limits::SHARE_DOWN_PERCENT);
            let mut between = below.get(before + 1..).unwrap_or_default().iter().rev();
            return between.find(|step| step.rate <= most).map_or(self.before, |step| step.encoding);
        }
        let delivered = Some(estimator.delivered()).filter(|&rate| rate > Rate::default());
        let ceiling = Some(estimator.ceiling_told()).filter(|_| why == Why::Ceiling);
        if let Some(ceiling) = ceiling {
            return below.iter().rev().find(|step| step.rate <= ceiling).map_or(lowest, |step| step.encoding);
        }
        let measured = [delivered, estimator.free_share(), estimator.newest_rate()].into_iter().flatten().min();
        let Some(measured) = measured else { return below.last().map_or(lowest, |step| step.encoding) };
        let most = measured.percent(limits::SHARE_DOWN_PERCENT);
        below.iter().rev().find(|step| step.rate <= most).map_or(lowest, |step| step.encoding)
    }

    fn step_down(&mut self, from: Step, to: EncodingId, why: Why, estimator: &Estimator, now: Millis) -> Decision {
        // Who goes up and down again and again waits longer each time, whether within a trial or soon after.
        if self.why == Why::Room && !longer(self.since, limits::PROVEN_TIME, now) || self.phase == Phase::Trial {
            self.fail(from, estimator, now);
        } else if now.has_reached(self.next_trial) || self.failed_share != Rate::MAX {
            self.next_trial = now.plus(Duration::from_secs(limits::TRIAL_WAIT_S_MIN.into()));
            let measured = estimator.newest_rate().unwrap_or_default();
            self.failed_share = if self.failed_share == Rate::MAX { Rate::MAX } else { measured };
            self.failed = Some(from.encoding);
        }
        self.go(to, why, Phase::Settling, now)
    }

    /// A trial has failed: the next waits longer.
    fn fail(&mut self, tried: Step, estimator: &Estimator, now: Millis) {
        let measured = estimator.free_share().unwrap_or_default();
        let explains = measured < tried.rate.percent(limits::HEADROOM_UP_PERCENT);
        // Such a path passes bursts at once that are longer than any probe: a trial is all that tells.
        let newest = estimator.newest_rate().map_or(Rate::MAX, |newest| newest.percent(limits::LIED_PERCENT));
        let lied_much = self.phase == Phase::Trial && estimator.highest_rate().is_some_and(|highest| highest > newest);
        if lied_much {
            self.wait_s = self.wait_s.max(limits::TRIAL_WAIT_S_LIED);
        }
        let lied = lied_much || !now.has_reached(self.next_trial) || !explains || self.failed_share == Rate::MAX;
        self.failed_share = if lied { Rate::MAX } else { measured };
        self.failed = Some(tried.encoding);
        self.wait(now);
    }

    fn wait(&mut self, now: Millis) {
        self.next_trial = now.plus(Duration::from_secs(self.wait_s.into()));
        self.wait_s = self.wait_s.saturating_mul(2).min(limits::TRIAL_WAIT_S_MAX);
    }

    fn end_phase(&mut self, sent: EncodingId, now: Millis) {
        let passes = matches!(self.phase, Phase::Trial | Phase::Settling);
        if passes && longer(self.since, limits::UP_QUIET_TIME, now) {
            self.phase = Phase::Steady;
        }
        let is_proven = self.why == Why::Room && longer(self.since, limits::PROVEN_TIME, now);
        if is_proven && self.failed.is_none_or(|failed| failed == sent) {
            self.wait_s = limits::TRIAL_WAIT_S_MIN;
            (self.failed, self.failed_share) = (None, Rate::default());
        }
    }

    fn is_quiet_enough(&self, estimator: &Estimator, place: &Place<'_>, now: Millis) -> bool {
        matches!(self.phase, Phase::Start | Phase::Steady)
            && self.awaited_since.is_none()
            && place.awaited.is_none()
            && estimator.source() != Source::Nothing
            && longer(self.quiet_since, limits::UP_QUIET_TIME, now)
    }

    /// Whether a trial is not too soon after one that failed, as far as time and the free share go.
    fn may_try(&self, share: Option<Rate>, now: Millis) -> bool {
        let known = Some(self.failed_share).filter(|&failed| failed > Rate::default() && failed < Rate::MAX);
        let grown = |failed: Rate| share.is_some_and(|share| share >= failed.percent(limits::HEADROOM_UP_PERCENT));
        now.has_reached(self.next_trial) || known.is_some_and(grown)
    }

    fn may_go_up(&self, estimator: &Estimator, place: &Place<'_>, at: usize, now: Millis) -> Option<EncodingId> {
        if !self.is_quiet_enough(estimator, place, now) {
            return None;
        }
        let is_sure = estimator.is_sure() || !place.can_probe;
        let share = estimator.sure_share().filter(|_| estimator.is_rated(now) && is_sure);
        if share.is_none() && place.can_probe && estimator.was_rated(now) {
            // The next probe says more than a trial would.
            return None;
        }
        let mut above = place.ladder.get(at + 1..)?;
        if !self.may_try(share, now) {
            // What failed waits; what is less than that does not.
            let failed = above.iter().position(|step| self.failed == Some(step.encoding))?;
            above = above.get(..failed)?;
        }
        if self.failed_share == Rate::MAX {
            // What is measured here says too much. A smaller key frame finds that out as well.
            above = above.get(..1)?;
        }
        let next = above.first()?;
        if let Some(share) = share {
            let fits = |step: &&Step| step.rate.percent(limits::HEADROOM_UP_PERCENT) <= share;
            return above.iter().rev().find(fits).map(|step| step.encoding);
        }
        let now_takes = place.ladder.get(at).map_or(Rate::default(), |step| step.rate);
        if estimator.ceiling(now).is_some_and(|ceiling| ceiling < now_takes) {
            return None;
        }
        // Nothing is known of the capacity: one step, after a longer quiet; where nothing will be known, after a shorter one.
        longer(self.quiet_since, limits::BLIND_QUIET_TIME, now).then_some(next.encoding)
    }
}

/// What an encoding takes; the highest where it is not on the ladder any more.
fn rate_of(place: &Place<'_>, encoding: EncodingId) -> Rate {
    place.ladder.iter().find(|step| step.encoding == encoding).map_or(Rate::MAX, |step| step.rate)
}

/// Whether the network has become far too narrow for what is sent, all at once; and what waits in its queue.
fn breaks_in(estimator: &Estimator, place: &Place<'_>, now: Millis) -> Option<Duration> {
    let queue = estimator.queue_ms()[0];
    let does = queue >= limits::QUEUE_DOWN_AT_ONCE_MS
        || queue >= limits::QUEUE_SUSPECT_MS && is_far_narrower(estimator, place, now)
        || estimator.is_losing(now);
    does.then(|| Duration::from_millis(estimator.backlog_ms(now).into()).min(limits::QUEUE_DRAIN_MAX))
}

/// How long a network needs, by what was measured of it as it is now, to make room for a key frame of `to` and what follows it in that
/// time: where the queue is full, no more would be lost than if it were empty, and the picture comes as soon as it can. `None` where
/// nothing was measured.
fn room_for(estimator: &Estimator, place: &Place<'_>, to: EncodingId, now: Millis) -> Option<Duration> {
    let newest = estimator.newest_rate().filter(|_| estimator.is_rated_lately(now))?;
    let bits = rate_of(place, to).bits_per_second();
    let is_newer = newest < rate_of(place, place.sent) && newest > Rate::default();
    is_newer.then(|| limits::KEY_FRAME_TIME.mul_f64(bits as f64 / newest.bits_per_second() as f64))
}

/// Whether the newest train came at far less than the rate of what is sent.
fn is_far_narrower(estimator: &Estimator, place: &Place<'_>, now: Millis) -> bool {
    let newest = estimator.newest_rate().filter(|_| estimator.is_rated_lately(now));
    newest.is_some_and(|rate| rate.percent(limits::HEADROOM_UP_PERCENT) < rate_of(place, place.sent))
}

/// The best encoding below `at` for a network that has become narrow all at once: by what was measured of it as it is now, which is
/// less than what was sent; the lowest where nothing was.
fn fitting_of_new(estimator: &Estimator, place: &Place<'_>, at: usize) -> EncodingId {
    let lowest = place.ladder.first().map_or(place.sent, |step| step.encoding);
    let measured = estimator.newest_rate().filter(|&rate| rate < rate_of(place, place.sent));
    let Some(most) = measured.map(|rate| rate.percent(limits::SHARE_DOWN_PERCENT)) else { return lowest };
    let below = place.ladder.get(..at).unwrap_or_default();
    below.iter().rev().find(|step| step.rate <= most).map_or(lowest, |step| step.encoding)
}

fn usual_and(estimator: &Estimator, permille: u16) -> u16 {
    estimator.usual_loss().saturating_add(permille)
}
