//! Checks as browsers send them, and as somebody else would: what opens a path, and what moves media.

use super::*;

fn credentials(name: &str) -> IceCredentials {
    IceCredentials { ufrag: format!("{name}ufrag"), password: format!("{name}-password-of-24-letters") }
}

fn path(port: u16) -> Path {
    Path::to(SocketAddr::from(([192, 0, 2, 1], port)))
}

static TRANSACTION: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(2);

fn request(username: &str, password: &str, use_candidate: bool) -> Vec<u8> {
    let mut out = [0; 256];
    let mut transaction = [7; 12];
    // Counted up in the last bytes, as a poor client does: the first are always the same.
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

fn check(agent: &mut IceLite, bytes: &[u8], path: &Path) -> Result<CheckOutcome, CheckRefused> {
    let mut out = [0; 256];
    agent.handle_check(&StunMessage::parse(bytes).unwrap(), path, Timestamp::ZERO, &mut out)
}

fn agent() -> IceLite {
    IceLite::new(credentials("local"), credentials("remote"))
}

const USERNAME: &str = "localufrag:remoteufrag";
const PASSWORD: &str = "local-password-of-24-letters";

#[test]
fn a_check_validates_its_path_and_the_first_is_used_until_one_is_nominated() {
    let mut agent = agent();
    let outcome = check(&mut agent, &request(USERNAME, PASSWORD, false), &path(1)).unwrap();
    assert!(outcome.validated && outcome.selected);
    let outcome = check(&mut agent, &request(USERNAME, PASSWORD, false), &path(2)).unwrap();
    assert!(outcome.validated && !outcome.selected);
    assert!(check(&mut agent, &request(USERNAME, PASSWORD, true), &path(2)).unwrap().selected);
    assert_eq!(agent.selected(), Some(&path(2)));
    // A plain keep-alive on another path does not move media back.
    assert!(!check(&mut agent, &request(USERNAME, PASSWORD, false), &path(1)).unwrap().selected);
    // The peer's address changes: it nominates the new one.
    assert!(check(&mut agent, &request(USERNAME, PASSWORD, true), &path(3)).unwrap().selected);
}

#[test]
fn forged_checks_are_refused_and_change_nothing() {
    let mut agent = agent();
    assert_eq!(check(&mut agent, &request(USERNAME, "wrong", true), &path(1)), Err(CheckRefused::Integrity));
    assert_eq!(check(&mut agent, &request("localufrag:x", PASSWORD, true), &path(1)), Err(CheckRefused::Username));
    assert_eq!(check(&mut agent, &request("localufrag", PASSWORD, true), &path(1)), Err(CheckRefused::Username));
    let mut broken = request(USERNAME, PASSWORD, true);
    *broken.last_mut().unwrap() ^= 1;
    assert_eq!(check(&mut agent, &broken, &path(1)), Err(CheckRefused::Fingerprint));
    assert!(agent.selected().is_none() && !agent.is_validated(&path(1)));
}

#[test]
fn after_a_restart_both_credentials_work_until_the_new_pair_nominates() {
    let mut agent = agent();
    check(&mut agent, &request(USERNAME, PASSWORD, true), &path(1)).unwrap();
    agent.restart(credentials("new"), credentials("newremote"));
    assert!(check(&mut agent, &request(USERNAME, PASSWORD, true), &path(1)).is_ok());
    assert!(agent.retire_previous().is_none());
    let new = request("newufrag:newremoteufrag", "new-password-of-24-letters", true);
    assert!(check(&mut agent, &new, &path(5)).unwrap().selected);
    assert_eq!(agent.retire_previous().as_deref(), Some("localufrag"));
    assert_eq!(check(&mut agent, &request(USERNAME, PASSWORD, true), &path(1)), Err(CheckRefused::Username));
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
    assert!(matches!(check(&mut agent, &out[..len], &path(1)), Err(CheckRefused::RoleConflict(_))));
}

#[test]
fn a_check_that_is_sent_again_from_elsewhere_opens_no_path_and_moves_no_media() {
    let mut agent = agent();
    let (first, second) = (request(USERNAME, PASSWORD, true), request(USERNAME, PASSWORD, true));
    assert!(check(&mut agent, &first, &path(1)).unwrap().selected);
    assert_eq!(check(&mut agent, &first, &path(666)), Err(CheckRefused::Replayed));
    assert!(!agent.is_validated(&path(666)));
    // The client moves. Its old check, forged to come from the old address, does not move media back.
    assert!(check(&mut agent, &second, &path(2)).unwrap().selected);
    let outcome = check(&mut agent, &first, &path(1)).unwrap();
    assert!(outcome.reply_len > 0 && !outcome.selected);
    assert_eq!(agent.selected(), Some(&path(2)));
    // As many checks later it is taken for new: the bound that the memory has.
    for _ in 0..limits::CHECKS_REMEMBERED {
        check(&mut agent, &request(USERNAME, PASSWORD, true), &path(2)).unwrap();
    }
    assert!(check(&mut agent, &first, &path(666)).unwrap().validated);
}

#[test]
fn paths_are_bounded_and_the_selected_one_stays() {
    let mut agent = agent();
    check(&mut agent, &request(USERNAME, PASSWORD, true), &path(1)).unwrap();
    for port in 2..100 {
        check(&mut agent, &request(USERNAME, PASSWORD, false), &path(port)).unwrap();
    }
    assert_eq!(agent.paths().count(), limits::PATHS_PER_SESSION_MAX);
    assert!(agent.is_validated(&path(1)));
}
