//! Whose the ports are that `snat` gives: read by who explains, and given back when their flows are over.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use anyhow::{Context as _, Result};
use aya::maps::MapData;
use foobar_common::{
    layout::{MAX_MAPPINGS, TAGS_WORDS, map},
    snat::{LEASE_WORDS, Lease, MAPPING_WORDS, MAX_POOL, Mapping, PLACES},
};

use super::{Datapath, mapped::Mapped, pins::Pins};

/// Tags in a word.
const LANES: usize = 4;

/// The memory of the three tables, which packets write.
pub struct Places {
    tags: Mapped,
    leases: Mapped,
    mappings: Mapped,
}

impl Places {
    pub fn open(pins: &Pins) -> Result<Self> {
        let open = |name: &str, words: usize| {
            let map = MapData::from_pin(pins.map(name)).with_context(|| format!("opening {name}"))?;
            Mapped::over(&map, words * 8).with_context(|| format!("mapping {name}"))
        };
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

    /// Lets others have a place whose lease is still the one that was read, and whose flow does not speak meanwhile.
    fn give_back(&self, place: usize, read: Lease) {
        let (Some([_, heard]), Some(tags)) = (self.words(place), self.tags.words().get(place / LANES)) else { return };
        let lane = 0xffff << (16 * (place % LANES));
        let [_, before] = read.to_words();
        if heard.compare_exchange(before, 0, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return;
        }
        let tag = tags.fetch_and(!lane, Ordering::AcqRel) & lane;
        if heard.load(Ordering::Acquire) != 0 {
            // A packet found the place by its tag and keeps it, unless another flow has it already.
            let put_back = |tags: u64| (tags & lane == 0).then_some(tags | tag);
            let _ = tags.fetch_update(Ordering::AcqRel, Ordering::Relaxed, put_back);
        }
    }

    /// Flows that have a port, by their place.
    fn taken(&self) -> impl Iterator<Item = (usize, Lease)> + '_ {
        let words = (0..TAGS_WORDS).filter(|word| self.tags(*word) != 0);
        let places = words.flat_map(|word| {
            let tags = self.tags(word);
            (0..LANES).filter(move |lane| tags >> (16 * lane) & 0xffff != 0).map(move |lane| word * LANES + lane)
        });
        places.filter_map(|place| self.lease(place).map(|lease| (place, lease)))
    }
}

impl Datapath {
    /// Gives ports back of flows that are over, where `life` says how many seconds a silent flow of a backend is kept, and
    /// `None` that the backend is dead. Returns how many flows each backend has.
    pub fn sweep_places(&self, now: u32, life: impl Fn(u32) -> Option<u32>) -> BTreeMap<u32, u64> {
        let mut flows = BTreeMap::new();
        for (place, lease) in self.places.taken() {
            // One that was just claimed is written next.
            if !lease.is_taken() {
                continue;
            }
            if lease.is_over(now, life(lease.backend).unwrap_or(0), false) {
                self.places.give_back(place, lease);
            } else {
                *flows.entry(lease.backend).or_default() += 1;
            }
        }
        flows
    }

    /// Ports that each address of the pool has given, by its place.
    pub fn ports_taken(&self) -> [u64; MAX_POOL] {
        self.ports_taken_by(|_| true)
    }

    /// The same to flows of some backends, by their ids.
    pub fn ports_taken_by(&self, is_its: impl Fn(u32) -> bool) -> [u64; MAX_POOL] {
        let mut taken = [0; MAX_POOL];
        for (place, _) in self.places.taken().filter(|(_, lease)| is_its(lease.backend)) {
            taken[place / PLACES] += 1;
        }
        taken
    }

    /// Gives every flow's port of one place of the pool back, before another address takes it.
    pub fn clear_places(&self, pool: usize) {
        let taken = self.places.taken().filter(|(place, _)| place / PLACES == pool);
        taken.for_each(|(place, lease)| self.places.give_back(place, lease));
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
