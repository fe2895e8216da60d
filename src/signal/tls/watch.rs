//! Looks whether the operator's files have changed, and puts what they hold in place of what is served.
//!
//! By looking every two seconds at each file's device, inode, length and times. inotify would tell sooner, but watches an
//! inode, not a path: ACME clients replace symbolic links, orchestrators rename directories, and container engines mount
//! single files, each of which it misses in its own way, and a renewal comes once in two months. A `stat` misses none
//! of them and costs a microsecond.
//!
//! Key and chain are two files, and somebody writes one before the other. Files that cannot be used are therefore read
//! again at the next look, and only when nothing was written in between is the operator told: once per change.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::certificates::Certificates;
use super::error::TlsError;
use super::resolver::CertificateSet;
use crate::config::Tls;

/// What changes when a file does; `None` for one that is not there.
pub type Stamp = Option<[i64; 7]>;

/// The file's, as of now.
#[must_use]
pub fn stamp(path: &Path) -> Stamp {
    let of = fs::metadata(path).ok()?;
    // The change time moves with every write and every rename over the name, whatever a copy did to the others.
    let (device, inode, len) = (of.dev().cast_signed(), of.ino().cast_signed(), of.len().cast_signed());
    Some([device, inode, len, of.mtime(), of.mtime_nsec(), of.ctime(), of.ctime_nsec()])
}

/// What a look found.
#[derive(Debug, PartialEq, Eq)]
pub enum Look {
    /// Nothing new, or nothing new since it was told.
    Unchanged,
    /// The files' contents are served now.
    Replaced,
    /// They changed and cannot be used, perhaps because they are being written.
    NotYet,
    /// They changed, cannot be used, and nobody is writing them any more: to be told. What was served stays.
    Refused(TlsError),
}

/// The files as they were when they were read.
#[derive(Debug)]
pub struct Watch {
    files: Vec<PathBuf>,
    read: Vec<Stamp>,
    /// As they were when they could not be used, and whether that was told.
    refused: Option<(Vec<Stamp>, bool)>,
}

impl Watch {
    /// Of the files of `tls`; to be made *before* they are read, so that no change is missed. The self-signed pair is this
    /// node's own and not watched.
    #[must_use]
    pub fn new(tls: &Tls) -> Self {
        let pairs = match tls {
            Tls::SelfSigned => &[][..],
            Tls::Files(pairs) => pairs,
        };
        let files: Vec<PathBuf> = pairs.iter().flat_map(|pair| [pair.cert.clone(), pair.key.clone()]).collect();
        let read = files.iter().map(|file| stamp(file)).collect();
        Self { files, read, refused: None }
    }

    /// Those that were not there when they were last read.
    #[must_use]
    pub fn missing(&self) -> Vec<PathBuf> {
        let files = self.files.iter().zip(&self.read);
        files.filter(|(_, stamp)| stamp.is_none()).map(|(file, _)| file.clone()).collect()
    }

    /// Whether this file was there when it was last read.
    #[must_use]
    pub fn has_read(&self, file: &Path) -> bool {
        self.files.iter().zip(&self.read).any(|(have, stamp)| have == file && stamp.is_some())
    }

    /// Looks, and when something has changed, reads it and puts it into `certificates`.
    pub fn look(
        &mut self,
        certificates: &Certificates,
        read: impl FnOnce() -> Result<CertificateSet, TlsError>,
    ) -> Look {
        let now: Vec<Stamp> = self.files.iter().map(|file| stamp(file)).collect();
        match &self.refused {
            None if now == self.read => return Look::Unchanged,
            Some((refused, true)) if *refused == now => return Look::Unchanged,
            _ => {}
        }
        match read() {
            Ok(set) => {
                (self.read, self.refused) = (now, None);
                certificates.put(set);
                Look::Replaced
            }
            Err(error) => {
                let is_settled = self.refused.as_ref().is_some_and(|(refused, _)| *refused == now);
                self.refused = Some((now, is_settled));
                if is_settled { Look::Refused(error) } else { Look::NotYet }
            }
        }
    }
}
