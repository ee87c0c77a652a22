//! Compiles an ordered list of rules into the tables that `foobar_common::admit` reads.
//!
//! A rule names a source, a destination, a protocol and port, or some of these. Addresses of which the same rules speak
//! are a set, and so are ports. What a packet is for, its destination and its port, is merged into one class; each pair
//! of such a class and a class of sources that rules name together has a cell.

use std::collections::BTreeSet;

use foobar_common::{
    address::{V4, V6},
    class::{Class, Port},
    decision::Decision,
    extension::is_extension,
    flow::{ICMP, ICMPV6, TCP, UDP},
    image::Image,
    layout::{
        FRAGMENTS, ICMP_TYPES, ICMPV6_TYPES, MAX_NARROWED, MAX_NODES, MAX_SOURCES, PORT_ENTRIES, PROTOCOLS, Side,
        TCP_PORTS, UDP_PORTS,
    },
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{
    pairs::{self, lay_out},
    sets::Sets,
    targets::{Named, merge},
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
    let (mut sources, mut destinations) = (Sets::default(), Sets::default());
    let mut ports = PortTable { entries: vec![0; PORT_ENTRIES], sets: Sets::default() };
    let mut named = Vec::new();
    for (place, Numbered { rule, .. }) in rules.iter().enumerate() {
        rule.enforceable()
            .map_err(|not_yet| Refusal::refused(format!("`{rule}`: {}", not_yet.problem)).hint(not_yet.hint))?;
        let Named { source, destination, port } = names(rule);
        let place = place as u32;
        if source || !(destination || port) {
            by_address(Side::Source, &rule.from, image, &mut |set| sources.with(set, place, !(destination || port)))
                .map_err(|NoRoom| no_room(place))?;
        }
        if destination {
            by_address(Side::Destination, &rule.to, image, &mut |set| destinations.with(set, place, !(source || port)))
                .map_err(|NoRoom| no_room(place))?;
        }
        if port {
            let alone = !(source || destination);
            ports.add(&rule.matcher, Added { place, alone, denies: rule.verdict == Verdict::Deny });
        }
        named.push(names(rule));
    }
    lay_down((sources, destinations, ports), &named, &decisions(rules), image)
}

fn names(rule: &Rule) -> Named {
    Named { source: !rule.from.is_empty(), destination: !rule.to.is_empty(), port: rule.matcher != Matcher::Any }
}

fn decisions(rules: &[Numbered<'_>]) -> Vec<Decision> {
    let decision = |(place, numbered): (usize, &Numbered<'_>)| {
        Decision::new(place as u32, numbered.rule.verdict == Verdict::Allow, numbered.id)
    };
    rules.iter().enumerate().map(decision).collect()
}

/// From sets of rules to classes.
fn lay_down(
    (sources, destinations, ports): (Sets, Sets, PortTable),
    named: &[Named],
    decisions: &[Decision],
    image: &mut Image,
) -> Result<(), Refusal> {
    let kinds: Vec<_> = ports.entries.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
    let places: Vec<_> = used(image, Side::Destination).into_iter().filter(|set| *set != 0).collect();
    let count = if places.is_empty() { 0 } else { (places.len() + 1) * kinds.len() };
    within(kinds.len(), Port::MAX_KINDS - 1, "kinds of ports")?;
    within(count, MAX_NARROWED, "kinds of ports at destinations")?;
    let targets = merge((&destinations, &places), (&ports.sets, &kinds), named).ok_or_else(|| {
        Refusal::refused("the rules that name destinations and those that name ports have too many combinations")
            .hint("join rules that have the same destinations, or the same ports")
    })?;
    let sources = pairs::Side { used: used(image, Side::Source), sets: sources };
    let pairs = lay_out(&sources, &targets.side, decisions)?;
    let class = |set: &u32| pairs.targets[set];
    let by_kind: Vec<_> = targets.elsewhere.iter().map(class).collect();
    let kind_of = numbers_of(&kinds);
    for (port, set) in image.ports.iter_mut().zip(&ports.entries) {
        let kind = kind_of[*set as usize];
        *port = Port { class: by_kind[kind as usize], kind: kind as u16, ..*port };
    }
    if count != 0 {
        // The first row stays empty, so that 0 says that no rule names the destination.
        image.narrowed = vec![Class::NONE; kinds.len()];
        image.narrowed.extend(targets.at.iter().flatten().map(class));
        let row_of = numbers_of(&places);
        image.classes(Side::Destination, &mut |set| {
            if set == 0 { 0 } else { (row_of[set as usize] + 1) * kinds.len() as u32 }
        });
    }
    image.pairs = pairs.cells;
    within(pairs.sources.len(), MAX_SOURCES, "kinds of sources")?;
    image.sources = pairs.sources.values().copied().collect();
    let class_of = numbers_of(&pairs.sources.into_keys().collect::<Vec<_>>());
    image.classes(Side::Source, &mut |set| class_of[set as usize]);
    Ok(())
}

/// By set, its place in an ascending list of sets.
fn numbers_of(sets: &[u32]) -> Vec<u32> {
    let mut numbers = vec![0; sets.last().map_or(0, |last| *last as usize + 1)];
    for (number, set) in (0..).zip(sets) {
        numbers[*set as usize] = number;
    }
    numbers
}

fn within(count: usize, room: usize, of_what: &str) -> Result<(), Refusal> {
    if count <= room {
        return Ok(());
    }
    Err(Refusal::refused(format!("the rules make {count} {of_what}, and there is room for {room}"))
        .hint("join rules that have the same addresses, or the same ports"))
}

/// The tries have all the nodes that they may have.
struct NoRoom;

fn no_room(place: u32) -> Refusal {
    let number = place + 1;
    Refusal::refused(format!(
        "the prefixes up to rule {number} need more than the {MAX_NODES} trie nodes that there are"
    ))
    .hint("write shorter prefixes, or fewer of them")
}

/// Adds a rule's addresses; none are all of both families.
fn by_address(
    side: Side,
    prefixes: &[Source],
    image: &mut Image,
    join: &mut dyn FnMut(u32) -> u32,
) -> Result<(), NoRoom> {
    let mut insert = |net: &IpNet| {
        let len = u32::from(net.prefix_len());
        match net {
            IpNet::V4(net) => {
                let (root, nodes) = image.trie(side, false);
                root.insert(nodes, V4::from(net.addr()), len, join);
            }
            IpNet::V6(net) => {
                let (root, nodes) = image.trie(side, true);
                root.insert(nodes, V6::from(net.addr()), len, join);
            }
        }
        if image.nodes.0.len() > MAX_NODES { Err(NoRoom) } else { Ok(()) }
    };
    if prefixes.is_empty() {
        insert(&Ipv4Net::default().into())?;
        insert(&Ipv6Net::default().into())?;
    }
    for source in prefixes {
        match source {
            Source::Prefix(net) => insert(net)?,
            // Refused by `Rule::enforceable`.
            Source::Set(_) => {}
        }
    }
    Ok(())
}

/// The sets that addresses of a side have.
fn used(image: &mut Image, side: Side) -> BTreeSet<u32> {
    // The empty set is there always, so that it is the first.
    let (mut used, mut last) = (BTreeSet::from([0]), None);
    image.classes(side, &mut |set| {
        if last != Some(set) {
            used.insert(set);
            last = Some(set);
        }
        set
    });
    used
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
