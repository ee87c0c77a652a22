//! Weighted Maglev rings (Eisenbud et al., NSDI 2016, §3.4), and how a changed ring follows an old one.
//!
//! A ring depends on the members' names and weights alone, so every machine builds the same one.

use crate::{hash, slot::Slot};

/// A backend as a ring sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// The backend's id, 0 excluded: what stands in the slots.
    pub id: u32,
    /// What decides the member's places; see [`name`].
    pub name: u64,
    /// 0: no slots.
    pub weight: u16,
}

/// A name from an address's bits: an IPv4 address is taken as its 32-bit number.
pub const fn name(address: u128) -> u64 {
    mix(mix(address as u64).wrapping_add((address >> 64) as u64))
}

/// A step of `SplitMix64`, so that 0 is not itself.
const fn mix(word: u64) -> u64 {
    hash::mix(word.wrapping_add(0x9e37_79b9_7f4a_7c15))
}

/// A member's own order of all slots: `offset`, then every `skip`-th.
struct Walk {
    id: u32,
    weight: u32,
    credit: u32,
    next: u32,
    skip: u32,
    size: u32,
}

impl Walk {
    fn new(member: &Member, size: u32) -> Self {
        Self {
            id: member.id,
            weight: u32::from(member.weight),
            credit: 0,
            next: (mix(member.name) % u64::from(size)) as u32,
            skip: (mix(!member.name) % u64::from(size - 1)) as u32 + 1,
            size,
        }
    }

    /// Takes the first free slot of the walk.
    fn take(&mut self, slots: &mut [u32]) {
        while slots[self.next as usize] != 0 {
            self.step();
        }
        slots[self.next as usize] = self.id;
        self.step();
    }

    fn step(&mut self) {
        self.next += self.skip;
        if self.next >= self.size {
            self.next -= self.size;
        }
    }
}

/// The id in each of `size` slots, a prime; all 0 where no member has weight.
///
/// Members take turns; one whose weight is half the largest takes every second turn.
pub fn build(members: &[Member], size: u32) -> Vec<u32> {
    let mut slots = vec![0; size as usize];
    let mut members: Vec<_> = members.iter().filter(|member| member.weight > 0).collect();
    members.sort_by_key(|member| member.name);
    let mut walks: Vec<_> = members.into_iter().map(|member| Walk::new(member, size)).collect();
    let Some(heaviest) = walks.iter().map(|walk| walk.weight).max() else { return slots };
    let mut free = slots.len();
    loop {
        for walk in &mut walks {
            walk.credit += walk.weight;
            if walk.credit < heaviest {
                continue;
            }
            walk.credit -= heaviest;
            walk.take(&mut slots);
            free -= 1;
            if free == 0 {
                return slots;
            }
        }
    }
}

/// The ring that follows `old` when the slots' backends become `current`.
///
/// A slot whose backend changes is tracked, with the backend that its old flows are on as previous; one that was tracked
/// keeps its previous. A previous that is dead becomes current.
pub fn follow(old: Option<&[Slot]>, current: &[u32], lives: impl Fn(u32) -> bool) -> Vec<Slot> {
    let Some(old) = old else { return current.iter().map(|id| Slot::calm(*id)).collect() };
    old.iter().zip(current).map(|(old, current)| follow_slot(*old, *current, &lives)).collect()
}

fn follow_slot(old: Slot, current: u32, lives: impl Fn(u32) -> bool) -> Slot {
    let previous = if lives(old.previous()) { old.previous() } else { current };
    if !old.is_tracked() && old.current() == current { Slot::calm(current) } else { Slot::tracked(current, previous) }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::layout::{RING_SIZES, RING_SLOTS};

    fn members(count: u32, weight: impl Fn(u32) -> u16) -> Vec<Member> {
        (1..=count).map(|id| Member { id, name: name(u128::from(0x0a00_0000 + id)), weight: weight(id) }).collect()
    }

    fn shares(ring: &[u32]) -> HashMap<u32, u32> {
        ring.iter().fold(HashMap::new(), |mut shares, id| {
            *shares.entry(*id).or_default() += 1;
            shares
        })
    }

    #[test]
    fn nobody_with_weight_leaves_every_slot_empty() {
        assert!(build(&[], RING_SLOTS).iter().all(|id| *id == 0));
        assert!(build(&members(3, |_| 0), RING_SLOTS).iter().all(|id| *id == 0));
    }

    #[test]
    fn the_order_of_the_members_does_not_matter() {
        let mut list = members(10, |id| id as u16 * 10);
        let ring = build(&list, RING_SLOTS);
        list.reverse();
        assert_eq!(build(&list, RING_SLOTS), ring);
    }

    #[test]
    fn sizes_are_primes_in_order() {
        let is_prime = |size: u32| {
            (2..size).take_while(|factor| factor * factor <= size).all(|factor| !size.is_multiple_of(factor))
        };
        assert!(RING_SIZES.iter().all(|size| is_prime(*size)) && RING_SIZES.is_sorted());
        assert!(RING_SIZES.contains(&RING_SLOTS));
    }

    #[test]
    fn many_members_have_their_shares_and_one_less_moves_little() {
        for (count, size) in [(600, RING_SLOTS), (1000, 131_071)] {
            let uneven = |id: u32| [100u16, 50, 200][id as usize % 3];
            for weight in [&|_| 100, &uneven as &dyn Fn(u32) -> u16] {
                let list = members(count, weight);
                let ring = build(&list, size);
                let total: f64 = list.iter().map(|member| f64::from(member.weight)).sum();
                let shares = shares(&ring);
                for member in &list {
                    let want = f64::from(member.weight) / total * f64::from(size);
                    let got = f64::from(shares[&member.id]);
                    assert!((got - want).abs() <= (want * 0.015).max(1.0), "{member:?} of {count}: {got}, not {want}");
                }
                let less = build(&members(count, |id| if id == 7 { 0 } else { weight(id) }), size);
                let moved = ring.iter().zip(&less).filter(|(old, new)| old != new && **old != 7).count();
                assert!(moved <= size as usize / 100, "{moved} slots of others moved, of {size}");
            }
        }
    }

    /// What the first version built. Another ring moves every connection of a balancer that is upgraded.
    #[test]
    fn a_ring_is_the_same_on_every_machine_and_in_every_version() {
        let addresses = ["10.0.0.11", "10.0.0.12", "10.0.0.13", "2001:db8::11"];
        let bits = |text: &str| match text.parse().expect("an address") {
            std::net::IpAddr::V4(v4) => u128::from(v4.to_bits()),
            std::net::IpAddr::V6(v6) => v6.to_bits(),
        };
        let member = |(index, text): (usize, &&str)| Member {
            id: index as u32 + 1,
            name: name(bits(text)),
            weight: [100, 100, 50, 200][index],
        };
        let list: Vec<_> = addresses.iter().enumerate().map(member).collect();
        let ring = build(&list, 1009);
        let counts: Vec<_> = (1..=4).map(|id| ring.iter().filter(|slot| **slot == id).count()).collect();
        assert_eq!(
            (&ring[..16], &counts[..]),
            (&[4, 1, 2, 1, 4, 1, 1, 2, 4, 4, 1, 3, 4, 4, 1, 1][..], &[224, 224, 112, 449][..])
        );
        assert_eq!(ring.iter().fold(0u32, |sum, id| sum.wrapping_mul(31).wrapping_add(*id)), 3_607_033_356);
    }

    #[test]
    fn one_member_less_moves_little_but_its_own_share() {
        let all = build(&members(20, |_| 100), RING_SLOTS);
        let less = build(&members(20, |id| if id == 7 { 0 } else { 100 }), RING_SLOTS);
        let moved = all.iter().zip(&less).filter(|(old, new)| old != new && **old != 7).count();
        assert!(moved < RING_SLOTS as usize / 50, "{moved} slots of others moved");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn shares_follow_weights(weights in prop::collection::vec(1u16..=200, 1..24)) {
            let list = members(weights.len() as u32, |id| weights[id as usize - 1]);
            let shares = shares(&build(&list, RING_SLOTS));
            let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
            for member in list {
                let want = f64::from(member.weight) / total * f64::from(RING_SLOTS);
                let got: f64 = shares.get(&member.id).copied().unwrap_or(0).into();
                prop_assert!((got - want).abs() <= want * 0.01 + 2.0, "{member:?}: {got}, not {want}");
            }
        }

        #[test]
        fn a_slot_never_forgets_where_its_old_flows_are(changes in prop::collection::vec(1u32..5, 1..10)) {
            let mut slots = follow(None, &[1], |_| true);
            let mut first = None;
            for current in changes {
                let before = slots[0];
                slots = follow(Some(&slots), &[current], |_| true);
                if before.is_tracked() || current != before.current() {
                    let origin = *first.get_or_insert(before.current());
                    prop_assert_eq!(slots[0], Slot::tracked(current, origin));
                } else {
                    prop_assert_eq!(slots[0], Slot::calm(current));
                }
            }
        }
    }

    #[test]
    fn a_dead_previous_becomes_current() {
        let slots = follow(Some(&[Slot::calm(1)]), &[2], |id| id != 1);
        assert_eq!(slots, [Slot::tracked(2, 2)]);
    }
}
