//! What a sweep over the notes reads and what it leaves behind. One sweep runs at a time, so that its words have one
//! writer.
//!
//! A slice ends amid a bucket, and the next one passes over as many notes of it as were met. So a note that is to go
//! waits until the walk has left its bucket.

use foobar_common::{
    Address, Tables as _,
    layout::{
        LEAVING_WORDS, MARKS_WORDS, MAX_LEAVING, OWNERS_WORDS, RING_UNIT, SWEPT_BACKENDS, SWEPT_LEAVING, SWEPT_NOTES,
        SWEPT_NOW, SWEPT_SCARCE, SWEPT_STEPS, SWEPT_UNPROVEN, SWEPT_WORDS, refused_index, unproven_index,
    },
    note::Note,
    sweep::{Fate, Owner, fate},
};

use super::{Maps, ROOM, flows};
use crate::table::{Record, Table};

#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.OWNERS")]
static OWNERS: Table<OWNERS_WORDS> = Table::new();
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.SWEPT")]
static SWEPT: Table<SWEPT_WORDS> = Table::new();
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.MARKS")]
static MARKS: Table<MARKS_WORDS> = Table::new();

/// Looks at one note, which may be another one by now.
#[inline(always)]
pub fn sweep<A: Address>(key: &A::FlowKey, note: Note) {
    let step = SWEPT.word_or(SWEPT_STEPS, 0) as usize;
    SWEPT.set(SWEPT_STEPS, step as u64 + 1);
    let first = SWEPT_LEAVING + step % MAX_LEAVING * LEAVING_WORDS;
    leave::<A>(first);
    if stays::<A>(key, note) {
        SWEPT.add(SWEPT_NOTES + usize::from(A::V6), 1);
        SWEPT.add(SWEPT_BACKENDS + note.backend as usize, 1);
        if note.kind.is_unproven() {
            SWEPT.add(SWEPT_UNPROVEN + unproven_index(A::V6, note.kind), 1);
        }
        return;
    }
    let words = note.to_words();
    SWEPT.set(first + 1, words[0]);
    SWEPT.set(first + 2, words[1]);
    for (index, word) in key.as_ref().iter().enumerate() {
        SWEPT.set(first + 3 + index, *word);
    }
    SWEPT.set(first, 1);
}

/// Behind the last note: those that are to go do.
#[inline(always)]
pub fn end<A: Address>() {
    for leaving in 0..MAX_LEAVING {
        leave::<A>(SWEPT_LEAVING + leaving * LEAVING_WORDS);
    }
}

#[inline(always)]
fn stays<A: Address>(key: &A::FlowKey, note: Note) -> bool {
    let owner = OWNERS.record(note.backend as usize * Owner::WORDS).map(Record::words).and_then(Owner::from_words);
    let Some(owner) = owner else { return false };
    let (source, destination, ports) = A::flow_of(*key);
    let (ring, index) = (owner.service.ring, owner.service.slot_of(source, destination, ports));
    let slot = Maps::apart().slot(ring, index).unwrap_or_default();
    let scarce = SWEPT.word_or(SWEPT_SCARCE, 0) >> usize::from(A::V6) & 1 != 0;
    let now = SWEPT.word_or(SWEPT_NOW, 0);
    match fate(note, slot, owner.life, scarce, now as u32) {
        Fate::Stays => true,
        Fate::StaysElsewhere => {
            mark(ring, index);
            true
        }
        Fate::Early => {
            if ROOM.word_or(refused_index(ring), now) < now {
                ROOM.set(refused_index(ring), now);
            }
            false
        }
        Fate::Over => false,
    }
}

/// A note of this slot is elsewhere.
#[inline(always)]
fn mark(ring: u32, index: u32) {
    let bit = ring as usize * RING_UNIT as usize + index as usize;
    let word = MARKS.word_or(bit / 64, 0);
    MARKS.set(bit / 64, word | 1 << (bit % 64));
}

/// Deletes the note that stands here as leaving, if it is still the one that was looked at.
///
/// A packet that renews it between this look and the deletion, some 50 ns, loses what it wrote.
#[inline(always)]
fn leave<A: Address>(first: usize) {
    if SWEPT.word_or(first, 0) == 0 {
        return;
    }
    SWEPT.set(first, 0);
    let note = Note::from_words([SWEPT.word_or(first + 1, 0), SWEPT.word_or(first + 2, 0)]);
    let key = A::key_of(core::array::from_fn(|index| SWEPT.word_or(first + 3 + index, 0)));
    if flows::note::<A>(&key) == Some(note) {
        flows::delete_note::<A>(&key);
    }
}
