//! The notes of flows on tracked slots, as they stand, and what is known of the room for them.

use std::{
    fs,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd},
    sync::atomic::Ordering,
};

use anyhow::{Context as _, Result};
use aya::maps::IterableMap as _;
use foobar_common::{
    layout::{UNPROVEN_WORDS, refused_index},
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
}

impl Datapath {
    /// All notes of both families, copied one by one: for tests. What the daemon does with notes is done by sweeps.
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

    /// Notes flows of IPv4 by their keys, whatever packets think of them: for tests.
    pub fn set_notes_v4(&mut self, notes: impl Iterator<Item = ([u64; 2], Note)>) -> Result<()> {
        for (key, note) in notes {
            self.maps.notes_v4.insert(key, note.to_words(), 0).context("noting a flow")?;
        }
        Ok(())
    }

    /// The same for IPv6.
    pub fn set_notes_v6(&mut self, notes: impl Iterator<Item = ([u64; 5], Note)>) -> Result<()> {
        for (key, note) in notes {
            self.maps.notes_v6.insert(key, note.to_words(), 0).context("noting a flow")?;
        }
        Ok(())
    }

    /// Bytes that the kernel has for the notes of each family, IPv4 first. Before Linux 6.4 it counts a full table.
    pub fn note_bytes(&self) -> Result<[u64; 2]> {
        let [v4, v6] = [self.maps.notes_v4.map().fd().as_fd(), self.maps.notes_v6.map().fd().as_fd()];
        Ok([locked_bytes(v4)?, locked_bytes(v6)?])
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
}

/// `memlock` of `/proc/self/fdinfo`, which no system call tells.
fn locked_bytes(map: BorrowedFd<'_>) -> Result<u64> {
    let path = format!("/proc/self/fdinfo/{}", map.as_raw_fd());
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let bytes = text.lines().find_map(|line| line.strip_prefix("memlock:"));
    bytes.and_then(|bytes| bytes.trim().parse().ok()).with_context(|| format!("{path} tells no memory"))
}
