//! Whose the ports are that `snat` gives: read by who explains, and given back when their flows are over.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use anyhow::Result;
use foobar_common::{
    layout::{MAX_MAPPINGS, TAGS_WORDS, map},
    snat::{LEASE_WORDS, Lease, MAPPING_WORDS, MAX_POOL, Mapping, PLACES},
};

use super::{Datapath, mapped::Mapped, pins::Pins};

/// Tags in a word.
const LANES: usize = 4;
const LANE: u64 = 0xffff;

/// A place that has a tag.
struct Taken {
    place: usize,
    tag: u64,
    lease: Lease,
}

/// The memory of the three tables, which packets write.
pub struct Places {
    tags: Mapped,
    leases: Mapped,
    mappings: Mapped,
}

impl Places {
    pub fn open(pins: &Pins) -> Result<Self> {
        let open = |name, words| Mapped::pinned(pins, name, words);
        Ok(Self {
            tags: open(map::TAGS, TAGS_WORDS)?,
            leases: open(map::LEASES, MAX_MAPPINGS * LEASE_WORDS)?,
            mappings: open(map::MAPPINGS, MAX_MAPPINGS * MAPPING_WORDS)?,
        })
    }

    pub fn tags(&self, word: usize) -> u64 {
        self.tags.words().get(word).map_or(u64::MAX, |word| word.load(Ordering::Relaxed))
    }

    fn words(&self, place: usize) -> Option<&[AtomicU64; LEASE_WORDS]> {
        self.leases.words().as_chunks().0.get(place)
    }

    pub fn lease(&self, place: usize) -> Option<Lease> {
        Some(Lease::from_words(self.words(place)?.each_ref().map(|word| word.load(Ordering::Relaxed))))
    }

    pub fn mapping(&self, place: usize) -> Option<Mapping> {
        let words: &[AtomicU64; MAPPING_WORDS] = self.mappings.words().as_chunks().0.get(place)?;
        Some(Mapping::from_words(words.each_ref().map(|word| word.load(Ordering::Relaxed))))
    }

    /// Lets others have a place whose tag and lease are still those that were read, and whose flow does not speak
    /// meanwhile.
    fn give_back(&self, Taken { place, tag, lease }: Taken) {
        let (Some([_, heard]), Some(tags)) = (self.words(place), self.tags.words().get(place / LANES)) else { return };
        let shift = 16 * (place % LANES);
        let exchange = |from: u64, to: u64| {
            let exchanged = |tags: u64| (tags >> shift & LANE == from).then_some(tags & !(LANE << shift) | to << shift);
            tags.fetch_update(Ordering::AcqRel, Ordering::Relaxed, exchanged).is_ok()
        };
        // Without a tag nobody finds it, whatever becomes of this process next.
        if !exchange(tag, 0) {
            return;
        }
        let [_, before] = lease.to_words();
        let is_over = heard.compare_exchange(before, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if !is_over || heard.load(Ordering::Acquire) != 0 {
            // A packet found the place by its tag and keeps it, unless another flow has it already.
            exchange(0, tag);
        }
    }

    /// Flows that have a port.
    fn taken(&self) -> impl Iterator<Item = Taken> + '_ {
        let lanes = (0..TAGS_WORDS).filter(|word| self.tags(*word) != 0).flat_map(|word| {
            let tags = self.tags(word);
            (0..LANES).map(move |lane| (word * LANES + lane, tags >> (16 * lane) & LANE))
        });
        let taken = |(place, tag)| Some(Taken { place, tag, lease: self.lease(place)? });
        lanes.filter(|(_, tag)| *tag != 0).filter_map(taken)
    }
}

impl Datapath {
    /// Gives ports back of flows that are over, where `life` says how many seconds a silent flow of a backend is kept,
    /// and `None` that the backend is dead. Returns how many flows each backend has.
    pub fn sweep_places(&mut self, now: u32, life: impl Fn(u32) -> Option<u32>) -> Result<BTreeMap<u32, u64>> {
        let (mut flows, mut unheld) = (BTreeMap::new(), vec![]);
        for taken in self.places.taken() {
            let lease = taken.lease;
            if !lease.is_taken() {
                unheld.push(taken);
            } else if lease.is_over(now, life(lease.backend).unwrap_or(0), false) {
                self.places.give_back(taken);
            } else {
                *flows.entry(lease.backend).or_default() += 1;
            }
        }
        if !unheld.is_empty() {
            // One that was just claimed is written by then.
            self.wait_for_packets()?;
            for taken in unheld {
                self.places.give_back(taken);
            }
        }
        Ok(flows)
    }

    /// Ports that each address of the pool has given, by its place.
    pub fn ports_taken(&self) -> [u64; MAX_POOL] {
        self.ports_taken_by(|_| true)
    }

    /// The same to flows of some backends, by their ids.
    pub fn ports_taken_by(&self, is_its: impl Fn(u32) -> bool) -> [u64; MAX_POOL] {
        let mut taken = [0; MAX_POOL];
        for Taken { place, .. } in self.places.taken().filter(|taken| is_its(taken.lease.backend)) {
            taken[place / PLACES] += 1;
        }
        taken
    }

    /// Gives every flow's port of one place of the pool back, before another address takes it.
    pub fn clear_places(&self, pool: usize) {
        let taken = self.places.taken().filter(|taken| taken.place / PLACES == pool);
        taken.for_each(|taken| self.places.give_back(taken));
    }

    /// Says which address stands at a place of the pool. Its ports are all free then.
    pub fn set_pool_address(&self, pool: usize, address: [u64; 2]) {
        for (word, value) in self.tables.pool()[pool].iter().zip(address) {
            word.store(value, Ordering::Relaxed);
        }
    }

    /// The addresses of the pool, by place; all zero: none.
    pub fn pool_addresses(&self) -> [[u64; 2]; MAX_POOL] {
        std::array::from_fn(|place| {
            let [high, low] = &self.tables.pool()[place];
            [high.load(Ordering::Relaxed), low.load(Ordering::Relaxed)]
        })
    }
}
