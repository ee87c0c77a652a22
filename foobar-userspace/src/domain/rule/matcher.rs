//! The part of a rule that names protocols, ports and ICMP types.

use std::ops::RangeInclusive;

use super::{
    IcmpTypes, Matcher, Ports, Source,
    protocol::{self, Icmp},
};
use crate::domain::mistake::{Fault, Parsed, Word, nearest};

/// Reads `tcp/80,443`, `icmp/echo-request`, `vrrp`, `proto/47` and the like.
pub fn read(word: Word<'_>) -> Parsed<Matcher> {
    let (name, rest) = match word.split_once('/') {
        Some((name, rest)) => (name, Some(rest)),
        None => (word, None),
    };
    match (name.text, rest) {
        ("tcp", rest) => Ok(Matcher::Tcp(ports(rest)?)),
        ("udp", rest) => Ok(Matcher::Udp(ports(rest)?)),
        ("icmp", rest) => Ok(Matcher::Icmp(icmp_types(Icmp::V4, rest)?)),
        ("icmpv6", rest) => Ok(Matcher::Icmpv6(icmp_types(Icmp::V6, rest)?)),
        ("proto", Some(number)) => numbered(number),
        ("proto", None) => Err(word.fault("`proto` needs a number").hint("write it as in `proto/47`")),
        (text, rest) => match (protocol::number_of(text), rest) {
            (Some(number), None) => Ok(Matcher::Protocol(number)),
            (Some(_), Some(_)) => {
                Err(word.fault(format!("`{text}` has no ports in a rule")).hint(format!("write `{text}` alone")))
            }
            (None, _) => Err(unknown(word, name)),
        },
    }
}

fn numbered(word: Word<'_>) -> Parsed<Matcher> {
    let number = number::<u8>(word).ok_or_else(|| {
        let hint = match protocol::number_of(word.text) {
            Some(_) => format!("write `{}` alone", word.text),
            None => "a protocol is a number from 0 to 255, as in `proto/47`".to_owned(),
        };
        word.fault(format!("`{}` is not the number of a protocol", word.text)).hint(hint)
    })?;
    Ok(match number {
        protocol::TCP => Matcher::Tcp(Ports::default()),
        protocol::UDP => Matcher::Udp(Ports::default()),
        protocol::ICMP => Matcher::Icmp(IcmpTypes::default()),
        protocol::ICMPV6 => Matcher::Icmpv6(IcmpTypes::default()),
        other => Matcher::Protocol(other),
    })
}

/// Reads what follows `tcp/`; nothing and `any` are any port.
fn ports(word: Option<Word<'_>>) -> Parsed<Ports> {
    let Some(word) = word.filter(|word| word.text != "any") else {
        return Ok(Ports::default());
    };
    if word.text.is_empty() {
        return Err(word
            .fault("a port is missing after the slash")
            .hint("write it as in `tcp/80`, or leave the slash out"));
    }
    let ranges = word.items()?.into_iter().map(port_range).collect::<Parsed<Vec<_>>>()?;
    Ok(Ports::new(ranges))
}

fn port_range(word: Word<'_>) -> Parsed<RangeInclusive<u16>> {
    let Some((low, high)) = word.split_once('-').or_else(|| word.split_once(':')) else {
        let port = port(word)?;
        return Ok(port..=port);
    };
    let (low, high) = (port(low)?, port(high)?);
    if word.text.contains(':') {
        return Err(word.fault("a range of ports is written with `-`").hint(format!("write `{low}-{high}`")));
    }
    if low > high {
        return Err(word.fault(format!("the range `{}` is reversed", word.text)).hint(format!("write `{high}-{low}`")));
    }
    Ok(low..=high)
}

/// Reads one port, 1..=65535.
pub fn port(word: Word<'_>) -> Parsed<u16> {
    let hint = "a port is a number from 1 to 65535, as in `tcp/80`";
    match number::<u16>(word) {
        Some(0) => Err(word.fault("port 0 does not exist").hint(hint)),
        Some(port) => Ok(port),
        None if word.text.is_empty() => Err(word.fault("a port is missing").hint(hint)),
        None => Err(word.fault(format!("`{}` is not a port", word.text)).hint(
            service_port(word.text).map_or_else(|| hint.to_owned(), |(_, port)| format!("write the number: {port}")),
        )),
    }
}

fn icmp_types(icmp: Icmp, word: Option<Word<'_>>) -> Parsed<IcmpTypes> {
    let Some(word) = word.filter(|word| word.text != "any") else {
        return Ok(IcmpTypes::default());
    };
    if word.text.is_empty() {
        let fault = word.fault("a type is missing after the slash");
        return Err(fault.hint(format!("write it as in `{}/echo-request`, or leave the slash out", icmp.name())));
    }
    let types = word.items()?.into_iter().map(|item| icmp_type(icmp, item)).collect::<Parsed<Vec<_>>>()?;
    Ok(IcmpTypes::new(types))
}

fn icmp_type(icmp: Icmp, word: Word<'_>) -> Parsed<u8> {
    if let Some(number) = icmp.type_of(word.text).or_else(|| number(word)) {
        return Ok(number);
    }
    let other = if icmp == Icmp::V4 { Icmp::V6 } else { Icmp::V4 };
    let hint = if other.type_of(word.text).is_some() {
        format!("`{}` is a type of {}: `{}/{}`", word.text, other.name(), other.name(), word.text)
    } else if matches!(word.text, "ping" | "echo") {
        "write `echo-request`".to_owned()
    } else if let Some(near) = nearest(word.text, icmp.type_names()) {
        format!("did you mean `{near}`?")
    } else {
        format!("a type is a number from 0 to 255 or one of {}", icmp.type_names().collect::<Vec<_>>().join(", "))
    };
    Err(word.fault(format!("`{}` is not a type of {}", word.text, icmp.name())).hint(hint))
}

fn number<T: std::str::FromStr>(word: Word<'_>) -> Option<T> {
    word.text.parse().ok().filter(|_| word.text.bytes().all(|b| b.is_ascii_digit()))
}

fn unknown(word: Word<'_>, name: Word<'_>) -> Fault {
    let fault = name.fault(format!("`{}` is not a protocol", name.text));
    let hint = if word.text.starts_with('@') || word.text.parse::<ipnet::IpNet>().is_ok() || is_address(word.text) {
        format!("write `from {}` for packets that come from there", word.text)
    } else if matches!(word.text, "any" | "all" | "ip") {
        "leave it out: without a protocol, a rule matches every packet".to_owned()
    } else if let Some(meant) = other_notation(word.text) {
        format!("write `{meant}`")
    } else if let Some((protocol, port)) = service_port(word.text) {
        format!("rules name ports by number: write `{protocol}/{port}`")
    } else if let Some(near) = nearest(name.text, protocol::names().chain(super::parse::CLAUSES)) {
        format!("did you mean `{near}{}`?", &word.text[name.text.len()..])
    } else {
        "after `allow` or `deny` comes a protocol such as `tcp/80`, `udp`, `icmp/echo-request`, `vrrp`, `proto/47`, or `from`"
            .to_owned()
    };
    fault.hint(hint)
}

fn is_address(text: &str) -> bool {
    text.parse::<std::net::IpAddr>().is_ok()
}

/// What other firewalls' notations mean here.
fn other_notation(text: &str) -> Option<String> {
    match text {
        "icmp6" | "ipv6-icmp" | "icmpv4" => return Some(if text == "icmpv4" { "icmp" } else { "icmpv6" }.to_owned()),
        "ping" => return Some("icmp/echo-request".to_owned()),
        _ => {}
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return Some(format!("tcp/{text}` or `udp/{text}"));
    }
    let (first, second) = text.split_once(['/', ':'])?;
    match (first, second) {
        ("tcp" | "udp", ports) => Some(format!("{first}/{ports}")),
        (ports, "tcp" | "udp") => Some(format!("{second}/{ports}")),
        _ => None,
    }
}

/// The services that people name instead of a port; a rule takes the number.
fn service_port(name: &str) -> Option<(&'static str, u16)> {
    Some(match name {
        "ssh" => ("tcp", 22),
        "smtp" => ("tcp", 25),
        "dns" | "domain" => ("udp", 53),
        "http" => ("tcp", 80),
        "ntp" => ("udp", 123),
        "https" => ("tcp", 443),
        "mysql" => ("tcp", 3306),
        "postgres" | "postgresql" => ("tcp", 5432),
        _ => return None,
    })
}

impl Matcher {
    /// The address family that a source or destination must have, where the protocol belongs to one: 4 or 6.
    pub(crate) fn family(&self) -> Option<u8> {
        match self {
            Self::Icmp(_) => Some(4),
            Self::Icmpv6(_) => Some(6),
            Self::Any | Self::Tcp(_) | Self::Udp(_) | Self::Protocol(_) => None,
        }
    }
}

impl Source {
    /// 4 or 6; a set may hold both.
    pub(crate) fn family(&self) -> Option<u8> {
        match self {
            Self::Prefix(prefix) => Some(if prefix.addr().is_ipv4() { 4 } else { 6 }),
            Self::Set(_) => None,
        }
    }
}
