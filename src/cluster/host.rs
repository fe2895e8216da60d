//! Addresses of hosts by their names. The system's resolver blocks, so it is asked on a thread of its own.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::limits;

static ASKING: AtomicUsize = AtomicUsize::new(0);

/// A place among those who ask. It is freed on drop.
struct Asking;

impl Asking {
    fn begin() -> Option<Self> {
        let place = |asking: usize| (asking < limits::RESOLVER_THREADS_MAX).then_some(asking + 1);
        ASKING.fetch_update(Ordering::Relaxed, Ordering::Relaxed, place).is_ok().then_some(Self)
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        ASKING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The address of a host, which may be one already.
///
/// # Errors
/// There is no such host, or too many names are being asked for.
pub(super) async fn address_of(host: &str, port: u16) -> io::Result<SocketAddr> {
    if let Ok(ip) = host.parse() {
        return Ok(SocketAddr::new(ip, port));
    }
    let asking = Asking::begin().ok_or_else(|| io::Error::other("too many names are being asked for"))?;
    let (answer, resolved) = flume::bounded(1);
    let host: Arc<str> = host.into();
    let name = host.clone();
    thread::Builder::new().name("resolve".to_owned()).spawn(move || {
        let found = (&*name, port).to_socket_addrs().ok().and_then(|mut addresses| addresses.next());
        drop(asking);
        let _ = answer.send(found);
    })?;
    match resolved.recv_async().await {
        Ok(Some(address)) => Ok(address),
        _ => Err(io::Error::other(format!("{host}: there is no such host"))),
    }
}
