//! The table by its lines, and an exhaustive search of what it does to connections.

use super::*;

const NOW: u32 = 500;
const ISN: u32 = u32::MAX - 10;
/// From backend 1 to backend 2.
const SLOT: Slot = Slot::tracked(2, 1);

/// A note that was made long before [`NOW`].
fn note(backend: u32, kind: Kind) -> Note {
    Note { backend, kind, seen: 3, sequence: ISN, doubted: false }
}

fn sign(act: Act, after_isn: u32) -> Sign {
    let sequence = ISN.wrapping_add(after_isn);
    Sign { act, sequence, end: sequence }
}

/// The note as it stands after a packet of [`NOW`], that many bytes further.
fn at(note: Note, after_isn: u32) -> Note {
    Note { seen: NOW, sequence: ISN.wrapping_add(after_isn), ..note }
}

fn check(slot: Slot, before: Option<Note>, sign: Sign, backend: u32, after: Option<Note>) {
    let choice = choose(slot, before, sign, NOW);
    assert_eq!((choice.backend, choice.note), (backend, after), "{before:?} {sign:?}");
}

#[test]
fn an_opening_goes_to_its_note_or_is_noted_on_current() {
    let provisional = |backend, after| Some(at(note(backend, Kind::Provisional), after));
    for kind in [Kind::Lasting, Kind::Young] {
        check(SLOT, Some(note(3, kind)), sign(Act::Open, 9), 3, Some(at(note(3, kind), 0)));
    }
    check(SLOT, Some(note(2, Kind::Provisional)), sign(Act::Open, 0), 2, provisional(2, 0));
    check(SLOT, Some(note(2, Kind::Provisional)), sign(Act::Open, 9), 1, None);
    check(SLOT, Some(note(3, Kind::Closing)), sign(Act::Open, 9), 2, provisional(2, 9));
    check(SLOT, None, sign(Act::Open, 0), 2, provisional(2, 0));
}

#[test]
fn an_opening_without_room_goes_where_its_next_segments_will() {
    assert_eq!(choose(SLOT, None, sign(Act::Open, 0), NOW).without_room, 1);
    assert_eq!(choose(SLOT, Some(note(3, Kind::Closing)), sign(Act::Open, 9), NOW).without_room, 3);
}

#[test]
fn the_first_segment_behind_a_syn_proves_it() {
    let lasting = |after| Some(at(note(2, Kind::Lasting), after));
    for after in [1, 1 << 20] {
        check(SLOT, Some(note(2, Kind::Provisional)), sign(Act::Go, after), 2, lasting(after));
    }
    // Anything else proves that the SYN was forged, and nothing of its own sender.
    for after in [0, (1 << 20) + 1] {
        let young = Some(at(note(1, Kind::Young), after));
        check(SLOT, Some(note(2, Kind::Provisional)), sign(Act::Go, after), 1, young);
        check(SLOT, Some(note(2, Kind::Provisional)), sign(Act::Close, after), 1, young);
    }
    check(SLOT, Some(note(2, Kind::Provisional)), sign(Act::Close, 1), 2, Some(at(note(2, Kind::Closing), 1)));
}

#[test]
fn only_a_close_where_the_client_is_closes() {
    let lasting = note(3, Kind::Lasting);
    let doubted = Some(Note { doubted: true, ..at(lasting, 0) });
    check(SLOT, Some(lasting), sign(Act::Close, 0), 3, Some(at(note(3, Kind::Closing), 0)));
    // A FIN whose front was seen before.
    let again = Sign { sequence: ISN.wrapping_sub(5), ..sign(Act::Close, 1) };
    check(SLOT, Some(lasting), again, 3, Some(at(note(3, Kind::Closing), 1)));
    check(SLOT, Some(lasting), sign(Act::Close, 1), 3, Some(at(lasting, 1)));
    for far in [1 << 30, (1 << 20) + 1, 1 << 31] {
        check(SLOT, Some(lasting), sign(Act::Close, far), 3, doubted);
        check(SLOT, Some(lasting), sign(Act::Go, far), 3, doubted);
        check(SLOT, doubted, sign(Act::Close, 0), 3, doubted);
        check(SLOT, Some(note(3, Kind::Closing)), sign(Act::Go, far), 3, doubted);
    }
}

#[test]
fn a_connection_that_is_closed_on_one_side_comes_back_by_what_it_says_later() {
    let closing = Note { seen: NOW - 1, ..note(3, Kind::Closing) };
    check(SLOT, Some(closing), sign(Act::Go, 0), 3, Some(closing));
    let before = Note { seen: NOW - 2, ..closing };
    let after = Note { kind: Kind::Lasting, doubted: true, ..at(before, 0) };
    check(SLOT, Some(before), sign(Act::Go, 0), 3, Some(after));
    check(SLOT, Some(before), sign(Act::Close, 0), 3, Some(at(before, 0)));
}

#[test]
fn an_unknown_flow_is_young_until_it_goes_on() {
    let fresh = at(note(1, Kind::Young), 1);
    check(SLOT, None, sign(Act::Go, 1), 1, Some(fresh));
    check(SLOT, None, sign(Act::Close, 1), 1, None);
    check(SLOT, Some(fresh), sign(Act::Go, 4), 1, Some(at(fresh, 4)));
    check(SLOT, Some(fresh), sign(Act::Go, 1 << 30), 1, Some(Note { doubted: true, ..fresh }));
    for (ago, kind) in [(1, Kind::Young), (2, Kind::Lasting)] {
        let before = Note { seen: NOW - ago, ..fresh };
        let seen = if kind == Kind::Young { before.seen } else { NOW };
        check(SLOT, Some(before), sign(Act::Go, 1), 1, Some(Note { kind, seen, ..before }));
        check(SLOT, Some(before), Sign::DATAGRAM, 1, Some(Note { kind, seen, ..before }));
    }
}

#[test]
fn a_datagram_is_noted_on_previous_while_that_stands() {
    let young = Note { sequence: 0, ..at(note(1, Kind::Young), 0) };
    check(SLOT, None, Sign::DATAGRAM, 1, Some(young));
    let lasting = note(3, Kind::Lasting);
    check(SLOT, Some(lasting), Sign::DATAGRAM, 3, Some(Note { seen: NOW, ..lasting }));
    let given_up = Slot::tracked(2, 2);
    check(given_up, None, Sign::DATAGRAM, 2, None);
    check(given_up, Some(lasting), Sign::DATAGRAM, 3, Some(Note { seen: NOW, ..lasting }));
}

#[test]
fn where_previous_is_given_up_nothing_new_is_noted() {
    for act in [Act::Open, Act::Close, Act::Go] {
        check(Slot::tracked(2, 2), None, sign(act, 1), 2, None);
    }
}

#[test]
fn where_nobody_takes_new_flows_an_opening_is_not_noted() {
    check(Slot::tracked(0, 1), None, sign(Act::Open, 0), 0, None);
    assert_eq!(choose(Slot::tracked(0, 1), None, sign(Act::Go, 0), NOW).backend, 1);
}

#[test]
fn a_segment_ends_behind_its_payload_and_its_fin() {
    let of = |flags, payload| {
        let sign = Sign::of(&Segment { source: 1, destination: 2, flags, header: 0, end: 0 }, u32::MAX, payload);
        (sign.act, sign.end)
    };
    assert_eq!(of(Segment::SYN, 0), (Act::Open, u32::MAX));
    assert_eq!(of(Segment::ACK, 10), (Act::Go, 9));
    assert_eq!(of(Segment::ACK | Segment::FIN, 10), (Act::Close, 10));
    assert_eq!(of(Segment::RST, 10), (Act::Close, u32::MAX));
}

#[test]
fn notes_are_over_after_their_time_and_not_before() {
    for (kind, scarce, seconds) in [
        (Kind::Provisional, false, 130),
        (Kind::Closing, false, 120),
        (Kind::Lasting, true, 10_800),
        (Kind::Young, false, 10_802),
        (Kind::Young, true, 130),
    ] {
        let note = note(1, kind);
        assert!(!note.is_over(note.seen + seconds, 10_800, scarce), "{kind:?}");
        assert!(note.is_over(note.seen + seconds + 1, 10_800, scarce), "{kind:?}");
        assert!(!note.is_over(0, 10_800, scarce), "a note from another CPU's later second is not over");
    }
}
