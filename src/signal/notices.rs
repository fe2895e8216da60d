//! Notices from the workers, and of streams of other nodes, passed to [`super::keeper`] in their order.

use std::rc::Rc;

use super::fetched::Fetched;
use super::keeper::SessionKeeper;
use crate::worker::mailbox::Notice;

/// Handles notices until the last worker is gone.
pub(super) async fn hear(keeper: Rc<SessionKeeper>, notices: flume::Receiver<Notice>) {
    while let Ok(notice) = notices.recv_async().await {
        take(&keeper, notice);
    }
}

fn take(keeper: &SessionKeeper, notice: Notice) {
    match notice {
        Notice::Opened { session, worker } => keeper.served(session, worker),
        Notice::Refused { session, why } => keeper.refused(session, why),
        Notice::Connected { session } => {
            tracing::info!(session = session.0, "session connected");
            keeper.connected(session);
        }
        Notice::Moved { session } => keeper.moved(session),
        Notice::KeysDue { session, is_first } => keeper.keys_due(session, is_first),
        Notice::Rekeyed { session, outcome } => keeper.rekeyed(session, outcome),
        Notice::Ended { session, reason, totals } => keeper.ended(session, reason, totals),
        Notice::NearestFits { session, published, sent_as } => {
            keeper.nearest_fits(session, &published, &sent_as);
            tracing::debug!(session = session.0, published, sent_as, "viewer is sent the nearest that it offered");
        }
        Notice::Layers { session, told } => keeper.layers(session, &told),
        Notice::PathTooNarrow { session } => {
            keeper.path_too_narrow(session);
            tracing::warn!(
                session = session.0,
                "viewer's network passes no full packet, and short ones do arrive: no picture can come there; look for a \
                 tunnel with an MTU below 1,280 on its way"
            );
        }
        Notice::Adapted { session, from, to, why } => match to {
            Some(to) => tracing::debug!(
                session = session.0,
                from = from.rid(),
                to = to.rid(),
                reason = why.name(),
                "viewer is sent another layer"
            ),
            None => tracing::info!(session = session.0, reason = why.name(), "viewer is sent sound only"),
        },
        Notice::NothingFits { session, published } => {
            keeper.nothing_fits(session, &published);
            tracing::warn!(
                session = session.0,
                published,
                "viewer negotiated nothing that fits what is published: it gets no media of that kind"
            );
        }
    }
}

/// Hears of streams of other nodes, as long as there is somebody who tells.
pub(super) async fn hear_fetched(keeper: Rc<SessionKeeper>, news: flume::Receiver<Fetched>) {
    while let Ok(news) = news.recv_async().await {
        match news {
            Fetched::Comes(name) => keeper.comes_by_link(&name, true),
            Fetched::Gone(name) => keeper.comes_by_link(&name, false),
            Fetched::Listens(name) => keeper.links_listen(&name, true),
            Fetched::ListensNoMore(name) => keeper.links_listen(&name, false),
        }
    }
}
