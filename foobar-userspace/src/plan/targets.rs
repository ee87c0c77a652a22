//! What a packet is for: the rules that match its destination and its protocol and port, merged.
//!
//! Each side has its sets of rules. Where no rule names a destination, a port's set is all there is; else each pair of a
//! destination's set and a port's has a merged one.

use std::collections::BTreeSet;

use super::{pairs::Side, sets::Sets};

/// What of a rule concerns its target.
#[derive(Clone, Copy, Debug)]
pub struct Named {
    pub source: bool,
    pub destination: bool,
    pub port: bool,
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
pub fn merge(destinations: (&Sets, &[u32]), ports: (&Sets, &[u32]), named: &[Named]) -> Targets {
    let mut side = Side { sets: Sets::default(), used: BTreeSet::new() };
    let mut add = |places: &mut dyn Iterator<Item = u32>| {
        let set = places.fold(0, |set, place| side.sets.with(set, place, !named[place as usize].source));
        side.used.insert(set);
        set
    };
    let of_ports: Vec<_> = ports.1.iter().map(|kind| ports.0.rules(*kind)).collect();
    let anywhere = |place: &u32| !named[*place as usize].destination;
    let elsewhere = of_ports.iter().map(|rules| add(&mut rules.iter().copied().filter(anywhere))).collect();
    let mut at = Vec::new();
    for kind in destinations.1 {
        let here = destinations.0.rules(*kind);
        let merged = |rules: &Vec<u32>| {
            let port = |place: &u32| !named[*place as usize].port || rules.contains(place);
            let both: BTreeSet<_> =
                here.iter().copied().filter(port).chain(rules.iter().copied().filter(anywhere)).collect();
            add(&mut both.into_iter())
        };
        at.push(of_ports.iter().map(merged).collect());
    }
    Targets { side, elsewhere, at }
}
