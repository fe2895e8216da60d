//! Two associations and a network between them, in virtual time. A seedless, exact simulation: the test decides what
//! becomes of each datagram.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use corecast::description::{DtlsRole, Fingerprint, FingerprintHash};
use corecast::dtls::{Dtls, DtlsError, DtlsEvent, DtlsIdentity, DtlsVersions, ExportedKeys};
use corecast::srtp::SrtpProfile;
use corecast::time::Timestamp;

/// One way through the network.
pub(crate) const LATENCY: Duration = Duration::from_millis(10);

pub(crate) fn identity() -> DtlsIdentity {
    DtlsIdentity::generate(SystemTime::now()).expect("an identity")
}

pub(crate) fn identity_preferring(profiles: &[SrtpProfile]) -> DtlsIdentity {
    DtlsIdentity::with_profiles(SystemTime::now(), profiles).expect("an identity")
}

pub(crate) fn fingerprints_of(identity: &DtlsIdentity) -> Vec<Fingerprint> {
    vec![Fingerprint { hash: FingerprintHash::Sha256, value: identity.fingerprint_sha256().to_vec() }]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    Client,
    Server,
}

/// What an end has reported.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    pub(crate) keys: Option<ExportedKeys>,
    pub(crate) connected_at: Option<Timestamp>,
    pub(crate) failed: Option<DtlsError>,
    pub(crate) closed: bool,
    pub(crate) data: Vec<Vec<u8>>,
}

/// A datagram on its way: who sent it, its number among that end's datagrams, and its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) from: End,
    pub(crate) number: usize,
    pub(crate) bytes: Vec<u8>,
}

/// What the network does to a datagram: the copies that arrive, each after a delay.
pub(crate) type Network<'a> = Box<dyn FnMut(&Sent) -> Vec<(Duration, Vec<u8>)> + 'a>;

pub(crate) struct Pair<'a> {
    pub(crate) client: Dtls,
    pub(crate) server: Dtls,
    pub(crate) client_reports: Reports,
    pub(crate) server_reports: Reports,
    pub(crate) now: Timestamp,
    pub(crate) log: Vec<Sent>,
    flying: BTreeMap<(Timestamp, usize), (End, Vec<u8>)>,
    serial: usize,
    network: Network<'a>,
}

pub(crate) fn faithful() -> Network<'static> {
    Box::new(|sent| vec![(LATENCY, sent.bytes.clone())])
}

impl<'a> Pair<'a> {
    pub(crate) fn new(
        client: &DtlsIdentity,
        versions: DtlsVersions,
        server: &DtlsIdentity,
        network: Network<'a>,
    ) -> Self {
        Self::expecting(client, versions, fingerprints_of(server), server, fingerprints_of(client), network)
    }

    pub(crate) fn expecting(
        client: &DtlsIdentity,
        versions: DtlsVersions,
        client_expects: Vec<Fingerprint>,
        server: &DtlsIdentity,
        server_expects: Vec<Fingerprint>,
        network: Network<'a>,
    ) -> Self {
        let now = Timestamp::from_millis(1_000);
        let client = Dtls::new_client(client, versions, client_expects, now);
        Self::between(client, Dtls::new(server, DtlsRole::Server, server_expects, now), network)
    }

    /// The node in both roles: a client that offers DTLS 1.2.
    pub(crate) fn of_nodes(client: &DtlsIdentity, server: &DtlsIdentity, network: Network<'a>) -> Self {
        let now = Timestamp::from_millis(1_000);
        let (client, server) = (
            Dtls::new(client, DtlsRole::Client, fingerprints_of(server), now),
            Dtls::new(server, DtlsRole::Server, fingerprints_of(client), now),
        );
        Self::between(client, server, network)
    }

    fn between(client: Dtls, server: Dtls, network: Network<'a>) -> Self {
        let mut pair = Self {
            client,
            server,
            client_reports: Reports::default(),
            server_reports: Reports::default(),
            now: Timestamp::from_millis(1_000),
            log: Vec::new(),
            flying: BTreeMap::new(),
            serial: 0,
            network,
        };
        pair.drain();
        pair
    }

    pub(crate) fn drain(&mut self) {
        for end in [End::Client, End::Server] {
            let mut out = [0; 1_500];
            loop {
                let (dtls, reports) = match end {
                    End::Client => (&mut self.client, &mut self.client_reports),
                    End::Server => (&mut self.server, &mut self.server_reports),
                };
                match dtls.poll(&mut out) {
                    None => break,
                    Some(DtlsEvent::Datagram(len)) => {
                        assert!(len <= corecast::limits::DTLS_DATAGRAM_OUT_BYTES_MAX, "{len} bytes");
                        let number = self.log.iter().filter(|sent| sent.from == end).count();
                        let sent = Sent { from: end, number, bytes: out[..len].to_vec() };
                        for (delay, bytes) in (self.network)(&sent) {
                            let to = if end == End::Client { End::Server } else { End::Client };
                            self.deliver_at(self.now + delay, to, bytes);
                        }
                        self.log.push(sent);
                    }
                    Some(DtlsEvent::Connected(keys)) => {
                        assert!(reports.keys.is_none(), "connected twice");
                        reports.keys = Some(keys);
                        reports.connected_at = Some(self.now);
                    }
                    Some(DtlsEvent::Failed(error)) => {
                        assert!(reports.failed.is_none(), "failed twice");
                        reports.failed = Some(error);
                    }
                    Some(DtlsEvent::Closed) => reports.closed = true,
                    Some(DtlsEvent::ApplicationData(data)) => {
                        assert!(reports.keys.is_some(), "data before the peer was verified");
                        reports.data.push(data.into_vec());
                    }
                }
            }
        }
    }

    pub(crate) fn deliver_at(&mut self, at: Timestamp, to: End, bytes: Vec<u8>) {
        self.serial += 1;
        self.flying.insert((at, self.serial), (to, bytes));
    }

    /// Advances to the next arrival or deadline, at most to `until`; `false` when there is none before.
    pub(crate) fn step(&mut self, until: Timestamp) -> bool {
        let arrival = self.flying.keys().next().map(|key| key.0);
        let next = [arrival, self.client.next_deadline(), self.server.next_deadline()].into_iter().flatten().min();
        let Some(next) = next.filter(|&next| next <= until) else {
            self.now = until;
            return false;
        };
        self.now = self.now.max(next);
        match self.flying.first_entry().filter(|entry| entry.key().0 <= self.now) {
            Some(entry) => match entry.remove() {
                (End::Client, bytes) => self.client.handle_datagram(&bytes, self.now),
                (End::Server, bytes) => self.server.handle_datagram(&bytes, self.now),
            },
            None => {
                self.client.handle_timeout(self.now);
                self.server.handle_timeout(self.now);
            }
        }
        self.drain();
        true
    }

    pub(crate) fn run(&mut self, duration: Duration) {
        let until = self.now + duration;
        let mut steps = 0;
        while self.step(until) {
            steps += 1;
            assert!(
                steps < 20_000,
                "the pair spins at {:?}: client {:?} due {:?}, server {:?} due {:?}, {} datagrams flying",
                self.now,
                self.client,
                self.client.next_deadline(),
                self.server,
                self.server.next_deadline(),
                self.flying.len()
            );
        }
    }

    /// Both ends connected with the same keys.
    #[track_caller]
    pub(crate) fn assert_connected(&self, what: &str) -> (&ExportedKeys, &ExportedKeys) {
        let reports = (&self.client_reports, &self.server_reports);
        let (Some(client), Some(server)) = (&reports.0.keys, &reports.1.keys) else {
            panic!("{what}: {reports:?}, datagrams: {:?}", summary(&self.log))
        };
        assert_eq!(client.material(), server.material(), "{what}");
        assert_eq!(client.profile(), server.profile(), "{what}");
        assert!(client.is_client() && !server.is_client());
        assert!(client.material().iter().any(|&byte| byte != 0));
        (client, server)
    }
}

pub(crate) fn summary(log: &[Sent]) -> Vec<(End, usize, usize)> {
    log.iter().map(|sent| (sent.from, sent.number, sent.bytes.len())).collect()
}
