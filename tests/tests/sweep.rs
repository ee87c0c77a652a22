//! Sweeps over the notes of loaded programs, at moments that the tests choose.

use std::{collections::BTreeSet, time::Instant};

use foobar_common::{
    Address, Outcome,
    address::{V4, V6},
    flow::{TCP, port_word},
    layout::{MAX_NOTES, NOTED_SECRET, unproven_index},
    note::{
        CLOSING_SECONDS, Kind, Note, PROVISIONAL_SECONDS, YOUNG_SECONDS,
        table::{Key, LEVELS_COUNT, NoteTable as _, level_index},
    },
};
use foobar_tests::{frames::tcp, lab::Lab};
use foobar_userspace::{daemon::state::now, datapath::Swept};

const OLD: &str = "10.1.0.2";
const NEW: &str = "10.1.0.3";
const OLD_V6: &str = "2001:db8:2::2";
const NEW_V6: &str = "2001:db8:2::3";
const SERVICE: [u8; 4] = [10, 0, 0, 1];
/// Places of the services.
const IPV4: usize = 0;
const IPV6: usize = 1;
const NOW: u32 = 1_000_000;
const LIFE: u32 = 10_800;

/// A service of each family whose every slot went from the old backend to the new one.
fn lab() -> Lab {
    let mut lab = Lab::new().service("10.0.0.1", "tcp/443", &[OLD]).service("2001:db8:1::1", "tcp/443", &[OLD_V6]);
    for (new, old) in [(NEW, OLD), (NEW_V6, OLD_V6)] {
        lab.add(new);
        lab.drain(old);
    }
    lab
}

/// The key of one of a service's flows, and its slot.
fn key<A: Address>(lab: &mut Lab, service: usize, source: A, destination: A) -> (Key, u32) {
    let ports = port_word(TCP, 40_000, 443);
    let slot = lab.entry(service).slot_of(source, destination, ports);
    (Key::of(source, destination, ports, slot, lab.datapath().note_table().note_secret()), slot)
}

fn key_v4(lab: &mut Lab, client: u32) -> (Key, u32) {
    key(lab, IPV4, V4(0x0b00_0000 + client), V4(u32::from_be_bytes(SERVICE)))
}

fn key_v6(lab: &mut Lab, client: u32) -> (Key, u32) {
    key(lab, IPV6, V6([0x2001_0db8_0000_0000, client.into()]), V6([0x2001_0db8_0001_0000, 1]))
}

/// A note whose flow was silent for so many seconds.
fn note(kind: Kind, backend: u32, silent: u32) -> Note {
    Note { backend, kind, seen: NOW - silent, sequence: 7, doubted: false }
}

fn fill(lab: &mut Lab, notes: impl Iterator<Item = (u32, Note)>) {
    for (client, note) in notes {
        let (key, _) = key_v4(lab, client);
        assert!(lab.datapath().set_note(key, note), "there is room for {client}");
    }
}

fn sweep(lab: &mut Lab) -> Swept {
    lab.sweep(NOW, LIFE, 0)
}

fn notes(lab: &mut Lab) -> usize {
    lab.datapath().notes().len()
}

fn refused(lab: &mut Lab) -> u64 {
    let ring = lab.entry(IPV4).ring;
    lab.datapath().refused(ring)
}

#[test]
fn a_table_with_many_notes_is_swept() {
    let mut lab = lab();
    let (old, new) = (lab.id(IPV4, OLD), lab.id(IPV4, NEW));
    // A third on each backend, and a third that is over.
    let noted = |client: u32| match client % 3 {
        0 => note(Kind::Lasting, old, LIFE),
        1 => note(Kind::Lasting, new, 0),
        _ => note(Kind::Lasting, old, LIFE + 1),
    };
    // Each level has some.
    let all = MAX_NOTES;
    fill(&mut lab, (0..all).map(|client| (client, noted(client))));
    let levels = |lab: &mut Lab| {
        (1..LEVELS_COUNT).map(|level| lab.datapath().note_table().noted(level_index(level))).collect::<Vec<_>>()
    };
    let before = levels(&mut lab);
    assert!(before.iter().all(|notes| *notes > 100_000), "{before:?}");

    let first = timed("all", || sweep(&mut lab));

    let living = |of: u32| u64::from((0..all).filter(|client| client % 3 == of).count() as u32);
    assert_eq!(first.by_backend, [(old, living(0)), (new, living(1))].into());
    assert_eq!(first.left, living(0) + living(1));
    let second = timed("those that stay", || sweep(&mut lab));
    assert_eq!(second, first);
    assert_eq!(notes(&mut lab) as u64, second.left);
    let after = levels(&mut lab);
    assert!(after.iter().zip(before).all(|(after, before)| *after < before * 3 / 4), "{after:?}");
}

#[test]
fn an_empty_table_is_swept() {
    let mut lab = lab();
    let swept = timed("none", || sweep(&mut lab));
    assert_eq!((swept.left, swept.by_backend.len()), (0, 0));
}

fn timed<T>(what: &str, act: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let done = act();
    println!("swept {what} in {:?}", begun.elapsed());
    done
}

#[test]
fn what_is_over_goes_by_its_kind() {
    let mut lab = lab();
    let new = lab.id(IPV4, NEW);
    let kinds = [
        (Kind::Provisional, PROVISIONAL_SECONDS),
        (Kind::Closing, CLOSING_SECONDS),
        (Kind::Lasting, LIFE),
        (Kind::Young, LIFE + 2),
    ];
    for (client, (kind, seconds)) in (0..).step_by(2).zip(kinds) {
        let pair = [(client, note(kind, new, seconds)), (client + 1, note(kind, new, seconds + 1))];
        fill(&mut lab, pair.into_iter());
    }

    assert_eq!(sweep(&mut lab).left, 4);

    let left: BTreeSet<_> = lab.datapath().notes().iter().map(|flow| flow.mark).collect();
    assert_eq!(left, [0, 2, 4, 6].map(|client| key_v4(&mut lab, client).0.mark).into());
}

#[test]
fn a_note_elsewhere_marks_its_slot_and_others_do_not() {
    let mut lab = lab();
    let (old, new) = (lab.id(IPV4, OLD), lab.id(IPV4, NEW));
    let ring = lab.entry(IPV4).ring;
    fill(&mut lab, (0..500).map(|client| (client, note(Kind::Lasting, if client < 100 { old } else { new }, 0))));

    let swept = sweep(&mut lab);

    let wanted = (0..100).map(|client| key_v4(&mut lab, client).1).collect();
    assert_eq!(swept.elsewhere(ring), wanted);
    fill(&mut lab, (0..100).map(|client| (client, note(Kind::Lasting, old, LIFE + 1))));
    assert!(sweep(&mut lab).elsewhere(ring).is_empty(), "marks are of one sweep");
}

#[test]
fn notes_that_nobody_asks_for_go() {
    let mut lab = Lab::new().service("10.0.0.1", "tcp/443", &[OLD]);
    let calm = lab.id(IPV4, OLD);
    fill(&mut lab, [(1, note(Kind::Lasting, calm, 0)), (2, note(Kind::Lasting, 4095, 0))].into_iter());
    fill(&mut lab, [(3, note(Kind::Lasting, 0, 0)), (4, note(Kind::Lasting, 0xffff, 0))].into_iter());

    assert_eq!(sweep(&mut lab).left, 0, "of a calm slot, of no service, and of what is no backend");

    assert_eq!(notes(&mut lab), 0);
}

#[test]
fn a_place_that_was_left_by_halves_is_free_again() {
    let mut lab = lab();
    let (old, (key, _)) = (lab.id(IPV4, OLD), key_v4(&mut lab, 1));
    fill(&mut lab, [(1, note(Kind::Lasting, old, 0))].into_iter());
    let place = lab.datapath().notes()[0].place;
    lab.datapath().note_table().put_note(place, 0, Note::RESERVED);
    assert_eq!((notes(&mut lab), lab.datapath().note_table().find_note(key)), (0, 0));

    assert_eq!(sweep(&mut lab).left, 0);

    assert_eq!(lab.datapath().note_table().note_words(place)[0], 0, "another note can come to it");
}

#[test]
fn both_families_are_swept() {
    let mut lab = lab();
    let (v4, old, new) = (lab.id(IPV4, NEW), lab.id(IPV6, OLD_V6), lab.id(IPV6, NEW_V6));
    let noted = |client: u32| match client % 3 {
        0 => note(Kind::Lasting, old, 0),
        1 => note(Kind::Provisional, new, 0),
        _ => note(Kind::Closing, new, CLOSING_SECONDS + 1),
    };
    fill(&mut lab, [(0, note(Kind::Lasting, v4, 0))].into_iter());
    for client in 0..30_000 {
        let (key, _) = key_v6(&mut lab, client);
        assert!(lab.datapath().set_note(key, noted(client)));
    }

    let swept = sweep(&mut lab);

    assert_eq!((swept.left, &swept.by_backend), (20_001, &[(v4, 1), (old, 10_000), (new, 10_000)].into()));
    let ring = lab.entry(IPV6).ring;
    assert!(swept.elsewhere(ring).contains(&key_v6(&mut lab, 0).1));
    assert_eq!(lab.datapath().note_table().noted(unproven_index(Kind::Provisional)), 10_000);
    assert_eq!(notes(&mut lab), 20_001);
}

#[test]
fn counts_of_unproven_notes_are_corrected() {
    let mut lab = lab();
    let (old, new) = (lab.id(IPV4, OLD), lab.id(IPV4, NEW));
    lab.datapath().note_table().correct([0; NOTED_SECRET], [77; NOTED_SECRET]);
    fill(&mut lab, (0..30).map(|client| (client, note(Kind::Provisional, new, 0))));
    fill(&mut lab, (30..50).map(|client| (client, note(Kind::Young, old, 0))));
    fill(&mut lab, (50..60).map(|client| (client, note(Kind::Young, old, LIFE + 3))));

    sweep(&mut lab);

    let mut wanted = [0; NOTED_SECRET];
    wanted[unproven_index(Kind::Provisional)] = 30;
    wanted[unproven_index(Kind::Young)] = 20;
    assert_eq!(lab.datapath().note_table().counted(), wanted);
}

#[test]
fn young_notes_go_early_where_notes_are_scarce_and_previous_stands_for_them() {
    let mut lab = lab();
    let (old, new) = (lab.id(IPV4, OLD), lab.id(IPV4, NEW));
    let silent = YOUNG_SECONDS + 1;
    fill(&mut lab, [(1, note(Kind::Young, old, silent)), (2, note(Kind::Young, old, silent - 1))].into_iter());
    fill(&mut lab, [(3, note(Kind::Young, new, silent)), (4, note(Kind::Lasting, old, silent))].into_iter());

    assert_eq!(sweep(&mut lab).left, 4, "there is room");
    assert_eq!(refused(&mut lab), 0);

    let full = u64::from(MAX_NOTES) / 2 + 1;
    assert_eq!(lab.sweep(NOW, LIFE, full).left, 3);
    assert_eq!(refused(&mut lab), u64::from(NOW), "previous stands for the flow");
}

#[test]
fn a_refusal_that_came_later_stands() {
    let mut lab = lab();
    let old = lab.id(IPV4, OLD);
    let ring = lab.entry(IPV4).ring;
    lab.datapath().refuse(ring, u64::from(NOW) + 5);
    fill(&mut lab, [(1, note(Kind::Young, old, YOUNG_SECONDS + 1))].into_iter());

    assert_eq!(lab.sweep(NOW, LIFE, MAX_NOTES.into()).left, 0);

    assert_eq!(refused(&mut lab), u64::from(NOW) + 5);
}

#[test]
fn a_flow_that_speaks_again_keeps_its_note() {
    let mut lab = lab();
    let new = lab.id(IPV4, NEW);
    let silent = Note { seen: 0, ..note(Kind::Lasting, new, 0) };
    fill(&mut lab, (0..2).map(|client| (client, silent)));
    let sent = tcp("11.0.0.1:40000", "10.0.0.1:443").ack().sequence(7);
    assert_eq!(lab.run(&sent).outcome, Outcome::Forwarded);
    let now = now() as u32;

    // With a life that ends between the two.
    assert_eq!(lab.sweep(now + 5, now + 4, 0).left, 1);

    let left = lab.datapath().notes();
    assert_eq!(left[0].mark, key_v4(&mut lab, 1).0.mark);
}
