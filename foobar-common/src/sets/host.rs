//! The host's own sets: the lines that packets read in the kernel, in vectors.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    contents::{Contents, Prefix},
    shape::{LINE_WORDS, TIMED_WORD, element},
    table::{Memory, Table},
};
use crate::{
    layout::SET_RECORD_WORDS,
    tables::{Line, Lines},
};

/// The lines of one slot, shared with who writes them.
#[derive(Clone, Debug)]
pub struct HostLines(pub Arc<[AtomicU64]>);

/// One line, as its words were when it was asked for.
pub struct HostLine([u64; LINE_WORDS]);

/// Every set, by its id.
#[derive(Clone, Debug, Default)]
pub struct HostSets {
    pub records: Vec<[u64; SET_RECORD_WORDS]>,
    /// The first one is empty.
    pub slots: Vec<Option<HostLines>>,
    pub timed: HashMap<[u64; 3], u64>,
}

impl Memory for HostLines {
    fn word(&self, index: usize) -> &AtomicU64 {
        &self.0[index]
    }
}

impl Line for HostLine {
    fn word(&self, index: usize) -> u64 {
        self.0[index]
    }
}

impl Lines for HostLines {
    type Line = HostLine;

    fn line(&self, index: u32) -> Option<HostLine> {
        let words = self.0.as_chunks::<LINE_WORDS>().0.get(index as usize)?;
        Some(HostLine(words.each_ref().map(|word| word.load(Ordering::Acquire))))
    }
}

impl HostSets {
    /// Adds a set with these prefixes of IPv4 and IPv6, and the tables to change it by.
    pub fn push(&mut self, families: [&Contents; 2]) -> [Table<HostLines>; 2] {
        let make = |lines: u32| {
            let words = (0..lines as usize * LINE_WORDS).map(|_| AtomicU64::new(0)).collect();
            Ok::<_, std::convert::Infallible>(HostLines(words))
        };
        if self.slots.is_empty() {
            self.slots.push(None);
        }
        let mut record = [0; SET_RECORD_WORDS];
        let tables = [false, true].map(|v6| {
            let Ok(table) = Table::build(families[usize::from(v6)], v6, make);
            record[usize::from(v6)] = table.extent(self.slots.len() as u32).word();
            self.slots.push(Some(table.memory().clone()));
            table
        });
        record[2..4].copy_from_slice(&tables[1].stride_words());
        self.records.push(record);
        tables
    }

    /// Adds an element that ends at a second.
    pub fn add_until(&mut self, set: usize, v6: bool, prefix: Prefix, until: u64) {
        let words = &mut self.records[set][TIMED_WORD + 2 * usize::from(v6)..][..2];
        let lens: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let place = lens.iter().position(|len| [0, prefix.len].contains(len)).expect("room for a length");
        words[place / 8] |= u64::from(prefix.len) << (place % 8 * 8);
        self.timed.insert(element(set, u64::from(prefix.len), prefix.halves()), until);
    }
}
