//! Where notes stand: cache lines of four notes each, in levels of growing size.
//!
//! A flow has one line in the first level, and two in each other. Its note stands in the first of these that had room,
//! and never moves (multilevel adaptive hashing, Broder and Karlin, SODA 1990): so few notes are all in few lines,
//! which stay in the CPU's caches. A flow is known by its lines, its slot, and 28 more bits of a hash that nobody
//! outside can reckon.

use crate::{
    address::Address,
    hash::{keyed, mix},
    layout::{MAX_UNPROVEN, unproven_index},
    note::{Kind, Note},
};

/// The memory of a table of notes. Packets on other CPUs read and write it meanwhile.
pub trait NoteTable {
    /// What makes this table's keys other than all others'.
    fn note_secret(&self) -> [u64; 2];

    /// The first words of a line's notes; all zero: there is none.
    fn note_marks(&self, line: usize) -> [u64; IN_A_LINE];

    /// Both words of the note at a place.
    fn note_words(&self, place: usize) -> [u64; 2];

    /// Writes `after` as one of a note's two words where `before` still stands; false where it does not.
    fn swap_note(&self, place: usize, word: usize, before: u64, after: u64) -> bool;

    /// Writes one of a note's two words.
    fn put_note(&self, place: usize, word: usize, value: u64);

    /// How many notes there are of a kind or level, see [`unproven_index`] and [`level_index`].
    fn noted(&self, index: usize) -> u64;

    /// Counts one more of these.
    fn count_noted(&self, index: usize);

    /// See [`find`]. The kernel does this and the next ones in functions of their own.
    fn find_note(&self, key: Key) -> u64
    where
        Self: Sized,
    {
        find(key, self)
    }

    /// See [`occupy`].
    fn occupy_note(&self, place: usize, words: [u64; 2]) -> bool
    where
        Self: Sized,
    {
        occupy(place, words, self)
    }

    /// See [`rewrite`].
    fn rewrite_note(&self, place: usize, before: u64, after: [u64; 2])
    where
        Self: Sized,
    {
        rewrite(place, before, after, self);
    }

    /// See [`free_in`].
    fn free_in(&self, line: usize) -> u64
    where
        Self: Sized,
    {
        free_in(line, self)
    }

    /// Whether one more note of an unproven kind may be made.
    fn has_room(&self, kind: Kind) -> bool {
        self.noted(unproven_index(kind)) < u64::from(MAX_UNPROVEN)
    }
}

/// Notes in a line.
pub const IN_A_LINE: usize = 4;
/// Lines of each level, as powers of two: 2 MB, 4 MB and 32 MB.
const LEVELS: [u32; 3] = [15, 16, 19];
/// Levels; the first one is always looked into.
pub const LEVELS_COUNT: usize = LEVELS.len();
/// Lines of all levels.
pub const LINES: usize = first_line(LEVELS_COUNT);

/// Where a level begins.
pub const fn first_line(level: usize) -> usize {
    let (mut line, mut before) = (0, 0);
    while before < level {
        line += 1 << LEVELS[before];
        before += 1;
    }
    line
}

/// Which flow a note is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// By which its lines are chosen.
    pub spread: u64,
    /// The bits of [`Key::MASK`] in a note's first word.
    pub mark: u64,
}

impl Key {
    /// Bits of the first word that say which flow a note is of: [`Note::PRESENT`], the slot, then the flow's own.
    pub const MASK: u64 = u64::MAX << Self::PRESENT;
    const PRESENT: u32 = Note::PRESENT.trailing_zeros();
    const SLOT: u32 = Self::PRESENT + 1;
    const FLOW: u32 = 36;

    /// `ports`: as [`crate::flow::port_word`] has them; `slot`: the flow's in its service's ring; `secret`: of this
    /// table.
    #[inline(always)]
    pub fn of<A: Address>(source: A, destination: A, ports: u64, slot: u32, secret: [u64; 2]) -> Self {
        let spread = mix(keyed(source, destination, secret[0]) ^ ports ^ secret[1]);
        Self { spread, mark: spread << Self::FLOW | u64::from(slot) << Self::SLOT | Note::PRESENT }
    }

    /// The slot of a note's flow, of the note's first word.
    #[inline(always)]
    pub const fn slot_in(word: u64) -> u32 {
        (word >> Self::SLOT) as u32 & ((1 << (Self::FLOW - Self::SLOT)) - 1)
    }

    /// One of its two lines in a level.
    #[inline(always)]
    const fn line<const LEVEL: usize, const OTHER: bool>(self) -> usize {
        let spread = if OTHER {
            self.spread.wrapping_mul(0x9e37_79b9_7f4a_7c15)
        } else if LEVEL > 0 {
            // Who shares a line in the first level does not in the next.
            self.spread << LEVELS[0]
        } else {
            self.spread
        };
        let (first, bits) = const { (first_line(LEVEL), LEVELS[LEVEL]) };
        first + (spread >> (64 - bits)) as usize
    }

    /// One more than the place of its note in a line; 0: it is not there.
    #[inline(always)]
    fn place_in<T: NoteTable>(self, line: usize, tables: &T) -> u64 {
        for (index, word) in tables.note_marks(line).into_iter().enumerate() {
            if (word ^ self.mark) & Self::MASK == 0 {
                return (line * IN_A_LINE + index + 1) as u64;
            }
        }
        0
    }

    /// The same of both lines in a level, where anything is in it.
    #[inline(always)]
    fn place_in_level<const LEVEL: usize, T: NoteTable>(self, tables: &T) -> u64 {
        if tables.noted(level_index(LEVEL)) == 0 {
            return 0;
        }
        let place = self.place_in(self.line::<LEVEL, false>(), tables);
        if place != 0 { place } else { self.place_in(self.line::<LEVEL, true>(), tables) }
    }
}

/// The word of [`NoteTable::noted`] that counts a level's notes, at least as many as there are. The first level has
/// none.
#[inline(always)]
pub const fn level_index(level: usize) -> usize {
    1 + level
}

/// One more than the place of a flow's note; 0: it has none.
#[inline(always)]
pub fn find<T: NoteTable>(key: Key, tables: &T) -> u64 {
    let mut place = key.place_in(key.line::<0, false>(), tables);
    if place == 0 {
        place = key.place_in_level::<1, T>(tables);
    }
    if place == 0 {
        place = key.place_in_level::<2, T>(tables);
    }
    place
}

/// Makes a note of these words for a flow that has none, in the first level that has room; false where none has. Who
/// loses a place to another packet goes on to the next level.
#[inline(always)]
pub fn make<T: NoteTable>(key: Key, words: [u64; 2], tables: &T) -> bool {
    let first = tables.free_in(key.line::<0, false>());
    claim(key, first, None, words, tables) || make_in::<1, T>(key, words, tables) || make_in::<2, T>(key, words, tables)
}

/// The same in one level, in the line that has more room.
#[inline(always)]
fn make_in<const LEVEL: usize, T: NoteTable>(key: Key, words: [u64; 2], tables: &T) -> bool {
    let (one, other) = (key.line::<LEVEL, false>(), key.line::<LEVEL, true>());
    claim(key, tables.free_in(one).max(tables.free_in(other)), Some(LEVEL), words, tables)
}

/// Claims the place that [`free_in`] has found; false where it found none, or another packet was faster.
#[inline(always)]
fn claim<T: NoteTable>(key: Key, found: u64, counted: Option<usize>, words: [u64; 2], tables: &T) -> bool {
    let Some(place) = (found & PLACE).checked_sub(1) else { return false };
    // Before it is there: who finds no note counted does not look.
    if let Some(level) = counted {
        tables.count_noted(level_index(level));
    }
    tables.occupy_note(place as usize, [words[0] | key.mark, words[1]])
}

/// Writes a note to a place where none is; false where one is.
#[inline(always)]
pub fn occupy<T: NoteTable>(place: usize, [first, second]: [u64; 2], tables: &T) -> bool {
    let is_free = tables.swap_note(place, 0, 0, Note::RESERVED);
    if is_free {
        tables.put_note(place, 1, second);
        tables.put_note(place, 0, first);
    }
    is_free
}

/// The part of [`free_in`] that is one more than a place.
const PLACE: u64 = 0xffff_ffff;

/// How many places of a line are free, in the upper half, and one more than one of them; 0: none is.
///
/// Without a branch, which the verifier would follow for each place of both lines.
#[inline(always)]
pub fn free_in<T: NoteTable>(line: usize, tables: &T) -> u64 {
    let (mut free, mut last) = (0, 0);
    for (index, word) in tables.note_marks(line).into_iter().enumerate() {
        let is_free = word >> Key::PRESENT & 1 ^ 1;
        free += is_free;
        last = ((line * IN_A_LINE + index + 1) as u64 * is_free).max(last);
    }
    free << 32 | last
}

/// A flow's note, and where it stands.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    pub place: usize,
    pub note: Note,
}

impl Standing {
    #[inline(always)]
    pub fn of<T: NoteTable>(key: Key, tables: &T) -> Option<Self> {
        let place = tables.find_note(key).checked_sub(1)? as usize;
        // Should another flow's have come there just now, one packet goes by that, and writes nothing.
        Some(Self { place, note: Note::standing(tables.note_words(place))? })
    }

    /// Writes what has become of it. Another packet of the flow that does the same meanwhile may be the last.
    #[inline(always)]
    pub fn renew<T: NoteTable>(&self, key: Key, note: Note, tables: &T) {
        let ([before, _], [after, second]) = (self.note.to_words(), note.to_words());
        tables.rewrite_note(self.place, before | key.mark, [after | key.mark, second]);
    }

    /// Takes it away, whatever another packet makes of it meanwhile: its backend is dead.
    #[inline(always)]
    pub fn delete<T: NoteTable>(&self, key: Key, tables: &T) {
        let [first, _] = self.note.to_words();
        if tables.swap_note(self.place, 0, first | key.mark, Note::RESERVED) {
            tables.put_note(self.place, 1, 0);
            tables.put_note(self.place, 0, 0);
        }
    }
}

/// Writes both words of a note where `before` is still the first one.
#[inline(always)]
pub fn rewrite<T: NoteTable>(place: usize, before: u64, [first, second]: [u64; 2], tables: &T) {
    let [now, written] = tables.note_words(place);
    if now == before && (written == second || tables.swap_note(place, 1, written, second)) && first != before {
        tables.swap_note(place, 0, before, first);
    }
}

/// Frees the place of a note that is still as it was; false where it is not, and stays. Who looks for it meanwhile finds
/// none.
#[inline(always)]
pub fn free<T: NoteTable>(place: usize, before: [u64; 2], tables: &T) -> bool {
    if !tables.swap_note(place, 0, before[0], Note::RESERVED) {
        return false;
    }
    let is_as_it_was = tables.swap_note(place, 1, before[1], 0);
    tables.put_note(place, 0, if is_as_it_was { 0 } else { before[0] });
    is_as_it_was
}

/// Writes a flow's note, its first one or what has become of it; false where there is no room. Each kind that anyone
/// can have made fills a part of the table at most.
#[inline(always)]
pub fn keep<T: NoteTable>(key: Key, before: Option<Standing>, note: Note, tables: &T) -> bool {
    let is_one_more = note.kind.is_unproven() && before.is_none_or(|before| before.note.kind != note.kind);
    if is_one_more && !tables.has_room(note.kind) {
        return false;
    }
    match before {
        Some(before) => before.renew(key, note, tables),
        None if make(key, note.to_words(), tables) => {}
        None => return false,
    }
    if is_one_more {
        tables.count_noted(unproven_index(note.kind));
    }
    true
}

#[cfg(test)]
mod tests;
