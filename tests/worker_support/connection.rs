//! A path that is not UDP: a byte stream each way between a client and its worker, with datagrams framed by RFC 4571.
//!
//! Only tests have it: no backend carries such a path yet. Bytes arrive in pieces that end anywhere.

use corecast::transport::path::ConnectionId;

/// Bytes that arrive together; no frame is as long or as short.
const PIECE_BYTES: usize = 777;

pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    pub(crate) to_node: Stream,
    pub(crate) to_client: Stream,
}

impl Connection {
    pub(crate) fn new(id: u32) -> Self {
        Self { id: ConnectionId(id), to_node: Stream::default(), to_client: Stream::default() }
    }
}

/// One direction.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// Arrived and no whole frame yet.
    arrived: Vec<u8>,
}

impl Stream {
    /// A datagram as the pieces that leave.
    pub(crate) fn frame(datagram: &[u8]) -> Vec<Vec<u8>> {
        let mut frame = u16::try_from(datagram.len()).expect("a datagram").to_be_bytes().to_vec();
        frame.extend_from_slice(datagram);
        frame.chunks(PIECE_BYTES).map(<[u8]>::to_vec).collect()
    }

    /// Takes a piece; the datagrams that are whole with it.
    pub(crate) fn read(&mut self, piece: &[u8]) -> Vec<Vec<u8>> {
        self.arrived.extend_from_slice(piece);
        let mut whole = Vec::new();
        while let Some(&[a, b]) = self.arrived.first_chunk()
            && let Some(datagram) = self.arrived.get(2..2 + usize::from(u16::from_be_bytes([a, b])))
        {
            whole.push(datagram.to_vec());
            self.arrived.drain(..2 + whole[whole.len() - 1].len());
        }
        whole
    }
}
