//! Compiles an ordered list of rules into the tables that `foobar_common::admit` reads.
//!
//! Every enforceable rule constrains one dimension, the source or the protocol and port, so each table holds, for each
//! of its classes, the first rule that matches there; the packet takes the first of both.

use foobar_common::{
    address::{V4, V6},
    decision::Decision,
    extension::is_extension,
    flow::{ICMP, ICMPV6, TCP, UDP},
    image::Image,
    layout::{FRAGMENTS, ICMP_TYPES, ICMPV6_TYPES, MAX_NODES, PROTOCOLS, TCP_PORTS, UDP_PORTS},
};
use ipnet::IpNet;

use crate::{
    api::types::Refusal,
    domain::{Matcher, Rule, Source, Verdict},
};

/// A rule and the id of its counter.
#[derive(Clone, Copy, Debug)]
pub struct Numbered<'a> {
    pub rule: &'a Rule,
    pub id: u32,
}

/// Adds the rules, first match first, to an image.
pub fn classify(rules: &[Numbered<'_>], image: &mut Image) -> Result<(), Refusal> {
    for (place, numbered) in rules.iter().enumerate() {
        let rule = numbered.rule;
        rule.enforceable()
            .map_err(|not_yet| Refusal::refused(format!("`{rule}`: {}", not_yet.problem)).hint(not_yet.hint))?;
        let decision = Decision::new(place as u32, rule.verdict == Verdict::Allow, numbered.id);
        if rule.from.is_empty() {
            by_port(&rule.matcher, decision, image);
        } else {
            by_source(&rule.from, decision, image).map_err(|NoRoom| no_room(place))?;
        }
    }
    Ok(())
}

/// The tries have all the nodes that they may have.
struct NoRoom;

fn no_room(place: usize) -> Refusal {
    let number = place + 1;
    Refusal::refused(format!(
        "the prefixes up to rule {number} need more than the {MAX_NODES} trie nodes that there are"
    ))
    .hint("write shorter prefixes, or fewer of them")
}

/// Stops where there is no room, whatever is left: what does not fit is not built.
fn by_source(sources: &[Source], decision: Decision, image: &mut Image) -> Result<(), NoRoom> {
    for source in sources {
        match source {
            Source::Prefix(IpNet::V4(net)) => {
                image.roots[0].insert(&mut image.nodes, V4::from(net.addr()), u32::from(net.prefix_len()), decision);
            }
            Source::Prefix(IpNet::V6(net)) => {
                image.roots[1].insert(&mut image.nodes, V6::from(net.addr()), u32::from(net.prefix_len()), decision);
            }
            // Refused by `Rule::enforceable`.
            Source::Set(_) => {}
        }
        if image.nodes.0.len() > MAX_NODES {
            return Err(NoRoom);
        }
    }
    Ok(())
}

fn by_port(matcher: &Matcher, decision: Decision, image: &mut Image) {
    let mut ports = PortTable { entries: &mut image.ports, decision };
    match matcher {
        Matcher::Any => {
            image.roots[0].insert(&mut image.nodes, V4(0), 0, decision);
            image.roots[1].insert(&mut image.nodes, V6([0, 0]), 0, decision);
        }
        Matcher::Tcp(list) if list.0.is_empty() => ports.whole(TCP_PORTS, 65_536, TCP),
        Matcher::Udp(list) if list.0.is_empty() => ports.whole(UDP_PORTS, 65_536, UDP),
        Matcher::Icmp(list) if list.0.is_empty() => ports.whole(ICMP_TYPES, 256, ICMP),
        Matcher::Icmpv6(list) if list.0.is_empty() => ports.whole(ICMPV6_TYPES, 256, ICMPV6),
        Matcher::Tcp(list) => ports.part(TCP_PORTS, list.0.iter().cloned().flatten(), TCP),
        Matcher::Udp(list) => ports.part(UDP_PORTS, list.0.iter().cloned().flatten(), UDP),
        Matcher::Icmp(list) => ports.part(ICMP_TYPES, list.0.iter().map(|kind| u16::from(*kind)), ICMP),
        Matcher::Icmpv6(list) => ports.part(ICMPV6_TYPES, list.0.iter().map(|kind| u16::from(*kind)), ICMPV6),
        Matcher::Protocol(number) => ports.whole(PROTOCOLS + usize::from(*number), 1, *number),
    }
}

/// The port table, while one rule is added.
struct PortTable<'a> {
    entries: &'a mut [u32],
    decision: Decision,
}

impl PortTable<'_> {
    /// A whole protocol: its `count` entries from `first` on, its number in the other family (ICMP in IPv6 is nothing but
    /// a number), and its later fragments.
    fn whole(&mut self, first: usize, count: usize, protocol: u8) {
        for entry in (first..first + count).chain([PROTOCOLS + usize::from(protocol)]) {
            self.decide(entry);
        }
        // The number of an extension header is no protocol: what a later fragment is of stands behind it.
        if !self.decision.allows() || !is_extension(protocol) {
            self.decide(FRAGMENTS + usize::from(protocol));
        }
        self.hidden();
    }

    /// Some ports or types of a protocol. Nobody can tell whether a later fragment is among them, so a denial holds for
    /// all of the protocol's, and an allowance for none.
    fn part(&mut self, first: usize, numbers: impl Iterator<Item = u16>, protocol: u8) {
        for number in numbers {
            self.decide(first + usize::from(number));
        }
        if !self.decision.allows() {
            self.decide(FRAGMENTS + usize::from(protocol));
        }
        self.hidden();
    }

    /// A later fragment whose first header is an extension header can be of any protocol: every denial holds for it.
    fn hidden(&mut self) {
        if !self.decision.allows() {
            for number in (0..=u8::MAX).filter(|number| is_extension(*number)) {
                self.decide(FRAGMENTS + usize::from(number));
            }
        }
    }

    fn decide(&mut self, entry: usize) {
        let entry = &mut self.entries[entry];
        *entry = Decision::from_word(*entry).first(self.decision).word();
    }
}

#[cfg(test)]
mod tests;
