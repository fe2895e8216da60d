//! The machine-readable names of refusals: `code` in problem+json (RFC 9457) and in a socket's `error`, and the label
//! `reason` of refused sessions in metrics. The list is closed: no other names are sent.

use std::fmt;

use super::sdp::SdpRefused;
use crate::auth;

macro_rules! codes {
    ($($(#[$meaning:meta])+ $code:ident = $name:literal,)+) => {
        /// The machine-readable name of a refusal.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$meaning])+ $code,)+
            /// A refusal by authorisation.
            Denied(auth::Code),
            /// A refusal of an offer or fragment by the negotiator. The node's own negotiator uses
            /// [`SdpRefused::NAMES`].
            Sdp(&'static str),
        }

        impl Code {
            /// The codes of signalling itself.
            const OWN: &[Self] = &[$(Self::$code),+];

            /// The code as it is sent.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$code => $name,)+
                    Self::Denied(code) => code.name(),
                    Self::Sdp(name) => name,
                }
            }
        }
    };
}

codes! {
    // --- any request ---
    /// The resource does not answer this method.
    MethodNotAllowed = "method_not_allowed",
    /// Nothing is at this path.
    NotFound = "not_found",
    /// Pages of this origin may not call the node.
    OriginNotAllowed = "origin_not_allowed",
    /// A page may not reach the node by this host name.
    NotByThatName = "not_by_that_name",
    /// A trusted proxy names two different clients.
    ForwardedTwice = "forwarded_twice",
    /// The node is shutting down.
    ShuttingDown = "shutting_down",

    // --- bodies and conditions of WHIP and WHEP ---
    /// Another media type is expected.
    WrongContentType = "wrong_content_type",
    /// The body is longer than the limit.
    BodyTooLong = "body_too_long",
    /// The body did not come in time.
    BodyTooSlow = "body_too_slow",
    /// There is no room for another body while others are being read.
    TooManyBodies = "too_many_bodies",
    /// The body is not UTF-8.
    BodyNotText = "body_not_text",
    /// The body ended early.
    BodyBroken = "body_broken",
    /// `PATCH` needs a condition.
    IfMatchMissing = "if_match_missing",
    /// The condition names an older state.
    StaleEtag = "stale_etag",

    /// The body is not the JSON that is expected.
    BadJson = "bad_json",
    /// The node does not have this event.
    NoSuchEvent = "no_such_event",
    /// The session has no event stream.
    NoEvents = "no_events",

    // --- sessions ---
    /// The stream's name may not be used.
    BadStreamName = "bad_stream_name",
    /// The session has ended or never was.
    NoSuchSession = "no_such_session",
    /// Another publisher took the session's name over.
    Replaced = "replaced",
    /// The address has as many sessions as it may.
    TooManyFromAddress = "too_many_from_address",
    /// More sessions per second are requested than may be opened.
    TooManyJoins = "too_many_joins",
    /// The stream has a publisher.
    NameTaken = "name_taken",
    /// It cannot be found out whether the stream has a publisher on another node.
    OwnershipUnavailable = "ownership_unavailable",
    /// The session is on another node, which does not answer.
    NodeSilent = "node_silent",
    /// The limit of published streams is reached.
    TooManyStreams = "too_many_streams",
    /// The stream has as many viewers as it may.
    TooManyViewers = "too_many_viewers",
    /// The limit of waiting viewers is reached.
    TooManyWaiting = "too_many_waiting",
    /// The limit of sessions that are open but not connected is reached.
    TooManyHandshakes = "too_many_handshakes",
    /// The memory that the node may use is nearly used up.
    MemoryFull = "memory_full",
    /// The node serves as many sessions as it may.
    NodeFull = "node_full",
    /// A worker did not answer in time.
    WorkerSilent = "worker_silent",
    /// A worker's mailbox is full.
    WorkerFull = "worker_full",
    /// The session ended while it opened.
    EndedEarly = "ended_early",

    // --- the opening of a socket ---
    /// The socket's protocol was not offered.
    SubprotocolMissing = "subprotocol_missing",
    /// `Sec-WebSocket-Key` is missing or malformed.
    BadWebsocketKey = "bad_websocket_key",
    /// A socket opens over HTTP/1.1 only.
    Http1Needed = "http1_needed",
    /// The token is longer than the limit.
    TokenTooLong = "token_too_long",
    /// The request has no `Upgrade: websocket`.
    UpgradeRequired = "upgrade_required",
    /// The client asks for another version of WebSocket.
    WebsocketVersion = "websocket_version",
    /// The address has as many sockets as it may.
    TooManySocketsFromAddress = "too_many_sockets_from_address",
    /// The node has as many sockets as it may.
    TooManySockets = "too_many_sockets",

    // --- a socket's messages ---
    /// A field is missing or of the wrong type.
    BadMessage = "bad_message",
    /// There is no message of this type.
    UnknownType = "unknown_type",
    /// The first message was not `hello`.
    HelloMissing = "hello_missing",
    /// `hello` was sent a second time.
    HelloAgain = "hello_again",
    /// The client asks for another version of the protocol.
    VersionUnknown = "version_unknown",
    /// The text is not a candidate.
    BadCandidate = "bad_candidate",
    /// The session restarts ICE too often.
    TooManyRestarts = "too_many_restarts",
    /// The session changes its keys too often.
    TooManyRekeys = "too_many_rekeys",
    /// The session's keys change already.
    RekeyUnderWay = "rekey_under_way",
    /// The second offer carries something else than the first.
    RekeyDiffers = "rekey_differs",
    /// Sessions that join come before those that change their keys.
    RekeysWait = "rekeys_wait",
    /// The session has one transport.
    NoSecondTransport = "no_second_transport",
    /// The session is not connected yet.
    NotConnected = "not_connected",
    /// The fragment has no new credentials.
    NotARestart = "not_a_restart",
    /// Nothing that is published fits what the viewer offered.
    NothingFits = "nothing_fits",
    /// Another socket took the session over.
    ResumedElsewhere = "resumed_elsewhere",
    /// The stream has no encoding of that name.
    NoSuchLayer = "no_such_layer",
    /// The session plays no picture.
    NoPicture = "no_picture",
    /// The session asks for other encodings too often.
    TooManyLayerRequests = "too_many_layer_requests",
    /// The socket has as many sessions as it may.
    TooManyOnSocket = "too_many_on_socket",
    /// The socket follows as many streams as it may.
    TooManyFollows = "too_many_follows",

    // --- the other ports ---
    /// The report cannot be written.
    ReportUnwritable = "report_unwritable",
    /// A redirect needs the name of a host.
    NoHost = "no_host",
    /// No ACME challenge of that name is answered.
    NoSuchChallenge = "no_such_challenge",
}

impl Code {
    /// Every code.
    pub fn all() -> impl Iterator<Item = Self> {
        let denied = auth::Code::ALL.iter().copied().map(Self::Denied);
        let sdp = SdpRefused::NAMES.into_iter().map(Self::Sdp);
        Self::OWN.iter().copied().chain(denied).chain(sdp)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_has_a_name_of_its_own() {
        let names: BTreeSet<_> = Code::all().map(Code::name).collect();
        assert_eq!(names.len(), Code::all().count());
    }

    /// What only WHIP, WHEP and the other ports answer; the rest a socket may tell, or the opening of one.
    const NOT_OF_SOCKETS: &[Code] = &[
        Code::NotFound,
        Code::WrongContentType,
        Code::BodyTooLong,
        Code::BodyTooSlow,
        Code::TooManyBodies,
        Code::BodyNotText,
        Code::BodyBroken,
        Code::IfMatchMissing,
        Code::StaleEtag,
        Code::BadJson,
        Code::NoSuchEvent,
        Code::NoEvents,
        Code::Replaced,
        Code::NoSecondTransport,
        Code::ReportUnwritable,
        Code::NoHost,
        Code::NoSuchChallenge,
    ];

    #[test]
    fn the_protocols_tables_name_every_code_of_sockets_and_no_other() {
        let text = include_str!("README.md");
        // Rows of the two tables: | status | `code`, `code` | meaning |
        let rows = text.lines().filter(|line| line.starts_with("| 4") || line.starts_with("| 5"));
        let mut named = BTreeSet::new();
        for row in rows {
            // Close codes have four digits.
            let mut cells = row.split('|').skip(1);
            let statuses = cells.next().unwrap_or_default();
            if statuses.split(',').any(|status| status.trim().len() != 3) {
                continue;
            }
            named.extend(cells.next().unwrap_or_default().split('`').skip(1).step_by(2));
        }
        let told: BTreeSet<_> = Code::all().filter(|code| !NOT_OF_SOCKETS.contains(code)).map(Code::name).collect();
        assert_eq!(named, told);
    }
}
