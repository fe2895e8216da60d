//! The sending half: a batch as one submission, a `SENDMSG` per train.

use io_uring::opcode;
use io_uring::types::Fixed;

use super::Uring;
use super::receive::SEND;
use super::ring::Enter;
use crate::net::batch::{SendResult, TrainBatch};
use crate::net::send::{Pass, SEND_FLAGS, count_refusal, payload, send_segments};

impl Uring {
    /// Sends a batch through the ring. Trains leave in order: each completes, or is refused, while it is submitted.
    pub(super) fn send_by_ring(&mut self, batch: &mut TrainBatch) {
        let (bytes, trains) = batch.parts_mut();
        let mut pass = Pass { bytes, trains, counters: &mut self.counters };
        let mut next = 0;
        while next < pass.trains.len() {
            self.send.clear();
            let mut unsegmented = None;
            while next < pass.trains.len() && !self.send.is_full() {
                let train = &mut pass.trains[next];
                match self.sockets.sockets.get_mut(usize::from(train.path.socket)) {
                    None => {
                        train.result = SendResult::Failed(libc::EBADF);
                        count_refusal(train.result, pass.counters);
                    }
                    Some(socket) => {
                        let several = train.segments > 1;
                        if several && !socket.offload.may_ask() {
                            unsegmented = Some(next);
                            next += 1;
                            break;
                        }
                        let payload = payload(pass.bytes, train);
                        self.send.push(next, train, payload, socket, several);
                    }
                }
                next += 1;
            }
            let slots = self.send.len();
            for slot in 0..slots {
                let socket = pass.trains[self.send.train(slot)].path.socket;
                let entry = opcode::SendMsg::new(Fixed(socket.into()), self.send.message(slot))
                    .flags(SEND_FLAGS as u32)
                    .build()
                    .user_data(SEND | slot as u64);
                // SAFETY: message and payload stay in place until all sends of the batch have completed, which is
                // waited for below.
                unsafe { self.receiver.push(&entry) };
            }
            self.receiver.sends_outstanding = slots;
            let mut why = Enter::Submit;
            while self.receiver.sends_outstanding > 0 && self.receiver.broken().is_none() {
                self.receiver.enter(why);
                self.receiver.reap();
                why = Enter::Wait(std::time::Duration::from_millis(10));
            }
            if let Some(errno) = self.receiver.broken() {
                for train in pass.trains.iter_mut().filter(|train| train.result == SendResult::Pending) {
                    train.result = SendResult::Failed(errno);
                }
                return;
            }
            for slot in 0..slots {
                let index = self.send.train(slot);
                let result = self.receiver.send_results[slot];
                let train = &mut pass.trains[index];
                let socket = &mut self.sockets.sockets[usize::from(train.path.socket)];
                if result >= 0 {
                    self.send.sent(slot, train, socket, pass.counters);
                    continue;
                }
                let path = train.path;
                let overtaken = (slot + 1..slots).any(|later| {
                    self.receiver.send_results[later] >= 0 && pass.trains[self.send.train(later)].path == path
                });
                self.send.settle(slot, -result, overtaken, &mut pass, socket);
            }
            if let Some(at) = unsegmented {
                let train = &mut pass.trains[at];
                let socket = &self.sockets.sockets[usize::from(train.path.socket)];
                pass.counters.offload_skipped += 1;
                train.result = send_segments(pass.bytes, train, socket, pass.counters);
                count_refusal(train.result, pass.counters);
            }
        }
    }
}
