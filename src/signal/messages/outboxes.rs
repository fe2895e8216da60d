//! The outboxes of all open sockets. Messages to sockets are put in here.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::message::Told;
use super::outbox::Outbox;
use crate::signal::sessions::sockets::SocketId;

/// All outboxes, by socket. Borrows never leave this file.
#[derive(Debug, Default)]
pub(in crate::signal) struct Outboxes(RefCell<HashMap<SocketId, Rc<Outbox>>>);

impl Outboxes {
    /// Adds the outbox of a new socket.
    pub(in crate::signal) fn add(&self, socket: SocketId, outbox: Rc<Outbox>) {
        self.0.borrow_mut().insert(socket, outbox);
    }

    /// Removes the outbox of a socket that is gone.
    pub(in crate::signal) fn remove(&self, socket: SocketId) {
        self.0.borrow_mut().remove(&socket);
    }

    /// Sends a message to a socket. There is no socket for a session that was opened over HTTP, or whose socket is
    /// lost.
    pub(in crate::signal) fn tell(&self, socket: Option<SocketId>, told: &Told<'_>) {
        if let Some(outbox) = socket.and_then(|socket| self.0.borrow().get(&socket).cloned()) {
            outbox.push(told.text());
        }
    }

    /// Sends a message to many sockets. The text is made once for all of them.
    pub(in crate::signal) fn tell_all(&self, sockets: impl Iterator<Item = SocketId>, told: &Told<'_>) {
        let outboxes = self.0.borrow();
        let mut text = None;
        for outbox in sockets.filter_map(|socket| outboxes.get(&socket)) {
            outbox.push(text.get_or_insert_with(|| told.text()).clone());
        }
    }

    /// Calls `act` with each outbox.
    pub(in crate::signal) fn each(&self, mut act: impl FnMut(&Outbox)) {
        self.0.borrow().values().for_each(|outbox| act(outbox));
    }
}
