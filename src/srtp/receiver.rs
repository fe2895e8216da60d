//! The receiving side: opens what one peer sends to this node.
//!
//! Rollover counters and replay windows are kept for each SSRC, separately for RTP and RTCP, and only an authenticated
//! packet creates them. A source begins with a rollover counter of zero (RFC 3711 §3.3.1): senders start below sequence
//! number 2¹⁵, so the first packet that arrives has not wrapped. A source whose packets are all lost before its first
//! wrap cannot be opened.

use std::fmt;

use super::key_derivation::{PacketKind, SessionKeys};
use super::profile::{MasterKey, SrtpProfile};
use super::replay::{ReplayWindow, estimate_index};
use super::transform::Transform;
use super::{SrtpError, parse_rtcp_ssrc};
use crate::crypto::aead::{AeadKey, DefaultAead};
use crate::limits;
use crate::wire::bytes::{ImportError, StateReader, StateWriter};
use crate::wire::rtp::RtpHeader;

/// The format version that [`SrtpReceiver::export`] writes.
const STATE_VERSION: u8 = 2;

/// An RTP packet that was opened in place: its parsed header, and the length of the payload behind the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenedRtp {
    /// The header, which SRTP leaves in the clear.
    pub header: RtpHeader,
    /// Rollover counter and sequence number: 48 bits that rise over the source's life, whatever keys it is sealed with.
    pub packet_index: u64,
    /// Bytes of the payload; it still ends in the padding where the header's padding bit is set.
    pub payload_len: usize,
}

impl OpenedRtp {
    /// Bytes of the plaintext packet: header and payload.
    #[must_use]
    pub const fn plain_len(&self) -> usize {
        self.header.header_len + self.payload_len
    }
}

/// Opens the RTP and RTCP packets of one peer.
pub struct SrtpReceiver<A: AeadKey = DefaultAead> {
    profile: SrtpProfile,
    /// Kept to derive the keys of `rtp`, and for [`Self::export`].
    master: MasterKey,
    /// Created when the first RTP packet comes, because thousands of viewers never send one.
    rtp: Option<Transform<A>>,
    rtcp: Transform<A>,
    rtp_sources: Vec<ReceivedSource<{ limits::SRTP_REPLAY_WINDOW_PACKETS / 64 }>>,
    rtcp_sources: Vec<ReceivedSource<{ limits::SRTCP_REPLAY_WINDOW_PACKETS / 64 }>>,
    /// Sources that were received under other keys before, with their highest numbers.
    continued: Option<Box<Continued>>,
}

impl<A: AeadKey> SrtpReceiver<A> {
    /// A receiver under `master`, which is [`SrtpKeys::remote`](super::SrtpKeys::remote).
    #[must_use]
    pub fn new(profile: SrtpProfile, master: &MasterKey) -> Self {
        Self {
            profile,
            rtp: None,
            rtcp: Transform::new(profile, &SessionKeys::derive(profile, master, PacketKind::Rtcp)),
            master: master.clone(),
            rtp_sources: Vec::new(),
            rtcp_sources: Vec::new(),
            continued: None,
        }
    }

    /// Gives the sources of `older`, whose keys this one's take the place of, the numbers that follow: with other keys the rollover
    /// counter begins anew. For a receiver that has opened nothing yet.
    pub fn continue_from(&mut self, older: &Self) {
        let highest = |source: &ReceivedSource<_>| (source.ssrc, source.reported(source.window.highest()));
        self.continued = Some(Box::new(Continued { highest: older.rtp_sources.iter().map(highest).collect() }));
    }

    /// A receiver under session keys, as RFC 7714's examples give them. It cannot be exported.
    #[cfg(test)]
    pub(super) fn from_session_keys(profile: SrtpProfile, rtp: &SessionKeys, rtcp: &SessionKeys) -> Self {
        let (rtp, rtcp) = (Some(Transform::new(profile, rtp)), Transform::new(profile, rtcp));
        Self {
            profile,
            rtp,
            rtcp,
            master: MasterKey::none(),
            rtp_sources: Vec::new(),
            rtcp_sources: Vec::new(),
            continued: None,
        }
    }

    /// Writes the receiver's state, consuming it: the keys, and the rollover counter and replay window of each SSRC.
    pub fn export(self, out: &mut StateWriter) {
        out.version(STATE_VERSION);
        self.master.export(self.profile, out);
        export_sources(&self.rtp_sources, out);
        export_sources(&self.rtcp_sources, out);
    }

    /// Reads what [`Self::export`] wrote. The first RTP packet creates the RTP transform again.
    ///
    /// # Errors
    /// When it is not such a state.
    pub fn import(from: &mut StateReader<'_>) -> Result<Self, ImportError> {
        from.version("an SRTP receiver", STATE_VERSION)?;
        let (profile, master) = MasterKey::import(from)?;
        let mut receiver = Self::new(profile, &master);
        receiver.rtp_sources = import_sources(from)?;
        receiver.rtcp_sources = import_sources(from)?;
        Ok(receiver)
    }

    /// The profile it opens.
    #[must_use]
    pub fn profile(&self) -> SrtpProfile {
        self.profile
    }

    /// Authenticates and decrypts an RTP packet in place.
    ///
    /// # Errors
    /// See [`SrtpError`]; `packet` then holds nothing of use.
    pub fn open_rtp(&mut self, packet: &mut [u8]) -> Result<OpenedRtp, SrtpError> {
        let header = RtpHeader::parse(packet).map_err(|_| SrtpError::Malformed)?;
        if packet.len() - header.header_len < self.profile.tag_len() {
            return Err(SrtpError::Malformed);
        }
        let source = known_or_room(&mut self.rtp_sources, header.ssrc)?;
        let packet_index = match source.as_deref() {
            Some(source) => {
                let index = estimate_index(source.window.highest(), header.sequence)?;
                source.window.check(index)?;
                index
            }
            None => header.sequence.into(),
        };
        let transform = self.rtp.get_or_insert_with(|| {
            Transform::new(self.profile, &SessionKeys::derive(self.profile, &self.master, PacketKind::Rtp))
        });
        let payload_len = transform.open_rtp(header.ssrc, packet_index, packet, header.header_len)?;
        let packet_index = match source {
            Some(source) => {
                source.window.accept(packet_index);
                source.reported(packet_index)
            }
            None => {
                let mut source = ReceivedSource::new(header.ssrc, packet_index);
                if let Some(highest) = self.continued.as_deref().and_then(|before| before.highest_of(header.ssrc)) {
                    source.rolled_before = rollovers_to(highest, packet_index);
                }
                let reported = source.reported(packet_index);
                self.rtp_sources.push(source);
                reported
            }
        };
        Ok(OpenedRtp { header, packet_index, payload_len })
    }

    /// Authenticates and decrypts a compound RTCP packet in place; returns the length of the plaintext, which starts
    /// where `packet` does.
    ///
    /// # Errors
    /// See [`SrtpError`]; `packet` then holds nothing of use.
    pub fn open_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let ssrc = parse_rtcp_ssrc(packet).ok_or(SrtpError::Malformed)?;
        if packet.len() < super::RTCP_HEADER_LEN + self.profile.rtcp_overhead() {
            return Err(SrtpError::Malformed);
        }
        let index = self.rtcp.rtcp_index(packet)?;
        let source = known_or_room(&mut self.rtcp_sources, ssrc)?;
        if let Some(source) = source.as_deref() {
            source.window.check(index.into())?;
        }
        let len = self.rtcp.open_rtcp(ssrc, index, packet)?;
        match source {
            Some(source) => source.window.accept(index.into()),
            None => self.rtcp_sources.push(ReceivedSource::new(ssrc, index.into())),
        }
        Ok(len)
    }

    #[cfg(test)]
    pub(super) fn has_rtp_context(&self) -> bool {
        self.rtp.is_some()
    }
}

impl<A: AeadKey> fmt::Debug for SrtpReceiver<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SrtpReceiver")
            .field("profile", &self.profile)
            .field("rtp_sources", &self.rtp_sources.len())
            .field("rtcp_sources", &self.rtcp_sources.len())
            .finish_non_exhaustive()
    }
}

/// What was received under keys before.
struct Continued {
    /// The highest number of each SSRC.
    highest: Vec<(u32, u64)>,
}

impl Continued {
    fn highest_of(&self, ssrc: u32) -> Option<u64> {
        self.highest.iter().find(|(other, _)| *other == ssrc).map(|&(_, highest)| highest)
    }
}

/// The state of one SSRC.
pub(super) struct ReceivedSource<const WORDS: usize> {
    window: ReplayWindow<WORDS>,
    ssrc: u32,
    /// How often its sequence numbers went round under keys before these.
    rolled_before: u32,
}

impl<const WORDS: usize> ReceivedSource<WORDS> {
    fn new(ssrc: u32, index: u64) -> Self {
        Self { window: ReplayWindow::starting_at(index), ssrc, rolled_before: 0 }
    }

    /// The number of a packet over the source's life.
    fn reported(&self, index: u64) -> u64 {
        index.wrapping_add(u64::from(self.rolled_before) << 16)
    }
}

fn export_sources<const WORDS: usize>(sources: &[ReceivedSource<WORDS>], out: &mut StateWriter) {
    out.count(sources.len());
    for source in sources {
        out.u32(source.ssrc);
        out.u32(source.rolled_before);
        source.window.export(out);
    }
}

fn import_sources<const WORDS: usize>(from: &mut StateReader<'_>) -> Result<Vec<ReceivedSource<WORDS>>, ImportError> {
    let count = from.count(limits::SRTP_SOURCES_PER_SESSION_MAX)?;
    let read = |_| {
        let (ssrc, rolled_before) = (from.u32()?, from.u32()?);
        Ok(ReceivedSource { ssrc, rolled_before, window: ReplayWindow::import(from)? })
    };
    (0..count).map(read).collect()
}

/// How many rounds of 2¹⁶ bring `index` nearest to `highest`.
fn rollovers_to(highest: u64, index: u64) -> u32 {
    let rounds = (highest.saturating_sub(index) + 0x8000) >> 16;
    u32::try_from(rounds).unwrap_or(u32::MAX)
}

/// The source of `ssrc`, or `None` where it is new and there is room for it. A session has few, so this is a short walk.
fn known_or_room<const WORDS: usize>(
    sources: &mut [ReceivedSource<WORDS>],
    ssrc: u32,
) -> Result<Option<&mut ReceivedSource<WORDS>>, SrtpError> {
    let full = sources.len() >= limits::SRTP_SOURCES_PER_SESSION_MAX;
    match sources.iter_mut().find(|source| source.ssrc == ssrc) {
        None if full => Err(SrtpError::TooManySources),
        found => Ok(found),
    }
}
