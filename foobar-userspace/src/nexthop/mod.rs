//! The way to each backend: which interface, which MACs. Read from the kernel's routes and neighbours, and kept fresh.

use std::{collections::HashMap, net::IpAddr};

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

/// For each backend address the way to it, or why there is none, in words.
pub type NextHops = HashMap<IpAddr, Result<NextHop, String>>;
