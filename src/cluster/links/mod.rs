//! Which links a node has with others: a stream that is wanted here and published elsewhere is fetched, and one that others want is sent.
//!
//! ```text
//!   signal/fetched ── wants ──▶ follow ── POST /links over the channel ──▶ serve ── Listens ──▶ signal/fetched
//!         ▲                         │                                         │
//!         └─────── Comes, Gone ─────┴──▶ worker/links ═══ media ═══ worker/links ◀┘
//! ```
//!
//! | File | Holds |
//! |---|---|
//! | [`agreement`] | what two nodes agree on for a link, and its keys |
//! | [`plan`] | whom to ask for a stream |
//! | [`follow`] | a stream that is fetched, from its first viewer until [`limits::LINK_LINGER`] after the last |
//! | [`serve`] | answers those who want a stream |
//!
//! # Rules
//!
//! - **Who owns the stream is asked**, as the directory says. Of two owners the one with the higher epoch is believed: a node whose epoch
//!   is lower than what is known here is not followed.
//! - **A stream that changes its node changes its link** and nothing else: the new one is there before the old one is let go of, and the
//!   viewers stay.
//! - **No node is in a path twice** when a link is made: who asks is known by its certificate, and each answer names all nodes up to the
//!   origin. A path that changes later is not told on; a circle that came of it would have no source, and who has none is silent.
//! - **Between regions a stream crosses once**: of each region one node has it from its origin, the others from that one. Theirs is
//!   a second link to the origin, over which no media comes until the first falls silent
//!   ([`limits::LINK_FAIL_OVER_SILENCE`]). Who went over stays with the origin until the stream has another owner.
//! - **A link that is lost is made anew.** The stream is gone only when nobody has it, or when it could not be had for
//!   [`limits::LINK_LOST_MAX`].

mod agreement;
mod follow;
mod plan;
mod serve;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use self::follow::Followed;
use super::channel::Channels;
use super::registry::Registry;
use crate::limits;
use crate::signal::fetched::{Fetch, Fetched};
use crate::signal::runtime::{self, Task};
use crate::signal::stream_name::StreamName;
use crate::worker::links::mailbox::{LinkControl, LinkNotice, LinksHandle};
use crate::worker::links::packet::Handle;
use crate::worker::links::report::LinkReport;

/// What the parts share.
struct Shared {
    registry: Rc<Registry>,
    channels: Rc<Channels>,
    worker: LinksHandle,
    news: flume::Sender<Fetched>,
    /// Links over which this node sends a stream, and to which node.
    children: RefCell<HashMap<Handle, (StreamName, String)>>,
    /// Links over which it is sent one, and who waits for what becomes of them.
    parents: RefCell<HashMap<Handle, flume::Sender<LinkNotice>>>,
    /// Streams that are fetched.
    followed: RefCell<HashMap<StreamName, Rc<Followed>>>,
    /// What the worker told of its links last.
    reports: RefCell<Vec<LinkReport>>,
}

/// This node's links. There is one value per node, on the signalling thread.
pub struct LinkKeeper {
    shared: Rc<Shared>,
    news: flume::Receiver<Fetched>,
    tasks: RefCell<HashMap<StreamName, Task>>,
    _tasks: [Task; 2],
}

impl LinkKeeper {
    /// Takes what other nodes ask, and what becomes of links.
    #[must_use]
    pub fn start(
        registry: Rc<Registry>,
        channels: Rc<Channels>,
        worker: LinksHandle,
        notices: flume::Receiver<LinkNotice>,
    ) -> Self {
        let (news, receiver) = flume::unbounded();
        let shared = Rc::new(Shared {
            registry,
            channels,
            worker,
            news,
            children: RefCell::default(),
            parents: RefCell::default(),
            followed: RefCell::default(),
            reports: RefCell::default(),
        });
        shared.channels.attach(agreement::PATH, Rc::new(serve::Serves(shared.clone())));
        let tasks = [runtime::spawn(hear(shared.clone(), notices)), runtime::spawn(look(shared.clone()))];
        Self { shared, news: receiver, tasks: RefCell::default(), _tasks: tasks }
    }

    /// What the worker told of its links a moment ago.
    #[must_use]
    pub fn report(&self) -> Vec<LinkReport> {
        self.shared.reports.borrow().clone()
    }
}

impl Fetch for LinkKeeper {
    fn wants(&self, name: &StreamName, is_wanted: bool) {
        let known = self.shared.followed.borrow().get(name).cloned();
        match known {
            Some(followed) => {
                // Who forgot the stream with its last viewer is told again that it comes.
                if is_wanted && followed.comes_by().is_some() {
                    self.shared.tell(Fetched::Comes(name.clone()));
                }
                followed.wants(is_wanted);
            }
            None if is_wanted => {
                let (followed, woken) = Followed::new();
                self.shared.followed.borrow_mut().insert(name.clone(), followed.clone());
                let task = runtime::spawn(follow::follow(self.shared.clone(), name.clone(), followed, woken));
                let mut tasks = self.tasks.borrow_mut();
                tasks.insert(name.clone(), task);
                // Those that have ended are swept now and then.
                if tasks.len() > 2 * self.shared.followed.borrow().len() + 64 {
                    tasks.retain(|name, _| self.shared.followed.borrow().contains_key(name));
                }
            }
            None => {}
        }
    }

    fn news(&self) -> flume::Receiver<Fetched> {
        self.news.clone()
    }
}

impl Shared {
    fn tell(&self, news: Fetched) {
        // Without signalling the node is ending.
        let _ = self.news.send(news);
    }

    /// A handle that no link of this node has.
    fn new_handle(&self) -> Option<Handle> {
        let is_free = |handle: &Handle| {
            handle.0 != 0 && !self.children.borrow().contains_key(handle) && !self.parents.borrow().contains_key(handle)
        };
        (0..64).map(|_| agreement::random_handle()).find(is_free)
    }

    /// How many nodes are sent a stream.
    fn children_of(&self, name: &StreamName) -> usize {
        self.children.borrow().values().filter(|(other, _)| other == name).count()
    }

    /// The links over which a node is sent a stream: one, unless it asks again.
    fn child_of(&self, name: &StreamName, node: &str) -> Vec<Handle> {
        let children = self.children.borrow();
        let is_it = |(other, of): &(StreamName, String)| other == name && of == node;
        children.iter().filter(|(_, child)| is_it(child)).map(|(handle, _)| *handle).collect()
    }

    /// A link over which a stream was sent is over.
    fn child_left(&self, handle: Handle) {
        let left = self.children.borrow_mut().remove(&handle);
        let Some((name, _)) = left else { return };
        if self.children_of(&name) == 0 {
            self.tell(Fetched::ListensNoMore(name));
        }
    }
}

async fn hear(shared: Rc<Shared>, notices: flume::Receiver<LinkNotice>) {
    while let Ok(notice) = notices.recv_async().await {
        let handle = match notice {
            LinkNotice::Heard(handle) => handle,
            LinkNotice::Ended(handle, why) => {
                if let Some((name, _)) = shared.children.borrow().get(&handle) {
                    tracing::debug!(stream = %name, why = why.name(), "a node is sent this stream no more");
                }
                shared.child_left(handle);
                handle
            }
        };
        if let Some(waits) = shared.parents.borrow().get(&handle) {
            let _ = waits.try_send(notice);
        }
    }
}

/// Keeps what is known of the links fresh, for reports.
async fn look(shared: Rc<Shared>) {
    loop {
        let (reply, answer) = flume::bounded(1);
        shared.worker.send(LinkControl::Report(reply)).await;
        if let Some(Ok(reports)) = runtime::timeout(limits::WORKER_REPLY_TIME_MAX, answer.recv_async()).await {
            *shared.reports.borrow_mut() = reports;
        }
        runtime::sleep(limits::LINK_LOOK_INTERVAL).await;
    }
}
