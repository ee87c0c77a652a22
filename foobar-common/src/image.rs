//! One generation of rules and services in memory, and the host's [`Tables`] over it.
//!
//! What userspace writes into the maps is exactly this; what host tests and explanations run on is exactly this.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
};

use crate::{
    address::Address,
    decision::Decision,
    find::{ServiceEntry, service_key_low},
    generation::Generation,
    layout::{LISTENS, PORT_ENTRIES, service_entry},
    next_hop::NextHop,
    note::Note,
    outcome::Outcome,
    slot::Slot,
    tables::Tables,
    trie::{Nodes, Root},
};

/// What is published together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Drop what nothing decides.
    pub drops: bool,
    /// A word for each entry of [`crate::layout::port_entry`].
    pub ports: Vec<u32>,
    /// By source: IPv4, IPv6.
    pub roots: [Root; 2],
    pub nodes: Nodes,
    /// By the words of a service's key in bank 0; one word for IPv4, three for IPv6.
    pub services: HashMap<Vec<u64>, ServiceEntry>,
}

impl Default for Image {
    fn default() -> Self {
        Self {
            drops: false,
            ports: vec![Decision::NONE.word(); PORT_ENTRIES as usize],
            roots: [Root::default(), Root::default()],
            nodes: Nodes::default(),
            services: HashMap::new(),
        }
    }
}

impl Image {
    /// Lets packets to this address, protocol and port reach a service. Does nothing for protocols without ports.
    pub fn listen<A: Address>(&mut self, address: A, protocol: u8, port: u16, service: ServiceEntry) {
        let Some(entry) = service_entry(protocol, port) else { return };
        self.ports[entry as usize] |= LISTENS;
        self.services.insert(address.service_key(service_key_low(port, protocol, 0)).as_ref().to_vec(), service);
    }
}

/// Packets and bytes.
pub type Tally = [u64; 2];

/// The host's tables: one image, in bank 0, and what it counts.
#[derive(Debug, Default)]
pub struct HostTables {
    pub image: Image,
    pub rings: Vec<Vec<Slot>>,
    pub next_hops: HashMap<u32, NextHop>,
    /// By the words of a flow's key.
    pub notes: RefCell<HashMap<Vec<u64>, Note>>,
    /// Notes, at most.
    pub room: usize,
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
    fn generation(&self) -> Generation {
        Generation::new(1, 0, self.image.drops)
    }

    fn port(&self, _: u32, entry: u32) -> u32 {
        self.image.ports[entry as usize]
    }

    fn root(&self, root: u32, prefix16: u16) -> u32 {
        self.image.roots[root as usize % 2].0[usize::from(prefix16)]
    }

    fn node(&self, node: u32, byte: u8) -> u32 {
        self.image.nodes.0[node as usize][usize::from(byte)]
    }

    fn service<A: Address>(&self, key: &A::ServiceKey) -> Option<ServiceEntry> {
        self.image.services.get(key.as_ref()).copied()
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

    fn delete_note<A: Address>(&self, key: &A::FlowKey) {
        self.notes.borrow_mut().remove(key.as_ref());
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
