//! What packets read: banks, rings, next hops; and the maps of states and counters.

mod ways;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use anyhow::{Context as _, Result, ensure};
use aya::{
    Ebpf,
    maps::{Array, ArrayOfMaps, HashMap as HashTable, Map, MapData, PerCpuArray},
};
use aya_obj::Object;
use foobar_common::{
    child::Child,
    find::{BUCKET_WORDS, Bucket, Group, Kind, ServiceEntry, ServiceKey, group_in, protocol_of, with_group},
    fragment::Need,
    generation::Generation,
    image::Image,
    layout::{
        ASKED_BANK_WORDS, BACKEND_TALLY_WORDS, CLIENT_WORDS, GROUP_WORDS, GROUPS_IN_A_WORD, INTERFACE_WORDS, MAX_LINKS,
        MAX_PAIRS, MAX_RULES, NODE_FIRST_ENTRY, NODE_OTHERWISE, NODE_WORDS, RING_UNIT, ROOT_ENTRIES, SERVICE_DISPLACED,
        SERVICE_PORTS, SERVICE_WORDS, Side, TALLY_WORDS, TERMS_OF_RULE, map, service_entry,
    },
    plane::{Plane, Way},
    sets::LINE_WORDS,
    slot::Slot,
    terms::Terms,
};

use super::{
    mapped::{Mapped, store, store_words},
    pins::Pins,
};

/// The tables that packets read at fixed addresses.
pub struct Tables {
    generation: Mapped,
    pub(super) ports: Mapped,
    pub(super) roots: Mapped,
    pub(super) nodes: Mapped,
    pub(super) sources: Mapped,
    pub(super) narrowed: Mapped,
    pub(super) interfaces: Mapped,
    pub(super) pairs: Mapped,
    pub(super) needs: Mapped,
    pub(super) links: Mapped,
    pub(super) terms: Mapped,
    groups: Mapped,
    pub(super) services: Mapped,
    pub(super) rings: Mapped,
    next_hops: Mapped,
    targets: Mapped,
    pool: Mapped,
    room: Mapped,
    clock: Mapped,
    watch: Mapped,
    pub(super) buckets: Mapped,
    pub(super) sets: Mapped,
    pub(super) set_fronts: Arc<Mapped>,
    /// The packets' own.
    questions: Mapped,
    pub(super) asked: Mapped,
}

/// Open handles of the maps that packets look up.
pub struct Maps {
    pub states_v4: HashTable<MapData, [u64; 2], u64>,
    pub states_v6: HashTable<MapData, [u64; 5], u64>,
    pub heard_v4: HashTable<MapData, [u64; 2], u64>,
    pub heard_v6: HashTable<MapData, [u64; 5], u64>,
    pub firsts_v4: HashTable<MapData, [u64; 2], [u64; 2]>,
    pub firsts_v6: HashTable<MapData, [u64; 5], [u64; 2]>,
    pub outcomes: PerCpuArray<MapData, [u64; TALLY_WORDS]>,
    pub sent: PerCpuArray<MapData, [u64; TALLY_WORDS]>,
    pub limited: PerCpuArray<MapData, [u64; TALLY_WORDS]>,
    pub rules: PerCpuArray<MapData, [u64; TALLY_WORDS]>,
    pub backends: PerCpuArray<MapData, [u64; BACKEND_TALLY_WORDS]>,
    pub set_lines: ArrayOfMaps<MapData, Array<MapData, Line>>,
    pub timed: HashTable<MapData, [u64; 3], u64>,
    pub clients: Array<MapData, [u64; CLIENT_WORDS]>,
}

/// What packets of a bank know of services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownServices {
    /// By [`service_entry`].
    pub groups: Vec<Group>,
    pub by_key: HashMap<ServiceKey, ServiceEntry>,
}

impl KnownServices {
    /// The service that a port belongs to, by its key without the group.
    pub fn at(&self, key: ServiceKey, port: u16) -> Option<ServiceEntry> {
        let group = self.groups[service_entry(protocol_of(key), port)?];
        self.by_key.get(&with_group(key, group)).copied()
    }
}

/// A line of a set.
pub type Line = [u64; LINE_WORDS];

impl Maps {
    pub fn take(ebpf: &mut Ebpf) -> Result<Self> {
        Ok(Self {
            states_v4: take(ebpf, map::STATES_V4)?,
            states_v6: take(ebpf, map::STATES_V6)?,
            heard_v4: take(ebpf, map::HEARD_V4)?,
            heard_v6: take(ebpf, map::HEARD_V6)?,
            firsts_v4: take(ebpf, map::FIRSTS_V4)?,
            firsts_v6: take(ebpf, map::FIRSTS_V6)?,
            outcomes: take(ebpf, map::OUTCOMES)?,
            sent: take(ebpf, map::SENT)?,
            limited: take(ebpf, map::LIMITED)?,
            rules: take(ebpf, map::RULES)?,
            backends: take(ebpf, map::BACKENDS)?,
            set_lines: take(ebpf, map::SET_LINES)?,
            timed: take(ebpf, map::TIMED)?,
            clients: take(ebpf, map::CLIENTS)?,
        })
    }

    /// What was opened, by the way of the answer, in both families.
    pub fn opened(&self, way: Way) -> (&Opened<2>, &Opened<5>) {
        match way {
            Way::In => (&self.states_v4, &self.states_v6),
            Way::Out => (&self.heard_v4, &self.heard_v6),
        }
    }

    pub fn opened_mut(&mut self, way: Way) -> (&mut Opened<2>, &mut Opened<5>) {
        match way {
            Way::In => (&mut self.states_v4, &mut self.states_v6),
            Way::Out => (&mut self.heard_v4, &mut self.heard_v6),
        }
    }
}

/// States by keys of so many words.
type Opened<const WORDS: usize> = HashTable<MapData, [u64; WORDS], u64>;

pub(super) fn take<M: TryFrom<Map>>(ebpf: &mut Ebpf, name: &str) -> Result<M>
where
    M::Error: std::error::Error + Send + Sync + 'static,
{
    let map = ebpf.take_map(name).with_context(|| format!("the object has no map {name}"))?;
    M::try_from(map).with_context(|| format!("the pinned map {name} has another shape"))
}

impl Tables {
    /// Opens those that are pinned; makes and pins the others.
    pub fn open(object: &Object, pins: &Pins) -> Result<Self> {
        let open = |name| Mapped::open(object, pins, name);
        Ok(Self {
            generation: open(map::GENERATION)?,
            ports: open(map::PORTS)?,
            roots: open(map::ROOTS)?,
            nodes: open(map::NODES)?,
            sources: open(map::SOURCES)?,
            narrowed: open(map::NARROWED)?,
            interfaces: open(map::INTERFACES)?,
            pairs: open(map::PAIRS)?,
            needs: open(map::NEEDS)?,
            links: open(map::LINKS)?,
            terms: open(map::TERMS)?,
            groups: open(map::GROUPS)?,
            services: open(map::SERVICES)?,
            rings: open(map::RINGS)?,
            next_hops: open(map::NEXT_HOPS)?,
            targets: open(map::TARGETS)?,
            pool: open(map::POOL)?,
            room: open(map::ROOM)?,
            clock: open(map::CLOCK)?,
            watch: open(map::WATCH)?,
            buckets: open(map::BUCKETS)?,
            sets: open(map::SETS)?,
            questions: open(map::QUESTIONS)?,
            set_fronts: Arc::new(open(map::SET_FRONTS)?),
            asked: open(map::ASKED)?,
        })
    }

    /// What stands in each table that is not new, by the name of its static.
    pub fn contents(&self) -> Vec<(&'static str, Vec<u64>)> {
        let tables = [
            (map::GENERATION, &self.generation),
            (map::PORTS, &self.ports),
            (map::ROOTS, &self.roots),
            (map::NODES, &self.nodes),
            (map::SOURCES, &self.sources),
            (map::NARROWED, &self.narrowed),
            (map::INTERFACES, &self.interfaces),
            (map::PAIRS, &self.pairs),
            (map::NEEDS, &self.needs),
            (map::LINKS, &self.links),
            (map::TERMS, &self.terms),
            (map::GROUPS, &self.groups),
            (map::SERVICES, &self.services),
            (map::RINGS, &self.rings),
            (map::NEXT_HOPS, &self.next_hops),
            (map::TARGETS, &self.targets),
            (map::POOL, &self.pool),
            (map::ROOM, &self.room),
            (map::CLOCK, &self.clock),
            (map::WATCH, &self.watch),
            (map::BUCKETS, &self.buckets),
            (map::SETS, &self.sets),
            (map::QUESTIONS, &self.questions),
            (map::SET_FRONTS, &self.set_fronts),
            (map::ASKED, &self.asked),
        ];
        tables.into_iter().filter(|(_, table)| !table.is_new).map(|(name, table)| (name, table.contents())).collect()
    }

    /// The word that packets read.
    pub fn published(&self) -> Generation {
        Generation::from_word(self.generation.words()[0].load(Ordering::Acquire))
    }

    /// Everything written before is seen by the packets that see the generation.
    pub fn set_generation(&self, generation: Generation, number: u64) {
        self.generation.words()[1].store(number, Ordering::Relaxed);
        self.generation.words()[0].store(generation.word(), Ordering::Release);
    }

    /// Publications since the tables were made.
    pub fn number(&self) -> u64 {
        self.generation.words()[1].load(Ordering::Relaxed)
    }

    /// Writes everything of a bank that no packet reads.
    pub fn write_bank(&self, bank: usize, image: &Image) -> Result<()> {
        let services = image.service_table().context("no table holds that many services")?;
        let interfaces = image.interface_table().context("no table holds that many interfaces")?;
        ensure!(image.links.len() <= MAX_LINKS, "a bank holds {MAX_LINKS} links of conditional decisions");
        store_words(&self.interfaces.words()[bank * INTERFACE_WORDS..], interfaces.into_iter());
        if !image.sparse.is_empty() {
            let pairs = image.sparse_table().context("no table holds that many pairs")?;
            store_words(&self.pairs.words()[bank * (MAX_PAIRS / 2)..], pairs.into_iter());
        }
        store_words(&self.links.words()[bank * MAX_LINKS..], image.links.iter().map(|link| link.word()));
        store_words(&self.asked.words()[bank * ASKED_BANK_WORDS..], image.asked_words().into_iter());
        self.write_rules(Plane { bank, way: Way::In }, image)?;
        if let Some(sent) = &image.sent {
            self.write_rules(Plane { bank, way: Way::Out }, sent)?;
        }
        store_words(&self.groups.words()[bank * GROUP_WORDS..], image.group_words());
        store_words(&self.services.words()[bank * SERVICE_WORDS..], services.into_iter());
        Ok(())
    }

    fn write_rules(&self, plane: Plane, image: &Image) -> Result<()> {
        let nodes = &image.nodes.0;
        let room = plane.way.room();
        ensure!(nodes.len() <= room.nodes, "a bank holds {} trie nodes, not {}", room.nodes, nodes.len());
        ensure!(image.sources.len() <= room.sources, "a bank holds {} classes of sources", room.sources);
        ensure!(plane.way == Way::In || image.sparse.is_empty(), "pairs of what this host sends are not hashed");
        ensure!(image.pairs.len() <= room.pairs, "a bank holds {} pairs of classes", room.pairs);
        ensure!(image.narrowed.len() <= room.narrowed, "a bank holds {} narrowed classes", room.narrowed);
        ensure!(image.needs.len() <= MAX_RULES as usize, "a bank holds {MAX_RULES} rules");
        store_words(&self.ports.words()[plane.port(0)..], image.ports.iter().map(|port| port.word()));
        store_words(&self.sources.words()[plane.source(0)..], image.sources.iter().map(|class| class.word()));
        store_words(&self.narrowed.words()[plane.narrowed(0)..], image.narrowed.iter().map(|class| class.word()));
        store(self.pairs.halves(), plane.pair(0), image.pairs.iter().copied());
        store_words(&self.needs.words()[plane.need(0)..], Need::words(&image.needs));
        let first = plane.node();
        let moved = |entry: &u32| Child::from_entry(*entry).map_or(*entry, |child| child.moved(first).entry());
        for (index, root) in image.roots.iter().enumerate() {
            store(
                self.roots.halves(),
                (plane.root(Side::Source, false) + index) * ROOT_ENTRIES,
                root.0.iter().map(moved),
            );
        }
        for (index, node) in nodes.iter().enumerate() {
            let word = (first + index) * NODE_WORDS;
            self.nodes.words()[word].store(node.path, Ordering::Relaxed);
            store(self.nodes.halves(), word * 2 + NODE_OTHERWISE, [node.otherwise].into_iter());
            store(self.nodes.halves(), word * 2 + NODE_FIRST_ENTRY, node.entries.iter().map(moved));
        }
        Ok(())
    }

    /// The first word of a rule's terms.
    pub fn terms(&self, rule: u32) -> Result<&AtomicU64> {
        let words = self.terms.words().get(rule as usize * TERMS_OF_RULE);
        words.with_context(|| format!("no rule has the id {rule}"))
    }

    /// What a rule asks from this moment on. Its bucket stays as it is.
    pub fn set_terms(&self, rule: u32, terms: Terms) -> Result<()> {
        self.terms(rule)?.store(terms.word(), Ordering::Release);
        Ok(())
    }

    /// The group of a port in `bank`, by its [`foobar_common::layout::service_entry`].
    pub fn group(&self, bank: usize, entry: usize) -> Group {
        let word = &self.groups.words()[bank * GROUP_WORDS + entry / GROUPS_IN_A_WORD];
        group_in(word.load(Ordering::Relaxed), entry)
    }

    /// The services in `bank`.
    pub fn services_of_bank(&self, bank: usize) -> KnownServices {
        let words = &self.services.words()[bank * SERVICE_WORDS..][..SERVICE_WORDS];
        let words: Vec<_> = words.iter().map(|word| word.load(Ordering::Relaxed)).collect();
        let buckets = words[1..SERVICE_DISPLACED].as_chunks::<BUCKET_WORDS>().0.iter();
        let taken = buckets.filter(|bucket| bucket.iter().any(|word| *word != 0));
        let service = |[high, low, third, first, second]: &Bucket| {
            let key = [*high, *low, *third];
            (Kind::of(&key) == Kind::Service).then(|| (key, ServiceEntry::from_words([*first, *second])))
        };
        let groups = (0..SERVICE_PORTS).map(|entry| self.group(bank, entry)).collect();
        KnownServices { groups, by_key: taken.filter_map(service).collect() }
    }

    pub fn write_ring(&self, region: u32, slots: &[Slot]) -> Result<()> {
        let halves = self.ring(region, slots.len())?;
        self.room.words()[region as usize].store(0, Ordering::Relaxed);
        store(halves, 0, slots.iter().map(|slot| slot.word()));
        Ok(())
    }

    /// Writes the slots of a ring in use that differ, each whole.
    pub fn mark_ring(&self, region: u32, slots: &[Slot]) -> Result<()> {
        for (half, slot) in self.ring(region, slots.len())?.iter().zip(slots) {
            if half.load(Ordering::Relaxed) != slot.word() {
                half.store(slot.word(), Ordering::Relaxed);
            }
        }
        Ok(())
    }

    pub fn read_ring(&self, region: u32, slots: u32) -> Result<Vec<Slot>> {
        let halves = self.ring(region, slots as usize)?;
        Ok(halves.iter().map(|half| Slot::from_word(half.load(Ordering::Relaxed))).collect())
    }

    /// So many slots from a region on.
    fn ring(&self, region: u32, slots: usize) -> Result<&[AtomicU32]> {
        let first = region as usize * RING_UNIT as usize;
        let halves = self.rings.halves().get(first..first + slots);
        halves.with_context(|| format!("a ring of {slots} slots has no room in region {region}"))
    }

    /// A slot of the ring in a region; `None` past all rings.
    pub fn slot(&self, region: u32, slot: u32) -> Option<Slot> {
        let half = self.rings.halves().get(region as usize * RING_UNIT as usize + slot as usize)?;
        Some(Slot::from_word(half.load(Ordering::Relaxed)))
    }

    /// By a ring's region, the second when a flow on it last found no room for its note.
    pub fn room(&self) -> &[AtomicU64] {
        self.room.words()
    }

    pub fn watched_until(&self) -> u64 {
        self.watch.words()[0].load(Ordering::Relaxed)
    }

    /// Drops are shown until this second of the monotonic clock.
    pub fn watch_until(&self, second: u64) {
        self.watch.words()[0].store(second, Ordering::Relaxed);
    }
}
