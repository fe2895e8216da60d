//! A network for one bench: a thread moves into a new network namespace with an interface that accepts packets as a
//! network card does and frees them. The host's network is not touched, and the namespace ends with its thread.
//!
//! The interface is an `ifb`: the kernel walks its whole transmit path (route, neighbour, queue, segmentation in
//! software unless the interface is said to do it) and the device drops what reaches it.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::thread;

use crate::net::syscall::check;

/// The address of the interface; everything in [`SINK_PREFIX`] leaves through it.
pub const SINK_LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

/// The first octet of the addresses behind the interface (`10.0.0.0/8`).
pub const SINK_PREFIX: u8 = 10;

/// Why the network could not be made.
#[derive(Debug)]
pub enum NamespaceError {
    /// The kernel does not let this process make a network namespace.
    Forbidden(io::Error),
    /// A command of iproute2 or ethtool could not be run.
    Missing(&'static str, io::Error),
    /// The command ran and failed.
    Failed(String),
}

impl fmt::Display for NamespaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forbidden(error) => write!(f, "no network namespace may be made ({error}): run it as root"),
            Self::Missing(program, error) => write!(f, "`{program}` cannot be run ({error}): install it"),
            Self::Failed(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for NamespaceError {}

/// Runs `body` on a thread in a new network namespace with a NIC-like sink at [`SINK_LOCAL`] whose segmentation is the
/// kernel's own, as with most cloud interfaces. A panic of `body` goes on in the caller.
///
/// # Errors
/// Why the namespace could not be made; `body` has not begun then.
pub fn with_nic_like_sink<T: Send>(body: impl FnOnce() -> T + Send) -> Result<T, NamespaceError> {
    let run = move || {
        // SAFETY: no pointers are passed; it concerns the calling thread only.
        check(unsafe { libc::unshare(libc::CLONE_NEWNET) }).map_err(NamespaceError::Forbidden)?;
        command("ip", &["link", "set", "lo", "up"])?;
        command("ip", &["link", "add", "sink", "type", "ifb"])?;
        command("ip", &["address", "add", "10.0.0.1/8", "dev", "sink"])?;
        command("ip", &["link", "set", "sink", "up"])?;
        command("ethtool", &["-K", "sink", "tx-udp-segmentation", "off"])?;
        Ok(body())
    };
    thread::scope(|scope| match scope.spawn(run).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

fn command(program: &'static str, arguments: &[&str]) -> Result<(), NamespaceError> {
    let output =
        Command::new(program).args(arguments).output().map_err(|error| NamespaceError::Missing(program, error))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(NamespaceError::Failed(format!("`{program} {}`: {}", arguments.join(" "), text.trim())))
}
