//! The table of pairs: for a class of sources and a class of targets, the first rule that constrains both.

use std::collections::{BTreeMap, BTreeSet};

use foobar_common::{
    class::{Class, Port},
    decision::Decision,
    layout::MAX_PAIRS,
};

use super::rule_sets::{Crowded, RuleSets};
use crate::api::types::Refusal;

/// Cells that may be written, some more than once.
const MAX_STEPS: usize = 100_000_000;

/// One side's numbered sets, and which of them are in use.
pub struct Side {
    pub sets: RuleSets,
    pub used: BTreeSet<u32>,
}

/// Both sides' classes, by set, and the table.
pub struct Pairs {
    pub sources: BTreeMap<u32, Class>,
    pub targets: BTreeMap<u32, Class>,
    pub cells: Vec<u32>,
}

/// Lays the table out: row and column 0 stay empty, so that 0 says that there are no pairs.
///
/// `decisions` are the rules', by place. Refuses what needs more than [`MAX_PAIRS`] cells.
pub fn lay_out(sources: &Side, targets: &Side, decisions: &[Decision]) -> Result<Pairs, Refusal> {
    let columns: Vec<_> = with_pairs(targets).collect();
    let rows: Vec<_> = with_pairs(sources).collect();
    let stride = columns.len() + 1;
    let count = if columns.is_empty() { 0 } else { stride * (rows.len() + 1) };
    if count > MAX_PAIRS || columns.len() >= Port::MAX_KINDS {
        return Err(Refusal::refused(format!(
            "the rules that name both a source and a target make {} kinds of sources and {} kinds of targets, whose table \
             needs {count} cells, and there is room for {MAX_PAIRS}",
            rows.len(),
            columns.len()
        ))
        .hint("join rules that have the same ports, or the same sources"));
    }
    let mut cells = vec![Decision::NONE.word(); count];
    let mut of_rule: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (index, set) in columns.iter().enumerate() {
        for place in targets.sets.pairs(*set) {
            of_rule.entry(place).or_default().push(index + 1);
        }
    }
    let mut steps = 0;
    for (index, set) in rows.iter().enumerate() {
        // Last first, so that the first overwrites.
        for place in sources.sets.pairs(*set) {
            let columns = of_rule.get(&place).map_or(&[][..], Vec::as_slice);
            steps += columns.len();
            if steps > MAX_STEPS {
                return Err(Crowded::Sets.into());
            }
            for column in columns {
                cells[(index + 1) * stride + column] = decisions[place as usize].word();
            }
        }
    }
    let row = |index: usize| ((index + 1) * stride) as u32;
    let column = |index: usize| index as u32 + 1;
    Ok(Pairs {
        sources: classes(sources, &rows, row, decisions),
        targets: classes(targets, &columns, column, decisions),
        cells,
    })
}

/// The sets in use that have rules which constrain both sides.
fn with_pairs(side: &Side) -> impl Iterator<Item = u32> {
    side.used.iter().copied().filter(|set| side.sets.pairs(*set).next().is_some())
}

fn classes(side: &Side, paired: &[u32], index: impl Fn(usize) -> u32, decisions: &[Decision]) -> BTreeMap<u32, Class> {
    let alone = |set: u32| side.sets.alone(set).map_or(Decision::NONE, |place| decisions[place as usize]);
    let mut classes: BTreeMap<_, _> =
        side.used.iter().map(|set| (*set, Class { decision: alone(*set), pairs: 0 })).collect();
    for (place, set) in paired.iter().enumerate() {
        classes.entry(*set).and_modify(|class| class.pairs = index(place));
    }
    classes
}
