//! Tables of 32-bit entries as the 64-bit words that cross into maps.

use anyhow::{Context as _, Result};
use foobar_common::slot::Slot;

/// Two entries a word, the first in the lower half; the last word is filled up with `last`.
pub fn pack<const N: usize>(entries: &[u32], last: u32) -> Result<Box<[u64; N]>> {
    let word = |pair: &[u32]| u64::from(pair[0]) | u64::from(pair.get(1).copied().unwrap_or(last)) << 32;
    let words: Box<[u64]> = entries.chunks(2).map(word).collect();
    let len = words.len();
    words.try_into().ok().with_context(|| format!("a table of {len} words, not {N}"))
}

/// The first `count` slots of a ring's words.
pub fn slots(words: &[u64], count: usize) -> Vec<Slot> {
    let halves = words.iter().flat_map(|word| [*word as u32, (*word >> 32) as u32]);
    halves.take(count).map(Slot::from_word).collect()
}
