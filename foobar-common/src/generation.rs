//! The one word that says which bank is in force. A packet reads it once.
//!
//! Rules and services are written into the idle bank and published together by this word. A change that waits for
//! confirmation carries its own end: from the deadline on, the word means what it meant before the change, whoever lives
//! to see it. What stands in its flags is published together, so that no packet sees a bank without its default.

use crate::plane::{Plane, Way};

/// | bits | |
/// |---|---|
/// | 0 | bank |
/// | 1 | 1: drop by default |
/// | 2 | 1: some rule names a destination or an interface |
/// | 3 | 1: some rule names a set |
/// | 4 | 1: there are rules for what this host sends |
/// | 5 | 1: drop that by default |
/// | 6 | 1: what this host opens is noted |
/// | 7 | 1: what others open to it is |
/// | 8 | 1: some service is `nat` |
/// | 9 | 1: some service has addresses that packets come from |
/// | 10 | 1: tunnels of some balancer are taken off |
/// | 11 | there are services |
/// | 12–23 | the lowest twelve bits as they are from the deadline on |
/// | 32–63 | the deadline: the second of the monotonic clock from which on the change is undone; 0: nothing waits |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Generation(u64);

impl Generation {
    const DROPS: u64 = 2;
    const NARROWS: u64 = 4;
    const ASKS_SETS: u64 = 8;
    const SENT_RULES: u64 = 1 << 4;
    const SENT_DROPS: u64 = 1 << 5;
    const NOTES: u64 = 1 << 6;
    const HEARS: u64 = 1 << 7;
    const NAT: u64 = 1 << 8;
    const POOL: u64 = 1 << 9;
    const TUNNELS: u64 = 1 << 10;
    const SERVES: u64 = 1 << 11;
    const FLAGS: u64 = 0xfff;
    const BEFORE_SHIFT: u32 = 12;
    const DEADLINE_SHIFT: u32 = 32;

    pub const fn new(bank: usize, drops: bool, narrows: bool) -> Self {
        let drops = if drops { Self::DROPS } else { 0 };
        let narrows = if narrows { Self::NARROWS } else { 0 };
        Self((bank & 1) as u64 | drops | narrows)
    }

    /// `rules`: there are some for what this host sends. `drops`: so is what they do not decide.
    #[must_use]
    pub const fn sending(self, rules: bool, drops: bool) -> Self {
        let rules = if rules { Self::SENT_RULES } else { 0 };
        let drops = if drops { Self::SENT_DROPS } else { 0 };
        Self(self.0 & !(Self::SENT_RULES | Self::SENT_DROPS) | rules | drops)
    }

    /// `opened`: what this host opens is noted. `heard`: what others open to it.
    #[must_use]
    pub const fn noting(self, opened: bool, heard: bool) -> Self {
        let opened = if opened { Self::NOTES } else { 0 };
        let heard = if heard { Self::HEARS } else { 0 };
        Self(self.0 & !(Self::NOTES | Self::HEARS) | opened | heard)
    }

    /// The same, whose rules name sets or do not.
    #[must_use]
    pub const fn asking_sets(self, asks: bool) -> Self {
        Self(self.0 & !Self::ASKS_SETS | if asks { Self::ASKS_SETS } else { 0 })
    }

    /// The same, with services of which answers are rewritten, or without.
    #[must_use]
    pub const fn answering(self, nat: bool, pool: bool) -> Self {
        let nat = if nat { Self::NAT } else { 0 };
        let pool = if pool { Self::POOL } else { 0 };
        Self(self.0 & !(Self::NAT | Self::POOL) | nat | pool)
    }

    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self(word)
    }

    pub const fn word(self) -> u64 {
        self.0
    }

    /// The same until `deadline`, and `before` from then on. `deadline` is not 0.
    #[must_use]
    pub const fn until(self, deadline: u32, before: Self) -> Self {
        let before = (before.0 & Self::FLAGS) << Self::BEFORE_SHIFT;
        Self(self.0 & Self::FLAGS | before | (deadline as u64) << Self::DEADLINE_SHIFT)
    }

    /// The deadline of a change that waits for confirmation; 0: none waits.
    #[inline(always)]
    pub const fn deadline(self) -> u32 {
        (self.0 >> Self::DEADLINE_SHIFT) as u32
    }

    /// What the word means at this second.
    #[inline(always)]
    #[must_use]
    pub const fn at(self, now: u32) -> Self {
        let is_over = self.deadline() != 0 && now >= self.deadline();
        // One shift for both, so that the verifier knows as little of one as of the other.
        Self(self.0 >> if is_over { Self::BEFORE_SHIFT } else { 0 } & Self::FLAGS)
    }

    /// What was in force before the change that waits.
    #[inline(always)]
    #[must_use]
    pub const fn before(self) -> Self {
        Self(self.0 >> Self::BEFORE_SHIFT & Self::FLAGS)
    }

    /// The change without its end.
    #[inline(always)]
    #[must_use]
    pub const fn confirmed(self) -> Self {
        Self(self.0 & Self::FLAGS)
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

    /// Whether what others open to this host is noted, for a default that drops what it sends.
    #[inline(always)]
    pub const fn hears(self) -> bool {
        self.0 & Self::HEARS != 0
    }

    /// Whether packets are asked for their destination; what this host sends always is for its source.
    #[inline(always)]
    pub const fn narrows(self, way: Way) -> bool {
        matches!(way, Way::Out) || self.0 & Self::NARROWS != 0
    }

    /// The same, where tunnels are taken off, or not.
    #[must_use]
    pub const fn untunnelling(self, tunnels: bool) -> Self {
        Self(self.0 & !Self::TUNNELS | if tunnels { Self::TUNNELS } else { 0 })
    }

    /// Whether tunnels of some balancer are taken off.
    #[inline(always)]
    pub const fn has_tunnels(self) -> bool {
        self.0 & Self::TUNNELS != 0
    }

    /// The same, with services or without.
    #[must_use]
    pub const fn serving(self, serves: bool) -> Self {
        Self(self.0 & !Self::SERVES | if serves { Self::SERVES } else { 0 })
    }

    /// Whether there are services.
    #[inline(always)]
    pub const fn serves(self) -> bool {
        self.0 & Self::SERVES != 0
    }

    /// Whether backends' answers are rewritten.
    #[inline(always)]
    pub const fn rewrites_answers(self) -> bool {
        self.0 & (Self::NAT | Self::POOL) != 0
    }

    /// Whether those are that go to a client's own address.
    #[inline(always)]
    pub const fn has_nat(self) -> bool {
        self.0 & Self::NAT != 0
    }

    /// Whether those are that go to an address of this host's.
    #[inline(always)]
    pub const fn has_pool(self) -> bool {
        self.0 & Self::POOL != 0
    }

    /// Whether packets are asked for the sets that their addresses are in.
    #[inline(always)]
    pub const fn asks_sets(self) -> bool {
        self.0 & Self::ASKS_SETS != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_ends_at_its_deadline_and_not_before() {
        for (bank, drops, narrows) in [(0, false, true), (1, true, false), (1, false, false)] {
            let before = Generation::new(bank, drops, narrows);
            let change = Generation::new(1 - bank, !drops, !narrows);
            for deadline in [1, 7, u32::MAX] {
                let word = change.until(deadline, before);
                assert_eq!((word.deadline(), word.at(deadline - 1)), (deadline, change));
                assert_eq!((word.at(deadline), word.at(u32::MAX)), (before, before));
                assert_eq!((word.before(), word.confirmed()), (before, change));
                assert_eq!((word.bank(), word.drops()), (1 - bank, !drops), "the word itself is the change's");
            }
        }
    }

    #[test]
    fn without_a_deadline_time_changes_nothing() {
        let word = Generation::new(1, true, false);
        assert_eq!((word.deadline(), word.at(0), word.at(u32::MAX)), (0, word, word));
    }

    #[test]
    fn a_change_of_what_waits_forgets_the_end_before() {
        let first = Generation::new(0, true, true);
        let second = Generation::new(1, false, false).until(9, first);
        let third = Generation::new(0, false, true).until(20, second.at(3));
        assert_eq!((third.at(19), third.at(20)), (Generation::new(0, false, true), Generation::new(1, false, false)));
    }
}
