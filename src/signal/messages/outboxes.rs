//! The outboxes of all open sockets, by socket: where what is to be told to one is put.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::message::Told;
use super::outbox::Outbox;
use crate::signal::sessions::sockets::SocketId;

/// All of them. Borrows never leave this file.
#[derive(Debug, Default)]
pub(in crate::signal) struct Outboxes(RefCell<HashMap<SocketId, Rc<Outbox>>>);

impl Outboxes {
    /// A socket more.
    pub(in crate::signal) fn add(&self, socket: SocketId, outbox: Rc<Outbox>) {
        self.0.borrow_mut().insert(socket, outbox);
    }

    /// It is gone.
    pub(in crate::signal) fn remove(&self, socket: SocketId) {
        self.0.borrow_mut().remove(&socket);
    }

    /// One message to one socket. There is none to tell for a session that was opened over HTTP, or whose socket is lost.
    pub(in crate::signal) fn tell(&self, socket: Option<SocketId>, told: &Told<'_>) {
        if let Some(outbox) = socket.and_then(|socket| self.0.borrow().get(&socket).cloned()) {
            outbox.push(told.text());
        }
    }

    /// One message to many: one text for all of them.
    pub(in crate::signal) fn tell_all(&self, sockets: impl Iterator<Item = SocketId>, told: &Told<'_>) {
        let outboxes = self.0.borrow();
        let mut text = None;
        for outbox in sockets.filter_map(|socket| outboxes.get(&socket)) {
            outbox.push(text.get_or_insert_with(|| told.text()).clone());
        }
    }

    /// Does something with each.
    pub(in crate::signal) fn each(&self, mut act: impl FnMut(&Outbox)) {
        self.0.borrow().values().for_each(|outbox| act(outbox));
    }
}
