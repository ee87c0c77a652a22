//! The notes of flows on tracked slots: read, and removed when they are over; and what is known of the room for them.

use std::sync::atomic::Ordering;

use anyhow::{Context as _, Result};
use foobar_common::{
    address::{V4, V6},
    find::ServiceEntry,
    layout::{UNPROVEN_WORDS, refused_index, unproven_index},
    note::Note,
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

    /// The count that the note is part of while it is unproven.
    pub fn unproven(&self) -> Option<usize> {
        self.note.kind.is_unproven().then(|| unproven_index(self.is_v6(), self.note.kind))
    }

    pub fn is_v6(&self) -> bool {
        matches!(self.key, Key::V6(_))
    }

    /// The flow's slot in the ring of a service.
    pub fn slot(&self, service: &ServiceEntry) -> u32 {
        match self.key {
            Key::V4([pair, ports]) => service.slot_of(V4((pair >> 32) as u32), V4(pair as u32), ports),
            Key::V6([a, b, c, d, ports]) => service.slot_of(V6([a, b]), V6([c, d]), ports),
        }
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

    /// Unproven notes by family and kind, at least as many as there are.
    pub fn unproven(&self) -> [u64; UNPROVEN_WORDS] {
        std::array::from_fn(|index| self.tables.room()[index].load(Ordering::Relaxed))
    }

    /// Corrects what was counted `before` the notes were read to what was found, and keeps what was counted since.
    pub fn correct_unproven(&self, before: [u64; UNPROVEN_WORDS], found: [u64; UNPROVEN_WORDS]) {
        for ((word, before), found) in self.tables.room().iter().zip(before).zip(found) {
            word.fetch_add(found.wrapping_sub(before), Ordering::Relaxed);
        }
    }

    /// The second when a flow on this ring last found no room for its note; 0: none did.
    pub fn refused(&self, ring: u32) -> u64 {
        self.tables.room().get(refused_index(ring)).map_or(0, |word| word.load(Ordering::Relaxed))
    }

    /// A flow has no note any more, as if it had found no room at this second.
    pub fn refuse(&self, ring: u32, second: u64) {
        if let Some(word) = self.tables.room().get(refused_index(ring)) {
            word.fetch_max(second, Ordering::Relaxed);
        }
    }

    /// Forgets a flow whose note is still the one that was read. One that is gone already is what was wanted.
    pub fn forget(&mut self, flow: &NotedFlow) {
        let words = match &flow.key {
            Key::V4(key) => self.maps.notes_v4.get(key, 0),
            Key::V6(key) => self.maps.notes_v6.get(key, 0),
        };
        if words.ok().map(Note::from_words) != Some(flow.note) {
            return;
        }
        let _ = match &flow.key {
            Key::V4(key) => self.maps.notes_v4.remove(key),
            Key::V6(key) => self.maps.notes_v6.remove(key),
        };
    }
}
