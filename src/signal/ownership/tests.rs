//! The book by itself, and claims at an engine that answers when the test lets it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;

use super::{Book, Claimant, Claims, Epoch, Located, NotClaimed, NotReleased, Owner, Ownership, Unavailable};
use crate::signal::runtime::{self, Task};
use crate::signal::stream_name::StreamName;
use crate::worker::mailbox::SessionId;

fn named(text: &str) -> StreamName {
    StreamName::parse(text).unwrap()
}

fn claimant(session: u64) -> Claimant {
    Claimant { session: SessionId(session), subject: None }
}

/// Answers a claim or a release only when it is told to. Behind it is a book.
#[derive(Default)]
struct Late {
    book: Book,
    waiting: RefCell<VecDeque<flume::Sender<()>>>,
}

impl Late {
    async fn turn(&self) {
        let (sender, turn) = flume::bounded(1);
        self.waiting.borrow_mut().push_back(sender);
        let _ = turn.recv_async().await;
    }

    /// Lets the longest waiting be answered.
    async fn answer_one(&self) {
        let waiting = self.waiting.borrow_mut().pop_front().expect("something waits");
        waiting.send(()).unwrap();
        // The tasks that waited for it have their turn.
        runtime::sleep(Duration::from_millis(1)).await;
    }

    fn is_owned(&self, name: &str) -> bool {
        self.book.locate(&named(name)).now_or_never().unwrap().unwrap().is_some()
    }
}

impl Ownership for Late {
    fn claim<'a>(
        &'a self,
        name: &'a StreamName,
        claimant: &'a Claimant,
    ) -> LocalBoxFuture<'a, Result<Epoch, NotClaimed>> {
        async move {
            self.turn().await;
            self.book.claim(name, claimant).await
        }
        .boxed_local()
    }

    fn locate<'a>(&'a self, name: &'a StreamName) -> LocalBoxFuture<'a, Result<Option<Located>, Unavailable>> {
        self.book.locate(name)
    }

    fn release<'a>(&'a self, name: &'a StreamName, epoch: Epoch) -> LocalBoxFuture<'a, Result<(), NotReleased>> {
        async move {
            self.turn().await;
            self.book.release(name, epoch).await
        }
        .boxed_local()
    }
}

fn late() -> (Rc<Late>, Rc<Claims>, Task) {
    let engine = Rc::new(Late::default());
    let (claims, releasing) = Claims::new(engine.clone());
    (engine, Rc::new(claims), releasing)
}

fn on_the_executor<F: Future<Output = ()>>(test: impl FnOnce() -> F) {
    runtime::run(test).unwrap();
}

#[test]
fn a_name_has_one_owner_whose_epoch_alone_releases_it() {
    let book = Book::default();
    let claim = |session| book.claim(&named("a"), &claimant(session)).now_or_never().unwrap();
    let release = |epoch| book.release(&named("a"), epoch).now_or_never().unwrap();
    let locate = |name| book.locate(&named(name)).now_or_never().unwrap().unwrap();
    let first = claim(1).unwrap();
    assert_eq!(claim(2), Err(NotClaimed::Owned(Owner::ThisNode)));
    assert_eq!(locate("a"), Some(Located { owner: Owner::ThisNode, epoch: first }));
    assert_eq!(locate("b"), None);
    assert_eq!(release(first), Ok(()));
    let second = claim(3).unwrap();
    assert!(second > first, "each epoch is above those before it");
    assert_eq!(release(first), Err(NotReleased::Stale));
    assert_eq!(locate("a").map(|located| located.epoch), Some(second), "a stale release takes nothing away");
    assert_eq!(release(second), Ok(()));
    assert_eq!(release(second), Err(NotReleased::Stale));
}

#[test]
fn with_immediate_answers_a_dropped_claim_frees_its_name_at_once() {
    on_the_executor(|| async {
        let (claims, _releasing) = Claims::new(Rc::new(Book::default()));
        let claim = claims.claim(&named("a"), claimant(1)).now_or_never().unwrap().unwrap();
        assert!(matches!(claims.claim(&named("a"), claimant(2)).now_or_never(), Some(Err(NotClaimed::Owned(_)))));
        drop(claim);
        let (waiter, freed) = flume::bounded(1);
        let claim = claims.claim(&named("a"), claimant(3)).now_or_never().unwrap().unwrap();
        claim.release(vec![waiter]);
        assert_eq!(freed.try_recv(), Ok(()));
        assert!(claims.claim(&named("a"), claimant(4)).now_or_never().unwrap().is_ok());
    });
}

#[test]
fn a_late_answer_to_a_claim_delays_no_other_claim() {
    on_the_executor(|| async {
        let (engine, claims, _releasing) = late();
        let (name, other) = (named("a"), named("b"));
        let mut first = claims.claim(&name, claimant(1)).boxed_local();
        let mut second = claims.claim(&other, claimant(2)).boxed_local();
        assert!(futures_util::poll!(&mut first).is_pending() && futures_util::poll!(&mut second).is_pending());
        let waiting = engine.waiting.borrow_mut().pop_front().unwrap();
        engine.answer_one().await;
        let second = second.await.unwrap();
        assert!(futures_util::poll!(&mut first).is_pending() && engine.is_owned("b") && !engine.is_owned("a"));
        waiting.send(()).unwrap();
        assert!(first.await.unwrap().epoch() > second.epoch());
    });
}

#[test]
fn a_claim_that_is_granted_after_its_asker_left_is_released() {
    on_the_executor(|| async {
        let (engine, claims, _releasing) = late();
        let name = named("a");
        let mut asking = claims.claim(&name, claimant(1)).boxed_local();
        assert!(futures_util::poll!(&mut asking).is_pending());
        drop(asking);
        engine.answer_one().await;
        assert!(engine.is_owned("a"), "granted, and its release waits");
        engine.answer_one().await;
        assert!(!engine.is_owned("a") && engine.waiting.borrow().is_empty());
    });
}

#[test]
fn a_claim_times_out_and_a_later_grant_is_released() {
    on_the_executor(|| async {
        let engine = Rc::new(Late::default());
        let (mut claims, _releasing) = Claims::new(engine.clone());
        claims.patience = Duration::from_millis(5);
        let refused = claims.claim(&named("a"), claimant(1)).await;
        assert!(matches!(refused, Err(NotClaimed::Unavailable(_))), "{refused:?}");
        engine.answer_one().await;
        assert!(engine.is_owned("a"));
        engine.answer_one().await;
        assert!(!engine.is_owned("a"));
    });
}

#[test]
fn waiters_are_told_when_a_released_name_is_free() {
    on_the_executor(|| async {
        let (engine, claims, _releasing) = late();
        let name = named("a");
        let mut asking = claims.claim(&name, claimant(1)).boxed_local();
        assert!(futures_util::poll!(&mut asking).is_pending());
        engine.answer_one().await;
        let (waiter, freed) = flume::bounded(1);
        asking.await.unwrap().release(vec![waiter]);
        runtime::sleep(Duration::from_millis(1)).await;
        assert!(freed.is_empty() && engine.is_owned("a"));
        engine.answer_one().await;
        assert_eq!(freed.try_recv(), Ok(()));
        assert!(!engine.is_owned("a"));
    });
}

#[test]
fn claims_under_way_are_bounded_those_of_clients_that_left_among_them() {
    on_the_executor(|| async {
        let (engine, claims, _releasing) = late();
        let name = named("a");
        for session in 0..crate::limits::CLAIMS_UNDER_WAY_MAX as u64 {
            let mut asking = claims.claim(&name, claimant(session)).boxed_local();
            assert!(futures_util::poll!(&mut asking).is_pending());
        }
        let one_more = |session| claims.claim(&name, claimant(session)).now_or_never();
        assert!(matches!(one_more(1), Some(Err(NotClaimed::Unavailable(_)))));
        engine.answer_one().await;
        assert!(one_more(2).is_none(), "one was answered: another may ask");
    });
}
