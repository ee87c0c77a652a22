//! The way to each backend: which interface, which MACs. Read from the kernel's routes and neighbours, and kept fresh.
//!
//! Unknown neighbours are asked for by the kernel, on our word; no packet of our own is sent.

mod kernel;
mod resolver;
mod towards;
mod watch;
mod way;

use std::{collections::HashMap, net::IpAddr};

pub use towards::interface_towards;
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
