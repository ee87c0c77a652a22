//! The notes of flows on slots that changed lately: lines of memory that userspace maps too, and sweeps over.

use aya_ebpf::{bindings::BPF_F_MMAPABLE, macros::map, maps::Array};
use foobar_common::{
    layout::{NOTED_SECRET, NOTED_WORDS},
    note::table::{IN_A_LINE, Key, LINES, NoteTable},
};

use super::{Maps, element};
use crate::{
    apart::{find_note_apart, free_in_apart, occupy_note_apart, rewrite_note_apart},
    hide::hide,
    table::Record,
};

/// Words of a line: two a note.
const LINE_WORDS: usize = 2 * IN_A_LINE;

// Maps and not statics, whose contents a loader writes once more.
#[map]
static NOTES: Array<[u64; LINE_WORDS]> = Array::with_max_entries(LINES as u32, BPF_F_MMAPABLE);
#[map]
static NOTED: Array<[u64; NOTED_WORDS]> = Array::with_max_entries(1, BPF_F_MMAPABLE);

#[inline(always)]
fn line(index: usize) -> Option<Record<LINE_WORDS>> {
    element(NOTES.get_ptr(index as u32))
}

#[inline(always)]
fn all() -> Option<Record<NOTED_WORDS>> {
    element(NOTED.get_ptr(0))
}

impl<C> NoteTable for Maps<'_, C> {
    #[inline(always)]
    fn note_secret(&self) -> [u64; 2] {
        all().map_or([0; 2], |all| [all.word::<NOTED_SECRET>(), all.word::<{ NOTED_SECRET + 1 }>()])
    }

    #[inline(always)]
    fn note_marks(&self, index: usize) -> [u64; IN_A_LINE] {
        // Nobody's, and not free.
        let Some(line) = line(index) else { return [u64::MAX; IN_A_LINE] };
        [line.word::<0>(), line.word::<2>(), line.word::<4>(), line.word::<6>()]
    }

    #[inline(always)]
    fn note_words(&self, place: usize) -> [u64; 2] {
        let Some(line) = line(place / IN_A_LINE) else { return [0; 2] };
        let first = place % IN_A_LINE * 2;
        [line.at(first), line.at(first + 1)]
    }

    #[inline(always)]
    fn swap_note(&self, place: usize, word: usize, before: u64, after: u64) -> bool {
        line(place / IN_A_LINE).is_some_and(|line| line.swap(place % IN_A_LINE * 2 + word, before, after))
    }

    #[inline(always)]
    fn put_note(&self, place: usize, word: usize, value: u64) {
        if let Some(line) = line(place / IN_A_LINE) {
            line.put(place % IN_A_LINE * 2 + word, value);
        }
    }

    #[inline(always)]
    fn noted(&self, index: usize) -> u64 {
        all().map_or(0, |all| all.at(hide(index)))
    }

    #[inline(always)]
    fn count_noted(&self, index: usize) {
        if let Some(all) = all() {
            all.add(hide(index), 1);
        }
    }

    #[inline(always)]
    fn find_note(&self, Key { spread, mark }: Key) -> u64 {
        find_note_apart(spread, mark)
    }

    #[inline(always)]
    fn occupy_note(&self, place: usize, [first, second]: [u64; 2]) -> bool {
        occupy_note_apart(place as u64, first, second) != 0
    }

    #[inline(always)]
    fn rewrite_note(&self, place: usize, before: u64, [first, second]: [u64; 2]) {
        rewrite_note_apart(place as u64, before, first, second);
    }

    #[inline(always)]
    fn free_in(&self, line: usize) -> u64 {
        free_in_apart(line as u64)
    }
}
