//! A rule's text: verdict, protocol, `from`, `to`, `on`, `limit`, `log`, `for`, `as`, in this order.

use std::fmt::{self, Display, Formatter};

use super::{
    IcmpTypes, Limit, Matcher, Ports, Rule, Source, Verdict,
    protocol::{self, Icmp},
};
use crate::domain::{duration, prefix};

/// Characters of a rule that are shown where it is one of many: some list thousands of prefixes.
const SHOWN: usize = 100;

impl Rule {
    /// Its text, in the middle of which something is left out where it is long: its name is not.
    pub fn in_short(&self) -> String {
        let text = self.to_string();
        if text.chars().count() <= SHOWN {
            return text;
        }
        let name = self.name.as_ref().map_or_else(String::new, |name| format!(" as {name}"));
        let kept = SHOWN.saturating_sub(name.chars().count());
        text.chars().take(kept).chain(['…']).chain(name.chars()).collect()
    }
}

impl Display for Rule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.verdict)?;
        if self.matcher != Matcher::Any {
            write!(f, " {}", self.matcher)?;
        }
        clause(f, "from", &self.from)?;
        clause(f, "to", &self.to)?;
        clause(f, "on", &self.on)?;
        if let Some(limit) = &self.limit {
            write!(f, " {limit}")?;
        }
        if self.log {
            f.write_str(" log")?;
        }
        if let Some(lifetime) = self.lifetime {
            write!(f, " for {}", duration::write(lifetime))?;
        }
        match &self.name {
            Some(name) => write!(f, " as {name}"),
            None => Ok(()),
        }
    }
}

fn clause(f: &mut Formatter<'_>, word: &str, items: &[impl Display]) -> fmt::Result {
    if items.is_empty() { Ok(()) } else { write!(f, " {word} ").and_then(|()| list(f, items)) }
}

fn list(f: &mut Formatter<'_>, items: impl IntoIterator<Item = impl Display>) -> fmt::Result {
    for (index, item) in items.into_iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write!(f, "{comma}{item}")?;
    }
    Ok(())
}

impl Display for Verdict {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        })
    }
}

impl Display for Matcher {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => Ok(()),
            Self::Tcp(of) => ports(f, "tcp", of),
            Self::Udp(of) => ports(f, "udp", of),
            Self::Icmp(types) => icmp_types(f, Icmp::V4, types),
            Self::Icmpv6(types) => icmp_types(f, Icmp::V6, types),
            Self::Protocol(number) => match protocol::name_of(*number) {
                Some(name) => f.write_str(name),
                None => write!(f, "proto/{number}"),
            },
        }
    }
}

fn ports(f: &mut Formatter<'_>, name: &str, ports: &Ports) -> fmt::Result {
    if ports.is_any() { f.write_str(name) } else { write!(f, "{name}/{ports}") }
}

fn icmp_types(f: &mut Formatter<'_>, icmp: Icmp, types: &IcmpTypes) -> fmt::Result {
    f.write_str(icmp.name())?;
    if types.is_any() {
        return Ok(());
    }
    f.write_str("/")?;
    list(f, types.0.iter().map(|number| icmp.name_of(*number).map_or_else(|| number.to_string(), str::to_owned)))
}

impl Display for Ports {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.is_any() {
            return f.write_str("any");
        }
        list(
            f,
            self.0.iter().map(|range| match (range.start(), range.end()) {
                (low, high) if low == high => low.to_string(),
                (low, high) => format!("{low}-{high}"),
            }),
        )
    }
}

impl Display for Source {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix(prefix) => prefix::write(prefix, f),
            Self::Set(name) => write!(f, "@{name}"),
        }
    }
}

impl Display for Limit {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let what = if self.connections { " connections" } else { "" };
        let unit = if self.per.as_secs() == 60 { "m" } else { "s" };
        write!(f, "limit {}{what}/{unit}", self.count)?;
        if self.per_source {
            f.write_str(" per source")?;
        }
        match self.burst {
            Some(burst) => write!(f, " burst {burst}"),
            None => Ok(()),
        }
    }
}
