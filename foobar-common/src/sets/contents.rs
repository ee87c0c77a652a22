//! The true list of a set's prefixes, by family: what its lines are made from.

use std::{collections::BTreeSet, ops::RangeInclusive};

use super::{
    shape::{ALL, Leaf, NONE, PARTIAL, SPREAD},
    table::{FRONT_BITS, WIDEST},
};

/// A prefix of either family: its bits stand in front, those behind its length are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix {
    pub bits: u128,
    pub len: u8,
}

impl Prefix {
    /// `len <= 128`; bits behind it are dropped.
    pub const fn new(bits: u128, len: u8) -> Self {
        let mask = if len == 0 { 0 } else { u128::MAX << (128 - len) };
        Self { bits: bits & mask, len }
    }

    pub const fn halves(self) -> [u64; 2] {
        [(self.bits >> 64) as u64, self.bits as u64]
    }

    /// Whether an address is in it.
    pub const fn covers(self, address: u128) -> bool {
        Self::new(address, self.len).bits == self.bits
    }
}

/// One family's prefixes of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    prefixes: BTreeSet<Prefix>,
    /// How many have each length, so that lengths without any are never asked for.
    by_len: Vec<usize>,
}

impl Default for Contents {
    fn default() -> Self {
        Self { prefixes: BTreeSet::new(), by_len: vec![0; 129] }
    }
}

impl FromIterator<Prefix> for Contents {
    fn from_iter<I: IntoIterator<Item = Prefix>>(prefixes: I) -> Self {
        let prefixes: BTreeSet<_> = prefixes.into_iter().collect();
        let mut by_len = vec![0; 129];
        for prefix in &prefixes {
            by_len[usize::from(prefix.len)] += 1;
        }
        Self { prefixes, by_len }
    }
}

impl Contents {
    pub fn len(&self) -> usize {
        self.prefixes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.prefixes.is_empty()
    }

    /// In ascending order, a prefix before those within it.
    pub fn iter(&self) -> impl Iterator<Item = Prefix> {
        self.prefixes.iter().copied()
    }

    /// Whether it was not there.
    pub fn insert(&mut self, prefix: Prefix) -> bool {
        let is_new = self.prefixes.insert(prefix);
        self.by_len[usize::from(prefix.len)] += usize::from(is_new);
        is_new
    }

    /// Whether it was there.
    pub fn remove(&mut self, prefix: Prefix) -> bool {
        let was_there = self.prefixes.remove(&prefix);
        self.by_len[usize::from(prefix.len)] -= usize::from(was_there);
        was_there
    }

    /// Whether this very prefix is there.
    pub fn contains(&self, prefix: Prefix) -> bool {
        self.by_len[usize::from(prefix.len)] > 0 && self.prefixes.contains(&prefix)
    }

    /// The prefix, if there is one of these lengths, that an address is in.
    pub fn covering(&self, address: u128, lens: RangeInclusive<u8>) -> Option<Prefix> {
        lens.map(|len| Prefix::new(address, len)).find(|prefix| self.contains(*prefix))
    }

    /// Whether a longer prefix lies within `around`.
    pub fn has_within(&self, around: Prefix) -> bool {
        let end = around.bits | (u128::MAX.checked_shr(u32::from(around.len)).unwrap_or(0));
        let first = Prefix { len: around.len + 1, ..around };
        self.prefixes.range(first..=Prefix { bits: end, len: 128 }).next().is_some()
    }

    /// What the front says of the addresses that begin with two bytes.
    pub fn state(&self, around: Prefix) -> u64 {
        if self.covering(around.bits, 0..=FRONT_BITS).is_some() {
            ALL
        } else if self.bits(around.bits, (FRONT_BITS, Leaf::WIDTH), FRONT_BITS + 1..=WIDEST) != 0 {
            SPREAD
        } else if self.has_within(around) {
            PARTIAL
        } else {
            NONE
        }
    }

    /// The bits of the `2^width` neighbours behind a front of `start` bits, by the prefixes of these lengths.
    pub fn bits(&self, front: u128, (start, width): (u8, u8), lens: RangeInclusive<u8>) -> u64 {
        let mut bits = 0;
        for len in lens.filter(|len| self.by_len[usize::from(*len)] > 0) {
            if len <= start {
                bits |= if self.contains(Prefix::new(front, len)) { ones(1 << width) } else { 0 };
                continue;
            }
            for number in 0..1u32 << (len - start) {
                if self.contains(Prefix { bits: front | u128::from(number) << (128 - len), len }) {
                    let covered = 1 << (width - (len - start));
                    bits |= ones(covered) << (u64::from(number) * covered);
                }
            }
        }
        bits
    }
}

/// A word whose last `count` bits are set, at least one.
pub(super) const fn ones(count: u64) -> u64 {
    u64::MAX >> (64 - count)
}
