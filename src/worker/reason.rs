//! Why a worker dropped or refused something, as a closed enum: an attacker cannot choose what a counter costs, and a
//! name in metrics cannot be misspelt.
//!
//! Each reason's name in metrics, JSON and logs is written once, here. What the protocols below say
//! ([`Rejected`], [`NotForwarded`], …) becomes a [`DropReason`] by `From`: those types have no names of their own.

use crate::ice::CheckRefused;
use crate::relay::publish::publication::NotForwarded;
use crate::session::Rejected;
use crate::srtp::SrtpError;

/// Declares an enum of reasons: what each means, the variant, and its name.
macro_rules! reasons {
    (
        $(#[$attribute:meta])*
        pub enum $Reason:ident { $($(#[doc = $meaning:literal])+ $Variant:ident = $name:literal,)+ }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $Reason {
            $($(#[doc = $meaning])+ $Variant,)+
        }

        impl $Reason {
            /// All of them, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$Variant),+];

            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The name in metrics, JSON and logs.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$Variant => $name,)+
                }
            }

            /// What it means, in Markdown: its documentation.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$Variant => concat!($($meaning),+).trim_ascii(),)+
                }
            }
        }
    };
}
pub(super) use reasons;

reasons! {
    /// What a worker drops or refuses, and why.
    pub enum DropReason {
        /// A datagram that is none of STUN, DTLS, RTP, RTCP (RFC 7983).
        NotDemultiplexed = "not_demultiplexed",
        /// A datagram longer than the receive buffer.
        DatagramTruncated = "datagram_truncated",
        /// DTLS or media from an address that no valid check came from.
        UnknownAddress = "unknown_address",
        /// DTLS or media from a path that its own session has not validated.
        PathNotValidated = "path_not_validated",
        /// A STUN message from an address that no session holds, where the worker's book of paths is full.
        PathsFull = "paths_full",

        /// A check from an address that another session owns, or DTLS from one that two claim and nobody has proven. Both peers
        /// are asked whose it is.
        PathDisputed = "path_disputed",
        /// A handshake datagram that was not sent, because its address has not answered yet and sent too little.
        PathUnproven = "path_unproven",
        /// A Binding response that answers no request of this node.
        StunNotAnAnswer = "stun_not_an_answer",

        /// Transport-wide feedback of a viewer that sends it too often.
        FeedbackOverRate = "feedback_over_rate",
        /// A status in transport-wide feedback of a number that was never sent.
        FeedbackOfNeverSent = "feedback_of_never_sent",
        /// A status in transport-wide feedback that has more of them than are read.
        FeedbackTooLong = "feedback_too_long",

        /// A change of a track's codec or profile that viewers were not told of, because there were too many.
        CodecChangesOverRate = "codec_changes_over_rate",
        /// A key-frame request of a viewer that has asked too often.
        KeyFrameRequestsOverRate = "key_frame_requests_over_rate",
        /// A key-frame request of a viewer that has just started at a key frame, and is still on its way to the live edge; or of
        /// another worker that is being given the newest one.
        KeyFrameOnItsWay = "key_frame_on_its_way",
        /// A key-frame request of a viewer that has just started, and is started once more at the key frame in the ring.
        KeyFrameFromRing = "key_frame_from_ring",

        /// An SCTP packet that names streams out of range, or whose pieces are too short.
        DataPacketRefused = "data_packet_refused",
        /// An SCTP packet of a peer that sends too many, or too much user data as a viewer.
        DataPacketsOverRate = "data_packets_over_rate",
        /// An SCTP packet to a peer for which too many wait.
        DataPacketsWaiting = "data_packets_waiting",
        /// A message that opens a data channel and cannot be read. The channel is closed.
        DataChannelMalformed = "data_channel_malformed",
        /// A data channel beside as many as may be, or on a stream in use. It is closed.
        DataChannelsFull = "data_channels_full",
        /// A message on no data channel, or of an unknown kind.
        DataMessageUnknown = "data_message_unknown",
        /// A message longer than is relayed, or than a viewer's may be.
        DataMessageTooLong = "data_message_too_long",
        /// A publisher's message over the rate of its data channel, or a viewer's over its own or its publisher's.
        DataMessagesOverRate = "data_messages_over_rate",
        /// A message of a viewer that may send none, or on no channel of the publisher's.
        DataFromViewer = "data_from_viewer",
        /// A viewer's message for which the publisher had no room.
        DataPublisherBehind = "data_publisher_behind",
        /// A message of an unreliable data channel that a viewer had no room for in time.
        DataViewerBehind = "data_viewer_behind",
        /// A reliable data channel that was closed for a viewer, because it lagged too far behind.
        DataChannelLagged = "data_channel_lagged",
        /// A lane's record of data channels of another publisher than the present one.
        DataLaneStale = "data_lane_stale",
        /// Other workers that could not be told that a publisher's data channels are gone.
        DataDeparturesFull = "data_departures_full",

        /// A TCP connection that could not be served, because there are as many as may be.
        ConnectionNotTaken = "connection_not_taken",

        /// A STUN message that cannot be parsed.
        StunMalformed = "stun_malformed",
        /// A check whose user fragment names another worker.
        StunWrongWorker = "stun_wrong_worker",
        /// A check whose user fragment is no session's.
        StunUnknownUser = "stun_unknown_user",
        /// A STUN message without credentials that is no binding request.
        StunNotARequest = "stun_not_a_request",
        /// More binding requests without credentials than are answered in a second.
        PlainBindingsOverRate = "plain_bindings_over_rate",
        /// A check whose USERNAME is not the session's two fragments.
        StunUsername = "stun_username",
        /// A check whose MESSAGE-INTEGRITY is missing or wrong.
        StunIntegrity = "stun_integrity",
        /// A check whose FINGERPRINT is wrong.
        StunFingerprint = "stun_fingerprint",
        /// A check that was accepted before, sent again from elsewhere.
        StunReplayed = "stun_replayed",
        /// A check that was refused otherwise: role conflict, unknown attribute, no room for the reply.
        StunOther = "stun_other",

        /// A DTLS datagram that is not whole records.
        DtlsMalformed = "dtls_malformed",
        /// A session has as many datagrams of its handshake waiting as it may.
        HandshakeSessionOverShare = "handshake_session_over_share",
        /// As many datagrams of handshakes wait as may.
        HandshakeQueueFull = "handshake_queue_full",
        /// The batch has no room for the answer.
        NoRoomToAnswer = "no_room_to_answer",

        /// Media before the keys.
        MediaBeforeKeys = "media_before_keys",
        /// Not RTP or RTCP, or shorter than header and tag.
        SrtpMalformed = "srtp_malformed",
        /// A wrong authentication tag.
        SrtpAuthentication = "srtp_authentication",
        /// A packet that was accepted before.
        SrtpReplayed = "srtp_replayed",
        /// A packet behind the replay window.
        SrtpTooOld = "srtp_too_old",
        /// A new SSRC where a session has as many as it may.
        SrtpTooManySources = "srtp_too_many_sources",
        /// SRTCP in plaintext.
        SrtcpUnencrypted = "srtcp_unencrypted",
        /// The packet index is used up.
        SrtpKeyExhausted = "srtp_key_exhausted",

        /// RTP from a session that plays.
        MediaFromViewer = "media_from_viewer",
        /// An authenticated packet that is no RTP.
        RtpMalformed = "rtp_malformed",
        /// A publisher's packet whose source belongs to no track.
        UplinkUnknownSource = "uplink_unknown_source",
        /// A publisher's packet whose payload type was not agreed.
        UplinkUnknownPayloadType = "uplink_unknown_payload_type",
        /// A publisher's packet of padding only.
        UplinkProbe = "uplink_probe",
        /// A publisher's packet that was received before, or a repair of nothing missing.
        UplinkDuplicate = "uplink_duplicate",
        /// A publisher's packet of another source of a track, or of one encoding of it, than the one that is forwarded.
        UplinkOtherEncoding = "uplink_other_encoding",
        /// A publisher's packet that is cut short.
        UplinkMalformed = "uplink_malformed",
        /// A publisher's packet over `limits.publisher_bitrate_max_kbps`.
        UplinkOverBitrate = "uplink_over_bitrate",

        /// An authenticated packet that is no RTCP.
        RtcpMalformed = "rtcp_malformed",
        /// A compound of more RTCP packets than are read.
        RtcpCompoundTooLong = "rtcp_compound_too_long",
        /// A publisher's BYE: sessions end by DTLS, HTTP or silence.
        PublisherGoodbye = "publisher_goodbye",

        /// A repeat of a full packet for a viewer whose path passes none.
        RetransmissionPathTooNarrow = "retransmission_path_too_narrow",
        /// A viewer has as many repeats waiting as it may.
        RetransmissionViewerOverShare = "retransmission_viewer_over_share",
        /// As many repeats wait as may.
        RetransmissionQueueFull = "retransmission_queue_full",
        /// A viewer asked again for a packet whose repeat waits for its pace.
        RetransmissionWaits = "retransmission_waits",
        /// A repeat would have waited too long for its viewer's pace.
        RetransmissionTooLate = "retransmission_too_late",
        /// A viewer asked for more bytes in a second than are repeated.
        RetransmissionOverRate = "retransmission_over_rate",
        /// A viewer on a connection asked for a repeat: a connection loses nothing.
        RetransmissionOnConnection = "retransmission_on_connection",
        /// A viewer asked for what it was never sent.
        RetransmissionNeverSent = "retransmission_never_sent",
        /// A viewer asked for what the ring no longer holds.
        RetransmissionNotInRing = "retransmission_not_in_ring",
        /// A repeat would be longer than a datagram may be.
        RetransmissionTooLong = "retransmission_too_long",

        /// A lane to another worker had no room.
        LaneFull = "lane_full",
        /// A lane's record could not be written or read.
        LaneMalformed = "lane_malformed",
        /// A lane's record is of a stream or encoding that this worker does not know.
        LaneUnknownStream = "lane_unknown_stream",
        /// A lane's record came before its encoding was introduced.
        LaneNotIntroduced = "lane_not_introduced",
        /// Another worker asked for packets again: workers of one node lose none.
        UpstreamNotServed = "upstream_not_served",
        /// The mailbox of the publisher's worker had no room for a request.
        UpstreamMailboxFull = "upstream_mailbox_full",

        /// The kernel's send buffer was full.
        SocketBufferFull = "socket_buffer_full",
        /// A packet is longer than the path takes, or than a datagram may be.
        DatagramTooLong = "datagram_too_long",
        /// The kernel refused to send for another reason.
        SendFailed = "send_failed",
        /// A viewer lagged so far behind that it went on from a newer packet.
        CursorSkips = "cursor_skips",
    }
}

impl From<CheckRefused> for DropReason {
    fn from(refused: CheckRefused) -> Self {
        match refused {
            CheckRefused::Username => Self::StunUsername,
            CheckRefused::Integrity => Self::StunIntegrity,
            CheckRefused::Fingerprint => Self::StunFingerprint,
            CheckRefused::Replayed => Self::StunReplayed,
            CheckRefused::NotARequest
            | CheckRefused::RoleConflict(_)
            | CheckRefused::UnknownAttribute(_)
            | CheckRefused::NoRoom => Self::StunOther,
        }
    }
}

impl From<SrtpError> for DropReason {
    fn from(error: SrtpError) -> Self {
        match error {
            SrtpError::Malformed => Self::SrtpMalformed,
            SrtpError::Authentication => Self::SrtpAuthentication,
            SrtpError::Replayed => Self::SrtpReplayed,
            SrtpError::TooOld => Self::SrtpTooOld,
            SrtpError::TooManySources => Self::SrtpTooManySources,
            SrtpError::Unencrypted => Self::SrtcpUnencrypted,
            SrtpError::KeyExhausted => Self::SrtpKeyExhausted,
        }
    }
}

impl From<Rejected> for DropReason {
    fn from(rejected: Rejected) -> Self {
        match rejected {
            Rejected::PathNotValidated => Self::PathNotValidated,
            Rejected::Check(refused) => refused.into(),
            Rejected::Unknown => Self::NotDemultiplexed,
            Rejected::Dtls => Self::DtlsMalformed,
            Rejected::NoKeys => Self::MediaBeforeKeys,
            Rejected::Srtp(error) => error.into(),
            Rejected::NoRoom => Self::NoRoomToAnswer,
        }
    }
}

impl From<NotForwarded> for DropReason {
    fn from(reason: NotForwarded) -> Self {
        match reason {
            NotForwarded::UnknownSource => Self::UplinkUnknownSource,
            NotForwarded::UnknownPayloadType => Self::UplinkUnknownPayloadType,
            NotForwarded::Probe => Self::UplinkProbe,
            NotForwarded::Duplicate => Self::UplinkDuplicate,
            NotForwarded::OtherEncoding => Self::UplinkOtherEncoding,
            NotForwarded::Malformed => Self::UplinkMalformed,
            NotForwarded::OverBitrate => Self::UplinkOverBitrate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_every_protocol_keep_their_names() {
        for (reason, name) in [
            (DropReason::from(Rejected::Unknown), "not_demultiplexed"),
            (Rejected::Check(CheckRefused::Username).into(), "stun_username"),
            (Rejected::Check(CheckRefused::RoleConflict(1)).into(), "stun_other"),
            (Rejected::Srtp(SrtpError::Unencrypted).into(), "srtcp_unencrypted"),
            (Rejected::Srtp(SrtpError::Replayed).into(), "srtp_replayed"),
            (NotForwarded::Duplicate.into(), "uplink_duplicate"),
        ] {
            assert_eq!(reason.name(), name);
        }
    }
}
