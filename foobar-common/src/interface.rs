//! By which interface did a packet come in, as far as rules name it? One read of a perfect hash table by its index.
//!
//! Userspace looks for a seed under which no two interfaces of a bank share a bucket.

use crate::layout::INTERFACE_BUCKETS;

/// An interface that rules name.
///
/// | bits | |
/// |---|---|
/// | 32–63 | its part of the index into the table of narrowed classes |
/// | 0–31 | its index in the network namespace; an empty bucket is all zero |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    pub ifindex: u32,
    pub offset: u32,
}

impl Named {
    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self { ifindex: word as u32, offset: (word >> 32) as u32 }
    }

    pub const fn word(self) -> u64 {
        self.ifindex as u64 | (self.offset as u64) << 32
    }

    /// The offset of an interface whose bucket this is; 0 where no rule names it.
    #[inline(always)]
    pub const fn offset_of(self, ifindex: u32) -> u32 {
        if self.ifindex == ifindex { self.offset } else { 0 }
    }
}

/// Where an interface stands in the table that was built with `seed`.
#[inline(always)]
pub const fn bucket_index(ifindex: u32, seed: u64) -> usize {
    // Indexes lie close together: were the seed mixed into the same bits, many seeds would do the same.
    let hash = (ifindex as u64 | seed << 32).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ (hash >> 32)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    (hash >> 32) as usize % INTERFACE_BUCKETS
}
