//! Received application data of one epoch that the caller has not taken yet. The queue is bounded; records that find no
//! room are dropped and counted.

use std::collections::VecDeque;

use crate::limits;

/// Received records in order of arrival.
#[derive(Debug, Default)]
pub(super) struct DataInbox {
    waiting: VecDeque<Box<[u8]>>,
    dropped: u64,
}

impl DataInbox {
    pub(super) fn put(&mut self, data: Box<[u8]>) {
        if self.waiting.len() < limits::DTLS_INBOX_MAX {
            self.waiting.push_back(data);
        } else {
            self.dropped += 1;
        }
    }

    /// Takes the oldest record.
    pub(super) fn take(&mut self) -> Option<Box<[u8]>> {
        self.waiting.pop_front()
    }

    /// How many records were dropped because the queue was full.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }
}
