//! Time passes, and datagrams with it: between clients and workers, and from one worker to another.

use super::*;

impl World {
    /// Lets time pass.
    pub(crate) fn run(&mut self, duration: Duration) {
        let until = self.now + duration;
        loop {
            self.settle();
            match self.next_event() {
                Some(next) if next <= until => self.now = self.now.max(next),
                _ => break,
            }
        }
        self.now = until;
        self.settle();
    }

    /// Sends bytes to a worker as if from `address`, past the network's filter, and lets it serve them.
    pub(crate) fn inject(&mut self, worker: usize, address: SocketAddr, bytes: &[u8]) {
        let path = self.path_from(worker, address);
        let now = self.now;
        self.nodes[worker].io.set_now(now);
        self.nodes[worker].io.deliver(path, bytes.to_vec());
        self.settle();
    }

    /// A worker's path to an address.
    pub(crate) fn path_from(&self, worker: usize, address: SocketAddr) -> PathAddress {
        let (remote, local_ip) = (address, self.nodes[worker].address.ip());
        match self.connections.get(&address) {
            Some(connection) => TcpPath { remote, local_ip, connection: connection.id }.into(),
            None => UdpPath { remote, local_ip, socket: 0 }.into(),
        }
    }

    /// The trains a worker handed over since the last call.
    pub(crate) fn take_trains(&mut self, worker: usize) -> Vec<SentTrain> {
        std::mem::take(&mut self.nodes[worker].trains)
    }

    fn next_event(&self) -> Option<Timestamp> {
        let flying = self.flying.keys().next().map(|&(at, _)| at);
        let nodes = self.nodes.iter().filter(|node| !node.stalled).map(|node| node.worker.next_deadline(self.now));
        let clients = self.clients.iter().filter_map(Client::next_deadline);
        flying.into_iter().chain(nodes).chain(clients).min()
    }

    /// Does all that is due now.
    pub(crate) fn settle(&mut self) {
        let mut quiet = 0;
        for pass in 0.. {
            assert!(pass < 20_000, "something spins at {:?}", self.now);
            let mut active = self.deliver_due();
            for client in 0..self.clients.len() {
                active |= self.clients[client].act(self.now);
                self.collect_client(client);
            }
            for worker in 0..self.nodes.len() {
                if self.nodes[worker].stalled {
                    continue;
                }
                active |= self.round(worker);
                active |= self.nodes[worker].worker.next_deadline(self.now) <= self.now;
            }
            // A round may have written to the lane of a worker that had its turn already.
            quiet = if active { 0 } else { quiet + 1 };
            if quiet == 2 {
                return;
            }
        }
    }

    fn deliver_due(&mut self) -> bool {
        let mut any = false;
        while let Some(flight) = self.flying.first_entry()
            && flight.key().0 <= self.now
        {
            any = true;
            match flight.remove() {
                Flight::ToNode { worker, path, bytes } => {
                    let io = &mut self.nodes[worker].io;
                    let datagrams = match self.connections.get_mut(&path.remote()) {
                        Some(connection) => connection.to_node.read(&bytes),
                        None => vec![bytes],
                    };
                    datagrams.into_iter().for_each(|bytes| io.deliver_at(self.now, path, bytes));
                }
                Flight::ToClient { address, bytes } => {
                    let Some(&client) = self.by_address.get(&address) else { continue };
                    let datagrams = match self.connections.get_mut(&address) {
                        Some(connection) => connection.to_client.read(&bytes),
                        None => vec![bytes],
                    };
                    for mut bytes in datagrams {
                        if self.clients[client].address == address {
                            self.clients[client].handle_datagram(&mut bytes, self.now);
                        }
                    }
                }
            }
        }
        any
    }

    fn collect_client(&mut self, client: usize) {
        let Client { out, address, worker, peer, .. } = &mut self.clients[client];
        let (address, worker) = (*address, *worker);
        assert_eq!(peer.node(), self.nodes[worker].address);
        let mut sent = Vec::new();
        for train in out.trains() {
            sent.extend(out.bytes(train).chunks(usize::from(train.segment_size)).map(<[u8]>::to_vec));
        }
        out.clear();
        let path = self.path_from(worker, address);
        for bytes in sent {
            if self.passes(client, false, &bytes) {
                for bytes in self.pieces(address, bytes) {
                    self.fly(Flight::ToNode { worker, path, bytes });
                }
            }
        }
    }

    /// A datagram as it travels: itself, or pieces of a stream where the address has a connection.
    fn pieces(&self, address: SocketAddr, datagram: Vec<u8>) -> Vec<Vec<u8>> {
        if self.connections.contains_key(&address) { Stream::frame(&datagram) } else { vec![datagram] }
    }

    fn fly(&mut self, flight: Flight) {
        self.fly_late(flight, Duration::ZERO);
    }

    fn fly_late(&mut self, flight: Flight, by: Duration) {
        self.serial += 1;
        self.flying.insert((self.now + self.latency + by, self.serial), flight);
    }

    fn passes(&mut self, client: usize, to_client: bool, bytes: &[u8]) -> bool {
        let number = self.hops.entry((client, to_client)).or_default();
        *number += 1;
        (self.filter)(&Hop { client, to_client, bytes, number: *number - 1 })
    }

    /// One round of one worker; whether it sent anything.
    pub(super) fn round(&mut self, worker: usize) -> bool {
        let node = &mut self.nodes[worker];
        node.io.set_now(self.now);
        if node.busy {
            // A wait of no length: no time was spent waiting.
            node.worker.waited(self.now, self.now);
        }
        node.worker.round(&mut node.io);
        let sent = node.io.take_sent();
        let any = !sent.is_empty();
        for train in &sent {
            let Some(&client) = self.by_address.get(&train.path.remote()) else { continue };
            assert_eq!(train.path, self.path_from(worker, train.path.remote()), "a train leaves where its client is");
            for bytes in &train.datagrams {
                assert!(bytes.len() <= corecast::limits::DATAGRAM_OUT_BYTES_MAX);
                // Who begins DTLS anew in place has another key afterwards.
                let changes = self.nodes[worker].worker.changes_in_place(self.clients[client].session);
                if let Err(violation) = self.sealed_once.observe(client + 10_000 * changes as usize, bytes) {
                    panic!("{violation}");
                }
                if train.result == SendResult::Sent && self.passes(client, true, bytes) {
                    let address = train.path.remote();
                    let waits = self.bottlenecks.get_mut(&client).map(|link| link.pass(bytes.len(), self.now));
                    let Some(waits) = waits.unwrap_or(Some(Duration::ZERO)) else { continue };
                    for bytes in self.pieces(address, bytes.clone()) {
                        self.fly_late(Flight::ToClient { address, bytes }, waits);
                    }
                }
            }
        }
        self.nodes[worker].trains.extend(sent);
        while let Ok(notice) = self.notices.try_recv() {
            if let Notice::Ended { session, .. } = &notice
                && let Some(client) = self.clients.iter_mut().find(|client| client.session == *session)
            {
                client.is_open = false;
            }
            self.noticed.push(notice);
        }
        any
    }
}
