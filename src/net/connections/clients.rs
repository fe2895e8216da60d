//! TURN clients among a worker's connections: whose they are, how many there may be, and how long they stay.
//!
//! A client's connection is of one session, and closed with it ([`Connections::close_of`]). It is also closed when its
//! allocation has run out or was not used for a while, which is looked at every half of that time. [`super::relay`] has what is
//! in the connection.

use super::super::{IoCounters, now};
use super::relay::Served;
use super::{Carrier, Connection, Connections};
use crate::limits;
use crate::time::Timestamp;
use crate::transport::Datagram;
use crate::transport::path::ConnectionId;
use crate::turn;

impl Connections {
    /// Notes whose the client is. Where its session or the worker has as many as it may, the oldest that nothing went through
    /// makes place.
    pub(super) fn enlist(&mut self, client: &mut turn::Client, id: ConnectionId) {
        let of_session = self.of_session.get(&client.session()).map_or(&[][..], Vec::as_slice);
        let unused = if of_session.len() >= limits::TURN_ALLOCATIONS_PER_SESSION_MAX {
            Some(self.first_unused(of_session.iter().copied()))
        } else if self.clients >= limits::TURN_CLIENTS_PER_WORKER_MAX {
            let next = self.looks.iter().take(limits::TURN_CLIENTS_LOOKED_AT_MAX);
            Some(self.first_unused(next.map(|(_, id)| *id)))
        } else {
            None
        };
        match unused {
            Some(Some(place)) => self.lost(place),
            Some(None) => client.deny(),
            None => {}
        }
        self.clients += 1;
        self.of_session.entry(client.session()).or_default().push(id);
        self.looks.push_back((now() + limits::TURN_UNUSED_MAX / 2, id));
    }

    /// The place of the first client that nothing went through.
    fn first_unused(&self, mut ids: impl Iterator<Item = ConnectionId>) -> Option<usize> {
        ids.find_map(|id| {
            let place = self.place_of(id)?;
            let Carrier::Relay(relay) = &self.places.get(place)?.as_ref()?.carrier else { return None };
            relay.client.used_ips().next().is_none().then_some(place)
        })
    }

    /// Forgets whose a client was.
    pub(super) fn strike_off(&mut self, session: u64, id: ConnectionId) {
        self.clients -= 1;
        if let Some(ids) = self.of_session.get_mut(&session) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.of_session.remove(&session);
            }
        }
    }

    /// Closes the TURN connections of a session that has ended.
    pub(in crate::net) fn close_of(&mut self, session: u64) {
        for id in self.of_session.remove(&session).unwrap_or_default() {
            self.close(id);
        }
    }

    /// Closes clients whose allocation has run out or is not used. Each is looked at once in a while, so no walk.
    pub(super) fn close_unused(&mut self, now: Timestamp) {
        while let Some((due, id)) = self.looks.front().copied()
            && due <= now
        {
            self.looks.pop_front();
            let Some(place) = self.place_of(id) else { continue };
            let Some(Some(Connection { carrier: Carrier::Relay(relay), .. })) = self.places.get(place) else {
                continue;
            };
            if relay.client.kept_until() <= now {
                self.lost(place);
            } else {
                self.looks.push_back((now + limits::TURN_UNUSED_MAX / 2, id));
            }
        }
    }

    /// Serves what came with clients from elsewhere.
    pub(super) fn serve_begun<F: FnMut(Datagram<'_>)>(
        &mut self,
        now: Timestamp,
        counters: &mut IoCounters,
        visit: &mut F,
    ) -> usize {
        let begun = std::mem::take(&mut self.begun);
        begun.into_iter().map(|place| self.serve_relay(place, &[], now, counters, visit)).sum()
    }

    /// Serves the whole messages in what came of a client.
    pub(super) fn serve_relay<F: FnMut(Datagram<'_>)>(
        &mut self,
        place: usize,
        wire: &[u8],
        now: Timestamp,
        counters: &mut IoCounters,
        visit: &mut F,
    ) -> usize {
        let Some(Some(connection)) = self.places.get_mut(place) else { return 0 };
        let Carrier::Relay(relay) = &mut connection.carrier else { return 0 };
        let Served { handed, answer, is_open } =
            relay.serve(connection.id, wire, &mut connection.partial, now, counters, visit);
        let has_room = connection.pending.len() <= limits::CONNECTION_QUEUE_BYTES_MAX;
        if !answer.is_empty() && has_room {
            self.put(place, &answer, counters);
        }
        // Who asks on and never reads the answers.
        if !is_open || !has_room {
            self.lost(place);
        }
        handed
    }
}
