//! The turn of data channels in a round, after its media has left: events of publishers and viewers, visits of viewers, and
//! the packets that come of both.

use crate::data::record::{DataNews, DataRecord};
use crate::limits;
use crate::relay::store::address::RecordAddress;
use crate::relay::store::numbers::EncodingId;
use crate::relay::store::record::Record;
use crate::time::Timestamp;
use crate::worker::channels::uplink::UplinkPhase;
use crate::worker::channels::{back, handover, mirror};
use crate::worker::counters::Counters;
use crate::worker::lane::Lanes;
use crate::worker::outbox::Outbox;
use crate::worker::peer::{PeerKey, Role};
use crate::worker::peers::Peers;
use crate::worker::streams::Streams;

/// What channels touch.
pub(in crate::worker) struct ChannelPhase<'a> {
    pub(in crate::worker) streams: &'a mut Streams,
    pub(in crate::worker) peers: &'a mut Peers,
    pub(in crate::worker) lanes: &'a mut Lanes,
    pub(in crate::worker) outbox: &'a mut Outbox,
    pub(in crate::worker) counters: &'a mut Counters,
}

impl ChannelPhase<'_> {
    /// Does what a round may; the rest comes in the next one.
    pub(in crate::worker) fn run(&mut self, now: Timestamp) {
        self.tell_departures();
        for _ in 0..self.streams.channel_work.peers_len() {
            if !self.outbox.batch().has_room_for(limits::DATA_VISITS_PER_ROUND_MAX) {
                return;
            }
            let Some(key) = self.streams.channel_work.next_peer() else { break };
            self.serve(key, now);
        }
        for _ in 0..self.streams.channel_work.hearers_len() {
            if !self.outbox.batch().has_room_for(limits::DATA_VISITS_PER_ROUND_MAX) {
                return;
            }
            let Some(key) = self.streams.channel_work.next_hearer() else { break };
            if let Some(publisher) = self.streams.get(key).and_then(|stream| stream.publisher) {
                self.serve(publisher, now);
            }
        }
        let mut visits = limits::DATA_VISITS_PER_ROUND_MAX;
        while visits > 0
            && let Some(key) = self.streams.channel_work.next_stream()
        {
            while let Some(member) = self.streams.channels_mut(key).and_then(|channels| channels.next_member()) {
                self.serve(member, now);
                visits -= 1;
                if visits == 0 || !self.outbox.batch().has_room_for(limits::DATA_VISITS_PER_ROUND_MAX) {
                    visits = 0;
                    break;
                }
            }
            if let Some(channels) = self.streams.channels_mut(key) {
                channels.is_queued = false;
                if channels.has_turns() {
                    self.streams.queue_channels(key);
                }
            }
        }
    }

    /// One peer: its events, what it is given, its packets.
    fn serve(&mut self, key: PeerKey, now: Timestamp) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let (stream, session) = (peer.stream, peer.channels_of());
        let Some(data) = peer.data.as_deref_mut() else { return };
        data.is_listed = false;
        let is_full = peer.full_path.is_some() && peer.full_path == peer.session.ice().selected();
        match peer.role {
            Role::Publisher(_) => {
                let (streams, lanes, counters) = (&mut *self.streams, &mut *self.lanes, &mut *self.counters);
                if streams.get(stream).is_some_and(|stream| stream.publisher == Some(key)) {
                    UplinkPhase { streams, lanes, counters, stream, session }.take_events(data, now);
                    if let Some(channels) = self.streams.channels_mut(stream).filter(|_| !is_full) {
                        back::give(data, channels, self.counters, now);
                    }
                } else {
                    // One that was replaced is heard no more.
                    data.forget_events();
                }
            }
            Role::Viewer(_) => {
                let (joined, said) = mirror::take_events(data, self.counters, now);
                back::carry(said, stream, (self.streams, self.lanes), self.counters, now);
                let Some(stream) = self.streams.get_mut(stream) else { return };
                if joined {
                    stream.channels.get_or_insert_default().join(key);
                }
                let waits = handover::waits(key, self.peers);
                let Some(peer) = self.peers.get_mut(key) else { return };
                let channels = stream.channels.as_deref_mut().filter(|_| !is_full && !waits);
                if let Some((data, channels)) = peer.data.as_deref_mut().zip(channels) {
                    mirror::give(data, channels, self.counters, now);
                }
            }
        }
        let Some(peer) = self.peers.get_mut(key) else { return };
        let Some(data) = peer.data.as_deref_mut() else { return };
        // A connection that is full says when it has drained.
        let left = !is_full && data.send_packets(&mut peer.session, self.outbox.batch(), self.counters, now);
        if left {
            self.streams.channel_work.list(key, data);
        }
        if let Some(new) = handover::is_awaited(peer)
            && let Some(data) = self.peers.get_mut(new).and_then(|new| new.data.as_deref_mut())
        {
            self.streams.channel_work.list(new, data);
        }
        self.peers.arm(key);
    }

    /// Tells other workers of publishers that have left.
    fn tell_departures(&mut self) {
        for _ in 0..self.streams.channel_work.departures.len() {
            let Some(mut departure) = self.streams.channel_work.departures.pop_front() else { return };
            let address = RecordAddress { stream: departure.stream, encoding: EncodingId::default() };
            let record = Record::Data(DataRecord { session: departure.session, what: DataNews::End });
            departure.workers.retain(|worker| !self.lanes.send(*worker, address, &record));
            if !departure.workers.is_empty() {
                self.streams.channel_work.departures.push_back(departure);
                return;
            }
        }
    }
}
