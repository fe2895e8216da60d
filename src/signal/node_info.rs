//! What `/api/v1/node` and metrics show about the node itself.

use super::sealing_cost::SealingCost;

/// The facts about a node that an operator sees.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct NodeInfo {
    /// The package's version.
    pub version: &'static str,
    /// The commit.
    pub commit: &'static str,
    /// The cargo features.
    pub features: &'static str,
    /// The I/O backend in use.
    pub io: &'static str,
    /// The workers' cores.
    pub cores: Vec<u16>,
    /// The addresses that are put into candidates.
    pub announce: Vec<String>,
    /// The cost of sealing alone on this machine, measured at the start.
    pub sealing: SealingCost,
}
