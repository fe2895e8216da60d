//! Links are opened, fail over, and end.

use std::collections::HashMap;

use super::child::Child;
use super::mailbox::{LinkEnd, LinkNotice, OpenLink};
use super::packet::Handle;
use super::parent::Parent;
use super::report::LinkReport;
use super::routes::{self, ELSEWHERE};
use crate::limits;
use crate::net::Io;
use crate::relay::store::numbers::EncodingSet;
use crate::time::Timestamp;
use crate::transport::PathAddress;
use crate::worker::peer::StreamKey;

use super::link_worker::LinkWorker;

impl LinkWorker {
    pub(super) fn has_room(&self) -> bool {
        self.table.children.len() + self.parents.len() < limits::LINKS_MAX
    }

    pub(super) fn open_child(&mut self, open: OpenLink, now: Timestamp) {
        if !self.has_room() {
            return self.tell(LinkNotice::Ended(open.handle, LinkEnd::Full));
        }
        let (key, _) = self.table.streams.get_or_create(open.stream, &open.stream_name);
        let child = Child::new(open.node, key, open.remote, &open.keys, now);
        self.table.children.insert(open.handle, child);
        self.table.by_stream.entry(key).or_default().children.push(open.handle);
        self.arm(open.handle, now + limits::LINK_SILENCE_MAX);
    }

    pub(super) fn open_parent(&mut self, open: OpenLink, address: PathAddress, now: Timestamp) {
        let path = self.has_room().then(|| self.paths.enter(address)).flatten();
        let Some(path) = path else { return self.tell(LinkNotice::Ended(open.handle, LinkEnd::Full)) };
        let (key, stream) = self.table.streams.get_or_create(open.stream, &open.stream_name);
        stream.origin = Some(ELSEWHERE);
        self.table.streams.publisher_came(key);
        let parent = Parent::new((open.node, open.remote), (key, open.stream), &open.keys, path, now);
        self.parents.insert(open.handle, parent);
        let links = self.table.by_stream.entry(key).or_default();
        links.parents.push(open.handle);
        if links.parents.len() == 1
            && let Some(parent) = self.parents.get_mut(&open.handle)
        {
            parent.set_wanted(links.wanted, now);
        }
        self.table.streams.list_demand(key);
        self.arm(open.handle, now);
    }

    pub(super) fn close(&mut self, handle: Handle, now: Timestamp) {
        if let Some(child) = self.table.children.get_mut(&handle) {
            child.say_bye(&mut self.out);
        }
        if let Some(parent) = self.parents.get_mut(&handle) {
            parent.say_bye(&mut self.out);
        }
        self.forget(handle, now);
    }

    /// Lets go of a link, and of its stream where nothing else needs it.
    pub(super) fn forget(&mut self, handle: Handle, now: Timestamp) {
        self.armed.remove(&handle);
        let child = self.table.children.remove(&handle).map(|child| (child.stream, child.path));
        let parent = self.parents.remove(&handle).map(|parent| (parent.stream, Some(parent.path)));
        let Some((key, path)) = child.or(parent) else { return };
        // What is in the batch for it leaves before.
        self.struck.extend(path);
        let mut was_first = false;
        if let Some(links) = self.table.by_stream.get_mut(&key) {
            was_first = links.parents.first() == Some(&handle);
            links.children.retain(|&other| other != handle);
            links.parents.retain(|&other| other != handle);
        }
        if was_first {
            self.begin_first(key, now);
        }
        self.demand_changed(key, now);
        routes::drop_if_unused(key, &mut self.table.streams, &mut self.table.by_stream);
    }

    /// The first of a stream's parents sends it from now on, behind what is here.
    pub(super) fn begin_first(&mut self, key: StreamKey, now: Timestamp) {
        let (Some(links), Some(stream)) = (self.table.by_stream.get(&key), self.table.streams.get(key)) else { return };
        let Some(handle) = links.parents.first().copied() else { return };
        let Some(parent) = self.parents.get_mut(&handle) else { return };
        let had = links.wanted.iter().filter_map(|id| {
            let (incarnation, newest) = stream.encoding(id)?.newest_of_publisher()?;
            Some((id, incarnation, newest.saturating_sub(limits::LINK_RESUME_OVERLAP_PACKETS)))
        });
        parent.resume(had.collect());
        parent.set_wanted(links.wanted, now);
        let deadline = parent.next_deadline();
        self.arm(handle, deadline);
    }

    /// Where nothing is heard of the parent that sends a stream, another one that is heard takes its place.
    pub(super) fn fail_over(&mut self, key: StreamKey, now: Timestamp) {
        let Some(links) = self.table.by_stream.get_mut(&key) else { return };
        let is_heard = |handle: &Handle, parents: &HashMap<Handle, Parent>| {
            parents.get(handle).is_some_and(|parent| now.since(parent.heard) < limits::LINK_FAIL_OVER_SILENCE)
        };
        let Some(first) = links.parents.first().copied() else { return };
        if is_heard(&first, &self.parents) {
            return;
        }
        let Some(place) = links.parents.iter().position(|handle| is_heard(handle, &self.parents)) else { return };
        links.parents.swap(0, place);
        self.failed_over += 1;
        if let Some(before) = self.parents.get_mut(&first) {
            before.set_wanted(EncodingSet::NONE, now);
        }
        self.begin_first(key, now);
    }

    pub(super) fn end(&mut self, handle: Handle, why: LinkEnd, now: Timestamp) {
        self.forget(handle, now);
        self.tell(LinkNotice::Ended(handle, why));
    }

    pub(super) fn say_bye<I: Io>(&mut self, io: &mut I) {
        for child in self.table.children.values_mut() {
            if !self.out.has_room_for(2) {
                io.send(&mut self.out, &self.paths);
                self.out.clear();
            }
            child.say_bye(&mut self.out);
        }
        for parent in self.parents.values_mut() {
            if !self.out.has_room_for(2) {
                io.send(&mut self.out, &self.paths);
                self.out.clear();
            }
            parent.say_bye(&mut self.out);
        }
        self.flush(io);
    }

    pub(super) fn report(&self, now: Timestamp) -> Vec<LinkReport> {
        let name = |key| self.table.streams.get(key).map_or_else(String::new, |stream| stream.name.clone());
        let ms = |since: Timestamp| u64::try_from(now.since(since).as_millis()).unwrap_or(u64::MAX);
        let children = self.table.children.values().map(|child| LinkReport {
            stream: name(child.stream),
            node: child.node.clone(),
            is_parent: false,
            silent_ms: ms(child.heard),
            round_trip_us: None,
            encodings: child.wanted.iter().count(),
            counts: child.counts,
        });
        let parents = self.parents.values().map(|parent| LinkReport {
            stream: name(parent.stream),
            node: parent.node.clone(),
            is_parent: true,
            silent_ms: ms(parent.heard),
            round_trip_us: parent.round_trip().map(|taken| u64::try_from(taken.as_micros()).unwrap_or(u64::MAX)),
            encodings: parent.wanted().iter().count(),
            counts: parent.counts,
        });
        children.chain(parents).collect()
    }
}
