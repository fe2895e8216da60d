//! Streams that other nodes publish: what signalling asks of a cluster, and what it is told.
//!
//! Only a node of a cluster has this. Who it asks, and how the stream comes here, is for [`crate::cluster`].

use super::stream_name::StreamName;

/// What becomes of streams of other nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// A stream comes from another node from now on.
    Comes(StreamName),
    /// It does so no more.
    Gone(StreamName),
    /// Another node is sent a stream, which comes from here or through here.
    Listens(StreamName),
    /// No other node is any more.
    ListensNoMore(StreamName),
}

/// Fetches streams from other nodes. There is one value per node, on the signalling thread.
pub trait Fetch {
    /// Somebody here wants a stream that nobody publishes here; or nobody does any more.
    fn wants(&self, name: &StreamName, is_wanted: bool);

    /// What becomes of it.
    fn news(&self) -> flume::Receiver<Fetched>;
}
