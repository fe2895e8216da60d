//! Checks from browsers and from attackers: which ones validate a path, and which ones move media.

use super::*;
use crate::wire::bytes::{StateReader, StateWriter};

fn credentials(name: &str) -> IceCredentials {
    IceCredentials { ufrag: format!("{name}ufrag"), password: format!("{name}-password-of-24-letters") }
}

fn path(number: u16) -> PathId {
    PathId::numbered(number)
}

fn arrival(path: PathId) -> Arrival {
    Arrival { path, remote: ([192, 0, 2, 1], 4_000).into() }
}

static TRANSACTION: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(2);

fn request(username: &str, password: &str, use_candidate: bool) -> Vec<u8> {
    let mut out = [0; 256];
    let mut transaction = [7; 12];
    // Counts up in the last bytes only, as a poor client does, so the first bytes never change.
    transaction[4..].copy_from_slice(&TRANSACTION.fetch_add(1, std::sync::atomic::Ordering::Relaxed).to_be_bytes());
    let mut writer = StunWriter::binding_request(&mut out, &transaction)
        .username(username.as_bytes())
        .priority(1)
        .ice_controlling(9);
    if use_candidate {
        writer = writer.use_candidate();
    }
    let len = writer.integrity(password.as_bytes()).fingerprint().finish().unwrap();
    out[..len].to_vec()
}

fn check(agent: &mut IceLite, bytes: &[u8], path: PathId) -> Result<CheckOutcome, CheckRefused> {
    let mut out = [0; 256];
    agent.handle_check(&StunMessage::parse(bytes).unwrap(), arrival(path), Timestamp::ZERO, &mut out)
}

fn agent() -> IceLite {
    IceLite::new(credentials("local"), credentials("remote"), [5; 16])
}

const USERNAME: &str = "localufrag:remoteufrag";
const PASSWORD: &str = "local-password-of-24-letters";

#[test]
fn the_first_validated_path_is_used_until_one_is_nominated() {
    let mut agent = agent();
    let outcome = check(&mut agent, &request(USERNAME, PASSWORD, false), path(1)).unwrap();
    assert!(outcome.validated && outcome.selected);
    let outcome = check(&mut agent, &request(USERNAME, PASSWORD, false), path(2)).unwrap();
    assert!(outcome.validated && !outcome.selected);
    assert!(check(&mut agent, &request(USERNAME, PASSWORD, true), path(2)).unwrap().selected);
    assert_eq!(agent.selected(), Some(path(2)));
    // A plain keep-alive on another path does not move media back.
    assert!(!check(&mut agent, &request(USERNAME, PASSWORD, false), path(1)).unwrap().selected);
    // The peer's address changes: it nominates the new one.
    assert!(check(&mut agent, &request(USERNAME, PASSWORD, true), path(3)).unwrap().selected);
}

#[test]
fn forged_checks_are_refused_and_change_nothing() {
    let mut agent = agent();
    assert_eq!(check(&mut agent, &request(USERNAME, "wrong", true), path(1)), Err(CheckRefused::Integrity));
    assert_eq!(check(&mut agent, &request("localufrag:x", PASSWORD, true), path(1)), Err(CheckRefused::Username));
    assert_eq!(check(&mut agent, &request("localufrag", PASSWORD, true), path(1)), Err(CheckRefused::Username));
    let mut broken = request(USERNAME, PASSWORD, true);
    *broken.last_mut().unwrap() ^= 1;
    assert_eq!(check(&mut agent, &broken, path(1)), Err(CheckRefused::Fingerprint));
    assert!(agent.selected().is_none() && !agent.is_validated(path(1)));
}

#[test]
fn after_a_restart_both_credentials_work_until_the_new_pair_nominates() {
    let mut agent = agent();
    check(&mut agent, &request(USERNAME, PASSWORD, true), path(1)).unwrap();
    agent.restart(credentials("new"), credentials("newremote"));
    assert!(check(&mut agent, &request(USERNAME, PASSWORD, true), path(1)).is_ok());
    assert!(agent.retire_previous().is_none());
    let new = request("newufrag:newremoteufrag", "new-password-of-24-letters", true);
    assert!(check(&mut agent, &new, path(5)).unwrap().selected);
    assert_eq!(agent.retire_previous().as_deref(), Some("localufrag"));
    assert_eq!(check(&mut agent, &request(USERNAME, PASSWORD, true), path(1)), Err(CheckRefused::Username));
}

#[test]
fn user_fragments_are_reported_while_they_work() {
    let mut agent = agent();
    assert_eq!((agent.local_ufrag(), agent.previous_ufrag()), ("localufrag", None));
    assert_eq!(agent.restart(credentials("second"), credentials("remote2")), None);
    assert_eq!((agent.local_ufrag(), agent.previous_ufrag()), ("secondufrag", Some("localufrag")));
    // A second restart ends the credentials before the first.
    assert_eq!(agent.restart(credentials("third"), credentials("remote3")).as_deref(), Some("localufrag"));
    assert_eq!((agent.local_ufrag(), agent.previous_ufrag()), ("thirdufrag", Some("secondufrag")));
}

#[test]
fn after_a_restart_the_old_pair_moves_media_until_the_new_one_nominates() {
    // RFC 8445 §9: the previously selected pair is used until the restart is complete.
    let mut agent = agent();
    check(&mut agent, &request(USERNAME, PASSWORD, true), path(1)).unwrap();
    agent.restart(credentials("new"), credentials("newremote"));
    assert!(check(&mut agent, &request(USERNAME, PASSWORD, true), path(2)).unwrap().selected);
    assert!(!check(&mut agent, &request(USERNAME, PASSWORD, false), path(1)).unwrap().selected);
    let new = |use_candidate| request("newufrag:newremoteufrag", "new-password-of-24-letters", use_candidate);
    assert!(!check(&mut agent, &new(false), path(3)).unwrap().selected, "it nominates nothing");
    assert!(check(&mut agent, &new(true), path(3)).unwrap().selected);
    assert!(!check(&mut agent, &request(USERNAME, PASSWORD, true), path(2)).unwrap().selected);
    assert_eq!(agent.selected(), Some(path(3)));
}

#[test]
fn only_binding_requests_are_checks() {
    let mut agent = agent();
    for (class, method) in
        [(StunClass::Request, 0x003), (StunClass::Indication, stun::BINDING), (StunClass::Success, stun::BINDING)]
    {
        let mut out = [0; 256];
        let writer = StunWriter::new(&mut out, class, method, &[1; 12]).username(USERNAME.as_bytes());
        let len = writer.integrity(PASSWORD.as_bytes()).fingerprint().finish().unwrap();
        assert_eq!(check(&mut agent, &out[..len], path(1)), Err(CheckRefused::NotARequest));
    }
    let mut out = [0; 256];
    let len = StunWriter::binding_request(&mut out, &[1; 12]).fingerprint().finish().unwrap();
    assert_eq!(check(&mut agent, &out[..len], path(1)), Err(CheckRefused::Username), "it says not whose");
    assert!(agent.paths().next().is_none());
}

#[test]
fn a_success_tells_the_peer_its_address_under_the_password_it_used() {
    let mut agent = agent();
    // A dual-stack socket shows an IPv4 peer as ::ffff:192.0.2.1; the peer knows itself as 192.0.2.1.
    let mapped = Arrival { path: path(1), remote: "[::ffff:192.0.2.1]:4000".parse().unwrap() };
    let message = request(USERNAME, PASSWORD, true);
    let mut out = [0; 256];
    let request = StunMessage::parse(&message).unwrap();
    let len = agent.handle_check(&request, mapped, Timestamp::ZERO, &mut out).unwrap().reply_len;
    let reply = StunMessage::parse(&out[..len]).unwrap();
    assert_eq!((reply.class(), reply.method()), (StunClass::Success, stun::BINDING));
    assert_eq!(reply.transaction_id(), request.transaction_id());
    assert_eq!(reply.xor_mapped_address(), Some("192.0.2.1:4000".parse().unwrap()));
    assert!(reply.verify_integrity(PASSWORD.as_bytes()));
    assert_eq!(reply.fingerprint_valid(), Some(true));
    let again = agent.handle_check(&request, mapped, Timestamp::ZERO, &mut out[..len - 1]);
    assert_eq!(again, Err(CheckRefused::NoRoom));
}

#[test]
fn an_attribute_that_must_be_understood_is_answered_with_420() {
    // RFC 8489 §6.3.1.1.
    let mut agent = agent();
    let (mut check, mut out) = ([0; 256], [0; 256]);
    let writer = StunWriter::binding_request(&mut check, &[1; 12]).username(USERNAME.as_bytes());
    let len = writer.attribute(0x7777, b"x").integrity(PASSWORD.as_bytes()).fingerprint().finish().unwrap();
    let check = StunMessage::parse(&check[..len]).unwrap();
    let Err(CheckRefused::UnknownAttribute(len)) =
        agent.handle_check(&check, arrival(path(1)), Timestamp::ZERO, &mut out)
    else {
        panic!("it was understood");
    };
    let reply = StunMessage::parse(&out[..len]).unwrap();
    assert_eq!((reply.class(), reply.error_code()), (StunClass::Error, Some(420)));
    assert_eq!(reply.unknown_attributes().collect::<Vec<_>>(), [0x7777]);
    assert!(reply.verify_integrity(PASSWORD.as_bytes()) && reply.fingerprint_valid() == Some(true));
    assert!(!agent.is_validated(path(1)));
    assert_eq!(
        agent.handle_check(&check, arrival(path(1)), Timestamp::ZERO, &mut out[..len - 1]),
        Err(CheckRefused::NoRoom)
    );
}

#[test]
fn a_controlled_peer_is_told_of_the_role_conflict() {
    let mut agent = agent();
    let mut out = [0; 256];
    let len = StunWriter::binding_request(&mut out, &[1; 12])
        .username(USERNAME.as_bytes())
        .ice_controlled(3)
        .integrity(PASSWORD.as_bytes())
        .fingerprint()
        .finish()
        .unwrap();
    let (check, mut out) = (out, [0; 256]);
    let check = StunMessage::parse(&check[..len]).unwrap();
    let Err(CheckRefused::RoleConflict(len)) = agent.handle_check(&check, arrival(path(1)), Timestamp::ZERO, &mut out)
    else {
        panic!("two controlled agents");
    };
    // RFC 8445 §7.3.1.1.
    let reply = StunMessage::parse(&out[..len]).unwrap();
    assert_eq!((reply.class(), reply.error_code()), (StunClass::Error, Some(487)));
    assert!(reply.verify_integrity(PASSWORD.as_bytes()) && reply.fingerprint_valid() == Some(true));
    assert!(!agent.is_validated(path(1)));
}

#[test]
fn a_replayed_check_from_elsewhere_opens_no_path_and_moves_no_media() {
    let mut agent = agent();
    let (first, second) = (request(USERNAME, PASSWORD, true), request(USERNAME, PASSWORD, true));
    assert!(check(&mut agent, &first, path(1)).unwrap().selected);
    assert_eq!(check(&mut agent, &first, path(666)), Err(CheckRefused::Replayed));
    assert!(!agent.is_validated(path(666)));
    // The client moves. Its old check, forged to come from the old address, does not move media back.
    assert!(check(&mut agent, &second, path(2)).unwrap().selected);
    let outcome = check(&mut agent, &first, path(1)).unwrap();
    assert!(outcome.reply_len > 0 && !outcome.selected);
    assert_eq!(agent.selected(), Some(path(2)));
    // After as many other checks as are remembered, it is taken for new: the memory is bounded.
    for _ in 0..limits::CHECKS_REMEMBERED {
        check(&mut agent, &request(USERNAME, PASSWORD, true), path(2)).unwrap();
    }
    assert!(check(&mut agent, &first, path(666)).unwrap().validated);
}

#[test]
fn paths_are_bounded_and_the_selected_one_stays() {
    let mut agent = agent();
    check(&mut agent, &request(USERNAME, PASSWORD, true), path(1)).unwrap();
    for port in 2..100 {
        check(&mut agent, &request(USERNAME, PASSWORD, false), path(port)).unwrap();
    }
    assert_eq!(agent.paths().count(), limits::PATHS_PER_SESSION_MAX);
    assert!(agent.is_validated(path(1)));
}

#[test]
fn the_path_with_the_oldest_check_is_evicted() {
    let mut agent = agent();
    let mut check = |port, ms| {
        let (message, mut out) = (request(USERNAME, PASSWORD, port == 1), [0; 256]);
        agent.handle_check(
            &StunMessage::parse(&message).unwrap(),
            arrival(path(port)),
            Timestamp::from_millis(ms),
            &mut out,
        )
    };
    let max = limits::PATHS_PER_SESSION_MAX as u16;
    for port in 1..=max {
        assert_eq!(check(port, u64::from(port)).unwrap().evicted, None);
    }
    assert!(!check(2, 100).unwrap().validated, "it was already, and is not the oldest now");
    let outcome = check(max + 1, 101).unwrap();
    assert_eq!((outcome.validated, outcome.evicted), (true, Some(path(3))));
    assert!(agent.is_validated(path(1)) && agent.is_validated(path(2)) && !agent.is_validated(path(3)));
}

#[test]
fn an_adopted_path_counts_as_validated_and_selected() {
    let mut agent = agent();
    agent.adopt(path(1), Timestamp::ZERO);
    assert!(agent.is_validated(path(1)));
    assert_eq!(agent.selected(), Some(path(1)));
}

#[test]
fn an_imported_agent_behaves_as_the_exported_one() {
    use crate::wire::bytes::refuses_damage;
    let now = Timestamp::from_millis(9_000);
    let mut agent = agent();
    let first = request(USERNAME, PASSWORD, true);
    check(&mut agent, &first, path(1)).unwrap();
    check(&mut agent, &request(USERNAME, PASSWORD, false), path(2)).unwrap();
    agent.restart(credentials("new"), credentials("newremote"));
    let mut out = StateWriter::new();
    let number = |of: PathId| (0..10).find(|number| path(*number) == of).unwrap();
    agent.export(now, &mut out, &mut |out, path| out.u16(number(path)));
    let bytes = out.finish();
    // It continues at another time on another clock.
    let import = |bytes: &[u8]| {
        let mut reader = StateReader::new(bytes);
        let agent = IceLite::import(Timestamp::from_millis(500_000), &mut reader, &mut |from| from.u16().map(path))?;
        reader.finish().map(|()| agent)
    };
    refuses_damage(&bytes, import);
    let mut agent = import(bytes.as_slice()).unwrap();
    assert_eq!((agent.local_ufrag(), agent.previous_ufrag()), ("newufrag", Some("localufrag")));
    assert_eq!(agent.selected(), Some(path(1)));
    assert!(agent.is_validated(path(1)) && agent.is_validated(path(2)) && !agent.is_validated(path(3)));
    assert_eq!(check(&mut agent, &first, path(666)), Err(CheckRefused::Replayed), "it knows what it has accepted");
    let new = request("newufrag:newremoteufrag", "new-password-of-24-letters", true);
    assert!(check(&mut agent, &new, path(5)).unwrap().selected);
    assert_eq!(agent.retire_previous().as_deref(), Some("localufrag"));
}
