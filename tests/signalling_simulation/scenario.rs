//! What a seed becomes.

use std::time::Duration;

/// A deliberate defect, which a rule has to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sabotage {
    /// The webhook never answers.
    SilentWebhook,
    /// One worker forgets to tell of what has ended.
    LosesNotices,
    /// One worker is told nothing of routes.
    LosesRoutes,
    /// One worker opens each session twice.
    OpensTwice,
    /// One worker opens each session under another number as well.
    GivesNameTwice,
    /// The node's thread stands still for long, although nothing is wrong.
    StandsStill,
}

/// One run.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) workers: u16,
    /// How long faults are made.
    pub(crate) storm: Duration,
    pub(crate) publishers: usize,
    pub(crate) viewers: usize,
    pub(crate) sockets: usize,
    pub(crate) followers: usize,
    pub(crate) hostile: usize,
    /// Hostile clients go on when faults have stopped.
    pub(crate) hostile_stay: bool,
    pub(crate) has_webhook: bool,
    /// Of each question and event of the webhook, how often something is wrong with its answer.
    pub(crate) webhook_faults: f64,
    /// Of each connection, how often something happens to it.
    pub(crate) connection_faults: f64,
    /// How often in a second the node's thread, a worker, or the whole machine stands still.
    pub(crate) stalls: f64,
    /// The longest way from a client to the node.
    pub(crate) latency_max: Duration,
    pub(crate) connections_max: usize,
    pub(crate) sessions_per_address_max: u32,
    pub(crate) viewers_per_stream_max: u32,
    pub(crate) sabotage: Option<Sabotage>,
}

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, low: u64, high: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        low + (mixed ^ mixed >> 31) % (high - low + 1)
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.roll(1, 100) <= percent
    }
}

impl Scenario {
    pub(crate) fn from_seed(seed: u64) -> Self {
        let mut dice = Dice(seed ^ 0x5167_0000);
        let percent = |dice: &mut Dice, high| dice.roll(0, high) as f64 / 100.0;
        Self {
            seed,
            workers: dice.roll(1, 3) as u16,
            storm: Duration::from_millis(dice.roll(4_000, 16_000)),
            publishers: dice.roll(1, 3) as usize,
            viewers: dice.roll(2, 7) as usize,
            sockets: dice.roll(0, 3) as usize,
            followers: dice.roll(0, 2) as usize,
            hostile: if dice.chance(60) { dice.roll(1, 6) as usize } else { 0 },
            hostile_stay: dice.chance(50),
            has_webhook: dice.chance(60),
            webhook_faults: if dice.chance(75) { percent(&mut dice, 60) } else { 0.0 },
            connection_faults: if dice.chance(80) { percent(&mut dice, 40) } else { 0.0 },
            stalls: if dice.chance(50) { percent(&mut dice, 60) } else { 0.0 },
            latency_max: Duration::from_millis(dice.roll(1, 120)),
            connections_max: dice.roll(24, 200) as usize,
            // One client's ghosts, of answers that were lost and of crashes, count for half a minute.
            sessions_per_address_max: dice.roll(32, 64) as u32,
            viewers_per_stream_max: 0,
            sabotage: None,
        }
        .with_room()
    }

    /// Hostile clients that may open sessions must not be able to fill a stream: the operator's part.
    fn with_room(self) -> Self {
        let clients = self.viewers + self.sockets + 3 * self.hostile;
        Self { viewers_per_stream_max: clients as u32 * self.sessions_per_address_max, ..self }
    }

    /// A world in which nothing goes wrong.
    pub(crate) fn calm(seed: u64) -> Self {
        Self {
            seed,
            workers: 2,
            storm: Duration::from_secs(3),
            publishers: 2,
            viewers: 4,
            sockets: 1,
            followers: 1,
            hostile: 0,
            hostile_stay: false,
            has_webhook: true,
            webhook_faults: 0.0,
            connection_faults: 0.0,
            stalls: 0.0,
            latency_max: Duration::from_millis(20),
            connections_max: 200,
            sessions_per_address_max: 32,
            viewers_per_stream_max: 64,
            sabotage: None,
        }
    }
}
