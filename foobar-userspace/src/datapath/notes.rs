//! The notes of flows on slots that changed lately: memory that packets read and write too.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::atomic::{AtomicU64, Ordering},
};

use anyhow::Result;
use foobar_common::{
    layout::{NOTE_PLACES, NOTED_SECRET, NOTED_WORDS, map},
    note::{
        Note,
        table::{IN_A_LINE, Key, LEVELS_COUNT, NoteTable, Standing, first_line, free, level_index, make, occupy},
    },
};

use super::{Datapath, mapped::Mapped, pins::Pins};

/// A noted flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotedFlow {
    pub place: usize,
    pub note: Note,
    /// The bits of the flow's [`Key`].
    pub mark: u64,
}

/// The table, and what is counted of it.
pub struct Notes {
    lines: Mapped,
    noted: Mapped,
}

impl Notes {
    pub fn open(pins: &Pins) -> Result<Self> {
        let open = |name, words| Mapped::pinned(pins, name, words);
        let notes = Self { lines: open(map::NOTES, NOTE_PLACES * 2)?, noted: open(map::NOTED, NOTED_WORDS)? };
        // A new table gets a secret, so that nobody can choose which flows share a line or a key.
        for word in notes.noted.words()[NOTED_SECRET..][..2].iter().filter(|word| word.load(Ordering::Relaxed) == 0) {
            word.store(RandomState::new().hash_one(0) | 1, Ordering::Relaxed);
        }
        Ok(notes)
    }

    /// Both words of a note.
    fn words(&self, place: usize) -> Option<&[AtomicU64; 2]> {
        self.lines.words().as_chunks().0.get(place)
    }

    /// What stands at a place; `None` where nothing does, or a packet is at it.
    pub fn at(&self, place: usize) -> Option<NotedFlow> {
        let words = self.note_words(place);
        Some(NotedFlow { place, note: Note::standing(words)?, mark: words[0] & Key::MASK })
    }

    /// Whether a note is about to come to a place, or to leave it.
    pub fn is_reserved(&self, place: usize) -> bool {
        self.note_words(place)[0] == Note::RESERVED
    }

    /// Frees a place that was reserved before all packets of then had passed: whoever reserved it is dead.
    pub fn free_reserved(&self, place: usize) {
        self.swap_note(place, 0, Note::RESERVED, 0);
    }

    /// Takes a note away if it is still the one that was looked at; false where a packet has just written to it.
    pub fn take_away(&self, NotedFlow { place, note, mark }: NotedFlow) -> bool {
        let [first, second] = note.to_words();
        free(place, [first | mark, second], self)
    }

    /// Writes a note at its place, where none stands; false where one does.
    pub fn put_back(&self, NotedFlow { place, note, mark }: &NotedFlow) -> bool {
        let [first, second] = note.to_words();
        if let Some(level) = (1..LEVELS_COUNT).rfind(|level| *place >= first_line(*level) * IN_A_LINE) {
            self.count_noted(level_index(level));
        }
        occupy(*place, [first | mark, second], self)
    }

    /// What is counted, at least as many as there are.
    pub fn counted(&self) -> [u64; NOTED_SECRET] {
        std::array::from_fn(|index| self.noted(index))
    }

    /// Corrects what was counted `before` the notes were read to what was found, and keeps what was counted since.
    pub fn correct(&self, before: [u64; NOTED_SECRET], found: [u64; NOTED_SECRET]) {
        for ((word, before), found) in self.noted.words().iter().zip(before).zip(found) {
            word.fetch_add(found.wrapping_sub(before), Ordering::Relaxed);
        }
    }
}

impl NoteTable for Notes {
    fn note_secret(&self) -> [u64; 2] {
        [0, 1].map(|index| self.noted(NOTED_SECRET + index))
    }

    fn note_marks(&self, line: usize) -> [u64; IN_A_LINE] {
        std::array::from_fn(|index| self.note_words(line * IN_A_LINE + index)[0])
    }

    fn note_words(&self, place: usize) -> [u64; 2] {
        self.words(place).map_or([0; 2], |words| words.each_ref().map(|word| word.load(Ordering::Acquire)))
    }

    fn swap_note(&self, place: usize, word: usize, before: u64, after: u64) -> bool {
        let Some(words) = self.words(place) else { return false };
        words[word].compare_exchange(before, after, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    fn put_note(&self, place: usize, word: usize, value: u64) {
        if let Some(words) = self.words(place) {
            words[word].store(value, Ordering::Release);
        }
    }

    fn noted(&self, index: usize) -> u64 {
        self.noted.words()[index].load(Ordering::Acquire)
    }

    fn count_noted(&self, index: usize) {
        self.noted.words()[index].fetch_add(1, Ordering::AcqRel);
    }
}

impl Datapath {
    /// All notes, for tests. What the daemon does with notes is done by sweeps.
    pub fn notes(&self) -> Vec<NotedFlow> {
        (0..NOTE_PLACES).filter_map(|place| self.notes.at(place)).collect()
    }

    /// The table's memory, for tests.
    pub const fn note_table(&self) -> &Notes {
        &self.notes
    }

    /// Notes a flow, whatever packets think of it; false where there is no room: for tests.
    pub fn set_note(&self, key: Key, note: Note) -> bool {
        match Standing::of(key, &self.notes) {
            Some(standing) => {
                standing.renew(key, note, &self.notes);
                true
            }
            None => make(key, note.to_words(), &self.notes),
        }
    }

    /// Bytes of the table.
    pub const fn note_bytes(&self) -> u64 {
        NOTE_PLACES as u64 * 16
    }

    /// The second when a flow on this ring last found no room for its note; 0: none did.
    pub fn refused(&self, ring: u32) -> u64 {
        self.tables.room().get(ring as usize).map_or(0, |word| word.load(Ordering::Relaxed))
    }

    /// A flow has no note any more, as if it had found no room at this second.
    pub fn refuse(&self, ring: u32, second: u64) {
        if let Some(word) = self.tables.room().get(ring as usize) {
            word.fetch_max(second, Ordering::Relaxed);
        }
    }
}
