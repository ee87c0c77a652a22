//! The one word that says which bank is in force. A packet reads it once.
//!
//! Rules and services are written into the idle bank and published together by this word. The bank and the default
//! policy share a byte, so that no packet sees one without the other however the word is stored.

/// | bits | |
/// |---|---|
/// | 0 | bank |
/// | 1 | 1: drop by default |
/// | 2 | 1: some rule names a destination or an interface |
/// | 3 | 1: some rule names a set |
/// | 8–63 | number of the generation |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Generation(u64);

impl Generation {
    const DROPS: u64 = 2;
    const NARROWS: u64 = 4;
    const ASKS_SETS: u64 = 8;

    pub const fn new(number: u64, bank: usize, drops: bool, narrows: bool) -> Self {
        let drops = if drops { Self::DROPS } else { 0 };
        let narrows = if narrows { Self::NARROWS } else { 0 };
        Self(number << 8 | (bank & 1) as u64 | drops | narrows)
    }

    /// The same, whose rules name sets or do not.
    #[must_use]
    pub const fn asking_sets(self, asks: bool) -> Self {
        Self(self.0 & !Self::ASKS_SETS | if asks { Self::ASKS_SETS } else { 0 })
    }

    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self(word)
    }

    pub const fn word(self) -> u64 {
        self.0
    }

    #[inline(always)]
    pub const fn bank(self) -> usize {
        self.0 as usize & 1
    }

    /// Whether what nothing decides is dropped.
    #[inline(always)]
    pub const fn drops(self) -> bool {
        self.0 & Self::DROPS != 0
    }

    /// Whether packets are asked for their destination and their interface.
    #[inline(always)]
    pub const fn narrows(self) -> bool {
        self.0 & Self::NARROWS != 0
    }

    /// Whether packets are asked for the sets that their addresses are in.
    #[inline(always)]
    pub const fn asks_sets(self) -> bool {
        self.0 & Self::ASKS_SETS != 0
    }

    /// Counts publications since the tables were made.
    pub const fn number(self) -> u64 {
        self.0 >> 8
    }
}
