//! Every map, and the named ways into them. Nothing else in this crate knows that there are maps.

mod context;
mod counts;
mod limits;
mod shown;

use core::cell::Cell;

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    helpers::generated::{bpf_ktime_get_coarse_ns, bpf_redirect},
    macros::map,
    maps::{HashMap, LruHashMap},
};
use foobar_common::{
    Address, Tables,
    class::{Class, Port},
    decision::Decision,
    find::{BUCKET_WORDS, Bucket, ServiceKey, bucket_index},
    generation::Generation,
    interface::{self, Named},
    layout::{
        ASKED_BANK_WORDS, GENERATION_WORDS, INTERFACE_WORDS, INTERFACES_WORDS, LINKS_WORDS, MAX_LINKS, MAX_NARROWED,
        MAX_NOTES, MAX_PAIRS, MAX_SOURCES, MAX_STATES, MAX_UNPROVEN, NARROWED_WORDS, NEXT_HOP_WORDS, NEXT_HOPS_WORDS,
        NODE_FIRST_ENTRY, NODE_OTHERWISE, NODE_WORDS, NODES_WORDS, PAIRS_WORDS, PORT_ENTRIES, PORTS_WORDS, RING_WORDS,
        RINGS_WORDS, ROOM_WORDS, ROOT_ENTRIES, ROOTS_WORDS, SERVICE_WORDS, SERVICES_WORDS, SET_RECORD_WORDS,
        SOURCES_WORDS, SPARSE_SEED, SPARSE_WORDS, TERMS_OF_RULE, TERMS_WORDS, refused_index, unproven_index,
    },
    next_hop::NextHop,
    note::{Kind, Note},
    sets::{Asking, Extent, Key},
    slot::Slot,
    sparse,
    state::State,
    tables::Node,
    terms::{Candidates, Link, Settled, Terms},
};

pub use self::{
    context::Context,
    counts::count_outcome,
    shown::{Remark, count_lost, event, is_watched, watched_at, within_budget},
};
use crate::{
    apart::{extensions_apart, settle_apart},
    hide::hide,
    sets::{self, ASKED, SETS, SetLines},
    table::{Record, Table},
};

type FlowV4 = <foobar_common::address::V4 as Address>::FlowKey;
type FlowV6 = <foobar_common::address::V6 as Address>::FlowKey;

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
#[unsafe(link_section = ".bss.LINKS")]
static LINKS: Table<LINKS_WORDS> = Table::new();
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.TERMS")]
static TERMS: Table<TERMS_WORDS> = Table::new();
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
#[map]
static NOTES_V4: HashMap<FlowV4, [u64; 2]> = HashMap::with_max_entries(MAX_NOTES, BPF_F_NO_PREALLOC);
#[map]
static NOTES_V6: HashMap<FlowV6, [u64; 2]> = HashMap::with_max_entries(MAX_NOTES, BPF_F_NO_PREALLOC);
#[map]
static STATES_V4: LruHashMap<FlowV4, u64> = LruHashMap::with_max_entries(MAX_STATES, 0);
#[map]
static STATES_V6: LruHashMap<FlowV6, u64> = LruHashMap::with_max_entries(MAX_STATES, 0);

/// The same key under the type that the map of its family has.
///
/// # Safety
/// `K` and `F` are the same type, which the caller knows from `A::V6`.
#[inline(always)]
unsafe fn same<K, F>(key: &K) -> &F {
    // SAFETY: as the caller promises.
    unsafe { &*core::ptr::from_ref(key).cast() }
}

/// Seconds of the monotonic clock.
#[inline(always)]
fn now() -> u32 {
    // SAFETY: a helper without arguments.
    (unsafe { bpf_ktime_get_coarse_ns() } / 1_000_000_000) as u32
}

/// Where the word of a state is.
#[inline(always)]
fn state_of<A: Address>(key: &A::FlowKey) -> Option<*mut u64> {
    // SAFETY: `A::V6` tells which key this is.
    unsafe {
        if A::V6 {
            STATES_V6.get_ptr_mut(same::<_, FlowV6>(key))
        } else {
            STATES_V4.get_ptr_mut(same::<_, FlowV4>(key))
        }
    }
}

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
    remark: Cell<Remark>,
}

impl Maps<'_, ()> {
    /// For functions that are handed the bank: a packet reads its generation once.
    #[inline(always)]
    pub fn apart() -> Self {
        Self { context: &(), generation: Generation::default(), remark: Cell::new(Remark::NONE) }
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
        Self { context, generation, remark: Cell::new(Remark::NONE) }
    }

    #[inline(always)]
    pub fn remarked(&self) -> Remark {
        self.remark.get()
    }
}

impl<C: Context> Tables for Maps<'_, C> {
    type Lines = SetLines;

    #[inline(always)]
    fn published(&self) -> Generation {
        self.generation
    }

    #[inline(always)]
    fn generation(&self) -> Generation {
        self.generation
    }

    #[inline(always)]
    fn port(&self, bank: usize, entry: usize) -> Port {
        Port::from_word(PORTS.word(bank * PORT_ENTRIES + entry).unwrap_or(Port::NONE.word()))
    }

    #[inline(always)]
    fn source(&self, bank: usize, class: usize) -> Class {
        Class::from_word(SOURCES.word(bank * MAX_SOURCES + class).unwrap_or(Class::NONE.word()))
    }

    #[inline(always)]
    fn interface(&self, bank: usize, ifindex: u32) -> u32 {
        let Some(seed) = INTERFACES.word(bank * INTERFACE_WORDS) else { return 0 };
        let bucket = 1 + interface::bucket_index(ifindex, seed);
        Named::from_word(INTERFACES.word(bank * INTERFACE_WORDS + bucket).unwrap_or_default()).offset_of(ifindex)
    }

    #[inline(always)]
    fn narrowed(&self, bank: usize, index: u32) -> Class {
        Class::from_word(NARROWED.word(bank * MAX_NARROWED + index as usize).unwrap_or(Class::NONE.word()))
    }

    #[inline(always)]
    fn pair(&self, bank: usize, index: u32) -> Decision {
        if sparse::is_key(index) {
            return Decision::from_word(sparse_pair(bank as u64, index));
        }
        Decision::from_word(PAIRS.half(bank * MAX_PAIRS + index as usize).unwrap_or(Decision::NONE.word()))
    }

    #[inline(always)]
    fn asked(&self, bank: usize, place: usize) -> [u64; 2] {
        let first = bank * ASKED_BANK_WORDS + place * 2;
        [ASKED.word_or(first, 0), ASKED.word_or(first + 1, 0)]
    }

    #[inline(always)]
    fn set_word(&self, set: usize, word: usize) -> u64 {
        SETS.word_or(set * SET_RECORD_WORDS + word, 0)
    }

    #[inline(always)]
    fn lines(&self, slot: u32) -> Option<SetLines> {
        sets::lines(slot)
    }

    #[inline(always)]
    fn until(&self, element: &[u64; 3]) -> Option<u64> {
        sets::until(element)
    }

    #[inline(always)]
    fn members<A: Address>(&self, bank: usize, source: A, destination: A) -> u64 {
        sets::members(bank, source, destination)
    }

    #[inline(always)]
    fn lasts_v6(&self, [high, low]: [u64; 2], set: usize) -> bool {
        sets::lasts_v6(high, low, set as u64) != 0
    }

    #[inline(always)]
    fn is_in_block(&self, extent: Extent, [high, low]: Key, bit: u64) -> bool {
        sets::is_in_block(extent.word(), high, low, bit) != 0
    }

    #[inline(always)]
    fn is_timed<A: Address>(&self, address: [u64; 2], set: usize) -> bool {
        sets::is_timed::<A>(address, set)
    }

    #[inline(always)]
    fn weigh_sources(&self, bank: usize, members: u64, own: Class, target: Class) -> Settled {
        Settled::from_word(sets::weigh_sources_apart(bank as u64, members, own.word(), target.word()))
    }

    #[inline(always)]
    fn unrelated(&self, word: u64) -> u64 {
        hide(word as usize) as u64
    }

    #[inline(always)]
    fn weigh(&self, asking: Asking, members: u64, own: Class, target: Class, extensions: u64) -> Settled {
        Settled::from_word(sets::weigh_apart(asking.word(), members, own.word(), target.word(), extensions))
    }

    #[inline(always)]
    fn link(&self, bank: usize, index: u32) -> Link {
        Link::from_word(LINKS.word(bank * MAX_LINKS + index as usize).unwrap_or(Link::NONE.word()))
    }

    #[inline(always)]
    fn terms(&self, rule: u32) -> Terms {
        Terms::from_word(TERMS.word(rule as usize * TERMS_OF_RULE).unwrap_or_default())
    }

    #[inline(always)]
    fn settle(&self, bank: usize, candidates: Candidates) -> Settled {
        let Candidates { source, target, pair } = candidates;
        Settled::from_word(settle_apart(bank as u64, source.word(), target.word(), pair.word()))
    }

    #[inline(always)]
    fn within_limit(&self, rule: u32, source: u64) -> bool {
        limits::within_limit_apart(rule, source) != 0
    }

    #[inline(always)]
    fn remark(&self, rule: u32, logs: bool) {
        self.remark.set(Remark::NONE.by(rule).logged(logs));
    }

    #[inline(always)]
    fn count_limited(&self, rule: u32, len: usize) {
        limits::count_limited(rule, len);
    }

    #[inline(always)]
    fn against_extensions(&self, bank: usize, extensions: u64, source: Class, narrowed: u32) -> Settled {
        Settled::from_word(extensions_apart(bank as u64, extensions, source.word(), narrowed))
    }

    #[inline(always)]
    fn root(&self, root: usize, prefix16: u16) -> u32 {
        ROOTS.half(root * ROOT_ENTRIES + usize::from(prefix16)).unwrap_or_default()
    }

    #[inline(always)]
    fn node(&self, node: usize, value: u8) -> Node {
        let Some(record) = NODES.record::<NODE_WORDS>(node * NODE_WORDS) else {
            return Node { path: 0, otherwise: 0, entry: 0 };
        };
        Node {
            path: record.word::<0>(),
            otherwise: record.half::<NODE_OTHERWISE>(),
            entry: record.half_behind::<NODE_FIRST_ENTRY, 0xff>(usize::from(value)),
        }
    }

    #[inline(always)]
    fn service(&self, bank: usize, key: ServiceKey) -> Option<Bucket> {
        let services = SERVICES.record::<SERVICE_WORDS>(bank * SERVICE_WORDS)?;
        let bucket = 1 + bucket_index(key, services.word::<0>()) * BUCKET_WORDS;
        SERVICES.record(bank * SERVICE_WORDS + bucket).map(Record::words)
    }

    #[inline(always)]
    fn slot(&self, ring: u32, slot: u32) -> Option<Slot> {
        RINGS.half(ring as usize * RING_WORDS * 2 + slot as usize).map(Slot::from_word)
    }

    #[inline(always)]
    fn next_hop(&self, backend: u32) -> Option<NextHop> {
        let record = NEXT_HOPS.record::<NEXT_HOP_WORDS>(backend as usize * NEXT_HOP_WORDS)?;
        let (second, first) = (record.word::<1>(), record.word::<0>());
        // Userspace empties the second word while it changes both.
        if record.word::<1>() == second { NextHop::from_words([first, second]) } else { Some(NextHop::UNRESOLVED) }
    }

    #[inline(always)]
    fn note<A: Address>(&self, key: &A::FlowKey) -> Option<Note> {
        // SAFETY: `A::V6` tells which key this is; an element is copied while the program holds RCU's read lock.
        let words =
            unsafe { if A::V6 { NOTES_V6.get(same::<_, FlowV6>(key)) } else { NOTES_V4.get(same::<_, FlowV4>(key)) } };
        words.map(|words| Note::from_words(*words))
    }

    #[inline(always)]
    fn set_note<A: Address>(&self, key: &A::FlowKey, note: Note) -> bool {
        let words = note.to_words();
        // SAFETY: as for `note`.
        let done = unsafe {
            if A::V6 {
                NOTES_V6.insert(same::<_, FlowV6>(key), words, 0)
            } else {
                NOTES_V4.insert(same::<_, FlowV4>(key), words, 0)
            }
        };
        done.is_ok()
    }

    #[inline(always)]
    fn has_room<A: Address>(&self, kind: Kind) -> bool {
        ROOM.word(unproven_index(A::V6, kind)).is_some_and(|notes| notes < u64::from(MAX_UNPROVEN))
    }

    #[inline(always)]
    fn count_unproven<A: Address>(&self, kind: Kind) {
        ROOM.add(unproven_index(A::V6, kind), 1);
    }

    #[inline(always)]
    fn refuse(&self, ring: u32) {
        ROOM.set(refused_index(ring), u64::from(self.now()));
    }

    #[inline(always)]
    fn delete_note<A: Address>(&self, key: &A::FlowKey) {
        // A note that is gone already is what was wanted.
        // SAFETY: as for `note`.
        let _ = unsafe {
            if A::V6 { NOTES_V6.remove(same::<_, FlowV6>(key)) } else { NOTES_V4.remove(same::<_, FlowV4>(key)) }
        };
    }

    #[inline(always)]
    fn state<A: Address>(&self, key: &A::FlowKey) -> Option<State> {
        let place = state_of::<A>(key)?;
        // SAFETY: an element's word is there while the program holds RCU's read lock; writers store it whole.
        Some(State::from_word(unsafe { place.read_volatile() }))
    }

    #[inline(always)]
    fn set_state<A: Address>(&self, key: &A::FlowKey, state: State) {
        if let Some(place) = state_of::<A>(key) {
            // SAFETY: as for `state`; should it be another's by now, that is fresh for a little longer.
            unsafe { place.write_volatile(state.word()) };
            return;
        }
        // Where the kernel finds no room, the answer is dropped.
        // SAFETY: `A::V6` tells which key this is.
        let _ = unsafe {
            if A::V6 {
                STATES_V6.insert(same::<_, FlowV6>(key), state.word(), 0)
            } else {
                STATES_V4.insert(same::<_, FlowV4>(key), state.word(), 0)
            }
        };
    }

    #[inline(always)]
    fn now(&self) -> u32 {
        now()
    }

    #[inline(always)]
    fn count_rule(&self, id: u32, len: usize) {
        self.remark.set(self.remark.get().by(id));
        counts::count_rule(id, len);
    }

    #[inline(always)]
    fn count_backend(&self, backend: u32, len: usize, connections: u64, queries: u64) {
        counts::count_backend(backend, [1, len as u64, connections, queries]);
    }

    #[inline(always)]
    fn ingress(&self) -> u32 {
        self.context.ingress()
    }

    #[inline(always)]
    fn redirect(&self, interface: u32) {
        // SAFETY: takes numbers alone; the program returns XDP_REDIRECT next.
        unsafe { bpf_redirect(interface, 0) };
    }
}
