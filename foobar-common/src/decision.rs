//! A rule's place, verdict and counter in one word, so that "the first rule that matches" is a minimum.

/// What the rules say of one class of packets.
///
/// | bits | |
/// |---|---|
/// | 17–31 | place in the list of rules, 0 first; all ones: no rule |
/// | 16 | 1: allow |
/// | 15 | 1: *conditional*, it holds only while its rule's terms do (see [`crate::terms`]) |
/// | 1–14 | the rule's id, which is its counter's index; of a conditional decision its link |
/// | 0 | free for the table that holds the word |
///
/// Tables hold 32 bits of it. Here it has a register's width: the program's machine compares nothing narrower, and would
/// cut each number to size before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Decision(u64);

impl Decision {
    /// No rule matches.
    pub const NONE: Self = Self((u32::MAX << Self::PLACE_SHIFT) as u64);
    /// Rules in a list, at most.
    pub const MAX_PLACES: u32 = (1 << 15) - 1;
    /// Rule ids, at most.
    pub const MAX_IDS: u32 = 1 << 14;

    const PLACE_SHIFT: u32 = 17;
    const ALLOW: u64 = 1 << 16;
    const CONDITIONAL: u64 = 1 << 15;
    const ID_MASK: u64 = 0x3fff;

    /// `place < MAX_PLACES`, `id < MAX_IDS`.
    pub const fn new(place: u32, allow: bool, id: u32) -> Self {
        Self(
            (place << Self::PLACE_SHIFT) as u64
                | if allow { Self::ALLOW } else { 0 }
                | (id as u64 & Self::ID_MASK) << 1,
        )
    }

    /// The same, as long as the rule's terms hold: what they are and what comes next stands at `link`, below `MAX_IDS`.
    #[must_use]
    pub const fn conditional(self, link: u32) -> Self {
        Self(self.0 & !(Self::ID_MASK << 1) | Self::CONDITIONAL | (link as u64 & Self::ID_MASK) << 1)
    }

    /// From a table's word, whose lowest bit is the table's own.
    #[inline(always)]
    pub const fn from_word(word: u32) -> Self {
        Self((word & !1) as u64)
    }

    #[inline(always)]
    pub const fn word(self) -> u32 {
        self.0 as u32
    }

    /// The one whose rule stands first.
    #[inline(always)]
    #[must_use]
    pub const fn first(self, other: Self) -> Self {
        if other.0 < self.0 { other } else { self }
    }

    #[inline(always)]
    pub const fn is_none(self) -> bool {
        self.0 >= Self::NONE.0
    }

    #[inline(always)]
    pub const fn allows(self) -> bool {
        self.0 & Self::ALLOW != 0
    }

    /// The rule's place in the list.
    #[inline(always)]
    pub const fn place(self) -> usize {
        (self.0 >> Self::PLACE_SHIFT) as usize
    }

    #[inline(always)]
    pub const fn is_conditional(self) -> bool {
        // Where there is no rule, its place is all ones and the rest is 0.
        self.0 & Self::CONDITIONAL != 0
    }

    /// The rule's id; of a conditional decision its link.
    #[inline(always)]
    pub const fn id(self) -> u32 {
        ((self.0 >> 1) & Self::ID_MASK) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_place_wins_whatever_the_verdict_and_id() {
        let first = Decision::new(3, true, Decision::MAX_IDS - 1);
        let second = Decision::new(4, false, 0);
        assert_eq!(first.first(second), first);
        assert_eq!(second.first(first), first);
        assert_eq!(Decision::NONE.first(second), second);
        assert!(first.allows() && !second.allows());
        assert_eq!(first.id(), Decision::MAX_IDS - 1);
    }

    #[test]
    fn a_condition_changes_neither_place_nor_verdict() {
        let rule = Decision::new(3, true, 9);
        let conditional = rule.conditional(Decision::MAX_IDS - 1);
        assert!(conditional.is_conditional() && conditional.allows() && conditional.id() == Decision::MAX_IDS - 1);
        assert!(!rule.is_conditional() && !Decision::NONE.is_conditional());
        assert_eq!(conditional.first(Decision::new(4, false, 1)), conditional);
        assert_eq!(Decision::new(2, false, 1).first(conditional), Decision::new(2, false, 1));
    }

    #[test]
    fn the_last_place_is_still_before_no_rule() {
        let last = Decision::new(Decision::MAX_PLACES - 1, true, Decision::MAX_IDS - 1);
        assert!(!last.is_none());
        assert!(Decision::NONE.is_none());
        assert_eq!(Decision::from_word(last.word() | 1), last);
    }
}
