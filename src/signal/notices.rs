//! What the workers tell, in their order, taken to where it is dealt with.

use std::rc::Rc;

use super::lifecycle::Lifecycle;
use crate::worker::mailbox::Notice;

/// Takes what the workers tell, until the last one is gone.
pub(super) async fn hear(lifecycle: Rc<Lifecycle>, notices: flume::Receiver<Notice>) {
    while let Ok(notice) = notices.recv_async().await {
        take(&lifecycle, notice);
    }
}

fn take(lifecycle: &Lifecycle, notice: Notice) {
    match notice {
        Notice::Opened { session, worker } => lifecycle.served(session, worker),
        Notice::Refused { session, why } => lifecycle.refused(session, why),
        Notice::Connected { session } => {
            tracing::info!(session = session.0, "session connected");
            lifecycle.connected(session);
        }
        Notice::Moved { session } => lifecycle.moved(session),
        Notice::Ended { session, reason, totals } => lifecycle.ended(session, reason, totals),
        Notice::NothingFits { session, published } => {
            lifecycle.nothing_fits(session, &published);
            tracing::warn!(
                session = session.0,
                published,
                "viewer negotiated nothing that fits what is published: it gets no media of that kind"
            );
        }
    }
}
