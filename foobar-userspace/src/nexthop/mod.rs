//! The way to each backend: which interface, which MACs. Read from the kernel's routes and neighbours, and kept fresh.
//!
//! Unknown neighbours are asked for by the kernel, on our word; no packet of our own is sent.

mod kernel;
mod resolver;
mod towards;
mod wanted;
mod watch;
mod way;

use std::{collections::HashMap, net::IpAddr};

use foobar_common::next_hop;
pub use towards::interface_towards;
pub use wanted::ask_for_wanted;
pub use watch::keep_fresh;

/// Where a frame for a backend leaves, and how it is addressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextHop {
    pub interface: String,
    pub ifindex: u32,
    /// The backend's, in wire order.
    pub destination_mac: [u8; 6],
    /// The interface's own, in wire order.
    pub source_mac: [u8; 6],
    /// The router that it goes through, where the backend is not on the interface's own link.
    pub gateway: Option<IpAddr>,
    /// This host's address towards it; absent where that was not asked for yet.
    pub source: Option<IpAddr>,
    /// The length of the prefix that the interface has an address of, where the backend is in it: hosts there reach each
    /// other without a router.
    pub network: Option<u8>,
    /// Bytes that an IP packet may have on the way, as far as this host knows; 0: that was not asked for yet.
    pub mtu: u32,
}

impl NextHop {
    /// The way to an address of this host.
    pub fn here() -> Self {
        Self {
            interface: "lo".to_owned(),
            ifindex: next_hop::NextHop::THIS_HOST,
            destination_mac: [0; 6],
            source_mac: [0; 6],
            gateway: None,
            source: None,
            network: None,
            mtu: 0,
        }
    }

    pub const fn is_here(&self) -> bool {
        self.ifindex == next_hop::NextHop::THIS_HOST
    }

    /// As packets take it.
    pub fn as_packets_take_it(&self) -> next_hop::NextHop {
        if self.is_here() {
            return next_hop::NextHop::HERE;
        }
        next_hop::NextHop::new(self.destination_mac, self.source_mac, self.ifindex)
    }
}

/// The usual text of a MAC: `02:00:00:00:00:01`.
pub fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// For each backend address the way to it, or why there is none, in words.
pub type NextHops = HashMap<IpAddr, Result<NextHop, String>>;

#[cfg(test)]
mod tests {
    #[test]
    fn a_mac_has_two_digits_a_byte() {
        assert_eq!(super::mac_text([2, 0, 0, 0xab, 0, 1]), "02:00:00:ab:00:01");
    }
}
