//! Asks the kernel whether this process may use io_uring. A refusal is explained by [`RingUnavailable`].
//!
//! The signalling executor (glommio) needs io_uring as the workers do, and panics with a misleading text when it is
//! refused. The node therefore asks before it starts any thread. [`probe`] makes a ring and drops it.

use super::ring_unavailable::{RingUnavailable, check_own_locked_memory};
use super::uring::Ring;

/// Makes a ring like a worker's and drops it; checks the locked-memory limit for the signalling executor. Raise that
/// limit first ([`super::process::raise_locked_memory`]).
///
/// # Errors
/// Why io_uring cannot be used, with the fix in its text.
pub fn probe() -> Result<(), RingUnavailable> {
    drop(Ring::new(8, 16)?);
    check_own_locked_memory()
}

/// As [`probe`], and says what kind of ring this kernel makes: `single issuer, deferred task work`.
///
/// # Errors
/// As [`probe`].
pub fn describe() -> Result<&'static str, RingUnavailable> {
    probe()?;
    Ok(Ring::new(8, 16)?.flavour())
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::thread;

    use super::*;
    use crate::net::{IoKind, MediaSockets, StartError, open_io};

    /// Runs `body` on a thread whose `io_uring_setup` answers `errno`, by a seccomp filter as containers have. (Of the
    /// whole process it would be the same filter, installed before `exec`.)
    fn denied<R: Send + 'static>(errno: i32, body: impl FnOnce() -> R + Send + 'static) -> R {
        // Classic BPF: load the system call's number; is it io_uring_setup? then the error, else allowed.
        let statement = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
        let load = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
        let jump_if_equal = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
        let answer = (libc::BPF_RET | libc::BPF_K) as u16;
        let mut filter = [
            statement(load, 0, 0, 0),
            statement(jump_if_equal, 0, 1, libc::SYS_io_uring_setup as u32),
            statement(answer, 0, 0, libc::SECCOMP_RET_ERRNO | errno as u32),
            statement(answer, 0, 0, libc::SECCOMP_RET_ALLOW),
        ];
        thread::spawn(move || {
            let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
            // SAFETY: no pointers are passed.
            assert_eq!(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }, 0);
            // SAFETY: the kernel copies the program, which outlives the call; it binds the calling thread only.
            let set = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
            assert_eq!(set, 0, "{}", io::Error::last_os_error());
            body()
        })
        .join()
        .unwrap()
    }

    #[test]
    fn io_uring_may_be_used_here() {
        assert_eq!(probe(), Ok(()));
    }

    #[test]
    fn a_container_that_forbids_io_uring_is_named_as_the_cause() {
        let forbidden = denied(libc::EPERM, probe).unwrap_err();
        assert_eq!(forbidden, RingUnavailable::Forbidden);
        assert!(forbidden.to_string().contains("seccomp"), "{forbidden}");
        assert_eq!(denied(libc::ENOSYS, probe), Err(RingUnavailable::Missing));
        // Tests run with the limits of the user who runs them; with any limit the cause is memory.
        let enough = check_own_locked_memory();
        assert_eq!(denied(libc::ENOMEM, probe), Err(enough.err().unwrap_or(RingUnavailable::NoMemory)));
    }

    #[test]
    fn forbidden_io_uring_makes_auto_use_plain_calls_and_uring_an_error() {
        let open = |kind| {
            denied(libc::EPERM, move || {
                let sockets = MediaSockets::open(&["127.0.0.1".parse().unwrap()], 0).unwrap();
                open_io(kind, sockets).map(|opened| (opened.io.name(), opened.reason))
            })
        };
        let (name, reason) = open(IoKind::Auto).unwrap();
        assert_eq!(name, "mmsg");
        assert!(reason.starts_with("io_uring is forbidden"), "{reason}");
        assert!(matches!(open(IoKind::Uring), Err(StartError::Ring(RingUnavailable::Forbidden))));
    }
}
