//! One slot of a ring: which backend takes its new flows, and which its old ones.

/// An aligned word, so that it is read and written whole.
///
/// | bits | |
/// |---|---|
/// | 0–14 | current backend's id; 0: none |
/// | 15–29 | previous backend's id; equal to current on a calm slot |
/// | 31 | *tracked*: the backend changed lately, and flows on it are noted |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot(u32);

impl Slot {
    /// Ids of backends are below this; 0 is none.
    pub const MAX_BACKENDS: u32 = 1 << 15;

    const ID_MASK: u32 = Self::MAX_BACKENDS - 1;
    const PREVIOUS_SHIFT: u32 = 15;
    const TRACKED: u32 = 1 << 31;

    /// A slot whose flows need no memory.
    pub const fn calm(backend: u32) -> Self {
        Self(backend & Self::ID_MASK | (backend & Self::ID_MASK) << Self::PREVIOUS_SHIFT)
    }

    /// A slot that changed from `previous` to `current`.
    pub const fn tracked(current: u32, previous: u32) -> Self {
        Self(current & Self::ID_MASK | (previous & Self::ID_MASK) << Self::PREVIOUS_SHIFT | Self::TRACKED)
    }

    #[inline(always)]
    pub const fn from_word(word: u32) -> Self {
        Self(word)
    }

    pub const fn word(self) -> u32 {
        self.0
    }

    #[inline(always)]
    pub const fn current(self) -> u32 {
        self.0 & Self::ID_MASK
    }

    #[inline(always)]
    pub const fn previous(self) -> u32 {
        (self.0 >> Self::PREVIOUS_SHIFT) & Self::ID_MASK
    }

    #[inline(always)]
    pub const fn is_tracked(self) -> bool {
        self.0 & Self::TRACKED != 0
    }
}
