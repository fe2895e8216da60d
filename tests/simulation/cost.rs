//! What a worker's work costs in virtual time. A round that has much to do ends late, and the next one begins late: so
//! starvation, lag and held-up timers show, though no processor is measured.
//!
//! Where the numbers come from: measured on a 2-core virtual machine (Linux 6.18, VAES), software GSO, 1,200-byte packets;
//! `benches/README.md` has figures of the same kind. They are a model's constants, no promise: a scenario multiplies all of
//! them ([`Cost::slower`]) to see a machine that is too small.
//!
//! Left out: timers, header writing and look-ups (under 100 ns per packet together), which the sealing term carries.

use std::time::Duration;

/// Nanoseconds of a worker's time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// A wait, its wake-up, a round with nothing in it: 3,100 ns per packet where every packet wakes the thread, less
    /// receiving it.
    pub(crate) round: u64,
    /// A datagram out of the socket: 320 ns by multishot receive.
    pub(crate) datagram_received: u64,
    /// An SRTP or SRTCP packet opened: as sealing.
    pub(crate) packet_opened: u64,
    /// A connectivity check verified and answered: two HMAC-SHA1 over 100 bytes and the parsing. Not measured apart; a
    /// thousand a second must not matter, and do not.
    pub(crate) check_answered: u64,
    /// One of the three datagrams of a client in a DTLS handshake, which is 180 µs for the server.
    pub(crate) handshake_datagram: u64,
    /// A packet sealed: AES-128-GCM, a different key each time, 187 ns.
    pub(crate) packet_sealed: u64,
    /// A segment's share of sending: the measured 440 + 590/k ns per packet of a train of k, less the sealing.
    pub(crate) segment_sent: u64,
    /// A message's share.
    pub(crate) message_sent: u64,
}

impl Cost {
    /// The machine that was measured.
    pub(crate) const MEASURED: Self = Self {
        round: 2_800,
        datagram_received: 320,
        packet_opened: 187,
        check_answered: 2_000,
        handshake_datagram: 60_000,
        packet_sealed: 187,
        segment_sent: 253,
        message_sent: 590,
    };

    /// A machine so many times slower.
    pub(crate) const fn slower(self, times: u64) -> Self {
        Self {
            round: self.round * times,
            datagram_received: self.datagram_received * times,
            packet_opened: self.packet_opened * times,
            check_answered: self.check_answered * times,
            handshake_datagram: self.handshake_datagram * times,
            packet_sealed: self.packet_sealed * times,
            segment_sent: self.segment_sent * times,
            message_sent: self.message_sent * times,
        }
    }

    /// A message of `segments` packets, sealed and sent.
    pub(crate) const fn train(&self, segments: u64) -> Duration {
        Duration::from_nanos(self.message_sent + segments * (self.packet_sealed + self.segment_sent))
    }
}
