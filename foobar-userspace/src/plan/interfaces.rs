//! Which rules speak of each interface: those of which the same rules speak are of one kind.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::Rule;

/// By an interface's name, the indexes that it goes by in the kernel; a name without one has no interface.
pub type Ifindexes = BTreeMap<String, BTreeSet<u32>>;

/// Kinds of interfaces that rules name.
#[derive(Debug, Default)]
pub struct Interfaces {
    /// The places of the rules that name a kind's interfaces, first first.
    pub kinds: Vec<Vec<u32>>,
    /// By an interface's index, its kind.
    pub of: BTreeMap<u32, usize>,
}

impl Interfaces {
    /// `rules` are in the order of the list.
    pub fn of_rules<'a>(rules: impl Iterator<Item = &'a Rule>, ifindexes: &Ifindexes) -> Self {
        let mut places: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (place, rule) in (0..).zip(rules) {
            let named: BTreeSet<_> = rule.on.iter().filter_map(|name| ifindexes.get(name)).flatten().collect();
            for ifindex in named {
                places.entry(*ifindex).or_default().push(place);
            }
        }
        let mut interfaces = Self::default();
        let mut numbers = BTreeMap::new();
        for (ifindex, places) in places {
            let kind = *numbers.entry(places).or_insert_with_key(|places| {
                interfaces.kinds.push(places.clone());
                interfaces.kinds.len() - 1
            });
            interfaces.of.insert(ifindex, kind);
        }
        interfaces
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_of_which_the_same_rules_speak_are_of_one_kind() {
        let rules = ["deny tcp/25 on eth0,eth1", "allow udp on eth1", "deny on eth2,gone", "allow tcp/25 on eth0,wan"];
        let rules = rules.map(|text| text.parse::<Rule>().expect("a rule"));
        let ifindexes =
            [("eth0", vec![3]), ("wan", vec![3]), ("eth1", vec![7]), ("eth2", vec![5, 9]), ("gone", vec![])];
        let ifindexes = ifindexes.map(|(name, of)| (name.to_owned(), of.into_iter().collect()));

        let found = Interfaces::of_rules(rules.iter(), &ifindexes.into());

        assert_eq!(found.kinds, [vec![0, 3], vec![2], vec![0, 1]]);
        assert_eq!(found.of, [(3, 0), (5, 1), (7, 2), (9, 1)].into());
    }
}
