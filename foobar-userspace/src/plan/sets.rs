//! Named sets among the rules: each is one more source, or one more destination, with the rules that name it.

use std::collections::BTreeMap;

use foobar_common::layout::{MAX_ASKED, MAX_ASKED_TO};

use super::{crowded::Crowded, rule_sets::RuleSets};
use crate::{api::types::Refusal, domain::Source};

/// Ids of sets by name.
pub type SetIds = BTreeMap<String, u32>;

/// By a set's id: the places of the rules that name it on one side, first first.
#[derive(Debug, Default)]
pub struct Asked(BTreeMap<u32, Vec<u32>>);

impl Asked {
    /// The rule at `place` names these. Sets that have no id are refused where the configuration is checked.
    pub fn name(&mut self, sources: &[Source], place: u32, ids: &SetIds) {
        for source in sources {
            let Source::Set(name) = source else { continue };
            let Some(id) = ids.get(name) else { continue };
            let places = self.0.entry(*id).or_default();
            if places.last() != Some(&place) {
                places.push(place);
            }
        }
    }

    /// Each set with the number of its rules among the side's sets of rules.
    pub fn number(&self, sets: &mut RuleSets, alone: impl Fn(u32) -> bool) -> Result<Vec<(u32, u32)>, Crowded> {
        let number = |(id, places): (&u32, &Vec<u32>)| Ok((*id, sets.of(places.iter().copied(), &alone)?));
        let mut number = number;
        self.0.iter().map(&mut number).collect()
    }

    /// Refuses more than a packet is asked for.
    pub fn within(from: &Self, to: &Self) -> Result<(), Refusal> {
        for (asked, word, most) in [(to, "to", MAX_ASKED_TO), (from, "from", MAX_ASKED - MAX_ASKED_TO)] {
            let count = asked.0.len();
            if count > most {
                let problem = format!("the rules name {count} sets in `{word}`, and {most} is the most");
                return Err(Refusal::refused(problem).hint("join sets that the same rules name"));
            }
        }
        Ok(())
    }
}
