//! A listening TCP socket with the options this node wants; the signalling executor cannot set them.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the kernel completes ahead of `accept`. A join storm fills this queue for a moment.
const BACKLOG: i32 = 1024;

/// Listens on `address` with `SO_REUSEADDR` and without `SO_REUSEPORT`: a node that was just stopped can start again
/// while the kernel still remembers its connections (`TIME_WAIT`, a minute), and two nodes cannot share a port
/// unnoticed.
///
/// # Errors
/// The system's, above all that the address is in use.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Another descriptor of a connection, for another thread and library. Both must be closed.
///
/// # Errors
/// The system's: there are no descriptors left.
pub fn duplicate(stream: &impl AsRawFd) -> io::Result<TcpStream> {
    // SAFETY: the descriptor is open as long as `stream` is borrowed.
    let borrowed = unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) };
    Ok(TcpStream::from(borrowed.try_clone_to_owned()?))
}

/// Hands a listening socket to another library's listener type.
#[must_use]
pub fn adopt<L: FromRawFd>(listener: TcpListener) -> L {
    // SAFETY: the descriptor is open, listens, and is given away: nobody else closes or uses it.
    unsafe { L::from_raw_fd(listener.into_raw_fd()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn a_port_whose_connections_were_just_closed_can_be_listened_on_again() {
        // A loopback address of this test's own, so that no other socket gets the port in between.
        let first = listen("127.0.0.72:0".parse().unwrap()).unwrap();
        let address = first.local_addr().unwrap();
        let mut client = TcpStream::connect(address).unwrap();
        // The listening side closes first, so its end stays in TIME_WAIT.
        drop(first.accept().unwrap());
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        drop((client, first));
        listen(address).unwrap();
    }

    #[test]
    fn a_port_somebody_listens_on_is_in_use() {
        let first = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let error = listen(first.local_addr().unwrap()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
