//! What the data path asks of its tables about sets.

use super::{Asking, Extent, Key};
use crate::{address::Address, class::Class, tables::Tables, terms::Settled};

/// One line of a set.
pub trait Line {
    /// `index` is below 8.
    fn word(&self, index: usize) -> u64;
}

/// The lines of one set and family.
pub trait Lines {
    type Line: Line;

    fn line(&self, index: u32) -> Option<Self::Line>;
}

/// Part of [`Tables`].
pub trait SetTables: Sized {
    type Lines: Lines;

    /// What stands at a place in the list of sets that the bank's rules name: one more than the set's id, 0 behind the last;
    /// and its row or class.
    fn asked(&self, bank: usize, place: usize) -> [u64; 2];

    /// A word of a set's record.
    fn set_word(&self, set: usize, word: usize) -> u64;

    /// A word of a region of fronts.
    fn front(&self, region: u32, word: usize) -> u64;

    /// The lines that stand in a slot; none in slot 0.
    fn lines(&self, slot: u32) -> Option<Self::Lines>;

    /// The second of the monotonic clock at which an element ends.
    fn until(&self, element: &[u64; 3]) -> Option<u64>;

    /// A bit for each set that has part in a packet. The kernel does this, and each of the next ones up to `weigh`, in a
    /// function of its own.
    fn members<A: Address>(&self, bank: usize, source: A, destination: A) -> u64
    where
        Self: Tables,
    {
        super::members::<A, _>(bank, super::halves(source), super::halves(destination), self)
    }

    /// Whether a lasting prefix of IPv6 has this address.
    fn lasts_v6(&self, address: [u64; 2], set: usize) -> bool
    where
        Self: Tables,
    {
        super::lasts_v6(address, set, self)
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

    /// The first rule that matches a target by the source's own class, or by those of the sets that it is in.
    fn weigh_sources(&self, bank: usize, members: u64, own: Class, target: Class) -> Settled
    where
        Self: Tables,
    {
        super::weigh_sources(bank, members, own, target, self)
    }

    /// The same word. The compiler of the kernel's programs does not see that, and keeps nothing that it made of the word.
    fn unrelated(&self, word: u64) -> u64 {
        word
    }

    /// The first rule that matches a packet by some set that it is in.
    fn weigh(&self, asking: Asking, members: u64, own: Class, target: Class, extensions: u64) -> Settled
    where
        Self: Tables,
    {
        super::weigh(asking, members, own, target, extensions, self)
    }
}
