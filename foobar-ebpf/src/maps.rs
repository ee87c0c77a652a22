//! Every map, and the named ways into them. Nothing else in this crate knows that there are maps.

mod clock;
mod context;
mod counts;
mod flows;
mod limits;
mod notes;
mod route;
mod shown;
mod stages;
mod tables;

use aya_ebpf::helpers::generated::{bpf_ktime_get_coarse_ns, bpf_redirect};
use foobar_common::{
    Address, Outcome, Tables,
    class::{Class, Port},
    decision::Decision,
    event::Told,
    find::{Asked, BUCKET_WORDS, Bucket, Group, ServiceKey, bucket_index, displaced_seed, group_in},
    fragment::{First, Need, Part},
    generation::Generation,
    handoff::Handoff,
    interface::{self, Named},
    layout::{
        GENERATION_WORDS, GROUP_WORDS, GROUPS_IN_A_WORD, GROUPS_WORDS, INTERFACE_WORDS, INTERFACES_WORDS, LINKS_WORDS,
        MAX_LINKS, MAX_PAIRS, NARROWED_WORDS, NEEDS_WORDS, NEXT_HOP_WORDS, NEXT_HOPS_WORDS, NODE_FIRST_ENTRY,
        NODE_OTHERWISE, NODE_WORDS, NODES_WORDS, PAIRS_WORDS, PORTS_WORDS, RING_UNIT, RINGS_WORDS, ROOM_WORDS,
        ROOT_ENTRIES, ROOTS_WORDS, SERVICE_WORDS, SERVICES_WORDS, SOURCES_WORDS, SPARSE_SEED, SPARSE_WORDS,
        TERMS_OF_RULE, TERMS_WORDS,
    },
    next_hop::NextHop,
    note::{Sign, table::Key},
    plane::{Plane, Way},
    slot::Slot,
    snat::{Lease, Mapping, Pool, Tags, Wanted},
    sparse,
    state::State,
    tables::Node,
    target::Target,
    terms::{Candidates, Link, Settled, Terms},
};

use self::clock::now;
pub use self::{
    context::Context,
    counts::count_outcome,
    shown::{Remark, count_lost, event, is_watched, watched_at, within_budget},
    stages::{element, handoff},
};
use crate::{
    apart::{
        answer_apart, answered_apart, choose_apart, find_place_apart, gives_way_apart, is_balancers_apart, older_apart,
        over_in_apart, recall_v4, recall_v6, remember_v4, remember_v6, room_in_apart, settle_apart, walk_v4, walk_v6,
    },
    hide::{InMemory, hide},
    table::{Record, Table},
};

#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.GENERATION")]
static GENERATION: Table<GENERATION_WORDS> = Table::new();
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.PORTS")]
static PORTS: Table<PORTS_WORDS> = Table::new();
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.ROOTS")]
static ROOTS: Table<ROOTS_WORDS> = Table::new();
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.NODES")]
static NODES: Table<NODES_WORDS> = Table::new();
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.SOURCES")]
static SOURCES: Table<SOURCES_WORDS> = Table::new();
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.NARROWED")]
static NARROWED: Table<NARROWED_WORDS> = Table::new();
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.INTERFACES")]
static INTERFACES: Table<INTERFACES_WORDS> = Table::new();
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.PAIRS")]
static PAIRS: Table<PAIRS_WORDS> = Table::new();
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.NEEDS")]
static NEEDS: Table<NEEDS_WORDS> = Table::new();
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.LINKS")]
static LINKS: Table<LINKS_WORDS> = Table::new();
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.TERMS")]
static TERMS: Table<TERMS_WORDS> = Table::new();
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.GROUPS")]
static GROUPS: Table<GROUPS_WORDS> = Table::new();
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.SERVICES")]
static SERVICES: Table<SERVICES_WORDS> = Table::new();
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.RINGS")]
static RINGS: Table<RINGS_WORDS> = Table::new();
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.NEXT_HOPS")]
static NEXT_HOPS: Table<NEXT_HOPS_WORDS> = Table::new();
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.ROOM")]
static ROOM: Table<ROOM_WORDS> = Table::new();

/// What stands in the hash of pairs under this key: a function of its own, as in [`crate::apart`].
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn sparse_pair(bank: u64, key: u32) -> u32 {
    let first = bank as usize * (MAX_PAIRS / 2);
    let seed = PAIRS.word(first + SPARSE_SEED).unwrap_or_default();
    let bucket = first + sparse::bucket(key, seed);
    for index in 0..SPARSE_WORDS {
        let word = PAIRS.word(bucket + index).unwrap_or_default();
        if (word >> 32) as u32 == key {
            return word as u32;
        }
    }
    Decision::NONE.word()
}

/// The kernel's tables, for one packet.
pub struct Maps<'a, C> {
    context: &'a C,
    /// Found out before the packet is looked at: behind that, the verifier would look at all that follows once for each
    /// thing that the clock can say, and each kind of packet.
    generation: Generation,
    remark: InMemory<Remark>,
}

impl Maps<'_, ()> {
    /// For functions that are handed the bank: a packet reads its generation once.
    #[inline(always)]
    pub fn apart() -> Self {
        Self { context: &(), generation: Generation::default(), remark: InMemory::new(Remark::NONE) }
    }
}

impl<'a, C> Maps<'a, C> {
    #[inline(always)]
    pub fn new(context: &'a C) -> Self {
        let mut generation = Generation::from_word(GENERATION.first());
        if generation.deadline() != 0 {
            // A number mixed twice with one that the verifier does not know is the same again; it knows as little of this
            // one, then, as of the word.
            let unknown = GENERATION.first();
            let word = hide((generation.at(now()).word() ^ unknown) as usize) as u64 ^ unknown;
            generation = Generation::from_word(word);
        }
        Self { context, generation, remark: InMemory::new(Remark::NONE) }
    }

    /// For a program that goes on with a packet of which this was remarked. The generation was asked before.
    #[inline(always)]
    pub fn of(context: &'a C, remark: u64) -> Self {
        Self { context, generation: Generation::default(), remark: InMemory::new(Remark::from_word(remark)) }
    }

    #[inline(always)]
    pub fn remarked(&self) -> Remark {
        self.remark.get()
    }
}

impl<C: Context> Maps<'_, C> {
    /// Has the program go on that the packet was handed over to; returns where it is not there.
    #[inline(always)]
    pub fn go_on(&self) {
        stages::go_on(self.context);
    }
}
