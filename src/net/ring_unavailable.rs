//! Why io_uring cannot be used: refusals classified by cause, each with its fix in the text. [`super::ring_probe`]
//! asks.
//!
//! How the causes show: a seccomp filter answers `EPERM` (container runtimes' default) or `ENOSYS` (some);
//! `kernel.io_uring_disabled` answers `EPERM`; a kernel without it `ENOSYS`; the locked-memory limit `ENOMEM` (kernels
//! before 5.12 charge rings to it, and every kernel charges glommio's registered buffers).

use std::fmt;
use std::fs;
use std::io;

use super::process::{has_capability, locked_memory_limit};
use crate::limits;

/// `CAP_IPC_LOCK`: locked memory is not limited.
const CAP_IPC_LOCK: u32 = 14;

/// Why io_uring cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingUnavailable {
    /// `ENOSYS`: not in this kernel, or hidden by a filter.
    Missing,
    /// `EPERM` while `kernel.io_uring_disabled` has this value, which is not 0.
    Disabled {
        /// 1: only privileged processes and one group; 2: nobody.
        sysctl: u8,
    },
    /// `EPERM` or `EACCES` although the sysctl allows it: a seccomp filter or a security module.
    Forbidden,
    /// A locked-memory limit too small for the ring or the signalling executor.
    LockedMemory {
        /// The limit in bytes.
        limit_bytes: u64,
    },
    /// `ENOMEM` although that limit is large enough.
    NoMemory,
    /// `EMFILE`, `ENFILE`: no descriptor left.
    NoDescriptors,
    /// The kernel lacks a feature.
    TooOld {
        /// Which, and since when kernels have it.
        missing: &'static str,
    },
    /// Another error, as the kernel's number.
    Other(i32),
}

impl RingUnavailable {
    /// Classifies the error of making a ring.
    pub(super) fn from_setup(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::ENOSYS) => Self::Missing,
            Some(libc::EPERM | libc::EACCES) => match disabled_sysctl() {
                Some(sysctl @ 1..) => Self::Disabled { sysctl },
                _ => Self::Forbidden,
            },
            Some(libc::ENOMEM) => check_own_locked_memory().err().unwrap_or(Self::NoMemory),
            Some(libc::EMFILE | libc::ENFILE) => Self::NoDescriptors,
            Some(libc::EINVAL) => Self::TooOld { missing: "a single-issuer ring (Linux 6.0)" },
            errno => Self::Other(errno.unwrap_or(0)),
        }
    }
}

impl fmt::Display for RingUnavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str(
                "io_uring is not there (io_uring_setup: ENOSYS): use Linux 6.0 or later, and in a container a seccomp \
                 profile that allows io_uring_setup, io_uring_enter and io_uring_register",
            ),
            Self::Disabled { sysctl } => write!(
                f,
                "io_uring is disabled on this host (io_uring_setup: EPERM, kernel.io_uring_disabled = {sysctl}): run \
                 `sysctl -w kernel.io_uring_disabled=0`{}",
                if *sysctl == 1 { ", or add the process to the group named by kernel.io_uring_group" } else { "" }
            ),
            Self::Forbidden => f.write_str(
                "io_uring is forbidden to this process (io_uring_setup: EPERM), most likely by the container's \
                 seccomp profile: allow io_uring_setup, io_uring_enter and io_uring_register in it (Docker: \
                 `--security-opt seccomp=PROFILE.json`; systemd: `SystemCallFilter=@io-event io_uring_setup \
                 io_uring_enter io_uring_register`)",
            ),
            Self::LockedMemory { limit_bytes } => write!(
                f,
                "the locked-memory limit of {} KiB is too small for io_uring: raise it to at least {} KiB (`ulimit -l \
                 8192`, LimitMEMLOCK=8M in the unit, `--ulimit memlock=8388608` for a container)",
                limit_bytes / 1024,
                limits::LOCKED_MEMORY_BYTES_MIN / 1024
            ),
            Self::NoMemory => f.write_str(
                "the kernel has no memory for a ring (io_uring_setup: ENOMEM; the locked-memory limit is large enough): \
                 the host or this container's memory limit (MemoryMax=, `--memory`) is exhausted",
            ),
            Self::NoDescriptors => f.write_str(
                "no file descriptor is left for io_uring: raise the open-file limit (`ulimit -n`, or LimitNOFILE= in \
                 the unit)",
            ),
            Self::TooOld { missing } => {
                write!(f, "this kernel's io_uring lacks {missing}: use Linux 6.1 or later")
            }
            Self::Other(errno) => {
                write!(f, "io_uring_setup failed: {}", io::Error::from_raw_os_error(*errno))
            }
        }
    }
}

impl std::error::Error for RingUnavailable {}

/// Whether this process may lock what a ring and the signalling executor need.
pub(super) fn check_own_locked_memory() -> Result<(), RingUnavailable> {
    check_locked_memory(locked_memory_limit(), has_capability(CAP_IPC_LOCK))
}

fn check_locked_memory(limit_bytes: u64, unlimited: bool) -> Result<(), RingUnavailable> {
    if limit_bytes < limits::LOCKED_MEMORY_BYTES_MIN && !unlimited {
        return Err(RingUnavailable::LockedMemory { limit_bytes });
    }
    Ok(())
}

/// `kernel.io_uring_disabled` (Linux 6.6).
fn disabled_sysctl() -> Option<u8> {
    fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_locked_memory_is_refused_unless_the_process_may_lock_any() {
        let little = limits::LOCKED_MEMORY_BYTES_MIN - 1;
        assert_eq!(check_locked_memory(little, true), Ok(()));
        assert_eq!(check_locked_memory(little + 1, false), Ok(()));
        let refused = check_locked_memory(little, false).unwrap_err().to_string();
        assert!(refused.contains("511 KiB") && refused.contains("ulimit -l"), "{refused}");
    }

    #[test]
    fn each_refusal_has_its_own_cause_and_fix() {
        let texts = [
            (libc::ENOSYS, "ENOSYS"),
            (libc::EPERM, "seccomp"),
            (libc::ENOMEM, "limit"),
            (libc::EMFILE, "ulimit -n"),
            (libc::EINVAL, "Linux 6.1"),
        ];
        for (errno, fix) in texts {
            let text = RingUnavailable::from_setup(&io::Error::from_raw_os_error(errno)).to_string();
            assert!(text.contains(fix), "{text}");
        }
        assert!(RingUnavailable::Disabled { sysctl: 2 }.to_string().contains("sysctl -w kernel.io_uring_disabled=0"));
    }
}
