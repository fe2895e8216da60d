//! Sending through the ring: a batch as one submission, a `SENDMSG` per train ([`super::SendBy::Entries`]).

use std::time::Duration;

use io_uring::opcode;
use io_uring::types::Fixed;

use super::receive::{Receiver, SEND};
use super::ring::Enter;
use crate::net::IoCounters;
use crate::net::send::{Pass, SEND_FLAGS, SendSlots, count_refusal, send_segments};
use crate::net::socket::MediaSocket;
use crate::transport::{PathBook, SendResult, TrainBatch};

/// Sends a batch. Trains leave in order: each completes, or is refused, while it is submitted.
pub(super) fn send_by_entries(
    receiver: &mut Receiver,
    slots: &mut SendSlots,
    sockets: &mut [MediaSocket],
    batch: &mut TrainBatch,
    paths: &PathBook,
    counters: &mut IoCounters,
) {
    let (bytes, trains) = batch.parts_mut();
    let mut pass = Pass { bytes, trains, paths, counters };
    slots.find_sockets(&mut pass, sockets.len());
    let mut next = 0;
    while next < pass.trains.len() {
        let mut unsegmented = None;
        slots.clear();
        while next < pass.trains.len() && !slots.is_full() && unsegmented.is_none() {
            let several = pass.trains[next].segments > 1;
            if let Some(index) = slots.socket_of(next)
                && let Some(socket) = sockets.get_mut(usize::from(index))
            {
                if several && !socket.offload.may_ask() {
                    unsegmented = Some((next, usize::from(index)));
                } else {
                    slots.push(next, &pass, socket, several);
                }
            }
            next += 1;
        }
        submit_and_settle(receiver, slots, sockets, &mut pass);
        if let Some((at, socket)) = unsegmented {
            let train = &mut pass.trains[at];
            pass.counters.offload_skipped += 1;
            train.result = send_segments(pass.bytes, train, pass.paths, &sockets[socket], pass.counters);
            count_refusal(train.result, pass.counters);
        }
    }
}

/// Submits the filled slots, waits until each has completed, and records its result.
fn submit_and_settle(receiver: &mut Receiver, slots: &mut SendSlots, sockets: &mut [MediaSocket], pass: &mut Pass<'_>) {
    receiver.sends_outstanding = slots.len();
    for slot in 0..slots.len() {
        let socket = slots.socket_of(slots.train(slot)).unwrap_or_default();
        let entry = opcode::SendMsg::new(Fixed(socket.into()), slots.message(slot))
            .flags(SEND_FLAGS as u32)
            .build()
            .user_data(SEND | slot as u64);
        // SAFETY: messages and payloads stay in place until every send of the batch has completed, which is waited
        // for below; a ring that breaks before is never entered again.
        unsafe { receiver.push(&entry) };
    }
    let mut why = Enter::Submit;
    while receiver.sends_outstanding > 0 {
        if let Some(errno) = receiver.broken() {
            for slot in 0..slots.len() {
                let train = &mut pass.trains[slots.train(slot)];
                train.result = SendResult::Failed(errno);
                count_refusal(train.result, pass.counters);
            }
            return;
        }
        receiver.enter(why);
        receiver.reap();
        // Another turn is needed only when the kernel was short of memory.
        why = Enter::Wait(Duration::from_millis(1));
    }
    for slot in 0..slots.len() {
        let result = receiver.send_results[slot];
        let train = &mut pass.trains[slots.train(slot)];
        let path = train.path;
        let Some(socket) = slots.socket_of(slots.train(slot)).and_then(|index| sockets.get_mut(usize::from(index)))
        else {
            continue;
        };
        if result >= 0 {
            slots.sent(slot, train, socket, pass.counters);
            continue;
        }
        let overtaken = (slot + 1..slots.len())
            .any(|later| receiver.send_results[later] >= 0 && pass.trains[slots.train(later)].path == path);
        slots.settle(slot, -result, overtaken, pass, socket);
    }
}
