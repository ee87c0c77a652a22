//! Where a set's prefixes stand: lines of eight words, in an array for each family.
//!
//! IPv4 has a front of its own by the first two bytes, which stays in a CPU's cache. Behind it come leaves, hashed by the
//! first three: what costs most is memory that a TLB does not reach, so an address is looked for in one line.
//! IPv6 stands in blocks: 64 neighbours, a bit each, under the front that they share; two blocks are a line, and a line that
//! has overflown says so.

/// The front of a block's addresses in both halves; its last bits say which stride it is of, so that it is never zero.
pub type Key = [u64; 2];

/// What the front says of the addresses that begin with two bytes.
pub const NONE: u64 = 0;
pub const ALL: u64 = 1;
/// A part, and narrow leaves know which.
pub const PARTIAL: u64 = 2;
/// The same, and a wide leaf knows of more.
pub const SPREAD: u64 = 3;

#[cfg(any(test, feature = "std"))]
pub const LINE_WORDS: usize = 8;
/// The word of a line that says whether a block stands in the next one for want of room.
pub const OVERFLOWS: usize = 6;
/// Lines that are looked at for a block of IPv6, at most.
pub const PROBES: u32 = 8;

/// Where the list of IPv6's strides stands in a set's record, in two words.
pub const STRIDES_WORD: usize = 2;
/// Where the lengths of elements that end stand there: two words a family, a byte each.
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
/// | 44–63 | the seed of its hash: whoever chooses what is in a set does not know which prefixes share lines |
/// | 20–43 | lines where searches begin |
/// | 12–19 | the region of the front; 0: the empty one |
/// | 0–11 | the slot of the first array; 0: there are no prefixes |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    pub slot: u32,
    pub front: u32,
    pub buckets: u32,
    pub seed: u32,
}

impl Extent {
    /// Lines where searches begin are fewer.
    pub const MAX_BUCKETS: u32 = 1 << 24;
    /// Seeds are below this.
    pub const SEEDS: u32 = 1 << 20;
    const FRONT_SHIFT: u32 = 12;
    const BUCKETS_SHIFT: u32 = 20;
    const SEED_SHIFT: u32 = 44;

    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self {
            slot: word as u32 & 0xfff,
            front: (word >> Self::FRONT_SHIFT) as u32 & 0xff,
            buckets: (word >> Self::BUCKETS_SHIFT) as u32 & 0xff_ffff,
            seed: (word >> Self::SEED_SHIFT) as u32,
        }
    }

    #[inline(always)]
    pub const fn word(self) -> u64 {
        self.slot as u64
            | (self.front as u64) << Self::FRONT_SHIFT
            | (self.buckets as u64) << Self::BUCKETS_SHIFT
            | (self.seed as u64) << Self::SEED_SHIFT
    }

    /// An odd number that the seed makes: multiplying by it keeps what differs different.
    #[inline(always)]
    const fn factor(self) -> u64 {
        (self.seed as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) << 1 | 1
    }

    /// The line where a block's search begins.
    #[inline(always)]
    pub const fn line(self, key: Key) -> u32 {
        let mixed = key[0].wrapping_mul(self.factor()) ^ key[1].wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ mixed >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
        (((mixed >> 32) * self.buckets as u64) >> 32) as u32
    }

    /// The line where the search for leaves begins, by their number below 2^24, and the tag that they have.
    ///
    /// Lines near each other hold numbers near each other, once they are mixed: a few bits tell them apart.
    #[inline(always)]
    pub const fn leaves(self, number: u64) -> (u32, u64) {
        let mixed = (number ^ number >> 12).wrapping_mul(self.factor()) & 0xff_ffff;
        let mixed = ((mixed ^ mixed >> 12) * 0x9e_3779) & 0xff_ffff;
        let mixed = mixed ^ mixed >> 12;
        (((mixed * self.buckets as u64) >> 24) as u32, mixed & ((1 << Leaf::TAG_BITS) - 1))
    }
}

/// A leaf of IPv4 is half a word, and says of eight neighbours which are members. Lines fill from their first half word on;
/// a search goes on to the next line where one is full.
///
/// | bits | |
/// |---|---|
/// | 14–31 | the tag of the first three bytes |
/// | 8–13 | whose neighbours they are: 1 to 32: the addresses of so many /29 of these bytes; 33: its /27; 34: the /19 of the first two bytes |
/// | 0–7 | a bit each |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf;

impl Leaf {
    /// Bits of an address that number one of eight.
    pub const WIDTH: u8 = 3;
    pub const TAG_BITS: u32 = 18;
    /// Lines that are looked at, at most: all leaves of some /24 are in a row.
    pub const PROBES: u32 = 16;
    /// With fewer lines the tags would not tell numbers apart: that many lines share a tag's bits.
    pub const MIN_LINES: u32 = (Self::PROBES << 24) >> Self::TAG_BITS;
    const TAG_SHIFT: u32 = 32 - Self::TAG_BITS;
    pub const NEIGHBOURS_SHIFT: u32 = 8;
    pub const WHOLE: u64 = 33;
    pub const WIDE: u64 = 34;

    /// Lines in front of the leaves: a word for each line where searches begin, which has a bit for the tags that are there,
    /// and perhaps for some that have gone. They are few enough to stay in a cache.
    #[inline(always)]
    pub const fn filter_lines(buckets: u32) -> u32 {
        buckets.div_ceil(8)
    }

    /// The number of the leaves for an address's first three bytes.
    #[inline(always)]
    pub const fn narrow(half: u64) -> u64 {
        half >> 40
    }

    /// The number of the leaf for an address's first two bytes.
    #[inline(always)]
    pub const fn wide(half: u64) -> u64 {
        half >> 48 << 8
    }

    /// Without bits.
    #[cfg(any(test, feature = "std"))]
    pub const fn empty(tag: u64, neighbours: u64) -> u64 {
        tag << Self::TAG_SHIFT | neighbours << Self::NEIGHBOURS_SHIFT
    }

    /// An odd number if a leaf says what is asked.
    #[inline(always)]
    pub const fn hits(leaf: u64, tag: u64, asked: Asked) -> u64 {
        if leaf >> Self::TAG_SHIFT != tag {
            return 0;
        }
        let neighbours = leaf >> Self::NEIGHBOURS_SHIFT & 63;
        if neighbours == asked.0 & 63 {
            leaf >> (asked.0 >> 8 & 7)
        } else if neighbours == asked.0 >> 16 & 63 {
            leaf >> (asked.0 >> 24 & 7)
        } else {
            0
        }
    }
}

/// What is asked of leaves: two bits, each by whose neighbours it is of in one byte, and its number in the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked(u64);

impl Asked {
    /// The address's own, and that of its /27.
    #[inline(always)]
    pub const fn narrow(half: u64) -> Self {
        let last = half >> 32 & 0xff;
        Self(((last >> 3) + 1) | (last & 7) << 8 | Leaf::WHOLE << 16 | (last >> 5) << 24)
    }

    /// That of its /19.
    #[inline(always)]
    pub const fn wide(half: u64) -> Self {
        Self(Leaf::WIDE << 16 | (half >> 45 & 7) << 24)
    }

    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self(word)
    }

    #[inline(always)]
    pub const fn word(self) -> u64 {
        self.0
    }
}

/// What a word of the front says of the addresses with this number.
#[inline(always)]
pub const fn state(word: u64, number: usize) -> u64 {
    word >> ((number & 31) * 2) & 3
}

/// Lengths of prefixes that share their blocks, which begin behind the same number of bits.
///
/// No block lies in both halves of an address, and nothing here branches: the verifier looks at each way once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stride {
    /// What tells its blocks from others', 1..=22.
    pub mark: u64,
    /// Bits of the front within the half, at most 58.
    start: u64,
    /// All ones where the blocks lie in the lower half.
    lower: u64,
}

impl Stride {
    pub const COUNT_V6: usize = 22;
    /// A list of strides is five bits a stride, zero at the end, so many a word.
    pub const BITS: u64 = 5;
    pub const A_WORD: usize = 12;
    /// Bits of an address within a block.
    pub const WIDTH: u64 = 6;
    /// IPv6's strides in a half.
    const IN_A_HALF: u64 = 11;

    /// The first one in a list.
    #[inline(always)]
    pub const fn first_in(list: u64) -> Option<Self> {
        match list & 31 {
            0 => None,
            mark => Some(Self::v6(mark)),
        }
    }

    /// IPv6's, by a mark from 1 on: lengths 0 to 6, 7 to 12, and so on to 55 to 60, then 61 to 64; and again behind them.
    #[inline(always)]
    pub const fn v6(mark: u64) -> Self {
        // Divisions by 11 and by 10.
        let lower = ((mark - 1) * 24) >> 8;
        let index = mark - 1 - lower * Self::IN_A_HALF;
        let is_last = (index * 26) >> 8;
        Self { mark, start: index * Self::WIDTH - is_last * 2, lower: 0u64.wrapping_sub(lower) }
    }

    /// That of IPv6's prefixes of a length.
    #[cfg(any(test, feature = "std"))]
    pub const fn of_len(len: u8) -> Self {
        let (half, in_half) = if len > 64 { (1, len as u64 - 64) } else { (0, len as u64) };
        Self::v6(1 + half * Self::IN_A_HALF + in_half.saturating_sub(1) / Self::WIDTH)
    }

    /// Bits of the front.
    #[cfg(any(test, feature = "std"))]
    pub const fn start(self) -> u8 {
        self.start as u8 + (self.lower & 64) as u8
    }

    /// The front of an address.
    #[inline(always)]
    pub const fn front(self, address: [u64; 2]) -> [u64; 2] {
        let ones = !(u64::MAX >> self.start);
        [address[0] & (ones | self.lower), address[1] & ones & self.lower]
    }

    #[inline(always)]
    pub const fn key(self, address: [u64; 2]) -> Key {
        let [high, low] = self.front(address);
        [high, low | self.mark]
    }

    /// Which bit of the block an address is.
    #[inline(always)]
    pub const fn bit(self, address: [u64; 2]) -> u64 {
        let half = address[0] & !self.lower | address[1] & self.lower;
        half >> (64 - Self::WIDTH - self.start) & 63
    }
}

/// The first `len` bits of an address, from 1 to 128.
#[inline(always)]
pub const fn front(address: [u64; 2], len: u64) -> [u64; 2] {
    let lower = (len - 1) >> 6 & 1;
    let ones = !(u64::MAX >> 1 >> ((len - 1) & 63));
    let lower = 0u64.wrapping_sub(lower);
    [address[0] & (ones | lower), address[1] & ones & lower]
}

/// The key of an element that ends: its front, its length, its set and family.
#[inline(always)]
pub const fn element(set: usize, v6: bool, len: u64, front: [u64; 2]) -> [u64; 3] {
    [front[0], front[1], (set as u64) << 16 | (v6 as u64) << 8 | len]
}

/// The set that an element's key is of.
#[cfg(any(test, feature = "std"))]
pub const fn set_of(key: &[u64; 3]) -> usize {
    (key[2] >> 16) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_has_a_stride_whose_blocks_hold_it() {
        for len in 0..=128 {
            let stride = Stride::of_len(len);
            assert!((1..=Stride::COUNT_V6 as u64).contains(&stride.mark), "{len}");
            assert!(stride.start() <= len && len <= stride.start() + Stride::WIDTH as u8, "{len}: {stride:?}");
            assert!(stride.start() / 64 == (stride.start() + Stride::WIDTH as u8 - 1) / 64, "{len}: {stride:?}");
        }
    }

    #[test]
    fn tags_tell_leaves_apart_where_a_search_goes() {
        for (buckets, seed) in [(Leaf::MIN_LINES, 0), (1500, 77), (110_000, Extent::SEEDS - 1)] {
            let extent = Extent { buckets, seed, ..Extent::default() };
            // The lines of each tag, in which some number has it.
            let mut lines = vec![Vec::new(); 1 << Leaf::TAG_BITS];
            for (line, tag) in (0..1 << 24).map(|number| extent.leaves(number)) {
                lines[tag as usize].push(line);
            }
            for (tag, lines) in lines.iter_mut().enumerate() {
                lines.sort_unstable();
                assert!(lines.last().is_some_and(|line| *line < buckets), "{tag}");
                assert!(lines.windows(2).all(|pair| pair[1] - pair[0] >= Leaf::PROBES), "{buckets} lines, tag {tag}");
            }
        }
    }

    #[test]
    fn a_front_is_the_first_bits() {
        let bits = 0xffff_ffff_ffff_ffff_ffff_ffff_ffff_ffffu128;
        for len in 1..=128 {
            let [high, low] = front([u64::MAX; 2], len);
            assert_eq!(u128::from(high) << 64 | u128::from(low), bits << (128 - len), "{len}");
        }
    }
}
