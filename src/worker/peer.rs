//! A session with its part in a stream: what the worker keeps per peer.

use slotmap::new_key_type;

use crate::description::{Description, MediaKind, NegotiatedCodec, NegotiatedMedia};
use crate::dtls::DtlsIdentity;
use crate::limits;
use crate::rate::Allowance;
use crate::relay::play::extension::{ExtensionTemplate, TransportNumber};
use crate::relay::play::pacing::Pacer;
use crate::relay::play::selection::Selection;
use crate::relay::play::subscription::Subscription;
use crate::relay::play::wish::Wish;
use crate::relay::publish::publication::Publication;
use crate::relay::store::numbers::{EncodingId, EncodingSet, TrackId};
use crate::session::{Session, SessionState};
use crate::time::Timestamp;
use crate::transport::PathId;
use crate::worker::adaptation::Adaptation;
use crate::worker::layers::LayersTold;
use crate::worker::mailbox::{SessionId, Totals};
use crate::worker::narrow_path::NarrowPath;
use crate::worker::peer_channels::PeerChannels;
use crate::worker::recent_repeats::RecentRepeats;
use crate::worker::repair_budget::RepairBudget;
use crate::worker::report::Traffic;
use crate::worker::starts::Starts;
use crate::worker::timers::NEVER;
use crate::worker::tracks::track_of;

new_key_type! {
    /// Names a peer on its worker.
    pub struct PeerKey;

    /// Names a stream on its worker, as long as somebody there publishes or plays it.
    pub struct StreamKey;
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
    /// The stream's track that it plays.
    pub track: TrackId,
    /// What of it the viewer is sent.
    pub selection: Selection,
    /// What its page asks for.
    pub wish: Wish,
    /// It is sent nothing: sound only was chosen, or is all that its network carries.
    pub is_paused: bool,
    /// The encoding that was chosen for it; `None` while nobody has.
    pub chosen: Option<EncodingId>,
    /// The encodings in whose fan-out it is; none before it has connected.
    pub listed: EncodingSet,
    /// Its place in the encoding and its numbers.
    pub subscription: Subscription,
    /// When it was put at a key frame, and whether that is to be done again.
    pub starts: Starts,
    /// What it can decode, with its payload types.
    pub codecs: Vec<NegotiatedCodec>,
    /// Sequence numbers it asked for again.
    pub nacks_received: u64,
    /// When packets of it were sent again on request.
    pub repeated: RecentRepeats,
    /// Fraction lost in its last receiver report, in 1/256.
    pub fraction_lost: u8,
    /// Nothing of it is sent: not even the lowest encoding fits the viewer's network.
    pub is_withheld: bool,
    /// Nothing more is sent of its present encoding, because its network is too narrow for it: until it goes over to another.
    pub is_held: bool,
    /// The last time it went over it was held before: what it was sent of another encoding is of no use to it any more.
    pub has_let_go: bool,
    /// How fast it is sent; sound does not look at it.
    pub pacer: Pacer,
    /// Before then none of its frames is sampled, unless something is decided meanwhile.
    pub unsampled_until: Timestamp,
}

impl ViewerTrack {
    /// The encoding it is sent.
    #[inline]
    #[must_use]
    pub fn encoding(&self) -> EncodingId {
        self.selection.current().unwrap_or(self.track.only_encoding())
    }

    /// The encoding whose next key frame it waits for, to go over to it.
    #[must_use]
    pub fn awaited(&self) -> Option<EncodingId> {
        self.selection.awaited()
    }

    /// Whether it was sent anything, or goes over from one encoding to another.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.subscription.encoding().is_some() || self.awaited().is_some()
    }

    /// The encodings whose packets it needs: the one it is sent and the one it waits for; none before it has connected, and while
    /// its network carries sound only.
    #[must_use]
    pub fn wants(&self) -> EncodingSet {
        if self.listed.is_empty() || self.is_withheld {
            return EncodingSet::NONE;
        }
        // What repeats sound is made here of the sound itself.
        let source = (self.kind == MediaKind::Audio).then_some(self.track.only_encoding());
        [self.encoding()].into_iter().chain(self.awaited()).chain(source).collect()
    }

    /// Begins with an encoding of its track, where nothing was sent to it yet.
    pub fn begin_with(&mut self, encoding: EncodingId) {
        if self.encoding() != encoding || self.awaited().is_some() {
            self.selection.begin_with(encoding);
        }
    }

    /// Wants another encoding of its track, or the present one and no other.
    pub fn select(&mut self, encoding: EncodingId) {
        self.selection.want(encoding, self.track.only_encoding());
    }
}

/// What a viewer plays, as a publisher's side is a [`Publication`].
#[derive(Debug)]
pub struct Playback {
    /// In the offer's order.
    pub tracks: Vec<ViewerTrack>,
    /// When the next sender report is due; `None` before anything was sent.
    pub next_report: Option<Timestamp>,
    /// Round-trip time in microseconds from its receiver reports.
    pub rtt_us: u64,
    /// What it may have sent again.
    pub repairs: RepairBudget,
    /// Which of its packets it asks for again; from its first request on.
    pub narrow: Option<Box<NarrowPath>>,
    /// What its network carries, where it reports on its packets or has encodings to choose from.
    pub adaptation: Option<Box<Adaptation>>,
    /// How often it may want a key frame that nobody else wants.
    pub key_frame_requests: Allowance,
    /// What was sent again.
    pub retransmitted: Traffic,
    /// What its page was told of the picture's layers last; `None`: it does not want to know.
    pub told: Option<Box<LayersTold>>,
}

/// Publisher or viewer.
#[derive(Debug)]
pub enum Role {
    /// It publishes the stream.
    Publisher(Box<Publication>),
    /// It plays the stream.
    Viewer(Playback),
}

/// A transport's part in a change of its session's keys ([`super::rekey`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rekeying {
    /// It is its session's only one.
    No,
    /// It is to be replaced.
    Old {
        /// By which.
        new: PeerKey,
    },
    /// It is to replace another.
    New {
        /// Which.
        old: PeerKey,
        /// When that one ends; from when this one is connected.
        overlap_ends: Option<Timestamp>,
    },
}

impl Rekeying {
    /// Whether it is its session's second transport.
    #[must_use]
    pub const fn is_new(self) -> bool {
        matches!(self, Self::New { .. })
    }
}

/// A peer of this worker. While a session's keys change it has two of them, one for each transport.
#[derive(Debug)]
pub struct Peer {
    /// Its name on all cores.
    pub id: SessionId,
    /// The stream it publishes or plays.
    pub stream: StreamKey,
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
    /// The path whose connection takes no media until it has drained.
    pub full_path: Option<PathId>,
    /// It has a place among the handshakes under way.
    pub handshaking: bool,
    /// Datagrams of its handshake that wait for their round.
    pub handshake_datagrams: u8,
    /// When signalling was last told that it moved.
    pub moved_told: Option<Timestamp>,
    /// What was sent to it.
    pub sent: Traffic,
    /// What its session's former transports carried.
    pub former: Totals,
    /// How often its session's keys have changed.
    pub rekeys: u64,
    /// Its number among its session's transports.
    pub(super) serial: u64,
    /// The number of the next one.
    pub(super) next_serial: u64,
    /// Its part in a change of keys.
    pub rekeying: Rekeying,
    /// When its client is asked for other keys next.
    pub(super) ask_for_keys: Option<Timestamp>,
    /// How often it was asked.
    pub(super) asked_for_keys: u32,
    /// Its data channels, where they were negotiated.
    pub(super) data: Option<Box<PeerChannels>>,
}

impl Peer {
    /// A peer that was just opened.
    pub(super) fn new(
        id: SessionId,
        stream: StreamKey,
        session: Session,
        identity: DtlsIdentity,
        role: Role,
        cname: String,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            stream,
            session,
            identity,
            role,
            cname,
            opened: now,
            armed: NEVER,
            full_path: None,
            handshaking: false,
            handshake_datagrams: 0,
            moved_told: None,
            sent: Traffic::default(),
            former: Totals::default(),
            rekeys: 0,
            serial: 0,
            next_serial: 1,
            rekeying: Rekeying::No,
            ask_for_keys: None,
            asked_for_keys: 0,
            data: None,
        }
    }

    /// A viewer's picture, and the index of its track.
    pub fn picture(&mut self) -> Option<(usize, &mut ViewerTrack)> {
        let Role::Viewer(playback) = &mut self.role else { return None };
        playback.tracks.iter_mut().enumerate().find(|(_, track)| track.kind == MediaKind::Video)
    }

    /// When the worker must look at it again.
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
        let data = self.data.as_ref().and_then(|data| data.next_deadline());
        let overlap = self.overlap_ends();
        [self.session.next_deadline(), role, data, overlap, self.ask_for_keys]
            .into_iter()
            .flatten()
            .fold(expiry, Timestamp::min)
    }

    /// When the transport that this one replaces ends.
    #[must_use]
    pub const fn overlap_ends(&self) -> Option<Timestamp> {
        match self.rekeying {
            Rekeying::New { overlap_ends, .. } => overlap_ends,
            Rekeying::No | Rekeying::Old { .. } => None,
        }
    }

    /// What it and its session's former transports carried so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let received = Traffic { packets: self.session.received_packets(), bytes: self.session.received_bytes() };
        self.former.plus(Totals { received, sent: self.sent })
    }

    /// The number by which a publisher's data channels are told from those of others, also of its own former transports:
    /// a session's number has 53 bits.
    #[must_use]
    pub const fn channels_of(&self) -> u64 {
        self.id.0 | self.serial << 53
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

impl Playback {
    /// A viewer's tracks as they were agreed; nothing was sent yet.
    #[must_use]
    pub fn new(description: &Description, mut random: impl FnMut() -> u64, now: Timestamp) -> Self {
        let track = |media: &NegotiatedMedia| {
            let ssrcs = media.ssrcs.first()?;
            let mid = media.extensions.mid.map(|id| (id, media.mid.as_str()));
            let on_request = media.extensions.feedback_on_request;
            let number = media.extensions.transport_cc.map(|id| TransportNumber { id, on_request });
            let extension = ExtensionTemplate::new(mid, number);
            Some(ViewerTrack {
                kind: media.kind,
                track: track_of(media.kind),
                selection: Selection::default(),
                wish: Wish::default(),
                is_paused: false,
                chosen: None,
                listed: EncodingSet::default(),
                subscription: Subscription::new(ssrcs.media, ssrcs.rtx, extension, random()),
                starts: Starts::default(),
                codecs: media.codecs.clone(),
                nacks_received: 0,
                repeated: RecentRepeats::default(),
                fraction_lost: 0,
                is_withheld: false,
                is_held: false,
                has_let_go: false,
                pacer: Pacer::default(),
                unsampled_until: Timestamp::ZERO,
            })
        };
        let is_sampled = description
            .media
            .iter()
            .any(|media| media.kind == MediaKind::Video && media.extensions.transport_cc.is_some());
        Self {
            tracks: description.media.iter().filter_map(track).collect(),
            next_report: None,
            rtt_us: 0,
            repairs: RepairBudget::default(),
            narrow: None,
            adaptation: is_sampled.then(|| Box::new(Adaptation::new(now))),
            key_frame_requests: Allowance::new(now),
            retransmitted: Traffic::default(),
            told: None,
        }
    }

    /// What its path takes in bits per second, for pacing; `None` where that is not known.
    pub fn set_capacity(&mut self, bits_per_second: Option<u32>) {
        self.tracks.iter_mut().for_each(|track| track.pacer.set_capacity(bits_per_second));
    }

    /// The index of the track that is sent under `ssrc`.
    #[must_use]
    pub fn track_of(&self, ssrc: u32) -> Option<usize> {
        self.tracks.iter().position(|track| track.subscription.ssrc() == ssrc)
    }

    /// Times a cursor of it skipped.
    #[must_use]
    pub fn skips(&self) -> u64 {
        self.tracks.iter().map(|track| track.subscription.skips).sum()
    }
}
