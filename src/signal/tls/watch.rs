//! Checks whether the operator's files have changed, and replaces the certificates that are served.
//!
//! It compares each file's device, inode, length and times every two seconds. inotify would be faster, but it watches
//! an inode, not a path. ACME clients replace symbolic links, orchestrators rename directories, and container engines
//! mount single files; inotify misses each of these in its own way. A `stat` misses none of them and costs a
//! microsecond, and a renewal comes once in two months.
//!
//! Key and chain are two files, and one is written before the other. So files that cannot be used are read again at the
//! next look. Only if nothing was written in between is the operator told, once per change.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::certificates::Certificates;
use super::error::TlsError;
use super::resolver::CertificateSet;
use crate::config::Tls;

/// A value that changes when a file does; `None` if the file does not exist.
pub type Stamp = Option<[i64; 7]>;

/// The file's present stamp.
#[must_use]
pub fn stamp(path: &Path) -> Stamp {
    let of = fs::metadata(path).ok()?;
    // The change time moves with every write and with every rename over the name, even if a copy preserves the other
    // times.
    let (device, inode, len) = (of.dev().cast_signed(), of.ino().cast_signed(), of.len().cast_signed());
    Some([device, inode, len, of.mtime(), of.mtime_nsec(), of.ctime(), of.ctime_nsec()])
}

/// The result of a look.
#[derive(Debug, PartialEq, Eq)]
pub enum Look<E = TlsError> {
    /// Nothing has changed, or nothing since the operator was told.
    Unchanged,
    /// The new certificates are now served.
    Replaced,
    /// The files have changed but cannot be used, perhaps because they are being written.
    NotYet,
    /// The files have changed, cannot be used, and are no longer being written. The operator has to be told. The old
    /// certificates stay.
    Refused(E),
}

/// Files that belong together, as they were when they were read.
#[derive(Debug)]
pub struct Files {
    files: Vec<PathBuf>,
    read: Vec<Stamp>,
    /// The stamps with which they could not be used, and whether that was reported.
    refused: Option<(Vec<Stamp>, bool)>,
}

impl Files {
    /// Watches these. It must be made *before* they are read, so that no change is missed.
    #[must_use]
    pub fn new(files: Vec<PathBuf>) -> Self {
        let read = files.iter().map(|file| stamp(file)).collect();
        Self { files, read, refused: None }
    }

    /// Checks the files. If they have changed, it reads them and hands what they hold to `put`.
    pub fn look<T, E>(&mut self, read: impl FnOnce() -> Result<T, E>, put: impl FnOnce(T)) -> Look<E> {
        let now: Vec<Stamp> = self.files.iter().map(|file| stamp(file)).collect();
        match &self.refused {
            None if now == self.read => return Look::Unchanged,
            Some((refused, true)) if *refused == now => return Look::Unchanged,
            _ => {}
        }
        match read() {
            Ok(held) => {
                (self.read, self.refused) = (now, None);
                put(held);
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

/// The files of the certificates that are served.
#[derive(Debug)]
pub struct Watch(Files);

impl Watch {
    /// Watches the files of `tls`. It must be made *before* they are read, so that no change is missed. The self-signed
    /// pair belongs to the node and is not watched.
    #[must_use]
    pub fn new(tls: &Tls) -> Self {
        let pairs = match tls {
            Tls::SelfSigned => &[][..],
            Tls::Files(pairs) => pairs,
        };
        Self(Files::new(pairs.iter().flat_map(|pair| [pair.cert.clone(), pair.key.clone()]).collect()))
    }

    /// The files that did not exist when they were last read.
    #[must_use]
    pub fn missing(&self) -> Vec<PathBuf> {
        let files = self.0.files.iter().zip(&self.0.read);
        files.filter(|(_, stamp)| stamp.is_none()).map(|(file, _)| file.clone()).collect()
    }

    /// Whether this file existed when it was last read.
    #[must_use]
    pub fn has_read(&self, file: &Path) -> bool {
        self.0.files.iter().zip(&self.0.read).any(|(have, stamp)| have == file && stamp.is_some())
    }

    /// Checks the files. If they have changed, it reads them and puts them into `certificates`.
    pub fn look(
        &mut self,
        certificates: &Certificates,
        read: impl FnOnce() -> Result<CertificateSet, TlsError>,
    ) -> Look {
        self.0.look(read, |set| certificates.put(set))
    }
}
