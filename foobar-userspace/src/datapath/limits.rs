//! The limits of rules as packets ask them: rates and buckets by rule, and a table of buckets of sources.

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher as _,
    sync::atomic::{AtomicU64, Ordering},
};

use anyhow::{Context as _, Result};
use foobar_common::{
    layout::{BUCKETS_FIRST, LIMITED_WAYS, SET_WORDS, TERMS_BUCKET, TERMS_LIMIT, TERMS_OF_RULE, WAY_WORDS},
    limit::{Limit, Way, moment, rank, set_of, tag},
    terms::{Demands, Terms},
};
use rustix::time::{ClockId, clock_gettime};

use super::{Datapath, tables::Tables};

impl Datapath {
    /// Says how many packets a rule lets in, from this moment on. Another limit than before begins with full buckets.
    pub fn set_limit(&mut self, rule: u32, limit: Limit) -> Result<()> {
        self.tables.set_limit(rule, limit)
    }
}

impl Tables {
    fn terms_of(&self, rule: u32) -> Result<&[AtomicU64; TERMS_OF_RULE]> {
        let rules = self.terms.words().as_chunks::<TERMS_OF_RULE>().0;
        rules.get(rule as usize).with_context(|| format!("no rule has the id {rule}"))
    }

    fn set_limit(&self, rule: u32, limit: Limit) -> Result<()> {
        let terms = self.terms_of(rule)?;
        let places = &terms[TERMS_LIMIT..TERMS_BUCKET];
        let is_same = places.iter().zip(limit.words()).all(|(place, word)| place.load(Ordering::Relaxed) == word);
        if is_same {
            return Ok(());
        }
        for (place, word) in places.iter().zip(limit.words()) {
            place.store(word, Ordering::Relaxed);
        }
        terms[TERMS_BUCKET].store(0, Ordering::Release);
        Ok(())
    }

    pub(super) fn fill_bucket(&self, rule: u32) -> Result<()> {
        self.terms_of(rule)?[TERMS_BUCKET].store(0, Ordering::Relaxed);
        Ok(())
    }

    /// Gives a new table of sources its seeds, so that nobody can choose which of them share a set.
    pub(super) fn seed_buckets(&self) {
        for seed in self.buckets.words()[..BUCKETS_FIRST].iter().filter(|seed| seed.load(Ordering::Relaxed) == 0) {
            seed.store(RandomState::new().hash_one(0) | 1, Ordering::Relaxed);
        }
    }

    /// Whether a packet of this source would be within a rule's limit. Takes nothing.
    pub(super) fn would_be_within(&self, rule: u32, source: u64) -> Result<bool> {
        let terms = self.terms_of(rule)?;
        let [word, interval, window, bucket] = terms.each_ref().map(|word| word.load(Ordering::Relaxed));
        let limit = Limit::from_words([interval, window]);
        let demands = Demands::from_word(Terms::from_word(word).demands());
        let bucket = if demands.is_per_source() { self.bucket_of(rule, limit, source) } else { bucket };
        let now = clock_gettime(ClockId::Monotonic);
        let now = now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs();
        Ok(limit.take(bucket, moment(now)).is_some())
    }

    fn bucket_of(&self, rule: u32, limit: Limit, source: u64) -> u64 {
        let words = self.buckets.words();
        let load = |index: usize| words[index].load(Ordering::Relaxed);
        let mine = tag(rule, limit, source, [load(0), load(1)]);
        let set = BUCKETS_FIRST + set_of(mine) * SET_WORDS;
        let at = |index: usize| set + index * WAY_WORDS;
        let ranks = (0..LIMITED_WAYS).map(|index| rank(index, load(at(index)), load(at(index) + 1), mine, |word| word));
        let way = Way::from_rank(ranks.min().unwrap_or_default());
        load(at(way.index) + 1)
    }
}
