//! Builds the tries that [`crate::admit`] walks: two bytes at the root, one byte a node.

use crate::{
    address::Address,
    decision::Decision,
    layout::{CHILD, NODE_ENTRIES, ROOT_ENTRIES},
};

/// Bits that the root decides.
const ROOT_BITS: u32 = 16;

/// The nodes of all tries of one bank; an entry's upper bits are a decision or a node's index in here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nodes(pub Vec<[u32; NODE_ENTRIES]>);

/// One family's root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root(pub Vec<u32>);

impl Default for Root {
    fn default() -> Self {
        Self(vec![Decision::NONE.word(); ROOT_ENTRIES])
    }
}

impl Root {
    /// Adds a prefix: every address in it is decided by `decision` unless a rule before it says otherwise.
    ///
    /// `len` is at most the address's bits; bits of `address` past it do not matter.
    pub fn insert<A: Address>(&mut self, nodes: &mut Nodes, address: A, len: u32, decision: Decision) {
        let prefix = usize::from(address.prefix16());
        if len <= ROOT_BITS {
            let span = 1 << (ROOT_BITS - len);
            let start = prefix & !(span - 1);
            for entry in &mut self.0[start..start + span] {
                nodes.decide(entry, decision);
            }
            return;
        }
        let mut node = nodes.child(&mut self.0[prefix]);
        let (mut index, mut rest) = (2, len - ROOT_BITS);
        while rest > 8 {
            node = nodes.grandchild(node, address.byte(index));
            index += 1;
            rest -= 8;
        }
        let span = 1usize << (8 - rest);
        let start = usize::from(address.byte(index)) & !(span - 1);
        for byte in start..start + span {
            let mut entry = nodes.0[node][byte];
            nodes.decide(&mut entry, decision);
            nodes.0[node][byte] = entry;
        }
    }
}

impl Nodes {
    /// Applies a decision to an entry and everything below it.
    fn decide(&mut self, entry: &mut u32, decision: Decision) {
        if *entry & CHILD == 0 {
            *entry = Decision::from_word(*entry).first(decision).word();
            return;
        }
        let node = (*entry >> 1) as usize;
        for byte in 0..NODE_ENTRIES {
            let mut below = self.0[node][byte];
            self.decide(&mut below, decision);
            self.0[node][byte] = below;
        }
    }

    /// The node behind an entry, made from the entry's decision where there is none.
    fn child(&mut self, entry: &mut u32) -> usize {
        if *entry & CHILD == 0 {
            self.0.push([*entry; NODE_ENTRIES]);
            *entry = ((self.0.len() - 1) as u32) << 1 | CHILD;
        }
        (*entry >> 1) as usize
    }

    fn grandchild(&mut self, node: usize, byte: u8) -> usize {
        let mut entry = self.0[node][usize::from(byte)];
        let child = self.child(&mut entry);
        self.0[node][usize::from(byte)] = entry;
        child
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::address::{V4, V6};

    fn walk<A: Address>(root: &Root, nodes: &Nodes, address: A) -> Decision {
        let mut entry = root.0[usize::from(address.prefix16())];
        for index in 2..A::BYTES {
            if entry & CHILD == 0 {
                break;
            }
            entry = nodes.0[(entry >> 1) as usize][usize::from(address.byte(index))];
        }
        assert_eq!(entry & CHILD, 0, "a walk ends within the address");
        Decision::from_word(entry)
    }

    fn build<A: Address>(rules: &[(A, u32)]) -> (Root, Nodes) {
        let (mut root, mut nodes) = (Root::default(), Nodes::default());
        for (place, (address, len)) in rules.iter().enumerate() {
            root.insert(&mut nodes, *address, *len, Decision::new(place as u32, place % 2 == 0, place as u32));
        }
        (root, nodes)
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
            let (root, nodes) = build(&rules.iter().map(|(a, l)| (V4(*a), *l)).collect::<Vec<_>>());
            let wide: Vec<_> = rules.iter().map(|(a, l)| (u128::from(*a), *l)).collect();
            for (index, noise, keep) in picks {
                let base = if rules.is_empty() { 0 } else { rules[index.index(rules.len())].0 };
                let mask = if keep == 0 { 0 } else { u32::MAX << (32 - keep) };
                let address = base & mask | noise & !mask;
                let found = walk(&root, &nodes, V4(address));
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
            let (root, nodes) = build(&rules.iter().map(|(a, l)| (split(*a), *l)).collect::<Vec<_>>());
            for (index, noise, keep) in picks {
                let base = if rules.is_empty() { 0 } else { rules[index.index(rules.len())].0 };
                let mask = if keep == 0 { 0 } else { u128::MAX << (128 - keep) };
                let address = base & mask | noise & !mask;
                let found = walk(&root, &nodes, split(address));
                prop_assert_eq!((!found.is_none()).then(|| found.id() as usize), naive(&rules, address, 128));
            }
        }
    }
}
