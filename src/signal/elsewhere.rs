//! Sessions of other nodes: what signalling asks of a cluster, so that a session's URL works at every node.
//!
//! The last segment of a session's URL names the node that has it, before the token: `/whep/demo/edge-1~TOKEN`. A `~` is in neither
//! (RFC 3986 §2.3 leaves it alone in a path). What is asked of a session that another node has goes to that node, by the cluster's
//! channel, and runs there as if its client had asked there: the URL is what proves whose the session is, on any node.

use std::rc::Weak;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use hyper::{Request, Response};

/// What separates a node's name from a token.
const SEPARATOR: char = '~';

/// Why another node was not asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotAsked {
    /// There is no such node, or it takes no questions.
    Unknown,
    /// It does not answer. The text says why, for logs.
    Silent(String),
}

/// The other nodes.
pub trait Elsewhere {
    /// This node's name.
    fn here(&self) -> &str;

    /// Asks a node, in at most so much time. The request's URI is its path.
    fn ask<'a>(
        &'a self,
        node: &'a str,
        request: Request<Bytes>,
        within: Duration,
    ) -> LocalBoxFuture<'a, Result<Response<Bytes>, NotAsked>>;

    /// Has what other nodes ask answered.
    fn serve(&self, answers: Weak<dyn FromElsewhere>);
}

/// Answers what other nodes ask.
pub trait FromElsewhere {
    /// Answers a request that a client made to another node. The URI is its path, as the client asked for it.
    fn answer(self: std::rc::Rc<Self>, request: Request<Bytes>) -> LocalBoxFuture<'static, Response<Bytes>>;
}

/// The last segment of a session's URL, of a node in a cluster.
pub(super) fn tagged(node: &str, token: &str) -> String {
    format!("{node}{SEPARATOR}{token}")
}

/// The node that such a segment names, and the token. `None` for the token of a node that is alone.
pub(super) fn parts(segment: &str) -> Option<(&str, &str)> {
    // Some libraries encode what need not be.
    segment.split_once(SEPARATOR).or_else(|| segment.split_once("%7E")).or_else(|| segment.split_once("%7e"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::random;

    #[test]
    fn a_node_and_a_token_are_read_as_they_were_put_together() {
        let token = random::token();
        assert_eq!(parts(&tagged("edge-1.a_b", &token)), Some(("edge-1.a_b", token.as_str())));
        assert_eq!((parts(&token), parts("a%7Eb"), parts("a%7eb")), (None, Some(("a", "b")), Some(("a", "b"))));
        // A node that nobody is called.
        assert_eq!((parts("~x"), parts("a~b~c")), (Some(("", "x")), Some(("a", "b~c"))));
    }
}
