//! The script of a link: a small text form, one line per step.
//!
//! ```text
//! # time  what holds from then on; what a line does not name stays as it was
//! 0s      rate=1M queue=300ms delay=50ms jitter=10ms
//! 40s     rate=2.5M
//! 60s     rate=600k up.loss=30%
//! 100s    repeat
//! ```
//!
//! | Word | Means | Without it |
//! |---|---|---|
//! | `rate=` | bits a second that pass, IP and UDP headers included: `600k`, `2.5M`, `0` (nothing passes), `none` (no limit) | no limit |
//! | `queue=` | what may wait for the rate; more is dropped (drop-tail): bytes (`30kB`) or time at the present rate (`300ms`) | 300 ms |
//! | `bucket=` | bytes that pass at once after a silence, as token buckets let them | `0B` |
//! | `delay=` | one way: `50ms` | 0 |
//! | `jitter=` | added to the delay, anything up to this, without reordering | 0 |
//! | `loss=` | packets lost at random: `5%` | 0 |
//! | `run=` | packets lost in a row where one is lost, on average | 1 |
//! | `cross=` | bits a second of other traffic in packets of 1,200 bytes that share the rate | 0 |
//! | `tcp=` | greedy TCP flows (Reno) that share the rate | 0 |
//!
//! A word says something of the way *to* the client; behind `up.` of the way *from* it (`up.rate=500k`). The last line may be
//! `TIME repeat` (from the start again) or `TIME end` (how long the script is; its last step holds for ever all the same).
//! `#` begins a comment. A file may also be one rate (`2M`), which is a link of 25 ms each way with a queue of 300 ms.

use std::fmt;
use std::time::Duration;

use crate::limits;

/// The rate of a link that has none.
pub const UNLIMITED: u64 = u64::MAX;

/// What may wait for the rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// So many bytes.
    Bytes(u64),
    /// What the present rate carries in this time.
    Time(Duration),
}

impl Queue {
    /// Bytes of it at a rate.
    #[must_use]
    pub fn bytes(self, rate: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Time(_) if rate == UNLIMITED => u64::MAX,
            Self::Time(time) => (u128::from(rate) * time.as_nanos() / 8_000_000_000).min(u64::MAX.into()) as u64,
        }
    }
}

/// What holds in one direction between two steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conditions {
    /// Bits a second; [`UNLIMITED`] without a limit.
    pub rate: u64,
    /// What may wait for it.
    pub queue: Queue,
    /// Bytes that pass at once after a silence.
    pub bucket_bytes: u64,
    /// One way.
    pub delay: Duration,
    /// Added to the delay, up to this.
    pub jitter: Duration,
    /// Part of the packets that are lost at random.
    pub loss: f64,
    /// Packets lost in a row, on average.
    pub run: f64,
    /// Bits a second of other traffic.
    pub cross: u64,
    /// Greedy TCP flows.
    pub tcp: u32,
}

impl Default for Conditions {
    fn default() -> Self {
        CLEAN
    }
}

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To the client.
    Down,
    /// From the client.
    Up,
}

/// What holds from a time on, in both directions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Since the script's start.
    pub at: Duration,
    /// To the client.
    pub down: Conditions,
    /// From the client.
    pub up: Conditions,
}

/// A link's script: at least one step, the first at zero, ascending.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    steps: Vec<Step>,
    /// When it begins again.
    repeat: Option<Duration>,
    end: Duration,
}

/// Why a text is no script: the line, what is wrong in it, and what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError {
    line: usize,
    what: String,
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for ScriptError {}

impl Script {
    /// One rate, 25 ms each way, and a queue of [`limits::LINK_QUEUE_DEFAULT`]: what `--link RATE` means.
    #[must_use]
    pub fn of_rate(rate: u64) -> Self {
        let delay = Duration::from_millis(25);
        let down = Conditions { rate, delay, ..Conditions::default() };
        let up = Conditions { delay, ..Conditions::default() };
        Self { steps: vec![Step { at: Duration::ZERO, down, up }], repeat: None, end: Duration::ZERO }
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// The first line that is wrong.
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        if let Ok(rate) = rate(text.trim()) {
            return Ok(Self::of_rate(rate));
        }
        let (mut steps, mut repeat, mut end) = (Vec::<Step>::new(), None, None);
        for (number, line) in text.lines().enumerate() {
            let wrong = |what: String| ScriptError { line: number + 1, what };
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let Some(first) = words.next() else { continue };
            let at = time(first).map_err(|why| wrong(format!("{first}: {why}")))?;
            let before = steps.last().map(|step| step.at).into_iter().chain(end).max();
            if end.is_some() {
                return Err(wrong(format!("{first}: nothing may follow `repeat` or `end`")));
            }
            match before {
                None if !at.is_zero() => return Err(wrong(format!("{first}: the first step must be at 0s"))),
                Some(before) if at <= before => {
                    return Err(wrong(format!("{first}: must be later than the line before, {before:?}")));
                }
                _ => {}
            }
            let mut step = Step { at, ..steps.last().copied().unwrap_or(START) };
            for word in words {
                match word {
                    "repeat" | "end" if !at.is_zero() => {
                        end = Some(at);
                        repeat = (word == "repeat").then_some(at);
                    }
                    "repeat" | "end" => return Err(wrong(format!("{word}: must be later than 0s"))),
                    _ if end.is_some() => return Err(wrong(format!("{word}: nothing may follow `repeat` or `end`"))),
                    _ => step.set(word).map_err(wrong)?,
                }
            }
            if end.is_none() {
                if steps.len() == limits::LINK_STEPS_MAX {
                    return Err(wrong(format!("a script has at most {} steps", limits::LINK_STEPS_MAX)));
                }
                steps.push(step);
            }
        }
        let last = steps.last().map(|step| step.at);
        let last = last.ok_or(ScriptError { line: 1, what: "it has no step: write, say, `0s rate=2M`".to_owned() })?;
        Ok(Self { steps, repeat, end: end.unwrap_or(last) })
    }

    /// How long it says that it is: its `end` or `repeat`, else its last step.
    #[must_use]
    pub fn end(&self) -> Duration {
        self.end
    }

    /// Its steps, ascending.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// What holds at a time, and until when.
    #[must_use]
    pub fn at(&self, since: Duration, way: Way) -> (Conditions, Option<Duration>) {
        let (round, within) = match self.repeat {
            Some(period) => {
                let rounds = (since.as_nanos() / period.as_nanos()) as u32;
                (period * rounds, since.saturating_sub(period * rounds))
            }
            None => (Duration::ZERO, since),
        };
        let next = self.steps.partition_point(|step| step.at <= within);
        let step = self.steps[next.saturating_sub(1)];
        let until = self.steps.get(next).map(|step| step.at).or(self.repeat).map(|until| round + until);
        let conditions = match way {
            Way::Down => step.down,
            Way::Up => step.up,
        };
        (conditions, until)
    }
}

const START: Step = Step { at: Duration::ZERO, down: CLEAN, up: CLEAN };
const CLEAN: Conditions = Conditions {
    rate: UNLIMITED,
    queue: Queue::Time(limits::LINK_QUEUE_DEFAULT),
    bucket_bytes: 0,
    delay: Duration::ZERO,
    jitter: Duration::ZERO,
    loss: 0.0,
    run: 1.0,
    cross: 0,
    tcp: 0,
};

impl Step {
    fn set(&mut self, word: &str) -> Result<(), String> {
        let (name, value) = word.split_once('=').ok_or_else(|| format!("{word}: write name=value, as in rate=2M"))?;
        let (name, of) = match name.strip_prefix("up.") {
            Some(name) => (name, &mut self.up),
            None => (name, &mut self.down),
        };
        let set = match name {
            "rate" => rate(value).map(|value| of.rate = value),
            "queue" => queue(value).map(|value| of.queue = value),
            "bucket" => bytes(value).map(|value| of.bucket_bytes = value),
            "delay" => delay(value).map(|value| of.delay = value),
            "jitter" => delay(value).map(|value| of.jitter = value),
            "loss" => share(value).map(|value| of.loss = value),
            "run" => run(value).map(|value| of.run = value),
            "cross" => rate(value).and_then(|value| match value {
                UNLIMITED => Err("must be a rate, as in 600k; 0 for none".to_owned()),
                value => {
                    of.cross = value;
                    Ok(())
                }
            }),
            "tcp" => value
                .parse()
                .ok()
                .filter(|flows| *flows <= limits::LINK_TCP_FLOWS_MAX)
                .map(|value| of.tcp = value)
                .ok_or_else(|| format!("must be a number of flows, at most {}", limits::LINK_TCP_FLOWS_MAX)),
            _ => {
                Err("is no word of a script; there are rate, queue, bucket, delay, jitter, loss, run, cross and tcp, \
                      and each behind `up.`"
                    .to_owned())
            }
        };
        set.map_err(|why| format!("{word}: {why}"))
    }
}

fn number(text: &str, unit: &str) -> Option<f64> {
    text.strip_suffix(unit)?.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0)
}

/// A rate in bits a second, as in `600k` or `2.5M`; `none` is [`UNLIMITED`].
///
/// # Errors
/// What it should be.
pub fn rate(text: &str) -> Result<u64, String> {
    if text == "none" {
        return Ok(UNLIMITED);
    }
    let bits = number(text, "M").map(|number| number * 1e6).or_else(|| number(text, "k").map(|number| number * 1e3));
    let bits = bits.or_else(|| number(text, ""));
    match bits {
        Some(bits) if bits == 0.0 || (1e3..=1e11).contains(&bits) => Ok(bits as u64),
        _ => Err(
            "must be a rate in bits a second, as in 600k or 2.5M, from 1k to 100000M; 0 lets nothing pass, none all"
                .to_owned(),
        ),
    }
}

fn bytes(text: &str) -> Result<u64, String> {
    let bytes = number(text, "kB").map(|number| number * 1e3).or_else(|| number(text, "B"));
    match bytes {
        Some(bytes) if bytes <= 1e9 => Ok(bytes as u64),
        _ => Err("must be bytes, as in 30kB or 1500B".to_owned()),
    }
}

fn duration(text: &str) -> Option<Duration> {
    let seconds = number(text, "ms").map(|number| number / 1e3).or_else(|| number(text, "s"));
    seconds.filter(|seconds| *seconds <= 1e6).map(Duration::from_secs_f64)
}

fn time(text: &str) -> Result<Duration, String> {
    duration(text).ok_or_else(|| "a line begins with a time, as in 40s or 500ms".to_owned())
}

fn delay(text: &str) -> Result<Duration, String> {
    let delay = duration(text).filter(|delay| *delay <= limits::LINK_DELAY_MAX);
    delay.ok_or_else(|| format!("must be a time, as in 50ms, at most {:?}", limits::LINK_DELAY_MAX))
}

fn queue(text: &str) -> Result<Queue, String> {
    let queue = duration(text).map(Queue::Time).or_else(|| bytes(text).ok().map(Queue::Bytes));
    queue.ok_or_else(|| "must be bytes or a time at the present rate, as in 30kB or 300ms".to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    let share = number(text, "%").map(|number| number / 100.0).filter(|share| *share <= 1.0);
    share.ok_or_else(|| "must be per cent, as in 5%, at most 100%".to_owned())
}

fn run(text: &str) -> Result<f64, String> {
    let run = number(text, "").filter(|run| (1.0..=1_000.0).contains(run));
    run.ok_or_else(|| "must be a number of packets from 1 to 1000".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RFC8867_5_1: &str = "# variable capacity\n\
        0s  rate=1M queue=300ms delay=50ms up.delay=50ms\n\n\
        40s rate=2.5M\n60s rate=600k up.loss=30% # the worst\n80s rate=1M\n100s end";

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_a_line_does_not_name_stays_as_it_was() {
        let script = Script::parse(RFC8867_5_1).unwrap();
        let (then, until) = script.at(s(41), Way::Down);
        assert_eq!((then.rate, then.delay, until), (2_500_000, Duration::from_millis(50), Some(s(60))));
        assert_eq!((script.at(s(59), Way::Up).0.loss, script.at(s(60), Way::Up).0.loss), (0.0, 0.3));
        assert_eq!(script.at(s(1_000), Way::Down), (script.at(s(80), Way::Down).0, None), "the last step holds");
        assert_eq!((script.end(), script.steps().len()), (s(100), 4));
        assert_eq!(script.at(s(61), Way::Down).0.queue.bytes(600_000), 22_500);
    }

    #[test]
    fn a_script_may_begin_again() {
        let script = Script::parse("0s rate=1M\n2s rate=2M\n5s repeat").unwrap();
        for (second, rate, until) in [(0, 1, 2), (3, 2, 5), (5, 1, 7), (8, 2, 10), (502, 2, 505)] {
            let (then, next) = script.at(s(second), Way::Down);
            assert_eq!((then.rate, next), (rate * 1_000_000, Some(s(until))), "{second}");
        }
    }

    #[test]
    fn a_rate_alone_is_a_link() {
        assert_eq!(Script::parse(" 800k\n").unwrap(), Script::of_rate(800_000));
        assert_eq!(Script::parse("none").unwrap().at(s(0), Way::Down).0.rate, UNLIMITED);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_what_it_should_be() {
        for (text, line, expected) in [
            ("", 1, "it has no step"),
            ("# only words\n", 1, "0s rate=2M"),
            ("1s rate=1M", 1, "must be at 0s"),
            ("0s rate=1M\n0s rate=2M", 2, "must be later than the line before"),
            ("0s rate=fast", 1, "rate=fast: must be a rate in bits a second, as in 600k"),
            ("0s rate=-1M", 1, "rate=-1M"),
            ("0s rate=NaN", 1, "rate=NaN"),
            ("0s cross=none", 1, "cross=none: must be a rate"),
            ("0s queue=many", 1, "30kB or 300ms"),
            ("0s loss=5", 1, "must be per cent"),
            ("0s loss=101%", 1, "at most 100%"),
            ("0s run=0", 1, "from 1 to 1000"),
            ("0s delay=90s", 1, "at most 10s"),
            ("0s tcp=1000", 1, "at most 64"),
            ("0s speed=1M", 1, "there are rate, queue"),
            ("0s up.speed=1M", 1, "there are rate, queue"),
            ("0s rate", 1, "name=value"),
            ("soon rate=1M", 1, "a line begins with a time"),
            ("0s repeat", 1, "later than 0s"),
            ("0s rate=1M\n9s repeat\n10s rate=2M", 3, "nothing may follow"),
            ("0s rate=1M\n9s end rate=2M", 2, "nothing may follow"),
        ] {
            let error = Script::parse(text).unwrap_err();
            assert!(error.line == line && error.to_string().contains(expected), "{text:?}: {error}");
        }
        let many: String = (0..=limits::LINK_STEPS_MAX).map(|second| format!("{second}s rate=1M\n")).collect();
        assert!(Script::parse(&many).unwrap_err().to_string().contains("at most"));
    }
}
