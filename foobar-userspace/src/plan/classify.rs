//! Compiles an ordered list of rules into the tables that `foobar_common::admit` reads.
//!
//! A rule names a source, an interface, a destination, a protocol and port, or some of these. Addresses of which the same
//! rules speak are a set, and so are interfaces and ports. What a packet is for, its interface, destination and port, is
//! merged into one class; each pair of such a class and a class of sources that rules name together has a cell.

use std::collections::BTreeSet;

use foobar_common::{
    class::Port,
    decision::Decision,
    image::Image,
    layout::{MAX_INTERFACES, MAX_NARROWED, MAX_SOURCES, Side},
};

use super::{
    crowded::{Blame, Crowded},
    interfaces::{Ifindexes, Interfaces},
    links::Answers,
    pairs::{self, lay_out},
    ports::{PortSpans, need},
    prefixes::Prefixes,
    sets::{Asked, SetIds},
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

/// Adds the rules, first match first, to an image. A rule `on` interfaces without an index matches nothing.
pub fn classify(rules: &[Numbered<'_>], ifindexes: &Ifindexes, ids: &SetIds, image: &mut Image) -> Result<(), Refusal> {
    let (mut sources, mut destinations) = (Prefixes::default(), Prefixes::default());
    let (mut asked_from, mut asked_to) = (Asked::default(), Asked::default());
    let mut ports = PortSpans::default();
    let last_denial = rules.iter().rposition(|numbered| numbered.rule.verdict == Verdict::Deny).unwrap_or(0);
    for (place, Numbered { rule, .. }) in (0..).zip(rules) {
        let named = names(rule);
        for (prefixes, side) in [(&rule.from, &mut sources), (&rule.to, &mut destinations)] {
            for prefix in prefixes {
                match prefix {
                    Source::Prefix(net) => side.name(*net, place),
                    // Stands in `asked`.
                    Source::Set(_) => {}
                }
            }
        }
        asked_from.name(&rule.from, place, ids);
        asked_to.name(&rule.to, place, ids);
        if !(named.source || named.is_target()) {
            sources.name_all(place);
        }
        ports.add(rule, place, (place as usize) < last_denial);
    }
    image.needs = rules.iter().map(|numbered| need(numbered.rule)).collect();
    let named: Vec<_> = rules.iter().map(|numbered| names(numbered.rule)).collect();
    Asked::within(&asked_from, &asked_to)?;
    let interfaces = Interfaces::of_rules(rules.iter().map(|numbered| numbered.rule), ifindexes);
    let asked = (&asked_from, &asked_to);
    lay_down(&interfaces, (&sources, &destinations, ports), asked, &named, decisions(rules), image)
        .map_err(|crowded| crowded.refusal(rules))
}

fn names(rule: &Rule) -> Named {
    Named {
        source: !rule.from.is_empty(),
        interface: !rule.on.is_empty(),
        destination: !rule.to.is_empty(),
        port: rule.matcher != Matcher::Any,
        ends: rule.lifetime.is_some(),
    }
}

fn decisions<'a>(rules: &[Numbered<'a>]) -> Answers {
    let decision = |(place, numbered): (usize, &Numbered<'a>)| {
        (numbered.rule, Decision::new(place as u32, numbered.rule.verdict == Verdict::Allow, numbered.id))
    };
    Answers::new(rules.iter().enumerate().map(decision))
}

/// From sets of rules to classes.
fn lay_down(
    interfaces: &Interfaces,
    (sources, destinations, ports): (&Prefixes, &Prefixes, PortSpans),
    (asked_from, asked_to): (&Asked, &Asked),
    named: &[Named],
    mut answers: Answers,
    image: &mut Image,
) -> Result<(), Crowded> {
    let of = |place: u32| named[place as usize];
    let by_source = |place| !(of(place).is_target() || of(place).ends);
    let mut sources = sources.build(Side::Source, image, by_source)?;
    let asked_from = asked_from.number(&mut sources, by_source)?;
    let by_destination = |place| !(of(place).source || of(place).interface || of(place).port || of(place).ends);
    let mut destinations = destinations.build(Side::Destination, image, by_destination)?;
    let asked_to = asked_to.number(&mut destinations, by_destination)?;
    let by_port = |place| !(of(place).source || of(place).interface || of(place).destination || of(place).ends);
    let ports = ports.sets(by_port)?;
    let kinds: Vec<_> = ports.used().into_iter().collect();
    let places = with(used(image, Side::Destination), &asked_to);
    let places: Vec<_> = places.into_iter().filter(|set| *set != 0).collect();
    let stride = (places.len() + 1) * kinds.len();
    let count =
        if places.is_empty() && interfaces.kinds.is_empty() { 0 } else { stride * (interfaces.kinds.len() + 1) };
    Crowded::within(kinds.len(), Port::MAX_KINDS - 1, "kinds of ports", Blame::Ports)?;
    Crowded::within(interfaces.of.len(), MAX_INTERFACES, "interfaces", Blame::Targets)?;
    Crowded::within(count, MAX_NARROWED, "kinds of ports at interfaces and destinations", Blame::Targets)?;
    let targets = merge(&interfaces.kinds, (&destinations, &places), (&ports.sets, &kinds), named)?;
    let sources = pairs::Side { used: with(used(image, Side::Source), &asked_from), sets: sources };
    let pairs = lay_out(&sources, &targets.side, named, &mut answers)?;
    image.links = answers.into_links();
    let class = |set: &u32| pairs.targets[set];
    let by_kind: Vec<_> = targets.rows[0].iter().map(class).collect();
    let kind_of = numbers_of(&kinds);
    for (port, set) in image.ports.iter_mut().zip(&ports.entries) {
        let kind = kind_of[*set as usize];
        *port = Port { class: by_kind[kind as usize], kind: kind as u16, ..*port };
    }
    if count != 0 {
        // The first row is of no use, so that 0 says that no rule names the interface or the destination.
        image.narrowed = targets.rows.iter().flatten().map(class).collect();
        image.interfaces = interfaces.of.iter().map(|(index, kind)| (*index, ((kind + 1) * stride) as u32)).collect();
        let row_of = numbers_of(&places);
        image.classes(Side::Destination, &mut |set| {
            if set == 0 { 0 } else { (row_of[set as usize] + 1) * kinds.len() as u32 }
        });
        let row = |(id, set): &(u32, u32)| (*id, (row_of[*set as usize] + 1) * kinds.len() as u32);
        image.asked_to = asked_to.iter().map(row).collect();
    }
    (image.pairs, image.sparse) = (pairs.cells, pairs.sparse);
    Crowded::within(pairs.sources.len(), MAX_SOURCES, "kinds of sources", Blame::Sources)?;
    image.asked_from = asked_from.iter().map(|(id, set)| (*id, pairs.sources[set])).collect();
    image.sources = pairs.sources.values().copied().collect();
    let class_of = numbers_of(&pairs.sources.into_keys().collect::<Vec<_>>());
    image.classes(Side::Source, &mut |set| class_of[set as usize]);
    Ok(())
}

/// The sets in use, and those of rules that name a set of prefixes.
fn with(mut used: BTreeSet<u32>, asked: &[(u32, u32)]) -> BTreeSet<u32> {
    used.extend(asked.iter().map(|(_, set)| *set));
    used
}

/// By set, its place in an ascending list of sets.
fn numbers_of(sets: &[u32]) -> Vec<u32> {
    let mut numbers = vec![0; sets.last().map_or(0, |last| *last as usize + 1)];
    for (number, set) in (0..).zip(sets) {
        numbers[*set as usize] = number;
    }
    numbers
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

#[cfg(test)]
mod tests;
