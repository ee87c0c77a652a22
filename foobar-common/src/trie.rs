//! Builds the tries that [`crate::admit`] walks: two bytes at the root, then one byte a node, and none where all
//! prefixes agree.
//!
//! A node stands at the first byte where prefixes below it differ or end, and holds the bytes before as its path. What
//! takes another path is of the class of the prefixes around it. Bytes of the lower eight of an address are looked at
//! only behind a node at byte 7, so that a path is always the front of one 64-bit half.

use crate::{
    address::Address,
    child::Child,
    layout::{NODE_ENTRIES, ROOT_ENTRIES},
};

/// Bits that the root decides.
const ROOT_BITS: u32 = 16;
/// The last byte of an address's upper half.
const LAST_OF_UPPER: usize = 7;

/// The nodes of all tries of one bank. An entry is a class (see [`entry`]), or a [`Child`] whose
/// index is one in here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nodes(pub Vec<Node>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The half of the address in which the node's byte is, shifted until that byte is gone.
    pub path: u64,
    /// The entry for what takes another path: a class.
    pub otherwise: u32,
    pub entries: [u32; NODE_ENTRIES],
}

/// One family's root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root(pub Vec<u32>);

impl Default for Root {
    fn default() -> Self {
        Self(vec![0; ROOT_ENTRIES])
    }
}

/// A class's entry.
pub const fn entry(class: u32) -> u32 {
    class << 1
}

/// What is being added.
struct Prefix {
    halves: [u64; 2],
    /// The byte in which the prefix ends.
    last: usize,
    /// That byte's values that the prefix covers.
    covered: std::ops::Range<usize>,
}

/// From the class of some addresses to their class when one more rule speaks of them.
type Join<'a> = &'a mut dyn FnMut(u32) -> u32;

impl Root {
    /// Adds a prefix: the class of every address in it becomes what `join` makes of it.
    ///
    /// `len` is at most the address's bits; bits of `address` past it do not matter. Class 0 is that of addresses of which
    /// no rule speaks.
    pub fn insert<A: Address>(&mut self, nodes: &mut Nodes, address: A, len: u32, join: Join<'_>) {
        let front = usize::from(address.prefix16());
        if len <= ROOT_BITS {
            let span = 1 << (ROOT_BITS - len);
            let start = front & !(span - 1);
            for entry in &mut self.0[start..start + span] {
                *entry = nodes.join(*entry, join);
            }
            return;
        }
        let halves = [address.half(false), address.half(true)];
        let last = (len as usize - 1) / 8;
        let span = 1 << (8 * (last + 1) - len as usize);
        let start = usize::from(byte_of(halves[last / 8], last)) & !(span - 1);
        let prefix = Prefix { halves, last, covered: start..start + span };
        self.0[front] = nodes.insert(self.0[front], 2, &prefix, join);
    }
}

impl Nodes {
    /// What stands for `entry` when `prefix` is added below it. Bytes before `from` have been looked at.
    fn insert(&mut self, entry: u32, from: usize, prefix: &Prefix, join: Join<'_>) -> u32 {
        let target = if from <= LAST_OF_UPPER { prefix.last.min(LAST_OF_UPPER) } else { prefix.last };
        let Some(child) = Child::from_entry(entry) else {
            return self.push(Node::of(prefix.path(target), entry), target, prefix, join);
        };
        let path = Path { bits: self.0[child.node()].path, end: child.byte() };
        let common = (from..target.min(path.end)).find(|byte| path.byte(*byte) != prefix.byte(*byte));
        let fork = common.unwrap_or(target.min(path.end));
        if fork == path.end {
            self.fill(child.node(), fork, prefix, join);
            return entry;
        }
        let mut between = Node::of(prefix.path(fork), self.0[child.node()].otherwise);
        between.entries[usize::from(path.byte(fork))] = entry;
        self.push(between, fork, prefix, join)
    }

    /// Adds a node at `byte`, and the prefix to it.
    fn push(&mut self, node: Node, byte: usize, prefix: &Prefix, join: Join<'_>) -> u32 {
        let index = self.0.len();
        self.0.push(node);
        self.fill(index, byte, prefix, join);
        Child::new(index, byte).entry()
    }

    /// Adds a prefix, whose bytes before `byte` are the node's path, to the node at `byte`.
    fn fill(&mut self, node: usize, byte: usize, prefix: &Prefix, join: Join<'_>) {
        if byte == prefix.last {
            for value in prefix.covered.clone() {
                self.0[node].entries[value] = self.join(self.0[node].entries[value], join);
            }
        } else {
            let value = usize::from(prefix.byte(byte));
            self.0[node].entries[value] = self.insert(self.0[node].entries[value], byte + 1, prefix, join);
        }
    }

    /// Joins the classes of an entry and of everything below it.
    fn join(&mut self, entry: u32, join: Join<'_>) -> u32 {
        let Some(child) = Child::from_entry(entry) else {
            return self::entry(join(entry >> 1));
        };
        let node = child.node();
        self.0[node].otherwise = self.join(self.0[node].otherwise, join);
        for value in 0..NODE_ENTRIES {
            self.0[node].entries[value] = self.join(self.0[node].entries[value], join);
        }
        entry
    }
}

impl Node {
    /// A node where every address is of the class that `entry` says.
    fn of(path: u64, entry: u32) -> Self {
        Self { path, otherwise: entry, entries: [entry; NODE_ENTRIES] }
    }
}

impl Prefix {
    fn byte(&self, index: usize) -> u8 {
        byte_of(self.halves[index / 8], index)
    }

    /// The path to a node at byte `index`.
    fn path(&self, index: usize) -> u64 {
        self.halves[index / 8] >> (56 - 8 * (index % 8)) >> 8
    }
}

/// The path of a node at byte `end`.
struct Path {
    bits: u64,
    end: usize,
}

impl Path {
    /// Byte `index` of the address, in the same half as `end` and before it.
    fn byte(&self, index: usize) -> u8 {
        (self.bits >> (8 * (self.end - 1 - index))) as u8
    }
}

/// Byte `index` of an address, by the half that it is in.
fn byte_of(half: u64, index: usize) -> u8 {
    (half >> (56 - 8 * (index % 8))) as u8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        address::{V4, V6},
        admit::by_source,
        class::Class,
        decision::Decision,
        image::{HostTables, Image},
        layout::Side,
        plane::{Plane, Way},
    };

    /// The rule that the tables say is first for this address.
    fn walk<A: Address>(tables: &HostTables, address: A) -> Decision {
        by_source(address, Plane { bank: 0, way: Way::In }, tables).decision
    }

    /// Every rule makes a class of its own, of what no rule before it is for.
    fn build<A: Address>(rules: &[(A, u32)]) -> HostTables {
        let mut image = Image::default();
        for (place, (address, len)) in rules.iter().enumerate() {
            let class = image.sources.len() as u32;
            let decision = Decision::new(place as u32, place % 2 == 0, place as u32);
            image.sources.push(Class { decision, pairs: 0 });
            let mut join = |old| if old == 0 { class } else { old };
            let (root, nodes) = image.trie(Side::Source, A::V6);
            root.insert(nodes, *address, *len, &mut join);
        }
        HostTables { image, ..HostTables::default() }
    }

    fn naive(rules: &[(u128, u32)], address: u128, bits: u32) -> Option<usize> {
        rules.iter().position(|(prefix, len)| *len == 0 || (prefix ^ address) >> (bits - len) == 0)
    }

    proptest! {
        #[test]
        fn a_walk_finds_the_first_rule_that_covers_an_ipv4_address(
            rules in prop::collection::vec((any::<u32>(), 0u32..=32), 0..40),
            // Half of the addresses lie near a prefix, where mistakes would be.
            picks in prop::collection::vec((any::<prop::sample::Index>(), any::<u32>(), 0u32..=32), 50),
        ) {
            let tables = build(&rules.iter().map(|(a, l)| (V4(*a), *l)).collect::<Vec<_>>());
            let wide: Vec<_> = rules.iter().map(|(a, l)| (u128::from(*a), *l)).collect();
            for (index, noise, keep) in picks {
                let base = if rules.is_empty() { 0 } else { rules[index.index(rules.len())].0 };
                let mask = if keep == 0 { 0 } else { u32::MAX << (32 - keep) };
                let address = base & mask | noise & !mask;
                let found = walk(&tables, V4(address));
                let expected = naive(&wide, u128::from(address), 32);
                prop_assert_eq!((!found.is_none()).then(|| found.id() as usize), expected);
            }
        }

        #[test]
        fn a_walk_finds_the_first_rule_that_covers_an_ipv6_address(
            rules in prop::collection::vec((any::<u128>(), 0u32..=128), 0..20),
            picks in prop::collection::vec((any::<prop::sample::Index>(), any::<u128>(), 0u32..=128), 50),
        ) {
            let split = |bits: u128| V6([(bits >> 64) as u64, bits as u64]);
            let tables = build(&rules.iter().map(|(a, l)| (split(*a), *l)).collect::<Vec<_>>());
            for (index, noise, keep) in picks {
                let base = if rules.is_empty() { 0 } else { rules[index.index(rules.len())].0 };
                let mask = if keep == 0 { 0 } else { u128::MAX << (128 - keep) };
                let address = base & mask | noise & !mask;
                let found = walk(&tables, split(address));
                prop_assert_eq!((!found.is_none()).then(|| found.id() as usize), naive(&rules, address, 128));
            }
        }
    }
}
