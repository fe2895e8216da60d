//! What a WHEP client is to be told of its encodings, until it asks.

use crate::limits;

/// The events of one session that its client has not had yet: only the newest counts, because each tells the whole.
#[derive(Debug, Default)]
pub(super) struct LayerEvents {
    number: u64,
    newest: Option<String>,
    waiters: Vec<flume::Sender<()>>,
}

impl LayerEvents {
    /// What happened last is this.
    pub(super) fn tell(&mut self, data: String) {
        self.number += 1;
        self.newest = Some(data);
        self.waiters.drain(..).for_each(|waiter| _ = waiter.try_send(()));
    }

    /// The newest event, if it is another one than `last`; else the channel that says when there is one. Of clients that wait only
    /// the last [`limits::EVENTS_WAITING_MAX`] are told.
    pub(super) fn after(&mut self, last: u64) -> Result<(u64, String), flume::Receiver<()>> {
        match &self.newest {
            Some(newest) if self.number != last => Ok((self.number, newest.clone())),
            _ => {
                let (sender, waiter) = flume::bounded(1);
                if self.waiters.len() == limits::EVENTS_WAITING_MAX {
                    self.waiters.remove(0);
                }
                self.waiters.push(sender);
                Err(waiter)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_gets_the_newest_event_it_has_not_had() {
        let mut events = LayerEvents::default();
        let waits = events.after(0).unwrap_err();
        events.tell("a".into());
        assert!(waits.try_recv().is_ok());
        assert_eq!(events.after(0).unwrap(), (1, "a".into()));
        let waits = events.after(1).unwrap_err();
        events.tell("b".into());
        events.tell("c".into());
        assert!(waits.try_recv().is_ok());
        assert_eq!(events.after(1).unwrap(), (3, "c".into()), "each tells the whole");
    }

    #[test]
    fn of_those_who_wait_a_bounded_number_is_kept_and_the_end_ends_them() {
        let mut events = LayerEvents::default();
        let waiters: Vec<_> = (0..=limits::EVENTS_WAITING_MAX).map(|_| events.after(0).unwrap_err()).collect();
        assert!(waiters[0].is_disconnected() && !waiters[1].is_disconnected());
        drop(events);
        assert!(waiters.iter().all(flume::Receiver::is_disconnected));
    }
}
