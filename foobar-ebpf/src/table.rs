//! Tables of words at fixed addresses, which a packet reads without looking a map up.
//!
//! A static of its own `.bss.NAME` section is the one element of an array, and an instruction holds its address
//! (`BPF_PSEUDO_MAP_VALUE`, Linux 5.2). Userspace maps the same memory and is the only one that writes it.

use core::cell::UnsafeCell;

use crate::hide::hide;

/// So many 64-bit words; a half-word is 32 bits of one, the lower ones first.
#[repr(transparent)]
pub struct Table<const WORDS: usize>(UnsafeCell<[u64; WORDS]>);

// SAFETY: this side only reads, whole aligned words or halves at a time, and volatile since userspace writes meanwhile.
unsafe impl<const WORDS: usize> Sync for Table<WORDS> {}

// An index is hidden, since the compiler would check one form of it and use another, and the verifier sees no relation.
impl<const WORDS: usize> Table<WORDS> {
    pub const fn new() -> Self {
        Self(UnsafeCell::new([0; WORDS]))
    }

    /// `None` past the table's end, as for the others.
    #[inline(always)]
    pub fn half(&self, index: usize) -> Option<u32> {
        let index = hide(index);
        if index >= WORDS * 2 {
            return None;
        }
        // SAFETY: the index is below the number of halves.
        Some(unsafe { self.0.get().cast::<u32>().add(index).read_volatile() })
    }

    #[inline(always)]
    pub fn word(&self, index: usize) -> Option<u64> {
        self.words::<1>(index).map(|[word]| word)
    }

    /// `N` words from `first` on.
    #[inline(always)]
    pub fn words<const N: usize>(&self, first: usize) -> Option<[u64; N]> {
        let first = hide(first);
        if first >= WORDS - (N - 1) {
            return None;
        }
        let mut words = [0; N];
        for (index, word) in words.iter_mut().enumerate() {
            // SAFETY: the last index is below the number of words.
            *word = unsafe { self.0.get().cast::<u64>().add(first + index).read_volatile() };
        }
        Some(words)
    }
}
