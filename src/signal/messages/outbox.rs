//! The messages that wait to be written to one socket. Putting a message in never blocks. A message that does not fit
//! closes the socket, because its client does not read.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use async_tungstenite::tungstenite::Utf8Bytes;

use super::budget::{Budget, Share};
use crate::limits;

/// Why the node closes a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::signal) enum Closing {
    /// The node is shutting down.
    GoingAway,
    /// A frame breaks RFC 6455.
    Protocol,
    /// A binary message.
    Binary,
    /// Text that is not UTF-8.
    NotText,
    /// A message above [`limits::SOCKET_MESSAGE_BYTES_MAX`].
    TooLong,
    /// There is no room for the messages that sockets are sending at the moment.
    NoRoom,
    /// The first message was not `hello`, or did not come in time.
    NoHello,
    /// The token of the handshake or of `hello` is refused.
    NotAuthorised,
    /// The client sends too many messages.
    TooMany,
    /// The client sent nothing for too long.
    Idle,
    /// A message that is not a JSON object with a type.
    Malformed,
    /// The client does not read.
    TooSlow,
}

impl Closing {
    /// All of them.
    #[cfg(test)]
    const ALL: [Self; 12] = [
        Self::GoingAway,
        Self::Protocol,
        Self::Binary,
        Self::NotText,
        Self::TooLong,
        Self::NoRoom,
        Self::NoHello,
        Self::NotAuthorised,
        Self::TooMany,
        Self::Idle,
        Self::Malformed,
        Self::TooSlow,
    ];

    /// The status code (RFC 6455 §7.4) and the reason. The reason is also the name in metrics.
    pub(in crate::signal) const fn code_and_name(self) -> (u16, &'static str) {
        match self {
            Self::GoingAway => (1001, "going_away"),
            Self::Protocol => (1002, "protocol_error"),
            Self::Binary => (1003, "binary_message"),
            Self::NotText => (1007, "not_utf8"),
            Self::TooLong => (1009, "message_too_long"),
            Self::NoRoom => (1013, "no_room"),
            Self::NoHello => (4000, "no_hello"),
            Self::NotAuthorised => (4001, "not_authorised"),
            Self::TooMany => (4002, "too_many_messages"),
            Self::Idle => (4003, "idle"),
            Self::Malformed => (4004, "malformed_message"),
            Self::TooSlow => (4005, "too_slow"),
        }
    }
}

/// The outbox of one socket. It is used on the signalling thread only.
#[derive(Debug)]
pub(in crate::signal) struct Outbox {
    waiting: RefCell<Waiting>,
    share: Share,
}

#[derive(Debug, Default)]
struct Waiting {
    messages: VecDeque<Utf8Bytes>,
    closing: Option<Closing>,
    writer: Option<Waker>,
    reader: Option<Waker>,
}

impl Outbox {
    /// An empty outbox. Its bytes are counted in `all`.
    pub(in crate::signal) fn new(all: Rc<Budget>) -> Rc<Self> {
        Rc::new(Self { waiting: RefCell::default(), share: Share::of(all) })
    }

    /// Queues a message. If it does not fit, all waiting messages are dropped and the socket is closed.
    pub(in crate::signal) fn push(&self, text: Utf8Bytes) {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.closing.is_some() {
            return;
        }
        let fits = waiting.messages.len() < limits::SOCKET_OUTBOX_MESSAGES_MAX
            && self.share.bytes() + text.len() <= limits::SOCKET_OUTBOX_BYTES_MAX
            && self.share.grow(text.len());
        if fits {
            waiting.messages.push_back(text);
        } else {
            waiting.messages.clear();
            self.share.shrink(self.share.bytes());
            waiting.closing = Some(Closing::TooSlow);
        }
        wake(&mut waiting.writer);
    }

    /// Closes the socket after the waiting messages. If there are several reasons, the first one counts.
    pub(in crate::signal) fn close(&self, closing: Closing) {
        let mut waiting = self.waiting.borrow_mut();
        waiting.closing.get_or_insert(closing);
        wake(&mut waiting.writer);
    }

    /// Waits for the next message, or for the reason why there will be none. Nothing is lost if this is dropped before
    /// it is ready.
    pub(in crate::signal) async fn next(&self) -> Result<Utf8Bytes, Closing> {
        poll_fn(|context| {
            let mut waiting = self.waiting.borrow_mut();
            if let Some(text) = waiting.messages.pop_front() {
                self.share.shrink(text.len());
                if self.has_room() {
                    wake(&mut waiting.reader);
                }
                return Poll::Ready(Ok(text));
            }
            if let Some(closing) = waiting.closing {
                return Poll::Ready(Err(closing));
            }
            waiting.writer = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Waits until there is room for answers. Until then no further request is read.
    pub(in crate::signal) async fn room(&self) {
        poll_fn(|context| {
            if self.has_room() {
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().reader = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn has_room(&self) -> bool {
        self.share.bytes() <= limits::SOCKET_OUTBOX_BYTES_MAX / 2
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn the_protocols_table_has_every_close_code_and_no_other() {
        let rows = include_str!("../README.md").lines().filter_map(|line| line.strip_prefix("| "));
        let rows = rows.filter_map(|row| {
            let mut cells = row.split(" | ");
            let code = cells.next()?.parse::<u16>().ok().filter(|code| *code > 1000)?;
            Some((code, cells.next()?.trim_matches('`')))
        });
        assert_eq!(rows.collect::<Vec<_>>(), Closing::ALL.map(Closing::code_and_name));
    }

    fn next(outbox: &Outbox) -> Option<Result<String, Closing>> {
        outbox.next().now_or_never().map(|next| next.map(|text| text.as_str().to_owned()))
    }

    #[test]
    fn messages_leave_in_order_and_the_close_comes_behind_them() {
        let outbox = Outbox::new(Budget::new(1_000));
        assert_eq!(next(&outbox), None);
        outbox.push("a".into());
        outbox.push("b".into());
        outbox.close(Closing::GoingAway);
        outbox.push("late".into());
        outbox.close(Closing::Idle);
        assert_eq!(next(&outbox), Some(Ok("a".to_owned())));
        assert_eq!(next(&outbox), Some(Ok("b".to_owned())));
        assert_eq!(next(&outbox), Some(Err(Closing::GoingAway)));
    }

    #[test]
    fn what_does_not_fit_closes_the_socket_and_gives_its_bytes_back() {
        let all = Budget::new(1 << 30);
        let long: Utf8Bytes = "x".repeat(limits::SOCKET_OUTBOX_BYTES_MAX / 4).into();
        let outbox = Outbox::new(all.clone());
        (0..3).for_each(|_| outbox.push(long.clone()));
        assert!(outbox.room().now_or_never().is_none(), "three quarters: nothing more is read");
        assert!(next(&outbox).is_some() && outbox.room().now_or_never().is_some());
        (0..3).for_each(|_| outbox.push(long.clone()));
        assert_eq!(next(&outbox), Some(Err(Closing::TooSlow)));
        assert_eq!(all.taken(), 0);

        let outbox = Outbox::new(all.clone());
        (0..limits::SOCKET_OUTBOX_MESSAGES_MAX).for_each(|_| outbox.push("x".into()));
        assert!(next(&outbox).is_some_and(|next| next.is_ok()));
        outbox.push("x".into());
        outbox.push("x".into());
        assert_eq!(next(&outbox), Some(Err(Closing::TooSlow)), "so many small ones neither");
    }

    #[test]
    fn bytes_are_bounded_over_all_sockets_and_freed_with_each_socket() {
        let all = Budget::new(10);
        let (one, other) = (Outbox::new(all.clone()), Outbox::new(all.clone()));
        one.push("12345678".into());
        other.push("123".into());
        assert_eq!(next(&other), Some(Err(Closing::TooSlow)));
        drop(one);
        assert_eq!(all.taken(), 0);
    }
}
