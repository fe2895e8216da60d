//! What is wanted of streams, summed up over workers and children, and told to where they come from.

use super::routes;
use crate::relay::store::address::Origin;
use crate::relay::store::upstream::{Upstream, Wish};
use crate::time::Timestamp;
use crate::worker::mailbox::StreamId;
use crate::worker::peer::StreamKey;

use super::link_worker::LinkWorker;
use super::table::Table;

impl LinkWorker {
    pub(super) fn demand_of_all(&mut self, stream: StreamId, now: Timestamp) {
        if let Some(key) = self.table.streams.find(stream) {
            self.demand_changed(key, now);
            routes::drop_if_unused(key, &mut self.table.streams, &mut self.table.by_stream);
        }
    }

    pub(super) fn demand_changed(&mut self, key: StreamKey, now: Timestamp) {
        let (Some(links), Some(stream)) = (self.table.by_stream.get_mut(&key), self.table.streams.get(key)) else {
            return;
        };
        let of_workers = stream.audience.iter().flat_map(|audience| audience.wanted.iter());
        let of_children = links.children.iter().filter_map(|handle| self.table.children.get(handle));
        let wanted = of_workers.chain(of_children.flat_map(|child| child.wanted.iter())).collect();
        let before = std::mem::replace(&mut links.wanted, wanted);
        let first = links.parents.first().copied();
        self.table.streams.demand_moved(key, before, wanted);
        if let Some(handle) = first
            && let Some(parent) = self.parents.get_mut(&handle)
        {
            parent.set_wanted(wanted, now);
            let deadline = parent.next_deadline();
            self.arm(handle, deadline);
        }
    }

    pub(super) fn tell_wishes(&mut self, now: Timestamp) {
        let Self { table: Table { streams, .. }, lanes, .. } = self;
        streams.tell_demands(now, |origin, stream, wanted| match origin {
            Origin::Worker(worker) => lanes.send_upstream(worker, Upstream { stream, wish: Wish::Encodings(wanted) }),
            // Its reports say so, again and again.
            Origin::Node(_) => true,
        });
        let mut asked = Vec::new();
        streams.poll_key_frame_requests(now, |key, stream| match stream.origin {
            Some(Origin::Worker(worker)) => {
                let wish = Wish::KeyFrame(key.encoding);
                lanes.send_upstream(worker, Upstream { stream: stream.id, wish });
            }
            _ => asked.push(key),
        });
        for key in asked {
            // The first one sends it.
            let first = self.table.by_stream.get(&key.stream).and_then(|links| links.parents.first().copied());
            if let Some(handle) = first
                && let Some(parent) = self.parents.get_mut(&handle)
            {
                parent.want_key_frame(key.encoding, now);
                let deadline = parent.next_deadline();
                self.arm(handle, deadline);
            }
        }
    }
}
