//! Which rules speak of each address: a side's prefixes, built into its tries.
//!
//! Prefixes are built shorter first, so that each is written once over the one around it, whose rules it has too.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
};

use foobar_common::{
    address::{V4, V6},
    image::Image,
    layout::{MAX_NODES, Side},
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{crowded::Crowded, rule_sets::RuleSets};

/// By length and prefix: the places of the rules that name it, first first.
#[derive(Debug, Default)]
pub struct Prefixes(BTreeMap<(u8, IpNet), Vec<u32>>);

impl Prefixes {
    /// A rule names a prefix.
    pub fn name(&mut self, prefix: IpNet, place: u32) {
        let places = self.0.entry((prefix.prefix_len(), prefix)).or_default();
        if places.last() != Some(&place) {
            places.push(place);
        }
    }

    /// A rule names every address.
    pub fn name_all(&mut self, place: u32) {
        self.name(Ipv4Net::default().into(), place);
        self.name(Ipv6Net::default().into(), place);
    }

    /// The places of the rules that name the most prefixes, those first.
    fn longest(&self) -> Vec<u32> {
        let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
        for place in self.0.values().flatten() {
            *counts.entry(*place).or_default() += 1;
        }
        let mut places: Vec<_> = counts.into_iter().collect();
        places.sort_by_key(|(_, count)| Reverse(*count));
        places.into_iter().map(|(place, _)| place).collect()
    }

    /// Writes each address's set into the side's tries.
    pub fn build(&self, side: Side, image: &mut Image, alone: impl Fn(u32) -> bool) -> Result<RuleSets, Crowded> {
        let mut sets = RuleSets::default();
        let mut known: HashMap<(u32, &[u32]), u32> = HashMap::new();
        for ((len, prefix), places) in &self.0 {
            let (mut last, mut crowded) = (None, None);
            let mut join = |around: u32| {
                if let Some((_, set)) = last.filter(|(before, _)| *before == around) {
                    return set;
                }
                let set = known
                    .get(&(around, places.as_slice()))
                    .map_or_else(|| together(&mut sets, around, places, &alone), |set| Ok(*set));
                let set = set.unwrap_or_else(|error| {
                    crowded = Some(error);
                    around
                });
                known.insert((around, places), set);
                last = Some((around, set));
                set
            };
            let len = u32::from(*len);
            match prefix {
                IpNet::V4(net) => {
                    let (root, nodes) = image.trie(side, false);
                    root.insert(nodes, V4::from(net.addr()), len, &mut join);
                }
                IpNet::V6(net) => {
                    let (root, nodes) = image.trie(side, true);
                    root.insert(nodes, V6::from(net.addr()), len, &mut join);
                }
            }
            if let Some(crowded) = crowded {
                return Err(crowded);
            }
            if image.nodes.0.len() > MAX_NODES {
                return Err(Crowded::nodes(self.longest()));
            }
        }
        Ok(sets)
    }
}

/// The rules of the set around a prefix and those that name it.
fn together(sets: &mut RuleSets, around: u32, places: &[u32], alone: impl Fn(u32) -> bool) -> Result<u32, Crowded> {
    let mut all = sets.rules(around);
    all.extend(places);
    all.sort_unstable();
    sets.of(all, alone)
}
