//! A packet that is shown to people: why, what the program knows of it, and the front of its bytes.
//!
//! What is shown is bounded by a budget for each kind on each CPU, so that no flood costs much, and none of one kind hides
//! the others. What its flow is, userspace reads from the bytes by the same parser.

use crate::{
    frame::{Frame, Header},
    outcome::Outcome,
    plane::Way,
};

/// Bytes of a frame that are kept: every header that the parser reads of an ordinary packet.
pub const FRONT: usize = 128;
/// Words before the frame's front.
pub const HEAD_WORDS: usize = 4;
pub const EVENT_WORDS: usize = HEAD_WORDS + FRONT / 8;

/// One packet of so many is shown, of all that leave: a power of two.
pub const ONE_OF: u64 = 1024;

/// Why a packet is shown; several can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// It was dropped while somebody watched.
    Dropped = 0,
    /// It is the one of [`ONE_OF`].
    Sampled = 1,
    /// A rule with `log` matched it.
    Logged = 2,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Dropped, Self::Sampled, Self::Logged];
    pub const COUNT: usize = Self::ALL.len();

    /// Its bit in a mask of kinds.
    #[inline(always)]
    pub const fn bit(self) -> u64 {
        1 << self as u32
    }
}

/// What the program sends by itself, each within a budget of its own on each CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Told {
    /// Answers to echo requests.
    Echo = Kind::COUNT as u32,
    /// ICMP errors.
    Error,
}

/// Budgets of a CPU: those of [`Kind`]s, then those of what is [`Told`].
pub const BUDGETS: usize = Kind::COUNT + 2;

/// What the program says of a packet before its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Nanoseconds of the monotonic clock.
    pub at: u64,
    /// A mask of [`Kind::bit`]s.
    pub kinds: u64,
    /// Index of the outcome.
    pub outcome: u32,
    /// The id of the rule that decided; 0: none did.
    pub rule: u32,
    pub way: Way,
    /// Index of the interface that it came in by, or was to leave by.
    pub interface: u32,
    /// Bytes of the whole frame.
    pub len: u32,
    /// Bytes of it that follow.
    pub kept: u32,
}

impl Head {
    /// | word | |
    /// |---|---|
    /// | 0 | time |
    /// | 1 | bits 0–7 outcome, 8–15 kinds, 32–63 rule |
    /// | 2 | bits 0–31 interface, 32–63 length |
    /// | 3 | bits 0–31 bytes that follow, bit 32 way |
    #[inline(always)]
    pub const fn words(self) -> [u64; HEAD_WORDS] {
        let second = self.outcome as u64 | self.kinds << 8 | (self.rule as u64) << 32;
        let third = self.interface as u64 | (self.len as u64) << 32;
        [self.at, second, third, self.kept as u64 | (self.way as u64) << 32]
    }

    pub const fn from_words([at, second, third, fourth]: [u64; HEAD_WORDS]) -> Self {
        Self {
            at,
            kinds: second >> 8 & 0xff,
            outcome: (second & 0xff) as u32,
            rule: (second >> 32) as u32,
            way: if fourth >> 32 & 1 == 0 { Way::In } else { Way::Out },
            interface: third as u32,
            len: (third >> 32) as u32,
            kept: fourth as u32,
        }
    }

    pub const fn is(self, kind: Kind) -> bool {
        self.kinds & kind.bit() != 0
    }

    pub fn outcome(self) -> Option<Outcome> {
        Outcome::ALL.get(self.outcome as usize).copied()
    }
}

/// How many packets of one kind a CPU has shown, or sent by itself, in the current eighth of a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget(u64);

impl Budget {
    /// A window of 2^27 ns, 134 ms.
    const WINDOW_SHIFT: u32 = 27;
    /// In a window; 998 a second.
    pub const MOST: u64 = 134;
    const SHOWN: u64 = 0xffff;

    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self(word)
    }

    #[inline(always)]
    pub const fn word(self) -> u64 {
        self.0
    }

    /// The budget after one packet more at this nanosecond; `None`: it is used up.
    #[inline(always)]
    pub const fn take(self, now: u64) -> Option<Self> {
        let window = now >> Self::WINDOW_SHIFT << 16;
        if self.0 & !Self::SHOWN != window {
            return Some(Self(window | 1));
        }
        if self.0 & Self::SHOWN >= Self::MOST { None } else { Some(Self(self.0 + 1)) }
    }
}

/// A frame of which only the front was kept.
#[derive(Clone, Copy, Debug)]
pub struct Cut<'a> {
    pub front: &'a [u8],
    /// Bytes of the whole.
    pub len: usize,
}

impl Frame for Cut<'_> {
    fn len(&self) -> usize {
        self.len
    }

    fn reaches(&self, end: usize) -> bool {
        end <= self.len
    }

    fn read<H: Header>(&self, offset: usize) -> Option<H> {
        self.front.read(offset)
    }
}

const _: () = assert!(ONE_OF.is_power_of_two());
const _: () = assert!(Outcome::COUNT <= 0x100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_keeps_everything() {
        let (at, way) = (u64::MAX, Way::In);
        let head = Head { at, kinds: 5, outcome: 16, rule: 16_383, way, interface: 7, len: 9_014, kept: 128 };
        for head in [head, Head { way: Way::Out, ..head }] {
            assert_eq!(Head::from_words(head.words()), head);
        }
        assert!(head.is(Kind::Dropped) && !head.is(Kind::Sampled) && head.is(Kind::Logged));
        assert_eq!(head.outcome(), Some(Outcome::ALL[16]));
    }

    #[test]
    fn a_budget_is_used_up_and_renewed_by_time() {
        let mut budget = Budget::from_word(0);
        for _ in 0..Budget::MOST {
            budget = budget.take(1 << 40).expect("within the budget");
        }
        assert_eq!(budget.take((1 << 40) + 1_000), None);
        let next = budget.take((1 << 40) + (1 << 27)).expect("the next window");
        assert_eq!(next.word() & 0xffff, 1);
    }

    #[test]
    fn a_cut_frame_is_as_long_as_it_was() {
        let cut = Cut { front: &[1, 2, 3, 4], len: 1500 };
        assert!(cut.reaches(1500) && !cut.reaches(1501));
        assert_eq!(cut.read::<u8>(3), Some(4));
        assert_eq!(cut.read::<u8>(4), None);
    }
}
