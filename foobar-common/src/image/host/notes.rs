//! The host's notes, by their places.

use super::HostTables;
use crate::{
    layout::unproven_index,
    note::{
        Kind,
        table::{IN_A_LINE, NoteTable},
    },
};

impl NoteTable for HostTables {
    fn note_secret(&self) -> [u64; 2] {
        self.note_secret
    }

    fn note_marks(&self, line: usize) -> [u64; IN_A_LINE] {
        std::array::from_fn(|index| self.note_words(line * IN_A_LINE + index)[0])
    }

    fn note_words(&self, place: usize) -> [u64; 2] {
        self.notes.borrow().get(&place).copied().unwrap_or_default()
    }

    fn swap_note(&self, place: usize, word: usize, before: u64, after: u64) -> bool {
        let is_one_more = word == 0 && before == 0;
        if self.note_words(place)[word] != before || is_one_more && self.notes.borrow().len() >= self.room {
            return false;
        }
        self.put_note(place, word, after);
        true
    }

    fn put_note(&self, place: usize, word: usize, value: u64) {
        let mut words = self.note_words(place);
        words[word] = value;
        let mut notes = self.notes.borrow_mut();
        if words == [0, 0] {
            notes.remove(&place);
        } else {
            notes.insert(place, words);
        }
    }

    fn noted(&self, index: usize) -> u64 {
        self.noted.borrow().get(&index).copied().unwrap_or(0)
    }

    fn count_noted(&self, index: usize) {
        *self.noted.borrow_mut().entry(index).or_default() += 1;
    }

    fn has_room(&self, kind: Kind) -> bool {
        self.noted(unproven_index(kind)) < self.room as u64 / 2
    }
}
