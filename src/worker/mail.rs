//! A worker's end of the channels to and from signalling ([`super::mailbox`]).

use std::collections::VecDeque;

use crate::worker::mailbox::{Control, Notice};

/// What signalling asks, and what it is told.
#[derive(Debug)]
pub(super) struct Mail {
    control: flume::Receiver<Control>,
    notices: flume::Sender<Notice>,
    /// Notices that signalling had no room for yet. Ended sessions and the like: bounded by the sessions that were opened.
    waiting: VecDeque<Notice>,
}

impl Mail {
    pub(super) fn new(control: flume::Receiver<Control>, notices: flume::Sender<Notice>) -> Self {
        Self { control, notices, waiting: VecDeque::new() }
    }

    /// The next control message.
    ///
    /// # Errors
    /// There is none now, or signalling is gone.
    pub(super) fn receive(&self) -> Result<Control, flume::TryRecvError> {
        self.control.try_recv()
    }

    /// Queues a notice for the end of the round.
    pub(super) fn notify(&mut self, notice: Notice) {
        self.waiting.push_back(notice);
    }

    /// Hands over what signalling has room for.
    pub(super) fn deliver(&mut self) {
        while let Some(notice) = self.waiting.pop_front() {
            match self.notices.try_send(notice) {
                Ok(()) => {}
                Err(flume::TrySendError::Full(notice)) => {
                    self.waiting.push_front(notice);
                    return;
                }
                // Signalling is gone: the node is ending.
                Err(flume::TrySendError::Disconnected(_)) => {}
            }
        }
    }

    /// Notices that wait for room.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }
}
