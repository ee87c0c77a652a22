//! What becomes of a note when a sweep comes by: pure, asked for one note after the other.
//!
//! Packets change notes meanwhile, so that a sweep can miss one that is there: who acts on the absence of a note looks
//! twice.

use crate::{
    layout::{MAX_NOTES, MAX_UNPROVEN},
    note::{Kind, Note},
    slot::Slot,
};

/// What becomes of a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Stays,
    /// Nobody asks for it, or nobody can need it any more.
    Over,
    /// It goes where notes are scarce, as if its flow had just found no room.
    Early,
}

/// `slot`: the flow's, in the ring that packets read. `scarce`: whether notes of flows that spoke once go early.
#[inline(always)]
pub const fn fate(note: Note, slot: Slot, life: u32, scarce: bool, now: u32) -> Fate {
    if !slot.is_tracked() {
        return Fate::Over;
    }
    // Where previous is given up nothing stands for a flow but its note.
    let stands = slot.previous() == note.backend;
    if note.is_over(now, life, false) {
        Fate::Over
    } else if matches!(note.kind, Kind::Young) && note.is_over(now, life, stands && scarce) {
        Fate::Early
    } else {
        Fate::Stays
    }
}

/// Whether a note's flow is on another backend than its slot's current one.
pub const fn is_elsewhere(note: Note, slot: Slot) -> bool {
    slot.current() != note.backend
}

/// Whether notes of flows that spoke once go early: from half of the room on.
///
/// `notes`: of all kinds. `young`: those that were made by one segment.
pub const fn is_scarce(notes: u64, young: u64) -> bool {
    notes > MAX_NOTES as u64 / 2 || young > MAX_UNPROVEN as u64 / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::note::{CLOSING_SECONDS, YOUNG_SECONDS};

    const LIFE: u32 = 600;
    const NOW: u32 = 10_000;

    fn note(kind: Kind, backend: u32, age: u32) -> Note {
        Note { backend, kind, seen: NOW - age, sequence: 0, doubted: false }
    }

    fn fate_of(note: Note, slot: Slot, scarce: bool) -> Fate {
        fate(note, slot, LIFE, scarce, NOW)
    }

    #[test]
    fn a_note_that_nobody_asks_for_is_over() {
        let note = note(Kind::Lasting, 2, 0);
        assert_eq!(fate_of(note, Slot::calm(2), false), Fate::Over);
        assert_eq!(fate_of(note, Slot::tracked(2, 1), false), Fate::Stays);
    }

    #[test]
    fn a_note_of_another_backend_than_the_current_is_elsewhere() {
        for (backend, slot, wanted) in
            [(1, Slot::tracked(2, 1), true), (3, Slot::tracked(2, 2), true), (2, Slot::tracked(2, 1), false)]
        {
            let note = note(Kind::Lasting, backend, 0);
            assert_eq!((fate_of(note, slot, false), is_elsewhere(note, slot)), (Fate::Stays, wanted));
        }
    }

    #[test]
    fn each_kind_has_its_time() {
        let slot = Slot::tracked(2, 1);
        for (kind, seconds) in [(Kind::Lasting, LIFE), (Kind::Closing, CLOSING_SECONDS)] {
            assert_eq!(fate_of(note(kind, 2, seconds), slot, true), Fate::Stays, "{kind:?}");
            assert_eq!(fate_of(note(kind, 2, seconds + 1), slot, false), Fate::Over, "{kind:?}");
        }
    }

    #[test]
    fn a_young_note_goes_early_where_previous_stands_for_it() {
        let old = note(Kind::Young, 1, YOUNG_SECONDS + 1);
        assert_eq!(fate_of(old, Slot::tracked(2, 1), false), Fate::Stays);
        assert_eq!(fate_of(old, Slot::tracked(2, 1), true), Fate::Early);
        assert_eq!(fate_of(old, Slot::tracked(2, 2), true), Fate::Stays, "previous was given up");
        assert_eq!(fate_of(note(Kind::Young, 1, YOUNG_SECONDS), Slot::tracked(2, 1), true), Fate::Stays);
        assert_eq!(fate_of(note(Kind::Young, 1, LIFE + 3), Slot::tracked(2, 1), true), Fate::Over);
    }

    #[test]
    fn notes_are_scarce_from_half_of_the_room_on() {
        assert!(!is_scarce(u64::from(MAX_NOTES) / 2, u64::from(MAX_UNPROVEN) / 2));
        assert!(is_scarce(u64::from(MAX_NOTES) / 2 + 1, 0));
        assert!(is_scarce(0, u64::from(MAX_UNPROVEN) / 2 + 1));
    }
}
