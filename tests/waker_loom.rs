//! The waker's word under loom: every interleaving of callers and worker that the C11 memory model allows, up to a bound
//! on preemptions. The production file is read here a second time, over loom's atomics; nothing needs `--cfg loom`.
//!
//! The mailbox is the weakest there is, a counter with relaxed accesses: what makes a message visible is the word alone.
//! (The real ones, `flume`'s and `rtrb`'s, synchronise by themselves, and are checked by those who make them.) The eventfd
//! is an edge that is never lost, as epoll and io_uring give it. A wake is lost where the worker sleeps, every caller is
//! done and messages are unread. Protocols with one part taken out must lose one: so the check can fail.

#[allow(dead_code, reason = "one of its functions is for the simulation")]
#[path = "../src/net/sleep_word.rs"]
mod sleep_word;

/// What the word is made of.
mod atomic {
    pub(super) use loom::sync::atomic::{AtomicU32, Ordering};

    pub(super) fn fence(order: Ordering) {
        if super::FENCES.get() {
            loom::sync::atomic::fence(order);
        }
    }
}

use std::cell::Cell;

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;
use sleep_word::SleepWord;

std::thread_local! {
    /// Whether fences do anything; loom runs a model on the thread that asked for it.
    static FENCES: Cell<bool> = const { Cell::new(true) };
}

/// A worker, its mailboxes and its eventfd.
struct Node {
    word: SleepWord,
    /// The eventfd: a ring is an edge, and a wait ends with each. Callers that have posted all they will are counted here
    /// too, because a wait also ends when no ring can come any more.
    bell: Mutex<Bell>,
    changed: Condvar,
    /// One mailbox for each caller.
    mail: [AtomicUsize; 2],
}

#[derive(Default)]
struct Bell {
    rung: bool,
    done: usize,
}

impl Node {
    /// As every caller does: publish, then [`corecast::net::Waker::wake`].
    fn post(&self, mailbox: usize) {
        let messages = self.mail[mailbox].load(Ordering::Relaxed);
        self.mail[mailbox].store(messages + 1, Ordering::Relaxed);
        if self.word.notify() {
            self.bell.lock().unwrap().rung = true;
            self.changed.notify_one();
        }
    }

    fn read(&self) -> usize {
        self.mail.iter().map(|mailbox| mailbox.load(Ordering::Relaxed)).sum()
    }

    /// Waits for a ring; `false` where none can come any more.
    fn wait(&self, callers: usize) -> bool {
        let mut bell = self.bell.lock().unwrap();
        while !bell.rung && bell.done < callers {
            bell = self.changed.wait(bell).unwrap();
        }
        std::mem::take(&mut bell.rung)
    }
}

/// What the worker does in its loop.
#[derive(Clone, Copy, PartialEq)]
enum Loop {
    /// Wait, then read: [`corecast::worker::event_loop`].
    AsItIs,
    /// Reads on its return from the wait, before it says that it is awake.
    ReadsTooEarly,
}

/// `callers` threads post `messages` each. Panics where in some interleaving the worker sleeps for ever on unread ones.
fn model(callers: usize, messages: usize, worker: Loop, fences: bool) {
    FENCES.set(fences);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(move || {
        let node = Arc::new(Node {
            word: SleepWord::new(),
            bell: Mutex::new(Bell::default()),
            changed: Condvar::new(),
            mail: [AtomicUsize::new(0), AtomicUsize::new(0)],
        });
        let threads: Vec<_> = (0..callers)
            .map(|mailbox| {
                let node = Arc::clone(&node);
                thread::spawn(move || {
                    (0..messages).for_each(|_| node.post(mailbox));
                    node.bell.lock().unwrap().done += 1;
                    node.changed.notify_one();
                })
            })
            .collect();
        let (mut seen, mut lost) = (0, false);
        while seen < callers * messages {
            let slept = node.word.begin();
            if slept && !node.wait(callers) {
                lost = true;
                break;
            }
            if worker == Loop::ReadsTooEarly {
                seen = node.read();
            }
            if slept {
                node.word.end();
            }
            if worker == Loop::AsItIs {
                seen = node.read();
            }
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        // Not before: loom cannot unwind what other threads still use.
        drop(node);
        assert!(!lost, "a wake was lost");
    });
}

#[test]
fn a_wake_is_never_lost() {
    model(1, 2, Loop::AsItIs, true);
}

#[test]
fn a_wake_is_never_lost_when_another_caller_was_first() {
    model(2, 1, Loop::AsItIs, true);
}

#[test]
#[should_panic(expected = "a wake was lost")]
fn without_the_fences_a_wake_is_lost() {
    model(2, 1, Loop::AsItIs, false);
}

#[test]
#[should_panic(expected = "a wake was lost")]
fn a_worker_that_reads_before_it_says_that_it_is_awake_loses_a_wake() {
    model(1, 2, Loop::ReadsTooEarly, true);
}
