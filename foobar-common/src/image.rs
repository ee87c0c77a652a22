//! One generation of rules and services in memory, and the host's [`Tables`] over it.
//!
//! What userspace writes into the maps is exactly this; what host tests and explanations run on is exactly this.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashMap, HashSet},
};

use crate::{
    address::{Address, V4},
    class::{Class, Port},
    decision::Decision,
    find::{BUCKET_WORDS, Bucket, ServiceEntry, ServiceKey, bucket_index, service_key},
    generation::Generation,
    interface::{self, Named},
    layout::{
        INTERFACE_WORDS, MAX_ASKED, PORT_ENTRIES, ROOTS, SERVICE_WORDS, SPARSE_SEED, SPARSE_WORDS, Side, root_index,
        service_entry,
    },
    next_hop::NextHop,
    note::{Kind, Note},
    outcome::Outcome,
    sets::{
        ASKED_FROM,
        host::{HostLines, HostSets},
    },
    slot::Slot,
    sparse,
    state::State,
    tables::{Node, Tables},
    terms::{Link, Terms},
    trie::{Nodes, Root},
};

/// What is published together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Drop what nothing decides.
    pub drops: bool,
    /// One for each entry of [`crate::layout::port_entry`].
    pub ports: Vec<Port>,
    pub sources: Vec<Class>,
    /// For each kind of interface, of destination and of port, the class of all. None: no rule names an interface or a
    /// destination.
    pub narrowed: Vec<Class>,
    /// By the index of an interface that rules name, its part of the index into `narrowed`.
    pub interfaces: BTreeMap<u32, u32>,
    /// For each pair of classes that rules may constrain together, the first of them.
    pub pairs: Vec<u32>,
    /// The same by key, where there are too many for that (see [`crate::sparse`]).
    pub sparse: BTreeMap<u32, u32>,
    /// What conditional decisions stand for.
    pub links: Vec<Link>,
    /// Sets that rules name in `to`, each with its row among the narrowed classes.
    pub asked_to: Vec<(u32, u32)>,
    /// Sets that rules name in `from`, each with its class.
    pub asked_from: Vec<(u32, Class)>,
    /// By [`root_index`] of bank 0.
    pub roots: [Root; ROOTS],
    pub nodes: Nodes,
    pub services: HashMap<ServiceKey, ServiceEntry>,
}

impl Default for Image {
    fn default() -> Self {
        Self {
            drops: false,
            ports: vec![Port::NONE; PORT_ENTRIES],
            sources: vec![Class::NONE],
            narrowed: Vec::new(),
            interfaces: BTreeMap::new(),
            pairs: Vec::new(),
            sparse: BTreeMap::new(),
            links: Vec::new(),
            asked_to: Vec::new(),
            asked_from: Vec::new(),
            roots: std::array::from_fn(|_| Root::default()),
            nodes: Nodes::default(),
            services: HashMap::new(),
        }
    }
}

impl Image {
    /// A trie's root, and the nodes below all of them.
    pub fn trie(&mut self, side: Side, v6: bool) -> (&mut Root, &mut Nodes) {
        (&mut self.roots[root_index(0, side, v6)], &mut self.nodes)
    }

    /// Gives the class of every address of a side another number.
    pub fn classes(&mut self, side: Side, renumber: &mut dyn FnMut(u32) -> u32) {
        for v6 in [false, true] {
            let (root, nodes) = self.trie(side, v6);
            root.insert(nodes, V4(0), 0, renumber);
        }
    }

    /// Whether some rule names a set.
    pub fn asks_sets(&self) -> bool {
        !(self.asked_to.is_empty() && self.asked_from.is_empty())
    }

    /// A set that rules name, by its place in the list: one more than its id, and its row or class.
    pub fn asked(&self, place: usize) -> [u64; 2] {
        let (set, of) = if place < ASKED_FROM {
            self.asked_to.get(place).map(|(set, row)| (*set, u64::from(*row)))
        } else {
            self.asked_from.get(place - ASKED_FROM).map(|(set, class)| (*set, class.word()))
        }
        .map_or((0, 0), |(set, of)| (set + 1, of));
        [u64::from(set), of]
    }

    /// The list of asked sets as a bank's table holds it.
    pub fn asked_words(&self) -> Vec<u64> {
        (0..MAX_ASKED).flat_map(|place| self.asked(place)).collect()
    }

    /// Lets packets to this address, protocol and port reach a service. Does nothing for protocols without ports.
    pub fn listen<A: Address>(&mut self, address: A, protocol: u8, port: u16, service: ServiceEntry) {
        let Some(entry) = service_entry(protocol, port) else { return };
        self.ports[entry].listens = true;
        self.services.insert(service_key(address, port, protocol), service);
    }

    /// The services as a bank's table holds them: a seed under which no two share a bucket, and the buckets.
    ///
    /// `None` where no such seed was found, as with more services than `MAX_SERVICES`.
    pub fn service_table(&self) -> Option<Vec<u64>> {
        (0..SEEDS).find_map(|seed| self.table_with(seed))
    }

    /// The hashed pairs as a bank holds them: the buckets, and a seed under which none overflows.
    ///
    /// `None` where no such seed was found, as with more pairs than `MAX_SPARSE`.
    pub fn sparse_table(&self) -> Option<Vec<u64>> {
        (0..SEEDS).find_map(|seed| self.sparse_with(seed))
    }

    fn sparse_with(&self, seed: u64) -> Option<Vec<u64>> {
        let mut words = vec![0; SPARSE_SEED + 1];
        words[SPARSE_SEED] = seed;
        for (key, decision) in &self.sparse {
            let bucket = sparse::bucket(*key, seed);
            let free = words[bucket..bucket + SPARSE_WORDS].iter_mut().find(|word| **word == 0)?;
            *free = sparse::word(*key, *decision);
        }
        Some(words)
    }

    /// The interfaces as a bank's table holds them: a seed under which no two share a bucket, and the buckets.
    ///
    /// `None` where no such seed was found, as with more interfaces than `MAX_INTERFACES`.
    pub fn interface_table(&self) -> Option<Vec<u64>> {
        (0..SEEDS).find_map(|seed| self.interfaces_with(seed))
    }

    fn interfaces_with(&self, seed: u64) -> Option<Vec<u64>> {
        let mut words = vec![0; INTERFACE_WORDS];
        words[0] = seed;
        for (ifindex, offset) in &self.interfaces {
            let bucket = &mut words[1 + interface::bucket_index(*ifindex, seed)];
            if *bucket != 0 {
                return None;
            }
            *bucket = Named { ifindex: *ifindex, offset: *offset }.word();
        }
        Some(words)
    }

    fn table_with(&self, seed: u64) -> Option<Vec<u64>> {
        let mut words = vec![0; SERVICE_WORDS];
        words[0] = seed;
        for (key, entry) in &self.services {
            let start = 1 + bucket_index(*key, seed) * BUCKET_WORDS;
            let bucket = &mut words[start..start + BUCKET_WORDS];
            if bucket.iter().any(|word| *word != 0) {
                return None;
            }
            bucket[..3].copy_from_slice(key);
            bucket[3..].copy_from_slice(&entry.to_words());
        }
        Some(words)
    }
}

/// Seeds that are tried: one in ten fits a full table.
const SEEDS: u64 = 10_000;

/// Packets and bytes.
pub type Tally = [u64; 2];

/// The host's tables: one image, in bank 0, and what it counts.
#[derive(Debug, Default)]
pub struct HostTables {
    pub image: Image,
    /// By a rule's id.
    pub terms: HashMap<u32, Terms>,
    /// Rules whose limit is used up.
    pub over: HashSet<u32>,
    pub rings: Vec<Vec<Slot>>,
    pub next_hops: HashMap<u32, NextHop>,
    /// By the words of a flow's key.
    pub notes: RefCell<HashMap<Vec<u64>, Note>>,
    /// By the words of an answer's key.
    pub states: RefCell<HashMap<Vec<u64>, State>>,
    /// Notes, at most.
    pub room: usize,
    /// Notes of each unproven kind that were made, by family.
    pub unproven: RefCell<HashMap<(bool, Kind), usize>>,
    /// By ring, when a flow last found no room.
    pub refused: RefCell<HashMap<u32, u32>>,
    pub sets: HostSets,
    pub now: u32,
    pub ingress: u32,
    /// Where the last redirected frame went.
    pub redirected: Cell<Option<u32>>,
    pub rules: RefCell<HashMap<u32, Tally>>,
    /// Packets, bytes, connections, queries.
    pub backends: RefCell<HashMap<u32, [u64; 4]>>,
    pub outcomes: RefCell<HashMap<Outcome, Tally>>,
}

impl HostTables {
    /// Notes what a frame opens that this host sends, as the kernel does.
    pub fn send(&self, frame: &[u8]) {
        crate::state::note_opened(frame, self);
    }

    /// Serves a frame as the kernel does, the outcome's counter included.
    pub fn run(&self, frame: &mut [u8]) -> Outcome {
        let outcome = crate::serve(frame, self);
        add(self.outcomes.borrow_mut().entry(outcome).or_default(), [1, frame.len() as u64]);
        outcome
    }
}

fn add<const N: usize>(total: &mut [u64; N], amounts: [u64; N]) {
    for (total, amount) in total.iter_mut().zip(amounts) {
        *total += amount;
    }
}

impl Tables for HostTables {
    type Lines = HostLines;

    fn published(&self) -> Generation {
        Generation::new(0, self.image.drops, !self.image.narrowed.is_empty()).asking_sets(self.image.asks_sets())
    }

    fn asked(&self, _: usize, place: usize) -> [u64; 2] {
        self.image.asked(place)
    }

    fn set_word(&self, set: usize, word: usize) -> u64 {
        self.sets.records.get(set).map_or(0, |record| record[word])
    }

    fn lines(&self, slot: u32) -> Option<HostLines> {
        self.sets.slots.get(slot as usize).cloned().flatten()
    }

    fn until(&self, element: &[u64; 3]) -> Option<u64> {
        self.sets.timed.get(element).copied()
    }

    fn port(&self, _: usize, entry: usize) -> Port {
        self.image.ports[entry]
    }

    fn source(&self, _: usize, class: usize) -> Class {
        self.image.sources[class]
    }

    fn interface(&self, _: usize, ifindex: u32) -> u32 {
        self.image.interfaces.get(&ifindex).copied().unwrap_or(0)
    }

    fn narrowed(&self, _: usize, index: u32) -> Class {
        self.image.narrowed[index as usize]
    }

    fn pair(&self, _: usize, index: u32) -> Decision {
        if sparse::is_key(index) {
            return self.image.sparse.get(&index).map_or(Decision::NONE, |word| Decision::from_word(*word));
        }
        Decision::from_word(self.image.pairs[index as usize])
    }

    fn link(&self, _: usize, index: u32) -> Link {
        self.image.links[index as usize]
    }

    fn terms(&self, rule: u32) -> Terms {
        self.terms.get(&rule).copied().unwrap_or_default()
    }

    fn within_limit(&self, rule: u32, _: u64) -> bool {
        !self.over.contains(&rule)
    }

    fn remark(&self, _: u32, _: bool) {}

    fn count_limited(&self, _: u32, _: usize) {}

    fn root(&self, root: usize, prefix16: u16) -> u32 {
        self.image.roots[root].0[usize::from(prefix16)]
    }

    fn node(&self, node: usize, value: u8) -> Node {
        let node = &self.image.nodes.0[node];
        Node { path: node.path, otherwise: node.otherwise, entry: node.entries[usize::from(value)] }
    }

    fn service(&self, _: usize, key: ServiceKey) -> Option<Bucket> {
        let [high, low, port] = key;
        let [first, second] = self.image.services.get(&key)?.to_words();
        Some([high, low, port, first, second])
    }

    fn slot(&self, ring: u32, slot: u32) -> Option<Slot> {
        self.rings.get(ring as usize)?.get(slot as usize).copied()
    }

    fn next_hop(&self, backend: u32) -> Option<NextHop> {
        self.next_hops.get(&backend).copied()
    }

    fn note<A: Address>(&self, key: &A::FlowKey) -> Option<Note> {
        self.notes.borrow().get(key.as_ref()).copied()
    }

    fn set_note<A: Address>(&self, key: &A::FlowKey, note: Note) -> bool {
        let mut notes = self.notes.borrow_mut();
        if notes.len() >= self.room && !notes.contains_key(key.as_ref()) {
            return false;
        }
        notes.insert(key.as_ref().to_vec(), note);
        true
    }

    fn has_room<A: Address>(&self, kind: Kind) -> bool {
        self.unproven.borrow().get(&(A::V6, kind)).copied().unwrap_or(0) < self.room / 2
    }

    fn count_unproven<A: Address>(&self, kind: Kind) {
        *self.unproven.borrow_mut().entry((A::V6, kind)).or_default() += 1;
    }

    fn refuse(&self, ring: u32) {
        self.refused.borrow_mut().insert(ring, self.now);
    }

    fn delete_note<A: Address>(&self, key: &A::FlowKey) {
        self.notes.borrow_mut().remove(key.as_ref());
    }

    fn state<A: Address>(&self, key: &A::FlowKey) -> Option<State> {
        self.states.borrow().get(key.as_ref()).copied()
    }

    fn set_state<A: Address>(&self, key: &A::FlowKey, state: State) {
        self.states.borrow_mut().insert(key.as_ref().to_vec(), state);
    }

    fn now(&self) -> u32 {
        self.now
    }

    fn count_rule(&self, id: u32, len: usize) {
        add(self.rules.borrow_mut().entry(id).or_default(), [1, len as u64]);
    }

    fn count_backend(&self, backend: u32, len: usize, connections: u64, queries: u64) {
        add(self.backends.borrow_mut().entry(backend).or_default(), [1, len as u64, connections, queries]);
    }

    fn ingress(&self) -> u32 {
        self.ingress
    }

    fn redirect(&self, interface: u32) {
        self.redirected.set(Some(interface));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        address::V6,
        flow::TCP,
        layout::{MAX_INTERFACES, MAX_SERVICES, MAX_SPARSE},
    };

    #[test]
    fn as_many_services_as_there_may_be_find_a_seed() {
        let mut image = Image::default();
        for index in 0..MAX_SERVICES / 2 {
            let entry = ServiceEntry { ring: index, ..ServiceEntry::default() };
            image.listen(V4(0xc000_0200 + index), TCP, 80, entry);
            image.listen(V6([0x2001_0db8 << 32, u64::from(index)]), TCP, 443, entry);
        }
        let words = image.service_table().expect("a seed");
        for (key, entry) in &image.services {
            let start = 1 + bucket_index(*key, words[0]) * BUCKET_WORDS;
            assert_eq!(words[start..start + 3], *key);
            assert_eq!(words[start + 3..start + 5], entry.to_words());
        }
    }

    #[test]
    fn as_many_interfaces_as_there_may_be_find_a_seed_wherever_they_lie() {
        for step in [1, 2, 3, 257, 4096, 65_537] {
            let interfaces = (1..=MAX_INTERFACES as u32).map(|index| (index * step, 7 * index)).collect();
            let image = Image { interfaces, ..Image::default() };
            let words = image.interface_table().expect("a seed");
            let offset = |ifindex: u32| {
                Named::from_word(words[1 + interface::bucket_index(ifindex, words[0])]).offset_of(ifindex)
            };
            for (ifindex, wanted) in &image.interfaces {
                assert_eq!(offset(*ifindex), *wanted, "step {step}");
            }
            assert_eq!(offset(step * 65), 0, "no rule names it");
        }
    }

    #[test]
    fn as_many_pairs_as_are_hashed_find_a_seed() {
        let keys = (0..MAX_SPARSE as u32).map(|n| sparse::row(1 + n as usize % 10_000) + 1 + n / 10_000 * 17);
        let image = Image { sparse: keys.map(|key| (key, key & !1)).collect(), ..Image::default() };
        assert_eq!(image.sparse.len(), MAX_SPARSE);
        let words = image.sparse_table().expect("a seed");
        for (key, decision) in &image.sparse {
            let bucket = sparse::bucket(*key, words[SPARSE_SEED]);
            assert!(words[bucket..bucket + SPARSE_WORDS].contains(&sparse::word(*key, *decision)));
        }
    }
}
