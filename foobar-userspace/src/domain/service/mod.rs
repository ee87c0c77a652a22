//! A service and its backends, checked when they are made.
//!
//! In JSON the ports of a service are one word, `"port":"tcp/80,443"`, as everywhere that an operator reads them.

mod backend;
mod check;
mod connection_ids;
mod json;
mod port;
mod server_id;
mod words;

#[cfg(test)]
pub(crate) mod arbitrary;

use std::{net::IpAddr, time::Duration};

pub use backend::{BackendAddress, BackendArg};
pub(crate) use backend::{backend_address, other_port};
pub use check::{Part, ServiceFault};
pub use port::ServicePorts;
pub(crate) use port::{MIXED, service_ports};
use serde::{Deserialize, Serialize};
pub use server_id::ServerId;
pub(crate) use server_id::server_id;

/// Weight of a backend that states none.
pub const DEFAULT_WEIGHT: u16 = 100;

/// Largest weight of a backend.
pub const MAX_WEIGHT: u16 = 1000;

/// How long a silent connection keeps its backend, where the service does not say: the idle connections of a database live.
pub const DEFAULT_IDLE: Duration = Duration::from_hours(3);

/// Longest time that a silent connection can keep its backend.
pub const MAX_IDLE: Duration = Duration::from_hours(30 * 24);

/// A virtual address and ports whose flows are spread over backends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "json::ServiceJson", into = "json::ServiceJson")]
pub struct Service {
    pub name: String,
    pub address: IpAddr,
    pub ports: ServicePorts,
    pub forward: Forward,
    /// What a tunnel's packets are put into.
    pub encapsulation: Encapsulation,
    /// Addresses of this host that packets of a `snat` service come from; none: the one that the route to a backend has.
    pub snat: Vec<IpAddr>,
    pub queries: Queries,
    /// Whether echo requests to its address are answered; where several services have it, any decides.
    pub echo: bool,
    pub affinity: Affinity,
    /// The config rotation codepoint of connection ids that name a backend; 0 without [`Affinity::Quic`].
    pub quic_config: u8,
    /// Slots of its ring, one of [`RING_SIZES`](foobar_common::layout::RING_SIZES).
    pub ring: u32,
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Forward {
    /// Direct server return: only the destination MAC changes.
    #[default]
    Dsr,
    /// Inside another IP packet, over any distance.
    Tunnel,
    /// To the backend's own address and port; it answers through this host.
    Nat,
    /// The same, from an address and port of this host.
    Snat,
}

impl Forward {
    /// Whether a packet gets a port of the backend's own.
    pub const fn has_ports(self) -> bool {
        matches!(self, Self::Nat | Self::Snat)
    }

    /// Whether packets may come from this host: with `nat` those of clients that backends answer past it.
    pub const fn has_pool(self) -> bool {
        matches!(self, Self::Nat | Self::Snat)
    }
}

/// What a tunnel puts packets into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encapsulation {
    /// Another IP packet.
    #[default]
    Ip,
    /// UDP, whose source port tells flows apart (GUE).
    Gue,
}

/// Which packets go to one backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Affinity {
    /// Those of one connection, or of one pair of UDP ports.
    #[default]
    Flow,
    /// Those of one source address.
    Source,
    /// Those whose QUIC connection id names one backend, and those of one pair of ports where it names none.
    Quic,
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

/// A server behind a service. In `dsr` and `tunnel` it listens on the service's own ports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backend {
    pub address: IpAddr,
    /// With `nat` and `snat`, where it is not the service's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Share of new flows relative to the other backends, 0..=1000; 100 by default.
    #[serde(default = "default_weight")]
    pub weight: u16,
    #[serde(default)]
    pub state: BackendState,
    /// It takes new flows while no other backend does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub backup: bool,
    /// What names it in QUIC connection ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_id: Option<ServerId>,
    /// While it drains: the second of the monotonic clock at which its connections end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendState {
    /// Takes new flows by weight.
    #[default]
    Ready,
    /// Takes no new flows; those it has stay.
    Drain,
    /// Drains, and is in maintenance when nothing can be on it any more.
    Emptying,
    /// Drains, and leaves when nothing can be on it any more.
    Removing,
    /// Takes nothing: its connections have ended.
    Maint,
}

impl BackendState {
    /// Whether flows may be left on a backend that takes no new ones.
    pub const fn drains(self) -> bool {
        matches!(self, Self::Drain | Self::Emptying | Self::Removing)
    }
}

impl Backend {
    /// A ready backend.
    pub fn new(address: IpAddr, weight: u16) -> Self {
        Self { address, port: None, weight, state: BackendState::Ready, backup: false, server_id: None, deadline: None }
    }
}

fn default_weight() -> u16 {
    DEFAULT_WEIGHT
}
