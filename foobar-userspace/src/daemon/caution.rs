//! How careful a change is to be made: what the caller says with it.

use std::{net::SocketAddr, time::Duration};

/// What a caller says with a change of rules or of everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caution {
    /// Also if it cuts the caller off.
    pub force: bool,
    /// It is undone unless it is confirmed by then.
    pub confirm_within: Option<Duration>,
    /// The connection over which the caller reached this host.
    pub connection: Option<Connection>,
}

/// A TCP connection of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    pub local: SocketAddr,
    pub peer: SocketAddr,
    /// By which interface's index its packets come in; none: nobody knows.
    pub interface: Option<u32>,
}
