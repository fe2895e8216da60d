//! What is asked of the directory: which nodes there are, and where.

use crate::cluster::registry::Registry;
use crate::cluster::replica::Replica;

/// A node, as the directory has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Another text with each start of its process.
    pub boot: String,
    /// Its region.
    pub region: String,
    /// Where its connections are taken, as host:port; `None` where it takes none.
    pub channel: Option<String>,
}

/// The directory.
pub trait Directory {
    /// A node, by its name.
    fn listed(&self, node: &str) -> Option<Listed>;

    /// Whether it was ever told what there is.
    fn is_known(&self) -> bool;
}

impl Directory for Registry {
    fn listed(&self, node: &str) -> Option<Listed> {
        self.with_replica(|replica| {
            let node = replica.node(node)?;
            let (boot, region, channel) = (node.boot.clone(), node.region.clone(), node.channel.clone());
            Some(Listed { boot, region, channel })
        })
    }

    fn is_known(&self) -> bool {
        self.with_replica(Replica::is_known)
    }
}
