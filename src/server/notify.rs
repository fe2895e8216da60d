//! Messages to the service manager: `READY=1`, `RELOADING=1`, `STATUS=`, `WATCHDOG=1` and `STOPPING=1`, as datagrams to
//! the socket named in `NOTIFY_SOCKET`. The node needs nothing else of `sd_notify(3)`. Without `NOTIFY_SOCKET` nothing
//! is sent.
//!
//! Left out: `MAINPID` (the node does not fork), descriptors, and `vsock:` addresses (a virtual machine's manager).

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The connection to the service manager, if there is one.
#[derive(Debug, Default)]
pub(super) struct Notifier(Option<Manager>);

#[derive(Debug)]
struct Manager {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl Notifier {
    /// Connects to the socket in `NOTIFY_SOCKET`. A socket that cannot be used is logged, because the manager will wait
    /// for `READY=1` in vain.
    pub(super) fn from_environment() -> Self {
        let Some(name) = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else { return Self(None) };
        match Manager::new(&name) {
            Ok(manager) => Self(Some(manager)),
            Err(error) => {
                tracing::warn!(socket = %name.to_string_lossy(), %error, "NOTIFY_SOCKET cannot be used: the service \
                    manager is told nothing; set it to a socket's path or to @ and an abstract name");
                Self(None)
            }
        }
    }

    /// To the socket at `path`.
    #[cfg(test)]
    pub(super) fn to(path: &std::path::Path) -> Self {
        Self(Manager::new(path.as_os_str()).ok())
    }

    /// Tells that the node serves; `status` is one line about it.
    pub(super) fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={status}"));
    }

    /// Tells that a reload has begun now; [`Self::ready`] ends it (`sd_notify(3)`, `Type=notify-reload`).
    pub(super) fn reloading(&self) {
        let now_us = crate::net::now().as_nanos() / 1_000;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={now_us}\nSTATUS=reading the configuration again"));
    }

    /// Tells that all threads have answered their heartbeats.
    pub(super) fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    /// Sets the line that `systemctl status` shows.
    pub(super) fn status(&self, status: &str) {
        self.send(&format!("STATUS={status}"));
    }

    /// Tells that shutdown has begun, for the reason in `status`.
    pub(super) fn stopping(&self, status: &str) {
        self.send(&format!("STOPPING=1\nSTATUS={status}"));
    }

    fn send(&self, state: &str) {
        let Some(manager) = &self.0 else { return };
        if let Err(error) = manager.socket.send_to_addr(state.as_bytes(), &manager.address) {
            tracing::debug!(%error, "the service manager could not be told");
        }
    }
}

impl Manager {
    fn new(name: &OsStr) -> io::Result<Self> {
        let address = match name.as_bytes() {
            [b'@', abstract_name @ ..] => SocketAddr::from_abstract_name(abstract_name)?,
            [b'/', ..] => SocketAddr::from_pathname(name)?,
            _ => return Err(io::Error::other("not a path and not an abstract name")),
        };
        let socket = UnixDatagram::unbound()?;
        // A manager that does not read must not stop the node.
        socket.set_nonblocking(true)?;
        Ok(Self { socket, address })
    }
}

/// How often the manager wants to hear from this process (`WatchdogSec=`), if it does: `WATCHDOG_USEC`, unless
/// `WATCHDOG_PID` names another process.
pub(super) fn watchdog_interval() -> Option<Duration> {
    let text = |name| env::var(name).ok();
    interval(text("WATCHDOG_USEC").as_deref(), text("WATCHDOG_PID").as_deref(), std::process::id())
}

fn interval(microseconds: Option<&str>, pid: Option<&str>, own_pid: u32) -> Option<Duration> {
    if pid.is_some_and(|pid| pid.parse() != Ok(own_pid)) {
        return None;
    }
    microseconds?.parse().ok().filter(|microseconds| *microseconds > 0).map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_interval_applies_to_the_named_process_only() {
        let second = Some(Duration::from_secs(1));
        for (microseconds, pid, expected) in [
            (Some("1000000"), None, second),
            (Some("1000000"), Some("7"), second),
            (Some("1000000"), Some("8"), None),
            (Some("1000000"), Some("x"), None),
            (Some("0"), None, None),
            (Some("soon"), None, None),
            (None, Some("7"), None),
        ] {
            assert_eq!(interval(microseconds, pid, 7), expected, "{microseconds:?} {pid:?}");
        }
    }

    #[test]
    fn a_socket_path_and_an_abstract_name_are_reached_others_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let abstract_name = format!("corecast-notify-{}", std::process::id());
        let sockets = [
            (path.as_os_str().to_owned(), UnixDatagram::bind(&path).unwrap()),
            (
                format!("@{abstract_name}").into(),
                UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&abstract_name).unwrap()).unwrap(),
            ),
        ];
        for (name, socket) in &sockets {
            Notifier(Some(Manager::new(name).unwrap())).ready("serving");
            let mut datagram = [0; 64];
            let len = socket.recv(&mut datagram).unwrap();
            assert_eq!(&datagram[..len], b"READY=1\nSTATUS=serving");
        }
        assert!(Manager::new(OsStr::new("vsock:2:1")).is_err());
    }

    #[test]
    fn a_manager_that_does_not_read_does_not_block_the_node() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let _never_read = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier(Some(Manager::new(path.as_os_str()).unwrap()));
        for _ in 0..10_000 {
            notifier.alive();
        }
    }
}
