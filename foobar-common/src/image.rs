//! One generation of rules and services in memory.
//!
//! What userspace writes into the maps is exactly this; what host tests and explanations run on is exactly this.

mod claims;
mod host;
mod received;

use std::collections::{BTreeMap, HashMap};

pub use self::{
    claims::Claim,
    host::{HostTables, SentFrame, Tally},
    received::{HandedOver, ReceivedFrame, serve_whole},
};
use crate::{
    address::{Address, V4},
    class::{Class, Port},
    find::{Group, Kind, ServiceKey, key_of, server_key},
    fragment::Need,
    interface::{self, Named},
    layout::{INTERFACE_WORDS, MAX_ASKED, PORT_ENTRIES, ROOTS, SERVICE_PORTS, SPARSE_SEED, SPARSE_WORDS, Side},
    plane::{Plane, Way},
    sets::asked_word,
    sparse,
    terms::Link,
    trie::{Nodes, Root},
};

/// What is published together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Drop what nothing decides.
    pub drops: bool,
    /// The rules for what this host sends, as an image without services; `None` where it may send everything.
    pub sent: Option<Box<Self>>,
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
    /// What each rule has to know of a packet, by its place.
    pub needs: Vec<Need>,
    /// By side and family, as in [`Plane::root`].
    pub roots: [Root; ROOTS],
    pub nodes: Nodes,
    /// By [`crate::layout::service_entry`], the group of each port that something claims.
    pub groups: Vec<Group>,
    /// By address, group and protocol, what is claimed for.
    pub services: HashMap<ServiceKey, [u64; 2]>,
    /// What else stands in the services' table (see [`Kind`]): backends' ids, places of addresses.
    pub others: HashMap<ServiceKey, u64>,
}

impl Default for Image {
    fn default() -> Self {
        Self {
            drops: false,
            sent: None,
            ports: vec![Port::NONE; PORT_ENTRIES],
            sources: vec![Class::NONE],
            narrowed: Vec::new(),
            interfaces: BTreeMap::new(),
            pairs: Vec::new(),
            needs: Vec::new(),
            sparse: BTreeMap::new(),
            links: Vec::new(),
            asked_to: Vec::new(),
            asked_from: Vec::new(),
            roots: std::array::from_fn(|_| Root::default()),
            nodes: Nodes::default(),
            groups: vec![0; SERVICE_PORTS],
            services: HashMap::new(),
            others: HashMap::new(),
        }
    }
}

impl Image {
    fn root_index(side: Side, v6: bool) -> usize {
        Plane { bank: 0, way: Way::In }.root(side, v6)
    }

    /// A trie's root, and the nodes below all of them.
    pub fn trie(&mut self, side: Side, v6: bool) -> (&mut Root, &mut Nodes) {
        (&mut self.roots[Self::root_index(side, v6)], &mut self.nodes)
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

    /// A set that rules name, by its place in the list of those in `to`, then those in `from`.
    pub fn asked(&self, place: usize) -> [u64; 2] {
        let to = self.asked_to.iter().map(|(set, row)| [asked_word(*set, false), u64::from(*row)]);
        let from = self.asked_from.iter().map(|(set, class)| [asked_word(*set, true), class.word()]);
        to.chain(from).nth(place).unwrap_or_default()
    }

    /// The list of asked sets as a bank's table holds it.
    pub fn asked_words(&self) -> Vec<u64> {
        (0..MAX_ASKED).flat_map(|place| self.asked(place)).collect()
    }

    /// Lets answers be told that come to an address that `snat` gives packets, by its place.
    pub fn pool<A: Address>(&mut self, address: A, place: usize) {
        self.others.insert(key_of(Kind::Pool, address, 0, 0), place as u64);
    }

    /// Has tunnels of a balancer taken off.
    pub fn balancer<A: Address>(&mut self, address: A) {
        self.others.insert(key_of(Kind::Balancer, address, 0, 0), 1);
    }

    /// Has echo requests to a service's address answered.
    pub fn echo<A: Address>(&mut self, address: A) {
        self.others.insert(key_of(Kind::Echo, address, 0, 0), 1);
    }

    /// Lets a server id name a backend of the service that has this ring.
    pub fn server(&mut self, ring: u32, id: u64, backend: u32) {
        self.others.insert(server_key(ring, id), u64::from(backend));
    }

    /// Whether there is an entry of this kind beside the services.
    pub fn has(&self, kind: Kind) -> bool {
        self.others.keys().any(|key| Kind::of(key) == kind)
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
}

/// Seeds that are tried: one in ten fits a full table.
const SEEDS: u64 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{MAX_INTERFACES, MAX_SPARSE};

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
