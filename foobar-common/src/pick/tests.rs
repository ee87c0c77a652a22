//! Which slot a flow has.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::{
    address::{V4, V6},
    layout::{RING_SIZES, RING_SLOTS},
};

/// Flows of one family that differ in what few bits real ones differ in.
fn shares<A: Address>(flow: impl Fn(u32) -> (A, A, u64)) -> HashMap<u32, u32> {
    let mut shares = HashMap::new();
    for number in 0..65_536 {
        let (source, destination, ports) = flow(number);
        *shares
            .entry(slot_index(flow_hash(source, destination, ports, 77), RING_SLOTS) * 16 / RING_SLOTS)
            .or_default() += 1;
    }
    shares
}

#[test]
fn few_bits_of_difference_spread_evenly() {
    let (here, there) = (V4(0x0a00_0001), V4(0xc000_0200));
    let (here6, there6) = (V6([0x2001_0db8_0001_0000, 1]), V6([0x2001_0db8_0007_0000, 0]));
    let https = 443 << 16 | 6 << 32;
    let one_port = https + 4000;
    for (what, shares) in [
        ("ports", shares(|number| (there, here, u64::from(number) | https))),
        ("hosts", shares(|number| (V4(there.0 + number), here, one_port))),
        ("services", shares(|number| (there, V4(here.0 + number), one_port))),
        ("networks in IPv6", shares(|number| (V6([there6.0[0] + u64::from(number), 1]), here6, one_port))),
        ("hosts in IPv6", shares(|number| (V6([there6.0[0], u64::from(number)]), here6, one_port))),
        ("ports in IPv6", shares(|number| (there6, here6, u64::from(number) | https))),
    ] {
        assert_eq!(shares.len(), 16, "{what}");
        // 4096 each, give or take five standard deviations.
        assert!(shares.values().all(|share| (3_776..=4_416).contains(share)), "{what}: {shares:?}");
    }
}

#[test]
fn a_hash_is_the_same_on_every_machine_and_in_every_version() {
    assert_eq!(flow_hash(V4(0xc000_0207), V4(0x0a00_0001), 0x6_0050_0fa0, 1), GOLDEN.0);
    assert_eq!(flow_hash(V6([1, 2]), V6([3, 4]), 0x6_0050_0fa0, 1), GOLDEN.1);
}

/// What the first version answered. Another answer moves every connection of a balancer that is upgraded.
const GOLDEN: (u32, u32) = (1_366_905_642, 2_602_639_347);

proptest! {
    #[test]
    fn every_hash_has_a_slot(hash in any::<u32>(), slots in prop::sample::select(&RING_SIZES[..])) {
        prop_assert!(slot_index(hash, slots) < slots);
    }

    #[test]
    fn another_seed_is_another_order(source in any::<u32>(), ports in any::<u64>(), seed in 1u32..) {
        let hash = |seed| flow_hash(V4(source), V4(1), ports, seed);
        prop_assert_ne!(hash(seed), hash(0));
    }
}

#[test]
fn both_ends_of_the_ring_are_reached() {
    assert_eq!(slot_index(0, RING_SLOTS), 0);
    assert_eq!(slot_index(u32::MAX, RING_SLOTS), RING_SLOTS - 1);
}
