//! The application data of one epoch that came and was not taken yet: a bounded queue that counts what finds no room.

use std::collections::VecDeque;

use crate::limits;

/// Records that came and were not taken yet.
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

    /// The record that has waited longest.
    pub(super) fn take(&mut self) -> Option<Box<[u8]>> {
        self.waiting.pop_front()
    }

    /// Records that found no room.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }
}
