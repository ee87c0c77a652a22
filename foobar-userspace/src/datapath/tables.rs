//! The maps that packets read: banks, rings, next hops.

use std::collections::HashMap;

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    maps::{Array, HashMap as HashTable, Map, MapData, PerCpuArray},
};
use foobar_common::{
    find::{BUCKET_WORDS, Bucket, ServiceEntry, ServiceKey},
    generation::Generation,
    image::Image,
    layout::{
        BACKEND_TALLY_WORDS, CHILD, MAX_NODES, NODE_WORDS, PORT_WORDS, RING_SLOTS, RING_WORDS, ROOT_WORDS,
        SERVICE_WORDS, TALLY_WORDS, map, root_index,
    },
    next_hop::NextHop,
    slot::Slot,
};

use super::words;

/// Open handles of every map.
pub struct TableMaps {
    generation: Array<MapData, u64>,
    ports: Array<MapData, [u64; PORT_WORDS]>,
    roots: Array<MapData, [u64; ROOT_WORDS]>,
    nodes: Array<MapData, [u64; NODE_WORDS]>,
    services: Array<MapData, [u64; SERVICE_WORDS]>,
    rings: Array<MapData, [u64; RING_WORDS]>,
    next_hops: Array<MapData, [u64; 2]>,
    pub(super) notes_v4: HashTable<MapData, [u64; 2], [u64; 2]>,
    pub(super) notes_v6: HashTable<MapData, [u64; 5], [u64; 2]>,
    pub(super) outcomes: PerCpuArray<MapData, [u64; TALLY_WORDS]>,
    pub(super) rules: PerCpuArray<MapData, [u64; TALLY_WORDS]>,
    pub(super) backends: PerCpuArray<MapData, [u64; BACKEND_TALLY_WORDS]>,
}

fn take<M: TryFrom<Map>>(ebpf: &mut Ebpf, name: &str) -> Result<M>
where
    M::Error: std::error::Error + Send + Sync + 'static,
{
    let map = ebpf.take_map(name).with_context(|| format!("the object has no map {name}"))?;
    M::try_from(map).with_context(|| format!("the pinned map {name} has another shape"))
}

impl TableMaps {
    pub fn take(ebpf: &mut Ebpf) -> Result<Self> {
        Ok(Self {
            generation: take(ebpf, map::GENERATION)?,
            ports: take(ebpf, map::PORTS)?,
            roots: take(ebpf, map::ROOTS)?,
            nodes: take(ebpf, map::NODES)?,
            services: take(ebpf, map::SERVICES)?,
            rings: take(ebpf, map::RINGS)?,
            next_hops: take(ebpf, map::NEXT_HOPS)?,
            notes_v4: take(ebpf, map::NOTES_V4)?,
            notes_v6: take(ebpf, map::NOTES_V6)?,
            outcomes: take(ebpf, map::OUTCOMES)?,
            rules: take(ebpf, map::RULES)?,
            backends: take(ebpf, map::BACKENDS)?,
        })
    }

    pub fn generation(&self) -> Result<Generation> {
        Ok(Generation::from_word(self.generation.get(&0, 0).context("reading the generation")?))
    }

    pub fn set_generation(&mut self, generation: Generation) -> Result<()> {
        self.generation.set(0, generation.word(), 0).context("publishing the generation")
    }

    /// Writes everything of a bank that no packet reads.
    pub fn write_bank(&mut self, bank: u32, image: &Image) -> Result<()> {
        self.ports.set(bank, words::pack(&image.ports, 0)?, 0).context("writing the port table")?;
        let first_node = bank * MAX_NODES;
        for (v6, root) in [(false, &image.roots[0]), (true, &image.roots[1])] {
            let entries: Vec<_> = root.0.iter().map(|entry| shifted(*entry, first_node)).collect();
            self.roots.set(root_index(bank, v6), words::pack(&entries, 0)?, 0).context("writing a trie's root")?;
        }
        for (index, node) in image.nodes.0.iter().enumerate() {
            let node = node.map(|entry| shifted(entry, first_node));
            self.nodes.set(first_node + index as u32, words::pack(&node, 0)?, 0).context("writing a trie's node")?;
        }
        let services = image.service_table().context("no table holds that many services")?;
        let services: Box<[u64; SERVICE_WORDS]> =
            services.into_boxed_slice().try_into().ok().context("a table's size")?;
        self.services.set(bank, services, 0).context("writing the services")
    }

    /// Rings of the services in `bank`.
    pub fn rings_of_bank(&self, bank: u32) -> Result<HashMap<ServiceKey, u32>> {
        let words = self.services.get(&bank, 0).context("reading the services")?;
        let buckets = words[1..].as_chunks::<BUCKET_WORDS>().0.iter();
        let taken = buckets.filter(|bucket| bucket.iter().any(|word| *word != 0));
        let ring = |[high, low, port, first, second]: &Bucket| {
            ([*high, *low, *port], ServiceEntry::from_words([*first, *second]).ring)
        };
        Ok(taken.map(ring).collect())
    }

    pub fn write_ring(&mut self, region: u32, slots: &[Slot]) -> Result<()> {
        let entries: Vec<_> = slots.iter().map(|slot| slot.word()).collect();
        self.rings.set(region, words::pack(&entries, 0)?, 0).with_context(|| format!("writing ring {region}"))
    }

    pub fn read_ring(&self, region: u32) -> Result<Vec<Slot>> {
        let words = Box::new(self.rings.get(&region, 0).with_context(|| format!("reading ring {region}"))?);
        Ok(words::slots(words.as_slice(), RING_SLOTS as usize))
    }

    pub fn next_hop(&self, backend: u32) -> Result<Option<NextHop>> {
        let words = self.next_hops.get(&backend, 0);
        Ok(NextHop::from_words(words.with_context(|| format!("reading the next hop of backend id {backend}"))?))
    }

    pub fn set_next_hop(&mut self, backend: u32, next_hop: Option<NextHop>) -> Result<()> {
        let words = next_hop.map_or(NextHop::DEAD_WORDS, NextHop::to_words);
        self.next_hops.set(backend, words, 0).with_context(|| format!("writing the next hop of backend id {backend}"))
    }
}

/// A trie's entry whose child is one of `first_node`'s bank.
fn shifted(entry: u32, first_node: u32) -> u32 {
    if entry & CHILD == 0 { entry } else { entry + (first_node << 1) }
}
