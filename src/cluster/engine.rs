//! What is asked of an engine: keys with values and leases, one count of revisions over all of them, and a watch.
//!
//! The shape is etcd's, because that is the engine there is. It is an interface so that a test can put a model in its place which is
//! late, loses answers and revokes leases (`model`).

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;

/// The count of changes that the engine has seen. Of two, the higher is the later one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// A lease: the keys that were put under it go when it is not renewed in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lease(pub i64);

/// A key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub key: String,
    /// What it says.
    pub value: Vec<u8>,
    /// When it was put last.
    pub modified: Revision,
}

/// What has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A key has this value now.
    Put(Entry),
    /// A key is gone.
    Deleted {
        /// Which one.
        key: String,
        /// Since when.
        at: Revision,
    },
}

/// Why the engine did not do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineError {
    /// No answer, or one that says to try again. Whether it was done is not known.
    Unavailable(String),
    /// The lease has run out, or was revoked.
    LeaseGone,
    /// What is asked for is so old that it was forgotten: take a new snapshot.
    Compacted,
    /// It refuses, and will again: the text says why.
    Refused(String),
}

/// A transaction's answer: the key was put, or this was there.
pub type Put = Result<Revision, Entry>;

/// An answer that comes later.
pub type Answer<'a, T> = LocalBoxFuture<'a, Result<T, EngineError>>;

/// All keys that begin with a prefix, as they were together at one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// In the order of their names.
    pub entries: Vec<Entry>,
    /// When.
    pub at: Revision,
}

/// An engine. Every method asks once, at one member, and bounds its time.
pub trait Engine {
    /// A new lease.
    fn grant(&self, lasts: Duration) -> Answer<'_, Lease>;

    /// Renews a lease.
    fn renew(&self, lease: Lease) -> Answer<'_, ()>;

    /// Ends a lease, and removes its keys.
    fn revoke(&self, lease: Lease) -> Answer<'_, ()>;

    /// Puts a key, whatever it was.
    fn put<'a>(&'a self, key: &'a str, value: Vec<u8>, lease: Lease) -> Answer<'a, Revision>;

    /// Puts a key that is not there; otherwise says what is.
    fn create<'a>(&'a self, key: &'a str, value: Vec<u8>, lease: Lease) -> Answer<'a, Put>;

    /// Puts a key that was put last at that revision; otherwise says what is there, or nothing where nothing is.
    fn replace<'a>(
        &'a self,
        key: &'a str,
        modified: Revision,
        value: Vec<u8>,
        lease: Lease,
    ) -> Answer<'a, Result<Revision, Option<Entry>>>;

    /// Removes a key that was put last at that revision. Whether it was.
    fn delete<'a>(&'a self, key: &'a str, modified: Revision) -> Answer<'a, bool>;

    /// All keys that begin with this.
    fn snapshot<'a>(&'a self, prefix: &'a str) -> Answer<'a, Snapshot>;

    /// What changes of them from that revision on.
    fn watch<'a>(&'a self, prefix: &'a str, from: Revision) -> Answer<'a, Box<dyn Watch>>;

    /// Whoever was asked last is not to be asked next: it does not tell what it should.
    fn distrust(&self);

    /// Whom it asks, for people.
    fn asked(&self) -> String;
}

/// A watch.
pub trait Watch {
    /// The next changes, in their order. An empty list says that nothing has changed so far.
    fn next(&mut self) -> Answer<'_, Vec<Change>>;
}

/// Makes the engine on the thread that uses it.
pub type MakeEngine = Box<dyn FnOnce() -> Rc<dyn Engine> + Send>;

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(why) => f.write_str(why),
            Self::LeaseGone => f.write_str("the lease has ended"),
            Self::Compacted => f.write_str("it has forgotten what is asked for"),
            Self::Refused(why) => write!(f, "it refuses: {why}"),
        }
    }
}

impl std::error::Error for EngineError {}
