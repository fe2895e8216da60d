//! A session with its part in a stream: what the worker keeps per peer.

use slotmap::new_key_type;

use crate::description::{Description, MediaKind, NegotiatedCodec};
use crate::dtls::DtlsIdentity;
use crate::limits;
use crate::relay::play::subscription::Subscription;
use crate::relay::publish::publication::Publication;
use crate::session::{Session, SessionState};
use crate::time::Timestamp;
use crate::worker::mailbox::{SessionId, StreamId, Totals};
use crate::worker::report::Traffic;

new_key_type! {
    /// Names a peer on its worker.
    pub struct PeerKey;
}

/// One track of one viewer: what an encoding's fan-out visits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscriber {
    /// The viewer.
    pub peer: PeerKey,
    /// Index of its track.
    pub track: u8,
}

/// A viewer's track.
#[derive(Debug)]
pub struct ViewerTrack {
    /// Audio or video.
    pub kind: MediaKind,
    /// Its place in the encoding and its numbers.
    pub subscription: Subscription,
    /// What it can decode, with its payload types.
    pub codecs: Vec<NegotiatedCodec>,
    /// The encoding's codec generation that `subscription`'s format was chosen for.
    pub codec_generation: u32,
    /// Sequence numbers it asked for again.
    pub nacks_received: u64,
    /// Fraction lost in its last receiver report, in 1/256.
    pub fraction_lost: u8,
}

/// A viewer.
#[derive(Debug)]
pub struct Viewer {
    /// In the offer's order.
    pub tracks: Vec<ViewerTrack>,
    /// When the next sender report is due; `None` before anything was sent.
    pub next_report: Option<Timestamp>,
    /// Round-trip time in microseconds from its receiver reports.
    pub rtt_us: u64,
    /// Bytes of retransmission it may still ask for.
    pub retransmission_credit: i64,
    /// Packets it asked for again that wait for their round.
    pub retransmissions_waiting: u16,
    /// When the credit was last filled.
    pub credit_at: Timestamp,
    /// What was sent again.
    pub retransmitted: Traffic,
}

/// Publisher or viewer.
#[derive(Debug)]
pub enum Role {
    /// It publishes the stream.
    Publisher(Box<Publication>),
    /// It plays the stream.
    Viewer(Viewer),
}

/// A peer of this worker.
#[derive(Debug)]
pub struct Peer {
    /// Its name on all cores.
    pub id: SessionId,
    /// The stream it publishes or plays.
    pub stream: StreamId,
    /// ICE, DTLS, SRTP.
    pub session: Session,
    /// What its DTLS proves itself with, as long as it lives.
    pub identity: DtlsIdentity,
    /// What it does.
    pub role: Role,
    /// The canonical name towards it.
    pub cname: String,
    /// When it was opened.
    pub opened: Timestamp,
    /// The deadline its live timer entry has.
    pub armed: Timestamp,
    /// It has a place among the handshakes under way.
    pub handshaking: bool,
    /// Datagrams of its handshake that wait for their round.
    pub handshake_datagrams: u8,
    /// When signalling was last told that it moved.
    pub moved_told: Option<Timestamp>,
    /// What was sent to it.
    pub sent: Traffic,
}

impl Peer {
    /// When [`super::Worker`] must look at it again.
    #[must_use]
    pub fn next_deadline(&self) -> Timestamp {
        let silence = self.session.silent_at();
        let expiry = match self.session.state() {
            SessionState::Connected => silence,
            _ => silence.min(self.opened + limits::SESSION_SETUP_MAX),
        };
        let role = match &self.role {
            Role::Publisher(publication) if self.session.state() == SessionState::Connected => {
                publication.next_deadline()
            }
            Role::Publisher(_) => None,
            Role::Viewer(viewer) => viewer.next_report,
        };
        [self.session.next_deadline(), role].into_iter().flatten().fold(expiry, Timestamp::min)
    }

    /// What it carried so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let received = Traffic { packets: self.session.received_packets(), bytes: self.session.received_bytes() };
        Totals { received, sent: self.sent }
    }

    /// `publish` or `play`.
    #[must_use]
    pub fn direction_name(&self) -> &'static str {
        match self.role {
            Role::Publisher(_) => "publish",
            Role::Viewer(_) => "play",
        }
    }
}

/// The parts of [`Description`] that a viewer's tracks are made of.
pub fn viewer_tracks(description: &Description, mut random: impl FnMut() -> u64) -> Vec<ViewerTrack> {
    use crate::relay::play::subscription::ExtensionBlock;
    description
        .media
        .iter()
        .filter_map(|media| {
            let ssrcs = media.ssrcs.first()?;
            let extension = ExtensionBlock::with_mid(media.extensions.mid, &media.mid);
            Some(ViewerTrack {
                kind: media.kind,
                subscription: Subscription::new(ssrcs.media, ssrcs.rtx, extension, random()),
                codecs: media.codecs.clone(),
                codec_generation: 0,
                nacks_received: 0,
                fraction_lost: 0,
            })
        })
        .collect()
}
