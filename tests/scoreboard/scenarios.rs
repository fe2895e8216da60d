//! The cases: RFC 8867's, as far as a relay that chooses among encodings can be asked for them, and this house's own. Each names
//! what it must reach.

use std::time::Duration;

use crate::figures::Figure::{self, *};

/// Viewers of one kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Viewers {
    /// When each joins, in seconds, and how much further than the link it is, in milliseconds one way.
    pub(crate) join: &'static [(f64, u64)],
    /// Their link's script.
    pub(crate) link: &'static str,
    /// All of them are behind the same one.
    pub(crate) share: bool,
}

/// What a figure must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
    /// It is told only.
    Told,
}
use Bound::{AtLeast, AtMost, Told};

/// One case.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// Bits a second of the publisher's encodings, from the lowest.
    pub(crate) layers: &'static [u32],
    /// From one key frame to the next that nobody asked for.
    pub(crate) group: Option<Duration>,
    /// The publisher's link.
    pub(crate) uplink: &'static str,
    /// Its highest encoding is silent between these seconds.
    pub(crate) pause: Option<(f64, f64)>,
    pub(crate) viewers: Viewers,
    pub(crate) seconds: u64,
    pub(crate) bounds: &'static [(Figure, Bound)],
}

/// About what a Chromium sends of 720p.
const THREE: &[u32] = &[150_000, 500_000, 1_500_000];
/// About what a Chromium sends in AV1: the lowest frames are of one packet.
const SMALL: &[u32] = &[60_000, 350_000, 1_400_000];
const ONE: &[u32] = &[2_000_000];
/// With rungs three and ten times apart no choice of three viewers is fair on 3.5 Mbit/s, so that an index of their shares would
/// say nothing of the choice.
const NEAR_RUNGS: &[u32] = &[250_000, 600_000, 1_200_000];
const NEAR: &str = "0s delay=10ms up.delay=10ms";

const PLAIN: Scenario = Scenario {
    name: "",
    layers: THREE,
    group: None,
    uplink: NEAR,
    pause: None,
    viewers: Viewers { join: &[(1.0, 0)], link: NEAR, share: false },
    seconds: 60,
    bounds: &[],
};

const fn alone(link: &'static str) -> Viewers {
    Viewers { join: &[(1.0, 0)], link, share: false }
}

/// A link that changes while a viewer is there: what it must keep.
const ADAPTS: &[(Figure, Bound)] = &[
    (QueueP95Ms, AtMost(100.0)),
    (DownSeconds, AtMost(1.0)),
    (UpSeconds, AtMost(8.0)),
    (FrozenPercent, AtMost(1.0)),
    (Reversals, AtMost(1.0)),
    (UsedPercent, AtLeast(80.0)),
    (Switches, Told),
    (CongestionLossPercent, Told),
];

/// A link on which nothing happens that a viewer should notice.
const STAYS: &[(Figure, Bound)] = &[
    (SwitchesSettled, AtMost(0.0)),
    (WrongDowns, AtMost(0.0)),
    (FrozenPercent, AtMost(1.0)),
    (UpSeconds, AtMost(8.0)),
    (UsedPercent, AtLeast(90.0)),
];

const KEY_FRAMES: &[(Figure, Bound)] =
    &[(CongestionLossPercent, AtMost(0.0)), (FrozenPercent, AtMost(0.0)), (QueueP95Ms, Told)];

/// Every case, in the order of the table.
pub(crate) fn all() -> Vec<Scenario> {
    let two_seconds = Some(Duration::from_secs(2));
    vec![
        // RFC 8867 §5.1.
        Scenario {
            name: "variable",
            viewers: alone(
                "0s rate=1M queue=300ms delay=50ms up.delay=50ms\n40s rate=2.5M\n60s rate=600k\n80s rate=1M\n100s end",
            ),
            seconds: 100,
            bounds: ADAPTS,
            ..PLAIN
        },
        // The same with the jitter of RFC 8867 §5's path.
        Scenario {
            name: "variable, jitter",
            viewers: alone(
                "0s rate=1M queue=300ms delay=50ms jitter=30ms up.delay=50ms up.jitter=30ms\n\
                 40s rate=2.5M\n60s rate=600k\n80s rate=1M\n100s end",
            ),
            seconds: 100,
            bounds: ADAPTS,
            ..PLAIN
        },
        // RFC 8867 §5.2: two viewers on a link that changes.
        Scenario {
            name: "variable, two viewers",
            viewers: Viewers {
                join: &[(1.0, 0), (1.3, 0)],
                link: "0s rate=4M queue=300ms delay=50ms up.delay=50ms\n25s rate=2M\n50s rate=3.5M\n75s rate=1M\n\
                       100s rate=2M\n125s end",
                share: true,
            },
            seconds: 125,
            bounds: &[
                (QueueP95Ms, AtMost(150.0)),
                (FrozenPercent, AtMost(2.0)),
                (Jain, AtLeast(0.8)),
                (Switches, Told),
                (CongestionLossPercent, Told),
            ],
            ..PLAIN
        },
        Scenario {
            name: "oscillating, lossy",
            viewers: alone("0s rate=2.5M queue=300ms delay=30ms up.delay=30ms loss=1%\n10s rate=1.2M\n20s repeat"),
            seconds: 100,
            bounds: &[
                (FrozenPercent, AtMost(3.0)),
                (CongestionLossPercent, AtMost(0.5)),
                (DownSeconds, Told),
                (QueueP95Ms, Told),
                (UsedPercent, AtLeast(60.0)),
                (Switches, Told),
            ],
            ..PLAIN
        },
        // RFC 8867 §5.3 asks for a congested way back; here it loses.
        Scenario {
            name: "30 % of feedback lost",
            viewers: alone("0s rate=2.5M queue=300ms delay=30ms up.delay=30ms up.loss=30%"),
            seconds: 100,
            bounds: &[(FrozenPercent, AtMost(2.0)), (WrongDowns, AtMost(0.0)), (UpSeconds, Told), (Switches, Told)],
            ..PLAIN
        },
        Scenario {
            name: "30 % of feedback lost, variable",
            viewers: alone(
                "0s rate=2.5M queue=300ms delay=30ms up.delay=30ms up.loss=30%\n40s rate=800k\n70s rate=2.5M\n100s end",
            ),
            seconds: 100,
            bounds: &[
                (FrozenPercent, AtMost(2.0)),
                (WrongDowns, AtMost(0.0)),
                (DownSeconds, AtMost(1.5)),
                (Switches, Told),
            ],
            ..PLAIN
        },
        Scenario {
            name: "steady, top fits",
            viewers: alone("0s rate=5M queue=300ms delay=30ms up.delay=30ms"),
            seconds: 600,
            bounds: &[
                (SwitchesSettled, AtMost(0.0)),
                (FrozenPercent, AtMost(0.1)),
                (UpSeconds, AtMost(8.0)),
                (UsedPercent, AtLeast(95.0)),
                (QueueP95Ms, Told),
            ],
            ..PLAIN
        },
        Scenario {
            name: "steady, middle fits",
            viewers: alone("0s rate=1.2M queue=300ms delay=30ms up.delay=30ms"),
            seconds: 600,
            bounds: &[
                (SwitchesSettled, AtMost(0.0)),
                (FrozenPercent, AtMost(0.1)),
                (UpSeconds, AtMost(8.0)),
                (QueueP95Ms, Told),
            ],
            ..PLAIN
        },
        // Only probes tell what the network carries.
        Scenario {
            name: "steady, small frames",
            layers: SMALL,
            viewers: alone("0s rate=1.2M queue=300ms delay=30ms up.delay=30ms"),
            seconds: 120,
            bounds: &[
                (SwitchesSettled, AtMost(0.0)),
                (FrozenPercent, AtMost(0.1)),
                (UpSeconds, AtMost(8.0)),
                (QueueP95Ms, Told),
            ],
            ..PLAIN
        },
        Scenario {
            name: "steady, jitter",
            viewers: alone("0s rate=5M queue=300ms delay=30ms jitter=30ms up.delay=30ms up.jitter=30ms"),
            seconds: 120,
            bounds: STAYS,
            ..PLAIN
        },
        Scenario {
            name: "token bucket",
            viewers: alone("0s rate=1M bucket=30kB queue=300ms delay=30ms up.delay=30ms\n60s rate=4M\n120s end"),
            seconds: 120,
            bounds: ADAPTS,
            ..PLAIN
        },
        // RFC 8867 §5.4.
        Scenario {
            name: "three viewers on 3.5 Mbit/s",
            layers: NEAR_RUNGS,
            viewers: Viewers {
                join: &[(1.0, 0), (11.0, 0), (21.0, 0)],
                link: "0s rate=3.5M queue=300ms delay=50ms up.delay=50ms",
                share: true,
            },
            seconds: 120,
            bounds: &[(Jain, AtLeast(0.9)), (FrozenPercent, AtMost(2.0)), (QueueP95Ms, Told), (Switches, Told)],
            ..PLAIN
        },
        // RFC 8867 §5.5.
        Scenario {
            name: "five viewers, near and far",
            viewers: Viewers {
                join: &[(1.0, 0), (1.2, 15), (1.4, 40), (1.6, 90), (1.8, 140)],
                link: "0s rate=4M queue=300ms delay=10ms up.delay=10ms",
                share: true,
            },
            seconds: 120,
            bounds: &[(Jain, AtLeast(0.8)), (FrozenPercent, AtMost(3.0)), (QueueP95Ms, Told), (Switches, Told)],
            ..PLAIN
        },
        // RFC 8867 §5.6.
        Scenario {
            name: "beside TCP",
            viewers: alone("0s rate=2M queue=300ms delay=50ms up.delay=50ms tcp=1"),
            seconds: 120,
            bounds: &[
                (ShownPercent, AtLeast(97.0)),
                (FrozenPercent, AtMost(3.0)),
                (UsedPercent, Told),
                (Switches, Told),
            ],
            ..PLAIN
        },
        // RFC 8867 §5.7: what comes and goes.
        Scenario {
            name: "beside short TCP flows",
            viewers: alone(
                "0s rate=2M queue=300ms delay=50ms up.delay=50ms\n20s tcp=2\n30s tcp=0\n40s tcp=4\n45s tcp=0\n60s repeat",
            ),
            seconds: 120,
            bounds: &[
                (ShownPercent, AtLeast(97.0)),
                (FrozenPercent, AtMost(3.0)),
                (UsedPercent, Told),
                (Switches, Told),
            ],
            ..PLAIN
        },
        // RFC 8867 §5.8: the publisher's highest encoding rests and comes back.
        Scenario {
            name: "top pauses and returns",
            pause: Some((30.0, 60.0)),
            viewers: alone("0s rate=5M queue=300ms delay=30ms up.delay=30ms"),
            seconds: 90,
            bounds: &[
                (FrozenPercent, AtMost(2.0)),
                (LongestFreezeMs, AtMost(1_200.0)),
                (ShownPercent, AtLeast(97.0)),
                (Switches, AtMost(4.0)),
                (UsedPercent, AtLeast(60.0)),
            ],
            ..PLAIN
        },
        Scenario {
            name: "5 % random loss",
            viewers: alone("0s rate=20M queue=300ms delay=30ms up.delay=30ms loss=5%"),
            seconds: 120,
            bounds: &[
                (WrongDowns, AtMost(0.0)),
                (SwitchesSettled, AtMost(0.0)),
                (UsedPercent, AtLeast(90.0)),
                (FrozenPercent, Told),
            ],
            ..PLAIN
        },
        Scenario {
            name: "5 % uplink loss",
            uplink: "0s delay=20ms up.delay=20ms up.loss=5%",
            viewers: alone("0s rate=20M queue=300ms delay=30ms up.delay=30ms"),
            seconds: 120,
            bounds: &[(WrongDowns, AtMost(0.0)), (SwitchesSettled, AtMost(0.0)), (UsedPercent, AtLeast(90.0))],
            ..PLAIN
        },
        Scenario {
            name: "0.4, 5, 0.4 Mbit/s",
            viewers: alone("0s rate=400k queue=300ms delay=25ms up.delay=25ms\n30s rate=5M\n60s rate=400k\n90s end"),
            seconds: 90,
            bounds: &[
                (UpSeconds, AtMost(8.0)),
                (DownSeconds, AtMost(1.0)),
                (LongestFreezeMs, AtMost(500.0)),
                (Reversals, AtMost(1.0)),
                (QueueP95Ms, Told),
                (Switches, Told),
            ],
            ..PLAIN
        },
        Scenario {
            name: "key frames, 5 Mbit/s, 30 kB",
            layers: ONE,
            group: two_seconds,
            viewers: alone("0s rate=5M queue=30kB delay=10ms up.delay=10ms"),
            seconds: 30,
            bounds: KEY_FRAMES,
            ..PLAIN
        },
        Scenario {
            name: "key frames, 10 Mbit/s, 30 kB",
            layers: ONE,
            group: two_seconds,
            viewers: alone("0s rate=10M queue=30kB delay=10ms up.delay=10ms"),
            seconds: 30,
            bounds: KEY_FRAMES,
            ..PLAIN
        },
        Scenario {
            name: "key frames, 20 Mbit/s, 30 kB",
            layers: ONE,
            group: two_seconds,
            viewers: alone("0s rate=20M queue=30kB delay=10ms up.delay=10ms"),
            seconds: 30,
            bounds: KEY_FRAMES,
            ..PLAIN
        },
        Scenario {
            name: "join in mid-group",
            layers: ONE,
            group: two_seconds,
            viewers: Viewers {
                join: &[(5.1, 0), (5.5, 0), (6.5, 0), (6.9, 0), (7.5, 0)],
                link: "0s rate=20M queue=100ms delay=10ms up.delay=10ms",
                share: false,
            },
            seconds: 15,
            bounds: &[
                (FirstFrameMs, AtMost(100.0)),
                (LiveMs, AtMost(600.0)),
                (KeyFramesAsked, AtMost(0.0)),
                (FrozenPercent, AtMost(0.0)),
            ],
            ..PLAIN
        },
        Scenario {
            // Its key frame comes from the publisher while it is sent to the viewer: that takes 117 ms.
            name: "join as a key frame begins",
            layers: ONE,
            group: two_seconds,
            viewers: Viewers {
                join: &[(6.0, 0)],
                link: "0s rate=20M queue=100ms delay=10ms up.delay=10ms",
                share: false,
            },
            seconds: 15,
            bounds: &[
                (FirstFrameMs, AtMost(100.0)),
                (LiveMs, AtMost(600.0)),
                (KeyFramesAsked, AtMost(0.0)),
                (FrozenPercent, AtMost(0.0)),
            ],
            ..PLAIN
        },
    ]
}
