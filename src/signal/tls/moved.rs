//! A TLS session that leaves this thread after its handshake, with the connection it is on ([`crate::net::TlsSession`]).

use std::io::{self, Read as _, Write as _};

use rustls::ServerConnection;

use crate::net::TlsSession;

/// The session. It does no I/O.
#[derive(Debug)]
pub(in crate::signal) struct Moved(ServerConnection);

impl Moved {
    pub(in crate::signal) const fn new(session: ServerConnection) -> Self {
        Self(session)
    }

    /// Takes what is decrypted. `false` at the end of the stream.
    fn take(&mut self, plain: &mut Vec<u8>) -> io::Result<bool> {
        match self.0.reader().read_to_end(plain) {
            Ok(_) => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
            Err(error) => Err(error),
        }
    }

    fn drain(&mut self, wire: &mut Vec<u8>) -> io::Result<()> {
        while self.0.wants_write() {
            self.0.write_tls(wire)?;
        }
        Ok(())
    }
}

impl TlsSession for Moved {
    fn open(&mut self, mut wire: &[u8], plain: &mut Vec<u8>, answer: &mut Vec<u8>) -> io::Result<bool> {
        // What came with the session and was not read.
        let mut is_open = self.take(plain)?;
        while is_open && !wire.is_empty() {
            self.0.read_tls(&mut wire)?;
            let taken = self.0.process_new_packets();
            // An alert, where the peer misbehaved; an answer to its key update.
            self.drain(answer)?;
            taken.map_err(io::Error::other)?;
            is_open = self.take(plain)?;
        }
        Ok(is_open)
    }

    fn seal(&mut self, plain: &[u8], wire: &mut Vec<u8>) -> io::Result<()> {
        let mut rest = plain;
        while !rest.is_empty() {
            let taken = self.0.writer().write(rest)?;
            rest = rest.get(taken..).unwrap_or_default();
            self.drain(wire)?;
            if taken == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }
}
