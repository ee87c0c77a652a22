//! A table with few and with many notes, and with others at work on it.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;
use crate::{
    address::{V4, V6},
    image::HostTables,
    layout::{MAX_NOTES, RING_SIZES},
    note::Kind,
};

const SECRET: [u64; 2] = [0x1234_5678_9abc_def0, 0x0fed_cba9_8765_4321];

fn tables() -> HostTables {
    HostTables { room: MAX_NOTES as usize, note_secret: SECRET, ..HostTables::default() }
}

fn key(client: u32) -> Key {
    Key::of(V4(client), V4(1), 443 << 16 | 6 << 32, client % RING_SIZES[7], SECRET)
}

fn note(backend: u32) -> Note {
    Note { backend, kind: Kind::Lasting, seen: 0, sequence: 0, doubted: false }
}

/// A table with a note, on backend 1.
fn with_one() -> (HostTables, Key) {
    let (tables, key) = (tables(), key(7));
    assert!(make(key, note(1).to_words(), &tables));
    (tables, key)
}

fn found(key: Key, tables: &HostTables) -> Option<Note> {
    Standing::of(key, tables).map(|standing| standing.note)
}

#[test]
fn few_notes_are_in_the_first_level_and_many_in_the_others() {
    let tables = tables();
    let flows = 400_000;
    for client in 0..flows {
        assert!(make(key(client), note(1 + client % 4095).to_words(), &tables), "{client}");
        let levels = [1, 2].map(|level| tables.noted(level_index(level)));
        assert!(client > 3_000 || levels == [0, 0], "{client}: {levels:?}");
        assert!(client > 150_000 || levels[1] == 0, "{client}: {levels:?}");
    }
    assert!((0..flows).all(|client| found(key(client), &tables) == Some(note(1 + client % 4095))));
    assert!((flows..2 * flows).all(|client| found(key(client), &tables).is_none()));
    let in_level = |level: usize| {
        let places = first_line(level) * IN_A_LINE..first_line(level + 1) * IN_A_LINE;
        tables.notes.borrow().keys().filter(|place| places.contains(place)).count()
    };
    assert_eq!([1, 2].map(in_level), [1, 2].map(|level| tables.noted(level_index(level)) as usize));
    assert!(in_level(0) > 65_000 && in_level(1) > 240_000, "{:?}", [0, 1, 2].map(in_level));
}

#[test]
fn who_is_first_in_a_place_keeps_it() {
    let tables = tables();
    assert!(occupy(5, note(1).to_words(), &tables));
    assert!(!occupy(5, note(2).to_words(), &tables));
    assert_eq!(tables.note_words(5), note(1).to_words());
}

#[test]
fn a_place_that_is_reserved_has_no_note_and_hides_none() {
    let (tables, key) = with_one();
    tables.put_note(find(key, &tables) as usize - 1, 0, Note::RESERVED);
    assert_eq!(found(key, &tables), None);
    assert!(make(key, note(2).to_words(), &tables));
    assert_eq!(found(key, &tables), Some(note(2)));
}

#[test]
fn what_spoke_meanwhile_is_not_taken_away() {
    let (tables, key) = with_one();
    let seen = Standing::of(key, &tables).expect("it was made");
    let renewed = Note { seen: 5, ..note(1) };
    seen.renew(key, renewed, &tables);
    let words = |note: Note| [note.to_words()[0] | key.mark, note.to_words()[1]];
    assert!(!free(seen.place, words(note(1)), &tables));
    assert_eq!(found(key, &tables), Some(renewed));
    assert!(free(seen.place, words(renewed), &tables));
    assert_eq!((found(key, &tables), tables.notes.borrow().len()), (None, 0));
}

#[test]
fn who_comes_late_leaves_the_note_of_another_flow_alone() {
    let tables = tables();
    let (old, new) = (key(7), Key { mark: key(8).mark, ..key(7) });
    assert!(make(old, note(1).to_words(), &tables));
    let late = Standing::of(old, &tables).expect("it was made");
    late.delete(old, &tables);
    assert!(make(new, note(2).to_words(), &tables));
    late.renew(old, Note { seen: 9, kind: Kind::Closing, ..note(1) }, &tables);
    late.delete(old, &tables);
    assert_eq!((found(old, &tables), found(new, &tables)), (None, Some(note(2))));
}

#[test]
fn a_kind_that_changed_meanwhile_leaves_no_half() {
    let (tables, key) = with_one();
    let seen = Standing::of(key, &tables).expect("it was made");
    let closing = Note { kind: Kind::Closing, ..note(1) };
    seen.renew(key, closing, &tables);
    seen.delete(key, &tables);
    assert_eq!(found(key, &tables), Some(closing), "only its first word is another, and it stands whole");
}

#[test]
fn a_note_is_renewed_in_its_place_and_leaves_it_free() {
    let (tables, key) = with_one();
    let standing = Standing::of(key, &tables).expect("it was made");
    let closing = Note { kind: Kind::Closing, seen: 9, sequence: 77, ..note(1) };
    standing.renew(key, closing, &tables);
    assert_eq!((found(key, &tables), tables.notes.borrow().len()), (Some(closing), 1));
    Standing::of(key, &tables).expect("it is there").delete(key, &tables);
    assert_eq!((found(key, &tables), tables.notes.borrow().len()), (None, 0));
}

/// The last level is asked after one is counted there, and never before.
#[test]
fn a_flow_is_found_where_it_had_to_go() {
    let tables = tables();
    let spread = |low: u64| Key { spread: 5 << 60 | low, mark: low << Key::FLOW | Note::PRESENT };
    let flows = 20;
    let made = (1..=flows).take_while(|low| make(spread(*low), note(1).to_words(), &tables)).count();
    assert!((12..=20).contains(&made), "{made}");
    assert!((1..=made as u64).all(|low| found(spread(low), &tables).is_some()));
    for low in 1..=made as u64 {
        Standing::of(spread(low), &tables).expect("it is there").delete(spread(low), &tables);
        assert!((low + 1..=made as u64).all(|low| found(spread(low), &tables).is_some()), "without {low}");
    }
}

proptest! {
    #[test]
    fn it_answers_as_a_map_does(steps in prop::collection::vec((0..40u32, 0..3u8, 1..4096u32), 1..200)) {
        let (tables, mut model) = (tables(), HashMap::new());
        for (client, act, backend) in steps {
            // All of one line of the first two levels.
            let key = Key { spread: 9 << 60 | u64::from(client), mark: u64::from(client) << Key::FLOW | Note::PRESENT };
            match (act, Standing::of(key, &tables)) {
                (0, Some(standing)) => {
                    standing.delete(key, &tables);
                    model.remove(&client);
                }
                (1, Some(standing)) => {
                    standing.renew(key, note(backend), &tables);
                    model.insert(client, note(backend));
                }
                (_, None) if make(key, note(backend).to_words(), &tables) => {
                    model.insert(client, note(backend));
                }
                _ => {}
            }
            prop_assert_eq!(found(key, &tables), model.get(&client).copied());
        }
        prop_assert_eq!(tables.notes.borrow().len(), model.len());
    }

    #[test]
    fn a_note_is_the_same_after_its_words(
        (backend, kind, seen) in (1..4096u32, 0..4usize, 0..1u32 << 31),
        (sequence, doubted, mark) in any::<(u32, bool, u64)>(),
    ) {
        let kind = [Kind::Provisional, Kind::Young, Kind::Lasting, Kind::Closing][kind];
        let note = Note { backend, kind, seen, sequence, doubted };
        let [first, second] = note.to_words();
        prop_assert_eq!(first & Key::MASK, Note::PRESENT);
        prop_assert_eq!(Note::standing([first | mark & Key::MASK, second]), Some(note));
    }

    #[test]
    fn a_key_says_its_slot(high in any::<u64>(), low in any::<u64>(), slot in 0..RING_SIZES[7]) {
        let key = Key::of(V6([high, low]), V6([1, 2]), 80, slot, SECRET);
        prop_assert_eq!(Key::slot_in(key.mark | !Key::MASK), slot);
    }
}

#[test]
fn flows_that_differ_in_few_bits_have_other_keys() {
    let ports = |port: u32| Key::of(V4(7), V4(1), u64::from(port) | 6 << 32, 0, SECRET);
    let hosts = |host: u32| Key::of(V6([0x2001_0db8 << 32, u64::from(host)]), V6([3, 4]), 80, 0, SECRET);
    for keys in [(0..100_000).map(ports).collect::<Vec<_>>(), (0..100_000).map(hosts).collect()] {
        let lines: HashSet<_> = keys.iter().map(|key| key.line::<0, false>()).collect();
        // Each of 32,768 is met 3 times, and so one in 20 never.
        assert!((30_900..31_400).contains(&lines.len()), "{}", lines.len());
        assert_eq!(keys.iter().map(|key| (key.line::<0, false>(), key.mark)).collect::<HashSet<_>>().len(), keys.len());
    }
}

#[test]
fn another_secret_is_another_table() {
    let with = |secret| Key::of(V4(7), V4(1), 80, 5, secret);
    assert_ne!(with(SECRET), with([SECRET[0] ^ 1, SECRET[1]]));
    assert_ne!(with(SECRET), with([SECRET[0], SECRET[1] ^ 1]));
}

/// What an address differs in is not made up for by ports or a protocol, shifted as it may be.
#[test]
fn flows_of_one_client_to_several_services_have_other_keys() {
    let of = |service: u64, ports: u64| Key::of(V6([7, 8]), V6([0x2001 << 48, service]), ports, 0, SECRET).spread;
    let (bits, client, protocols) = (0..64u32, 0..40u32, [6u64, 17]);
    let services = bits.map(|bit| 1 << bit).chain([1, 0x16]);
    let ports = client.flat_map(|bit| protocols.map(|protocol| 1 << bit ^ protocol << 32 ^ 443 << 16));
    let ports: Vec<_> = ports.collect();
    let keys: HashMap<_, _> =
        services.flat_map(|service| ports.iter().map(move |ports| (of(service, *ports), (service, *ports)))).collect();
    let flows: HashSet<_> = keys.values().collect();
    assert_eq!(flows.len(), 65 * ports.iter().collect::<HashSet<_>>().len());
}
