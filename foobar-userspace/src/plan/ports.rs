//! Which rules speak of each port, ICMP type and protocol.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use foobar_common::{
    extension::is_extension,
    flow::{ICMP, ICMPV6, TCP, UDP},
    fragment::Need,
    layout::{FRAGMENTS, ICMP_TYPES, ICMPV6_TYPES, PORT_ENTRIES, PROTOCOLS, TCP_PORTS, UDP_PORTS},
};

use super::{crowded::Crowded, rule_sets::RuleSets};
use crate::domain::{Matcher, Rule, Verdict};

/// What a rule has to know of a packet beside its addresses.
pub fn need(rule: &Rule) -> Need {
    match &rule.matcher {
        Matcher::Any => Need::Nothing,
        Matcher::Tcp(list) | Matcher::Udp(list) if list.0.is_empty() => Need::Protocol,
        Matcher::Icmp(list) | Matcher::Icmpv6(list) if list.0.is_empty() => Need::Protocol,
        Matcher::Tcp(_) | Matcher::Udp(_) | Matcher::Icmp(_) | Matcher::Icmpv6(_) => Need::Port,
        // The number of an extension header too: another one can hide it.
        Matcher::Protocol(_) => Need::Protocol,
    }
}

/// Spans of a port table's entries, and the place of the rule that names each.
#[derive(Debug, Default)]
pub struct PortSpans(Vec<(Range<usize>, u32)>);

/// The sets, and each entry's.
pub struct PortSets {
    pub sets: RuleSets,
    pub entries: Vec<u32>,
}

impl PortSpans {
    /// Adds a rule. One without protocol and port constrains this side not at all. `denied_later`: some rule behind it
    /// denies.
    pub fn add(&mut self, rule: &Rule, place: u32, denied_later: bool) {
        let denies = rule.verdict == Verdict::Deny;
        let mut name = Naming { spans: &mut self.0, place, denies, keeps: denies || denied_later };
        match &rule.matcher {
            Matcher::Any => {}
            Matcher::Tcp(list) if list.0.is_empty() => name.whole(TCP_PORTS, 65_536, TCP),
            Matcher::Udp(list) if list.0.is_empty() => name.whole(UDP_PORTS, 65_536, UDP),
            Matcher::Icmp(list) if list.0.is_empty() => name.whole(ICMP_TYPES, 256, ICMP),
            Matcher::Icmpv6(list) if list.0.is_empty() => name.whole(ICMPV6_TYPES, 256, ICMPV6),
            Matcher::Tcp(list) => name.part(TCP_PORTS, list.0.iter().map(|range| (*range.start(), *range.end())), TCP),
            Matcher::Udp(list) => name.part(UDP_PORTS, list.0.iter().map(|range| (*range.start(), *range.end())), UDP),
            Matcher::Icmp(list) => name.part(ICMP_TYPES, list.0.iter().map(|kind| (*kind, *kind)), ICMP),
            Matcher::Icmpv6(list) => name.part(ICMPV6_TYPES, list.0.iter().map(|kind| (*kind, *kind)), ICMPV6),
            Matcher::Protocol(number) => name.whole(PROTOCOLS + usize::from(*number), 1, *number),
        }
    }

    /// Goes over the entries once: a set is made where a span begins or ends.
    pub fn sets(self, alone: impl Fn(u32) -> bool) -> Result<PortSets, Crowded> {
        let mut edges: BTreeMap<usize, (Vec<u32>, Vec<u32>)> = BTreeMap::from([(0, (vec![], vec![]))]);
        for (span, place) in self.0 {
            edges.entry(span.start).or_default().0.push(place);
            edges.entry(span.end).or_default().1.push(place);
        }
        let (mut sets, mut entries) = (RuleSets::default(), Vec::with_capacity(PORT_ENTRIES));
        // A rule can name an entry twice, and ends there with the last of its spans.
        let mut open: BTreeMap<u32, usize> = BTreeMap::new();
        let ends: Vec<_> = edges.keys().copied().skip(1).chain([PORT_ENTRIES]).collect();
        for ((begins, leaves), end) in edges.values().zip(ends) {
            for place in begins {
                *open.entry(*place).or_default() += 1;
            }
            for place in leaves {
                if let Some(spans) = open.get_mut(place) {
                    *spans -= 1;
                }
            }
            open.retain(|_, spans| *spans > 0);
            let set = sets.of(open.keys().copied(), &alone)?;
            entries.resize(end.min(PORT_ENTRIES).max(entries.len()), set);
        }
        Ok(PortSets { sets, entries })
    }
}

impl PortSets {
    /// Every set that some entry has.
    pub fn used(&self) -> BTreeSet<u32> {
        self.entries.iter().copied().collect()
    }
}

/// A rule that is being added.
struct Naming<'a> {
    spans: &'a mut Vec<(Range<usize>, u32)>,
    place: u32,
    denies: bool,
    /// It denies, or keeps another rule from denying.
    keeps: bool,
}

impl Naming<'_> {
    /// A whole protocol: its `count` entries from `first` on, its number in the other family (ICMP in IPv6 is nothing but
    /// a number), and its later fragments.
    fn whole(&mut self, first: usize, count: usize, protocol: u8) {
        self.span(first, count);
        self.span(PROTOCOLS + usize::from(protocol), 1);
        // The number of an extension header is no protocol: what a later fragment is of stands behind it.
        if self.denies || !is_extension(protocol) {
            self.span(FRAGMENTS + usize::from(protocol), 1);
            self.hidden();
        }
    }

    /// Some ports or types of a protocol. A later fragment may be among them or not: its first tells.
    fn part<N: Into<usize>>(&mut self, first: usize, ranges: impl Iterator<Item = (N, N)>, protocol: u8) {
        for (low, high) in ranges {
            let (low, high) = (low.into(), high.into());
            self.span(first + low, high + 1 - low);
        }
        if self.keeps {
            self.span(FRAGMENTS + usize::from(protocol), 1);
        }
        self.hidden();
    }

    /// A later fragment whose first header is an extension header can be of any protocol.
    fn hidden(&mut self) {
        if self.keeps {
            for number in (0..=u8::MAX).filter(|number| is_extension(*number)) {
                self.span(FRAGMENTS + usize::from(number), 1);
            }
        }
    }

    fn span(&mut self, first: usize, count: usize) {
        self.spans.push((first..first + count, self.place));
    }
}
