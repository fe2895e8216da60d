//! What a run did, in numbers.

use std::time::Duration;

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// RTP packets that reached a viewer.
    pub(crate) delivered: u64,
    /// Of those: decrypted, authenticated and compared with what was published.
    pub(crate) opened: u64,
    /// Packets sealed, whether they reached anyone or not.
    pub(crate) sealed: u64,
    /// Identical packets sealed again.
    pub(crate) repeats: u64,
    /// Sessions opened, and of those by a DTLS handshake that completed.
    pub(crate) joins: u64,
    pub(crate) handshakes: u64,
    pub(crate) rounds: u64,
    /// Datagrams that the forger sent.
    pub(crate) tries: u64,
    /// RTP packets that reached a viewer over a connection, and the oldest of them.
    pub(crate) over_tcp: u64,
    pub(crate) oldest: Duration,
    /// Messages of data channels that viewers heard.
    pub(crate) heard: u64,
    pub(crate) longest_silence: Duration,
}

impl Totals {
    pub(crate) fn add(&mut self, other: &Self) {
        self.delivered += other.delivered;
        self.opened += other.opened;
        self.sealed += other.sealed;
        self.repeats += other.repeats;
        self.joins += other.joins;
        self.handshakes += other.handshakes;
        self.rounds += other.rounds;
        self.tries += other.tries;
        self.over_tcp += other.over_tcp;
        self.oldest = self.oldest.max(other.oldest);
        self.heard += other.heard;
        self.longest_silence = self.longest_silence.max(other.longest_silence);
    }
}
