//! Which path media goes to: peers that move, peers that die, peers that never answer, and addresses that somebody
//! invented.

use super::*;
use crate::description::IceCredentials;
use crate::ice::CheckRefused;
use crate::transport::Arrival;

const PATH: [PathId; 3] = [PathId::numbered(1), PathId::numbered(2), PathId::numbered(3)];
const CONNECTION: PathId = PathId::numbered_connection(4);

fn credentials(name: &str) -> IceCredentials {
    IceCredentials { ufrag: format!("{name}-ufrag"), password: format!("{name}-password-of-24-letters") }
}

/// An agent and the peer that it talks to, which may be at several places at once.
struct Scene {
    agent: IceLite,
    now: Timestamp,
    /// The paths on which the peer receives what is sent.
    reached: Vec<PathId>,
    peer_answers: bool,
    checks: u32,
    /// Bytes from and to each path.
    bytes: [(usize, usize); 4],
    last_answer: Vec<u8>,
}

impl Scene {
    fn new() -> Self {
        Self {
            agent: IceLite::new(credentials("node"), credentials("peer"), [9; 16]),
            now: Timestamp::from_millis(1_000),
            reached: vec![PATH[0]],
            peer_answers: true,
            checks: 0,
            bytes: [(0, 0); 4],
            last_answer: Vec::new(),
        }
    }

    /// A peer that checked the first path, answered there, and completed DTLS there.
    fn connected(peer_answers: bool) -> Self {
        let mut scene = Self::new();
        scene.peer_answers = peer_answers;
        scene.check(PATH[0], true).unwrap();
        scene.agent.sent_of_handshake(PATH[0], 0);
        scene.agent.handshake_completed(scene.now);
        assert_eq!(scene.agent.open_path(), Some(PATH[0]));
        scene
    }

    fn number(path: PathId) -> usize {
        PATH.iter().chain([&CONNECTION]).position(|known| *known == path).unwrap()
    }

    /// A check from `path`; what the node asks thereupon is answered where the peer is.
    fn check(&mut self, path: PathId, nominates: bool) -> Result<(), CheckRefused> {
        self.checks += 1;
        let mut transaction = [3; 12];
        transaction[8..].copy_from_slice(&self.checks.to_be_bytes());
        let check = check(transaction, nominates);
        self.check_again(path, &check)
    }

    fn check_again(&mut self, path: PathId, check: &[u8]) -> Result<(), CheckRefused> {
        let mut out = [0; 256];
        let from = Arrival { path, remote: ([192, 0, 2, 1], 4_000).into() };
        let outcome = self.agent.handle_check(&StunMessage::parse(check).unwrap(), from, self.now, &mut out)?;
        let (received, sent) = &mut self.bytes[Self::number(path)];
        *received += check.len();
        *sent += outcome.reply_len;
        self.exchange();
        Ok(())
    }

    /// The node's requests go out, and are answered where the peer is.
    fn exchange(&mut self) {
        let mut request = [0; 256];
        while let Some((path, len)) = self.agent.poll_request(self.now, &mut request) {
            self.bytes[Self::number(path)].1 += len;
            let request = StunMessage::parse(&request[..len]).unwrap();
            assert_eq!(request.username(), Some(b"peer-ufrag:node-ufrag".as_slice()));
            assert!(request.verify_integrity(b"peer-password-of-24-letters"));
            assert!(request.ice_controlled().is_some() && request.priority().is_some());
            if self.peer_answers && self.reached.contains(&path) {
                self.last_answer = answer(request.transaction_id(), "peer-password-of-24-letters");
                assert!(self.take(path).is_some());
            }
        }
    }

    fn take(&mut self, path: PathId) -> Option<AnswerOutcome> {
        let answer = self.last_answer.clone();
        self.agent.take_answer(&StunMessage::parse(&answer).unwrap(), path, self.now)
    }

    /// Time goes on, in steps of 100 ms, the agent's timers with it.
    fn pass(&mut self, ms: u64) {
        for _ in 0..ms / 100 {
            self.now = self.now + Duration::from_millis(100);
            if self.agent.next_deadline().is_some_and(|deadline| deadline <= self.now) {
                self.agent.handle_timeout(self.now);
                self.exchange();
                assert!(self.agent.next_deadline().is_none_or(|deadline| deadline > self.now), "a timer runs on");
            }
        }
    }
}

fn check(transaction: [u8; 12], nominates: bool) -> Vec<u8> {
    let mut out = [0; 256];
    let mut writer = StunWriter::binding_request(&mut out, &transaction)
        .username(b"node-ufrag:peer-ufrag")
        .priority(1)
        .ice_controlling(7);
    if nominates {
        writer = writer.use_candidate();
    }
    let len = writer.integrity(b"node-password-of-24-letters").fingerprint().finish().unwrap();
    out[..len].to_vec()
}

fn answer(transaction: &[u8; 12], password: &str) -> Vec<u8> {
    let mut out = [0; 256];
    let address = ([198, 51, 100, 1], 20_000).into();
    let writer = StunWriter::binding_success(&mut out, transaction).xor_mapped_address(address);
    let len = writer.integrity(password.as_bytes()).fingerprint().finish().unwrap();
    out[..len].to_vec()
}

#[test]
fn a_connected_peer_is_followed_to_an_address_as_soon_as_it_answers_there() {
    let mut scene = Scene::connected(true);
    // Its first check from elsewhere arrives; the answer is lost.
    scene.check(PATH[1], true).unwrap();
    assert_eq!(scene.agent.open_path(), Some(PATH[0]));
    scene.reached = vec![PATH[1]];
    scene.pass(200);
    scene.check(PATH[1], false).unwrap();
    assert_eq!(scene.agent.open_path(), Some(PATH[1]), "it was nominated and has answered");
}

#[test]
fn a_forged_source_address_gets_at_most_three_times_its_bytes_and_no_media() {
    let mut scene = Scene::connected(true);
    for _ in 0..500 {
        scene.check(PATH[1], true).unwrap();
        scene.pass(100);
        assert_eq!(scene.agent.open_path(), Some(PATH[0]));
    }
    let (from, to) = scene.bytes[1];
    assert!(to <= 3 * from, "{to} bytes to an address that {from} bytes seemed to come from");
    assert!(scene.agent.allowance(PATH[1]) as usize <= 3 * from - to);
}

#[test]
fn an_answer_counts_once_on_its_own_path_and_cannot_be_guessed() {
    let mut scene = Scene::connected(true);
    assert!(scene.take(PATH[0]).is_none(), "it was taken before");
    scene.reached.clear();
    scene.check(PATH[1], true).unwrap();
    for transaction in [[0; 12], [9; 12], [3; 12]] {
        scene.last_answer = answer(&transaction, "peer-password-of-24-letters");
        assert!(scene.take(PATH[1]).is_none());
    }
    let number = scene.agent.validated(PATH[1]).unwrap().requests;
    let transaction = scene.agent.transaction(PATH[1], number);
    scene.last_answer = answer(&transaction, "another-password");
    assert!(scene.take(PATH[1]).is_none());
    scene.last_answer = answer(&transaction, "peer-password-of-24-letters");
    assert!(scene.take(PATH[0]).is_none() && scene.take(PATH[2]).is_none(), "it came from elsewhere");
    assert_eq!(scene.take(PATH[1]), Some(AnswerOutcome { selected: true }));
}

#[test]
fn consent_ends_after_fifteen_seconds_although_checks_go_on_and_comes_back_with_an_answer() {
    let mut scene = Scene::connected(true);
    scene.reached.clear();
    for second in 0..40 {
        // Somebody with the session's credentials goes on with checks and media.
        scene.check(PATH[0], true).unwrap();
        scene.agent.heard(PATH[0], scene.now);
        assert_eq!(scene.agent.open_path().is_some(), second < 15, "after {second} s");
        scene.pass(1_000);
    }
    scene.reached.push(PATH[0]);
    scene.pass(1_000);
    assert_eq!(scene.agent.open_path(), Some(PATH[0]));
}

#[test]
fn a_stop_of_the_machine_ends_no_consent_before_the_peer_was_asked() {
    for is_there in [true, false] {
        let mut scene = Scene::connected(true);
        scene.now = scene.now + limits::PATH_CONSENT * 2;
        if !is_there {
            scene.reached.clear();
        }
        scene.agent.handle_timeout(scene.now);
        assert_eq!(scene.agent.open_path(), Some(PATH[0]));
        scene.exchange();
        scene.pass(3_000);
        assert_eq!(scene.agent.open_path(), is_there.then_some(PATH[0]));
    }
}

#[test]
fn media_falls_back_to_a_living_path_within_ten_seconds_nominated_or_not() {
    for nominated in [false, true] {
        let mut scene = Scene::connected(true);
        scene.reached = vec![PATH[0], PATH[1]];
        scene.check(PATH[1], false).unwrap();
        scene.check(PATH[0], nominated).unwrap();
        assert_eq!(scene.agent.open_path(), Some(PATH[0]));
        scene.reached = vec![PATH[1]];
        let died = scene.now;
        while scene.agent.open_path() == Some(PATH[0]) {
            scene.pass(100);
            assert!(scene.now.since(died) < Duration::from_secs(10), "media goes to a dead path");
        }
        assert_eq!(scene.agent.open_path(), Some(PATH[1]));
    }
}

#[test]
fn an_old_nomination_sent_again_moves_nothing_to_a_path_that_is_dead() {
    let mut scene = Scene::connected(true);
    scene.reached = vec![PATH[0], PATH[1]];
    let old = check([0xee; 12], true);
    scene.check_again(PATH[1], &old).unwrap();
    assert_eq!(scene.agent.open_path(), Some(PATH[1]));
    // The peer goes back; its former address is dead, and its checks of then are forgotten.
    scene.reached = vec![PATH[0]];
    scene.check(PATH[0], true).unwrap();
    scene.pass(3_000);
    for _ in 0..2 * limits::CHECKS_REMEMBERED {
        scene.check(PATH[0], false).unwrap();
    }
    for _ in 0..100 {
        let _ = scene.check_again(PATH[1], &old);
        scene.pass(300);
        assert_eq!(scene.agent.open_path(), Some(PATH[0]));
    }
}

#[test]
fn a_peer_that_never_answers_keeps_the_path_of_its_handshake_while_it_is_heard_and_gets_no_other() {
    let mut scene = Scene::connected(false);
    for _ in 0..60 {
        scene.agent.heard(PATH[0], scene.now);
        scene.pass(1_000);
        assert_eq!(scene.agent.open_path(), Some(PATH[0]));
    }
    let (_, sent) = scene.bytes[0];
    scene.pass(10_000);
    assert_eq!(scene.bytes[0].1, sent, "it is asked no more");
    scene.check(PATH[1], true).unwrap();
    scene.agent.heard(PATH[1], scene.now);
    assert_eq!(scene.agent.open_path(), Some(PATH[0]));
    scene.pass(limits::PATH_CONSENT.as_millis() as u64);
    assert_eq!(scene.agent.open_path(), None);
    scene.agent.heard(PATH[0], scene.now);
    assert_eq!(scene.agent.open_path(), Some(PATH[0]));
}

#[test]
fn a_path_in_use_is_asked_every_five_seconds() {
    let mut scene = Scene::connected(true);
    let before = scene.agent.validated(PATH[0]).unwrap().requests;
    scene.pass(60_000);
    let requests = scene.agent.validated(PATH[0]).unwrap().requests - before;
    assert!((10..=15).contains(&requests), "{requests} requests in a minute");
}

#[test]
fn a_path_that_is_lost_is_sent_to_no_more_and_a_proven_one_takes_its_place() {
    let mut scene = Scene::connected(true);
    scene.reached.push(PATH[1]);
    scene.check(PATH[1], false).unwrap();
    scene.check(PATH[2], false).unwrap();
    scene.agent.lose(PATH[0], scene.now);
    assert_eq!((scene.agent.open_path(), scene.agent.is_validated(PATH[0])), (Some(PATH[1]), false));
    scene.agent.lose(PATH[1], scene.now);
    assert_eq!(scene.agent.open_path(), None, "nobody has answered on the third");
}

#[test]
fn a_handshake_that_was_sent_on_two_paths_proves_neither() {
    for (paths, open) in [
        (&[PATH[0]][..], Some(PATH[0])),
        (&[PATH[0], PATH[1]], None),
        (&[PATH[1], PATH[0], PATH[0]], None),
        (&[], None),
    ] {
        let mut scene = Scene::new();
        scene.reached.clear();
        scene.check(PATH[0], true).unwrap();
        scene.check(PATH[1], true).unwrap();
        for path in paths {
            scene.agent.sent_of_handshake(*path, 100);
        }
        scene.agent.handshake_completed(scene.now);
        assert_eq!(scene.agent.open_path(), open, "sent on {paths:?}");
    }
}

#[test]
fn a_nominated_connection_takes_nothing_from_a_udp_path_that_lives_and_all_from_one_that_is_silent() {
    // The peer nominates every pair that works: over and over, both.
    let mut scene = Scene::connected(true);
    scene.reached.push(CONNECTION);
    for _ in 0..20 {
        scene.check(CONNECTION, true).unwrap();
        assert_eq!(scene.agent.open_path(), Some(PATH[0]));
        scene.pass(2_500);
        assert_eq!(scene.agent.open_path(), Some(PATH[0]), "it lives");
    }
    // It has answered, so the nomination is over: a silence later on is not taken for a wish to move.
    scene.reached = vec![CONNECTION];
    scene.pass(4_000);
    assert_eq!(scene.agent.open_path(), Some(PATH[0]));
    scene.reached.push(PATH[0]);
    scene.pass(3_000);
    // An answer over UDP that is late: the connection's comes first, and waits for it.
    scene.reached = vec![CONNECTION];
    scene.check(CONNECTION, true).unwrap();
    scene.pass(700);
    assert_eq!(scene.agent.open_path(), Some(PATH[0]), "it was asked twice");
    scene.reached.push(PATH[0]);
    scene.pass(3_000);
    assert_eq!(scene.agent.open_path(), Some(PATH[0]));
    // UDP dies just after it was last heard of, and the peer nominates the connection once.
    scene.reached = vec![CONNECTION];
    let died = scene.now;
    scene.check(CONNECTION, true).unwrap();
    while scene.agent.open_path() == Some(PATH[0]) {
        scene.pass(100);
        assert!(scene.now.since(died) <= Duration::from_secs(2), "media goes where nobody is");
    }
    assert_eq!(scene.agent.open_path(), Some(CONNECTION));
    // It lives again: a nomination brings the media back.
    scene.pass(500);
    scene.reached.push(PATH[0]);
    scene.check(PATH[0], true).unwrap();
    assert_eq!(scene.agent.open_path(), Some(PATH[0]));
}

#[test]
fn during_the_handshake_a_nominated_connection_gives_way_to_a_nominated_udp_path_that_answers() {
    for (udp_is_nominated, udp_answers, chosen) in
        [(true, true, PATH[0]), (true, false, CONNECTION), (false, true, CONNECTION)]
    {
        let mut scene = Scene::new();
        scene.reached = if udp_answers { vec![PATH[0], CONNECTION] } else { vec![CONNECTION] };
        scene.check(PATH[0], udp_is_nominated).unwrap();
        scene.check(CONNECTION, true).unwrap();
        scene.agent.sent_of_handshake(CONNECTION, 100);
        scene.agent.handshake_completed(scene.now);
        assert_eq!(scene.agent.open_path(), Some(chosen), "{udp_is_nominated} {udp_answers}");
    }
}
