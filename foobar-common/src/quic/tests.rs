//! Connection ids over the host's tables: whom they name, and what becomes of everything that looks like one.

use proptest::prelude::*;

use super::*;
use crate::{
    address::V4,
    class::Class,
    decision::Decision,
    find::service_key,
    flow::UDP,
    image::{Claim, HostTables, Image},
    layout::{RING_SLOTS, Side},
    next_hop::NextHop,
    slot::Slot,
    target::Mode,
};

/// Server ids 0a01 and 0a02 of config 2 name backends 3 and 4 of a service at 10.0.0.1, udp/443, whose slots are all
/// the first one's.
const SCHEME: Scheme = Scheme::new(2, 2);
const FIRST: u8 = 2 << 5;
const IDS: [(u64, u32); 2] = [(0x0a01, 3), (0x0a02, 4)];

fn tables() -> HostTables {
    let mut image = Image::default();
    let entry = ServiceEntry { slots: RING_SLOTS, seed: 9, scheme: SCHEME, ..ServiceEntry::default() };
    let key = service_key(V4(0x0a00_0001), 0, UDP);
    image.claim(&[Claim { key, ports: vec![443..=443], entry: entry.to_words(), listens: true }]);
    for (id, backend) in IDS {
        image.server(0, id, backend);
    }
    HostTables {
        image,
        rings: vec![vec![Slot::calm(3); RING_SLOTS as usize]],
        next_hops: IDS.iter().map(|(_, backend)| (*backend, NextHop::new([*backend as u8; 6], [8; 6], 1))).collect(),
        ingress: 1,
        room: 8,
        ..HostTables::default()
    }
}

/// A datagram to the service.
fn datagram(payload: &[u8]) -> Vec<u8> {
    let len = 8 + payload.len() as u16;
    let mut frame = vec![2; 12];
    frame.extend([8, 0, 0x45, 0]);
    frame.extend((20 + len).to_be_bytes());
    frame.extend([0, 1, 0, 0, 64, UDP, 0, 0, 192, 0, 2, 7, 10, 0, 0, 1, 0x0f, 0xa0, 1, 187]);
    frame.extend(len.to_be_bytes());
    frame.extend([0, 0]);
    frame.extend(payload);
    frame
}

fn short(id: &[u8]) -> Vec<u8> {
    [&[0x40], id, &[7; 20]].concat()
}

/// `len`: what is said of the connection id.
fn long(len: u8, id: &[u8]) -> Vec<u8> {
    [&[0xc0, 0, 0, 0, 1, len], id, &[0; 30]].concat()
}

fn id(first: u8, server: u16) -> Vec<u8> {
    [&[first], server.to_be_bytes().as_slice(), &[9; 5]].concat()
}

/// The backend that a frame went to.
fn to(tables: &HostTables, frame: &[u8]) -> u32 {
    let mut after = frame.to_vec();
    assert_eq!(tables.run(&mut after), Outcome::Forwarded);
    u32::from(after[0])
}

#[test]
fn words_of_a_service_come_back_with_its_scheme() {
    for (config, len) in [(0, 1), (6, 8), (2, 2)] {
        let entry = ServiceEntry {
            ring: 65,
            slots: 131_071,
            seed: 7,
            http: true,
            mode: Mode::Snat,
            scheme: Scheme::new(config, len),
            ..ServiceEntry::default()
        };
        assert_eq!(ServiceEntry::from_words(entry.to_words()), entry);
        assert_eq!((entry.scheme.config(), entry.scheme.len(), entry.scheme.is_none()), (config, len, false));
    }
    assert!(ServiceEntry::default().scheme.is_none() && Scheme::NONE.is_none());
}

#[test]
fn a_connection_id_chooses_whatever_the_slot_says() {
    let tables = tables();
    for (server, backend) in IDS {
        let id = id(FIRST | 0x15, server as u16);
        assert_eq!(to(&tables, &datagram(&short(&id))), backend);
        assert_eq!(to(&tables, &datagram(&long(8, &id))), backend);
    }
    assert!(tables.notes.borrow().is_empty());
}

#[test]
fn what_names_nobody_goes_by_its_slot() {
    let tables = tables();
    let named = id(FIRST, 0x0a02);
    let mut whole = datagram(&short(&named));
    assert_eq!(to(&tables, &whole), 4);
    for (payload, why) in [
        (short(&id(FIRST, 0x0a03)), "nobody has this id"),
        (short(&id(UNROUTABLE << 5, 0x0a02)), "it says that it names nobody"),
        (short(&id(3 << 5, 0x0a02)), "another config"),
        (long(6, &named), "no room for a nonce"),
        (long(21, &named), "longer than any"),
        (long(255, &named), "a length that lies"),
        (long(0, &named), "no connection id"),
        (short(&named)[..9].to_vec(), "too short"),
        (long(20, &named)[..20].to_vec(), "it ends before its id does"),
        (vec![], "nothing in it"),
        (vec![0x40], "one byte"),
        (vec![0xc0, 0, 0], "half a header"),
    ] {
        assert_eq!(to(&tables, &datagram(&payload)), 3, "{why}");
    }
    // More fragments follow.
    whole[20] = 0x20;
    assert_eq!(to(&tables, &whole), 3, "the first of some fragments");
}

#[test]
fn a_dead_backends_id_names_nobody_and_an_unresolved_ones_does() {
    let mut tables = tables();
    let mut frame = datagram(&short(&id(FIRST, 0x0a02)));
    tables.next_hops.insert(4, NextHop::UNRESOLVED);
    assert_eq!(tables.run(&mut frame), Outcome::Unresolved);
    tables.next_hops.remove(&4);
    assert_eq!(to(&tables, &frame), 3);
}

#[test]
fn notes_are_made_by_what_goes_by_its_slot_alone_and_bind_nothing_that_is_named() {
    let mut tables = tables();
    tables.rings = vec![vec![Slot::tracked(4, 3); RING_SLOTS as usize]];
    let before = tables.notes.borrow().len();
    assert_eq!(to(&tables, &datagram(&short(&id(FIRST, 0x0a02)))), 4);
    assert_eq!(tables.notes.borrow().len(), before, "an id leaves no note");
    assert_eq!(to(&tables, &datagram(&long(8, &id(0xff, 0x0a02)))), 3, "previous");
    let noted = tables.notes.borrow().clone();
    assert_eq!(noted.len(), 1);
    assert_eq!(to(&tables, &datagram(&short(&id(FIRST, 0x0a02)))), 4, "the note is of another connection");
    assert_eq!(*tables.notes.borrow(), noted);
}

#[test]
fn a_denial_is_asked_before_any_connection_id() {
    let mut tables = tables();
    tables.image.sources.push(Class { decision: Decision::new(0, false, 5), pairs: 0 });
    let (root, nodes) = tables.image.trie(Side::Source, false);
    root.insert(nodes, V4(0xc000_0207), 32, &mut |_| 1);
    assert_eq!(tables.run(&mut datagram(&short(&id(FIRST, 0x0a02)))), Outcome::Denied);
}

/// The same, byte by byte.
fn naive(payload: &[u8], config: u8, len: usize) -> Option<u64> {
    let (id, most) = match payload.first()? {
        0x80.. => {
            let said = usize::from(*payload.get(5)?);
            (payload.get(6..)?, said)
        }
        _ => (payload.get(1..)?, 20),
    };
    let is_whole = (payload[0] & 0x80 == 0 || id.len() >= most) && (len + 5..=20).contains(&most);
    let has_room = id.len() >= 9.max(len + 5) && payload.len() >= 6;
    (is_whole && has_room && id[0] >> 5 == config)
        .then(|| id[1..=len].iter().fold(0, |id, byte| id << 8 | u64::from(*byte)))
}

proptest! {
    #[test]
    fn an_id_is_what_stands_behind_its_first_octet(
        is_long in any::<bool>(), said in prop_oneof![Just(8u8), 0..24u8, any::<u8>()],
        payload in prop::collection::vec(any::<u8>(), 0..48), config in 0..7u8, len in 1..=MAX_SERVER_ID,
        fits in any::<bool>(),
    ) {
        let mut payload = payload;
        if let Some(first) = payload.first_mut() {
            *first = *first & 0x7f | u8::from(is_long) << 7;
        }
        if is_long && payload.len() > 5 {
            payload[5] = said;
        }
        let at = if is_long { 6 } else { 1 };
        if fits && payload.len() > at {
            payload[at] = config << 5 | payload[at] & 0x1f;
        }
        let frame = datagram(&payload);
        prop_assert_eq!(server_id(frame.as_slice(), 34, Scheme::new(config, len)), naive(&payload, config, len));
    }

    #[test]
    fn every_frame_is_sent_on_once_whatever_it_says(payload in prop::collection::vec(any::<u8>(), 0..64)) {
        let tables = tables();
        let backend = to(&tables, &datagram(&payload));
        prop_assert!([3, 4].contains(&backend));
        prop_assert_eq!(tables.backends.borrow().values().map(|tally| tally[0]).sum::<u64>(), 1);
    }
}
