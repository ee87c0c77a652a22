//! Where a set's prefixes stand: lines of eight words, in an array for each family.
//!
//! IPv4 has a front of its own by the first two bytes, which stays in a CPU's cache. Behind it come nodes by the third
//! byte, one for each of the front's states. What is longer than 24 bits, and all of IPv6, stands in blocks: 64 neighbours, a bit each, under the front that they share. Two blocks are a line, and a line
//! that has overflown says so.

/// The front of a block's addresses in both halves; its last bits say which stride it is of, so that it is never zero.
pub type Key = [u64; 2];

/// What the front or a node says of some addresses.
pub const NONE: u64 = 0;
pub const ALL: u64 = 1;
/// A part, and the node or the block knows which.
pub const PARTIAL: u64 = 2;

/// IPv4's nodes: one for every two first bytes, so that its place is known before the front is read.
pub const NODE_LINES: u32 = 65_536;
#[cfg(any(test, feature = "std"))]
pub const LINE_WORDS: usize = 8;
/// The word of a line that says whether a block stands in the next one for want of room.
pub const OVERFLOWS: usize = 6;
/// Lines that are looked at for a block, at most.
pub const PROBES: u32 = 8;

/// Where the lengths of elements that end stand in a set's record: two words a family, a byte each.
pub const TIMED_WORD: usize = 4;
/// Different lengths among the elements of a set and a family that end.
pub const TIMED_LENS: usize = 16;

/// Lines of one array. A set has as many arrays as it needs, in slots one behind the other: arrays of one size alone are
/// read without a call.
pub const ARRAY_LINES: u32 = 1 << 14;

/// Where a set's lines of one family are.
///
/// | bits | |
/// |---|---|
/// | 32–63 | lines with blocks |
/// | 16–31 | the region of the front; 0: the empty one |
/// | 0–15 | the slot of the first array; 0: there are no prefixes |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    pub slot: u32,
    pub front: u32,
    pub buckets: u32,
}

impl Extent {
    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self { slot: word as u32 & 0xffff, front: (word >> 16) as u32 & 0xffff, buckets: (word >> 32) as u32 }
    }

    #[inline(always)]
    pub const fn word(self) -> u64 {
        self.slot as u64 | (self.front as u64) << 16 | (self.buckets as u64) << 32
    }

    /// The same, without the nodes of IPv4.
    #[inline(always)]
    pub const fn behind_nodes(self) -> Self {
        Self { slot: self.slot + NODE_LINES / ARRAY_LINES, ..self }
    }

    /// The line where a block's search begins.
    #[inline(always)]
    pub const fn line(self, key: Key) -> u32 {
        let mixed = key[0] ^ key[1].wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ mixed >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
        (((mixed >> 32) * self.buckets as u64) >> 32) as u32
    }
}

/// What a word of the front, or of a node, says of the addresses with this number.
#[inline(always)]
pub const fn state(word: u64, number: usize) -> u64 {
    word >> ((number & 31) * 2) & 3
}

/// Lengths of prefixes that share their blocks, which begin behind the same number of bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stride {
    /// Bits of the front, at most 122.
    pub start: u64,
    /// What tells its blocks from others', 1..=63.
    pub mark: u64,
}

impl Stride {
    pub const COUNT_V6: usize = 22;
    /// A list of strides is five bits a stride, zero at the end, so many a word.
    pub const BITS: u64 = 5;
    pub const A_WORD: usize = 12;
    /// Bits of an address within a block.
    pub const WIDTH: u64 = 6;
    /// IPv4's lengths from 25 to 32.
    pub const LEAF_V4: Self = Self { start: 26, mark: 63 };

    /// The first one in a list.
    #[inline(always)]
    pub const fn first_in(list: u64) -> Option<Self> {
        match list & 31 {
            0 => None,
            mark => Some(Self::v6(mark)),
        }
    }

    /// IPv6's: 0 to 6, 7 to 12, and so on to 121 to 126, then 127 and 128.
    #[inline(always)]
    pub const fn v6(mark: u64) -> Self {
        let start = (mark - 1) * Self::WIDTH;
        Self { start: if start > 122 { 122 } else { start }, mark }
    }

    #[inline(always)]
    pub fn key(self, address: [u64; 2]) -> Key {
        let [high, low] = front(address, self.start);
        [high, low | self.mark]
    }

    /// Which bit of the block an address is.
    #[inline(always)]
    pub const fn bit(self, address: [u64; 2]) -> u64 {
        let below = 128 - Self::WIDTH - self.start;
        let shifted = if below >= 64 {
            address[0] >> (below - 64)
        } else if below == 0 {
            address[1]
        } else {
            address[0] << (64 - below) | address[1] >> below
        };
        shifted & 63
    }
}

/// The first `len` bits of an address, at most 128.
#[inline(always)]
pub const fn front(address: [u64; 2], len: u64) -> [u64; 2] {
    [address[0] & ones(len), address[1] & ones(len.saturating_sub(64))]
}

/// A word whose first `len` bits are set.
#[inline(always)]
const fn ones(len: u64) -> u64 {
    if len >= 64 { u64::MAX } else { !(u64::MAX >> len) }
}

/// The key of an element that ends.
#[inline(always)]
pub const fn element(set: usize, len: u64, address: [u64; 2]) -> [u64; 3] {
    [address[0], address[1], (set as u64) << 8 | len]
}

const _: () = assert!(NODE_LINES.is_multiple_of(ARRAY_LINES));
