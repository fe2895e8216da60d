//! Load threads: each drives a fleet of clients and reports twice a second what it measured.

use std::sync::Arc;
use std::time::Duration;

use corecast::crypto::random::Random as _;
use corecast::crypto::random::SystemRandom;
use corecast::dtls::DtlsIdentity;
use corecast::lab::link::behind::Behind;
use corecast::lab::link::script::Script;
use corecast::lab::peer::fleet::{Agent, Fleet};
use corecast::lab::peer::publisher::{Publisher, PublisherConfig};
use corecast::lab::peer::record::LoadRecord;
use corecast::lab::peer::viewer::{Viewer, ViewerConfig};
use corecast::lab::peer::{ClientPeer, PeerConfig};
use corecast::net::lab::fleet_sockets::{FleetCounters, FleetSocket};
use corecast::net::{self, StartError, Waker, process};
use corecast::time::Timestamp;
use corecast::transport::TrainBatch;

use crate::handovers::Handovers;

/// Time from one account of a load thread to the next.
pub(crate) const ACCOUNT_INTERVAL: Duration = Duration::from_millis(500);

/// A client that is about to begin.
pub(crate) struct NewClient {
    pub(crate) socket: FleetSocket,
    pub(crate) peer: PeerConfig,
    pub(crate) kind: NewKind,
    /// The link it lives behind.
    pub(crate) link: Option<Arc<Script>>,
    /// Which viewer it is, of all of the test.
    pub(crate) viewer: Option<u32>,
    /// It is the second transport of that viewer's session.
    pub(crate) is_second: bool,
}

/// Whether the client publishes or plays.
pub(crate) enum NewKind {
    Viewer(ViewerConfig),
    Publisher(Box<PublisherConfig>),
}

/// A command to a load thread.
pub(crate) enum LoadCommand {
    Add(Box<NewClient>),
    /// Publishers send no new media; retransmissions and reports go on.
    StopPublishing,
    /// All clients say goodbye, and the thread ends with a last account.
    End,
}

/// An account: what a load thread reports.
pub(crate) struct Account {
    pub(crate) thread: usize,
    /// Measured since the last account.
    pub(crate) record: Box<LoadRecord>,
    /// CPU time since the last account, and how long that was.
    pub(crate) cpu: Duration,
    pub(crate) wall: Duration,
    pub(crate) counters: FleetCounters,
    /// Of the present clients: connected viewers, and viewers that have a complete key frame.
    pub(crate) viewers_connected: u32,
    pub(crate) viewers_with_picture: u32,
    /// Viewers whose second transport plays: the server is to end the first one.
    pub(crate) ready: Vec<u32>,
    /// The thread has ended; the reason if it was an error.
    pub(crate) ended: Option<Option<String>>,
}

pub(crate) enum Client {
    Viewer(Box<Viewer>),
    Linked(Box<Behind<Viewer>>),
    Publisher(Box<Publisher>),
}

impl Agent for Client {
    fn handle_datagram(
        &mut self,
        bytes: &mut [u8],
        received: Timestamp,
        out: &mut TrainBatch,
        record: &mut LoadRecord,
    ) {
        match self {
            Self::Viewer(viewer) => viewer.handle_datagram(bytes, received, out, record),
            Self::Linked(viewer) => viewer.handle_datagram(bytes, received, out, record),
            Self::Publisher(publisher) => publisher.handle_datagram(bytes, received, out, record),
        }
    }

    fn handle_timeout(&mut self, now: Timestamp, out: &mut TrainBatch, record: &mut LoadRecord) {
        match self {
            Self::Viewer(viewer) => viewer.handle_timeout(now, out, record),
            Self::Linked(viewer) => viewer.handle_timeout(now, out, record),
            Self::Publisher(publisher) => publisher.handle_timeout(now, out, record),
        }
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        match self {
            Self::Viewer(viewer) => viewer.next_deadline(),
            Self::Linked(viewer) => viewer.next_deadline(),
            Self::Publisher(publisher) => publisher.next_deadline(),
        }
    }

    fn leave(&mut self, now: Timestamp, out: &mut TrainBatch) {
        match self {
            Self::Viewer(viewer) => viewer.leave(now, out),
            Self::Linked(viewer) => viewer.leave(now, out),
            Self::Publisher(publisher) => publisher.leave(now, out),
        }
    }
}

impl Client {
    fn viewer(&self) -> Option<&Viewer> {
        match self {
            Self::Viewer(viewer) => Some(viewer),
            Self::Linked(viewer) => Some(viewer.agent()),
            Self::Publisher(_) => None,
        }
    }

    /// A viewer that lives behind no link.
    pub(crate) fn viewer_mut(&mut self) -> Option<&mut Viewer> {
        match self {
            Self::Viewer(viewer) => Some(viewer),
            Self::Linked(_) | Self::Publisher(_) => None,
        }
    }

    /// A viewer that is not the second transport of another one.
    fn counted(&self) -> Option<&Viewer> {
        self.viewer().filter(|viewer| !viewer.is_second())
    }
}

/// A load thread's mailbox.
#[derive(Clone)]
pub(crate) struct LoadThread {
    commands: flume::Sender<LoadCommand>,
    waker: Waker,
}

impl LoadThread {
    /// Starts a thread for at most `clients` clients, on a core of its own where one is named.
    pub(crate) fn start(
        index: usize,
        name: &str,
        clients: u32,
        core: Option<u16>,
        identity: DtlsIdentity,
        accounts: flume::Sender<Account>,
    ) -> Result<Self, String> {
        let (commands, inbox) = flume::unbounded();
        let (started, begun) = flume::bounded(1);
        let run = move || {
            let opened = core
                .map_or(Ok(()), |core| process::pin_current_thread(&[core]))
                .map_err(|error| format!("--cores: core {}: {error}", core.unwrap_or(0)))
                .and_then(|()| Fleet::new(clients).map_err(|error: StartError| error.to_string()));
            match opened {
                Ok(fleet) => {
                    let _ = started.send(Ok(fleet.waker()));
                    Loop {
                        index,
                        fleet,
                        identity,
                        inbox,
                        accounts,
                        handovers: Handovers::default(),
                        taken: net::now(),
                        cpu: process::thread_cpu_time(),
                    }
                    .run();
                }
                Err(error) => drop(started.send(Err(error))),
            }
        };
        std::thread::Builder::new().name(name.to_owned()).spawn(run).map_err(|error| error.to_string())?;
        let waker = begun.recv().unwrap_or_else(|_| Err("a load thread did not start".to_owned()))?;
        Ok(Self { commands, waker })
    }

    pub(crate) fn tell(&self, command: LoadCommand) {
        // Fails only when the thread has ended, and its last account has reported that.
        let _ = self.commands.send(command);
        self.waker.wake();
    }
}

struct Loop {
    index: usize,
    fleet: Fleet<Client>,
    identity: DtlsIdentity,
    inbox: flume::Receiver<LoadCommand>,
    accounts: flume::Sender<Account>,
    handovers: Handovers,
    /// When the last account was made, and the thread's CPU time then.
    taken: Timestamp,
    cpu: Duration,
}

impl Loop {
    fn run(mut self) {
        let ended = loop {
            match self.commands() {
                Some(()) => {}
                None => break None,
            }
            let due = self.taken + ACCOUNT_INTERVAL;
            if let Err(error) = self.fleet.round(due) {
                break Some(format!("a load thread's ring broke: {error}"));
            }
            if net::now() >= due {
                self.account(None);
            }
        };
        let clients: Vec<u32> = self.fleet.agents().map(|(client, _)| client).collect();
        let (mut viewers, mut pictures) = (0, 0);
        for client in clients {
            if let Some(viewer) = self.fleet.remove(client).as_ref().and_then(Client::counted) {
                viewers += u32::from(viewer.is_connected());
                pictures += u32::from(viewer.has_picture());
            }
        }
        self.account(Some((ended, viewers, pictures)));
    }

    /// `None` when it is to end.
    fn commands(&mut self) -> Option<()> {
        while let Ok(command) = self.inbox.try_recv() {
            match command {
                LoadCommand::Add(client) => self.add(*client),
                LoadCommand::StopPublishing => {
                    let clients: Vec<u32> = self.fleet.agents().map(|(client, _)| client).collect();
                    for client in clients {
                        if let Some(Client::Publisher(publisher)) = self.fleet.agent_mut(client) {
                            publisher.stop();
                        }
                    }
                }
                LoadCommand::End => return None,
            }
        }
        Some(())
    }

    fn add(&mut self, new: NewClient) {
        let now = net::now();
        let peer = ClientPeer::new(&self.identity, new.peer, now);
        let client = match new.kind {
            NewKind::Viewer(config) => {
                let viewer = Viewer::new(peer, config, now);
                let viewer = if new.is_second { viewer.as_second() } else { viewer };
                match new.link {
                    Some(link) => Client::Linked(Box::new(Behind::new(viewer, &link, random(), now))),
                    None => Client::Viewer(Box::new(viewer)),
                }
            }
            NewKind::Publisher(config) => Client::Publisher(Box::new(Publisher::new(peer, *config, now))),
        };
        let Ok(client) = self.fleet.add(new.socket, client) else {
            self.fleet.record.counts.ended_early += 1;
            return;
        };
        match new.viewer {
            Some(viewer) if new.is_second => {
                let old = self.handovers.client(viewer);
                if let Some(old) = old.and_then(|old| self.fleet.agent_mut(old)).and_then(Client::viewer_mut) {
                    old.is_replaced();
                }
                self.handovers.begin(viewer, client, now);
            }
            Some(viewer) => self.handovers.add(viewer, client),
            None => {}
        }
    }

    fn account(&mut self, ended: Option<(Option<String>, u32, u32)>) {
        let (at, cpu) = (net::now(), process::thread_cpu_time());
        let (mut viewers_connected, mut viewers_with_picture) = (0, 0);
        for (_, client) in self.fleet.agents() {
            if let Some(viewer) = client.counted() {
                viewers_connected += u32::from(viewer.is_connected());
                viewers_with_picture += u32::from(viewer.has_picture());
            }
        }
        if let Some((_, connected, pictures)) = ended {
            (viewers_connected, viewers_with_picture) = (connected, pictures);
        }
        let ready = self.handovers.look(&mut self.fleet, at);
        let account = Account {
            thread: self.index,
            record: Box::new(self.fleet.take_record()),
            cpu: cpu.saturating_sub(self.cpu),
            wall: at.since(self.taken),
            counters: self.fleet.counters(),
            viewers_connected,
            viewers_with_picture,
            ready,
            ended: ended.map(|(error, ..)| error),
        };
        (self.taken, self.cpu) = (at, cpu);
        let _ = self.accounts.send(account);
    }
}

/// A random number from the system.
pub(crate) fn random() -> u64 {
    SystemRandom.u64()
}
