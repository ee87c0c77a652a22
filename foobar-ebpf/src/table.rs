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
        self.record::<1>(index).map(Record::word::<0>)
    }

    /// The word, or another past the table's end.
    ///
    /// Not by way of an `Option`, whose value the compiler may copy where there is none: the verifier refuses to read what
    /// was never written.
    #[inline(always)]
    pub fn word_or(&self, index: usize, otherwise: u64) -> u64 {
        let index = hide(index);
        if index >= WORDS {
            return otherwise;
        }
        // SAFETY: the index is below the number of words.
        unsafe { self.0.get().cast::<u64>().add(index).read_volatile() }
    }

    /// The first word.
    #[inline(always)]
    pub fn first(&self) -> u64 {
        // SAFETY: a table has at least one word.
        unsafe { self.0.get().cast::<u64>().read_volatile() }
    }

    #[inline(always)]
    pub fn set_first(&self, value: u64) {
        // SAFETY: as for `first`.
        unsafe { self.0.get().cast::<u64>().write_volatile(value) }
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

    /// The `N` words from `first` on.
    #[inline(always)]
    pub fn record<const N: usize>(&self, first: usize) -> Option<Record<N>> {
        const { assert!(N <= WORDS) };
        let first = hide(first);
        if first > WORDS - N {
            return None;
        }
        // SAFETY: the table has N words from there on.
        Some(Record(unsafe { self.0.get().cast::<u64>().add(first) }))
    }
}

/// `N` words of a table.
#[derive(Clone, Copy)]
pub struct Record<const N: usize>(*const u64);

impl<const N: usize> Record<N> {
    /// An element of a map, which is such words.
    #[inline(always)]
    pub const fn of(element: &[u64; N]) -> Self {
        Self(element.as_ptr())
    }

    #[inline(always)]
    pub fn word<const INDEX: usize>(self) -> u64 {
        const { assert!(INDEX < N) };
        // SAFETY: the record has more words than the index says.
        unsafe { self.0.add(INDEX).read_volatile() }
    }

    /// The half-word `INDEX`.
    #[inline(always)]
    pub fn half<const INDEX: usize>(self) -> u32 {
        self.half_behind::<INDEX, 0>(0)
    }

    /// The half-word that stands `behind & MASK` halves behind half-word `INDEX`.
    #[inline(always)]
    pub fn half_behind<const INDEX: usize, const MASK: usize>(self, behind: usize) -> u32 {
        const { assert!(INDEX + MASK < N * 2) };
        // SAFETY: the record has more halves than both together.
        unsafe { self.0.cast::<u32>().add(INDEX).add(behind & MASK).read_volatile() }
    }

    /// The word at `index`; 0 past the record's end, as nothing is written there.
    #[inline(always)]
    pub fn at(self, index: usize) -> u64 {
        // SAFETY: the index is below N.
        if index < N { unsafe { self.0.add(index).read_volatile() } } else { 0 }
    }

    #[inline(always)]
    pub fn put(self, index: usize, value: u64) {
        if index < N {
            // SAFETY: the index is below N, and the table is there to be written.
            unsafe { self.0.cast_mut().add(index).write_volatile(value) }
        }
    }

    /// Adds to the word at `index`, whatever other CPUs do meanwhile.
    #[inline(always)]
    pub fn add(self, index: usize, amount: u64) {
        if index < N {
            // SAFETY: the index is below N, and words are aligned.
            unsafe { add(self.0.cast_mut().add(index), amount) }
        }
    }

    /// Writes `after` where `before` still stands; false where it does not.
    #[inline(always)]
    pub fn swap(self, index: usize, before: u64, after: u64) -> bool {
        // SAFETY: the index is below N, and words are aligned.
        index < N && unsafe { swap(self.0.cast_mut().add(index), before, after) }
    }

    #[inline(always)]
    pub fn words(self) -> [u64; N] {
        let mut words = [0; N];
        for (index, word) in words.iter_mut().enumerate() {
            // SAFETY: the index is below N.
            *word = unsafe { self.0.add(index).read_volatile() };
        }
        words
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

/// An exchange if the word is still `before` (Linux 5.12); the compiler gives this target none.
#[cfg(target_arch = "bpf")]
#[inline(always)]
unsafe fn swap(word: *mut u64, before: u64, after: u64) -> bool {
    let mut seen = before;
    // SAFETY: the caller's word is in a table.
    unsafe {
        core::arch::asm!(
            "r0 = cmpxchg_64({word} + 0, r0, {after})",
            word = in(reg) word, after = in(reg) after, inout("r0") seen
        );
    }
    seen == before
}

/// The host builds this crate only to check it.
#[cfg(not(target_arch = "bpf"))]
unsafe fn swap(word: *mut u64, before: u64, after: u64) -> bool {
    // SAFETY: the caller's word is in a table.
    unsafe {
        let seen = *word;
        if seen == before {
            *word = after;
        }
        seen == before
    }
}
