//! STUN (RFC 8489) and the ICE agent behind it: any bytes as a message; then the message's own attributes under this
//! session's credentials, so that the agent sees them as authentic.

use std::net::SocketAddr;

use corecast::description::IceCredentials;
use corecast::ice::{CheckRefused, IceLite};
use corecast::limits;
use corecast::time::Timestamp;
use corecast::transport::{Arrival, PathId};
use corecast::wire::demux::{self, DatagramKind};
use corecast::wire::stun::{self, StunClass, StunMessage, StunWriter, attribute};

use super::Seed;

/// What messages are sealed with that go back to the reader.
const PASSWORD: &str = "local-password-0123456789";

/// The agent's own; no seed is sealed with it.
const AGENT_PASSWORD: &str = "agent-password-0123456789";

pub fn run(data: &[u8]) {
    let Ok(message) = StunMessage::parse(data) else { return };
    // RFC 7983 §7 leaves STUN the methods that begin with 0 to 3.
    assert!(data[0] >= 4 || demux::classify(data) == DatagramKind::Stun);
    read_everything(&message);
    let written = rewritten(&message);
    let copy = StunMessage::parse(&written).expect("what is written is a message");
    assert_eq!((copy.class(), copy.method()), (message.class(), message.method()));
    assert_eq!(copy.transaction_id(), message.transaction_id());
    let values = |message: &StunMessage<'_>| {
        let attributes = message.attributes().filter(|attribute| !is_trailer(attribute.kind));
        attributes.map(|attribute| (attribute.kind, attribute.value.to_vec())).collect::<Vec<_>>()
    };
    assert_eq!(values(&copy), values(&message));
    assert!(copy.verify_integrity(PASSWORD.as_bytes()) && !copy.verify_integrity(b"another"));
    assert_eq!(copy.fingerprint_valid(), Some(true));
    check(&message);
}

const fn is_trailer(kind: u16) -> bool {
    matches!(kind, attribute::MESSAGE_INTEGRITY | attribute::FINGERPRINT)
}

fn read_everything(message: &StunMessage<'_>) {
    let end = message.bytes().len();
    assert!(message.attributes().map(|attribute| attribute.value.len() + 4).sum::<usize>() <= end);
    let _ = (message.username(), message.software(), message.priority(), message.use_candidate());
    let _ = (message.ice_controlled(), message.ice_controlling(), message.xor_mapped_address());
    let _ = (message.fingerprint_valid(), message.verify_integrity(b"password"), message.verify_integrity(b""));
    assert!(message.error_code().is_none_or(|code| (300..700).contains(&code)));
    assert!(message.error_reason().is_none_or(|reason| reason.len() < end));
    assert!(message.unknown_attributes().count() < end.max(1));
    message.unknown_comprehension_required().for_each(drop);
}

/// The message with the same attributes, sealed anew.
fn rewritten(message: &StunMessage<'_>) -> Vec<u8> {
    let mut out = vec![0; message.bytes().len() + 64];
    let mut writer = StunWriter::new(&mut out, message.class(), message.method(), message.transaction_id());
    for attribute in message.attributes().filter(|attribute| !is_trailer(attribute.kind)) {
        writer = writer.attribute(attribute.kind, attribute.value);
    }
    let finished = writer.integrity(PASSWORD.as_bytes()).fingerprint().finish();
    let Some(len) = finished else {
        // A message at the bound of its length field has no room for the two.
        assert!(message.bytes().len() > usize::from(u16::MAX) - 64);
        out.clear();
        let mut small = vec![0; 64];
        let writer = StunWriter::new(&mut small, message.class(), message.method(), message.transaction_id());
        let len = writer.integrity(PASSWORD.as_bytes()).fingerprint().finish().expect("room");
        small.truncate(len);
        return small;
    };
    out.truncate(len);
    out
}

/// The attributes from several addresses to an agent, with the right user name and integrity.
fn check(message: &StunMessage<'_>) {
    let credentials =
        |ufrag: &str, password: &str| IceCredentials { ufrag: ufrag.to_owned(), password: password.to_owned() };
    let mut agent = IceLite::new(credentials("LOCAL", AGENT_PASSWORD), credentials("REMOTE", "unused"), [7; 16]);
    // A check of its own from each address: one that was believed is not believed again from elsewhere.
    let request_from = |number: u16| {
        let mut request = vec![0; message.bytes().len() + 96];
        let mut transaction_id = *message.transaction_id();
        transaction_id[0] ^= number as u8;
        let mut writer = StunWriter::binding_request(&mut request, &transaction_id).username(b"LOCAL:REMOTE");
        for attribute in message.attributes().filter(|a| !is_trailer(a.kind) && a.kind != attribute::USERNAME) {
            writer = writer.attribute(attribute.kind, attribute.value);
        }
        let len = writer.integrity(AGENT_PASSWORD.as_bytes()).fingerprint().finish()?;
        request.truncate(len);
        Some(request)
    };
    let mut reply = [0; limits::STUN_REPLY_BYTES_MAX];
    let from = |port: u16| Arrival { path: PathId::numbered(port), remote: SocketAddr::from(([192, 0, 2, 1], port)) };
    let stranger = agent.handle_check(message, from(1), Timestamp::ZERO, &mut reply);
    assert!(stranger.is_err(), "nobody can know the password");
    assert_eq!(agent.paths().count(), 0);
    for number in 0..12 {
        let now = Timestamp::from_millis(u64::from(number));
        let Some(request) = request_from(number) else { return };
        let request = StunMessage::parse(&request).expect("what is written is a message");
        let reply_len = match agent.handle_check(&request, from(1_000 + number), now, &mut reply) {
            Ok(outcome) => {
                assert!(outcome.validated);
                let again = agent.handle_check(&request, from(1), now, &mut [0; limits::STUN_REPLY_BYTES_MAX]);
                assert_eq!(again, Err(CheckRefused::Replayed));
                outcome.reply_len
            }
            Err(CheckRefused::RoleConflict(len) | CheckRefused::UnknownAttribute(len)) => len,
            Err(refused) => panic!("an authentic request is answered: {refused:?}"),
        };
        let reply = StunMessage::parse(&reply[..reply_len]).expect("a whole reply");
        assert!(reply.verify_integrity(AGENT_PASSWORD.as_bytes()) && reply.fingerprint_valid() == Some(true));
        assert_eq!(reply.transaction_id(), request.transaction_id());
        assert!(matches!(reply.class(), StunClass::Success | StunClass::Error));
        assert!(agent.paths().count() <= limits::PATHS_PER_SESSION_MAX);
        assert!(agent.selected().is_none_or(|selected| agent.is_validated(selected)));
    }
}

/// Beside these the corpus holds RFC 5769's vectors.
pub fn seeds() -> Vec<Seed> {
    let id = [7; 12];
    let written = |write: &dyn Fn(StunWriter<'_>) -> Option<usize>, class, method| {
        let mut out = [0; 256];
        let len = write(StunWriter::new(&mut out, class, method, &id)).expect("room");
        out[..len].to_vec()
    };
    let sealed = |writer: StunWriter<'_>| writer.integrity(PASSWORD.as_bytes()).fingerprint().finish();
    vec![
        ("plain-binding".into(), written(&|writer| writer.finish(), StunClass::Request, stun::BINDING)),
        (
            "chromium-check".into(),
            written(
                &|writer| {
                    let writer = writer.username(b"LOCAL:REMOTE").attribute(0xc057, &[0, 1, 0, 10]);
                    sealed(writer.ice_controlling(7).use_candidate().priority(1_853_824_767))
                },
                StunClass::Request,
                stun::BINDING,
            ),
        ),
        (
            "role-conflict".into(),
            written(&|writer| sealed(writer.username(b"LOCAL:REMOTE").ice_controlled(9)), StunClass::Request, 1),
        ),
        (
            "unknown-attributes".into(),
            written(
                &|writer| sealed(writer.error_code(420, "Unknown Attribute").unknown_attributes([1, 2, 3].into_iter())),
                StunClass::Error,
                1,
            ),
        ),
        (
            "unknown-required".into(),
            written(&|writer| sealed(writer.attribute(0x7fff, b"?").attribute(0x1234, b"")), StunClass::Request, 1),
        ),
    ]
}
