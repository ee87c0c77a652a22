//! A whole packet's way over the host's tables.

use proptest::prelude::*;

use crate::{
    Action, Outcome,
    address::V4,
    class::Class,
    decision::Decision,
    find::{ServiceEntry, service_key},
    flow::TCP,
    image::{Claim, HostTables, Image},
    layout::{RING_SLOTS, Side},
    next_hop::NextHop,
    slot::Slot,
};

/// A service at 10.0.0.1:80 with one backend, and a rule against 203.0.113.0/24.
fn tables(drops: bool) -> HostTables {
    let mut image = Image { drops, ..Image::default() };
    image.sources.push(Class { decision: Decision::new(0, false, 5), pairs: 0 });
    let (root, nodes) = image.trie(Side::Source, false);
    root.insert(nodes, V4(0xcb00_7100), 24, &mut |_| 1);
    let entry = ServiceEntry { slots: RING_SLOTS, seed: 9, http: true, ..ServiceEntry::default() };
    let key = service_key(V4(0x0a00_0001), 0, TCP);
    image.claim(&[Claim { key, ports: vec![80..=80], entry: entry.to_words(), listens: true }]);
    HostTables {
        image,
        rings: vec![vec![Slot::calm(3); RING_SLOTS as usize]],
        next_hops: [(3, NextHop::new([6; 6], [8; 6], 1))].into(),
        ingress: 1,
        ..HostTables::default()
    }
}

fn segment(source: u32, port: u8) -> Vec<u8> {
    let mut frame = vec![2; 12];
    frame.extend([8, 0, 0x45, 0, 0, 48, 0, 1, 0, 0, 64, TCP, 0, 0]);
    frame.extend(source.to_be_bytes());
    frame.extend([10, 0, 0, 1, 0x0f, 0xa0, 0, port, 0, 0, 0, 7, 0, 0, 0, 0, 0x50, 0x10, 0, 0, 0, 0, 0, 0]);
    frame.extend(b"GET / HT");
    frame
}

fn frames() -> impl Strategy<Value = Vec<u8>> {
    let spoil = prop::collection::vec((0usize..62, any::<u8>()), 0..4);
    let source = prop_oneof![Just(0xc000_0207), Just(0xcb00_7101), any::<u32>()];
    let near = (source, prop_oneof![2 => Just(80), 1 => any::<u8>()], spoil, 0usize..=62);
    let near = near.prop_map(|(source, port, spoil, cut)| {
        let mut frame = segment(source, port);
        for (at, byte) in spoil {
            frame[at] = byte;
        }
        if cut % 4 == 0 {
            frame.truncate(cut);
        }
        frame
    });
    prop_oneof![4 => near, 1 => prop::collection::vec(any::<u8>(), 0..80)]
}

#[test]
fn a_packet_is_counted_where_it_went_and_by_whom_it_was_decided() {
    let tables = tables(true);
    let mut frame = segment(0xc000_0207, 80);
    assert_eq!(tables.run(&mut frame), Outcome::Forwarded);
    assert_eq!(frame[..12], [6, 6, 6, 6, 6, 6, 8, 8, 8, 8, 8, 8]);
    assert_eq!(tables.run(&mut segment(0xcb00_7101, 80)), Outcome::Denied);
    assert_eq!(tables.run(&mut segment(0xc000_0207, 81)), Outcome::DefaultDrop);
    assert_eq!(*tables.backends.borrow(), [(3, [1, 62, 0, 1])].into());
    assert_eq!(*tables.rules.borrow(), [(5, [1, 62])].into());
}

#[test]
fn another_interface_is_a_redirect_and_none_is_unresolved() {
    let mut tables = tables(true);
    tables.next_hops.insert(3, NextHop::new([6; 6], [8; 6], 4));
    assert_eq!(tables.run(&mut segment(1, 80)), Outcome::Redirected);
    assert_eq!(tables.redirected.get(), Some(4));
    tables.next_hops.insert(3, NextHop::UNRESOLVED);
    assert_eq!(tables.run(&mut segment(1, 80)), Outcome::Unresolved);
    tables.next_hops.clear();
    assert_eq!(tables.run(&mut segment(1, 80)), Outcome::NoBackend);
    assert_eq!(tables.backends.borrow()[&3][0], 1, "a packet that goes nowhere is not its backend's");
}

#[test]
fn a_frame_for_a_group_is_for_no_service() {
    for (drops, outcome) in [(false, Outcome::DefaultPass), (true, Outcome::DefaultDrop)] {
        for first in [0x01, 0x33, 0xff] {
            let mut frame = segment(1, 80);
            frame[0] = first;
            assert_eq!(tables(drops).run(&mut frame), outcome, "{first:#x}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn a_frame_is_counted_once_and_changed_only_where_it_is_sent_on(frame in frames(), drops in any::<bool>()) {
        let tables = tables(drops);
        let mut after = frame.clone();
        let outcome = tables.run(&mut after);
        prop_assert_eq!(&*tables.outcomes.borrow(), &[(outcome, [1, frame.len() as u64])].into());
        if matches!(outcome.action(), Action::Tx | Action::Redirect) {
            prop_assert_eq!(&after[12..], &frame[12..]);
        } else {
            prop_assert_eq!(after, frame);
            prop_assert!(tables.backends.borrow().is_empty());
        }
    }

    #[test]
    fn the_default_changes_what_nothing_decided_and_nothing_else(frame in frames()) {
        let (pass, drop) = (tables(false).run(&mut frame.clone()), tables(true).run(&mut frame.clone()));
        match drop {
            Outcome::DefaultDrop | Outcome::FragmentUnknown => prop_assert_eq!(pass, Outcome::DefaultPass),
            other => prop_assert_eq!(pass, other),
        }
    }
}
