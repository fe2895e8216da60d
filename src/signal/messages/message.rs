//! The messages of both directions: text ↔ values. `../README.md` says what each means, and `requests.rs` does what it
//! asks for.
//!
//! Unknown fields are ignored, so that a newer client can talk to an older node. Every other deviation is refused: a
//! message that cannot be answered closes the socket, any other gets an `error`.

use std::fmt;

use async_tungstenite::tungstenite::Utf8Bytes;
use hyper::StatusCode;
use serde::{Deserialize, Serialize};

use super::layers::{ChoiceShown, Layer, LayerShown};
pub(in crate::signal) use super::names::{Id, SessionName};
use crate::limits;
use crate::signal::code::Code;
use crate::signal::problem::Problem;
use crate::worker::layers::LayersTold;
use crate::worker::mailbox::{EndReason, Rekeyed, SessionId};

/// The protocol's version. The subprotocol names it too.
pub(in crate::signal) const VERSION: u64 = 1;

/// Greatest length, in characters, of the `detail` about a bad message.
const DETAIL_CHARS_MAX: usize = 200;

/// A bearer token. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(in crate::signal) struct Token(String);

impl Token {
    /// The text.
    pub(in crate::signal) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Token {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.len() > limits::SOCKET_TOKEN_BYTES_MAX {
            return Err(format!("token must be at most {} bytes", limits::SOCKET_TOKEN_BYTES_MAX));
        }
        Ok(Self(text))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// A message from the client.
#[derive(Debug)]
pub(in crate::signal) enum Request {
    Hello(Hello),
    Publish(Offer),
    Subscribe(Offer),
    Candidate(TrickledCandidate),
    Restart(Restart),
    Close(Close),
    Follow(Named),
    Unfollow(Named),
    Layer(Layer),
    Rekey(Rekey),
    Switched(Switched),
    Ping(Ping),
}

#[derive(Debug, Deserialize)]
pub(in crate::signal) struct Hello {
    pub(in crate::signal) id: Id,
    pub(in crate::signal) version: u64,
    pub(in crate::signal) token: Option<Token>,
    #[serde(default)]
    pub(in crate::signal) resume: Vec<Resume>,
}

#[derive(Deserialize)]
pub(in crate::signal) struct Resume {
    pub(in crate::signal) session: SessionName,
    pub(in crate::signal) secret: String,
}

impl fmt::Debug for Resume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resume").field("session", &self.session).finish_non_exhaustive()
    }
}

#[derive(Debug, Deserialize)]
pub(in crate::signal) struct Offer {
    pub(in crate::signal) id: Id,
    pub(in crate::signal) stream: String,
    pub(in crate::signal) sdp: String,
    #[serde(default)]
    pub(in crate::signal) trickle: bool,
    pub(in crate::signal) token: Option<Token>,
}

#[derive(Debug, Deserialize)]
pub(in crate::signal) struct TrickledCandidate {
    pub(in crate::signal) session: SessionName,
    pub(in crate::signal) candidate: String,
    /// Only its type is checked, because with BUNDLE there is only one transport.
    #[serde(rename = "mid")]
    pub(in crate::signal) _mid: String,
}

#[derive(Debug, Deserialize)]
pub(in crate::signal) struct Restart {
    pub(in crate::signal) id: Id,
    pub(in crate::signal) session: SessionName,
    pub(in crate::signal) fragment: String,
}

/// A second offer for a session: its keys are to change.
#[derive(Debug, Deserialize)]
pub(in crate::signal) struct Rekey {
    pub(in crate::signal) id: Id,
    pub(in crate::signal) session: SessionName,
    pub(in crate::signal) sdp: String,
}

/// The client uses the session's second transport.
#[derive(Debug, Deserialize)]
pub(in crate::signal) struct Switched {
    pub(in crate::signal) session: SessionName,
}

#[derive(Debug, Deserialize)]
pub(in crate::signal) struct Close {
    pub(in crate::signal) id: Id,
    pub(in crate::signal) session: SessionName,
}

#[derive(Debug, Deserialize)]
pub(in crate::signal) struct Named {
    pub(in crate::signal) id: Id,
    pub(in crate::signal) stream: String,
}

#[derive(Debug, Deserialize)]
pub(in crate::signal) struct Ping {
    pub(in crate::signal) id: Id,
}

/// Why a message was not read.
#[derive(Debug)]
pub(in crate::signal) enum Unreadable {
    /// Not a JSON object with a type.
    Malformed,
    /// What is wrong, with the request's number if that can be read.
    Refused(Option<Id>, Problem),
}

#[derive(Deserialize)]
struct Envelope {
    r#type: String,
    #[serde(default)]
    id: serde_json::Value,
}

impl Request {
    /// Reads a message.
    pub(in crate::signal) fn parse(text: &str) -> Result<Self, Unreadable> {
        // serde would read a JSON list as the fields in their order.
        if !text.trim_start().starts_with('{') {
            return Err(Unreadable::Malformed);
        }
        let envelope: Envelope = serde_json::from_str(text).map_err(|_| Unreadable::Malformed)?;
        let read = match envelope.r#type.as_str() {
            "hello" => serde_json::from_str(text).map(Self::Hello),
            "publish" => serde_json::from_str(text).map(Self::Publish),
            "subscribe" => serde_json::from_str(text).map(Self::Subscribe),
            "candidate" => serde_json::from_str(text).map(Self::Candidate),
            "restart" => serde_json::from_str(text).map(Self::Restart),
            "close" => serde_json::from_str(text).map(Self::Close),
            "follow" => serde_json::from_str(text).map(Self::Follow),
            "unfollow" => serde_json::from_str(text).map(Self::Unfollow),
            "layer" => serde_json::from_str(text).map(Self::Layer),
            "rekey" => serde_json::from_str(text).map(Self::Rekey),
            "switched" => serde_json::from_str(text).map(Self::Switched),
            "ping" => serde_json::from_str(text).map(Self::Ping),
            _ => {
                let detail = "send hello, publish, subscribe, candidate, restart, close, follow, unfollow, layer, rekey, \
                              switched or ping";
                let problem = Problem::new(StatusCode::BAD_REQUEST, Code::UnknownType, detail);
                return Err(Unreadable::Refused(id_of(&envelope), problem));
            }
        };
        read.map_err(|error| {
            // The error's text may quote the message at any length, so it is cut.
            let detail = error.to_string().chars().take(DETAIL_CHARS_MAX).collect::<String>();
            let problem = Problem::new(StatusCode::BAD_REQUEST, Code::BadMessage, detail);
            Unreadable::Refused(id_of(&envelope), problem)
        })
    }

    /// The message's name in metrics.
    pub(in crate::signal) const fn name(&self) -> &'static str {
        match self {
            Self::Hello(_) => "hello",
            Self::Publish(_) => "publish",
            Self::Subscribe(_) => "subscribe",
            Self::Candidate(_) => "candidate",
            Self::Restart(_) => "restart",
            Self::Close(_) => "close",
            Self::Follow(_) => "follow",
            Self::Unfollow(_) => "unfollow",
            Self::Layer(_) => "layer",
            Self::Rekey(_) => "rekey",
            Self::Switched(_) => "switched",
            Self::Ping(_) => "ping",
        }
    }
}

fn id_of(envelope: &Envelope) -> Option<Id> {
    envelope.id.as_u64().and_then(|number| Id::try_from(number).ok())
}

/// A message to the client.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(in crate::signal) enum Told<'a> {
    Welcome {
        id: Id,
        version: u64,
        node: &'a str,
        grace_s: u64,
        limits: SocketLimits,
        resumed: Vec<SessionName>,
        gone: Vec<SessionName>,
    },
    Answer {
        id: Id,
        session: SessionName,
        secret: &'a str,
        stream: &'a str,
        direction: &'static str,
        worker: u16,
        sdp: &'a str,
        /// They are here and not in `welcome`, because their credentials are only for clients that may open a session.
        ice_servers: &'a [crate::config::IceServer],
    },
    Candidate {
        session: SessionName,
        candidate: &'a str,
        mid: &'a str,
    },
    Restarted {
        id: Id,
        session: SessionName,
        fragment: &'a str,
    },
    Closed {
        id: Id,
        session: SessionName,
    },
    Following {
        id: Id,
        stream: &'a str,
    },
    Unfollowed {
        /// `None` if the permission has expired.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<Id>,
        stream: &'a str,
    },
    Pong {
        id: Id,
    },
    Connected {
        session: SessionName,
    },
    Moved {
        session: SessionName,
    },
    PathTooNarrow {
        session: SessionName,
    },
    NearestFits {
        session: SessionName,
        published: &'a str,
        sent_as: &'a str,
    },
    Ended {
        session: SessionName,
        reason: &'static str,
        detail: &'static str,
    },
    Stream {
        stream: &'a str,
        live: bool,
    },
    /// The answer to `layer`: the choice is made.
    Chosen {
        id: Id,
        session: SessionName,
    },
    Layers {
        session: SessionName,
        layers: Vec<LayerShown<'a>>,
        current: Option<u8>,
        layer: ChoiceShown,
        why: &'static str,
        detail: &'static str,
    },
    /// The answer to `rekey`.
    #[serde(rename = "answer")]
    SecondAnswer {
        id: Id,
        session: SessionName,
        sdp: &'a str,
        ice_servers: &'a [crate::config::IceServer],
    },
    /// A session's keys are to be changed.
    Rekey {
        session: SessionName,
        within_s: u64,
    },
    /// A session's keys have changed: its old transport has ended.
    Rekeyed {
        session: SessionName,
        reason: &'static str,
    },
    /// They have not: its new transport has ended.
    RekeyFailed {
        session: SessionName,
        reason: &'static str,
        detail: &'static str,
    },
    GoingAway {
        in_s: u64,
    },
    Error {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<Id>,
        #[serde(skip_serializing_if = "Option::is_none")]
        session: Option<SessionName>,
        status: u16,
        code: &'static str,
        title: &'static str,
        detail: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after_s: Option<u64>,
    },
}

/// The limits of a socket, so that the client need not find them out.
#[derive(Debug, Serialize)]
pub(in crate::signal) struct SocketLimits {
    pub(in crate::signal) message_bytes: usize,
    pub(in crate::signal) messages_per_second: u32,
    pub(in crate::signal) messages_burst: u64,
    pub(in crate::signal) sessions: usize,
    pub(in crate::signal) follows: usize,
    pub(in crate::signal) idle_s: u64,
}

impl Told<'_> {
    /// The message as it is sent.
    pub(in crate::signal) fn text(&self) -> Utf8Bytes {
        // Text, numbers and lists of them are always JSON.
        serde_json::to_string(self).unwrap_or_default().into()
    }

    /// The refusal of a request, or an error that concerns a session.
    pub(in crate::signal) fn error(id: Option<Id>, session: Option<SessionName>, problem: &Problem) -> Self {
        Self::Error {
            id,
            session,
            status: problem.status().as_u16(),
            code: problem.code().name(),
            title: problem.title(),
            detail: problem.detail().to_owned(),
            retry_after_s: problem.retry_after_s(),
        }
    }
}

/// What a viewer's page is told of its encodings.
pub(in crate::signal) fn layers(session: SessionId, told: &LayersTold) -> Told<'_> {
    let (layers, layer) = (LayerShown::all(told), ChoiceShown(told.choice));
    Told::Layers { session: session.into(), layers, current: told.current, layer, why: told.why, detail: told.because }
}

/// The message for a viewer that negotiated nothing that fits what is published.
pub(in crate::signal) fn nothing_fits(session: SessionId, published: &str) -> Told<'static> {
    let detail =
        format!("{published} is published, and the viewer's offer had nothing that fits: offer that codec too");
    let problem = Problem::new(StatusCode::NOT_ACCEPTABLE, Code::NothingFits, detail);
    Told::error(None, Some(session.into()), &problem)
}

/// The message for a socket whose session was taken over by another socket.
pub(in crate::signal) fn resumed_elsewhere(session: SessionId) -> Told<'static> {
    let detail = "another socket took the session over with its secret: this one hears of it no more";
    let problem = Problem::new(StatusCode::CONFLICT, Code::ResumedElsewhere, detail);
    Told::error(None, Some(session.into()), &problem)
}

/// The reason why a session ended, for people.
pub(in crate::signal) const fn detail_of(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Left => "it was closed as asked",
        EndReason::PeerClosed => "the peer closed its connection",
        EndReason::TimedOut => "nothing came from the peer for 30 s: its network is gone, or it was suspended",
        EndReason::NeverConnected => {
            "ICE and DTLS did not finish within 20 s: is UDP to the node's media ports blocked?"
        }
        EndReason::FingerprintMismatch => "the peer's certificate is not the one in its offer",
        EndReason::DtlsNoProfile => {
            "its DTLS offers none of the SRTP profiles AEAD_AES_128_GCM, AEAD_AES_256_GCM, AES128_CM_HMAC_SHA1_80"
        }
        EndReason::DtlsNoVersion => "it offers neither DTLS 1.2 nor DTLS 1.3",
        EndReason::DtlsNoParameters => "no DTLS cipher suite, group or signature scheme in common",
        EndReason::DtlsNoCertificate => "the peer presented no DTLS certificate",
        EndReason::DtlsCertificate => {
            "the key of the peer's DTLS certificate is not supported: use ECDSA with P-256, P-384 or P-521, or RSA"
        }
        EndReason::DtlsTooLong => "the peer's DTLS certificate is longer than 8 KiB",
        EndReason::DtlsRefused => "the peer refused DTLS with an alert",
        EndReason::DtlsFailed => "the DTLS handshake failed",
        EndReason::ShuttingDown => "the node is ending",
        EndReason::Operator => "an operator ended it",
        EndReason::NoPublisher => "nobody published the stream for as long as a viewer may wait",
        EndReason::LeaveExpired => "the time it was allowed for is over",
        EndReason::KeysUsedUp => "as many packets were sent under its keys as may be: answer `rekey`",
        EndReason::KeysTooOld => {
            "its keys are old and it cannot change them, which media.plain_clients_at_key_age forbids"
        }
        EndReason::Replaced => "publish.takeover lets a newer publisher have the name",
        EndReason::SignallingLost => "the socket it was opened on was lost and nobody resumed it in time",
    }
}

/// What became of a change of keys, for people; the end of a sentence.
pub(in crate::signal) const fn detail_of_rekey(outcome: Rekeyed) -> &'static str {
    match outcome {
        Rekeyed::Switched => "the client uses the new transport",
        Rekeyed::OverlapOver => "the time in which both transports play is over",
        Rekeyed::OldEnded => "the old transport has ended",
        Rekeyed::InPlace => "DTLS began anew on the connection",
        Rekeyed::NeverConnected => "ICE and DTLS of the new transport did not finish within 20 s",
        Rekeyed::DtlsFailed => "the DTLS handshake of the new transport failed",
        Rekeyed::Abandoned => "the new transport was closed, or nothing came by it",
        Rekeyed::NoKeyFrame => "no key frame came by the new transport within 10 s",
        Rekeyed::SessionEnded => "the session ended meanwhile",
        Rekeyed::Refused => "the node is busy with sessions that join",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> (Option<u64>, &'static str, String) {
        match Request::parse(text) {
            Err(Unreadable::Refused(id, problem)) => {
                (id.map(|id| id.0), problem.code().name(), problem.detail().to_owned())
            }
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn the_protocol_names_every_reason_of_an_end() {
        let text = include_str!("../README.md");
        let list = text.split("Reasons of `ended`:").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap();
        for reason in EndReason::ALL {
            assert!(list.contains(&format!("`{}`", reason.name())), "{}", reason.name());
        }
    }

    #[test]
    fn what_cannot_be_answered_is_malformed() {
        for text in [
            "",
            "{",
            "null",
            "[]",
            "7",
            "\"hello\"",
            "{}",
            "{\"type\":7}",
            "[\"ping\",1]",
            "{\"type\":null,\"id\":1}",
            "{} {}",
        ] {
            assert!(matches!(Request::parse(text), Err(Unreadable::Malformed)), "{text}");
        }
        let deep = format!("{{\"type\":\"ping\",\"id\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
        assert!(matches!(Request::parse(&deep), Err(Unreadable::Malformed)));
    }

    #[test]
    fn a_bad_message_is_refused_with_its_id_and_what_is_wrong() {
        for (text, id, code, part) in [
            (r#"{"type":"dance","id":7}"#, Some(7), "unknown_type", "subscribe"),
            (r#"{"type":"ping"}"#, None, "bad_message", "missing field `id`"),
            (r#"{"type":"ping","id":0}"#, None, "bad_message", "2^53"),
            (r#"{"type":"ping","id":9007199254740993}"#, None, "bad_message", "2^53"),
            (r#"{"type":"ping","id":1.5}"#, None, "bad_message", "1.5"),
            (r#"{"type":"ping","id":1,"id":2}"#, None, "", ""),
            (r#"{"type":"publish","id":1,"stream":"a"}"#, Some(1), "bad_message", "missing field `sdp`"),
            (r#"{"type":"publish","id":1,"stream":5,"sdp":""}"#, Some(1), "bad_message", "string"),
            (r#"{"type":"publish","id":1,"stream":"a","sdp":"","trickle":"yes"}"#, Some(1), "bad_message", "boolean"),
            (r#"{"type":"close","id":1,"session":12}"#, Some(1), "bad_message", "string"),
            (r#"{"type":"hello","id":1}"#, Some(1), "bad_message", "version"),
            (r#"{"type":"hello","id":1,"version":1,"resume":[{"session":"1"}]}"#, Some(1), "bad_message", "secret"),
        ] {
            if code.is_empty() {
                // The same field twice: which one was meant?
                assert!(matches!(Request::parse(text), Err(Unreadable::Malformed)), "{text}");
                continue;
            }
            let (have_id, have_code, detail) = refused(text);
            assert_eq!((have_id, have_code), (id, code), "{text}");
            assert!(detail.contains(part), "{text}: {detail}");
        }
        let long = format!(r#"{{"type":"hello","id":1,"version":1,"token":"{}"}}"#, "x".repeat(8_193));
        assert!(refused(&long).2.contains("8192"));
        let echo = format!(r#"{{"type":"publish","id":1,"stream":"a","sdp":"","trickle":"{}"}}"#, "x".repeat(60_000));
        assert_eq!(refused(&echo).2.len(), 200, "what comes is not sent back at any length");
    }

    #[test]
    fn unknown_fields_are_ignored_and_no_secret_is_shown() {
        let text = r#"{"type":"hello","new":{"a":[1]},"id":1,"version":1,"token":"tok","resume":[{"session":"12","secret":"sec"}]}"#;
        let Ok(Request::Hello(hello)) = Request::parse(text) else { panic!() };
        assert_eq!(
            (hello.resume[0].session, hello.token.as_ref().map(Token::as_str)),
            (SessionId(12).into(), Some("tok"))
        );
        let shown = format!("{hello:?}");
        assert!(!shown.contains("tok\"") && !shown.contains("sec\""), "{shown}");
        // What is no number names no session, and that is the answer it gets.
        let Ok(Request::Close(close)) = Request::parse(r#"{"type":"close","id":1,"session":"x"}"#) else { panic!() };
        assert_eq!(close.session.0, SessionId(u64::MAX));
    }

    #[test]
    fn messages_are_written_as_the_protocol_says() {
        let problem = Problem::unavailable(Code::NodeFull, "try later");
        for (told, text) in [
            (Told::Pong { id: Id(3) }, r#"{"type":"pong","id":3}"#),
            (Told::GoingAway { in_s: 2 }, r#"{"type":"going_away","in_s":2}"#),
            (Told::Connected { session: SessionId(7).into() }, r#"{"type":"connected","session":"7"}"#),
            (
                Told::error(Some(Id(1)), None, &problem),
                r#"{"type":"error","id":1,"status":503,"code":"node_full","title":"Service Unavailable","detail":"try later","retry_after_s":5}"#,
            ),
        ] {
            assert_eq!(told.text().as_str(), text);
        }
    }
}
