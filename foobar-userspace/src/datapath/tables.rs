//! The maps that packets read: banks, rings, next hops.

use std::collections::HashMap;

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, Pod,
    maps::{Array, HashMap as HashTable, Map, MapData, PerCpuArray},
};
use foobar_common::{
    find::ServiceEntry,
    generation::Generation,
    image::Image,
    layout::{
        BACKEND_TALLY_WORDS, CHILD, MAX_NODES, NODE_WORDS, PORT_WORDS, RING_SLOTS, RING_WORDS, ROOT_WORDS, TALLY_WORDS,
        map, root_index,
    },
    next_hop::NextHop,
    slot::Slot,
};

use super::words;

/// The low word of a service's key holds the bank here.
const BANK_SHIFT: u32 = 24;

/// Open handles of every map.
pub struct TableMaps {
    generation: Array<MapData, u64>,
    ports: Array<MapData, [u64; PORT_WORDS]>,
    roots: Array<MapData, [u64; ROOT_WORDS]>,
    nodes: Array<MapData, [u64; NODE_WORDS]>,
    services_v4: HashTable<MapData, [u64; 1], [u64; 2]>,
    services_v6: HashTable<MapData, [u64; 3], [u64; 2]>,
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
            services_v4: take(ebpf, map::SERVICES_V4)?,
            services_v6: take(ebpf, map::SERVICES_V6)?,
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
        self.write_services(bank, &image.services)
    }

    fn write_services(&mut self, bank: u32, services: &HashMap<Vec<u64>, ServiceEntry>) -> Result<()> {
        clear_bank(&mut self.services_v4, bank)?;
        clear_bank(&mut self.services_v6, bank)?;
        for (key, entry) in services {
            let words = entry.to_words();
            match key.as_slice() {
                [low] => self.services_v4.insert([in_bank(*low, bank)], words, 0),
                [high, middle, low] => self.services_v6.insert([*high, *middle, in_bank(*low, bank)], words, 0),
                _ => continue,
            }
            .context("writing a service")?;
        }
        Ok(())
    }

    /// Rings of the services in `bank`, by the words of their keys in bank 0.
    pub fn rings_of_bank(&self, bank: u32) -> Result<HashMap<Vec<u64>, u32>> {
        let mut rings = HashMap::new();
        let mut note = |key: &[u64], words: [u64; 2]| {
            let low = key[key.len() - 1];
            if bank_of(low) == bank {
                let mut key = key.to_vec();
                *key.last_mut().expect("a key has words") = in_bank(low, 0);
                rings.insert(key, ServiceEntry::from_words(words).ring);
            }
        };
        for item in self.services_v4.iter() {
            let (key, words) = item.context("reading the services")?;
            note(&key, words);
        }
        for item in self.services_v6.iter() {
            let (key, words) = item.context("reading the services")?;
            note(&key, words);
        }
        Ok(rings)
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

fn in_bank(low: u64, bank: u32) -> u64 {
    low & !(0xff << BANK_SHIFT) | u64::from(bank) << BANK_SHIFT
}

fn bank_of(low: u64) -> u32 {
    (low >> BANK_SHIFT) as u32 & 0xff
}

fn clear_bank<const N: usize>(services: &mut HashTable<MapData, [u64; N], [u64; 2]>, bank: u32) -> Result<()>
where
    [u64; N]: Pod,
{
    let keys: Vec<_> = services.keys().collect::<Result<_, _>>().context("reading the services")?;
    for key in keys.iter().filter(|key| bank_of(key[N - 1]) == bank) {
        services.remove(key).context("removing an old service")?;
    }
    Ok(())
}
