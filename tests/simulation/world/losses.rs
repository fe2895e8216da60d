//! What the network and full buffers lost, and whom it excuses: a rule is not broken by what nobody could know.

use std::net::SocketAddr;
use std::time::Duration;

use corecast::description::Direction;

use super::World;
use crate::client::{self, ClientId};

impl World {
    /// A full receive buffer lost a datagram.
    pub(super) fn lose_at_worker(&mut self, remote: SocketAddr, is_check: bool) {
        let Some(&id) = self.by_address.get(&remote) else { return };
        match is_check {
            // By it the node would have learnt of a new address: by the next one, then.
            true => {
                self.clients[id].excused = self.clients[id]
                    .excused
                    .max(self.now + corecast::limits::PEER_CHECK_INTERVAL + Duration::from_millis(500))
            }
            false => self.lose_uplink(remote),
        }
    }

    /// The network lost a check of a client. While it is excused, this may be the one by which the node would have learnt of
    /// its new address: by the next one, then, and a bad link loses two in a row more often than one would think.
    pub(super) fn lose_check(&mut self, id: ClientId) {
        let until = self.now + corecast::limits::PEER_CHECK_INTERVAL + Duration::from_millis(500);
        let client = &mut self.clients[id];
        if client.excused <= self.now {
            return;
        }
        client.excused = client.excused.max(until);
        if client.direction == Direction::Publish {
            let stream = &mut self.streams[client.stream];
            stream.excused = stream.excused.max(until);
        }
    }

    /// A publisher's packet from an address, or under keys, that the node may not know yet: it may lose it, and says only how many
    /// it lost together with what was forged.
    pub(super) fn count_at_risk(&mut self, remote: SocketAddr, is_forged: bool, is_media: bool) {
        if !is_forged
            && is_media
            && let Some(&id) = self.by_address.get(&remote)
        {
            let client = &self.clients[id];
            if client.excused > self.now || !client.node_connected {
                self.streams[client.stream].at_risk += 1;
            }
        }
    }

    /// A publisher's packet that comes behind a later one. A viewer that must skip in between has an index for it, and goes on
    /// without it.
    pub(crate) fn count_overtaken(&mut self, ssrc: u32, sequence: u16) {
        let Some(client) = self.clients.get(client::owner_of_source(ssrc)) else { return };
        if client.direction != Direction::Publish {
            return;
        }
        let stream = &mut self.streams[client.stream];
        let newest = stream.newest.entry(ssrc).or_insert(sequence);
        if (sequence.wrapping_sub(*newest) as i16) < 0 {
            stream.overtaken += 1;
        } else {
            *newest = sequence;
        }
    }

    pub(super) fn lose_uplink(&mut self, remote: SocketAddr) {
        if let Some(&client) = self.by_address.get(&remote) {
            let stream = self.clients[client].stream;
            self.streams[stream].uplink_lost += 1;
        }
    }
}
