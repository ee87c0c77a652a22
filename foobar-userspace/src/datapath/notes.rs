//! The notes of flows on tracked slots: read, and removed when they are over.

use anyhow::{Context as _, Result};
use foobar_common::{
    address::{V4, V6},
    note::Note,
    pick::{flow_hash, slot_index},
};

use super::Datapath;

/// A noted flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotedFlow {
    pub note: Note,
    key: Key,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    V4([u64; 2]),
    V6([u64; 5]),
}

impl NotedFlow {
    /// The words of the flow's key, as [`foobar_common::Address::flow_key`] makes them.
    pub fn key(&self) -> &[u64] {
        match &self.key {
            Key::V4(words) => words,
            Key::V6(words) => words,
        }
    }

    pub fn is_v6(&self) -> bool {
        matches!(self.key, Key::V6(_))
    }

    /// The slot of the flow in a ring of a service with this seed.
    pub fn slot(&self, seed: u32) -> u32 {
        let hash = match self.key {
            Key::V4([pair, ports]) => flow_hash(V4((pair >> 32) as u32), V4(pair as u32), ports, seed),
            Key::V6([a, b, c, d, ports]) => flow_hash(V6([a, b]), V6([c, d]), ports, seed),
        };
        slot_index(hash)
    }
}

impl Datapath {
    /// All notes of both families, as they stand.
    pub fn notes(&self) -> Result<Vec<NotedFlow>> {
        let mut flows = Vec::new();
        for item in &self.maps.notes_v4 {
            let (key, words) = item.context("reading the notes")?;
            flows.push(NotedFlow { note: Note::from_words(words), key: Key::V4(key) });
        }
        for item in &self.maps.notes_v6 {
            let (key, words) = item.context("reading the notes")?;
            flows.push(NotedFlow { note: Note::from_words(words), key: Key::V6(key) });
        }
        Ok(flows)
    }

    /// Forgets a flow. One that is gone already is what was wanted.
    pub fn forget(&mut self, flow: &NotedFlow) {
        let _ = match &flow.key {
            Key::V4(key) => self.maps.notes_v4.remove(key),
            Key::V6(key) => self.maps.notes_v6.remove(key),
        };
    }
}
