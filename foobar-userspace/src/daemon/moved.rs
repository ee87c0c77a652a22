//! Slots that would get another backend, and how many flows are on them as far as anybody knows.
//!
//! Nobody knows the flows of a calm slot: its share of the connections that its backend ever got is the most that they can
//! be about. Those of a slot that changed lately are noted, so its share of the backend's notes is nearer to the truth.

use std::collections::BTreeMap;

use foobar_common::slot::Slot;

/// What is known of backends, by id.
#[derive(Debug, Default)]
pub struct Known {
    /// Connections since the backend got its id.
    pub connections: BTreeMap<u32, u64>,
    /// Notes that the last sweep found; `None` where none was made lately.
    pub noted: Option<BTreeMap<u32, u64>>,
}

/// Slots of a backend, and of these the ones that move.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    slots: u64,
    moved: u64,
}

impl Count {
    fn add(&mut self, moves: bool) {
        self.slots += 1;
        self.moved += u64::from(moves);
    }

    /// The part of `all` that is on slots that move, when so many slots have all of it.
    fn share(self, all: u64, slots: u64) -> u64 {
        (u128::from(all) * u128::from(self.moved)).div_ceil(u128::from(slots.max(1))) as u64
    }
}

/// Slots that move between two rings of a size, and about how many flows are on them.
pub fn moved(old: &[Slot], new: &[Slot], known: &Known) -> (u32, u64) {
    let mut counts = BTreeMap::<u32, [Count; 2]>::new();
    for (old, new) in old.iter().zip(new) {
        let is_noted = old.is_tracked() && known.noted.is_some();
        counts.entry(old.current()).or_default()[usize::from(is_noted)].add(old.current() != new.current());
    }
    let of = |table: &BTreeMap<u32, u64>, id: &u32| table.get(id).copied().unwrap_or(0);
    let flows = |(id, [calm, tracked]): (&u32, &[Count; 2])| {
        let noted = known.noted.as_ref().map_or(0, |noted| of(noted, id));
        calm.share(of(&known.connections, id), calm.slots + tracked.slots) + tracked.share(noted, tracked.slots)
    };
    let slots: u64 = counts.values().flatten().map(|count| count.moved).sum();
    (slots as u32, counts.iter().map(flows).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slots_flows_are_its_share_of_what_its_backend_has() {
        let known = Known { connections: [(1, 100), (2, 7)].into(), noted: None };
        let old = [1, 1, 1, 1, 2, 2].map(Slot::calm);
        assert_eq!(moved(&old, &old, &known), (0, 0));
        assert_eq!(moved(&old, &[3, 1, 1, 1, 2, 2].map(Slot::calm), &known), (1, 25));
        assert_eq!(moved(&old, &[3, 1, 1, 1, 3, 3].map(Slot::calm), &known), (3, 32));
    }

    #[test]
    fn flows_of_slots_that_changed_lately_are_those_that_are_noted() {
        let noted = Known { connections: [(1, 100)].into(), noted: Some([(1, 8)].into()) };
        let old = [Slot::tracked(1, 2), Slot::tracked(1, 2), Slot::calm(1), Slot::calm(1)];
        assert_eq!(moved(&old, &[3, 1, 1, 1].map(Slot::calm), &noted), (1, 4));
        assert_eq!(moved(&old, &[3, 3, 3, 1].map(Slot::calm), &noted), (3, 8 + 25));
        let unknown = Known { noted: None, ..noted };
        assert_eq!(moved(&old, &[3, 1, 1, 1].map(Slot::calm), &unknown), (1, 25), "the most that it can be");
    }
}
