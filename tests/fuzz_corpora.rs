//! The fuzz targets without a fuzzer: every committed input and crash is replayed, and each corpus is mutated a little,
//! the same way every time. The night's work is libFuzzer's (`tests/fuzz/run`); this keeps what it found.
//!
//! An input that fails here is written to `target/fuzz-failures/`; committed in `tests/fuzz/crashes/TARGET/`, it stays.

#[path = "fuzz/targets/mod.rs"]
mod targets;

use std::cell::Cell;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use targets::{ALL, Target};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz")
}

/// The files of a directory in the order of their names.
fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_file())
        .map(|path| (path.display().to_string(), fs::read(&path).expect("a readable file")))
        .collect();
    files.sort();
    files
}

/// Panics on threads that are no test's: the node's own, where production catches and counts them.
static ELSEWHERE: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Panics on this thread, those that production catches among them: each is a finding here.
    static HERE: Cell<u64> = const { Cell::new(0) };
}

fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if thread::current().name().is_some_and(|name| TESTED.contains(&name)) {
                HERE.with(|count| count.set(count.get() + 1));
            } else {
                ELSEWHERE.fetch_add(1, Ordering::SeqCst);
            }
            before(info);
        }));
    });
}

fn panics() -> u64 {
    HERE.with(Cell::get) + ELSEWHERE.load(Ordering::SeqCst)
}

#[track_caller]
fn try_input(target: &Target, name: &str, input: &[u8]) {
    let before = panics();
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    if outcome.is_ok() && panics() == before {
        return;
    }
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/fuzz-failures").join(target.name);
    fs::create_dir_all(&directory).expect("a place for the failure");
    let path = directory.join(format!("{:016x}", hash(input)));
    fs::write(&path, input).expect("room for the failure");
    panic!(
        "{}: {name} fails; kept as {}: commit it to tests/fuzz/crashes/{}/",
        target.name,
        path.display(),
        target.name
    );
}

/// FNV-1a, for names of files.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// SplitMix64: the same mutations every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.roll() % bound.max(1) as u64) as usize
    }
}

/// One to four acts of damage.
fn mutate(input: &mut Vec<u8>, others: &[(String, Vec<u8>)], dice: &mut Dice) {
    const STUMBLING_BLOCKS: [u8; 8] = [0, 1, 0x7f, 0x80, 0xff, 0x20, b'\n', 0x40];
    for _ in 0..=dice.below(4) {
        let (len, at) = (input.len(), dice.below(input.len() + 1));
        let end = (at + dice.below(17)).min(len);
        match dice.below(8) {
            0 if at < len => input[at] ^= 1 << dice.below(8),
            1 if at < len => input[at] = dice.roll() as u8,
            2 if at < len => input[at] = STUMBLING_BLOCKS[dice.below(8)],
            3 => drop(input.drain(at..end)),
            4 => {
                let copy = input[at..end].to_vec();
                let to = dice.below(len + 1);
                input.splice(to..to, copy);
            }
            5 => input.truncate(at),
            6 => {
                let other = &others[dice.below(others.len())].1;
                let from = dice.below(other.len() + 1);
                let until = (from + dice.below(65)).min(other.len());
                input.splice(at..end, other[from..until].iter().copied());
            }
            _ if end > at => input[at..end].iter_mut().for_each(|byte| *byte = byte.wrapping_add(1)),
            _ => input.push(dice.roll() as u8),
        }
    }
    input.truncate(8 * 1024);
}

fn replay_and_mutate(name: &str) {
    count_panics();
    let target = ALL.iter().find(|target| target.name == name).expect("a target");
    let corpus = files(&root().join("corpus").join(name));
    assert!(!corpus.is_empty(), "tests/fuzz/corpus/{name}: write_the_seeds fills it");
    for (file, input) in corpus.iter().chain(&files(&root().join("crashes").join(name))) {
        try_input(target, file, input);
    }
    let mut dice = Dice(hash(name.as_bytes()));
    // More of the same for whoever has the time: CORECAST_FUZZ_TIMES=100.
    let times = std::env::var("CORECAST_FUZZ_TIMES").ok().and_then(|times| times.parse().ok()).unwrap_or(1);
    for number in 0..target.mutations.saturating_mul(times) {
        let (file, input) = &corpus[dice.below(corpus.len())];
        let mut input = input.clone();
        mutate(&mut input, &corpus, &mut dice);
        try_input(target, &format!("mutation {number} of {file}"), &input);
    }
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                replay_and_mutate(stringify!($name));
            }
        )*
        const TESTED: &[&str] = &[$(stringify!($name)),*];
    };
}

targets! { stun rtp rtcp demux codec bandwidth lane srtp sdp config data dtls relay session http turn pairs http2 websocket }

#[test]
fn every_target_has_a_test_and_a_binary_and_no_directory_is_left_over() {
    let names: Vec<&str> = ALL.iter().map(|target| target.name).collect();
    assert_eq!(names, TESTED);
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("the manifest of the binaries");
    for name in &names {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name} has no binary");
        assert!(root().join(format!("fuzz_targets/{name}.rs")).is_file());
    }
    for directory in ["corpus", "crashes"] {
        for entry in fs::read_dir(root().join(directory)).into_iter().flatten() {
            let name = entry.expect("an entry").file_name().into_string().expect("a name");
            assert!(names.contains(&name.as_str()), "tests/fuzz/{directory}/{name} belongs to no target");
        }
    }
}

/// Writes what the targets' own code gives as seeds; run it after a target changed how it reads its bytes.
#[test]
#[ignore = "writes into the source tree: run by name"]
fn write_the_seeds() {
    for target in ALL {
        let directory = root().join("corpus").join(target.name);
        fs::create_dir_all(&directory).expect("a directory");
        for (name, bytes) in (target.seeds)() {
            fs::write(directory.join(format!("seed-{name}")), bytes).expect("a written seed");
        }
    }
}
