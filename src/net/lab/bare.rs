//! Sending and nothing else: equal trains to fixed destinations, every message prepared beforehand. It is the kernel's
//! half of the floor that `corecast bench` measures the relay against (feature `bench`); the node never uses it.
//!
//! Left out, because they are what a relay adds to this: choosing packets, results per train, offload refusals, several
//! sockets. A refused send is only counted.

use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};

use io_uring::{IoUring, opcode, types};

use crate::net::message::{Name, OutgoingControl};
use crate::net::send::SEND_FLAGS;
use crate::net::socket::MediaSockets;
use crate::net::start_error::StartError;

/// How messages are handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BareMode {
    /// One `sendmmsg` for a batch.
    Calls,
    /// One ring submission for a batch, an entry for each message.
    Entries,
}

/// Trains to fixed destinations over one socket with the same options as a worker's.
pub struct BareSender {
    sockets: MediaSockets,
    names: Box<[Name]>,
    name_bytes: u32,
    headers: Box<[libc::mmsghdr]>,
    vectors: Box<[libc::iovec]>,
    control: Box<OutgoingControl>,
    ring: Option<IoUring>,
    /// Messages the kernel did not take.
    pub refused: u64,
}

impl std::fmt::Debug for BareSender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BareSender").field("destinations", &self.names.len()).finish_non_exhaustive()
    }
}

impl BareSender {
    /// A sender of batches of at most `batch_max` messages; destinations are named by their place in the list and are
    /// of one family. Without a ring (io_uring forbidden) [`BareMode::Entries`] is [`BareMode::Calls`].
    ///
    /// # Errors
    /// The socket could not be made.
    pub fn open(local: std::net::IpAddr, destinations: &[SocketAddr], batch_max: usize) -> Result<Self, StartError> {
        let sockets = MediaSockets::open(&[local], 0)?;
        let mut names = vec![Name::EMPTY; destinations.len()].into_boxed_slice();
        let mut name_bytes = 0;
        for (name, destination) in names.iter_mut().zip(destinations) {
            name_bytes = name.write(destination);
        }
        // SAFETY: both are plain C structures of integers and pointers, for which all zeroes is a valid value.
        let (header, vector): (libc::mmsghdr, libc::iovec) = unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
        let entries = u32::try_from(batch_max.next_power_of_two()).unwrap_or(256);
        let ring = IoUring::builder().setup_single_issuer().setup_defer_taskrun().build(entries).ok();
        let ring = ring.filter(|ring| {
            let descriptors: Vec<_> = sockets.descriptors().map(|fd| fd.as_raw_fd()).collect();
            ring.submitter().register_files(&descriptors).is_ok()
        });
        Ok(Self {
            sockets,
            names,
            name_bytes,
            headers: vec![header; batch_max].into_boxed_slice(),
            vectors: vec![vector; batch_max].into_boxed_slice(),
            control: Box::new(OutgoingControl::EMPTY),
            ring,
            refused: 0,
        })
    }

    /// Whether there is a ring.
    #[must_use]
    pub fn has_ring(&self) -> bool {
        self.ring.is_some()
    }

    /// Sends `count` trains that lie one after the other in `bytes`, each `train_bytes` long and cut every
    /// `segment_bytes`, to the destinations `first`, `first + 1` and so on.
    ///
    /// # Panics
    /// There are fewer bytes, destinations or message slots than that.
    pub fn send(
        &mut self,
        mode: BareMode,
        bytes: &[u8],
        first: usize,
        count: usize,
        train_bytes: usize,
        segment_bytes: u16,
    ) {
        assert!(bytes.len() >= count * train_bytes && first + count <= self.names.len() && count <= self.headers.len());
        self.control.clear();
        if train_bytes > usize::from(segment_bytes) {
            self.control.push_segment_size(segment_bytes);
        }
        let control = self.control.as_mut_bytes();
        let (control, control_bytes) = (control.as_mut_ptr(), control.len());
        for (slot, train) in bytes.chunks_exact(train_bytes).take(count).enumerate() {
            let vector = &mut self.vectors[slot];
            vector.iov_base = train.as_ptr().cast_mut().cast();
            vector.iov_len = train_bytes;
            let header = &mut self.headers[slot].msg_hdr;
            header.msg_name = self.names[first + slot].0.as_mut_ptr().cast();
            header.msg_namelen = self.name_bytes;
            header.msg_iov = &raw mut *vector;
            header.msg_iovlen = 1;
            header.msg_control = if control_bytes == 0 { std::ptr::null_mut() } else { control.cast() };
            header.msg_controllen = control_bytes as _;
        }
        match (mode, &mut self.ring) {
            (BareMode::Entries, Some(ring)) => self.refused += by_entries(ring, &self.headers[..count]),
            _ => self.refused += by_calls(&self.sockets, &mut self.headers[..count]),
        }
    }
}

/// Returns the messages that were not taken.
fn by_calls(sockets: &MediaSockets, mut headers: &mut [libc::mmsghdr]) -> u64 {
    let Some(socket) = sockets.descriptors().next() else { return 0 };
    let mut refused = 0;
    while !headers.is_empty() {
        // SAFETY: the headers were filled by `send`: names, vectors and the control message lie in boxes of the sender
        // and the payloads in the caller's slice, all of which outlive the call. The kernel writes `msg_len` only.
        let taken = unsafe {
            libc::sendmmsg(
                socket.as_fd().as_raw_fd(),
                headers.as_mut_ptr(),
                headers.len() as libc::c_uint,
                SEND_FLAGS as _,
            )
        };
        let done = match usize::try_from(taken) {
            Ok(taken) if taken > 0 => taken,
            _ => {
                refused += 1;
                1
            }
        };
        headers = &mut headers[done..];
    }
    refused
}

/// Returns the messages that were not taken.
fn by_entries(ring: &mut IoUring, headers: &[libc::mmsghdr]) -> u64 {
    let mut submission = ring.submission();
    for header in headers {
        let entry = opcode::SendMsg::new(types::Fixed(0), &raw const header.msg_hdr).flags(SEND_FLAGS as u32).build();
        // SAFETY: what the entry points to outlives `send`, which waits for every completion below.
        unsafe { submission.push(&entry) }.expect("the ring has an entry for each message of a batch");
    }
    drop(submission);
    let mut refused = 0;
    let mut left = headers.len();
    while left > 0 {
        ring.submit_and_wait(left).expect("a ring that was made can be entered");
        for completion in ring.completion() {
            left -= 1;
            refused += u64::from(completion.result() < 0);
        }
    }
    refused
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, UdpSocket};

    use super::*;

    #[test]
    fn trains_arrive_cut_into_segments_at_their_destinations_in_both_modes() {
        let receivers: Vec<UdpSocket> = (0..3).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        let addresses: Vec<SocketAddr> = receivers.iter().map(|socket| socket.local_addr().unwrap()).collect();
        let mut sender = BareSender::open(IpAddr::V4(Ipv4Addr::LOCALHOST), &addresses, 4).unwrap();
        for (mode, segments) in
            [(BareMode::Calls, 3), (BareMode::Entries, 3), (BareMode::Calls, 1), (BareMode::Entries, 1)]
        {
            let bytes: Vec<u8> = (0..2 * segments).flat_map(|packet| vec![packet as u8; 100]).collect();
            sender.send(mode, &bytes, 1, 2, segments * 100, 100);
            for (train, receiver) in receivers[1..].iter().enumerate() {
                receiver.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
                for segment in 0..segments {
                    let mut buffer = [0; 200];
                    assert_eq!(receiver.recv(&mut buffer).unwrap(), 100);
                    assert_eq!(usize::from(buffer[0]), train * segments + segment);
                }
            }
        }
        assert_eq!(sender.refused, 0);
    }
}
