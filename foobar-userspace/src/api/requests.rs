//! What a caller asks for, as it goes over the socket. Unknown keys are refused.
//!
//! Addresses, ports and durations are text here, so that what is wrong with one is said in a sentence with a hint.

use std::{net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::{config::Mode, domain::BackendState};

/// Where a new rule goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// A deny to the front, an allow to the end.
    #[default]
    Default,
    /// Before the rule with this id or name.
    Before(String),
    /// After the rule with this id or name.
    After(String),
}

/// `POST /v1/rules`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddRule {
    /// The rule's text.
    pub rule: String,
    /// It is for what this host sends.
    #[serde(default)]
    pub egress: bool,
    #[serde(default)]
    pub before: Option<String>,
    #[serde(default)]
    pub after: Option<String>,
    #[serde(default)]
    pub safety: Safety,
}

/// How careful a change is to be; `DELETE /v1/rules/{id}` and `POST /v1/sets/{name}/reload` take it as their body.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Safety {
    /// Also if it cuts the connection.
    #[serde(default)]
    pub force: bool,
    /// The change is undone unless it is confirmed within this time, as people write durations: `60s`.
    #[serde(default)]
    pub confirm_within: Option<String>,
    /// What must not be cut: the connection over which the caller reached this host.
    #[serde(default)]
    pub connection: Option<SafeConnection>,
}

/// A TCP connection of this host: `192.0.2.10:22`, `[2001:db8::1]:22`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SafeConnection {
    pub local: SocketAddr,
    pub peer: SocketAddr,
}

/// `POST /v1/apply`, `POST /v1/apply/dry-run`, `POST /v1/saved`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplyFile {
    /// The whole file.
    pub text: String,
    /// Where it is: for mistakes, and for `diff` and `save`.
    pub path: PathBuf,
    #[serde(default)]
    pub safety: Safety,
}

/// `POST /v1/explain`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explain {
    /// `tcp 198.51.100.7:40000 > 192.0.2.10:443 syn on eth0`, or `hex:` and a frame.
    pub packet: String,
    /// This host sends it.
    #[serde(default)]
    pub egress: bool,
}

/// `POST /v1/services`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceSpec {
    pub name: String,
    pub address: String,
    /// `tcp/443`.
    pub port: String,
    /// `dsr`, the default, `tunnel`, `nat` or `snat`.
    #[serde(default)]
    pub forward: Option<String>,
    /// Of a tunnel: `ip`, the default, or `gue`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encapsulation: Option<String>,
    /// Addresses of this host that packets of a `snat` service come from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snat: Vec<String>,
    /// `auto`, the default, `http` or `connections`.
    #[serde(default)]
    pub queries: Option<String>,
    /// Whether echo requests to its address are answered: the default.
    #[serde(default)]
    pub echo: Option<bool>,
    /// `flow`, the default, `source` or `quic`.
    #[serde(default)]
    pub affinity: Option<String>,
    /// With `quic`: the config rotation codepoint of its connection ids, 0 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quic_config: Option<u8>,
    /// Slots of its ring: 65537 is the default.
    #[serde(default)]
    pub ring: Option<u32>,
    /// As people write durations: `3h`, the default.
    #[serde(default)]
    pub idle: Option<String>,
    pub backends: Vec<BackendSpec>,
}

/// `POST /v1/services/{name}/backends`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendSpec {
    /// A port may follow: the service's own, or with `nat` and `snat` the backend's.
    pub address: String,
    /// 0..=1000, 100 by default.
    #[serde(default)]
    pub weight: Option<u16>,
    /// It takes new flows while no other backend does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub backup: bool,
    /// What names it in connection ids, in hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_id: Option<String>,
}

/// `PATCH /v1/services/{name}/backends/{address}`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendChange {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u16>,
    /// `ready`, `drain`, `emptying` or `maint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<BackendState>,
    /// With `drain` or `emptying`: when its connections end, as in `10m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
}

/// `POST /v1/sets`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewSet {
    pub name: String,
}

/// `PATCH /v1/sets/{name}`: all of it is done, or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetChange {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
    /// How long what is added is a member: `10m`. Absent: until it is removed.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<String>,
    #[serde(default)]
    pub safety: Safety,
}

/// `POST /v1/interfaces`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InterfaceSpec {
    pub name: String,
    #[serde(default)]
    pub mode: Mode,
    /// `NETNS:IFACE`, or `IFACE` in the daemon's namespace.
    #[serde(default)]
    pub peer: Option<String>,
}
