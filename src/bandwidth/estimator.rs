//! What is known of a viewer's network: capacity, free share, queue, loss, delivered rate, and a receiver's own ceiling.
//!
//! | Figure | From | Held while nothing comes |
//! |---|---|---|
//! | capacity | the median of the last ten rates at which a train's packets arrived | 6 s, then unknown |
//! | free share | a low one of them | 6 s, then unknown |
//! | queue | a train's delay over the shortest of 5 to 10 s; the shortest within 100 ms | until the next |
//! | loss | numbers told as missing, in windows of half a second and at least 24 packets | until the next |
//! | delivered | what was sent in such a window × what of it arrived × how much longer it took to arrive | until the next |
//! | ceiling | REMB | 5 s |
//!
//! A train that arrives spread as it was sent says that the network carries *at least* so much: it is taken only where it shows
//! more than is known. A train that is so short that a token bucket may have passed it at once says that it carries *at most* so
//! much: it is taken only where it shows less than is known.
//!
//! Without transport-wide feedback the round trip of receiver reports takes the place of the delay, and their fraction lost that
//! of the loss; a hole of the uplink is then taken for the viewer's.

use super::history::{Observation, Spread};
use super::millis::Millis;
use super::missed::Missed;
use super::rate::Rate;
use crate::limits;
use crate::wire::rtcp::transport_feedback::TICK_US;

/// Ticks of a millisecond.
const TICKS_PER_MS: u16 = (1_000 / TICK_US) as u16;

const CAPACITY_MAX: Rate = Rate::from_bits_per_second(limits::CAPACITY_BITS_PER_SECOND_MAX);

/// Where the figures come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// Nothing has come yet.
    #[default]
    Nothing,
    /// Receiver reports.
    Reports,
    /// Transport-wide feedback.
    Transport,
}

/// The shortest delay of the last 5 to 10 s: of two clocks, so that only differences count.
#[derive(Clone, Copy, Debug, Default)]
struct Base {
    /// Of the half in progress, and of the one before.
    shortest: [u16; 2],
    since: Millis,
    /// Whether each is known.
    known: [bool; 2],
}

impl Base {
    /// How much longer `delay` is than the shortest, in ticks.
    fn over(&mut self, delay: u16, now: Millis) -> u16 {
        let half = limits::DELAY_BASE_HALF.as_millis() as u32;
        let passed = now.since(self.since);
        if passed >= half {
            self.shortest[1] = self.shortest[0];
            self.known = [false, self.known[0] && passed < 2 * half];
            self.since = now;
        }
        if !self.known[0] || delay.wrapping_sub(self.shortest[0]).cast_signed() < 0 {
            (self.shortest[0], self.known[0]) = (delay, true);
        }
        let over =
            |which: usize| if self.known[which] { delay.wrapping_sub(self.shortest[which]).cast_signed() } else { 0 };
        over(0).max(over(1)).max(0).unsigned_abs()
    }
}

/// A window of loss and delivery that is being filled.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    since: Millis,
    /// What had been sent then: the lower 32 bits.
    sent_bytes: u32,
    told: u16,
    lost: u16,
    /// When its first and its last train were sent, in ticks, and their queues.
    sent: [u16; 2],
    queue: [u16; 2],
}

/// How far a window is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WindowState {
    /// It begins at its `since`.
    Awaited,
    Open,
    /// It is open, and a train was told of in it.
    HasTrain,
}

/// What is known of one viewer's network.
#[derive(Debug)]
pub struct Estimator {
    /// The newest first.
    rates: [Rate; limits::CAPACITY_SAMPLES_MAX],
    rates_len: u8,
    rated: Millis,
    base: Base,
    /// In milliseconds, the newest first.
    queue: [u16; 2],
    /// When the newest began, in ticks.
    queue_sent: u16,
    window: Window,
    /// (Here, because there it would take four bytes.)
    window_is: WindowState,
    /// In thousandths: of the last window.
    loss: u16,
    /// The same less what chance may have added: of the last window and the one before.
    sure_loss: [u16; 2],
    /// What this path loses all the time, in 1/16 of thousandths.
    usual_loss: u16,
    /// Windows that went into it, up to eight.
    usual_of: u8,
    delivered: Rate,
    missed: Missed,
    ceiling: Rate,
    ceiling_told: Millis,
    told: Millis,
    may_tell: u8,
    suspect_until: Millis,
    /// Signs since it is suspect.
    suspect_signs: u8,
    /// Since when its path, a connection, takes nothing.
    blocked_since: Option<Millis>,
    source: Source,
}

impl Estimator {
    pub(super) fn new(now: Millis) -> Self {
        Self {
            rates: [Rate::default(); limits::CAPACITY_SAMPLES_MAX],
            rates_len: 0,
            rated: now,
            base: Base { since: now, ..Base::default() },
            queue: [0; 2],
            queue_sent: 0,
            window: Window { since: now, ..Window::default() },
            window_is: WindowState::Awaited,
            loss: 0,
            sure_loss: [0; 2],
            usual_loss: 0,
            usual_of: 0,
            delivered: Rate::default(),
            missed: Missed::default(),
            ceiling: Rate::MAX,
            ceiling_told: now,
            told: now,
            may_tell: limits::TRANSPORT_FEEDBACKS_AT_ONCE,
            suspect_until: now,
            suspect_signs: 0,
            blocked_since: None,
            source: Source::Nothing,
        }
    }

    /// Whether another piece of feedback is looked at; takes a place of it if so.
    pub(super) fn may_be_told(&mut self, now: Millis) -> bool {
        let earned = now.since(self.told) / limits::TRANSPORT_FEEDBACK_PAUSE.as_millis() as u32;
        if earned > 0 {
            let most = limits::TRANSPORT_FEEDBACKS_AT_ONCE;
            self.may_tell = u8::try_from(earned).unwrap_or(most).saturating_add(self.may_tell).min(most);
            self.told = now;
        }
        let may = self.may_tell > 0;
        self.may_tell = self.may_tell.saturating_sub(1);
        may
    }

    fn come_from(&mut self, source: Source, now: Millis) {
        if self.source != source {
            // Delays of the two have nothing in common.
            self.base = Base { since: now, ..Base::default() };
            self.queue = [0; 2];
            self.source = source;
        }
    }

    /// Takes what feedback shows of a train.
    pub(super) fn observe(&mut self, seen: &Observation, now: Millis) {
        self.come_from(Source::Transport, now);
        self.window.told = self.window.told.saturating_add(seen.told.into());
        self.window.lost = self.window.lost.saturating_add(seen.lost.into()).saturating_sub(seen.recovered.into());
        if let Some(late_by) = seen.late_by {
            self.queued(late_by, seen.sent, now);
        }
        if let Some(delay) = seen.delay {
            let over = self.base.over(delay, now);
            let window = &mut self.window;
            if self.window_is == WindowState::Open {
                (window.sent[0], window.queue[0]) = (seen.sent, over);
                self.window_is = WindowState::HasTrain;
            }
            (window.sent[1], window.queue[1]) = (seen.sent, over);
            self.queued(over, seen.sent, now);
        }
        if let Some(spread) = seen.spread {
            self.spread(&spread, now);
        }
    }

    fn queued(&mut self, over_ticks: u16, sent: u16, now: Millis) {
        let queue_ms = over_ticks / TICKS_PER_MS;
        let together = limits::QUEUE_SAMPLE_TIME.as_millis() as u16 * TICKS_PER_MS;
        if sent.wrapping_sub(self.queue_sent) < together {
            self.queue[0] = self.queue[0].min(queue_ms);
        } else {
            self.queue = [queue_ms, self.queue[0]];
            self.queue_sent = sent;
        }
        if queue_ms >= limits::QUEUE_SUSPECT_MS {
            self.suspect(now);
        }
    }

    /// A rate at which packets arrived.
    fn spread(&mut self, spread: &Spread, now: Millis) {
        // The clocks count in ticks, so that both ends of a spread are up to half a tick off.
        let micros = u64::from(spread.arrival_ticks) * TICK_US;
        let rate = Rate::of(spread.bytes.into(), micros.max(TICK_US / 2)).min(CAPACITY_MAX);
        // A short one says what the network carries at most.
        if !spread.is_long && self.newest_rate().is_none_or(|known| rate >= known) {
            return;
        }
        let is_of_network = u32::from(spread.arrival_ticks) * 4 > u32::from(spread.sent_ticks) * 5;
        if !is_of_network && self.capacity().is_some_and(|known| rate < known) {
            return;
        }
        let passed = now.since(self.rated);
        if passed > limits::CAPACITY_AGE_MAX.as_millis() as u32 {
            self.rates_len = 0;
        } else if passed > limits::CAPACITY_SPARSE.as_millis() as u32 {
            // Of a probe that was long ago: the next one says whether this one is right.
            self.rates_len = 0;
        }
        if self.rates_len > 0 && passed < limits::CAPACITY_SAMPLE_INTERVAL.as_millis() as u32 {
            self.rates[0] = self.rates[0].min(rate);
            return;
        }
        self.rates.rotate_right(1);
        self.rates[0] = rate;
        self.rates_len = (self.rates_len + 1).min(limits::CAPACITY_SAMPLES_MAX as u8);
        self.rated = now;
    }

    /// A piece of feedback has been gone through: closes the window where it is full.
    pub(super) fn told(&mut self, sent_bytes: u64, now: Millis) {
        if self.window_is == WindowState::Awaited {
            if now.has_reached(self.window.since) {
                self.open_window(sent_bytes, now);
            }
            return;
        }
        let passed = now.since(self.window.since);
        let full =
            passed >= limits::LOSS_WINDOW.as_millis() as u32 && self.window.told >= limits::LOSS_WINDOW_PACKETS_MIN;
        if !full {
            return;
        }
        let window = self.window;
        let lost = permille(window.lost, window.told);
        self.lost(lost, permille(window.lost.saturating_sub(window.lost.isqrt()), window.told), now);
        // Time between its first and its last train, when sent and when they arrived.
        let sent_ticks = u32::from(window.sent[1].wrapping_sub(window.sent[0]));
        let arrival_ticks = (sent_ticks + u32::from(window.queue[1])).saturating_sub(window.queue[0].into()).max(1);
        let sent = Rate::of(u64::from((sent_bytes as u32).wrapping_sub(window.sent_bytes)), u64::from(passed) * 1_000);
        let arrived = u64::from(sent_ticks.min(arrival_ticks)) * u64::from(1_000_u16.saturating_sub(lost));
        let whole = u64::from(arrival_ticks) * 1_000;
        let share = if sent_ticks == 0 { 100 } else { arrived * 100 / whole };
        self.delivered = sent.percent(share as u32);
        self.open_window(sent_bytes, now);
    }

    fn open_window(&mut self, sent_bytes: u64, now: Millis) {
        self.window = Window { since: now, sent_bytes: sent_bytes as u32, ..Window::default() };
        self.window_is = WindowState::Open;
    }

    fn lost(&mut self, lost_permille: u16, sure_permille: u16, now: Millis) {
        self.loss = lost_permille;
        self.sure_loss = [sure_permille, self.sure_loss[0]];
        if sure_permille > self.usual_loss().saturating_add(limits::LOSS_TRIAL_PERMILLE) {
            self.suspect(now);
        }
        // Follows slowly, and congestion not at all: what comes with a queue is not the path's own.
        if self.queue[0] < limits::QUEUE_SUSPECT_MS {
            let target = i32::from(lost_permille.min(limits::USUAL_LOSS_PERMILLE_MAX)) * 16;
            self.usual_of = (self.usual_of + 1).min(8);
            let step = (target - i32::from(self.usual_loss)) / i32::from(self.usual_of);
            self.usual_loss = u16::try_from(i32::from(self.usual_loss) + step).unwrap_or(0);
        }
    }

    /// See [`super::Bandwidth::missed`].
    pub(super) fn missed(&mut self, sequence_number: u16, now: Millis) -> bool {
        self.missed.note(sequence_number, now)
    }

    /// See [`super::Bandwidth::missed_late`].
    pub(super) fn missed_late(&mut self, waited_ms: u16, now: Millis) -> bool {
        self.missed.note_late(waited_ms);
        let is_late = waited_ms >= limits::QUEUE_DOWN_AT_ONCE_MS;
        if is_late {
            self.queue = [waited_ms, self.queue[0]];
        }
        let is_sign = is_late || self.missed.is_heavy(now);
        if is_sign {
            self.suspect(now);
        }
        is_sign
    }

    /// Whether far more is lost than any path loses without being too narrow.
    pub(super) fn is_losing(&self, now: Millis) -> bool {
        self.missed.is_heavy(now)
    }

    /// How long what was sent waits in its network, as far as that is known, where it has become narrow all at once.
    pub(super) fn backlog_ms(&self, now: Millis) -> u16 {
        let of_lost = if self.is_losing(now) { self.missed.late_ms() } else { 0 };
        self.queue[0].max(of_lost)
    }

    /// The network has become another one, which carries less than `sent`: what was measured before says nothing of it.
    pub(super) fn keep_rates_below(&mut self, sent: Rate) {
        let newer = self.rates().iter().take_while(|&&rate| rate < sent).count();
        self.rates_len = newer as u8;
        self.delivered = Rate::default();
    }

    fn suspect(&mut self, now: Millis) {
        let before = if self.is_suspect(now) { self.suspect_signs } else { 0 };
        self.suspect_signs = before.saturating_add(1);
        self.suspect_until = now.plus(limits::SUSPECT_TIME);
    }

    pub(super) fn remb(&mut self, bits_per_second: u64, now: Millis) {
        self.ceiling = Rate::from_bits_per_second(bits_per_second);
        self.ceiling_told = now;
    }

    /// A connection that takes nothing is as late as it has been so, at least.
    pub(super) fn blocked(&mut self, is_blocked: bool, now: Millis) {
        if !is_blocked {
            self.blocked_since = None;
            return;
        }
        let since = *self.blocked_since.get_or_insert(now);
        let queue_ms = u16::try_from(now.since(since)).unwrap_or(u16::MAX);
        if queue_ms > self.queue[0] {
            self.queue = [queue_ms, queue_ms.saturating_sub(1).max(self.queue[1])];
            self.suspect(now);
        }
    }

    pub(super) fn receiver_report(&mut self, round_trip_us: u64, fraction_lost: u8, now: Millis) {
        self.come_from(Source::Reports, now);
        let ticks = u16::try_from(round_trip_us / TICK_US).unwrap_or(u16::MAX / 2);
        let over = self.base.over(ticks, now);
        self.queue = [over / TICKS_PER_MS, self.queue[0]];
        let lost = (u32::from(fraction_lost) * 1_000 / 256) as u16;
        self.lost(lost, lost, now);
    }

    /// Whether something looks wrong.
    pub(super) fn is_suspect(&self, now: Millis) -> bool {
        !now.has_reached(self.suspect_until)
    }

    /// Whether that has just begun, so that something may have to be decided.
    pub(super) fn is_newly_suspect(&self, now: Millis) -> bool {
        self.is_suspect(now) && self.suspect_signs <= limits::SUSPECT_SIGNS_NEW_MAX
    }

    /// Where the figures come from.
    #[must_use]
    pub const fn source(&self) -> Source {
        self.source
    }

    fn rates(&self) -> &[Rate] {
        self.rates.get(..usize::from(self.rates_len)).unwrap_or(&[])
    }

    /// What the narrowest link carries: the median of the rates. `None` while nothing is known.
    #[must_use]
    pub fn capacity(&self) -> Option<Rate> {
        self.quantile(limits::CAPACITY_SAMPLES_MAX, |len| len / 2)
    }

    /// What of it is left to this viewer: a low one of the newest rates. `None` while nothing is known.
    #[must_use]
    pub fn free_share(&self) -> Option<Rate> {
        self.quantile(10, |len| usize::from(len >= 5))
    }

    /// The newest rate.
    #[must_use]
    pub fn newest_rate(&self) -> Option<Rate> {
        self.rates().first().copied()
    }

    fn quantile(&self, newest: usize, place: impl Fn(usize) -> usize) -> Option<Rate> {
        let rates = self.rates();
        let newest = rates.get(..newest).unwrap_or(rates);
        if newest.is_empty() {
            return None;
        }
        let mut sorted = [Rate::MAX; limits::CAPACITY_SAMPLES_MAX];
        let sorted = sorted.get_mut(..newest.len())?;
        sorted.copy_from_slice(newest);
        sorted.sort_unstable();
        sorted.get(place(newest.len())).copied()
    }

    /// The free share, for going up. Of a probe and the long one that made sure of it, what the long one says, where the other says
    /// nearly the same: sound that comes between its packets makes a short one say less.
    pub(super) fn sure_share(&self) -> Option<Rate> {
        match *self.rates() {
            [sure, first] => Some(sure.min(first.percent(limits::SURE_PERCENT))),
            _ => self.free_share(),
        }
    }

    /// Whether more than one rate says so.
    pub(super) const fn is_sure(&self) -> bool {
        self.rates_len as usize >= limits::RATES_FOR_TRIAL_MIN
    }

    /// Whether fewer rates were measured than are kept.
    pub(super) const fn is_new(&self) -> bool {
        (self.rates_len as usize) < limits::CAPACITY_SAMPLES_MAX
    }

    /// Whether the rates are of today.
    pub(super) fn is_rated(&self, now: Millis) -> bool {
        self.rates_len > 0 && now.since(self.rated) <= limits::CAPACITY_AGE_MAX.as_millis() as u32
    }

    /// Whether rates were measured not so long ago that probes must be taken to be of no use.
    pub(super) fn was_rated(&self, now: Millis) -> bool {
        self.rates_len > 0 && now.since(self.rated) <= limits::PROBES_IN_VAIN_TIME.as_millis() as u32
    }

    /// The highest of the rates; what is newest if it is.
    pub(super) fn highest_rate(&self) -> Option<Rate> {
        self.rates().iter().max().copied()
    }

    /// Whether a rate has been measured just now.
    pub(super) fn is_rated_lately(&self, now: Millis) -> bool {
        self.is_rated(now) && now.since(self.rated) <= limits::CAPACITY_SPARSE.as_millis() as u32
    }

    /// The newest two samples of the queue in milliseconds, the newest first.
    #[must_use]
    pub const fn queue_ms(&self) -> [u16; 2] {
        self.queue
    }

    /// Loss in thousandths in the last window.
    #[must_use]
    pub const fn loss_permille(&self) -> u16 {
        self.loss
    }

    /// The same less what chance may have added, in the last window and the one before.
    pub(super) const fn sure_loss_permille(&self) -> [u16; 2] {
        self.sure_loss
    }

    /// What was sent before says nothing of what is sent now: another encoding has just begun.
    pub(super) fn begin_anew(&mut self, now: Millis) {
        self.window = Window { since: now.plus(limits::FLIGHT_TIME), ..Window::default() };
        self.window_is = WindowState::Awaited;
        self.sure_loss = [0; 2];
        self.missed.begin_anew();
    }

    /// The network has become narrower: only the newest rate may be of it as it is now.
    pub(super) fn keep_newest_rate(&mut self) {
        self.rates_len = self.rates_len.min(1);
    }

    /// What this path loses all the time, in thousandths.
    #[must_use]
    pub const fn usual_loss(&self) -> u16 {
        self.usual_loss / 16
    }

    /// What arrived.
    #[must_use]
    pub const fn delivered(&self) -> Rate {
        self.delivered
    }

    /// The receiver's own estimate as it was told last; the highest before.
    pub(super) const fn ceiling_told(&self) -> Rate {
        self.ceiling
    }

    /// The receiver's own estimate, where it is the best there is.
    pub(super) fn ceiling(&self, now: Millis) -> Option<Rate> {
        let fresh = now.since(self.ceiling_told) <= limits::REMB_AGE_MAX.as_millis() as u32;
        (self.source != Source::Transport && fresh && self.ceiling != Rate::MAX).then_some(self.ceiling)
    }
}

fn permille(part: u16, whole: u16) -> u16 {
    (u32::from(part.min(whole)) * 1_000).checked_div(whole.into()).unwrap_or(0) as u16
}
