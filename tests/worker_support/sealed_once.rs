//! The rule that must never break (RFC 7714 §8.1): under one key, a (synchronisation source, packet index) belongs to
//! one sequence of bytes.

use std::collections::HashMap;
use std::fmt;

use corecast::wire::demux::{self, DatagramKind};
use corecast::wire::rtp::RtpHeader;
use corecast::wire::sequence;

/// Watches every SRTP and SRTCP packet the node seals, whether the network took it or not. A `key` names a session:
/// it has one sending key for life.
#[derive(Debug, Default)]
pub(crate) struct SealedOnce {
    newest: HashMap<(usize, u32), u64>,
    rtp: HashMap<(usize, u32, u64), Vec<u8>>,
    rtcp: HashMap<(usize, u32, u32), Vec<u8>>,
    /// Packets that were the same as one before.
    pub(crate) repeats: u64,
}

/// Two packets under one nonce.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SealedTwice {
    pub(crate) key: usize,
    pub(crate) ssrc: u32,
    pub(crate) index: u64,
}

impl fmt::Display for SealedTwice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, ssrc, index } = self;
        write!(f, "client {key}: SSRC {ssrc:#x}, index {index} was sealed with two different contents")
    }
}

impl SealedOnce {
    pub(crate) fn observe(&mut self, key: usize, datagram: &[u8]) -> Result<(), SealedTwice> {
        match demux::classify(datagram) {
            DatagramKind::Rtp => {
                let header = RtpHeader::parse(datagram).expect("the node writes whole headers");
                let ssrc = header.ssrc;
                let newest = self.newest.entry((key, ssrc)).or_insert(u64::from(header.sequence));
                let index = sequence::extend(*newest, header.sequence);
                *newest = index.max(*newest);
                self.compare_rtp(key, ssrc, index, datagram)
            }
            DatagramKind::Rtcp => {
                let ssrc = u32::from_be_bytes(datagram[4..8].try_into().expect("four bytes"));
                // RFC 7714 §9.2: with GCM the word of E flag and index comes last.
                let word = u32::from_be_bytes(*datagram.last_chunk().expect("four bytes"));
                let index = word & 0x7fff_ffff;
                let same = self.rtcp.entry((key, ssrc, index)).or_insert_with(|| datagram.to_vec()) == datagram;
                if same { Ok(()) } else { Err(SealedTwice { key, ssrc, index: u64::from(index) }) }
            }
            DatagramKind::Stun | DatagramKind::Dtls | DatagramKind::Unknown => Ok(()),
        }
    }

    fn compare_rtp(&mut self, key: usize, ssrc: u32, index: u64, datagram: &[u8]) -> Result<(), SealedTwice> {
        match self.rtp.get(&(key, ssrc, index)) {
            None => {
                self.rtp.insert((key, ssrc, index), datagram.to_vec());
                Ok(())
            }
            Some(before) if before == datagram => {
                self.repeats += 1;
                Ok(())
            }
            Some(_) => Err(SealedTwice { key, ssrc, index }),
        }
    }

    /// Packets seen.
    pub(crate) fn len(&self) -> usize {
        self.rtp.len() + self.rtcp.len()
    }
}
