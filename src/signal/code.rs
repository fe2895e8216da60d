//! The names by which programs know a refusal: `code` in problem+json (RFC 9457) and in a socket's `error`, and the label
//! `reason` of refused sessions in metrics. One closed list; nothing else may be one.

use std::fmt;

use super::sdp::SdpRefused;
use crate::auth;

macro_rules! codes {
    ($($(#[$meaning:meta])+ $code:ident = $name:literal,)+) => {
        /// A refusal's name for programs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$meaning])+ $code,)+
            /// Authorisation's: the token, or who runs the node.
            Denied(auth::Code),
            /// The negotiator's, for an offer or a fragment; of the node's own, one of [`SdpRefused::NAMES`].
            Sdp(&'static str),
        }

        impl Code {
            /// Those of signalling itself.
            const OWN: &[Self] = &[$(Self::$code),+];

            /// The text.
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
    /// The page's origin may not call.
    OriginNotAllowed = "origin_not_allowed",
    /// The node ends.
    ShuttingDown = "shutting_down",

    // --- bodies and conditions of WHIP and WHEP ---
    /// Another media type is expected.
    WrongContentType = "wrong_content_type",
    /// The body is longer than may be.
    BodyTooLong = "body_too_long",
    /// The body did not come in time.
    BodyTooSlow = "body_too_slow",
    /// As many bodies are read as there is room for.
    TooManyBodies = "too_many_bodies",
    /// The body is not UTF-8.
    BodyNotText = "body_not_text",
    /// The body ended early.
    BodyBroken = "body_broken",
    /// `PATCH` needs a condition.
    IfMatchMissing = "if_match_missing",
    /// The condition names an older state.
    StaleEtag = "stale_etag",

    // --- sessions ---
    /// The stream's name may not be used.
    BadStreamName = "bad_stream_name",
    /// The session has ended or never was.
    NoSuchSession = "no_such_session",
    /// The address has as many sessions as it may.
    TooManyFromAddress = "too_many_from_address",
    /// More sessions a second are asked for than may be.
    TooManyJoins = "too_many_joins",
    /// The stream has a publisher.
    NameTaken = "name_taken",
    /// It cannot be found out whether the stream has a publisher on another node.
    OwnershipUnavailable = "ownership_unavailable",
    /// As many streams are published as may be.
    TooManyStreams = "too_many_streams",
    /// The stream has as many viewers as it may.
    TooManyViewers = "too_many_viewers",
    /// As many viewers wait for publishers as may.
    TooManyWaiting = "too_many_waiting",
    /// As many sessions are open and not connected as may be.
    TooManyHandshakes = "too_many_handshakes",
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
    /// `Sec-WebSocket-Key` is none.
    BadWebsocketKey = "bad_websocket_key",
    /// Sockets open over HTTP/1.1.
    Http1Needed = "http1_needed",
    /// The token is longer than one may be.
    TokenTooLong = "token_too_long",
    /// Sockets open by `Upgrade`.
    UpgradeRequired = "upgrade_required",
    /// Another version of WebSocket.
    WebsocketVersion = "websocket_version",
    /// The address has as many sockets as it may.
    TooManySocketsFromAddress = "too_many_sockets_from_address",
    /// The node has as many sockets as it may.
    TooManySockets = "too_many_sockets",

    // --- a socket's messages ---
    /// A field is missing or of the wrong type.
    BadMessage = "bad_message",
    /// There is no such message.
    UnknownType = "unknown_type",
    /// The first message was not `hello`.
    HelloMissing = "hello_missing",
    /// `hello` was said before.
    HelloAgain = "hello_again",
    /// Another version of the protocol.
    VersionUnknown = "version_unknown",
    /// It is no candidate.
    BadCandidate = "bad_candidate",
    /// The fragment has no new credentials.
    NotARestart = "not_a_restart",
    /// Nothing that is published fits what the viewer offered.
    NothingFits = "nothing_fits",
    /// Another socket took the session over.
    ResumedElsewhere = "resumed_elsewhere",
    /// The socket has as many sessions as it may.
    TooManyOnSocket = "too_many_on_socket",
    /// The socket follows as many streams as it may.
    TooManyFollows = "too_many_follows",

    // --- the other ports ---
    /// Figures are not shown to who asks by this name.
    NotByThatName = "not_by_that_name",
    /// The report cannot be written.
    ReportUnwritable = "report_unwritable",
    /// A redirect needs the name of a host.
    NoHost = "no_host",
    /// No ACME challenge of that name is answered.
    NoSuchChallenge = "no_such_challenge",
}

impl Code {
    /// All there are.
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
        Code::NotByThatName,
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
