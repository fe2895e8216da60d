//! The memory limit of this process' control group: version 2, and version 1 where it still is.
//!
//! The limit of a group above holds too, so the group that counts is the one with the least limit on the way up. What the
//! kernel can take back at once (cached file pages that nobody used lately) does not count as used.

use std::fs;
use std::path::{Path, PathBuf};

/// A control group with a memory limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlGroup {
    directory: PathBuf,
    files: &'static Files,
}

/// The names of a version's files.
#[derive(Debug, PartialEq, Eq)]
struct Files {
    root: &'static str,
    limit: &'static str,
    usage: &'static str,
    /// The line of `memory.stat` with what can be taken back.
    reclaimable: &'static str,
}

const VERSION_2: Files =
    Files { root: "sys/fs/cgroup", limit: "memory.max", usage: "memory.current", reclaimable: "inactive_file" };

const VERSION_1: Files = Files {
    root: "sys/fs/cgroup/memory",
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    reclaimable: "total_inactive_file",
};

impl ControlGroup {
    /// The group that limits this process, of the host whose files are below `root` (`/`, but in tests). `None` without a
    /// limit.
    #[must_use]
    pub fn find(root: &Path) -> Option<Self> {
        let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
        let limited = groups.lines().flat_map(|line| {
            let mut fields = line.splitn(3, ':');
            let (_, controllers, path) = (fields.next(), fields.next(), fields.next());
            let files = match controllers {
                Some("") => Some(&VERSION_2),
                Some("memory") => Some(&VERSION_1),
                _ => None,
            };
            let path = path.unwrap_or_default().trim_matches('/').to_owned();
            files.into_iter().flat_map(move |files| Self::upwards(root, files, &path))
        });
        limited
            .filter_map(|group| Some((group.limit_bytes()?, group)))
            .min_by_key(|(limit, _)| *limit)
            .map(|(_, group)| group)
    }

    /// A group and all above it. Inside a container the path may be the host's; those that do not exist have no limit.
    fn upwards(root: &Path, files: &'static Files, path: &str) -> Vec<Self> {
        let top = root.join(files.root);
        let mut groups = vec![Self { directory: top.clone(), files }];
        let mut directory = top;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            directory.push(name);
            groups.push(Self { directory: directory.clone(), files });
        }
        groups
    }

    /// Its limit now; `None` where there is none.
    #[must_use]
    pub fn limit_bytes(&self) -> Option<u64> {
        let limit: u64 = self.text(self.files.limit)?.trim().parse().ok()?;
        // Version 1 writes "no limit" as a number near 2⁶³.
        (limit < 1 << 60).then_some(limit)
    }

    /// What is used of it and cannot be taken back at once.
    #[must_use]
    pub fn used_bytes(&self) -> Option<u64> {
        let usage: u64 = self.text(self.files.usage)?.trim().parse().ok()?;
        let stat = self.text("memory.stat").unwrap_or_default();
        let reclaimable = stat.lines().find_map(|line| line.strip_prefix(self.files.reclaimable)?.trim().parse().ok());
        Some(usage.saturating_sub(reclaimable.unwrap_or(0)))
    }

    fn text(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.directory.join(file)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A host with these files.
    fn host(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn the_least_limit_on_the_way_up_counts_in_both_versions() {
        let two = host(&[
            ("proc/self/cgroup", "0::/system.slice/corecast.service\n"),
            ("sys/fs/cgroup/system.slice/corecast.service/memory.max", "max\n"),
            ("sys/fs/cgroup/system.slice/memory.max", "1000\n"),
            ("sys/fs/cgroup/system.slice/memory.current", "700\n"),
            ("sys/fs/cgroup/system.slice/memory.stat", "anon 500\nfile 200\ninactive_file 150\n"),
        ]);
        let group = ControlGroup::find(two.path()).unwrap();
        assert_eq!((group.limit_bytes(), group.used_bytes()), (Some(1_000), Some(550)));
        // The limit may change while the process runs.
        fs::write(two.path().join("sys/fs/cgroup/system.slice/memory.max"), "900").unwrap();
        assert_eq!(group.limit_bytes(), Some(900));
        let one = host(&[
            ("proc/self/cgroup", "4:memory:/a/b\n1:cpu:/a\n0::/\n"),
            ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "5000\n"),
            ("sys/fs/cgroup/memory/a/b/memory.usage_in_bytes", "4000\n"),
            ("sys/fs/cgroup/memory/a/b/memory.stat", "inactive_file 1\ntotal_inactive_file 1000\n"),
        ]);
        let group = ControlGroup::find(one.path()).unwrap();
        assert_eq!((group.limit_bytes(), group.used_bytes()), (Some(5_000), Some(3_000)));
        assert_eq!(ControlGroup::find(host(&[("proc/self/cgroup", "0::/\n")]).path()), None);
        assert_eq!(ControlGroup::find(host(&[]).path()), None);
    }
}
