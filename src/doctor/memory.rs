//! Planned memory: how much memory each part of a configuration may need when every limit is reached at once, compared
//! with what this machine, or the control group of the process, has.
//!
//! The figures of the parts are in [`crate::limits`]. Most are bounds; that of a session is measured. Left out: pages
//! that the kernel caches, and what other programs need.

use std::fmt;

use super::finding::Finding;
use super::system::{System, bytes_text};
use crate::config::Config;
use crate::limits;
use crate::net::control_group::ControlGroup;

/// One part of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// What the memory is for.
    pub what: &'static str,
    /// How many there are.
    pub count: u64,
    /// Bytes of each.
    pub each: u64,
}

impl Part {
    /// Bytes of the whole part.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.count.saturating_mul(self.each)
    }
}

/// The memory that a configuration may come to need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The parts. All of them may be needed at the same time.
    pub parts: Vec<Part>,
}

impl Plan {
    /// The plan of a configuration.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let workers = config.cores.len() as u64;
        let sessions = u64::from(config.limits.sessions_per_worker_max);
        let streams = u64::from(config.limits.admission.streams_max).min(sessions * workers);
        let waiting = u64::from(config.limits.waiting_viewers_max).min(sessions * workers);
        let listeners = 2 + u64::from(config.http.is_some());
        let connections_max = u64::from(config.limits.connections_max);
        let redirected =
            config.http_redirect.map_or(0, |_| connections_max.min(limits::REDIRECT_CONNECTIONS_MAX as u64));
        // If no address is configured, a worker has one socket for each address family.
        let sockets = if config.media.ips.is_empty() { 2 } else { config.media.ips.len() as u64 };
        let worker = limits::RECEIVE_BUFFER_BYTES * usize::from(limits::RECEIVE_BUFFERS)
            + limits::SEND_BUFFER_BYTES
            + limits::LANES_BYTES_TOTAL
            + limits::HANDSHAKE_DATAGRAMS_WAITING_MAX * limits::DATAGRAM_IN_BYTES_MAX;
        Self {
            parts: vec![
                Part { what: "the process", count: 1, each: limits::PLANNED_PROCESS_BYTES },
                Part { what: "workers", count: workers, each: worker as u64 },
                Part { what: "socket buffers", count: workers * sockets * 2, each: limits::SOCKET_BUFFER_BYTES as u64 },
                Part { what: "sessions", count: workers * sessions, each: limits::PLANNED_SESSION_BYTES },
                Part {
                    what: "handshakes under way",
                    count: workers * sessions.min(limits::HANDSHAKES_PER_WORKER_MAX as u64),
                    each: limits::PLANNED_HANDSHAKE_BYTES,
                },
                Part {
                    what: "TURN clients",
                    count: if config.turn && !config.media.udp_only {
                        workers * (limits::TURN_CLIENTS_PER_WORKER_MAX as u64)
                    } else {
                        0
                    },
                    each: limits::PLANNED_TURN_CLIENT_BYTES,
                },
                Part { what: "packet rings", count: workers * streams, each: limits::PLANNED_STREAM_BYTES },
                Part {
                    what: "data channels of sessions",
                    count: if config.media.data { workers * sessions } else { 0 },
                    each: limits::PLANNED_DATA_SESSION_BYTES,
                },
                Part {
                    what: "data channels of streams",
                    count: if config.media.data { workers * streams } else { 0 },
                    each: limits::PLANNED_DATA_STREAM_BYTES,
                },
                Part { what: "streams waited for", count: waiting, each: limits::PLANNED_WAITING_STREAM_BYTES },
                Part {
                    what: "HTTP connections",
                    count: listeners * connections_max + redirected,
                    each: limits::PLANNED_CONNECTION_BYTES,
                },
                Part {
                    what: "sockets",
                    count: u64::from(config.limits.sockets.sockets_max),
                    each: limits::PLANNED_SOCKET_BYTES,
                },
                Part {
                    what: "sockets' messages",
                    count: 1,
                    each: (limits::SOCKETS_INCOMING_BYTES_TOTAL + limits::SOCKETS_OUTBOX_BYTES_TOTAL) as u64,
                },
                Part { what: "request bodies", count: 1, each: limits::REQUEST_BODIES_BYTES_TOTAL as u64 },
            ],
        }
    }

    /// Bytes of all parts.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.parts.iter().fold(0, |sum, part| sum.saturating_add(part.bytes()))
    }
}

/// `3.1 GiB at every limit: sessions 32768 × 24 KiB = 768 MiB, …`, the largest part first.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at every limit:", rounded(self.bytes()))?;
        let mut parts = self.parts.clone();
        parts.sort_by_key(|part| std::cmp::Reverse(part.bytes()));
        for (at, part) in parts.iter().enumerate() {
            let Part { what, count, each } = *part;
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma} {what} ")?;
            if count != 1 {
                write!(f, "{count} × {} = ", bytes_text(each))?;
            }
            f.write_str(&rounded(part.bytes()))?;
        }
        Ok(())
    }
}

/// Bytes in a readable unit, rounded to a tenth from 1 GiB on.
fn rounded(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;
    match bytes {
        GIB.. => format!("{:.1} GiB", bytes as f64 / GIB as f64),
        MIB.. => format!("{} MiB", bytes.div_ceil(MIB)),
        _ => bytes_text(bytes),
    }
}

/// The available memory, and what limits it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Available {
    bytes: u64,
    of: &'static str,
}

/// The machine's memory, or the limit of the process's control group if that is less.
fn available(system: &System) -> Option<Available> {
    let total = system.text("proc/meminfo").and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?.trim();
        Some(line.strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
    });
    let machine = total.map(|bytes| Available { bytes, of: "this machine" });
    let group = ControlGroup::find(&system.path(""))
        .and_then(|group| group.limit_bytes())
        .map(|bytes| Available { bytes, of: "the control group" });
    [machine, group].into_iter().flatten().min_by_key(|available| available.bytes)
}

/// Compares the plan with the available memory.
pub(super) fn examine(system: &System, config: &Config) -> Vec<Finding> {
    let plan = Plan::of(config);
    let what = "planned memory";
    match available(system) {
        Some(Available { bytes, of }) if plan.bytes() > bytes => {
            vec![Finding::warning(
                what,
                format!("{} has {}; the node may need {plan}", of, rounded(bytes)),
                "lower what this machine will not serve anyway ([limits] in the configuration), or give it more memory",
            )]
        }
        Some(Available { bytes, of }) => {
            vec![Finding::ok(what, format!("{of} has {}; the node may need {plan}", rounded(bytes)))]
        }
        None => vec![Finding::ok(what, format!("the node may need {plan}; what there is cannot be read"))],
    }
}

/// Logs the plan at start: one line, which is a warning if the plan is more than the available memory.
pub fn log(config: &Config) {
    for finding in examine(&System::default(), config) {
        match finding.level {
            super::finding::Level::Ok => tracing::info!("{}: {}", finding.what, finding.found),
            _ => tracing::warn!("{}: {}: {}", finding.what, finding.found, finding.fix),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;
    use crate::config::{Environment, Settings};

    fn config(toml: &str) -> Config {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("c.toml");
        std::fs::write(&file, toml).unwrap();
        let environment =
            Environment { allowed_cores: vec![0, 1], home: Some("/home/x".into()), ..Environment::default() };
        Config::load(Some(&file), &Settings::default(), &environment).unwrap()
    }

    fn host(files: &[(&str, &str)]) -> (tempfile::TempDir, System) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let system = System::at(root.path());
        (root, system)
    }

    #[test]
    fn the_plan_follows_the_limits_and_says_every_part() {
        let small = "[limits]\nsessions_per_worker_max = 1000\nstreams_max = 4\nconnections_max = 100\nsockets_max = 50\nwaiting_viewers_max = 10\n";
        let (plan, small) = (Plan::of(&config("")), Plan::of(&config(small)));
        assert!(plan.bytes() > 3 << 30 && small.bytes() < 1 << 30, "{plan}\n{small}");
        let text = small.to_string();
        for part in [
            "sessions 2000 × 24 KiB = 47 MiB",
            "packet rings 8 × ",
            "data channels of sessions 2000 × 20 KiB = 40 MiB",
            "data channels of streams 8 × 896 KiB = 7 MiB",
            "HTTP connections 200 × ",
            "sockets 50 × 24 KiB = 2 MiB",
            "at every limit:",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        let redirecting = Plan::of(&config("http_redirect = '127.0.0.1:80'"));
        let more = limits::REDIRECT_CONNECTIONS_MAX as u64 * limits::PLANNED_CONNECTION_BYTES;
        assert_eq!(redirecting.bytes(), plan.bytes() + more);
        let without = Plan::of(&config("[media]\ndata = false"));
        let data =
            plan.parts.iter().filter(|part| part.what.starts_with("data channels")).map(Part::bytes).sum::<u64>();
        assert!(data > 0 && without.bytes() + data == plan.bytes());
        let sum: u64 = small.parts.iter().map(Part::bytes).sum();
        assert_eq!(sum, small.bytes());
    }

    #[test]
    fn more_than_the_machine_or_its_control_group_has_is_a_warning() {
        let meminfo = |kib: u64| format!("MemTotal:       {kib} kB\nMemFree: 1 kB\n");
        let config = config("");
        let (_root, big) = host(&[("proc/meminfo", &meminfo(64 << 20))]);
        assert_eq!(examine(&big, &config)[0].level, Level::Ok);
        let (_root, small) = host(&[("proc/meminfo", &meminfo(1 << 20))]);
        let finding = &examine(&small, &config)[0];
        assert!(
            finding.level == Level::Warning && finding.found.starts_with("this machine has 1.0 GiB"),
            "{finding:?}"
        );
        // A limit anywhere above the process's own group holds for it too.
        let (_root, group) = host(&[
            ("proc/meminfo", &meminfo(64 << 20)),
            ("proc/self/cgroup", "0::/system.slice/corecast.service\n"),
            ("sys/fs/cgroup/system.slice/corecast.service/memory.max", "max\n"),
            ("sys/fs/cgroup/system.slice/memory.max", "536870912\n"),
        ]);
        let finding = &examine(&group, &config)[0];
        assert!(finding.found.starts_with("the control group has 512 MiB"), "{finding:?}");
        let (_root, old) = host(&[
            ("proc/meminfo", &meminfo(64 << 20)),
            ("proc/self/cgroup", "4:memory:/a\n1:cpu:/a\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "9223372036854771712\n"),
        ]);
        assert_eq!(available(&old).unwrap().of, "this machine");
        let (_root, unknown) = host(&[]);
        assert_eq!(examine(&unknown, &config)[0].level, Level::Ok);
    }
}
