//! What the rules say of a class of packets by one of its sides: its source, or its protocol and port.

use crate::decision::Decision;

/// Packets that the same rules match, as far as one side tells.
///
/// | bits | |
/// |---|---|
/// | 32–63 | its part of the index into the table of pairs; 0: no rule constrains both sides here |
/// | 0–31 | the first rule that constrains this side alone; bit 0 is free for the table that holds the word |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class {
    pub decision: Decision,
    pub pairs: u32,
}

impl Class {
    /// No rule speaks of it.
    pub const NONE: Self = Self { decision: Decision::NONE, pairs: 0 };

    /// From a table's word, whose lowest bit is the table's own.
    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self { decision: Decision::from_word(word as u32), pairs: (word >> 32) as u32 }
    }

    pub const fn word(self) -> u64 {
        self.decision.word() as u64 | (self.pairs as u64) << 32
    }

    /// Where the rules that constrain both sides stand, if any can match.
    #[inline(always)]
    pub const fn pair_with(self, other: Self) -> Option<u32> {
        if self.pairs == 0 || other.pairs == 0 { None } else { Some(self.pairs.wrapping_add(other.pairs)) }
    }
}

/// What stands in the port table: the class of a protocol and port where no rule names the destination.
///
/// | bits | |
/// |---|---|
/// | 48–63 | its kind: its part of the index into the table of narrowed classes |
/// | 32–47 | its class's part of the index into the table of pairs |
/// | 1–31 | its class's decision |
/// | 0 | 1: a service listens there on some address, so that the port has a group |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// `pairs` is at most [`Port::MAX_KINDS`].
    pub class: Class,
    pub kind: u16,
    pub listens: bool,
}

impl Port {
    pub const MAX_KINDS: usize = 1 << 16;
    pub const NONE: Self = Self { class: Class::NONE, kind: 0, listens: false };

    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        let Class { decision, pairs } = Class::from_word(word);
        Self { class: Class { decision, pairs: pairs & 0xffff }, kind: (word >> 48) as u16, listens: word & 1 != 0 }
    }

    pub const fn word(self) -> u64 {
        self.class.word() | (self.kind as u64) << 48 | self.listens as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_comes_back_and_two_sides_meet_only_where_both_have_pairs() {
        let row = Class { decision: Decision::new(7, true, 9), pairs: 600 };
        let column = Class { decision: Decision::NONE, pairs: 5 };
        assert_eq!(Class::from_word(row.word() | 1), row);
        assert_eq!(row.pair_with(column), Some(605));
        assert_eq!(row.pair_with(Class::NONE), None);
        assert_eq!(Class::NONE.pair_with(column), None);
        let port = Port { class: column, kind: 0xfffe, listens: true };
        assert_eq!(Port::from_word(port.word()), port);
        assert_eq!(Port::from_word(Port::NONE.word()), Port::NONE);
    }
}
