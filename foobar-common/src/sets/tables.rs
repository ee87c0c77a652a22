//! What the data path asks of its tables about sets.

use super::{Asked, Extent, Key, Members, QUESTION_WORDS};
use crate::{address::Address, class::Class, tables::Tables, terms::Settled};

/// One line of a set.
pub trait Line {
    /// `index` is below 8.
    fn word(&self, index: usize) -> u64;
}

impl<const WORDS: usize> Line for [u64; WORDS] {
    fn word(&self, index: usize) -> u64 {
        self[index]
    }
}

/// The lines of one set and family.
pub trait Lines {
    type Line: Line;

    fn line(&self, index: u32) -> Option<Self::Line>;
}

/// Part of [`Tables`].
pub trait SetTables: Sized {
    type Lines: Lines;
    type Put: Line;

    /// Keeps a question for the functions that answer it.
    fn put(&self, question: [u64; QUESTION_WORDS]);

    fn question(&self) -> Option<Self::Put>;

    /// What stands at a place in the list of sets that the bank's rules name: [`super::asked_word`], 0 behind the last.
    fn asked(&self, bank: usize, place: usize) -> u64;

    /// Its row among the narrowed classes, or its class as a source.
    fn asked_of(&self, bank: usize, place: usize) -> u64;

    /// A word of a set's record.
    fn set_word(&self, set: usize, word: usize) -> u64;

    /// A word of a region of fronts.
    fn front(&self, region: u32, word: usize) -> u64;

    /// The lines that stand in a slot; none in slot 0.
    fn lines(&self, slot: u32) -> Option<Self::Lines>;

    /// The second of the monotonic clock at which an element ends.
    fn until(&self, element: &[u64; 3]) -> Option<u64>;

    /// The sets that have part in a packet. The kernel does this, and each of the next ones, in a function of its own.
    fn members<A: Address>(&self, bank: usize, source: A, destination: A) -> Members
    where
        Self: Tables,
    {
        super::members::<A, _>(bank, super::halves(source), super::halves(destination), self)
    }

    /// The same word. The kernel's verifier does not see that, and looks at what follows once for all that it may be.
    fn unrelated(&self, word: u64) -> u64 {
        word
    }

    /// Whether a lasting prefix of IPv6 has this address.
    fn lasts_v6(&self, address: [u64; 2], set: usize) -> bool
    where
        Self: Tables,
    {
        super::lasts_v6(address, set, self)
    }

    /// 1 if a leaf with this number has the bit that is asked for, and 0 if not.
    fn is_in_leaves(&self, extent: Extent, number: u64, asked: Asked) -> u64
    where
        Self: Tables,
    {
        super::is_in_leaves(extent, number, asked, self)
    }

    /// Whether a block has this bit.
    fn is_in_block(&self, extent: Extent, key: Key, bit: u64) -> bool
    where
        Self: Tables,
    {
        super::is_in_block(extent, key, bit, self)
    }

    /// Whether a prefix that ends has this address.
    fn is_timed<A: Address>(&self, address: [u64; 2], set: usize) -> bool
    where
        Self: Tables,
    {
        super::is_timed::<A, _>(address, set, self)
    }

    /// The first rule that matches a target by one of these sources, as [`super::weigh_sources`] has them.
    fn weigh_sources(&self, sources: u64, target: Class) -> Settled
    where
        Self: Tables,
    {
        super::weigh_sources(sources, target, self)
    }

    /// The first rule that matches the question that was put by a set of `to`, or by an extension header.
    fn weigh(&self, members: Members) -> Settled
    where
        Self: Tables,
    {
        super::weigh(members, self)
    }
}
