//! The requests of an HTTP/2 connection, run inside the connection's own task: answers that become ready together leave in one write,
//! and all of them end with it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures_util::future::{FutureExt as _, LocalBoxFuture};
use futures_util::stream::{FuturesUnordered, StreamExt as _};

/// hyper's executor for them. It queues them for [`Streams::drive`].
#[derive(Clone, Default)]
pub struct Streams(Rc<RefCell<NewStreams>>);

#[derive(Default)]
struct NewStreams {
    new: VecDeque<LocalBoxFuture<'static, ()>>,
    connection: Option<Waker>,
}

impl Streams {
    /// Runs a connection that has this executor, and its requests, to the connection's end.
    pub async fn drive<C: Future>(&self, connection: C) -> C::Output {
        let mut connection = pin!(connection);
        let mut running = FuturesUnordered::new();
        poll_fn(|context| {
            loop {
                self.move_into(&mut running, context);
                while let Poll::Ready(Some(())) = running.poll_next_unpin(context) {}
                if let Poll::Ready(result) = connection.as_mut().poll(context) {
                    return Poll::Ready(result);
                }
                if self.0.borrow().new.is_empty() {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    fn move_into(&self, running: &mut FuturesUnordered<LocalBoxFuture<'static, ()>>, context: &Context<'_>) {
        let mut streams = self.0.borrow_mut();
        running.extend(streams.new.drain(..));
        streams.connection = Some(context.waker().clone());
    }
}

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Streams {
    fn execute(&self, future: F) {
        let mut streams = self.0.borrow_mut();
        streams.new.push_back(future.boxed_local());
        if let Some(connection) = streams.connection.take() {
            connection.wake();
        }
    }
}
