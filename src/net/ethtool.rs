//! The offloads, queues and ring sizes of a network interface, read from its driver by the `SIOCETHTOOL` request.
//! Nothing is changed here; `tuning/nic.sh` does that.
//!
//! Left out: everything else that the request can ask, and ethtool's netlink family, which reports no more about these.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use socket2::{Domain, Socket, Type};

use super::syscall::check;

// linux/sockios.h and linux/ethtool.h.
const SIOCETHTOOL: libc::c_ulong = 0x8946;
const GET_RINGS: u32 = 0x10;
const GET_STRINGS: u32 = 0x1b;
const GET_STRING_COUNTS: u32 = 0x37;
const GET_FEATURES: u32 = 0x3a;
const GET_CHANNELS: u32 = 0x3c;
/// `ETH_SS_FEATURES`: the set of the features' names.
const FEATURE_NAMES: u32 = 4;
/// `ETH_GSTRING_LEN`.
const NAME_BYTES: usize = 32;
/// Features of one interface; kernels know about 60. More: ignored.
const FEATURES_MAX: usize = 256;

/// One offload of an interface, by the kernel's name, as `tx-udp-segmentation`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// The kernel's name.
    pub name: String,
    /// In use.
    pub active: bool,
    /// Can be changed.
    pub changeable: bool,
}

/// A setting with its present value and its maximum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Setting {
    /// In use.
    pub now: u32,
    /// The largest the driver takes.
    pub max: u32,
}

/// A socket to send the requests through.
#[derive(Debug)]
pub struct Ethtool(OwnedFd);

impl Ethtool {
    /// Any datagram socket will do; this one sends nothing.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn open() -> io::Result<Self> {
        Ok(Self(Socket::new(Domain::IPV4, Type::DGRAM, None)?.into()))
    }

    /// The interface's offloads.
    ///
    /// # Errors
    /// `ENODEV`: there is no such interface. `EOPNOTSUPP`: its driver does not tell.
    pub fn features(&self, interface: &str) -> io::Result<Vec<Feature>> {
        // struct ethtool_sset_info: cmd, reserved, mask (64 bits), then one count per bit.
        let mut counts = [GET_STRING_COUNTS, 0, 1 << FEATURE_NAMES, 0, 0];
        self.ask(interface, &mut counts)?;
        let count = (counts[4] as usize).min(FEATURES_MAX);

        // struct ethtool_gstrings: cmd, set, count, then the names.
        let mut names = vec![0_u32; 3 + count * NAME_BYTES / 4];
        names[..3].copy_from_slice(&[GET_STRINGS, FEATURE_NAMES, count as u32]);
        self.ask(interface, &mut names)?;

        // struct ethtool_gfeatures: cmd, blocks, then per block available, requested, active, never changed.
        let blocks = count.div_ceil(32);
        let mut states = vec![0_u32; 2 + blocks * 4];
        states[..2].copy_from_slice(&[GET_FEATURES, blocks as u32]);
        self.ask(interface, &mut states)?;

        let names = names[3..].chunks_exact(NAME_BYTES / 4);
        Ok(names.zip(0..).map(|(name, index)| feature(name, index, &states[2..])).collect())
    }

    /// Entries of the receive and of the transmit ring.
    ///
    /// # Errors
    /// As [`Self::features`].
    pub fn rings(&self, interface: &str) -> io::Result<(Setting, Setting)> {
        // struct ethtool_ringparam: cmd, the maxima (receive, mini, jumbo, transmit), the same now.
        let mut rings = [GET_RINGS, 0, 0, 0, 0, 0, 0, 0, 0];
        self.ask(interface, &mut rings)?;
        Ok((Setting { now: rings[5], max: rings[1] }, Setting { now: rings[8], max: rings[4] }))
    }

    /// Queues that receive (combined ones among them).
    ///
    /// # Errors
    /// As [`Self::features`].
    pub fn receive_queues(&self, interface: &str) -> io::Result<Setting> {
        // struct ethtool_channels: cmd, the maxima (receive, transmit, other, combined), the same now.
        let mut channels = [GET_CHANNELS, 0, 0, 0, 0, 0, 0, 0, 0];
        self.ask(interface, &mut channels)?;
        Ok(Setting { now: channels[5] + channels[8], max: channels[1].max(channels[4]) })
    }

    /// Hands `request`, a command and its room, to the interface's driver, which writes into it.
    fn ask(&self, interface: &str, request: &mut [u32]) -> io::Result<()> {
        // SAFETY: an ifreq is plain bytes, for which zero is a value.
        let mut ifreq: libc::ifreq = unsafe { std::mem::zeroed() };
        // One byte less than there is room for: the name stays a C string.
        let room = ifreq.ifr_name.len() - 1;
        if interface.len() > room {
            return Err(io::Error::from_raw_os_error(libc::ENODEV));
        }
        for (to, from) in ifreq.ifr_name.iter_mut().zip(interface.bytes()) {
            *to = from as libc::c_char;
        }
        ifreq.ifr_ifru.ifru_data = request.as_mut_ptr().cast();
        // SAFETY: the descriptor is open. The kernel writes as many words as the command's structure has, plus as many
        // as the count in it says; every caller made the room for both and wrote that count, and the slice outlives
        // the call. Words are aligned as the structures (32-bit fields) want.
        check(unsafe { libc::ioctl(self.0.as_raw_fd(), SIOCETHTOOL as _, &raw mut ifreq) }).map(drop)
    }
}

/// The feature with this index; `states` are blocks of four words, 32 features each.
fn feature(name: &[u32], index: usize, states: &[u32]) -> Feature {
    let bytes: Vec<u8> = name.iter().flat_map(|word| word.to_ne_bytes()).take_while(|byte| *byte != 0).collect();
    let bit = |word: usize| states.get(index / 32 * 4 + word).is_some_and(|word| word >> (index % 32) & 1 == 1);
    Feature { name: String::from_utf8_lossy(&bytes).into_owned(), active: bit(2), changeable: bit(0) && !bit(3) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_reports_its_segmentation_offloads_by_name() {
        let features = Ethtool::open().unwrap().features("lo").unwrap();
        let find = |name: &str| features.iter().find(|feature| feature.name == name);
        let segmentation = find("tx-udp-segmentation").expect("Linux 4.18 and later know it");
        assert!(segmentation.active && segmentation.changeable, "{segmentation:?}");
        let loopback = find("loopback").expect("a fixed feature of lo");
        assert!(loopback.active && !loopback.changeable, "{loopback:?}");
    }

    #[test]
    fn an_unknown_or_silent_interface_is_an_error() {
        let ethtool = Ethtool::open().unwrap();
        for interface in ["", "nonesuch0", "a name that is far too long for an interface"] {
            assert_eq!(ethtool.features(interface).unwrap_err().raw_os_error(), Some(libc::ENODEV), "{interface}");
        }
        assert_eq!(ethtool.rings("lo").unwrap_err().raw_os_error(), Some(libc::EOPNOTSUPP));
    }

    #[test]
    fn a_features_bits_are_read_from_its_own_block() {
        let name = [u32::from_ne_bytes(*b"gro\0")];
        // Block 0 says nothing; in block 1 (available, requested, active, never changed) bit 1 is set.
        let states = [0, 0, 0, 0, 2, 0, 2, 0];
        assert_eq!(feature(&name, 33, &states), Feature { name: "gro".to_owned(), active: true, changeable: true });
        assert!(!feature(&name, 1, &states).active && !feature(&name, 99, &states).active);
    }
}
