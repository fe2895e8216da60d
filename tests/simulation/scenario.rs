//! A seed becomes a run: how many workers, streams and viewers, how slow the machine is, which networks, which faults
//! and how often.

use std::time::Duration;

use corecast::crypto::random::{Random, SeededRandom};
use corecast::description::Direction;
use corecast::limits;

use crate::cost::Cost;
use crate::io::SendFaults;
use crate::link::{LinkProfile, permille};
use crate::node::NodeParams;
use crate::script::Shape;

/// How much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// A fraction of a second of real time: for every test run.
    Short,
    /// A second or so: for campaigns.
    Long,
}

impl Size {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Long => "long",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Short, Self::Long].into_iter().find(|size| size.name() == text)
    }
}

/// A deliberate defect, to prove that a checker fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sabotage {
    /// A sealed packet is sealed again with another byte.
    SealTwice,
    /// A packet sealed for one viewer reaches another.
    OtherViewer,
    /// A publisher's packets are those of another stream.
    ForeignTag,
    /// What was published is not what the log says.
    Falsify,
    /// Indexes are passed over.
    InventGap,
    /// Pictures are told to be of a second before.
    TurnBack,
    /// A worker holds more than it may.
    SmallLimit,
    /// A byte of the send batch belongs to two trains.
    TornBatch,
    /// Nothing reaches viewers any more.
    Blackhole,
    /// Nothing reaches the node from viewers any more.
    Mute,
    /// A session is timed out while its client is there.
    EndEarly,
    /// A session's end is told twice.
    EndTwice,
    /// A session's media goes to another's address as well.
    WrongAddress,
    /// An address that never answered is sent too much.
    Amplify,
    /// DTLS of a session is closed by somebody else.
    CloseForeign,
    /// A session is not closed at the end.
    LeaveOne,
    /// A connection takes everything and says that nothing waits in it.
    Swallow,
    /// Nothing may wait for a connection.
    NoQueue,
    /// A connection refuses media that was taken.
    RefuseMedia,
    /// Viewers are led to what is no key frame.
    ForgetKeys,
    /// Connections stay open when their session has ended.
    KeepOpen,
    /// TURN reaches a foreign peer.
    OpenRelay,
    /// A message of a reliable channel does not come.
    LoseMessage,
    /// A message comes twice.
    RepeatMessage,
    /// A publisher's channels are said to be of another stream.
    ForeignTalk,
    /// A transport's media goes on after its end.
    UndeadKeys,
    /// A second transport's timestamps are one tick later.
    OtherTimeline,
}

/// Events of a kind per virtual second.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rates {
    pub(crate) joins: f64,
    pub(crate) leaves: f64,
    pub(crate) rebindings: f64,
    pub(crate) outages: f64,
    pub(crate) stalls: f64,
    pub(crate) clock_jumps: f64,
    pub(crate) publisher_losses: f64,
    pub(crate) ice_restarts: f64,
    pub(crate) floods: f64,
    pub(crate) deaf_signalling: f64,
    pub(crate) phantoms: f64,
}

impl Rates {
    /// All of them so many times.
    fn times(self, factor: f64) -> Self {
        Self {
            joins: self.joins,
            leaves: self.leaves,
            rebindings: self.rebindings * factor,
            outages: self.outages * factor,
            stalls: self.stalls * factor,
            clock_jumps: self.clock_jumps * factor,
            publisher_losses: self.publisher_losses * factor,
            ice_restarts: self.ice_restarts * factor,
            floods: self.floods * factor,
            deaf_signalling: self.deaf_signalling * factor,
            phantoms: self.phantoms * factor,
        }
    }
}

/// How clients reach the node, and what they carry beside media; rates per virtual second.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ways {
    /// Part of the clients that come over connections.
    pub(crate) share: f64,
    /// Part of the clients that have data channels.
    pub(crate) data: f64,
    pub(crate) changes: f64,
    pub(crate) breaks: f64,
    pub(crate) stops: f64,
}

/// A run.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) node: NodeParams,
    pub(crate) streams: usize,
    pub(crate) viewers: usize,
    pub(crate) duration: Duration,
    pub(crate) shape: Shape,
    /// Of viewers' downlinks; uplinks are of the same kind.
    pub(crate) profiles: Vec<LinkProfile>,
    pub(crate) send_faults: SendFaults,
    pub(crate) receive_buffer_bytes: usize,
    /// Part of the viewers that join by a handshake.
    pub(crate) handshakes: f64,
    /// Part of the packets that a viewer opens.
    pub(crate) verify: f64,
    pub(crate) rates: Rates,
    pub(crate) ways: Ways,
    /// Sessions per second that change their keys.
    pub(crate) rekeys: f64,
    /// How many times slower than measured the machine is.
    pub(crate) slower: u64,
    /// Datagrams of the forger per second; none: he is not there.
    pub(crate) forgeries: f64,
    pub(crate) sabotage: Option<Sabotage>,
}

pub(crate) fn pick<T: Copy>(random: &mut SeededRandom, of: &[T]) -> T {
    of[random.u64() as usize % of.len()]
}

/// 0 to 1.
pub(crate) fn fraction(random: &mut SeededRandom) -> f64 {
    (random.u64() >> 11) as f64 / (1_u64 << 53) as f64
}

pub(crate) fn between(random: &mut SeededRandom, from: u64, to: u64) -> u64 {
    from + random.u64() % (to - from + 1)
}

impl Scenario {
    /// Nothing goes wrong: what tests change what they need in.
    pub(crate) fn calm(seed: u64) -> Self {
        Self {
            seed,
            node: NodeParams {
                workers: 2,
                cost: Cost::MEASURED,
                sessions_max: 1_000,
                lane_bytes: limits::LANE_BYTES_MAX,
                upstream_messages: limits::UPSTREAM_MESSAGES_MAX,
                notices: limits::NOTICES_MAX,
                hold_max: limits::FRAME_HOLD_DEFAULT,
            },
            streams: 2,
            viewers: 12,
            duration: Duration::from_secs(6),
            shape: Shape { fragments: 8, key_every: 300, follows_requests: true, pace: Duration::from_micros(100) },
            profiles: vec![LinkProfile::CLEAN],
            send_faults: SendFaults::default(),
            receive_buffer_bytes: limits::SOCKET_BUFFER_BYTES,
            handshakes: 1.0,
            verify: 1.0,
            rates: Rates::default(),
            forgeries: 0.0,
            ways: Ways::default(),
            rekeys: 0.0,
            slower: 1,
            sabotage: None,
        }
    }

    /// [`Self::calm`], for twice a connection's longest age, with everybody on connections; half of them too thin.
    pub(crate) fn on_connections(seed: u64) -> Self {
        let ways = Ways { share: 1.0, data: 1.0, ..Ways::default() };
        let shape = Shape { fragments: 12, key_every: 60, ..Self::calm(seed).shape };
        Self { ways, shape, duration: Duration::from_secs(25), ..Self::calm(seed) }
    }

    /// The same with connections and data channels.
    pub(crate) fn with_ways(self) -> Self {
        Self { ways: ways(self.seed), ..self }
    }

    /// The same with keys that change: fewer people, for long enough that what nobody ends ends by itself.
    pub(crate) fn with_rekeys(self) -> Self {
        let random = &mut crate::rekeys::random(self.seed);
        let duration = self.duration.max(Duration::from_secs(between(random, 24, 34)));
        let viewers = self.viewers.min(between(random, 3, 8) as usize);
        let joins = self.rates.joins.min(0.3);
        let rates =
            Rates { joins, leaves: joins * 0.9, publisher_losses: self.rates.publisher_losses / 4.0, ..self.rates };
        let node = NodeParams { sessions_max: pick(random, &[1_000, 1_000, 8]), ..self.node };
        Self { node, rekeys: pick(random, &[0.3, 1.0, 3.0]), duration, viewers, rates, verify: 1.0, ..self }
    }

    /// The run of a seed, over UDP, without data channels, and with keys that stay.
    pub(crate) fn from_seed(seed: u64, size: Size) -> Self {
        let mut random = SeededRandom::new(seed ^ 0x5eed_0000_0000);
        let random = &mut random;
        let workers = between(random, 1, 4) as usize;
        let (seconds, viewers, joins) = match size {
            Size::Short => (between(random, 5, 9), between(random, 6, 16), 2.0),
            Size::Long => (between(random, 40, 60), between(random, 32, 96), 2.5),
        };
        // A quarter of the machines is too slow for what is asked of it.
        let slower = pick(random, &[1, 1, 2, 4, 8, 16, 32, 64]);
        let faulty_sends = pick(random, &[false, true]);
        let send_faults = if faulty_sends {
            SendFaults {
                full: permille(pick(random, &[0, 2, 20])),
                no_buffers: permille(pick(random, &[0, 1, 5])),
                too_long: permille(pick(random, &[0, 1])),
                error: permille(pick(random, &[0, 1, 5])),
                partial: permille(pick(random, &[0, 2, 10])),
            }
        } else {
            SendFaults::default()
        };
        let profiles = (0..between(random, 1, 4)).map(|_| profile(random)).collect();
        let rates = Rates {
            joins,
            leaves: joins * 0.9,
            rebindings: 0.3,
            outages: 0.3,
            stalls: 0.12,
            clock_jumps: 0.03,
            publisher_losses: 0.08,
            ice_restarts: 0.2,
            floods: 0.03,
            deaf_signalling: 0.05,
            phantoms: 0.1,
        };
        Self {
            seed,
            node: NodeParams {
                workers,
                cost: Cost::MEASURED.slower(slower),
                sessions_max: pick(random, &[1_000, 1_000, 30]),
                // The smallest holds any one key frame of these streams. Where none fits there is never a picture on the
                // other workers: each begins anew behind its gap and asks for the next one.
                lane_bytes: pick(random, &[limits::LANE_BYTES_MAX, limits::LANE_BYTES_MIN, 64 * 1024]),
                upstream_messages: pick(random, &[limits::UPSTREAM_MESSAGES_MAX, 1]),
                notices: pick(random, &[limits::NOTICES_MAX, 4]),
                hold_max: pick(random, &[limits::FRAME_HOLD_DEFAULT, limits::FRAME_HOLD_MAX, Duration::ZERO]),
            },
            streams: between(random, 1, 3) as usize,
            viewers: viewers as usize,
            duration: Duration::from_secs(seconds),
            shape: Shape {
                fragments: between(random, 2, 12) as usize,
                key_every: pick(random, &[0, 60, 300]),
                follows_requests: true,
                pace: Duration::from_micros(pick(random, &[0, 50, 400])),
            },
            profiles,
            send_faults,
            receive_buffer_bytes: pick(random, &[limits::SOCKET_BUFFER_BYTES, 64 * 1024]),
            handshakes: pick(random, &[1.0, 0.5]),
            verify: pick(random, &[0.05, 0.25, 1.0]),
            rates: rates.times(pick(random, &[0.0, 1.0, 1.0, 3.0])),
            forgeries: forgeries(seed, slower),
            ways: Ways::default(),
            rekeys: 0.0,
            slower,
            sabotage: None,
        }
    }

    /// A client's two directions. A publisher's are kinder: what is lost there is lost to everyone.
    pub(crate) fn links(&self, direction: Direction, random: &mut SeededRandom) -> (LinkProfile, LinkProfile) {
        let kind = |random: &mut SeededRandom| pick(random, &self.profiles);
        match direction {
            Direction::Play => {
                let down = kind(random);
                // Reports and checks are not what fills a narrow link.
                (LinkProfile { rate: 0, ..down }, down)
            }
            Direction::Publish => {
                let up = kind(random);
                let up = LinkProfile { rate: 0, mtu: 1_500, loss: up.loss / 4, burst: None, ..up };
                (up, LinkProfile { ..up })
            }
        }
    }
}

/// Three seeds in four have a forger. He draws from a source of his own, so that the others are the runs they would be
/// without him; a machine too slow for its clients is not asked to bear him as well.
fn forgeries(seed: u64, slower: u64) -> f64 {
    let random = &mut SeededRandom::new(seed ^ 0xf0_0000_0000);
    if matches!(seed % 8, 0 | 2) { 0.0 } else { pick(random, &[100.0, 300.0, 800.0]) / (slower.max(4) / 4) as f64 }
}

/// Connections or data channels, or both. They draw from a source of their own, so that a seed without them is the run that it
/// was before there were any.
fn ways(seed: u64) -> Ways {
    let random = &mut SeededRandom::new(seed ^ 0x7a_0000_0000);
    let (share, data) = pick(
        random,
        &[(0.25, 0.0), (0.6, 0.0), (1.0, 0.0), (0.0, 1.0), (0.25, 0.3), (0.6, 1.0), (1.0, 0.3), (1.0, 1.0)],
    );
    let factor = pick(random, &[0.0, 1.0, 3.0]);
    Ways { share, data, changes: 0.2 * factor, breaks: 0.1 * factor, stops: 0.1 * factor }
}

fn profile(random: &mut SeededRandom) -> LinkProfile {
    let delay = Duration::from_micros(between(random, 200, 120_000));
    let jitter = Duration::from_micros(pick(random, &[0, 2_000, 30_000]));
    let base = LinkProfile { delay, jitter, ..LinkProfile::CLEAN };
    match between(random, 0, 14) / 2 {
        0 => LinkProfile { jitter: Duration::ZERO, ..base },
        1 => LinkProfile { loss: permille(between(random, 1, 80) as u32), ..base },
        2 => {
            LinkProfile { burst: Some((permille(between(random, 1, 10) as u32), permille(100), permille(700))), ..base }
        }
        3 => LinkProfile {
            reorder: permille(between(random, 1, 50) as u32),
            duplicate: permille(between(random, 1, 50) as u32),
            ..base
        },
        4 => LinkProfile {
            rate: between(random, 1_500_000, 12_000_000),
            queue_bytes: between(random, 20_000, 200_000),
            ..base
        },
        5 => LinkProfile { coalesce: Duration::from_micros(between(random, 100, 4_000)), ..base },
        6 => LinkProfile {
            spread: Duration::from_micros(between(random, 10, 120)),
            loss: permille(5),
            reorder: permille(5),
            ..base
        },
        // No video packet of a full frame passes, and each is asked for again and again.
        _ => LinkProfile { mtu: 1_200, loss: permille(1), ..base },
    }
}
