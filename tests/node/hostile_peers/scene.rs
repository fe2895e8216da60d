//! A node, the honest two who play on it, and what is asked after every attack.

use std::sync::MutexGuard;
use std::time::{Duration, Instant};

use corecast::limits;

use crate::honest::{self, Honest};
use crate::node::Node;
use crate::stalls::Stalls;

/// See the module.
pub(crate) struct Scene {
    pub(crate) honest: Honest,
    pub(crate) node: Node,
    descriptors: usize,
    stalls: Stalls,
    turn: Option<MutexGuard<'static, ()>>,
}

impl Scene {
    /// A node on which the honest two play already.
    pub(crate) fn set() -> Self {
        Self::with(|node| Honest::play(node.doors(), [None; 2]))
    }

    /// The same with whoever `play` puts on the path.
    pub(crate) fn with(play: impl FnOnce(&Node) -> Honest) -> Self {
        let turn = crate::turn();
        let node = Node::start();
        honest::beside_the_worker();
        let honest = play(&node);
        // The connections that opened the sessions are gone, and what is measured is not the beginning.
        let deadline = Instant::now() + Duration::from_secs(5);
        let mut descriptors = node.descriptors();
        loop {
            std::thread::sleep(Duration::from_millis(200));
            let now = node.descriptors();
            if now == descriptors || Instant::now() >= deadline {
                break;
            }
            descriptors = now;
        }
        let begun = honest.record();
        assert_eq!(begun.counts.unauthentic + begun.counts.ended_early, 0);
        Self { honest, node, descriptors, stalls: Stalls::watch(), turn: Some(turn) }
    }

    /// The honest viewer lost nothing, got everything once, and its key frames were no more than a publisher is asked for.
    /// To be asked when the attack is over; ends the publishing, so that nothing is on its way.
    #[track_caller]
    pub(crate) fn assert_undisturbed(&self) {
        let mut whole = self.honest.record();
        self.honest.stop_publishing();
        // A last packet may still be asked for again; and where a machine stops a core for a second, all of that second's are
        // still on their way.
        let deadline = Instant::now() + Duration::from_secs(5);
        let (sent, received) = loop {
            std::thread::sleep(Duration::from_millis(400));
            whole.merge(&self.honest.record());
            let (sent, received) = (whole.counts.sent_video + whole.counts.sent_audio, whole.counts.received());
            let heard = whole.counts.data_received >= whole.counts.data_sent;
            if received >= sent && heard || Instant::now() >= deadline {
                break (sent, received);
            }
        };
        let counts = &whole.counts;
        let (resident, peak) = self.node.memory();
        println!(
            "honest: {sent} sent, {received} received, {} gaps, {} recovered, p99 {:.1} ms; node: {:.1} MiB, peak {:.1} MiB",
            counts.gaps,
            counts.recovered,
            whole.video_latency_us.value_at_quantile(0.99) as f64 / 1e3,
            resident as f64 / f64::from(1 << 20),
            peak as f64 / f64::from(1 << 20),
        );
        assert!(sent > 100, "the honest publisher sent {sent} packets only: was there an attack?");
        assert_eq!(counts.lost(), 0, "{counts:?}");
        assert_eq!(counts.gaps, 0, "nothing had to be repaired: {counts:?}");
        let of_node = || self.node.worker();
        // Where the machine stood still for longer than a viewer may lag, the sound of that time is skipped (50 packets in a
        // second), and so is a picture where a key frame came after it.
        let stalled = self.stalls.total();
        let skipped = if stalled < limits::CURSOR_LAG_MAX { 0 } else { sent * stalled.as_secs().max(1) / 5 };
        let most = 40 + skipped;
        // What was on its way when the measuring began comes on top: where the machine has no time, up to a second's. If all
        // were forwarded twice, it would be all.
        let (early, early_messages) = (175, 10);
        assert!(
            sent <= received + most && received <= sent + most + early,
            "{sent} sent, {received} received, stalled {stalled:?}: {counts:?}; the node: {}",
            of_node()
        );
        assert_eq!((counts.duplicates, counts.unauthentic, counts.ended_early), (0, 0, 0), "{counts:?}");
        let (said, heard) = (counts.data_sent, counts.data_received);
        assert!(said > 10 && counts.data_lost() == 0 && counts.data_closed == 0, "{counts:?}");
        assert!(
            said <= heard + 5 && heard <= said + 5 + early_messages,
            "{said} messages sent, {heard} received: {counts:?}"
        );
        assert!(peak <= self.node.planned_bytes, "{peak} bytes at the peak, {} planned", self.node.planned_bytes);
    }

    /// Everything the attack held is given back within `time`; others may attack meanwhile.
    #[track_caller]
    pub(crate) fn assert_released(mut self, time: Duration) {
        self.turn = None;
        let deadline = Instant::now() + time;
        loop {
            // A report is up to a second old.
            let worker = self.node.worker();
            let all = worker["sessions"].as_array().unwrap();
            let of_honest_stream = all.iter().filter(|session| session["stream"] == honest::STREAM).count();
            let sessions = all.len() - of_honest_stream + of_honest_stream.saturating_sub(2);
            // The question itself is a connection, which is gone a moment later.
            std::thread::sleep(Duration::from_millis(100));
            let descriptors = self.node.descriptors();
            if sessions == 0 && descriptors <= self.descriptors && worker["handshakes"] == 0 {
                assert_eq!(of_honest_stream, 2, "the honest two are still there");
                return;
            }
            let before = self.descriptors;
            assert!(
                Instant::now() < deadline,
                "{sessions} sessions are left; {descriptors} descriptors, {before} before the attack"
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

/// Calls `act` so many times a second for so long, in small bursts; how often it was called. While much waits in the
/// kernel for the worker it pauses: what the kernel loses when a machine stops a core for a second is no attack's doing.
pub(crate) fn paced(node: &Node, per_second: u32, time: Duration, mut act: impl FnMut(u64)) -> u64 {
    /// How often it looks, which costs as much as some datagrams.
    const LOOK_INTERVAL: Duration = Duration::from_millis(5);
    /// A quarter of what the kernel makes of the buffer that the worker asks for.
    const WAITING_BYTES_MAX: u64 = limits::SOCKET_BUFFER_BYTES as u64 / 2;
    /// In all: a worker that is too slow is not helped by it.
    const PAUSES_MAX: Duration = Duration::from_secs(2);
    let (mut start, mut looked) = (Instant::now(), Instant::now());
    let mut paused = Duration::ZERO;
    let mut done = 0;
    while start.elapsed() < time {
        if looked.elapsed() >= LOOK_INTERVAL {
            let pause = Instant::now();
            while node.waiting_bytes() > WAITING_BYTES_MAX {
                let all = paused + pause.elapsed();
                assert!(all < PAUSES_MAX, "the worker does not keep up with the attack: {all:?} behind");
                std::thread::sleep(Duration::from_millis(1));
            }
            looked = Instant::now();
            paused += looked - pause;
            start += looked - pause;
        }
        let due = (start.elapsed().as_secs_f64() * f64::from(per_second)) as u64;
        // No more than 10 ms of it at once: a tester that was held up must not become a burst.
        let due = due.min(done + u64::from(per_second / 100).max(1));
        while done < due {
            act(done);
            done += 1;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    done
}
