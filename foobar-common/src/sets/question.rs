//! What a packet asks of the functions that look further than its port and its source.
//!
//! It stands in memory of the CPU's own, and is read from there each time: the kernel's stack is short.

use super::tables::Line;
use crate::{
    class::Class,
    plane::{Plane, Way},
};

/// Everything that they know of a packet.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// The classes of its own source and target.
    pub own: Class,
    pub target: Class,
    /// The mask of its extension headers.
    pub extensions: u64,
    pub asking: Asking,
}

/// Words of a question.
pub const QUESTION_WORDS: usize = 4;

impl Question {
    #[inline(always)]
    pub const fn words(self) -> [u64; QUESTION_WORDS] {
        let Self { own, target, extensions, asking } = self;
        [own.word(), target.word(), extensions, asking.word()]
    }
}

/// A question as it was put.
pub trait Put: Line {
    #[inline(always)]
    fn own(&self) -> Class {
        Class::from_word(self.word(0))
    }

    #[inline(always)]
    fn target(&self) -> Class {
        Class::from_word(self.word(1))
    }

    #[inline(always)]
    fn extensions(&self) -> u64 {
        self.word(2)
    }

    #[inline(always)]
    fn asking(&self) -> Asking {
        Asking::from_word(self.word(3))
    }
}

impl<L: Line> Put for L {}

/// Where a packet's classes stand, in one word.
///
/// | bits | |
/// |---|---|
/// | 44–63 | the interface's part of the next |
/// | 24–43 | where the classes of its own destination and interface begin |
/// | 8–23 | the kind of its port |
/// | 0 | bank |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asking {
    pub bank: usize,
    pub kind: u16,
    /// Below 2^20, as the next.
    pub narrowed: u32,
    pub interface: u32,
}

impl Asking {
    /// The rules that name sets are those for what comes in.
    #[inline(always)]
    pub const fn plane(self) -> Plane {
        Plane { bank: self.bank, way: Way::In }
    }

    #[inline(always)]
    pub const fn word(self) -> u64 {
        self.bank as u64 | (self.kind as u64) << 8 | (self.narrowed as u64) << 24 | (self.interface as u64) << 44
    }

    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self {
            bank: (word & 1) as usize,
            kind: (word >> 8) as u16,
            narrowed: (word >> 24) as u32 & 0xf_ffff,
            interface: (word >> 44) as u32,
        }
    }
}
