//! The sets in force, as a packet would ask them.

use std::sync::atomic::Ordering;

use foobar_common::{
    layout::{ASKED_BANK_WORDS, FRONT_WORDS, SET_RECORD_WORDS},
    sets::{QUESTION_WORDS, SetTables},
};

use super::{super::sets::ReadLines, Reading};

impl<'a> SetTables for Reading<'a> {
    type Lines = ReadLines<'a>;
    type Put = [u64; QUESTION_WORDS];

    fn put(&self, question: [u64; QUESTION_WORDS]) {
        self.question.set(question);
    }

    fn question(&self) -> Option<[u64; QUESTION_WORDS]> {
        Some(self.question.get())
    }

    fn asked(&self, bank: usize, place: usize) -> u64 {
        self.tables().asked.words()[bank * ASKED_BANK_WORDS + 2 * place].load(Ordering::Relaxed)
    }

    fn asked_of(&self, bank: usize, place: usize) -> u64 {
        self.tables().asked.words()[bank * ASKED_BANK_WORDS + 2 * place + 1].load(Ordering::Relaxed)
    }

    fn set_word(&self, set: usize, word: usize) -> u64 {
        self.tables().sets.words().get(set * SET_RECORD_WORDS + word).map_or(0, |word| word.load(Ordering::Relaxed))
    }

    fn front(&self, region: u32, word: usize) -> u64 {
        let word = self.tables().set_fronts.words().get(region as usize * FRONT_WORDS + word);
        word.map_or(0, |word| word.load(Ordering::Relaxed))
    }

    fn lines(&self, slot: u32) -> Option<ReadLines<'a>> {
        self.datapath.sets.at(slot)
    }

    fn until(&self, element: &[u64; 3]) -> Option<u64> {
        self.datapath.maps.timed.get(element, 0).ok()
    }
}
