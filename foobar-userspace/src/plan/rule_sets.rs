//! Sets of rules that match the same packets as far as one side of a packet tells, each numbered once.
//!
//! Rules come in the order of the list, so a set is a smaller set and one rule more, and the same steps lead to the same
//! number.

use std::{cmp::Reverse, collections::HashMap};

use super::crowded::Crowded;

/// Steps that making one side's sets may take: more are refused before time runs out.
const MAX_STEPS: usize = 100_000_000;
/// Sets of one side: more are refused before memory runs out.
const MAX_SETS: usize = 2_500_000;

/// Places that are found to be busy.
const BUSIEST: usize = 3;

/// Numbered sets; 0 is the empty one.
#[derive(Debug)]
pub struct RuleSets {
    list: Vec<Set>,
    steps: usize,
    numbers: HashMap<(u32, u32), u32>,
}

#[derive(Clone, Copy, Debug)]
struct Set {
    /// The set without its last rule.
    before: u32,
    /// The last rule's place.
    last: u32,
    /// The last rule decides whatever comes behind it.
    is_final: bool,
}

impl Default for RuleSets {
    fn default() -> Self {
        Self { list: vec![Set { before: 0, last: u32::MAX, is_final: false }], steps: 0, numbers: HashMap::new() }
    }
}

impl RuleSets {
    /// The set and one rule more, which stands behind all of the set's. `is_final`: it constrains this side alone, and
    /// holds always.
    ///
    /// Behind such a rule none can be the first to match, so that the set stays as it is.
    fn with(&mut self, set: u32, place: u32, is_final: bool) -> u32 {
        let before = self.list[set as usize];
        if before.is_final || before.last == place {
            return set;
        }
        *self.numbers.entry((set, place)).or_insert_with(|| {
            self.list.push(Set { before: set, last: place, is_final });
            self.list.len() as u32 - 1
        })
    }

    /// The set of these rules, first first. `is_final` says of a rule's place whether it decides whatever comes behind it.
    pub fn of(
        &mut self,
        places: impl IntoIterator<Item = u32>,
        is_final: impl Fn(u32) -> bool,
    ) -> Result<u32, Crowded> {
        let mut set = 0;
        for place in places {
            self.steps += 1;
            if self.steps > MAX_STEPS || self.list.len() > MAX_SETS {
                return Err(Crowded::overlap(self.busiest()));
            }
            set = self.with(set, place, is_final(place));
            if is_final(place) {
                break;
            }
        }
        Ok(set)
    }

    /// The places of the rules that are in the most combinations with those before them, busiest first.
    pub fn busiest(&self) -> Vec<u32> {
        let mut sets: HashMap<u32, usize> = HashMap::new();
        for set in &self.list[1..] {
            *sets.entry(set.last).or_default() += 1;
        }
        let mut places: Vec<_> = sets.into_iter().collect();
        places.sort_unstable_by_key(|(place, count)| (Reverse(*count), *place));
        places.into_iter().map(|(place, _)| place).take(BUSIEST).collect()
    }

    /// All rules of the set, first first.
    pub fn rules(&self, set: u32) -> Vec<u32> {
        let mut rules: Vec<_> = self.last_first(set).collect();
        rules.reverse();
        rules
    }

    /// All rules of the set, last first.
    pub fn last_first(&self, set: u32) -> impl Iterator<Item = u32> {
        let mut next = set;
        std::iter::from_fn(move || {
            let Set { before, last, is_final: _ } = self.list[next as usize];
            (next != 0).then(|| {
                next = before;
                last
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_rules_are_the_same_set_and_end_at_one_that_is_final() {
        let mut sets = RuleSets::default();
        let one = sets.with(0, 3, false);
        let two = sets.with(one, 5, false);
        assert_eq!(sets.with(sets.numbers[&(0, 3)], 5, false), two);
        assert_eq!(sets.with(two, 5, false), two, "a rule can name an address twice");
        let three = sets.with(two, 8, true);
        assert_eq!(sets.with(three, 9, false), three);
        assert_eq!(sets.last_first(three).collect::<Vec<_>>(), [8, 5, 3]);
        assert_eq!(sets.rules(three), [3, 5, 8]);
        assert!(sets.rules(0).is_empty());
        sets.with(0, 5, false);
        assert_eq!(sets.busiest(), [5, 3, 8]);
    }
}
