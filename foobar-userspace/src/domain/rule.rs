//! A firewall rule, as text and as a value: `FromStr` and `Display` are inverse to each other.

use std::{ops::RangeInclusive, time::Duration};

use ipnet::IpNet;

/// One line of the firewall.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    pub verdict: Verdict,
    pub matcher: Matcher,
    /// Empty: from anywhere.
    pub from: Vec<Source>,
    /// Empty: to anywhere.
    pub to: Vec<Source>,
    /// Interfaces; empty: any.
    pub on: Vec<String>,
    pub limit: Option<Limit>,
    pub log: bool,
    pub lifetime: Option<Duration>,
    /// `as NAME`.
    pub name: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    Allow,
    Deny,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Matcher {
    /// Every packet.
    Any,
    Tcp(Ports),
    Udp(Ports),
    /// ICMP for IPv4.
    Icmp(IcmpTypes),
    Icmpv6(IcmpTypes),
    /// Any other IP protocol, by number.
    Protocol(u8),
}

/// Destination ports, sorted and merged; empty means any port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ports(pub Vec<RangeInclusive<u16>>);

/// ICMP types, sorted; empty means any type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct IcmpTypes(pub Vec<u8>);

/// A prefix without host bits, or a named set.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    Prefix(IpNet),
    /// `@name`
    Set(String),
}

/// `limit N/s [connections] [per source] [burst N]`
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Limit {
    pub count: u32,
    pub per: Duration,
    pub connections: bool,
    pub per_source: bool,
    pub burst: Option<u32>,
}
