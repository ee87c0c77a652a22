//! What a packet is for: the rules that match its destination and its protocol and port, merged.
//!
//! Each side has its sets of rules. Where no rule names a destination, a port's set is all there is; else each pair of a
//! destination's set and a port's has a merged one.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    pairs::Side,
    rule_sets::{Crowded, RuleSets},
};

/// What a rule names, and whether it holds always.
#[derive(Clone, Copy, Debug)]
pub struct Named {
    pub source: bool,
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
        self.destination || self.port
    }
}

/// Merged sets: all rules of each that hold for a target.
pub struct Targets {
    pub side: Side,
    /// By kind of port: for destinations that no rule names.
    pub elsewhere: Vec<u32>,
    /// By kind of destination, then by kind of port.
    pub at: Vec<Vec<u32>>,
}

/// Merges the sets in use, `destinations` without the empty one. `named` is by a rule's place.
pub fn merge(
    destinations: (&RuleSets, &[u32]),
    ports: (&RuleSets, &[u32]),
    named: &[Named],
) -> Result<Targets, Crowded> {
    let mut side = Side { sets: RuleSets::default(), used: BTreeSet::new() };
    let mut anywhere = Vec::new();
    let mut kinds_of: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (kind, set) in ports.1.iter().enumerate() {
        let (here, everywhere): (Vec<_>, Vec<_>) =
            ports.0.rules(*set).into_iter().partition(|place| named[*place as usize].destination);
        for place in here {
            kinds_of.entry(place).or_default().push(kind);
        }
        anywhere.push(everywhere);
    }
    let elsewhere = anywhere.iter().map(|rules| add(&mut side, rules, named)).collect::<Result<Vec<_>, _>>()?;
    let mut at = Vec::new();
    for set in destinations.1 {
        let mut more = vec![Vec::new(); anywhere.len()];
        for place in destinations.0.rules(*set) {
            if named[place as usize].port {
                kinds_of.get(&place).into_iter().flatten().for_each(|kind| more[*kind].push(place));
            } else {
                for rules in &mut more {
                    rules.push(place);
                }
            }
        }
        let mut row = elsewhere.clone();
        for (kind, mut rules) in more.into_iter().enumerate().filter(|(_, rules)| !rules.is_empty()) {
            rules.extend(&anywhere[kind]);
            rules.sort_unstable();
            row[kind] = add(&mut side, &rules, named)?;
        }
        at.push(row);
    }
    Ok(Targets { side, elsewhere, at })
}

/// The set of these rules, first first.
fn add(side: &mut Side, rules: &[u32], named: &[Named]) -> Result<u32, Crowded> {
    let set = side.sets.of(rules.iter().copied(), |place| {
        let Named { source, ends, .. } = named[place as usize];
        !(source || ends)
    })?;
    side.used.insert(set);
    Ok(set)
}
