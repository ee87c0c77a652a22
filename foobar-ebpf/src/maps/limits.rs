//! The buckets of rules with a limit: a rule's own in its terms, those of sources in sets of a table.
//!
//! Several CPUs take from one bucket: each exchanges the word that it read, and tries again where another was faster.

use aya_ebpf::{helpers::generated::bpf_ktime_get_ns, macros::map, maps::PerCpuArray};
use foobar_common::{
    layout::{
        BUCKETS_FIRST, BUCKETS_WORDS, LIMITED_WAYS, MAX_RULES, SET_WORDS, TALLY_WORDS, TERMS_BUCKET, TERMS_OF_RULE,
        WAY_WORDS,
    },
    limit::{Limit, Way, least, moment, rank, set_of, tag},
    terms::{Demands, Terms},
};

use super::{TERMS, counts::add};
use crate::{
    hide::hide,
    table::{Record, Table},
};

#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.BUCKETS")]
static BUCKETS: Table<BUCKETS_WORDS> = Table::new();
#[map]
static LIMITED: PerCpuArray<[u64; TALLY_WORDS]> = PerCpuArray::with_max_entries(MAX_RULES, 0);

/// Who finds no peace after so many is over the limit: others took meanwhile.
const TRIES: usize = 4;

#[inline(always)]
pub fn count_limited(rule: u32, len: usize) {
    add(&LIMITED, rule, [1, len as u64]);
}

/// A function of its own: the verifier looks at it once, and only packets of rules with a limit call it.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn within_limit_apart(rule: u32, source: u64) -> u64 {
    let Some(terms) = TERMS.record::<TERMS_OF_RULE>(rule as usize * TERMS_OF_RULE) else { return 0 };
    let limit = Limit::from_words([terms.word::<1>(), terms.word::<2>()]);
    // SAFETY: a helper without arguments.
    let now = moment(unsafe { bpf_ktime_get_ns() });
    let demands = Demands::from_word(Terms::from_word(terms.word::<0>()).demands());
    let is_within =
        if demands.is_per_source() { of_source(limit, rule, source, now) } else { of_rule(limit, terms, now) };
    u64::from(is_within)
}

#[inline(always)]
fn of_rule(limit: Limit, terms: Record<TERMS_OF_RULE>, now: u64) -> bool {
    for _ in 0..TRIES {
        let bucket = terms.word::<TERMS_BUCKET>();
        let Some(after) = limit.take(bucket, now) else { return false };
        if terms.swap(TERMS_BUCKET, bucket, after) {
            return true;
        }
    }
    false
}

#[inline(always)]
fn of_source(limit: Limit, rule: u32, source: u64, now: u64) -> bool {
    let Some(seeds) = BUCKETS.record::<BUCKETS_FIRST>(0) else { return false };
    let mine = tag(rule, limit, source, [seeds.word::<0>(), seeds.word::<1>()]);
    let set = BUCKETS_FIRST + set_of(mine) * SET_WORDS;
    for _ in 0..TRIES {
        let way = Way::from_rank(least_rank_apart(set as u64, mine));
        let Some(place) = BUCKETS.record::<WAY_WORDS>(set + way.index * WAY_WORDS) else { return false };
        let bucket = place.word::<1>();
        let Some(after) = limit.take(bucket, now) else { return false };
        if place.swap(1, bucket, after) {
            if !way.own {
                place.put(0, mine);
            }
            return true;
        }
    }
    false
}

/// The least rank of the ways of the set at this word. A function of its own: of what it returns, the verifier does not
/// ask how it came about.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn least_rank_apart(set: u64, mine: u64) -> u64 {
    let Some(set) = BUCKETS.record::<SET_WORDS>(set as usize) else { return 0 };
    let hidden = |word| hide(word as usize) as u64;
    let mut found = i64::MAX as u64;
    for index in 0..LIMITED_WAYS {
        let rank = rank(index, set.at(index * WAY_WORDS), set.at(index * WAY_WORDS + 1), mine, hidden);
        found = least(found, rank, hidden);
    }
    found
}
