//! Which rules: of which bank, and for which way of packets. Both ways' rules are published together, by one word.
//!
//! A way's part of a table stands behind the other's, so that a plane is nothing but an offset. On the way out the big
//! side of the classifier is the far one too: what a rule says of the destination is laid down as its source.

use crate::{
    address::Address,
    flow::Flow,
    layout::{
        MAX_NARROWED, MAX_NODES, MAX_PAIRS, MAX_SENT_NARROWED, MAX_SENT_NODES, MAX_SENT_PAIRS, MAX_SENT_SOURCES,
        MAX_SOURCES, NEEDS_WORDS_EACH, PORT_ENTRIES, ROOTS, Side,
    },
};

/// Where packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// To this host, or through it to a backend.
    In = 0,
    /// From this host.
    Out = 1,
}

/// What a bank holds of a way's rules, at most.
#[cfg(any(test, feature = "std"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Trie nodes of both families.
    pub nodes: usize,
    pub sources: usize,
    pub narrowed: usize,
    pub pairs: usize,
}

#[cfg(any(test, feature = "std"))]
impl Way {
    pub const fn room(self) -> Room {
        match self {
            Self::In => Room { nodes: MAX_NODES, sources: MAX_SOURCES, narrowed: MAX_NARROWED, pairs: MAX_PAIRS },
            Self::Out => Room {
                nodes: MAX_SENT_NODES,
                sources: MAX_SENT_SOURCES,
                narrowed: MAX_SENT_NARROWED,
                pairs: MAX_SENT_PAIRS,
            },
        }
    }
}

/// A bank's rules for one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plane {
    pub bank: usize,
    pub way: Way,
}

impl Plane {
    /// Planes: two banks for each of two ways.
    pub const COUNT: usize = 4;

    const fn number(self) -> usize {
        self.way as usize * 2 + self.bank
    }

    /// Where its part of a table begins that has `inward` elements for a bank's rules of one way and `outward` for the
    /// other's.
    #[inline(always)]
    const fn part(self, inward: usize, outward: usize) -> usize {
        match self.way {
            Way::In => self.bank * inward,
            Way::Out => 2 * inward + self.bank * outward,
        }
    }

    /// The word of the table of ports.
    #[inline(always)]
    pub const fn port(self, entry: usize) -> usize {
        self.number() * PORT_ENTRIES + entry
    }

    /// The word of the table of sources.
    #[inline(always)]
    pub const fn source(self, class: usize) -> usize {
        self.part(MAX_SOURCES, MAX_SENT_SOURCES) + class
    }

    /// The word of the table of narrowed classes.
    #[inline(always)]
    pub const fn narrowed(self, index: usize) -> usize {
        self.part(MAX_NARROWED, MAX_SENT_NARROWED) + index
    }

    /// The half-word of the table of pairs.
    #[inline(always)]
    pub const fn pair(self, index: usize) -> usize {
        self.part(MAX_PAIRS, MAX_SENT_PAIRS) + index
    }

    /// The first of its nodes.
    #[inline(always)]
    pub const fn node(self) -> usize {
        self.part(MAX_NODES, MAX_SENT_NODES)
    }

    /// Which root is a side's and a family's.
    #[inline(always)]
    pub const fn root(self, side: Side, v6: bool) -> usize {
        self.number() * ROOTS + side as usize * 2 + v6 as usize
    }

    /// The word of the table of needs that has the rule at `place`.
    #[inline(always)]
    pub const fn need(self, place: usize) -> usize {
        self.number() * NEEDS_WORDS_EACH + place / crate::fragment::Need::IN_A_WORD
    }

    /// The address that the tables have as a source, and the one that they have as a destination.
    #[inline(always)]
    pub const fn sides<A: Address>(self, flow: &Flow<A>) -> (A, A) {
        match self.way {
            Way::In => (flow.source, flow.destination),
            Way::Out => (flow.destination, flow.source),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{NARROWED_WORDS, NODE_WORDS, NODES_WORDS, PAIRS_WORDS, SOURCES_WORDS};

    #[test]
    fn the_parts_of_a_table_stand_one_behind_the_other() {
        let planes = [(0, Way::In), (1, Way::In), (0, Way::Out), (1, Way::Out)].map(|(bank, way)| Plane { bank, way });
        let check = |first: fn(Plane) -> usize, sizes: [usize; 2], whole: usize| {
            let mut next = 0;
            for plane in planes {
                assert_eq!(first(plane), next, "{plane:?}");
                next += sizes[plane.way as usize];
            }
            assert_eq!(next, whole);
        };
        check(|plane| plane.source(0), [MAX_SOURCES, MAX_SENT_SOURCES], SOURCES_WORDS);
        check(|plane| plane.narrowed(0), [MAX_NARROWED, MAX_SENT_NARROWED], NARROWED_WORDS);
        check(|plane| plane.pair(0), [MAX_PAIRS, MAX_SENT_PAIRS], PAIRS_WORDS * 2);
        check(Plane::node, [MAX_NODES, MAX_SENT_NODES], NODES_WORDS / NODE_WORDS);
        check(|plane| plane.root(Side::Source, false), [ROOTS; 2], Plane::COUNT * ROOTS);
    }
}
