//! A client that does what attackers do, against the real program over real sockets on loopback, while an honest stream
//! plays on the same worker.
//!
//! | File | Attack |
//! |---|---|
//! | `stun` | floods of binding requests and checks, with and without credentials; sources that nobody validated |
//! | `forged` | checks with credentials of its own, in the name of a victim's address or a third party's |
//! | `half_open` | DTLS handshakes begun by the thousand and left |
//! | `replays` | an attacker on the path: captured media and connectivity checks sent again |
//! | `rtcp` | NACK for everything, PLI every millisecond, giant compounds, from a viewer |
//! | `rtp` | every oddity of a header, authentic and not, from a publisher |
//! | `sctp` | of data channels: floods of INITs, pieces and channels, endless messages, numbers that jump, no acknowledgement |
//! | `floods` | over TLS: HTTP/2 frames that ask for nothing, requests, handshakes, connections that are only held |
//! | `http` | slow heads and bodies, oversized ones, garbage instead of TLS |
//! | `sessions` | opened and abandoned by the thousand; an endless trickle of candidates and restarts; one address |
//!
//! Of each the same is asked ([`scene::Scene`]): the honest viewer loses nothing, the node's memory stays within its plan,
//! and afterwards everything is given back: sessions, file descriptors. Attacks have the machine to themselves, one after
//! the other ([`crate::turn`]), so that a loss is the attack's doing; only the waiting for timeouts overlaps.
//!
//! Rates are bounded so that two busy cores carry them: what is shown is that nothing breaks, not how much a machine can
//! take. What each does to latency: `cargo test --release --test node -- --ignored --nocapture latency`.
//!
//! Left out: floods that fill the link or the kernel's socket buffer, which no program can do anything about; fragmented
//! IP; attacks on the kernel's TCP.

mod floods;
mod forged;
mod half_open;
mod http;
mod replays;
mod rtcp;
mod rtp;
mod scene;
mod sctp;
mod sessions;
mod stun;
pub(crate) mod tls;

use std::time::Duration;

use scene::Scene;

/// How long each attack goes on.
const ATTACK: Duration = Duration::from_secs(2);

/// What an attack is: something done on a scene for so long.
type Attack = fn(&Scene, Duration);

/// Every attack, run for a while; what it asserts about itself is in its file.
const ATTACKS: &[(&str, Attack)] = &[
    ("STUN flood without credentials", stun::flood_without_credentials),
    ("STUN flood with credentials", stun::flood_with_credentials),
    ("strangers' DTLS, media and garbage", stun::strangers),
    ("half-open DTLS", half_open::begin_and_leave),
    ("replays", replays::send_again_own),
    ("RTCP bombs", rtcp::bombs),
    ("RTP oddities", rtp::oddities),
    ("SCTP of a viewer", sctp::of_a_viewer),
    ("SCTP of a publisher", sctp::of_a_publisher),
    ("slow and oversized HTTP", http::slow_and_oversized),
    ("TLS garbage", http::tls_garbage),
    ("sessions abandoned", sessions::open_and_abandon),
    ("candidates without end", sessions::trickle_without_end),
];

/// For `benches/README.md`: what each attack does to the honest viewer. Run it alone, on a quiet machine, in release.
#[test]
#[ignore = "a measurement: it asserts nothing and takes a minute"]
fn latency_under_each_attack() {
    println!("{:<36} {:>9} {:>9} {:>9} {:>9} {:>6}", "attack", "p50 ms", "p99 ms", "p99.9 ms", "max ms", "lost");
    let tell = |what: &str, record: &corecast::lab::peer::record::LoadRecord| {
        let ms = |quantile| record.video_latency_us.value_at_quantile(quantile) as f64 / 1e3;
        let (max, lost) = (record.video_latency_us.max() as f64 / 1e3, record.counts.lost());
        println!("{what:<36} {:>9.2} {:>9.2} {:>9.2} {max:>9.2} {lost:>6}", ms(0.5), ms(0.99), ms(0.999));
    };
    for (at, (name, attack)) in ATTACKS.iter().enumerate() {
        let scene = Scene::set();
        if at == 0 {
            std::thread::sleep(2 * ATTACK);
            tell("none", &scene.honest.record());
        }
        attack(&scene, 2 * ATTACK);
        tell(name, &scene.honest.record());
    }
}
