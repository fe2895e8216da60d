//! The kernel: its version, io_uring, the limits it sets this process, and its clock.

use super::finding::Finding;
use super::system::{System, bytes_text};
use crate::limits;
use crate::net::process::{self, ClockSync};
use crate::net::ring_probe;
use crate::net::ring_unavailable::RingUnavailable;

/// File descriptors that a node wants: one for each connection of two listeners, and some for itself.
const OPEN_FILES_WANTED: u64 = 2 * limits::CONNECTIONS_MAX as u64 + 1_024;

pub(super) fn examine(system: &System) -> Vec<Finding> {
    let release = system.text("proc/sys/kernel/osrelease").unwrap_or_default();
    // The node does the same at start. It changes only this process's own limit.
    let _ = process::raise_locked_memory(limits::LOCKED_MEMORY_BYTES_WANTED);
    let mut findings = vec![version(&release), io_uring(ring_probe::describe())];
    findings.push(locked_memory(process::locked_memory_limit_hard()));
    findings.push(open_files(process::open_files_limit()));
    let chosen = system.text("sys/devices/system/clocksource/clocksource0/current_clocksource");
    let offered = system.text("sys/devices/system/clocksource/clocksource0/available_clocksource");
    findings.extend(chosen.map(|chosen| clock_source(&chosen, &offered.unwrap_or_default())));
    findings.extend(process::clock_sync().ok().map(clock_sync));
    findings
}

fn version(release: &str) -> Finding {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let found = format!("Linux {release}");
    match version {
        (6.., 6..) | (7.., _) => Finding::ok("version", found),
        (6, _) => Finding::warning("version", found, "Linux 6.6 or later makes the cheapest kind of ring"),
        _ => Finding::error("version", found, "the node needs Linux 6.0 or later"),
    }
}

fn io_uring(probed: Result<&'static str, RingUnavailable>) -> Finding {
    match probed {
        Ok(flavour) => Finding::ok("io_uring", flavour),
        // The text of the refusal holds the fix.
        Err(error) => {
            let text = error.to_string();
            let (found, fix) = text.split_once(": ").unwrap_or((&text, "see src/manual/troubleshooting.md"));
            Finding::error("io_uring", found, fix)
        }
    }
}

fn locked_memory(hard_limit: Option<u64>) -> Finding {
    const FIX: &str = "LimitMEMLOCK=8M in the unit, `ulimit -Hl 8192`, or `--ulimit memlock=8388608` for a container";
    match hard_limit {
        None => Finding::ok("locked memory", "not limited"),
        Some(bytes) if bytes < limits::LOCKED_MEMORY_BYTES_MIN => {
            Finding::error("locked memory", format!("at most {}", bytes_text(bytes)), FIX)
        }
        Some(bytes) if bytes < limits::LOCKED_MEMORY_BYTES_WANTED => {
            Finding::warning("locked memory", format!("at most {}", bytes_text(bytes)), FIX)
        }
        Some(bytes) => Finding::ok("locked memory", format!("at most {}", bytes_text(bytes))),
    }
}

fn open_files(limit: u64) -> Finding {
    let found = format!("at most {limit}");
    if limit >= OPEN_FILES_WANTED {
        return Finding::ok("open files", found);
    }
    let fix = format!(
        "LimitNOFILE=65536 in the unit, or `ulimit -Hn 65536`: each HTTP connection needs one, and {OPEN_FILES_WANTED} allow all"
    );
    Finding::warning("open files", found, fix)
}

/// With a clock source that user space cannot read, every reading of the time is a system call, twice in each round.
fn clock_source(chosen: &str, offered: &str) -> Finding {
    const VIRTUAL: [&str; 4] = ["tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter"];
    let quick = |name: &str| VIRTUAL.contains(&name);
    if quick(chosen) {
        return Finding::ok("clock source", chosen);
    }
    let fix = offered.split_whitespace().find(|name| quick(name)).map_or_else(
        || "none that is quicker is offered: look for `Marking TSC unstable` in the kernel log".to_owned(),
        |name| format!("echo {name} > /sys/devices/system/clocksource/clocksource0/current_clocksource"),
    );
    Finding::warning("clock source", format!("{chosen}: reading the time enters the kernel"), fix)
}

fn clock_sync(state: ClockSync) -> Finding {
    const FIX: &str = "run chrony or systemd-timesyncd (on a virtual machine the host may keep the clock without telling \
                       the kernel): logs and sender reports carry this time, media does not depend on it";
    if state.synchronized {
        return Finding::ok("clock", format!("synchronised, off by at most {} ms", state.error_max.as_millis()));
    }
    Finding::warning("clock", "not known to be synchronised", FIX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::finding::Level::{Error, Ok as Fine, Warning};
    use super::*;

    #[test]
    fn kernels_are_judged_by_what_their_rings_can_do() {
        for (release, level) in [
            ("5.15.0-91-generic", Error),
            ("6.1.0-18-amd64", Warning),
            ("6.6.1", Fine),
            ("6.18.44-vendor", Fine),
            ("7.0.0-rc1", Fine),
            ("nonsense", Error),
        ] {
            assert_eq!(version(release).level, level, "{release}");
        }
    }

    #[test]
    fn a_refused_ring_is_an_error_whose_fix_is_the_refusals() {
        let refused = io_uring(Err(RingUnavailable::Disabled { sysctl: 2 }));
        assert_eq!(refused.level, Error);
        assert!(refused.fix.contains("kernel.io_uring_disabled=0"), "{refused:?}");
        assert_eq!(io_uring(Ok("single issuer")).level, Fine);
    }

    #[test]
    fn limits_are_judged_by_what_the_node_locks_and_opens() {
        for (limit, level) in [(None, Fine), (Some(64 << 10), Error), (Some(1 << 20), Warning), (Some(8 << 20), Fine)] {
            assert_eq!(locked_memory(limit).level, level, "{limit:?}");
        }
        assert_eq!(open_files(1_024).level, Warning);
        assert_eq!(open_files(1_048_576).level, Fine);
    }

    #[test]
    fn a_slow_clock_source_is_a_warning_that_names_a_faster_one() {
        assert_eq!(clock_source("tsc", "").level, Fine);
        let slow = clock_source("hpet", "hpet tsc acpi_pm");
        assert!(slow.level == Warning && slow.fix.starts_with("echo tsc >"), "{slow:?}");
        assert!(clock_source("acpi_pm", "acpi_pm").fix.contains("unstable"));
    }

    #[test]
    fn an_unsynchronised_clock_is_a_warning() {
        let state = |synchronized| ClockSync { synchronized, error_max: Duration::from_millis(16) };
        assert_eq!(clock_sync(state(true)).found, "synchronised, off by at most 16 ms");
        assert_eq!(clock_sync(state(false)).level, Warning);
    }
}
