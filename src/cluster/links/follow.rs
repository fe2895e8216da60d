//! A stream that is fetched from another node, as long as somebody here wants it.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::{Either, select};
use hyper::{Request, StatusCode};

use super::Shared;
use super::agreement::{Agreed, NotAgreed, PATH, Refused, Wanted, keys};
use super::plan;
use crate::cluster::channel::ChannelError;
use crate::cluster::host;
use crate::config::host_port::HostPort;
use crate::limits;
use crate::net::clock;
use crate::placement;
use crate::signal::fetched::Fetched;
use crate::signal::ownership::Epoch;
use crate::signal::runtime;
use crate::signal::stream_name::StreamName;
use crate::worker::links::mailbox::{LinkControl, LinkNotice, OpenLink};
use crate::worker::links::packet::Handle;

/// A stream that is fetched.
pub(super) struct Followed {
    is_wanted: Cell<bool>,
    /// Wakes its task.
    wake: flume::Sender<()>,
    /// The epoch and the nodes by which it comes, while it does.
    comes_by: RefCell<Option<(u64, Vec<String>)>>,
}

impl Followed {
    /// One that is wanted, and what wakes its task.
    pub(super) fn new() -> (Rc<Self>, flume::Receiver<()>) {
        let (wake, woken) = flume::bounded(1);
        (Rc::new(Self { is_wanted: Cell::new(true), wake, comes_by: RefCell::default() }), woken)
    }

    /// Somebody here wants it, or nobody does.
    pub(super) fn wants(&self, is_wanted: bool) {
        self.is_wanted.set(is_wanted);
        let _ = self.wake.try_send(());
    }

    /// The epoch and the nodes by which it comes, while it does.
    pub(super) fn comes_by(&self) -> Option<(u64, Vec<String>)> {
        self.comes_by.borrow().clone()
    }
}

/// Why a link was not made.
#[derive(Debug)]
enum NotLinked {
    Channel(ChannelError),
    Refused(StatusCode, Option<Refused>),
    Stale { theirs: u64, known: Epoch },
    Loop,
    Address(String),
    Silent,
    Full,
}

impl NotLinked {
    /// The other node has not got the stream.
    fn is_not_here(&self) -> bool {
        matches!(self, Self::Refused(_, Some(Refused { why: NotAgreed::NotHere })))
    }
}

impl fmt::Display for NotLinked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Channel(error) => error.fmt(f),
            Self::Refused(_, Some(refused)) => f.write_str(refused.why.words()),
            Self::Refused(status, None) => write!(f, "it answers {status}"),
            Self::Stale { theirs, known } => {
                write!(f, "it publishes under epoch {theirs}, and another node does under {}", known.0)
            }
            Self::Loop => f.write_str("it has the stream by way of this node"),
            Self::Address(why) => write!(f, "its address cannot be used: {why}"),
            Self::Silent => f.write_str("nothing comes from its cluster.listen by UDP: is the port open?"),
            Self::Full => f.write_str("this node has as many links as it may"),
        }
    }
}

/// A link that is there.
struct Link {
    handle: Handle,
    node: String,
    epoch: Epoch,
    notices: flume::Receiver<LinkNotice>,
}

/// A stream that is fetched, as its task knows it.
struct Fetching {
    shared: Rc<Shared>,
    name: StreamName,
    followed: Rc<Followed>,
    link: Option<Link>,
    /// Over which nothing comes while the other one is there.
    standby: Option<Link>,
    comes: bool,
    lost_since: Option<Instant>,
    pause: Duration,
}

/// Fetches a stream until nobody has wanted it for [`limits::LINK_LINGER`].
pub(super) async fn follow(shared: Rc<Shared>, name: StreamName, followed: Rc<Followed>, woken: flume::Receiver<()>) {
    shared.registry.wake_when_changed(&name, followed.wake.clone());
    let pause = limits::LINK_TRY_AGAIN_MIN;
    let mut fetching =
        Fetching { shared, name, followed, link: None, standby: None, comes: false, lost_since: None, pause };
    let mut unwanted_since = None::<Instant>;
    loop {
        let now = clock::now();
        if fetching.followed.is_wanted.get() {
            unwanted_since = None;
        } else if now.saturating_duration_since(*unwanted_since.get_or_insert(now)) >= limits::LINK_LINGER {
            fetching.let_go().await;
            // Nobody has wanted it meanwhile; and from here on nothing is waited for.
            if !fetching.followed.is_wanted.get() {
                break;
            }
            continue;
        }
        let lingers =
            unwanted_since.map(|since| limits::LINK_LINGER.saturating_sub(now.saturating_duration_since(since)));
        let again = fetching.look(now).await;
        let wait = [lingers, again].into_iter().flatten().min();
        let why = something_happened(&woken, [fetching.link.as_ref(), fetching.standby.as_ref()], wait).await;
        fetching.lost(why);
    }
    fetching.shared.registry.wake_no_more(&fetching.name);
    fetching.shared.followed.borrow_mut().remove(&fetching.name);
}

impl Fetching {
    /// Makes what is there what the directory says. After how long to look again, if it is not.
    async fn look(&mut self, now: Instant) -> Option<Duration> {
        let Some((owner, epoch)) = self.shared.registry.owner_elsewhere(&self.name) else {
            // A lease that is lost stops no media: a link ends when its parent says so, or falls silent.
            if self.link.is_none() || self.shared.registry.owned_here(&self.name).is_some() {
                self.let_go().await;
            }
            return None;
        };
        if self.link.as_ref().is_some_and(|link| link.epoch == epoch) {
            return None;
        }
        let mut why = None;
        let parents = plan::parents(&self.shared.registry, &self.name, &owner);
        for (place, node) in parents.iter().enumerate() {
            match open(&self.shared, &self.name, node, epoch).await {
                Ok((opened, agreed)) => {
                    self.came(opened, agreed).await;
                    // The last one is the origin, which has all that the others have.
                    let standby = parents.last().filter(|_| place + 1 < parents.len());
                    if let Some(node) = standby {
                        self.stand_by(node, epoch).await;
                    }
                    return None;
                }
                Err(error) => {
                    // Once, and then for who looks closer. A publisher that has just left is in the directory for a moment.
                    let loud = if error.is_not_here() { 4 } else { 1 } * limits::LINK_TRY_AGAIN_MIN;
                    if self.pause == loud {
                        tracing::warn!(stream = %self.name, node, why = %error, "a stream of another node does not come");
                    } else {
                        tracing::debug!(stream = %self.name, node, why = %error, "it still does not come");
                    }
                    why = Some(error);
                }
            }
        }
        if self.link.is_none() && why.is_some() {
            let since = *self.lost_since.get_or_insert(now);
            if now.saturating_duration_since(since) >= limits::LINK_LOST_MAX {
                self.gone();
            }
        }
        let pause = self.pause;
        self.pause = (2 * pause).min(limits::LINK_TRY_AGAIN_MAX);
        Some(pause)
    }

    async fn came(&mut self, opened: Link, agreed: Agreed) {
        tracing::info!(stream = %self.name, node = opened.node, epoch = opened.epoch.0, "this stream comes from another node");
        *self.followed.comes_by.borrow_mut() = Some((agreed.epoch, agreed.path));
        for before in [self.link.replace(opened), self.standby.take()].into_iter().flatten() {
            close(&self.shared, before.handle).await;
        }
        // Also where it came before: whoever began to listen while there was no link is routed anew.
        self.comes = true;
        self.shared.tell(Fetched::Comes(self.name.clone()));
        (self.lost_since, self.pause) = (None, limits::LINK_TRY_AGAIN_MIN);
    }

    async fn stand_by(&mut self, node: &str, epoch: Epoch) {
        match open(&self.shared, &self.name, node, epoch).await {
            Ok((opened, _)) => self.standby = Some(opened),
            Err(why) => tracing::debug!(stream = %self.name, node, %why, "there is no second link"),
        }
    }

    /// Links that are over; the second takes the first one's place.
    fn lost(&mut self, [link, standby]: [Option<&'static str>; 2]) {
        if let Some(why) = standby {
            tracing::debug!(stream = %self.name, why, "the second link is lost");
            self.forget(|fetching| fetching.standby.take());
        }
        if let Some(why) = link {
            tracing::warn!(stream = %self.name, why, "a link is lost");
            self.forget(|fetching| fetching.link.take());
            self.link = self.standby.take();
            if let (Some(link), Some(comes_by)) = (&self.link, self.followed.comes_by.borrow_mut().as_mut()) {
                comes_by.1 = vec![link.node.clone()];
            }
        }
    }

    fn forget(&mut self, take: impl FnOnce(&mut Self) -> Option<Link>) {
        if let Some(link) = take(self) {
            self.shared.parents.borrow_mut().remove(&link.handle);
        }
    }

    async fn let_go(&mut self) {
        for before in [self.link.take(), self.standby.take()].into_iter().flatten() {
            close(&self.shared, before.handle).await;
        }
        self.gone();
        (self.lost_since, self.pause) = (None, limits::LINK_TRY_AGAIN_MIN);
    }

    fn gone(&mut self) {
        self.followed.comes_by.borrow_mut().take();
        if std::mem::replace(&mut self.comes, false) {
            self.shared.tell(Fetched::Gone(self.name.clone()));
        }
    }
}

/// Waits until there is something to look at. Why each of the links is over, if it is.
async fn something_happened(
    woken: &flume::Receiver<()>,
    [link, standby]: [Option<&Link>; 2],
    wait: Option<Duration>,
) -> [Option<&'static str>; 2] {
    let looked = async {
        match wait {
            Some(wait) => _ = runtime::timeout(wait, woken.recv_async()).await,
            None => _ = woken.recv_async().await,
        }
    };
    let of_link = select(Box::pin(ended(link)), Box::pin(ended(standby)));
    match select(Box::pin(looked), of_link).await {
        Either::Left(_) => [None, None],
        Either::Right((Either::Left((why, _)), _)) => [Some(why), None],
        Either::Right((Either::Right((why, _)), _)) => [None, Some(why)],
    }
}

/// Why a link is over, when it is. Without one, never.
async fn ended(link: Option<&Link>) -> &'static str {
    let Some(link) = link else { return std::future::pending().await };
    loop {
        match link.notices.recv_async().await {
            Ok(LinkNotice::Heard(_)) => {}
            Ok(LinkNotice::Ended(_, why)) => return why.name(),
            Err(flume::RecvError::Disconnected) => return "closed",
        }
    }
}

async fn close(shared: &Shared, handle: Handle) {
    shared.parents.borrow_mut().remove(&handle);
    shared.worker.send(LinkControl::Close(handle)).await;
}

/// Agrees on a link, and waits until something comes over it.
async fn open(shared: &Shared, name: &StreamName, node: &str, epoch: Epoch) -> Result<(Link, Agreed), NotLinked> {
    let handle = shared.new_handle().ok_or(NotLinked::Full)?;
    let wanted = Wanted { stream: name.to_string(), handle: handle.0, epoch: epoch.0 };
    let body = Bytes::from(serde_json::to_vec(&wanted).unwrap_or_default());
    let request = Request::post(PATH).body(body).map_err(|error| NotLinked::Address(error.to_string()))?;
    let answer =
        shared.channels.ask_within(limits::LINK_ASK_TIME_MAX, node, request).await.map_err(NotLinked::Channel)?;
    let (status, body) = (answer.response.status(), answer.response.body());
    let agreed: Agreed = match serde_json::from_slice(body) {
        Ok(agreed) if status == StatusCode::OK => agreed,
        _ => return Err(NotLinked::Refused(status, serde_json::from_slice(body).ok())),
    };
    if agreed.epoch < epoch.0 {
        return Err(NotLinked::Stale { theirs: agreed.epoch, known: epoch });
    }
    if agreed.path.contains(&shared.registry.me().name) {
        return Err(NotLinked::Loop);
    }
    let remote = Handle(agreed.handle);
    let keys = keys(&answer.secret, handle, remote, true).ok_or(NotLinked::Full)?;
    let place = shared.registry.with_replica(|replica| replica.node(node).and_then(|node| node.channel.clone()));
    let place = place.ok_or(NotLinked::Channel(ChannelError::UnknownNode))?;
    let place = HostPort::parse(&place).map_err(|error| NotLinked::Address(error.to_string()))?;
    let resolving = runtime::timeout(limits::LINK_ASK_TIME_MAX, host::address_of(place.host(), place.port())).await;
    let address = resolving.ok_or_else(|| NotLinked::Address("its name is not resolved in time".to_owned()))?;
    let address = address.map_err(|error| NotLinked::Address(error.to_string()))?;
    let open = OpenLink {
        handle,
        remote,
        node: node.to_owned(),
        stream: placement::stream_id(name.as_str()),
        stream_name: name.to_string(),
        keys,
    };
    let (sender, notices) = flume::bounded(4);
    shared.parents.borrow_mut().insert(handle, sender);
    shared.worker.send(LinkControl::Parent(Box::new(open), address)).await;
    match runtime::timeout(limits::LINK_HEARD_TIME_MAX, notices.recv_async()).await {
        Some(Ok(LinkNotice::Heard(_))) => Ok((Link { handle, node: node.to_owned(), epoch, notices }, agreed)),
        Some(Ok(LinkNotice::Ended(..)) | Err(flume::RecvError::Disconnected)) => {
            shared.parents.borrow_mut().remove(&handle);
            Err(NotLinked::Full)
        }
        None => {
            close(shared, handle).await;
            Err(NotLinked::Silent)
        }
    }
}
