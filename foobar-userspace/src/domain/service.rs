//! A service and its backends, checked when they are made.

use std::{net::IpAddr, time::Duration};

use serde::{Deserialize, Serialize};

/// A virtual address, port and protocol whose flows are spread over backends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    pub name: String,
    pub address: IpAddr,
    pub transport: Transport,
    /// 1..=65535
    pub port: u16,
    pub forward: Forward,
    pub queries: Queries,
    /// How long a silent connection is kept on its backend after the backends changed.
    pub idle: Duration,
    /// At least one, each address once.
    pub backends: Vec<Backend>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    Tcp,
    Udp,
}

/// How a packet reaches its backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Forward {
    /// Direct server return: only the destination MAC changes.
    Dsr,
}

/// What counts as one query of a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Queries {
    /// HTTP on the usual plain ports, connections elsewhere.
    #[default]
    Auto,
    Http,
    Connections,
}

/// A server behind a service. In `dsr` it listens on the service's own port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    pub address: IpAddr,
    /// Share of new flows relative to the other backends, 0..=1000; 100 by default.
    pub weight: u16,
    pub state: BackendState,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendState {
    /// Takes new flows by weight.
    #[default]
    Ready,
    /// Takes no new flows; those it has stay.
    Drain,
    /// Drains, and leaves when nothing can be on it any more.
    Removing,
}
