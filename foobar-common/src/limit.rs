//! How many packets a rule lets in: a bucket that fills with time, for the whole rule or for each source.
//!
//! A bucket is one word, the moment at which it will be full again (the generic cell rate algorithm, ITU-T I.371): taking
//! from it moves that moment. Sources share a table of fixed size. Each has the ways of one set to choose from, and takes
//! over the one that is full soonest, with its moment: nobody gains by pushing another out.

use crate::{
    address::Address,
    flow::Flow,
    hash::mix,
    layout::{LIMITED_SETS, LIMITED_WAYS},
};

/// Moments count sixteenths of a nanosecond: exact to a millionth at a million packets a second, and good for 36 years.
const SHIFT: u32 = 4;
const SECOND: u64 = 1_000_000_000 << SHIFT;
/// So that no sum of a moment and a window overflows.
const LONGEST: u64 = 1 << 62;

/// The moment of a nanosecond of the monotonic clock.
#[inline(always)]
pub const fn moment(nanoseconds: u64) -> u64 {
    nanoseconds << SHIFT
}

/// A rate and a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Between two packets.
    interval: u64,
    /// In which an empty bucket fills.
    window: u64,
}

impl Limit {
    /// `count` packets in so many seconds, and up to `burst` at once. None of them is 0.
    pub fn new(count: u32, seconds: u64, burst: u32) -> Self {
        let interval = (seconds.saturating_mul(SECOND) / u64::from(count.max(1))).clamp(1, LONGEST);
        Self { interval, window: interval.saturating_mul(u64::from(burst.max(1))).min(LONGEST) }
    }

    #[inline(always)]
    pub const fn from_words([interval, window]: [u64; 2]) -> Self {
        Self { interval, window }
    }

    pub const fn words(self) -> [u64; 2] {
        [self.interval, self.window]
    }

    /// The bucket after one packet more; `None`: the packet is over the limit.
    #[inline(always)]
    pub const fn take(self, bucket: u64, now: u64) -> Option<u64> {
        // One that was full before is full; a CPU whose clock is a little behind takes nothing away.
        let after = (if bucket > now { bucket } else { now }) + self.interval;
        if after - now > self.window { None } else { Some(after) }
    }
}

/// What a limit knows a source by: an IPv4 address, or the first 64 bits of an IPv6 one, since a host has all the others.
#[inline(always)]
pub fn source_word<A: Address>(flow: &Flow<A>) -> u64 {
    let [high, low] = flow.source.words();
    // No source is multicast, so the two families never meet.
    if A::V6 { high } else { low | 0xff << 56 }
}

/// What stands for a rule's source in the table. Sources of one rule are never mistaken for each other; who does not know
/// the seeds cannot aim at another's set.
#[inline(always)]
pub const fn tag(rule: u32, limit: Limit, source: u64, seeds: [u64; 2]) -> u64 {
    // A changed limit begins with full buckets.
    let rule = rule as u64 ^ limit.interval.rotate_left(40) ^ limit.window.rotate_left(20);
    mix(mix(source ^ seeds[0]) ^ mix(rule ^ seeds[1]))
}

/// The set that a tag is in.
#[inline(always)]
pub const fn set_of(tag: u64) -> usize {
    tag as usize & (LIMITED_SETS - 1)
}

/// What speaks for a way of a set: the least of them is the source's own, else the one that is full soonest.
///
/// One word without a branch, since the kernel's verifier looks at each combination of several. `hide` is the identity, of
/// which the compiler knows nothing, or it would make a branch of it. The way's index costs a bucket's lowest bits, a
/// nanosecond.
#[inline(always)]
pub fn rank(index: usize, tag: u64, bucket: u64, mine: u64, hide: impl Fn(u64) -> u64) -> u64 {
    let differs = hide(tag ^ mine);
    let is_others = all_or_none(differs | hide(differs.wrapping_neg()));
    // Above those of one's own.
    let bucket = (bucket & !WAYS_MASK).wrapping_add(LIMITED_WAYS as u64);
    bucket & is_others | index as u64
}

/// The smaller one, likewise. Both are below 2⁶³.
#[inline(always)]
pub fn least(one: u64, other: u64, hide: impl Fn(u64) -> u64) -> u64 {
    one ^ (one ^ other) & hide(all_or_none(other.wrapping_sub(one)))
}

/// All bits, if the highest is set, or none.
#[inline(always)]
const fn all_or_none(word: u64) -> u64 {
    (word.cast_signed() >> 63).cast_unsigned()
}

/// A source's place in its set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    pub index: usize,
    /// It is the source's own, and not one to take over.
    pub own: bool,
}

impl Way {
    /// By the least rank of its set.
    #[inline(always)]
    pub const fn from_rank(rank: u64) -> Self {
        Self { index: (rank & WAYS_MASK) as usize, own: rank < LIMITED_WAYS as u64 }
    }
}

const WAYS_MASK: u64 = LIMITED_WAYS as u64 - 1;

const _: () = assert!(LIMITED_SETS.is_power_of_two() && LIMITED_WAYS.is_power_of_two());

#[cfg(test)]
mod tests;
