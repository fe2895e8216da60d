//! The files in which a host describes itself, `/proc` and `/sys`. Tests replace their root.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The root of `/proc` and `/sys`.
#[derive(Clone, Debug)]
pub(super) struct System {
    root: PathBuf,
}

impl Default for System {
    fn default() -> Self {
        Self::at("/")
    }
}

impl System {
    /// A host whose files are below `root`.
    pub(super) fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The real path of `path`, which is written without the leading slash: `proc/sys/net/core/rmem_max`.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// A file's text without surrounding white space; `None` if the host has no such file.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.path(path)).ok().map(|text| text.trim().to_owned())
    }

    /// The single value that a file holds.
    pub(super) fn value<T: FromStr>(&self, path: &str) -> Option<T> {
        self.text(path)?.parse().ok()
    }

    /// The names in a directory, sorted; none if there is no such directory.
    pub(super) fn names(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(path)).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort_unstable();
        names
    }

    /// The target of a symbolic link.
    pub(super) fn link(&self, path: &Path) -> Option<String> {
        Some(fs::read_link(self.root.join(path)).ok()?.to_string_lossy().into_owned())
    }
}

/// Parses a list of cores as the kernel writes it (`0,2-3`). Empty text means no core.
#[must_use]
pub(super) fn core_list(text: &str) -> Vec<u16> {
    crate::config::parse_cores(text).unwrap_or_default()
}

/// Bytes in a readable unit: `4 MiB`, `208 KiB`, `100 bytes`. MiB only for exact multiples; KiB are rounded down.
#[must_use]
pub(super) fn bytes_text(bytes: u64) -> String {
    const KIB: u64 = 1024;
    const MIB: u64 = KIB * KIB;
    match bytes {
        MIB.. if bytes.is_multiple_of(MIB) => format!("{} MiB", bytes / MIB),
        KIB.. => format!("{} KiB", bytes / KIB),
        _ => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_told_in_the_unit_that_fits() {
        for (bytes, text) in [(4_194_304, "4 MiB"), (212_992, "208 KiB"), (1_500, "1 KiB"), (100, "100 bytes")] {
            assert_eq!(bytes_text(bytes), text);
        }
    }

    #[test]
    fn an_empty_core_list_is_no_core() {
        assert!(core_list("").is_empty());
        assert_eq!(core_list("2-3"), [2, 3]);
    }
}
