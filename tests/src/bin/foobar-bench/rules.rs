//! The rules that are timed.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use foobar_userspace::domain::Forward;
use ipnet::IpNet;

use super::{frames::source, scene::Scene};

/// A set of rules, by what it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// 10 rules, two of which deny 100 prefixes each, one a family.
    Ordinary,
    /// As many rules that name a prefix and a port, the last of which allow the frames that are timed: random prefixes of
    /// both families, half as many as rules, and 500 ports.
    Pairs(usize),
    /// A rule that names a set of as many prefixes of each family, and one that allows what is timed; 0: that one alone.
    Set(usize),
    /// The ordinary ones, and services that forward in this way.
    Forward(Forward),
    /// The same, amid what a scene has in the tables.
    Amid(Scene, Forward),
}

/// Ports that random rules are about.
const PORTS: usize = 500;

impl Rules {
    pub fn lines(self) -> Vec<String> {
        match self {
            Self::Ordinary | Self::Forward(_) | Self::Amid(..) => ordinary(),
            Self::Pairs(count) => pairs(count),
            Self::Set(0) => vec!["allow tcp/22".to_owned()],
            Self::Set(_) => vec!["allow from @timed".to_owned(), "allow tcp/22".to_owned()],
        }
    }
}

impl Rules {
    /// How the services forward.
    pub const fn forward(self) -> Forward {
        match self {
            Self::Forward(forward) | Self::Amid(_, forward) => forward,
            Self::Ordinary | Self::Pairs(_) | Self::Set(_) => Forward::Dsr,
        }
    }

    pub const fn scene(self) -> Option<Scene> {
        match self {
            Self::Amid(scene, _) => Some(scene),
            Self::Ordinary | Self::Pairs(_) | Self::Set(_) | Self::Forward(_) => None,
        }
    }
}

fn ordinary() -> Vec<String> {
    let denied = |prefix: fn(u32) -> String, last: &str| {
        let prefixes: Vec<_> = (0..99).map(prefix).chain([last.to_owned()]).collect();
        format!("deny from {}", prefixes.join(","))
    };
    let mut rules = vec![
        denied(|net| format!("10.{net}.0.0/20"), "203.0.113.0/24"),
        denied(|net| format!("2001:db8:f{net:02x}::/48"), "2001:db8:bad::/48"),
    ];
    rules.extend([22, 443, 8443, 9001, 9002, 9003, 9004, 9005].map(|port| format!("allow tcp/{port}")));
    rules
}

fn pairs(count: usize) -> Vec<String> {
    // What the timed frames meet, in two halves, so that their sources are not decided at the root.
    let met = ["198.18.0.0/17", "198.18.128.0/17", "2001:db8:1::/49", "2001:db8:1:8000::/49"];
    let mut random = fastrand::Rng::with_seed(1);
    let ports: Vec<u16> = (0..PORTS).map(|_| random.u16(1..)).collect();
    let prefixes: Vec<_> = (0..count.div_ceil(2)).map(|index| prefix(&mut random, index % 2 == 1)).collect();
    let mut seen = BTreeSet::new();
    let mut rules = Vec::new();
    while rules.len() < count.saturating_sub(met.len()) {
        let (port, prefix) = (random.choice(&ports), random.choice(&prefixes));
        let Some((port, prefix)) = port.zip(prefix) else { break };
        if seen.insert((*port, prefix.clone())) {
            let verdict = if random.bool() { "allow" } else { "deny" };
            rules.push(format!("{verdict} tcp/{port} from {prefix}"));
        }
    }
    rules.extend(met.map(|prefix| format!("allow tcp/22 from {prefix}")));
    rules
}

/// A set's prefixes: every other source that is timed, and others at random; lengths as in public lists of attackers.
pub fn members(count: usize, v6: bool) -> Vec<IpNet> {
    let mut random = fastrand::Rng::with_seed(2);
    let sources = (0..FLOWS).step_by(2).take(count / 2).map(|flow| source(flow, v6));
    let mut addresses: Vec<_> = sources.collect();
    while addresses.len() < count {
        addresses.push(if v6 {
            let front = 0x2001 << 112 | u128::from(random.u16(..) & 0x7fff) << 96 | u128::from(random.u32(..)) << 64;
            Ipv6Addr::from_bits(front | u128::from(random.u64(..))).into()
        } else {
            Ipv4Addr::from_bits(random.u32(..1 << 31)).into()
        });
    }
    let net = |(index, address): (usize, IpAddr)| {
        let shorter = match index % 50 {
            0 => 10,
            1..10 => 8,
            _ => 0,
        };
        let len = if v6 { 128 - 8 * shorter } else { 32 - shorter };
        IpNet::new(address, len).expect("a length").trunc()
    };
    addresses.into_iter().enumerate().map(net).collect()
}

/// Flows that the cases of sets and of notes are timed with.
pub const FLOWS: u64 = 100_000;

fn prefix(random: &mut fastrand::Rng, v6: bool) -> String {
    if v6 {
        format!("2001:{:x}:{:x}::/48", random.u16(..), random.u16(..))
    } else {
        format!("{}.{}.{}.0/24", random.u8(1..198), random.u8(..), random.u8(..))
    }
}
