//! The table by its lines, and an exhaustive search of what it does to connections.

use super::*;

const NOW: u32 = 500;
const ISN: u32 = u32::MAX - 10;
/// From backend 1 to backend 2.
const SLOT: Slot = Slot::tracked(2, 1);

fn note(backend: u32, kind: Kind) -> Note {
    Note { backend, kind, seen: 3, isn: ISN }
}

fn seg(opens: bool, closes: bool, after_isn: u32) -> Sign {
    Sign { opens, closes, sequence: ISN.wrapping_add(after_isn) }
}

#[test]
fn every_line_of_the_table_holds() {
    let lasting = |backend, isn| Some(Note { backend, kind: Kind::Lasting, seen: NOW, isn });
    let data = seg(false, false, 1);
    for (before, sign, backend, after) in [
        // A SYN on a note goes to the note's backend and changes nothing; another SYN on a provisional one to previous.
        (Some(note(3, Kind::Lasting)), seg(true, false, 9), 3, lasting(3, ISN)),
        (
            Some(note(2, Kind::Provisional)),
            seg(true, false, 0),
            2,
            Some(Note { seen: NOW, ..note(2, Kind::Provisional) }),
        ),
        (Some(note(2, Kind::Provisional)), seg(true, false, 9), 1, None),
        // A SYN on a closing note is another connection.
        (
            Some(note(3, Kind::Closing)),
            seg(true, false, 9),
            2,
            Some(Note { backend: 2, kind: Kind::Provisional, seen: NOW, isn: ISN.wrapping_add(9) }),
        ),
        (Some(note(3, Kind::Lasting)), data, 3, lasting(3, ISN)),
        // The handshake's last segment proves the SYN; the window's end and wrapping sequences count too.
        (Some(note(2, Kind::Provisional)), data, 2, lasting(2, ISN)),
        (Some(note(2, Kind::Provisional)), seg(false, false, 1 << 20), 2, lasting(2, ISN)),
        // Anything else proves that the SYN was forged.
        (Some(note(2, Kind::Provisional)), seg(false, false, 0), 1, lasting(1, ISN)),
        (Some(note(2, Kind::Provisional)), seg(false, false, (1 << 20) + 1), 1, lasting(1, ISN)),
        // Closing stays closing, and is refreshed.
        (Some(note(3, Kind::Lasting)), seg(false, true, 1), 3, Some(Note { seen: NOW, ..note(3, Kind::Closing) })),
        (Some(note(3, Kind::Closing)), data, 3, Some(Note { seen: NOW, ..note(3, Kind::Closing) })),
        // Without a note: what is under way is older than the change.
        (None, data, 1, lasting(1, 0)),
        (None, seg(false, true, 1), 1, None),
        (None, Sign::DATAGRAM, 1, lasting(1, 0)),
    ] {
        let choice = choose(SLOT, before, sign, NOW);
        assert_eq!((choice.backend, choice.note), (backend, after), "{before:?} {sign:?}");
        assert_eq!(
            choice.without_room,
            if after.is_some_and(|note| note.isn == ISN.wrapping_add(9)) { 1 } else { backend }
        );
    }
}

#[test]
fn an_opening_goes_to_current_if_it_can_be_noted_and_else_to_previous() {
    let choice = choose(SLOT, None, seg(true, false, 0), NOW);
    assert_eq!((choice.backend, choice.without_room), (2, 1));
    assert_eq!(choice.note, Some(Note { seen: NOW, ..note(2, Kind::Provisional) }));
}

#[test]
fn where_nobody_takes_new_flows_an_opening_is_not_noted() {
    let choice = choose(Slot::tracked(0, 1), None, seg(true, false, 0), NOW);
    assert_eq!((choice.backend, choice.note), (0, None));
    assert_eq!(choose(Slot::tracked(0, 1), None, seg(false, false, 0), NOW).backend, 1);
}

#[test]
fn notes_are_over_after_their_time_and_not_before() {
    for (kind, seconds) in [(Kind::Provisional, 130), (Kind::Closing, 120), (Kind::Lasting, 10_800)] {
        let note = note(1, kind);
        assert!(!note.is_over(note.seen + seconds, 10_800), "{kind:?}");
        assert!(note.is_over(note.seen + seconds + 1, 10_800), "{kind:?}");
        assert!(!note.is_over(0, 10_800), "a note from another CPU's later second is not over");
    }
}

#[test]
fn words_keep_everything() {
    for kind in [Kind::Provisional, Kind::Lasting, Kind::Closing] {
        let note = Note { backend: 32_767, kind, seen: u32::MAX, isn: 0x8000_0001 };
        assert_eq!(Note::from_words(note.to_words()), note);
    }
}
