//! `foobar.toml`: strict, with the place of every mistake.

use crate::domain::{Rule, Service};

/// A whole, valid configuration: what a file says, and what a daemon runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    pub interfaces: Vec<Interface>,
    pub firewall: Firewall,
    pub services: Vec<Service>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    pub name: String,
    pub mode: Mode,
    /// The other end of a veth pair, which needs a passing program: `NETNS:IFACE`, or `IFACE` in this namespace.
    pub peer: Option<String>,
}

/// How XDP is attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Native where the driver can, else generic.
    #[default]
    Auto,
    Native,
    Generic,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Firewall {
    pub default: Policy,
    pub rules: Vec<Rule>,
}

/// What happens to a packet that no rule, service or exemption decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    #[default]
    Pass,
    Drop,
}
