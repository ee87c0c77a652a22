//! What a rule asks beyond its match, and which rule decides where some of those that match do not hold.
//!
//! A rule's terms stand by its id outside the banks, so that they change at once. Only a *conditional* decision asks for
//! them: its link names the rule, and what decides the same class of packets where that rule's time is over.

use crate::{decision::Decision, layout::MAX_HOPS, tables::Tables};

/// The first word of a rule's terms.
///
/// | bits | |
/// |---|---|
/// | 32–63 | what the rule demands of packets while it holds; 0: nothing |
/// | 0–31 | the second of the monotonic clock at which its time is over; 0: never |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms(u64);

impl Terms {
    /// The rule holds for ever and demands nothing.
    pub const NONE: Self = Self(0);

    /// The rule holds before this second.
    #[must_use]
    pub const fn until(self, second: u32) -> Self {
        Self(self.0 & !0xffff_ffff | second as u64)
    }

    /// The rule demands this while it holds.
    #[must_use]
    pub const fn demanding(self, demands: Demands) -> Self {
        Self(self.0 & 0xffff_ffff | (demands.0 as u64) << 32)
    }

    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self(word)
    }

    pub const fn word(self) -> u64 {
        self.0
    }

    /// Whether the rule's time is not over.
    #[inline(always)]
    pub const fn holds(self, now: u32) -> bool {
        let end = self.0 as u32;
        end == 0 || now < end
    }

    /// What the rule demands while it holds: the upper half of its word.
    #[inline(always)]
    pub const fn demands(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// What a rule demands of the packets that it decides.
///
/// | bits | |
/// |---|---|
/// | 0 | 1: they are logged |
/// | 1–2 | 1: a limit for all of them together, 2: one for each source |
/// | 3 | 1: the limit counts segments that open a TCP connection, and no others |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demands(u32);

impl Demands {
    pub const LOG: Self = Self(1);
    pub const LIMIT: Self = Self(2);
    pub const LIMIT_PER_SOURCE: Self = Self(4);
    pub const CONNECTIONS: Self = Self(8);

    #[inline(always)]
    pub const fn from_word(word: u32) -> Self {
        Self(word)
    }

    pub const fn word(self) -> u32 {
        self.0
    }

    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[inline(always)]
    pub const fn logs(self) -> bool {
        self.0 & Self::LOG.0 != 0
    }

    #[inline(always)]
    pub const fn limits(self) -> bool {
        self.0 & (Self::LIMIT.0 | Self::LIMIT_PER_SOURCE.0) != 0
    }

    #[inline(always)]
    pub const fn is_per_source(self) -> bool {
        self.0 & Self::LIMIT_PER_SOURCE.0 != 0
    }

    #[inline(always)]
    pub const fn counts_connections(self) -> bool {
        self.0 & Self::CONNECTIONS.0 != 0
    }
}

/// What a conditional decision stands for: the rule's own, and the one that follows it in the same class of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Never conditional.
    pub rule: Decision,
    /// What decides where the rule's time is over; may be conditional.
    pub next: Decision,
}

impl Link {
    pub const NONE: Self = Self { rule: Decision::NONE, next: Decision::NONE };

    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self { rule: Decision::from_word(word as u32), next: Decision::from_word((word >> 32) as u32) }
    }

    pub const fn word(self) -> u64 {
        self.rule.word() as u64 | (self.next.word() as u64) << 32
    }
}

/// The first rules that match a packet: by its source alone, by its target alone, by both.
#[derive(Clone, Copy, Debug)]
pub struct Candidates {
    pub source: Decision,
    pub target: Decision,
    pub pair: Decision,
}

impl Candidates {
    #[inline(always)]
    pub const fn first(self) -> Decision {
        self.source.first(self.target).first(self.pair)
    }

    /// The same, with `next` where `first` was.
    #[inline(always)]
    const fn follow(self, first: Decision, next: Decision) -> Self {
        // A rule stands in one of them alone.
        if first.word() == self.source.word() {
            Self { source: next, ..self }
        } else if first.word() == self.target.word() {
            Self { target: next, ..self }
        } else {
            Self { pair: next, ..self }
        }
    }
}

/// A decision that is not conditional any more, and what its rule demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    pub decision: Decision,
    pub demands: u32,
}

impl Settled {
    /// A rule that demands nothing.
    #[inline(always)]
    pub const fn plain(decision: Decision) -> Self {
        Self { decision, demands: 0 }
    }

    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self { decision: Decision::from_word(word as u32), demands: (word >> 32) as u32 }
    }

    #[inline(always)]
    pub const fn word(self) -> u64 {
        self.decision.word() as u64 | (self.demands as u64) << 32
    }

    /// The one whose rule stands first.
    #[inline(always)]
    #[must_use]
    pub const fn first(self, other: Self) -> Self {
        if other.decision.word() < self.decision.word() { other } else { self }
    }
}

/// The first candidate that holds.
///
/// The planner makes no chain of links on which a packet would meet more than [`MAX_HOPS`] rules whose time is over.
#[inline(always)]
pub fn settle<T: Tables>(bank: usize, mut candidates: Candidates, tables: &T) -> Settled {
    let now = tables.now();
    for _ in 0..=MAX_HOPS {
        let first = candidates.first();
        if !first.is_conditional() {
            return Settled::plain(first);
        }
        let link = tables.link(bank, first.id());
        let terms = tables.terms(link.rule.id());
        if terms.holds(now) {
            return Settled { decision: link.rule, demands: terms.demands() };
        }
        candidates = candidates.follow(first, link.next);
    }
    Settled::plain(Decision::NONE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{HostTables, Image};

    const NONE: Candidates = Candidates { source: Decision::NONE, target: Decision::NONE, pair: Decision::NONE };

    /// A rule's decision, its id one above its place.
    fn rule(place: u32) -> Decision {
        Decision::new(place, place.is_multiple_of(2), place + 1)
    }

    /// Rules at these places behind each other, each conditional, then `last`: the first one's decision.
    fn chain(image: &mut Image, places: &[u32], last: Decision) -> Decision {
        places.iter().rev().fold(last, |next, place| {
            image.links.push(Link { rule: rule(*place), next });
            rule(*place).conditional(image.links.len() as u32 - 1)
        })
    }

    #[test]
    fn words_come_back() {
        let link = Link { rule: rule(7), next: rule(9).conditional(16_383) };
        assert_eq!(Link::from_word(link.word()), link);
        let settled = Settled { decision: rule(3), demands: 0x8000_0001 };
        assert_eq!(Settled::from_word(settled.word()), settled);
        let terms = Terms::from_word(5 << 32).until(90);
        assert_eq!((terms.demands(), terms.until(91).demands()), (5, 5));
        assert!(terms.holds(89) && !terms.holds(90) && Terms::NONE.holds(u32::MAX));
    }

    #[test]
    fn the_first_rule_whose_time_is_not_over_decides_whichever_side_it_is_of() {
        let mut image = Image::default();
        let candidates = Candidates {
            source: chain(&mut image, &[1, 5], Decision::NONE),
            target: chain(&mut image, &[2], rule(4)),
            pair: chain(&mut image, &[0, 3], Decision::NONE),
        };
        let mut tables = HostTables { image, now: 100, ..HostTables::default() };
        for (over, decides) in [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4)] {
            if over > 0 {
                tables.terms.insert(over, Terms::NONE.until(100));
            }
            assert_eq!(settle(0, candidates, &tables).decision, rule(decides), "{over} are over");
        }
        tables.terms.insert(1, Terms::from_word(6 << 32).until(101));
        assert_eq!(settle(0, candidates, &tables), Settled { decision: rule(0), demands: 6 });
    }

    #[test]
    fn what_only_rules_whose_time_is_over_decide_is_undecided() {
        let mut image = Image::default();
        let places: Vec<_> = (0..MAX_HOPS as u32).collect();
        let source = chain(&mut image, &places, Decision::NONE);
        let terms = places.iter().map(|place| (place + 1, Terms::NONE.until(7))).collect();
        let tables = HostTables { image, terms, now: 7, ..HostTables::default() };
        assert_eq!(settle(0, Candidates { source, ..NONE }, &tables), Settled::plain(Decision::NONE));
        let behind = rule(30);
        assert_eq!(settle(0, Candidates { source, pair: behind, ..NONE }, &tables).decision, behind);
    }
}
