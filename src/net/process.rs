//! Limits, memory, threads and clocks of this process: what the node sets and reads.

use std::fs;
use std::io;
use std::time::Duration;

use super::syscall::{check, check_long};
use crate::limits;
use crate::time::Timestamp;

/// The monotonic clock that all workers share.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp::from_nanos(read_clock(libc::CLOCK_MONOTONIC).as_nanos() as u64)
}

/// Turns the kernel's times of arrival, which are on the wall clock, into the monotonic clock: read once per batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct ArrivalClock {
    now: Timestamp,
    realtime_ns: u64,
}

impl ArrivalClock {
    /// Reads both clocks.
    pub(super) fn read() -> Self {
        Self { now: now(), realtime_ns: read_clock(libc::CLOCK_REALTIME).as_nanos() as u64 }
    }

    /// When a datagram arrived, by the kernel's time. Without one it is now; so it is when that time lies in the
    /// future, or so far in the past ([`limits::ARRIVAL_AGE_MAX`]) that the wall clock must have been set in between.
    pub(super) fn arrival(&self, realtime_ns: Option<u64>) -> Timestamp {
        let age = realtime_ns.map_or(0, |then| self.realtime_ns.saturating_sub(then));
        let age = Duration::from_nanos(age);
        if age > limits::ARRIVAL_AGE_MAX { self.now } else { self.now - age }
    }
}

/// The CPU time that the calling thread has used.
#[must_use]
pub fn thread_cpu_time() -> Duration {
    read_clock(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// The part of [`thread_cpu_time`] spent in the kernel, in system calls and interrupts. Its resolution is the tick, not
/// the nanosecond.
#[must_use]
pub fn thread_system_time() -> Duration {
    // SAFETY: all zeros is a valid `rusage`, and the kernel writes one. It cannot fail for the calling thread.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage);
        usage
    };
    Duration::new(usage.ru_stime.tv_sec as u64, usage.ru_stime.tv_usec as u32 * 1_000)
}

fn read_clock(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec. It cannot fail for the clocks used here.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// How accurate the kernel believes the wall clock to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockSync {
    /// Some program (chrony, ntpd, systemd-timesyncd) synchronises it.
    pub synchronized: bool,
    /// The kernel's estimate of the largest error; meaningful where the clock is synchronised.
    pub error_max: Duration,
}

/// Reads the state of the wall clock; changes nothing.
///
/// # Errors
/// What the kernel says.
pub fn clock_sync() -> io::Result<ClockSync> {
    // SAFETY: a timex is plain numbers, for which zero is a value.
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one timex; `modes` = 0 makes it read nothing.
    check(unsafe { libc::adjtimex(&raw mut state) })?;
    Ok(ClockSync {
        synchronized: state.status & libc::STA_UNSYNC == 0,
        error_max: Duration::from_micros(state.maxerror.try_into().unwrap_or(0)),
    })
}

type Resource = libc::__rlimit_resource_t;

fn limit(resource: Resource) -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one rlimit.
    check(unsafe { libc::getrlimit(resource, &raw mut limit) })?;
    Ok(limit)
}

fn set_limit(resource: Resource, limit: &libc::rlimit) -> io::Result<()> {
    // SAFETY: the kernel reads one rlimit.
    check(unsafe { libc::setrlimit(resource, limit) }).map(drop)
}

fn raise_to_hard(resource: Resource) -> io::Result<u64> {
    let mut limit = limit(resource)?;
    limit.rlim_cur = limit.rlim_max;
    set_limit(resource, &limit)?;
    Ok(limit.rlim_cur)
}

/// Raises the open-file limit to the hard limit; returns it.
///
/// # Errors
/// What the kernel says.
pub fn raise_open_files() -> io::Result<u64> {
    raise_to_hard(libc::RLIMIT_NOFILE)
}

/// Raises the locked-memory limit to `wanted_bytes` where the process may, else to the hard limit; returns it.
///
/// # Errors
/// What the kernel says.
pub fn raise_locked_memory(wanted_bytes: u64) -> io::Result<u64> {
    let present = limit(libc::RLIMIT_MEMLOCK)?;
    if present.rlim_max < wanted_bytes {
        let raised = libc::rlimit { rlim_cur: wanted_bytes, rlim_max: wanted_bytes };
        // Needs CAP_SYS_RESOURCE.
        if set_limit(libc::RLIMIT_MEMLOCK, &raised).is_ok() {
            return Ok(wanted_bytes);
        }
    }
    raise_to_hard(libc::RLIMIT_MEMLOCK)
}

/// Descriptors this process may open at most, after raising the limit itself.
#[must_use]
pub fn open_files_limit() -> u64 {
    limit(libc::RLIMIT_NOFILE).map_or(0, |limit| limit.rlim_max)
}

/// The locked-memory limit in bytes that this process can raise its own to; none with `CAP_IPC_LOCK` or
/// `CAP_SYS_RESOURCE`.
#[must_use]
pub fn locked_memory_limit_hard() -> Option<u64> {
    /// `CAP_IPC_LOCK` and `CAP_SYS_RESOURCE`.
    const UNLIMITED: [u32; 2] = [14, 24];
    let hard = limit(libc::RLIMIT_MEMLOCK).map_or(0, |limit| limit.rlim_max);
    (hard != libc::RLIM_INFINITY && !UNLIMITED.into_iter().any(has_capability)).then_some(hard)
}

/// The locked-memory limit in bytes.
#[must_use]
pub fn locked_memory_limit() -> u64 {
    limit(libc::RLIMIT_MEMLOCK).map_or(0, |limit| limit.rlim_cur)
}

/// Forbids core dumps of this process, because a dump would hold session keys. The size limit alone does not stop a
/// dump that the kernel pipes to a program, so the process is also made undumpable. That also keeps other processes of
/// the same user from attaching to it (a profiler then needs root).
///
/// # Errors
/// What the kernel says.
pub fn forbid_core_dumps() -> io::Result<()> {
    set_limit(libc::RLIMIT_CORE, &libc::rlimit { rlim_cur: 0, rlim_max: 0 })?;
    // SAFETY: no pointers are passed.
    check(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) }).map(drop)
}

/// Whether the process has this capability in effect.
pub(super) fn has_capability(number: u32) -> bool {
    let effective = || {
        let status = fs::read_to_string("/proc/thread-self/status").ok()?;
        let set = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
        u64::from_str_radix(set.trim(), 16).ok()
    };
    effective().is_some_and(|set| set >> number & 1 == 1)
}

/// Words of an affinity mask: 8,192 cores, more than any kernel is built for.
const CORE_MASK_WORDS: usize = 128;

/// The cores this process may run on (cpusets, `taskset` and container limits counted), ascending.
///
/// # Errors
/// What the kernel says.
pub fn allowed_cores() -> io::Result<Vec<u16>> {
    let mut mask = [0_u64; CORE_MASK_WORDS];
    // SAFETY: the kernel writes at most the mask's bytes.
    let written =
        check_long(unsafe { libc::syscall(libc::SYS_sched_getaffinity, 0, size_of_val(&mask), mask.as_mut_ptr()) })?;
    let cores = written as usize * 8;
    let cores = cores.min(CORE_MASK_WORDS * 64) as u16;
    Ok((0..cores).filter(|core| mask[usize::from(core / 64)] >> (core % 64) & 1 == 1).collect())
}

/// Runs the calling thread, and those it starts, on these cores only.
///
/// # Errors
/// `EINVAL`: one of the cores does not exist, or none is allowed.
pub fn pin_current_thread(cores: &[u16]) -> io::Result<()> {
    let mut mask = [0_u64; CORE_MASK_WORDS];
    for &core in cores {
        let core = usize::from(core);
        let word = mask.get_mut(core / 64).ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?;
        *word |= 1 << (core % 64);
    }
    // SAFETY: the kernel reads the mask's bytes; 0 is the calling thread.
    check_long(unsafe { libc::syscall(libc::SYS_sched_setaffinity, 0, size_of_val(&mask), mask.as_ptr()) }).map(drop)
}

/// Sets the calling thread's nice value (on Linux it is the thread's own): 19 yields to everything. Below the present
/// value needs `CAP_SYS_NICE`.
///
/// # Errors
/// `EACCES` or `EPERM` where that is missing.
pub fn set_thread_nice(nice: i32) -> io::Result<()> {
    // SAFETY: no pointers are passed; who = 0 is the calling thread.
    check(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) }).map(drop)
}

/// Bytes of memory the process has resident.
///
/// # Errors
/// `/proc` is not mounted.
pub fn resident_bytes() -> io::Result<u64> {
    let pages = fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = pages.split(' ').nth(1).and_then(|field| field.parse().ok()).unwrap_or(0);
    // SAFETY: no pointers are passed.
    Ok(pages * u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(0))
}

const _: () = assert!(CORE_MASK_WORDS * 64 <= u16::MAX as usize);
const _: () = assert!(size_of::<usize>() == 8, "the affinity mask is written in 64-bit words");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_may_run_on_those_cores_only() {
        std::thread::spawn(|| {
            let all = allowed_cores().unwrap();
            pin_current_thread(&all).unwrap();
            assert_eq!(allowed_cores().unwrap().len(), all.len());
            let core = *all.last().unwrap();
            pin_current_thread(&[core]).unwrap();
            assert_eq!(allowed_cores().unwrap(), [core]);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_core_that_does_not_exist_is_refused() {
        for core in [8_191, u16::MAX] {
            assert_eq!(pin_current_thread(&[core]).unwrap_err().raw_os_error(), Some(libc::EINVAL));
        }
    }

    #[test]
    fn a_nice_value_is_the_threads_own() {
        // SAFETY: no pointers are passed.
        let nice = || unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
        let before = nice();
        std::thread::spawn(move || {
            set_thread_nice(10).unwrap();
            assert_eq!(nice(), 10);
        })
        .join()
        .unwrap();
        assert_eq!(nice(), before);
    }

    #[test]
    fn the_open_file_limit_ends_at_the_hard_limit() {
        let raised = raise_open_files().unwrap();
        assert_eq!(limit(libc::RLIMIT_NOFILE).unwrap().rlim_max, raised);
    }

    #[test]
    fn a_process_that_forbids_core_dumps_cannot_be_dumped() {
        forbid_core_dumps().unwrap();
        assert_eq!(limit(libc::RLIMIT_CORE).unwrap().rlim_max, 0);
        // SAFETY: no pointers are passed.
        let dumpable = unsafe { libc::prctl(libc::PR_GET_DUMPABLE, 0, 0, 0, 0) };
        // SAFETY: no pointers are passed. Whoever debugs the other tests wants it back.
        unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) };
        assert_eq!(dumpable, 0);
    }

    #[test]
    fn system_time_is_part_of_the_threads_cpu_time() {
        // Reads from the kernel until a few ticks of it are counted.
        let mut bytes = vec![0; 1 << 16];
        let before = thread_system_time();
        while thread_system_time() - before < Duration::from_millis(20) {
            let mut source = fs::File::open("/dev/zero").unwrap();
            io::Read::read_exact(&mut source, &mut bytes).unwrap();
        }
        assert!(thread_system_time() <= thread_cpu_time() + Duration::from_millis(10));
    }

    #[test]
    fn sleeping_costs_no_cpu_time_and_the_clock_goes_on() {
        let nap = || {
            let (cpu, clock) = (thread_cpu_time(), now());
            std::thread::sleep(Duration::from_millis(20));
            assert!(now().since(clock) >= Duration::from_millis(20));
            thread_cpu_time() - cpu
        };
        // A virtual machine that is stopped while a thread runs may charge that time to the thread, but not in every
        // nap.
        let cheapest = (0..5).map(|_| nap()).min().unwrap();
        assert!(cheapest < Duration::from_millis(10), "{cheapest:?}");
    }

    #[test]
    fn resident_memory_is_reported_in_bytes() {
        assert!((1 << 20..1 << 40).contains(&resident_bytes().unwrap()));
    }
}
