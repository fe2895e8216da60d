//! TCP as signalling uses it: a listener and its streams, the machine's or simulated ones.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use futures_util::io::{AsyncRead, AsyncWrite};

#[cfg(feature = "simulation")]
use super::simulated::net as simulated;
use crate::limits;
use crate::net::listener;

/// A connected TCP stream with the I/O traits of `futures`.
#[derive(Debug)]
pub struct TcpStream(AnyStream);

#[derive(Debug)]
enum AnyStream {
    Machine(glommio::net::TcpStream),
    #[cfg(feature = "simulation")]
    Simulated(simulated::Stream),
}

impl TcpStream {
    /// Connects.
    ///
    /// # Errors
    /// The system's; and in a simulation, where nothing is reached from here.
    pub async fn connect(address: SocketAddr) -> io::Result<Self> {
        #[cfg(feature = "simulation")]
        if super::simulated::is_running() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let stream = glommio::net::TcpStream::connect(address).await.map_err(io::Error::from)?;
        // Questions are written whole.
        let _ = stream.set_nodelay(true);
        Ok(Self(AnyStream::Machine(stream)))
    }

    /// The peer's address.
    ///
    /// # Errors
    /// The peer has left.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            AnyStream::Machine(stream) => stream.peer_addr().map_err(io::Error::from),
            #[cfg(feature = "simulation")]
            AnyStream::Simulated(stream) => Ok(stream.peer_addr()),
        }
    }

    /// The address that the peer has connected to.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            AnyStream::Machine(stream) => stream.local_addr().map_err(io::Error::from),
            #[cfg(feature = "simulation")]
            AnyStream::Simulated(stream) => Ok(stream.local_addr()),
        }
    }

    /// Waits for bytes, and copies those that are there without taking them.
    ///
    /// # Errors
    /// The system's.
    pub async fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.0 {
            AnyStream::Machine(stream) => stream.peek(buffer).await.map_err(io::Error::from),
            #[cfg(feature = "simulation")]
            AnyStream::Simulated(stream) => stream.peek(buffer).await,
        }
    }

    /// Another descriptor of the connection, for a worker.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn duplicate(&self) -> io::Result<std::net::TcpStream> {
        match &self.0 {
            AnyStream::Machine(stream) => listener::duplicate(stream),
            #[cfg(feature = "simulation")]
            AnyStream::Simulated(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            AnyStream::Machine(stream) => Pin::new(stream).poll_read(context, buffer),
            #[cfg(feature = "simulation")]
            AnyStream::Simulated(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            AnyStream::Machine(stream) => Pin::new(stream).poll_write(context, bytes),
            #[cfg(feature = "simulation")]
            AnyStream::Simulated(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            AnyStream::Machine(stream) => Pin::new(stream).poll_flush(context),
            #[cfg(feature = "simulation")]
            AnyStream::Simulated(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            AnyStream::Machine(stream) => Pin::new(stream).poll_close(context),
            #[cfg(feature = "simulation")]
            AnyStream::Simulated(stream) => Pin::new(stream).poll_close(context),
        }
    }
}

/// A listening TCP socket of the machine's, on its way to the thread that accepts from it: a start that fails can so be told before there
/// is that thread.
#[derive(Debug)]
pub struct Bound(std::net::TcpListener);

impl Bound {
    /// Listens on `address`. With port 0 the system chooses a port. If the address is in use, this blocks and tries
    /// again for a while: the kernel tears a ring down, and closes the listener in it, some time after its process has
    /// ended.
    ///
    /// # Errors
    /// The system's, mostly that the address is in use. The socket is not made by glommio's own `bind`, for two
    /// reasons. That sets `SO_REUSEPORT`, with which a second node would silently take half of the first one's
    /// connections. And it does not set `SO_REUSEADDR`, without which a node cannot start again within a minute.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let deadline = Instant::now() + limits::BIND_RETRY_MAX;
        loop {
            match listener::listen(address) {
                Ok(socket) => return Ok(Self(socket)),
                Err(error) if error.kind() != io::ErrorKind::AddrInUse || Instant::now() >= deadline => {
                    return Err(error);
                }
                Err(_) => std::thread::sleep(limits::BIND_RETRY_INTERVAL),
            }
        }
    }

    /// The address it listens on.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Accepts on this thread, which is one of the executor's.
    #[must_use]
    pub fn listen(self) -> Listener {
        Listener(AnyListener::Machine(listener::adopt(self.0)))
    }
}

/// A listening TCP socket.
pub struct Listener(AnyListener);

enum AnyListener {
    Machine(glommio::net::TcpListener),
    #[cfg(feature = "simulation")]
    Simulated(simulated::Listener),
}

impl Listener {
    /// Listens on `address`, as [`Bound::bind`] does.
    ///
    /// # Errors
    /// The system's, mostly that the address is in use.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        #[cfg(feature = "simulation")]
        if let Some(listener) = simulated::listen(address) {
            return listener.map(|listener| Self(AnyListener::Simulated(listener)));
        }
        Bound::bind(address).map(Bound::listen)
    }

    /// The address it listens on.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            AnyListener::Machine(listener) => listener.local_addr().map_err(io::Error::from),
            #[cfg(feature = "simulation")]
            AnyListener::Simulated(listener) => Ok(listener.local_addr()),
        }
    }

    /// Waits for the next connection. Never race this against another future: a connection that the kernel accepts at
    /// that moment would be lost. Give it a task of its own.
    ///
    /// # Errors
    /// The system's, like "too many open files". The listener stays usable.
    pub async fn accept(&self) -> io::Result<TcpStream> {
        match &self.0 {
            AnyListener::Machine(listener) => {
                let stream = listener.accept().await.map_err(io::Error::from)?;
                // Answers are written whole, so waiting for more data would only add latency. An error is ignored here: if the
                // socket is already gone, the next operation fails.
                let _ = stream.set_nodelay(true);
                Ok(TcpStream(AnyStream::Machine(stream)))
            }
            #[cfg(feature = "simulation")]
            AnyListener::Simulated(listener) => Ok(TcpStream(AnyStream::Simulated(listener.accept().await?))),
        }
    }
}
