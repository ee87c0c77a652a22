//! Compiles an ordered list of rules into the tables that `foobar_common::admit` reads.
//!
//! A rule constrains the source, or the protocol and port, or both. Sources of which the same rules speak are a class,
//! and so are ports; each class has a word, and each pair of classes that rules constrain together a cell.

use std::collections::BTreeMap;

use foobar_common::{
    address::{V4, V6},
    class::Class,
    decision::Decision,
    extension::is_extension,
    flow::{ICMP, ICMPV6, TCP, UDP},
    image::Image,
    layout::{
        FRAGMENTS, ICMP_TYPES, ICMPV6_TYPES, MAX_NODES, MAX_SOURCES, PORT_ENTRIES, PROTOCOLS, TCP_PORTS, UDP_PORTS,
    },
    trie,
};
use ipnet::IpNet;

use super::{
    pairs::{Side, lay_out},
    sets::Sets,
};
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
    let mut sources = Sets::default();
    let mut ports = PortTable { entries: vec![0; PORT_ENTRIES], sets: Sets::default() };
    for (place, numbered) in rules.iter().enumerate() {
        let rule = numbered.rule;
        rule.enforceable()
            .map_err(|not_yet| Refusal::refused(format!("`{rule}`: {}", not_yet.problem)).hint(not_yet.hint))?;
        let has_port = rule.matcher != Matcher::Any;
        if !has_port || !rule.from.is_empty() {
            by_source(&rule.from, image, &mut |set| sources.with(set, place as u32, !has_port))?;
        }
        if has_port {
            let added =
                Added { place: place as u32, alone: rule.from.is_empty(), denies: rule.verdict == Verdict::Deny };
            ports.add(&rule.matcher, added);
        }
    }
    let decision = |(place, numbered): (usize, &Numbered<'_>)| {
        Decision::new(place as u32, numbered.rule.verdict == Verdict::Allow, numbered.id)
    };
    let decisions: Vec<_> = rules.iter().enumerate().map(decision).collect();
    let used = ports.entries.iter().copied().collect();
    let ports_side = Side { sets: ports.sets, used };
    let sources_side = Side { used: used_by(image), sets: sources };
    let pairs = lay_out(&sources_side, &ports_side, &decisions)?;
    for (word, set) in image.ports.iter_mut().zip(&ports.entries) {
        *word = pairs.ports[set].word();
    }
    image.pairs = pairs.cells;
    number_sources(&pairs.sources, image)
}

/// Adds a rule's sources; none are all of both families.
fn by_source(sources: &[Source], image: &mut Image, join: &mut dyn FnMut(u32) -> u32) -> Result<(), Refusal> {
    let Image { roots: [v4, v6], nodes, .. } = image;
    if sources.is_empty() {
        v4.insert(nodes, V4(0), 0, join);
        v6.insert(nodes, V6([0, 0]), 0, join);
    }
    for source in sources {
        match source {
            Source::Prefix(IpNet::V4(net)) => {
                v4.insert(nodes, V4::from(net.addr()), u32::from(net.prefix_len()), join);
            }
            Source::Prefix(IpNet::V6(net)) => {
                v6.insert(nodes, V6::from(net.addr()), u32::from(net.prefix_len()), join);
            }
            // Refused by `Rule::enforceable`.
            Source::Set(_) => {}
        }
        if nodes.0.len() > MAX_NODES {
            return Err(Refusal::refused(format!(
                "the rules' prefixes need more than {MAX_NODES} trie nodes, which is what there is room for"
            ))
            .hint("write shorter prefixes, or fewer of them"));
        }
    }
    Ok(())
}

/// Every entry of the tries that is a class.
fn entries(image: &mut Image) -> impl Iterator<Item = &mut u32> {
    let Image { roots, nodes, .. } = image;
    let of_roots = roots.iter_mut().flat_map(|root| root.0.iter_mut());
    let of_nodes = nodes.0.iter_mut().flat_map(|node| node.entries.iter_mut().chain([&mut node.otherwise]));
    of_roots.chain(of_nodes).filter(|entry| **entry & 1 == 0)
}

fn used_by(image: &mut Image) -> std::collections::BTreeSet<u32> {
    entries(image).map(|entry| *entry >> 1).collect()
}

/// Numbers the classes that are left one after the other; the empty set stays 0.
fn number_sources(classes: &BTreeMap<u32, Class>, image: &mut Image) -> Result<(), Refusal> {
    let mut numbers = BTreeMap::from([(0, 0)]);
    let mut words = vec![Class::NONE.word()];
    for (set, class) in classes.iter().filter(|(set, _)| **set != 0) {
        numbers.insert(*set, words.len() as u32);
        words.push(class.word());
    }
    if words.len() > MAX_SOURCES {
        return Err(Refusal::refused(format!(
            "the rules make {} kinds of sources, and there is room for {MAX_SOURCES}",
            words.len()
        ))
        .hint("join rules that have the same sources"));
    }
    for entry in entries(image) {
        *entry = trie::entry(numbers[&(*entry >> 1)]);
    }
    image.sources = words;
    Ok(())
}

/// Which rules speak of each port, type and protocol, by set.
struct PortTable {
    entries: Vec<u32>,
    sets: Sets,
}

/// The rule that is being added.
#[derive(Clone, Copy)]
struct Added {
    place: u32,
    /// It constrains no source.
    alone: bool,
    denies: bool,
}

impl PortTable {
    fn add(&mut self, matcher: &Matcher, rule: Added) {
        match matcher {
            // A rule without protocol and port constrains this side not at all.
            Matcher::Any => {}
            Matcher::Tcp(list) if list.0.is_empty() => self.whole(TCP_PORTS, 65_536, TCP, rule),
            Matcher::Udp(list) if list.0.is_empty() => self.whole(UDP_PORTS, 65_536, UDP, rule),
            Matcher::Icmp(list) if list.0.is_empty() => self.whole(ICMP_TYPES, 256, ICMP, rule),
            Matcher::Icmpv6(list) if list.0.is_empty() => self.whole(ICMPV6_TYPES, 256, ICMPV6, rule),
            Matcher::Tcp(list) => self.part(TCP_PORTS, list.0.iter().cloned().flatten(), TCP, rule),
            Matcher::Udp(list) => self.part(UDP_PORTS, list.0.iter().cloned().flatten(), UDP, rule),
            Matcher::Icmp(list) => self.part(ICMP_TYPES, list.0.iter().map(|kind| u16::from(*kind)), ICMP, rule),
            Matcher::Icmpv6(list) => self.part(ICMPV6_TYPES, list.0.iter().map(|kind| u16::from(*kind)), ICMPV6, rule),
            Matcher::Protocol(number) => self.whole(PROTOCOLS + usize::from(*number), 1, *number, rule),
        }
    }

    /// A whole protocol: its `count` entries from `first` on, its number in the other family (ICMP in IPv6 is nothing but
    /// a number), and its later fragments.
    fn whole(&mut self, first: usize, count: usize, protocol: u8, rule: Added) {
        for entry in (first..first + count).chain([PROTOCOLS + usize::from(protocol)]) {
            self.join(entry, rule);
        }
        // The number of an extension header is no protocol: what a later fragment is of stands behind it.
        if rule.denies || !is_extension(protocol) {
            self.join(FRAGMENTS + usize::from(protocol), rule);
        }
        self.hidden(rule);
    }

    /// Some ports or types of a protocol. Nobody can tell whether a later fragment is among them, so a denial holds for
    /// all of the protocol's, and an allowance for none.
    fn part(&mut self, first: usize, numbers: impl Iterator<Item = u16>, protocol: u8, rule: Added) {
        for number in numbers {
            self.join(first + usize::from(number), rule);
        }
        if rule.denies {
            self.join(FRAGMENTS + usize::from(protocol), rule);
        }
        self.hidden(rule);
    }

    /// A later fragment whose first header is an extension header can be of any protocol: every denial holds for it.
    fn hidden(&mut self, rule: Added) {
        if rule.denies {
            for number in (0..=u8::MAX).filter(|number| is_extension(*number)) {
                self.join(FRAGMENTS + usize::from(number), rule);
            }
        }
    }

    fn join(&mut self, entry: usize, rule: Added) {
        self.entries[entry] = self.sets.with(self.entries[entry], rule.place, rule.alone);
    }
}

#[cfg(test)]
mod tests;
