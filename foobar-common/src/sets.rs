//! Named sets of prefixes: is an address a member?
//!
//! A set in `from` is one more class of sources, a set in `to` one more kind of destination; a packet can be of several
//! at once, and its first match is the smallest over all of them. Only sets that rules name are asked.

use crate::{
    address::Address,
    layout::{MAX_ASKED, MAX_ASKED_TO, MAX_SETS},
    tables::Tables,
};

mod question;
mod shape;
mod tables;
mod weigh;
pub use question::{Asking, Put, QUESTION_WORDS, Question};
pub use shape::{
    ALL, ARRAY_LINES, Asked, Extent, Key, Leaf, NONE, PARTIAL, PROBES, SPREAD, STRIDES_WORD, Stride, TIMED_LENS,
    TIMED_WORD, element, front, state,
};
#[cfg(any(test, feature = "std"))]
pub use shape::{LINE_WORDS, set_of};
pub use tables::{Line, Lines, SetTables};
pub use weigh::{weigh, weigh_sources};

#[cfg(any(test, feature = "std"))]
pub mod contents;
#[cfg(any(test, feature = "std"))]
pub mod host;
#[cfg(any(test, feature = "std"))]
pub mod table;

#[cfg(test)]
mod tests;

/// Both halves of an address.
#[inline(always)]
pub fn halves<A: Address>(address: A) -> [u64; 2] {
    [address.half(false), address.half(true)]
}

/// What stands for a set in the list of those that rules name: one more than its id, and in bit 8 its side.
pub const fn asked_word(set: u32, from: bool) -> u64 {
    (set as u64 + 1) | (from as u64) << SIDE_SHIFT
}

const SIDE_SHIFT: u32 = 8;

/// A bit for each set that has part in a packet, by its place in the list: its destination is in it, or in the next ones
/// its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Members(u64);

impl Members {
    pub const NONE: Self = Self(0);
    const FROM_SHIFT: u32 = MAX_ASKED_TO as u32;

    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self(word)
    }

    #[inline(always)]
    pub const fn word(self) -> u64 {
        self.0
    }

    #[inline(always)]
    pub(crate) const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// A bit for each set that the destination is in, by its place.
    #[inline(always)]
    pub(crate) const fn destinations(self) -> u64 {
        self.0 & ((1 << Self::FROM_SHIFT) - 1)
    }

    /// A bit for each set that the source is in, by its place.
    #[inline(always)]
    pub(crate) const fn sources(self) -> u64 {
        self.0 >> Self::FROM_SHIFT
    }
}

/// The sets that have part in a packet.
#[inline(always)]
pub fn members<A: Address, T: Tables>(bank: usize, source: [u64; 2], destination: [u64; 2], tables: &T) -> Members {
    let mut members = 0;
    for place in 0..MAX_ASKED {
        let word = tables.asked(bank, place);
        if word == 0 {
            break;
        }
        let (set, side) = ((word as usize & 0xff) - 1, word as usize >> SIDE_SHIFT & 1);
        let address = if side == 0 { destination } else { source };
        let is_member = is_member::<A, T>(address, set & (MAX_SETS - 1), tables);
        let bit = place + side * Members::FROM_SHIFT as usize;
        members = tables.unrelated(members | is_member << bit);
    }
    Members(members)
}

/// 1 if an address, by its halves, is a member, and 0 if not.
///
/// A number, as in what it asks: a CPU cannot know beforehand whether the next packet's source is a member, so as little
/// as can be branches on that.
#[inline(always)]
pub fn is_member<A: Address, T: Tables>(address: [u64; 2], set: usize, tables: &T) -> u64 {
    let lasts = if A::V6 { u64::from(tables.lasts_v6(address, set)) } else { lasts_v4(address, set, tables) };
    if tables.set_word(set, timed_word::<A>()) == 0 {
        return lasts;
    }
    lasts | u64::from(tables.is_timed::<A>(address, set))
}

/// Where the lengths of a family's elements that end begin in a set's record.
#[inline(always)]
const fn timed_word<A: Address>() -> usize {
    TIMED_WORD + if A::V6 { 2 } else { 0 }
}

/// Prefixes up to /16 stand in the front, and longer ones in leaves.
#[inline(always)]
fn lasts_v4<T: Tables>(address: [u64; 2], set: usize, tables: &T) -> u64 {
    let extent = Extent::from_word(tables.set_word(set, 0));
    let half = address[0];
    let first = (half >> 48) as usize;
    let in_front = state(tables.front(extent.front, first >> 5), first);
    if in_front == NONE || in_front == ALL {
        return in_front;
    }
    let lasts = tables.is_in_leaves(extent, Leaf::narrow(half), Asked::narrow(half));
    if in_front == SPREAD { lasts | tables.is_in_leaves(extent, Leaf::wide(half), Asked::wide(half)) } else { lasts }
}

/// 1 if a leaf with this number has the bit that is asked for, and 0 if not.
#[inline(always)]
pub fn is_in_leaves<T: Tables>(extent: Extent, number: u64, asked: Asked, tables: &T) -> u64 {
    let (line, tag) = extent.leaves(number);
    let Some(lines) = tables.lines(extent.slot) else { return 0 };
    let Some(filter) = lines.line(line / 8) else { return 0 };
    if filter.word(line as usize & 7) >> (tag & 63) & 1 == 0 {
        return 0;
    }
    let first = Leaf::filter_lines(extent.buckets) + line;
    let mut found = 0;
    for step in 0..Leaf::PROBES {
        let Some(line) = lines.line(first + step) else { break };
        // Eight, which the compiler is not to unroll.
        for word in 0..tables.unrelated(8) {
            let word = line.word(word as usize);
            found = tables.unrelated(found | Leaf::hits(word & 0xffff_ffff, tag, asked));
            found = tables.unrelated(found | Leaf::hits(word >> 32, tag, asked));
            // Nothing stands behind a place that nothing stands in.
            if word >> 32 == 0 {
                return found & 1;
            }
        }
    }
    found & 1
}

/// A block for each stride in which the set has prefixes.
#[inline(always)]
pub fn lasts_v6<T: Tables>(address: [u64; 2], set: usize, tables: &T) -> bool {
    let extent = Extent::from_word(tables.set_word(set, 1));
    if extent.slot == 0 {
        return false;
    }
    let mut strides = tables.set_word(set, STRIDES_WORD);
    let more = tables.set_word(set, STRIDES_WORD + 1);
    for index in 0..Stride::COUNT_V6 {
        if index == Stride::A_WORD {
            strides = more;
        }
        let Some(stride) = Stride::first_in(strides) else { return false };
        strides >>= Stride::BITS;
        if tables.is_in_block(extent, stride.key(address), stride.bit(address)) {
            return true;
        }
    }
    false
}

#[inline(always)]
pub fn is_in_block<T: Tables>(extent: Extent, key: Key, bit: u64, tables: &T) -> bool {
    let Some(lines) = tables.lines(extent.slot) else { return false };
    let first = extent.line(key);
    for step in 0..PROBES {
        let Some(line) = lines.line(first + step) else { return false };
        if line.word(1) == key[1] && line.word(0) == key[0] {
            return line.word(2) >> bit & 1 != 0;
        }
        if line.word(4) == key[1] && line.word(3) == key[0] {
            return line.word(5) >> bit & 1 != 0;
        }
        if line.word(shape::OVERFLOWS) == 0 {
            return false;
        }
    }
    false
}

/// Elements that end stand one by one, and are looked up for the lengths that some of them have.
#[inline(always)]
pub fn is_timed<A: Address, T: Tables>(address: [u64; 2], set: usize, tables: &T) -> bool {
    let word = timed_word::<A>();
    let (lens, more, now) = (tables.set_word(set, word), tables.set_word(set, word + 1), u64::from(tables.now()));
    for index in 0..TIMED_LENS as u64 {
        let len = (if index < 8 { lens } else { more }) >> (index % 8 * 8) & 0xff;
        if len == 0 {
            return false;
        }
        if tables.until(&element(set, A::V6, len, front(address, len))).is_some_and(|until| until > now) {
            return true;
        }
    }
    false
}
