//! A firewall rule, as text and as a value: `FromStr` and `Display` are inverse to each other.

mod display;
mod lists;
mod matcher;
mod parse;
mod protocol;
mod text;

#[cfg(test)]
pub(crate) mod arbitrary;
#[cfg(test)]
mod golden;

use std::{ops::RangeInclusive, time::Duration};

use ipnet::IpNet;
pub(crate) use matcher::{port as read_port, read as read_matcher};

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

impl Rule {
    /// A rule with a verdict and a matcher, and nothing else.
    pub fn new(verdict: Verdict, matcher: Matcher) -> Self {
        Self {
            verdict,
            matcher,
            from: Vec::new(),
            to: Vec::new(),
            on: Vec::new(),
            limit: None,
            log: false,
            lifetime: None,
            name: None,
        }
    }

    /// What its counters belong to: the name, else the text without `for`.
    pub fn identity(&self) -> String {
        match &self.name {
            Some(name) => name.clone(),
            None => Self { lifetime: None, ..self.clone() }.to_string(),
        }
    }
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

impl Rule {
    /// The sets that it names.
    pub fn sets(&self) -> impl Iterator<Item = &str> {
        self.from.iter().chain(&self.to).filter_map(|source| match source {
            Source::Set(name) => Some(name.as_str()),
            Source::Prefix(_) => None,
        })
    }
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

/// `limit N/s` or `limit N connections/s`, then `per source`, then `burst N`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Limit {
    pub count: u32,
    /// One second or one minute.
    pub per: Duration,
    pub connections: bool,
    pub per_source: bool,
    pub burst: Option<u32>,
}
