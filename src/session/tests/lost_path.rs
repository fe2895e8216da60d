//! The only path is lost: it was a connection, and that is closed.

use super::*;
use crate::wire::stun::StunMessage;

#[test]
fn without_a_path_no_timer_is_due_for_ever_and_with_the_next_one_they_run_again() {
    for versions in [DtlsVersions::Only12, DtlsVersions::Only13] {
        let mut pair = Pair::connected(versions);
        assert!(pair.session.next_deadline().is_some());
        pair.session.lose(pair.path, pair.now);
        for _ in 0..100 {
            let Some(due) = pair.session.next_deadline() else { break };
            pair.now = pair.now.max(due);
            pair.session.handle_timeout(&mut pair.out, pair.now);
            let next = pair.session.next_deadline();
            assert!(next.is_none_or(|next| next > pair.now), "{versions:?}: {next:?} is due for ever");
        }
        pair.path = SECOND;
        let mut check = [0; limits::STUN_REPLY_BYTES_MAX];
        let mut checks = Checks::new(credentials("peer"), credentials("node"), 2, pair.now);
        let len = checks.poll(&mut check, pair.now).unwrap();
        assert_eq!(pair.deliver(&mut check[..len]), Ok(Inbound::Handled));
        // Media goes there when the peer has answered there.
        let out = std::mem::take(&mut pair.out);
        let segments = out.trains().iter().flat_map(|train| out.bytes(train).chunks(train.segment_size.into()));
        let request = segments.into_iter().find_map(|bytes| {
            let message = StunMessage::parse(bytes).ok()?;
            checks.answer(&message, address(pair.path).remote(), &mut check)
        });
        let len = request.expect("the node asks on the new path");
        assert!(pair.session.handle_answer(
            &StunMessage::parse(&check[..len]).unwrap(),
            Arrival { path: pair.path, remote: address(pair.path).remote() },
            pair.now
        ));
        assert_eq!(pair.session.ice().selected(), Some(pair.path));
        assert!(pair.session.next_deadline().is_some());
    }
}
