//! Sweeps over the notes by the loaded programs, at moments that the tests choose.

use foobar_common::{
    Address as _, Outcome,
    address::{V4, V6},
    find::ServiceEntry,
    flow::{TCP, port_word},
    layout::{MAX_NOTES, UNPROVEN_WORDS, unproven_index},
    note::{CLOSING_SECONDS, Kind, Note, PROVISIONAL_SECONDS, YOUNG_SECONDS},
};
use foobar_tests::{frames::tcp, lab::Lab};
use foobar_userspace::{
    daemon::state::now,
    datapath::{SLICE, Swept},
};

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

/// The key of one of the service's flows.
fn key(client: u32) -> [u64; 2] {
    V4::flow_key(V4(0x0b00_0000 + client), V4(u32::from_be_bytes(SERVICE)), port_word(TCP, 40_000, 443))
}

fn key_v6(client: u64) -> [u64; 5] {
    let (source, service) = (V6([0x2001_0db8_0000_0000, client]), V6([0x2001_0db8_0001_0000, 1]));
    V6::flow_key(source, service, port_word(TCP, 40_000, 443))
}

fn slot(entry: &ServiceEntry, client: u32) -> u32 {
    let (source, destination, ports) = V4::flow_of(key(client));
    entry.slot_of(source, destination, ports)
}

/// A note whose flow was silent for so many seconds.
fn note(kind: Kind, backend: u32, silent: u32) -> Note {
    Note { backend, kind, seen: NOW - silent, sequence: 7, doubted: false }
}

fn fill(lab: &mut Lab, notes: impl Iterator<Item = (u32, Note)>) {
    let notes = notes.map(|(client, note)| (key(client), note));
    lab.datapath().set_notes_v4(notes).expect("flows can be noted");
}

fn sweep(lab: &mut Lab) -> Swept {
    lab.sweep(NOW, LIFE, [0; 2])
}

fn notes(lab: &mut Lab) -> usize {
    lab.datapath().notes().expect("the notes can be read").len()
}

fn refused(lab: &mut Lab) -> u64 {
    let ring = lab.entry(IPV4).ring;
    lab.datapath().refused(ring)
}

#[test]
fn a_full_table_is_swept_in_slices() {
    let mut lab = lab();
    let (old, new) = (lab.id(IPV4, OLD), lab.id(IPV4, NEW));
    // A third on each backend, and a third that is over.
    let noted = |client: u32| match client % 3 {
        0 => note(Kind::Lasting, old, LIFE),
        1 => note(Kind::Lasting, new, 0),
        _ => note(Kind::Lasting, old, LIFE + 1),
    };
    fill(&mut lab, (0..MAX_NOTES).map(|client| (client, noted(client))));

    let first = sweep(&mut lab);

    let living = |of: u32| u64::from((0..MAX_NOTES).filter(|client| client % 3 == of).count() as u32);
    assert_eq!(first.by_backend, [(old, living(0)), (new, living(1))].into());
    assert_eq!(first.left, [living(0) + living(1), 0]);
    assert!(first.walks[IPV4].slices >= u64::from(MAX_NOTES) / SLICE as u64, "{first:?}");
    println!("{} notes, {} of which go: {:?}", MAX_NOTES, living(2), first.walks[IPV4]);
    let second = sweep(&mut lab);
    assert_eq!((second.by_backend, second.left), (first.by_backend, first.left));
    println!("{} notes, all of which stay: {:?}", second.left[0], second.walks[IPV4]);
    assert_eq!(notes(&mut lab) as u64, second.left[0]);
}

#[test]
fn an_empty_table_is_swept() {
    let swept = sweep(&mut lab());
    assert_eq!((swept.left, swept.by_backend.len()), ([0; 2], 0));
    println!("no notes: {:?}", swept.walks[IPV4]);
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

    assert_eq!(sweep(&mut lab).left, [4, 0]);

    let left = lab.datapath().notes().expect("the notes can be read");
    let mut left: Vec<_> = left.iter().map(|flow| flow.key().to_vec()).collect();
    left.sort_unstable();
    assert_eq!(left, [0, 2, 4, 6].map(|client| key(client).to_vec()));
}

#[test]
fn a_note_elsewhere_marks_its_slot_and_others_do_not() {
    let mut lab = lab();
    let (old, new) = (lab.id(IPV4, OLD), lab.id(IPV4, NEW));
    let entry = lab.entry(IPV4);
    fill(&mut lab, (0..500).map(|client| (client, note(Kind::Lasting, if client < 100 { old } else { new }, 0))));

    sweep(&mut lab);

    let wanted = (0..100).map(|client| slot(&entry, client)).collect();
    assert_eq!(lab.datapath().elsewhere(&entry), wanted);
    fill(&mut lab, (0..100).map(|client| (client, note(Kind::Lasting, old, LIFE + 1))));
    sweep(&mut lab);
    assert!(lab.datapath().elsewhere(&entry).is_empty(), "marks are of one sweep");
}

#[test]
fn notes_that_nobody_asks_for_go() {
    let mut lab = Lab::new().service("10.0.0.1", "tcp/443", &[OLD]);
    let calm = lab.id(IPV4, OLD);
    fill(&mut lab, [(1, note(Kind::Lasting, calm, 0)), (2, note(Kind::Lasting, 4095, 0))].into_iter());
    fill(&mut lab, [(3, note(Kind::Lasting, 0, 0)), (4, note(Kind::Lasting, u32::MAX, 0))].into_iter());

    assert_eq!(sweep(&mut lab).left, [0, 0], "of a calm slot, of no service, and of what is no backend");

    assert_eq!(notes(&mut lab), 0);
}

#[test]
fn both_families_are_swept() {
    let mut lab = lab();
    let (old, new) = (lab.id(IPV6, OLD_V6), lab.id(IPV6, NEW_V6));
    let noted = |client: u64| match client % 3 {
        0 => note(Kind::Lasting, old, 0),
        1 => note(Kind::Provisional, new, 0),
        _ => note(Kind::Closing, new, CLOSING_SECONDS + 1),
    };
    lab.datapath().set_notes_v6((0..30_000).map(|client| (key_v6(client), noted(client)))).expect("flows can be noted");
    let entry = lab.entry(IPV6);

    let swept = sweep(&mut lab);

    assert_eq!((swept.left, swept.by_backend), ([0, 20_000], [(old, 10_000), (new, 10_000)].into()));
    let (source, destination, ports) = V6::flow_of(key_v6(0));
    assert!(lab.datapath().elsewhere(&entry).contains(&entry.slot_of(source, destination, ports)));
    assert_eq!(lab.datapath().unproven()[unproven_index(true, Kind::Provisional)], 10_000);
    assert_eq!(notes(&mut lab), 20_000);
}

#[test]
fn counts_of_unproven_notes_are_corrected() {
    let mut lab = lab();
    let (old, new) = (lab.id(IPV4, OLD), lab.id(IPV4, NEW));
    lab.datapath().correct_unproven([0; UNPROVEN_WORDS], [77; UNPROVEN_WORDS]);
    fill(&mut lab, (0..30).map(|client| (client, note(Kind::Provisional, new, 0))));
    fill(&mut lab, (30..50).map(|client| (client, note(Kind::Young, old, 0))));
    fill(&mut lab, (50..60).map(|client| (client, note(Kind::Young, old, LIFE + 3))));

    sweep(&mut lab);

    let mut wanted = [0; UNPROVEN_WORDS];
    wanted[unproven_index(false, Kind::Provisional)] = 30;
    wanted[unproven_index(false, Kind::Young)] = 20;
    assert_eq!(lab.datapath().unproven(), wanted);
}

#[test]
fn young_notes_go_early_where_notes_are_scarce_and_previous_stands_for_them() {
    let mut lab = lab();
    let (old, new) = (lab.id(IPV4, OLD), lab.id(IPV4, NEW));
    let silent = YOUNG_SECONDS + 1;
    fill(&mut lab, [(1, note(Kind::Young, old, silent)), (2, note(Kind::Young, old, silent - 1))].into_iter());
    fill(&mut lab, [(3, note(Kind::Young, new, silent)), (4, note(Kind::Lasting, old, silent))].into_iter());

    assert_eq!(sweep(&mut lab).left, [4, 0], "there is room");
    assert_eq!(refused(&mut lab), 0);
    assert_eq!(lab.sweep(NOW, LIFE, [0, u64::from(MAX_NOTES)]).left, [4, 0], "in the other family there is none");
    assert_eq!(refused(&mut lab), 0);

    let full = u64::from(MAX_NOTES) / 2 + 1;
    assert_eq!(lab.sweep(NOW, LIFE, [full, 0]).left, [3, 0]);
    assert_eq!(refused(&mut lab), u64::from(NOW), "previous stands for the flow");
}

#[test]
fn a_refusal_that_came_later_stands() {
    let mut lab = lab();
    let old = lab.id(IPV4, OLD);
    let ring = lab.entry(IPV4).ring;
    lab.datapath().refuse(ring, u64::from(NOW) + 5);
    fill(&mut lab, [(1, note(Kind::Young, old, YOUNG_SECONDS + 1))].into_iter());

    assert_eq!(lab.sweep(NOW, LIFE, [u64::from(MAX_NOTES), 0]).left, [0, 0]);

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
    assert_eq!(lab.sweep(now + 5, now + 4, [0; 2]).left, [1, 0]);

    let left = lab.datapath().notes().expect("the notes can be read");
    assert_eq!(left[0].key(), key(1));
}
