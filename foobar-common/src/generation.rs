//! The one word that says which bank is in force. A packet reads it once.
//!
//! Rules and services are written into the idle bank and published together by this word. The bank and the default
//! policy share a byte, so that no packet sees one without the other however the word is stored.

use crate::plane::{Plane, Way};

/// | bits | |
/// |---|---|
/// | 0 | bank |
/// | 1 | 1: drop by default |
/// | 2 | 1: some rule names a destination or an interface |
/// | 4 | 1: there are rules for what this host sends |
/// | 5 | 1: drop that by default |
/// | 6 | 1: what this host opens is noted |
/// | 8–63 | number of the generation |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Generation(u64);

impl Generation {
    const DROPS: u64 = 2;
    const NARROWS: u64 = 4;
    const SENT_RULES: u64 = 1 << 4;
    const SENT_DROPS: u64 = 1 << 5;
    const NOTES: u64 = 1 << 6;

    pub const fn new(number: u64, bank: usize, drops: bool, narrows: bool) -> Self {
        let drops = if drops { Self::DROPS } else { 0 };
        let narrows = if narrows { Self::NARROWS } else { 0 };
        Self(number << 8 | (bank & 1) as u64 | drops | narrows)
    }

    /// `rules`: there are some for what this host sends. `drops`: so is what they do not decide.
    #[must_use]
    pub const fn sending(self, rules: bool, drops: bool) -> Self {
        let rules = if rules { Self::SENT_RULES } else { 0 };
        let drops = if drops { Self::SENT_DROPS } else { 0 };
        Self(self.0 & !(Self::SENT_RULES | Self::SENT_DROPS) | rules | drops)
    }

    #[must_use]
    pub const fn noting(self, notes: bool) -> Self {
        Self(self.0 & !Self::NOTES | if notes { Self::NOTES } else { 0 })
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

    /// The rules in force for a way.
    #[inline(always)]
    pub const fn plane(self, way: Way) -> Plane {
        Plane { bank: self.bank(), way }
    }

    /// Whether what nothing decides is dropped.
    #[inline(always)]
    pub const fn drops(self) -> bool {
        self.0 & Self::DROPS != 0
    }

    /// Whether what this host sends is dropped where nothing decides.
    #[inline(always)]
    pub const fn drops_sent(self) -> bool {
        self.0 & Self::SENT_DROPS != 0
    }

    /// Whether what this host sends is judged at all.
    #[inline(always)]
    pub const fn judges_sent(self) -> bool {
        self.0 & (Self::SENT_RULES | Self::SENT_DROPS) != 0
    }

    /// Whether what this host opens is noted, for a default that drops or is about to.
    #[inline(always)]
    pub const fn notes(self) -> bool {
        self.0 & Self::NOTES != 0
    }

    /// Whether packets are asked for their destination; what this host sends always is for its source.
    #[inline(always)]
    pub const fn narrows(self, way: Way) -> bool {
        matches!(way, Way::Out) || self.0 & Self::NARROWS != 0
    }

    /// Counts publications since the tables were made.
    pub const fn number(self) -> u64 {
        self.0 >> 8
    }
}
