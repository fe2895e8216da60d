//! What the operator is shown of the node itself.

use std::net::IpAddr;

use super::sealing_cost::SealingCost;

/// What the operator sees of the node itself.
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
    /// The addresses in candidates.
    pub announce: Vec<IpAddr>,
    /// What sealing alone costs here, as it was measured at the start.
    pub sealing: SealingCost,
}
