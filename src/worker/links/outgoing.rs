//! What leaves: what was asked for again, what was told, and media.

use crate::limits;
use crate::net::Io;
use crate::relay::store::address::RecordAddress;
use crate::relay::store::encoding::Encoding;
use crate::time::Timestamp;

use super::link_worker::LinkWorker;

impl LinkWorker {
    pub(super) fn send_again<I: Io>(&mut self, io: &mut I, now: Timestamp) {
        let mut repeating = std::mem::take(&mut self.repeating);
        repeating.retain(|handle| {
            let Some(child) = self.table.children.get_mut(handle) else { return false };
            let Some(stream) = self.table.streams.get(child.stream) else { return false };
            child.send_again(&mut self.out, now, |id| stream.encoding(id).map(|encoding| &**encoding as &Encoding));
            let has_more = child.has_repeats();
            if has_more {
                Self::send(io, &mut self.out, &self.paths, &mut self.unsent);
            }
            has_more
        });
        self.repeating = repeating;
    }

    pub(super) fn send_media<I: Io>(&mut self, io: &mut I, now: Timestamp) {
        let clocks = self.clocks(now);
        self.table.streams.release_held(now);
        // As many as are queued: what is queued anew waits for the next round.
        let mut again = Vec::new();
        while let Some(key) = self.table.streams.next_audio().or_else(|| self.table.streams.next_video()) {
            self.table.streams.done(key);
            if let Some((encoding, _)) = self.table.streams.turn(key) {
                encoding.release(None, now);
            }
            let (Some(links), Some(stream)) =
                (self.table.by_stream.get(&key.stream), self.table.streams.get(key.stream))
            else {
                continue;
            };
            let Some(encoding) = stream.encoding(key.encoding) else { continue };
            let address = RecordAddress { stream: stream.id, encoding: key.encoding };
            let mut has_more = false;
            for handle in &links.children {
                let Some(child) = self.table.children.get_mut(handle) else { continue };
                if !child.wanted.contains(key.encoding) {
                    continue;
                }
                child.send_told(&mut self.out);
                has_more |= child.send_media(address, encoding, &mut self.out, clocks, &mut self.table.scratch);
                child.send_told(&mut self.out);
                if !self.out.has_room(limits::SEND_BUFFER_BYTES / 2) {
                    Self::send(io, &mut self.out, &self.paths, &mut self.unsent);
                }
            }
            if has_more {
                again.push(key);
            }
        }
        again.into_iter().for_each(|key| self.table.streams.queue(key));
        for handle in std::mem::take(&mut self.table.telling) {
            if let Some(child) = self.table.children.get_mut(&handle) {
                while child.send_told(&mut self.out) {
                    Self::send(io, &mut self.out, &self.paths, &mut self.unsent);
                }
            }
        }
    }
}
