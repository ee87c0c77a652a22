//! Pairs: for a class of sources and a class of targets, the first rule that constrains both.
//!
//! They stand in a dense table while there is room for one, else in a hash of those that some rule constrains.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use foobar_common::{
    class::{Class, Port},
    decision::Decision,
    layout::{MAX_PAIRS, MAX_SOURCES, MAX_SPARSE},
    sparse,
};

use super::{
    crowded::{Blame, Crowded},
    links::{Answer, Answers},
    rule_sets::RuleSets,
    targets::Named,
};

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
    /// By key, where the cells have no room.
    pub sparse: BTreeMap<u32, u32>,
}

/// Where pairs stand while they are laid out.
enum Cells {
    /// Row after row, row and column 0 empty, so that 0 says that there are no pairs.
    Dense {
        stride: usize,
        list: Vec<Answer>,
    },
    Sparse(BTreeMap<u32, Answer>),
}

impl Cells {
    fn new(rows: usize, columns: usize) -> Self {
        let stride = columns + 1;
        let count = if columns == 0 { 0 } else { stride * (rows + 1) };
        if count > MAX_PAIRS {
            return Self::Sparse(BTreeMap::new());
        }
        Self::Dense { stride, list: vec![Answer::default(); count] }
    }

    /// A row's part of the index.
    fn row(&self, row: usize) -> u32 {
        match self {
            Self::Dense { stride, list: _ } => (row * stride) as u32,
            Self::Sparse(_) => sparse::row(row),
        }
    }

    fn at(&mut self, row: usize, column: usize) -> &mut Answer {
        let index = self.row(row) + column as u32;
        match self {
            Self::Dense { stride: _, list } => &mut list[index as usize],
            Self::Sparse(pairs) => pairs.entry(index).or_default(),
        }
    }

    fn answers(&self) -> Vec<Answer> {
        match self {
            Self::Dense { stride: _, list } => list.clone(),
            Self::Sparse(pairs) => pairs.values().copied().collect(),
        }
    }

    fn are_crowded(&self) -> bool {
        matches!(self, Self::Sparse(pairs) if pairs.len() > MAX_SPARSE)
    }
}

/// Lays the pairs out. `named` and `answers` are of the rules by place.
///
/// Refuses what has neither [`MAX_PAIRS`] cells nor [`MAX_SPARSE`] pairs at most.
pub fn lay_out(sources: &Side, targets: &Side, named: &[Named], answers: &mut Answers) -> Result<Pairs, Crowded> {
    let columns: Vec<_> = with_pairs(targets, named).collect();
    let rows: Vec<_> = with_pairs(sources, named).collect();
    Crowded::within(columns.len(), Port::MAX_KINDS - 1, "kinds of targets that sources are for", Blame::Ports)?;
    Crowded::within(rows.len(), MAX_SOURCES - 1, "kinds of sources", Blame::Sources)?;
    let mut cells = Cells::new(rows.len(), columns.len());
    fill(&mut cells, (sources, &rows), (targets, &columns), named, answers)?;
    let (of_sources, of_targets) = (alone(sources, named, answers)?, alone(targets, named, answers)?);
    answers.refuse_many_hops([
        &mut of_sources.values() as &mut dyn Iterator<Item = _>,
        &mut of_targets.values(),
        &mut cells.answers().iter(),
    ])?;
    let row = |index: usize| cells.row(index + 1);
    let column = |index: usize| index as u32 + 1;
    let mut pairs = Pairs {
        sources: classes(of_sources, &rows, row, answers)?,
        targets: classes(of_targets, &columns, column, answers)?,
        cells: Vec::new(),
        sparse: BTreeMap::new(),
    };
    let mut word = |answer| answers.decision(answer).map(Decision::word);
    match cells {
        Cells::Dense { stride: _, list } => pairs.cells = list.into_iter().map(word).collect::<Result<_, _>>()?,
        Cells::Sparse(list) => {
            for (key, answer) in list {
                pairs.sparse.insert(key, word(answer)?);
            }
        }
    }
    Ok(pairs)
}

/// The places of the rules that are in the most rows and columns: two and one, busiest first.
fn busiest((sources, rows): (&Side, &[u32]), (targets, columns): (&Side, &[u32]), named: &[Named]) -> Vec<u32> {
    let of = |side: &Side, sets: &[u32]| {
        let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
        for place in sets.iter().flat_map(|set| pairs(side, *set, named)) {
            *counts.entry(place).or_default() += 1;
        }
        let mut places: Vec<_> = counts.into_iter().collect();
        places.sort_by_key(|(_, count)| Reverse(*count));
        places.into_iter().map(|(place, _)| place).collect::<Vec<_>>()
    };
    let (mut places, of_rows) = (of(targets, columns), of(sources, rows));
    places.truncate(2);
    places.extend(of_rows.into_iter().find(|place| !places.contains(place)));
    places
}

/// Writes the first rule that constrains both sides into each cell, and what follows it.
fn fill(
    cells: &mut Cells,
    (sources, rows): (&Side, &[u32]),
    (targets, columns): (&Side, &[u32]),
    named: &[Named],
    answers: &mut Answers,
) -> Result<(), Crowded> {
    let mut of_rule: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (index, set) in columns.iter().enumerate() {
        for place in pairs(targets, *set, named) {
            of_rule.entry(place).or_default().push(index + 1);
        }
    }
    let mut steps = 0;
    for (index, set) in rows.iter().enumerate() {
        // Last first, so that each stands before those behind it.
        for place in pairs(sources, *set, named) {
            let matching = of_rule.get(&place).map_or(&[][..], Vec::as_slice);
            steps += matching.len();
            if steps > MAX_STEPS {
                return Err(Crowded::overlap(vec![place]));
            }
            if cells.are_crowded() {
                let problem = format!(
                    "the rules that name both a source and a target make {} kinds of sources, {} kinds of targets and more \
                     than the {MAX_SPARSE} pairs of them that there is room for",
                    rows.len(),
                    columns.len()
                );
                let places = busiest((sources, rows), (targets, columns), named);
                return Err(Crowded::new(problem, Blame::Places(places)));
            }
            for column in matching {
                let cell = cells.at(index + 1, *column);
                *cell = answers.before(place, *cell)?;
            }
        }
    }
    Ok(())
}

/// The rules of a set that constrain both sides, last first.
fn pairs(side: &Side, set: u32, named: &[Named]) -> impl Iterator<Item = u32> {
    side.sets.last_first(set).filter(|place| named[*place as usize].is_pair())
}

/// The sets in use that have rules which constrain both sides.
fn with_pairs(side: &Side, named: &[Named]) -> impl Iterator<Item = u32> {
    side.used.iter().copied().filter(|set| pairs(side, *set, named).next().is_some())
}

/// By set in use, what its rules that constrain this side alone decide.
fn alone(side: &Side, named: &[Named], answers: &mut Answers) -> Result<BTreeMap<u32, Answer>, Crowded> {
    let mut alone = BTreeMap::new();
    for set in &side.used {
        let mut rules = side.sets.last_first(*set).filter(|place| !named[*place as usize].is_pair());
        alone.insert(*set, rules.try_fold(Answer::default(), |next, place| answers.before(place, next))?);
    }
    Ok(alone)
}

fn classes(
    alone: BTreeMap<u32, Answer>,
    paired: &[u32],
    index: impl Fn(usize) -> u32,
    answers: &mut Answers,
) -> Result<BTreeMap<u32, Class>, Crowded> {
    let mut classes = BTreeMap::new();
    for (set, answer) in alone {
        classes.insert(set, Class { decision: answers.decision(answer)?, pairs: 0 });
    }
    for (place, set) in paired.iter().enumerate() {
        classes.entry(*set).and_modify(|class| class.pairs = index(place));
    }
    Ok(classes)
}
