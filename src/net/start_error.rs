//! Errors of setting up sockets and rings, each with what the operator can do about it.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use super::ring_unavailable::RingUnavailable;

/// A start-up error of this layer.
#[derive(Debug)]
pub enum StartError {
    /// A UDP socket could not be opened on this address.
    Bind {
        /// The address and port.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// A socket refused an option that the node needs.
    SocketOption {
        /// The option's name.
        option: &'static str,
        /// The socket's address.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// More addresses than one worker may have sockets ([`crate::limits::SOCKETS_PER_WORKER_MAX`]).
    TooManyAddresses {
        /// How many were asked for.
        asked: usize,
    },
    /// io_uring cannot be used.
    Ring(RingUnavailable),
    /// A descriptor of the event loop could not be made.
    EventLoop {
        /// What was being made.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind { address, source } => {
                write!(f, "cannot open UDP {address}: {source}")?;
                match source.kind() {
                    io::ErrorKind::AddrInUse => write!(
                        f,
                        "; another process holds the port (`ss -ulpn sport = :{}` shows it): end it or choose \
                         another --media-port-base",
                        address.port()
                    ),
                    io::ErrorKind::AddrNotAvailable => {
                        write!(f, "; no interface of this host has that address (`ip address` lists them)")
                    }
                    io::ErrorKind::PermissionDenied => {
                        write!(f, "; ports below 1024 need CAP_NET_BIND_SERVICE: choose a higher --media-port-base")
                    }
                    _ => Ok(()),
                }
            }
            Self::SocketOption { option, address, source } => {
                write!(f, "the kernel refused {option} on UDP {address}: {source}")
            }
            Self::TooManyAddresses { asked } => write!(
                f,
                "{asked} media addresses: at most {}; name fewer, or none to serve on all of them",
                crate::limits::SOCKETS_PER_WORKER_MAX
            ),
            Self::Ring(unavailable) => unavailable.fmt(f),
            Self::EventLoop { what, source } => {
                write!(f, "cannot make {what}: {source}")?;
                if source.raw_os_error() == Some(libc::EMFILE) {
                    write!(f, "; raise the open-file limit (`ulimit -n`, or LimitNOFILE= in the unit)")?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Bind { source, .. } | Self::SocketOption { source, .. } | Self::EventLoop { source, .. } => {
                Some(source)
            }
            Self::Ring(unavailable) => Some(unavailable),
            Self::TooManyAddresses { .. } => None,
        }
    }
}

impl From<RingUnavailable> for StartError {
    fn from(unavailable: RingUnavailable) -> Self {
        Self::Ring(unavailable)
    }
}
