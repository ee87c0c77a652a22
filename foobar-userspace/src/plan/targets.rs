//! What a packet is for: the rules that match its interface, its destination, and its protocol and port, merged.
//!
//! Each of these has its sets of rules. Where no rule names an interface or a destination, a port's set is all there is;
//! else each interface's, destination's and port's sets together have a merged one.

use std::collections::{BTreeMap, BTreeSet};

use super::{crowded::Crowded, pairs::Side, rule_sets::RuleSets};

/// What a rule names, and whether it holds always.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "a rule names each of these or does not")]
pub struct Named {
    pub source: bool,
    pub interface: bool,
    pub destination: bool,
    pub port: bool,
    /// Its time can be over: what stands behind it can decide.
    pub ends: bool,
}

impl Named {
    /// It constrains source and target.
    pub fn is_pair(self) -> bool {
        self.source && self.is_target()
    }

    /// It constrains the target.
    pub fn is_target(self) -> bool {
        self.interface || self.destination || self.port
    }
}

/// Merged sets: all rules of each that hold for a target.
pub struct Targets {
    pub side: Side,
    /// By kind of interface, then of destination, then of port; the first of each but the last is of those that no rule
    /// names.
    pub rows: Vec<Vec<u32>>,
}

/// By kind of port, at some kind of interface and destination.
#[derive(Clone, Debug, Default)]
struct Row {
    rules: Vec<Vec<u32>>,
    sets: Vec<u32>,
}

/// Merges the sets in use, `destinations` without the empty one. `named` is by a rule's place.
pub fn merge(
    interfaces: &[Vec<u32>],
    destinations: (&RuleSets, &[u32]),
    ports: (&RuleSets, &[u32]),
    named: &[Named],
) -> Result<Targets, Crowded> {
    let mut merging = Merging::new(ports, named);
    let anywhere = merging.anywhere()?;
    let mut rows = Vec::new();
    for places in std::iter::once(&Vec::new()).chain(interfaces) {
        let mut here = anywhere.clone();
        let of_interface = places.iter().copied().filter(|place| !named[*place as usize].destination);
        for (kind, rules) in merging.wider(&anywhere, of_interface) {
            here.sets[kind] = merging.add(&rules)?;
            here.rules[kind] = rules;
        }
        rows.push(here.sets.clone());
        for set in destinations.1 {
            let mut sets = here.sets.clone();
            let holds = |place: &u32| !named[*place as usize].interface || places.binary_search(place).is_ok();
            for (kind, rules) in merging.wider(&here, destinations.0.rules(*set).into_iter().filter(holds)) {
                sets[kind] = merging.add(&rules)?;
            }
            rows.push(sets);
        }
    }
    Ok(Targets { side: merging.side, rows })
}

/// Merged sets in the making.
struct Merging<'a> {
    named: &'a [Named],
    /// By kind of port, the rules that name neither interface nor destination.
    anywhere: Vec<Vec<u32>>,
    /// By the place of a rule that names both a port and an interface or destination: its kinds of ports.
    kinds_of: BTreeMap<u32, Vec<usize>>,
    side: Side,
}

impl<'a> Merging<'a> {
    fn new(ports: (&RuleSets, &[u32]), named: &'a [Named]) -> Self {
        let mut anywhere = Vec::new();
        let mut kinds_of: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (kind, set) in ports.1.iter().enumerate() {
            let (narrowed, everywhere): (Vec<_>, Vec<_>) = ports.0.rules(*set).into_iter().partition(|place| {
                let Named { interface, destination, .. } = named[*place as usize];
                interface || destination
            });
            for place in narrowed {
                kinds_of.entry(place).or_default().push(kind);
            }
            anywhere.push(everywhere);
        }
        Self { named, anywhere, kinds_of, side: Side { sets: RuleSets::default(), used: BTreeSet::new() } }
    }

    /// Where no rule names the interface or the destination.
    fn anywhere(&mut self) -> Result<Row, Crowded> {
        let rules = std::mem::take(&mut self.anywhere);
        let sets = rules.iter().map(|rules| self.add(rules)).collect::<Result<_, _>>()?;
        Ok(Row { rules, sets })
    }

    /// The kinds of ports of which rules at these places speak too, and all rules there, first first.
    fn wider(&self, row: &Row, places: impl Iterator<Item = u32>) -> Vec<(usize, Vec<u32>)> {
        let mut more = vec![Vec::new(); row.rules.len()];
        for place in places {
            if self.named[place as usize].port {
                self.kinds_of.get(&place).into_iter().flatten().for_each(|kind| more[*kind].push(place));
            } else {
                for rules in &mut more {
                    rules.push(place);
                }
            }
        }
        let mut changed: Vec<_> = more.into_iter().enumerate().filter(|(_, rules)| !rules.is_empty()).collect();
        for (kind, rules) in &mut changed {
            rules.extend(&row.rules[*kind]);
            rules.sort_unstable();
        }
        changed
    }

    /// The set of these rules, first first.
    fn add(&mut self, rules: &[u32]) -> Result<u32, Crowded> {
        let is_final = |place: u32| !(self.named[place as usize].source || self.named[place as usize].ends);
        let set = self.side.sets.of(rules.iter().copied(), is_final)?;
        self.side.used.insert(set);
        Ok(set)
    }
}
