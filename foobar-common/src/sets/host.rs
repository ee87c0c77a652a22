//! The host's own sets: the lines that packets read in the kernel, in vectors.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    QUESTION_WORDS,
    contents::{Contents, Prefix},
    shape::{ARRAY_LINES, LINE_WORDS, STRIDES_WORD, TIMED_WORD, element},
    table::{Crowded, Memory, Table, arrays},
    tables::{Lines, SetTables},
};
use crate::{
    image::HostTables,
    layout::{FRONT_WORDS, SET_RECORD_WORDS},
};

/// The lines from a slot on, and the front, shared with who writes them.
#[derive(Clone, Debug)]
pub struct HostLines {
    words: Arc<[AtomicU64]>,
    front: HostFront,
    /// The slot's first line.
    first: usize,
}

#[derive(Clone, Debug)]
pub struct HostFront(pub Arc<[AtomicU64]>);

/// Every set, by its id.
#[derive(Clone, Debug, Default)]
pub struct HostSets {
    pub records: Vec<[u64; SET_RECORD_WORDS]>,
    /// The first one is empty.
    pub slots: Vec<Option<HostLines>>,
    /// Behind the first one, which is empty.
    pub fronts: Vec<Option<HostFront>>,
    pub timed: HashMap<[u64; 3], u64>,
}

impl Memory for HostLines {
    fn word(&self, index: usize) -> &AtomicU64 {
        &self.words[index]
    }

    fn front(&self, index: usize) -> &AtomicU64 {
        &self.front.0[index]
    }
}

impl Lines for HostLines {
    type Line = [u64; LINE_WORDS];

    fn line(&self, index: u32) -> Option<[u64; LINE_WORDS]> {
        let words = self.words.as_chunks::<LINE_WORDS>().0.get(self.first + index as usize)?;
        Some(words.each_ref().map(|word| word.load(Ordering::Acquire)))
    }
}

impl HostSets {
    /// Adds a set with these prefixes of IPv4 and IPv6, and the tables to change it by.
    pub fn push(&mut self, families: [&Contents; 2]) -> [Table<HostLines>; 2] {
        let zeros = |count: usize| (0..count).map(|_| AtomicU64::new(0)).collect();
        let make = |lines: u32| {
            let front = HostFront(zeros(FRONT_WORDS));
            Ok::<_, Crowded>(HostLines { words: zeros(lines as usize * LINE_WORDS), front, first: 0 })
        };
        if self.slots.is_empty() {
            (self.slots, self.fronts) = (vec![None], vec![None]);
        }
        let mut record = [0; SET_RECORD_WORDS];
        let tables = [false, true].map(|v6| {
            let mut seed = 0;
            let chance = || {
                seed += 1;
                seed
            };
            let table = Table::build(families[usize::from(v6)], v6, chance, make).expect("they are not crafted");
            record[usize::from(v6)] = table.extent(self.slots.len() as u32, self.fronts.len() as u32).word();
            self.fronts.push(Some(table.memory().front.clone()));
            for array in 0..arrays(table.lines()).max(1) {
                let first = (array * ARRAY_LINES) as usize;
                self.slots.push(Some(HostLines { first, ..table.memory().clone() }));
            }
            table
        });
        record[STRIDES_WORD..TIMED_WORD].copy_from_slice(&tables[1].stride_words());
        self.records.push(record);
        tables
    }

    /// Has a set of these prefixes by an id, each with whether it is IPv6's.
    pub fn put(&mut self, id: usize, prefixes: impl Iterator<Item = (bool, Prefix)>) {
        let mut families = [Contents::default(), Contents::default()];
        for (v6, prefix) in prefixes {
            families[usize::from(v6)].insert(prefix);
        }
        let [v4, v6] = &families;
        self.push([v4, v6]);
        let record = self.records.pop().unwrap_or_default();
        self.records.resize(self.records.len().max(id + 1), [0; SET_RECORD_WORDS]);
        self.records[id] = record;
    }

    /// Adds an element that ends at a second.
    pub fn add_until(&mut self, set: usize, v6: bool, prefix: Prefix, until: u64) {
        let words = &mut self.records[set][TIMED_WORD + 2 * usize::from(v6)..][..2];
        let lens: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let place = lens.iter().position(|len| [0, prefix.len].contains(len)).expect("room for a length");
        words[place / 8] |= u64::from(prefix.len) << (place % 8 * 8);
        self.timed.insert(element(set, v6, u64::from(prefix.len), prefix.halves()), until);
    }
}

impl SetTables for HostTables {
    type Lines = HostLines;
    type Put = [u64; QUESTION_WORDS];

    fn put(&self, question: [u64; QUESTION_WORDS]) {
        self.question.set(question);
    }

    fn question(&self) -> Option<[u64; QUESTION_WORDS]> {
        Some(self.question.get())
    }

    fn asked(&self, _: usize, place: usize) -> u64 {
        self.image.asked(place)[0]
    }

    fn asked_of(&self, _: usize, place: usize) -> u64 {
        self.image.asked(place)[1]
    }

    fn set_word(&self, set: usize, word: usize) -> u64 {
        self.sets.records.get(set).map_or(0, |record| record[word])
    }

    fn front(&self, region: u32, word: usize) -> u64 {
        let front = self.sets.fronts.get(region as usize).and_then(Option::as_ref);
        front.map_or(0, |front| front.0[word].load(Ordering::Relaxed))
    }

    fn lines(&self, slot: u32) -> Option<HostLines> {
        self.sets.slots.get(slot as usize).cloned().flatten()
    }

    fn until(&self, element: &[u64; 3]) -> Option<u64> {
        self.sets.timed.get(element).copied()
    }
}
