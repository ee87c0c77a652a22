//! The notes as a packet would see them.

use foobar_common::note::{
    Kind, Note,
    table::{IN_A_LINE, NoteTable},
};

use super::Reading;

impl NoteTable for Reading<'_> {
    fn note_secret(&self) -> [u64; 2] {
        self.datapath.notes.note_secret()
    }

    fn note_marks(&self, line: usize) -> [u64; IN_A_LINE] {
        self.datapath.notes.note_marks(line)
    }

    fn note_words(&self, place: usize) -> [u64; 2] {
        let words = self.datapath.notes.note_words(place);
        self.note.set(Note::standing(words));
        words
    }

    fn swap_note(&self, _: usize, _: usize, _: u64, after: u64) -> bool {
        if after == Note::RESERVED {
            self.note.set(None);
        }
        true
    }

    fn put_note(&self, _: usize, _: usize, _: u64) {}

    fn noted(&self, index: usize) -> u64 {
        self.datapath.notes.noted(index)
    }

    fn count_noted(&self, _: usize) {}

    fn has_room(&self, _: Kind) -> bool {
        true
    }
}
