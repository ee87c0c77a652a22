//! Pairs of classes beyond the dense table: a hash of those that some rule constrains together, in the same memory.
//!
//! Userspace looks for a seed under which no bucket of a bank overflows. A class of sources whose pairs are hashed says so
//! by its part of the index: the sum of both parts is the key.

use crate::layout::{SPARSE_BUCKETS, SPARSE_WORDS};

/// What marks the sum of both classes' parts as a key.
const MARK: u32 = 1 << 31;
const COLUMN_BITS: u32 = 16;

/// A class of sources' part of a key: `1 <= row < 2^15`.
pub const fn row(row: usize) -> u32 {
    MARK | ((row as u32) << COLUMN_BITS)
}

/// Whether the sum of two classes' parts is a key.
#[inline(always)]
pub const fn is_key(index: u32) -> bool {
    index & MARK != 0
}

/// The first word of a key's bucket in the bank that was built with `seed`.
#[inline(always)]
pub const fn bucket(key: u32, seed: u64) -> usize {
    let hash = (key as u64 | seed << 32).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ (hash >> 32)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    (((hash >> 32) * SPARSE_BUCKETS as u64) >> 32) as usize * SPARSE_WORDS
}

/// A key and its decision; an empty word is 0.
pub const fn word(key: u32, decision: u32) -> u64 {
    (key as u64) << 32 | decision as u64
}
