//! What is measured of a run, and the worst of several.

use std::collections::BTreeMap;
use std::time::Duration;

use corecast::lab::link::model::Fate;
use corecast::lab::link::script::{Script, UNLIMITED, Way};
use corecast::time::Timestamp;

use crate::scenarios::{Bound, Scenario};
use crate::world::{BEGIN, Client, World};

const FRAMES_PER_SECOND: f64 = 30.0;
/// An encoding fits a link when it and sound take no more than this part of the rate.
const FITS: f64 = 0.85;
/// Sound, and what headers and tags add to a video payload.
const SOUND_BITS: f64 = 55_000.0;
const HEADERS: f64 = 1.06;
/// After so long nothing more is to be tried.
const SETTLED: Duration = Duration::from_secs(15);
/// The last part of a run, in which all are there: for fairness.
const LAST: Duration = Duration::from_secs(60);

/// A figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Figure {
    /// Bits of what was shown, of those of the best encoding that fits.
    UsedPercent,
    /// How long packets waited for the rate.
    QueueP95Ms,
    /// From a step after which the link does not carry the present encoding to the first frame of one that it carries.
    DownSeconds,
    /// From a step that makes room, or the join, to the first frame of the best that fits.
    UpSeconds,
    /// Of the time.
    FrozenPercent,
    LongestFreezeMs,
    /// Frames shown, of those that were sent.
    ShownPercent,
    /// Changes of direction between two steps of the script, at most.
    Reversals,
    Switches,
    /// Those that came more than 15 s after the join and the last step.
    SwitchesSettled,
    /// Switches to less than fits.
    WrongDowns,
    /// For lack of room in the queue.
    CongestionLossPercent,
    /// Jain's index of the viewers' bits in the last minute.
    Jain,
    /// From the join, which is DTLS's end here.
    FirstFrameMs,
    /// Until frames are as old as they are two seconds later, or 50 ms older.
    LiveMs,
    /// Key frames that the publisher was asked for.
    KeyFramesAsked,
}

/// All figures of a run.
pub(crate) type Run = BTreeMap<Figure, f64>;

/// A figure of a scenario, the worst of its seeds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) scenario: &'static str,
    pub(crate) figure: Figure,
    pub(crate) worst: f64,
    pub(crate) bound: Bound,
}

impl Row {
    pub(crate) fn holds(&self) -> bool {
        match self.bound {
            Bound::AtMost(most) => self.worst <= most,
            Bound::AtLeast(least) => self.worst >= least,
            Bound::Told => true,
        }
    }

    pub(crate) fn told(&self) -> String {
        let Self { scenario, figure, worst, bound } = self;
        format!("{scenario}: {figure:?} is {worst:.2}, must be {bound:?}")
    }
}

/// The worst of each figure that a scenario has a bound for.
pub(crate) fn worst(scenario: &Scenario, runs: &[Run]) -> Vec<Row> {
    let row = |&(figure, bound): &(Figure, Bound)| {
        let values = runs.iter().map(|run| run[&figure]);
        let worst = match bound {
            Bound::AtLeast(_) => values.fold(f64::INFINITY, f64::min),
            Bound::AtMost(_) | Bound::Told => values.fold(f64::NEG_INFINITY, f64::max),
        };
        Row { scenario: scenario.name, figure, worst, bound }
    };
    scenario.bounds.iter().map(row).collect()
}

/// What happens in a run beside the links.
enum Event {
    Join(usize),
    Pause(bool),
}

/// Runs a scenario.
pub(crate) fn measure(scenario: &Scenario, seed: u64) -> Run {
    let mut world = World::new(scenario, seed);
    let at = |seconds: f64| BEGIN + Duration::from_secs_f64(seconds);
    let mut events: Vec<(Timestamp, Event)> =
        (0..).zip(scenario.viewers.join).map(|(place, (join, _))| (at(*join), Event::Join(place))).collect();
    if let Some((from, to)) = scenario.pause {
        events.extend([(at(from), Event::Pause(true)), (at(to), Event::Pause(false))]);
    }
    events.sort_by_key(|(at, _)| *at);
    let (mut shared, mut viewers) = (None, Vec::new());
    for (when, event) in events {
        world.run_until(when);
        match event {
            Event::Join(place) => {
                let further = Duration::from_millis(scenario.viewers.join[place].1);
                viewers.push(world.join(&scenario.viewers, &mut shared, further));
            }
            Event::Pause(paused) => world.pause(scenario.layers.len() - 1, paused),
        }
    }
    world.run_until(BEGIN + Duration::from_secs(scenario.seconds));
    let mut run = Run::new();
    let script = Script::parse(scenario.viewers.link).expect("the viewers' script");
    for viewer in &viewers {
        let stands = world.stands(*viewer).unwrap_or_default();
        for (figure, value) in of_viewer(scenario, &script, &world.clients[*viewer], stands, world.now) {
            run.entry(figure).and_modify(|worst| *worst = worse(figure, *worst, value)).or_insert(value);
        }
    }
    let clients: Vec<&Client> = viewers.iter().map(|viewer| &world.clients[*viewer]).collect();
    run.insert(Figure::Jain, jain(&clients, world.now));
    run.insert(Figure::KeyFramesAsked, world.clients[0].record.counts.key_frames_asked as f64);
    run
}

fn worse(figure: Figure, one: f64, other: f64) -> f64 {
    match figure {
        Figure::UsedPercent | Figure::ShownPercent | Figure::Jain => one.min(other),
        _ => one.max(other),
    }
}

fn jain(clients: &[&Client], end: Timestamp) -> f64 {
    let from = end - LAST;
    let bits = |client: &&Client| -> f64 {
        let passed = client.carried.iter().filter(|carried| carried.at >= from);
        let passed = passed.filter(|carried| matches!(carried.fate, Fate::Arrives { .. }));
        passed.map(|carried| carried.bytes as f64 * 8.0).sum()
    };
    let bits: Vec<f64> = clients.iter().map(bits).collect();
    let (sum, squares) = (bits.iter().sum::<f64>(), bits.iter().map(|bits| bits * bits).sum::<f64>());
    if squares == 0.0 { 0.0 } else { sum * sum / (bits.len() as f64 * squares) }
}

/// The best encoding that fits at a time; the lowest where none does.
fn best(scenario: &Scenario, script: &Script, at: Timestamp) -> usize {
    highest_within(scenario, script, at, FITS)
}

/// The highest encoding that takes no more than this part of the rate.
fn highest_within(scenario: &Scenario, script: &Script, at: Timestamp, part: f64) -> usize {
    let (now, _) = script.at(at.since(BEGIN), Way::Down);
    let free = if now.rate == UNLIMITED { f64::INFINITY } else { now.rate.saturating_sub(now.cross) as f64 };
    let paused = scenario.pause.is_some_and(|(from, to)| (from..to).contains(&at.since(BEGIN).as_secs_f64()));
    let layers = scenario.layers.len() - usize::from(paused);
    let fits = |layer: &usize| f64::from(scenario.layers[*layer]) * HEADERS + SOUND_BITS <= part * free;
    (0..layers).rev().find(fits).unwrap_or(0)
}

/// When the highest encoding within a part of the rate changes, beginning with the join, and what it is from then on.
fn expectations(
    scenario: &Scenario,
    script: &Script,
    (joined, end): (Timestamp, Timestamp),
    part: f64,
) -> Vec<(Timestamp, usize)> {
    let mut expected = vec![(joined, highest_within(scenario, script, joined, part))];
    let mut at = joined;
    while at < end {
        at = at + Duration::from_millis(100);
        let now = highest_within(scenario, script, at, part);
        if expected.last().is_some_and(|(_, before)| *before != now) {
            expected.push((at, now));
        }
    }
    expected
}

fn of_viewer(
    scenario: &Scenario,
    script: &Script,
    client: &Client,
    stands: Duration,
    end: Timestamp,
) -> Vec<(Figure, f64)> {
    let Client { joined, shown, carried, .. } = client;
    let seconds = end.since(*joined).as_secs_f64();
    let frames = seconds * FRAMES_PER_SECOND;
    let bits = |layer: usize| f64::from(scenario.layers[layer]);
    let layer_of = |shown: &corecast::lab::peer::decoder::Shown| usize::from(shown.layer.unwrap_or(0));
    let expected = expectations(scenario, script, (*joined, end), FITS);
    let carried_at_most = expectations(scenario, script, (*joined, end), 1.0);
    let used: f64 = shown
        .iter()
        .map(|shown| (bits(layer_of(shown)) / bits(best(scenario, script, shown.sent.unwrap_or(shown.at)))).min(1.0))
        .sum();
    let froze: Vec<Duration> = shown.iter().filter_map(|shown| shown.froze).chain([stands]).collect();
    // Before the first frame nothing is seen at all.
    let frozen = if shown.is_empty() { seconds } else { froze.iter().sum::<Duration>().as_secs_f64() };

    let before = |from: Timestamp| shown.iter().rfind(|shown| shown.at <= from).map(layer_of);
    let until = |expected: &[(Timestamp, usize)], number: usize| expected.get(number + 1).map_or(end, |next| next.0);
    let first = |from: Timestamp, until: Timestamp, fits: &dyn Fn(usize) -> bool| {
        let met = shown.iter().find(|shown| shown.at > from && fits(layer_of(shown)));
        met.map_or(until, |shown| shown.at.min(until)).since(from).as_secs_f64()
    };
    let (mut down, mut up) = (0.0_f64, 0.0_f64);
    for (number, &(from, wanted)) in expected.iter().enumerate() {
        if before(from).is_none_or(|before| before < wanted) {
            up = up.max(first(from, until(&expected, number), &|layer| layer >= wanted));
        }
    }
    for (number, &(from, most)) in carried_at_most.iter().enumerate() {
        if before(from).is_some_and(|before| before > most) {
            down = down.max(first(from, until(&carried_at_most, number), &|layer| layer <= most));
        }
    }

    let (mut switches, mut settled, mut wrong, mut reversals) = (0.0, 0.0, 0.0, 0.0_f64);
    let (mut interval, mut turns, mut direction) = (0, 0.0, 0);
    for pair in shown.windows(2) {
        let (from, to) = (layer_of(&pair[0]), layer_of(&pair[1]));
        if from == to {
            continue;
        }
        let at = pair[1].at;
        let number = expected.iter().rposition(|(begin, _)| *begin <= at).unwrap_or(0);
        if number != interval {
            (interval, turns, direction) = (number, 0.0, 0);
        }
        let way = if to > from { 1 } else { -1 };
        if direction == -way {
            turns += 1.0;
        }
        direction = way;
        reversals = reversals.max(turns);
        switches += 1.0;
        let (begin, wanted) = expected[number];
        if at.since(begin) > SETTLED {
            settled += 1.0;
        }
        if to < from && to < wanted && from <= wanted {
            wrong += 1.0;
        }
    }

    let mut queued: Vec<f64> = carried
        .iter()
        .filter_map(|carried| match carried.fate {
            Fate::Arrives { queued, .. } => Some(queued.as_secs_f64() * 1e3),
            Fate::Lost | Fate::Dropped => None,
        })
        .collect();
    queued.sort_by(f64::total_cmp);
    let p95 = queued.get(queued.len() * 95 / 100).copied().unwrap_or(0.0);
    let dropped = carried.iter().filter(|carried| carried.is_video && carried.fate == Fate::Dropped).count() as f64;
    let video = carried.iter().filter(|carried| carried.is_video).count() as f64;

    let age =
        |shown: &corecast::lab::peer::decoder::Shown| shown.sent.map_or(0.0, |sent| shown.at.since(sent).as_secs_f64());
    let first = shown.first().map_or(end, |shown| shown.at);
    let later = shown.iter().find(|shown| shown.at.since(first) > Duration::from_secs(2)).map_or(0.0, age);
    let live = shown.iter().find(|shown| age(shown) <= later + 0.05).map_or(end, |shown| shown.at);
    vec![
        (Figure::UsedPercent, 100.0 * used / frames),
        (Figure::QueueP95Ms, p95),
        (Figure::DownSeconds, down),
        (Figure::UpSeconds, up),
        (Figure::FrozenPercent, 100.0 * frozen / seconds),
        (Figure::LongestFreezeMs, froze.iter().max().map_or(0.0, |longest| longest.as_secs_f64() * 1e3)),
        (Figure::ShownPercent, 100.0 * shown.len() as f64 / frames),
        (Figure::Reversals, reversals),
        (Figure::Switches, switches),
        (Figure::SwitchesSettled, settled),
        (Figure::WrongDowns, wrong),
        (Figure::CongestionLossPercent, if video == 0.0 { 0.0 } else { 100.0 * dropped / video }),
        (Figure::FirstFrameMs, first.since(*joined).as_secs_f64() * 1e3),
        (Figure::LiveMs, live.since(*joined).as_secs_f64() * 1e3),
    ]
}
