//! Streams that links have a part in: from where, for whom, and what of them is wanted.

use std::collections::HashMap;

use super::packet::Handle;
use crate::relay::store::address::{NodeId, Origin, WorkerIndex};
use crate::relay::store::numbers::EncodingSet;
use crate::worker::mailbox::{Listener, StreamId};
use crate::worker::peer::StreamKey;
use crate::worker::stream::{Audience, Stream};
use crate::worker::streams::Streams;

/// The origin of a stream that comes over links, whichever node's they are.
pub(super) const ELSEWHERE: Origin = Origin::Node(NodeId(0));

/// The links of a stream.
#[derive(Debug, Default)]
pub(super) struct Links {
    pub(super) children: Vec<Handle>,
    pub(super) parents: Vec<Handle>,
    /// What they and this node's workers want.
    pub(super) wanted: EncodingSet,
    /// What workers said that they want, also before a route named them.
    said: Vec<(WorkerIndex, EncodingSet)>,
}

impl Links {
    /// A worker says what it wants.
    pub(super) fn remember(&mut self, worker: WorkerIndex, wanted: EncodingSet) {
        self.said.retain(|(other, _)| *other != worker);
        self.said.push((worker, wanted));
    }
}

/// Takes a stream's newest route. Those who begin to listen want nothing before they say so.
pub(super) fn set(
    own: WorkerIndex,
    id: StreamId,
    origin: Option<Origin>,
    listeners: Vec<Listener>,
    streams: &mut Streams,
    by_stream: &mut HashMap<StreamKey, Links>,
) {
    let Some(key) = streams.find(id) else { return };
    let Some(stream) = streams.get_mut(key) else { return };
    let before = std::mem::take(&mut stream.audience);
    let is_listening = listeners.iter().any(|listener| listener.worker == own);
    let links = by_stream.entry(key).or_default();
    if origin == Some(Origin::Worker(own)) {
        for listener in listeners.into_iter().filter(|listener| listener.worker != own) {
            if let Some(known) = before.iter().find(|audience| audience.listener == listener) {
                stream.audience.push(*known);
                continue;
            }
            let said = links.said.iter().find(|(worker, _)| *worker == listener.worker).map(|(_, wanted)| *wanted);
            stream.audience.push(Audience { wanted: said.unwrap_or(EncodingSet::NONE), ..Audience::new(listener) });
        }
    }
    links.said.retain(|(worker, _)| stream.audience.iter().any(|audience| audience.listener.worker == *worker));
    // As long as there is a link by which it comes, it comes by that, whoever forgets it meanwhile.
    let origin = match origin {
        Some(Origin::Worker(worker)) if worker != own && is_listening => origin,
        _ if links.parents.is_empty() => None,
        _ => Some(ELSEWHERE),
    };
    if stream.origin != origin && stream.origin.is_some() {
        stream.forget_measured();
    }
    stream.origin = origin;
    if origin.is_some() {
        streams.publisher_came(key);
        streams.list_demand(key);
    }
}

/// Forgets a stream that no link has a part in, and of which nothing is routed here. One whose link is lost and is made anew keeps those
/// who listen.
pub(super) fn drop_if_unused(key: StreamKey, streams: &mut Streams, by_stream: &mut HashMap<StreamKey, Links>) {
    let links = by_stream.get(&key);
    if let Some(stream) = streams.get_mut(key)
        && stream.origin == Some(ELSEWHERE)
        && links.is_none_or(|links| links.parents.is_empty())
    {
        stream.origin = None;
    }
    let is_linked = links.is_some_and(|links| !links.children.is_empty() || !links.parents.is_empty());
    let is_routed = |stream: &Stream| !stream.audience.is_empty() || matches!(stream.origin, Some(Origin::Worker(_)));
    if !is_linked && !streams.get(key).is_some_and(is_routed) {
        by_stream.remove(&key);
        streams.drop_if_unused(key);
    }
}
