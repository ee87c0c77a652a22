//! The arithmetic of buckets, and a table of them under floods.

use std::collections::HashMap;

use super::*;

const MILLISECOND: u64 = 1_000_000;

/// How many of `offered` packets pass that come evenly within so many milliseconds.
fn passed(limit: Limit, offered: u64, milliseconds: u64) -> u64 {
    let mut bucket = 0;
    let start = 5_000 * MILLISECOND;
    (0..offered)
        .filter(|number| {
            let now = moment(start + number * milliseconds * MILLISECOND / offered);
            limit.take(bucket, now).inspect(|after| bucket = *after).is_some()
        })
        .count() as u64
}

#[test]
fn a_rate_is_kept_exactly_whatever_is_offered() {
    assert_eq!(passed(Limit::new(1_000, 1, 1), 20_000 * 5, 5_000), 5_000);
    assert_eq!(passed(Limit::new(1_000, 1, 1_000), 20_000 * 5, 5_000), 5_999, "and the burst, once");
    assert_eq!(passed(Limit::new(3, 1, 1), 1_000, 10_000), 30);
    assert_eq!(passed(Limit::new(5, 60, 2), 1_000, 120_000), 11, "ten in two minutes, and one of the burst");
    assert_eq!(passed(Limit::new(1_000, 1, 1), 500, 1_000), 500, "what is below the rate passes");
}

#[test]
fn a_burst_passes_at_once_and_not_one_more() {
    for burst in [1, 2, 7, 400] {
        let (limit, now) = (Limit::new(10, 1, burst), moment(9));
        let mut bucket = 0;
        for number in 0..burst {
            bucket = limit.take(bucket, now).unwrap_or_else(|| panic!("{number} of {burst}"));
        }
        assert_eq!(limit.take(bucket, now), None);
        let later = now + moment(100 * MILLISECOND);
        assert_eq!(limit.take(bucket, later - 1), None, "an interval has not passed");
        assert!(limit.take(bucket, later).is_some());
    }
}

#[test]
fn nothing_overflows_and_a_clock_that_is_behind_gives_nothing_away() {
    let slow = Limit::new(1, 60, u32::MAX);
    let century = moment(100 * 365 * 86_400 * 1_000_000_000 / 3);
    let after = slow.take(century, century).expect("the burst");
    assert!(slow.take(after, century).is_some());
    let fast = Limit::new(u32::MAX, 1, u32::MAX);
    assert!(fast.take(0, 1).is_some());
    let limit = Limit::new(10, 1, 2);
    let bucket = limit.take(limit.take(0, 1_000).expect("one"), 1_000).expect("two");
    assert_eq!(limit.take(bucket, 990), None, "another CPU's clock");
    assert_eq!(Limit::from_words(limit.words()), limit);
}

/// A table as the kernel has it.
struct Table {
    limit: Limit,
    slots: HashMap<usize, [[u64; 2]; LIMITED_WAYS]>,
}

impl Table {
    fn new(limit: Limit) -> Self {
        Self { limit, slots: HashMap::new() }
    }

    fn passes(&mut self, source: u64, now: u64) -> bool {
        let tag = tag(7, self.limit, source, [0x1234_5678_9abc_def0, 42]);
        let set = self.slots.entry(set_of(tag)).or_insert([[0; 2]; LIMITED_WAYS]);
        let ranks =
            set.iter().enumerate().map(|(index, [other, bucket])| rank(index, *other, *bucket, tag, |word| word));
        let way = Way::from_rank(ranks.min().expect("a set has ways"));
        let Some(after) = self.limit.take(set[way.index][1], now) else { return false };
        set[way.index] = [tag, after];
        true
    }
}

#[test]
fn many_sources_relieve_nobody_and_throttle_nobody_new() {
    let mut table = Table::new(Limit::new(10, 60, 10));
    let now = |packet: u64| moment(7_000_000_000 + packet * 1_000);
    let heavy = (0..1_000).filter(|packet| table.passes(1, now(*packet))).count();
    assert_eq!(heavy, 10, "its burst");
    let refused = (0..200_000).filter(|source| !table.passes(1_000 + source, now(1_000 + source))).count();
    assert_eq!(refused, 0, "each sends one packet");
    assert!(!table.passes(1, now(201_000)), "it is limited as before");
    assert!(table.passes(2, now(201_001)), "who was silent is let in");
    let slots: usize = table.slots.len();
    assert!(slots <= LIMITED_SETS);
}

#[test]
fn a_full_set_gives_nobody_more_than_his_burst() {
    let mut table = Table::new(Limit::new(1, 60, 5));
    let start = moment(7_000_000_000);
    // Far more sources than there is room for, all at once: the heavy one may be pushed out, and still gains nothing.
    let mut heavy = 0;
    for source in 0..3_000_000u64 {
        table.passes(1_000 + source, start);
        heavy += u64::from(source % 1_000 == 0 && table.passes(1, start));
    }
    assert!(heavy <= 5, "{heavy} of a burst of 5");
}

#[test]
fn sources_of_one_rule_are_told_apart_and_families_too() {
    let limit = Limit::new(10, 1, 10);
    let tags: std::collections::HashSet<_> = (0..100_000).map(|source| tag(3, limit, source, [1, 2])).collect();
    assert_eq!(tags.len(), 100_000);
    assert_ne!(tag(3, limit, 9, [1, 2]), tag(4, limit, 9, [1, 2]));
    assert_ne!(tag(3, limit, 9, [1, 2]), tag(3, Limit::new(11, 1, 10), 9, [1, 2]));
}

#[test]
fn the_least_rank_is_ones_own_and_else_the_bucket_that_is_full_soonest() {
    let rank = |index, tag, bucket| rank(index, tag, bucket, 7, |word| word);
    let of_others = [rank(1, 8, 900), rank(2, 0, 0), rank(0, u64::MAX, 1 << 62), rank(3, 7 | 1 << 63, 901)];
    assert!(of_others.iter().all(|other| rank(3, 7, 1 << 62) < *other && !Way::from_rank(*other).own));
    assert!(of_others[1] < of_others[0] && of_others[0] < of_others[2]);
    for (one, other) in [(0, 0), (1, 2), (2, 1), (i64::MAX as u64, 0), (0, i64::MAX as u64)] {
        assert_eq!(least(one, other, |word| word), one.min(other));
    }
}
