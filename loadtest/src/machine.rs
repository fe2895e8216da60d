//! CPU time of the server's process and its threads, and of the whole machine, because interrupts are not charged to
//! any thread.

use std::collections::BTreeMap;
use std::fs;

/// The kernel tells CPU time in hundredths of a second (`USER_HZ` on every architecture Linux has today).
const TICK_NS: u64 = 10_000_000;

/// CPU times at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct CpuTimes {
    /// Nanoseconds by thread of the server: name and time.
    pub(crate) server_threads: BTreeMap<u32, (String, u64)>,
    /// Nanoseconds that all cores together were not idle.
    pub(crate) machine_busy_ns: u64,
    /// Nanoseconds of all cores together.
    pub(crate) machine_all_ns: u64,
}

impl CpuTimes {
    /// Reads them. A process that does not exist has no threads.
    pub(crate) fn read(server_pid: Option<u32>) -> Self {
        let (machine_busy_ns, machine_all_ns) = machine();
        Self { server_threads: server_pid.map(threads).unwrap_or_default(), machine_busy_ns, machine_all_ns }
    }

    /// Nanoseconds of the server since `earlier`.
    pub(crate) fn server_ns_since(&self, earlier: &Self) -> u64 {
        self.each_since(earlier).map(|(_, ns)| ns).sum()
    }

    /// The server's busiest thread since `earlier`.
    pub(crate) fn busiest_since<'a>(&'a self, earlier: &'a Self) -> Option<(&'a str, u64)> {
        self.each_since(earlier).max_by_key(|(_, ns)| *ns)
    }

    fn each_since<'a>(&'a self, earlier: &'a Self) -> impl Iterator<Item = (&'a str, u64)> {
        self.server_threads.iter().map(|(id, (name, ns))| {
            let before = earlier.server_threads.get(id).map_or(0, |(_, ns)| *ns);
            (name.as_str(), ns.saturating_sub(before))
        })
    }

    /// Part of the machine that was busy since `earlier`, 0 to 1.
    pub(crate) fn machine_busy_since(&self, earlier: &Self) -> f64 {
        let all = self.machine_all_ns.saturating_sub(earlier.machine_all_ns);
        let busy = self.machine_busy_ns.saturating_sub(earlier.machine_busy_ns);
        if all == 0 { 0.0 } else { busy as f64 / all as f64 }
    }
}

/// Bytes of a process that are in memory (`VmRSS` of proc_pid_status(5)).
pub(crate) fn resident_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1_024)
}

fn threads(pid: u32) -> BTreeMap<u32, (String, u64)> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return BTreeMap::new() };
    let task = |entry: fs::DirEntry| {
        let id = entry.file_name().to_str()?.parse().ok()?;
        let (name, ticks_ns) = parse_stat(&fs::read_to_string(entry.path().join("stat")).ok()?)?;
        // Ticks are too coarse: a server that sends a thousand packets in a second uses a fifth of one.
        let exact = fs::read_to_string(entry.path().join("schedstat")).ok().and_then(|text| parse_schedstat(&text));
        Some((id, (name, exact.unwrap_or(ticks_ns))))
    };
    tasks.flatten().filter_map(task).collect()
}

/// Name and CPU time in nanoseconds of one `/proc/PID/task/TID/stat` (proc_pid_stat(5)): the name is in parentheses and
/// may contain any characters; `utime` and `stime` are fields 14 and 15.
fn parse_stat(stat: &str) -> Option<(String, u64)> {
    let (head, rest) = stat.rsplit_once(") ")?;
    let (_, name) = head.split_once('(')?;
    let mut fields = rest.split(' ').skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((name.to_owned(), (user + system) * TICK_NS))
}

/// CPU time in nanoseconds of one `/proc/PID/task/TID/schedstat` (where the kernel keeps it): its first field.
fn parse_schedstat(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

/// Busy and all time of all cores.
fn machine() -> (u64, u64) {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = stat.lines().next().unwrap_or_default();
    let fields: Vec<u64> = line.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    // proc_stat(5): user nice system idle iowait irq softirq steal; guest is part of user.
    let all: u64 = fields.iter().take(8).sum();
    let idle: u64 = fields.iter().skip(3).take(2).sum();
    ((all - idle) * TICK_NS, all * TICK_NS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threads_time_is_read_whatever_its_name() {
        let stat = "12 (a) b (c) S 1 12 12 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 1 0 5 0 0";
        assert_eq!(parse_stat(stat), Some(("a) b (c".to_owned(), 3_000_000_000)));
        assert_eq!(parse_stat("nonsense"), None);
        assert_eq!((parse_schedstat("1234567 89 10\n"), parse_schedstat("")), (Some(1_234_567), None));
    }

    #[test]
    fn the_memory_of_this_process_is_read() {
        assert!(resident_bytes(std::process::id()).is_some_and(|bytes| (1 << 20..1 << 40).contains(&bytes)));
        assert_eq!(resident_bytes(u32::MAX), None);
    }

    #[test]
    fn less_than_a_tick_of_cpu_time_is_seen() {
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        let mut seen = 0;
        // Another thread is tried where the machine was stopped and charged that time to the thread.
        while !(1..TICK_NS).contains(&seen) && std::time::Instant::now() < until {
            let (end, ended) = std::sync::mpsc::channel::<()>();
            // It uses the CPU time of its start and no more, however late it is read.
            let sleeper = std::thread::Builder::new().name("sleeper".to_owned()).spawn(move || ended.recv()).unwrap();
            seen = 0;
            while seen == 0 && std::time::Instant::now() < until {
                let now = CpuTimes::read(Some(std::process::id()));
                seen = now.server_threads.values().find(|(name, _)| name == "sleeper").map_or(0, |(_, ns)| *ns);
            }
            drop(end);
            assert!(sleeper.join().unwrap().is_err());
        }
        assert!(seen > 0 && seen < TICK_NS, "{seen} ns");
    }

    #[test]
    fn the_cpu_time_of_this_process_grows() {
        let before = CpuTimes::read(Some(std::process::id()));
        // Either may come first: the machine's time is counted in ticks, and a tick may end before this thread has used
        // any time.
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        let seen = |now: &CpuTimes| {
            (now.busiest_since(&before).is_some_and(|(_, ns)| ns > 0), now.machine_busy_since(&before) > 0.0)
        };
        let mut now = CpuTimes::read(Some(std::process::id()));
        while seen(&now) != (true, true) && std::time::Instant::now() < until {
            std::hint::black_box((0..1_000_000).sum::<u64>());
            now = CpuTimes::read(Some(std::process::id()));
        }
        assert_eq!(seen(&now), (true, true), "this process, the machine");
        assert!(CpuTimes::read(Some(u32::MAX)).server_threads.is_empty());
    }
}
