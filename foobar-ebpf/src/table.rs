//! Tables of words at fixed addresses, which a packet reads without looking a map up.
//!
//! A static of its own `.bss.NAME` section is the one element of an array, and an instruction holds its address
//! (`BPF_PSEUDO_MAP_VALUE`, Linux 5.2). Userspace maps the same memory and writes it; what packets write are whole words.

use core::cell::UnsafeCell;

use crate::hide::hide;

/// So many 64-bit words; a half-word is 32 bits of one, the lower ones first.
#[repr(transparent)]
pub struct Table<const WORDS: usize>(UnsafeCell<[u64; WORDS]>);

// SAFETY: whole aligned words or halves at a time, and volatile or atomic, since others read and write meanwhile.
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

    /// Nothing past the table's end.
    #[inline(always)]
    pub fn set(&self, index: usize, value: u64) {
        let index = hide(index);
        if index < WORDS {
            // SAFETY: the index is below the number of words.
            unsafe { self.0.get().cast::<u64>().add(index).write_volatile(value) }
        }
    }

    /// Adds to a word, whatever other CPUs do meanwhile. Nothing past the table's end.
    #[inline(always)]
    pub fn add(&self, index: usize, amount: u64) {
        let index = hide(index);
        if index < WORDS {
            // SAFETY: the index is below the number of words, which are aligned.
            unsafe { add(self.0.get().cast::<u64>().add(index), amount) }
        }
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

/// The one atomic addition that every kernel has; the compiler gives this target none.
#[cfg(target_arch = "bpf")]
#[inline(always)]
unsafe fn add(word: *mut u64, amount: u64) {
    // SAFETY: the caller's word is in a table.
    unsafe { core::arch::asm!("lock *(u64 *)({word} + 0) += {amount}", word = in(reg) word, amount = in(reg) amount) }
}

/// The host builds this crate only to check it.
#[cfg(not(target_arch = "bpf"))]
unsafe fn add(word: *mut u64, amount: u64) {
    // SAFETY: the caller's word is in a table.
    unsafe { *word += amount }
}
