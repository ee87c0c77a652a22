//! Every map, and the named ways into them. Nothing else in this crate knows that there are maps.

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    helpers::generated::{bpf_ktime_get_ns, bpf_redirect},
    macros::map,
    maps::{HashMap, LruHashMap, PerCpuArray},
    programs::{TcContext, XdpContext},
};
use foobar_common::{
    Address, Outcome, Tables,
    class::{Class, Port},
    decision::Decision,
    find::{BUCKET_WORDS, Bucket, ServiceKey, bucket_index},
    generation::Generation,
    interface::{self, Named},
    layout::{
        ASKED_BANK_WORDS, BACKEND_TALLY_WORDS, GENERATION_WORDS, INTERFACE_WORDS, INTERFACES_WORDS, LINKS_WORDS,
        MAX_BACKENDS, MAX_LINKS, MAX_NARROWED, MAX_NOTES, MAX_PAIRS, MAX_RULES, MAX_SOURCES, MAX_STATES, MAX_UNPROVEN,
        NARROWED_WORDS, NEXT_HOP_WORDS, NEXT_HOPS_WORDS, NODE_FIRST_ENTRY, NODE_OTHERWISE, NODE_WORDS, NODES_WORDS,
        PAIRS_WORDS, PORT_ENTRIES, PORTS_WORDS, RING_WORDS, RINGS_WORDS, ROOM_WORDS, ROOT_ENTRIES, ROOTS_WORDS,
        SERVICE_WORDS, SERVICES_WORDS, SET_WORDS, SOURCES_WORDS, TALLY_WORDS, TERMS_OF_RULE, TERMS_WORDS,
        refused_index, unproven_index,
    },
    next_hop::NextHop,
    note::{Kind, Note},
    sets::{Answer, Asking},
    slot::Slot,
    state::State,
    tables::Node,
    terms::{Candidates, Link, Settled, Terms, settle},
};

use crate::{
    sets::{self, ASKED, SETS, SetLines},
    table::{Record, Table},
};

type FlowV4 = <foobar_common::address::V4 as Address>::FlowKey;
type FlowV6 = <foobar_common::address::V6 as Address>::FlowKey;
type Tally = [u64; TALLY_WORDS];
type BackendTally = [u64; BACKEND_TALLY_WORDS];

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
#[map]
static OUTCOMES: PerCpuArray<Tally> = PerCpuArray::with_max_entries(Outcome::COUNT as u32, 0);
#[map]
static RULES: PerCpuArray<Tally> = PerCpuArray::with_max_entries(MAX_RULES, 0);
#[map]
static BACKENDS: PerCpuArray<BackendTally> = PerCpuArray::with_max_entries(MAX_BACKENDS, 0);

/// Counts a packet of `len` bytes that left with `outcome`.
#[inline(always)]
pub fn count_outcome(outcome: Outcome, len: usize) {
    add(&OUTCOMES, outcome.index(), [1, len as u64]);
}

/// Adds to this CPU's counter. A counter that is not there changes no verdict.
#[inline(always)]
fn add<const N: usize>(counters: &PerCpuArray<[u64; N]>, index: u32, amounts: [u64; N]) {
    let Some(counter) = counters.get_ptr_mut(index) else { return };
    // SAFETY: the kernel gave this CPU's own element, and nothing else runs on this CPU meanwhile.
    let counter = unsafe { &mut *counter };
    for (total, amount) in counter.iter_mut().zip(amounts) {
        *total += amount;
    }
}

/// The same key under the type that the map of its family has.
///
/// # Safety
/// `K` and `F` are the same type, which the caller knows from `A::V6`.
#[inline(always)]
unsafe fn same<K, F>(key: &K) -> &F {
    // SAFETY: as the caller promises.
    unsafe { &*core::ptr::from_ref(key).cast() }
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

/// What a program is called for.
pub trait Context {
    /// Index of the interface that the frame comes in by, or leaves by.
    fn ingress(&self) -> u32;
}

impl Context for XdpContext {
    #[inline(always)]
    fn ingress(&self) -> u32 {
        self.ingress_ifindex() as u32
    }
}

impl Context for TcContext {
    #[inline(always)]
    fn ingress(&self) -> u32 {
        // SAFETY: the kernel gives the program a buffer's context, which lives as long as the program runs.
        unsafe { (*self.skb.skb).ifindex }
    }
}

impl Context for () {
    #[inline(always)]
    fn ingress(&self) -> u32 {
        0
    }
}

/// [`settle`] as a function of its own: the verifier looks at it once, whoever calls it, and only packets that a
/// conditional rule matches do.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn settle_apart(bank: u64, source: u32, target: u32, pair: u32) -> u64 {
    let [source, target, pair] = [source, target, pair].map(Decision::from_word);
    settle(bank as usize, Candidates { source, target, pair }, &Maps::new(&())).word()
}

/// The kernel's tables, for one packet.
pub struct Maps<'a, C> {
    context: &'a C,
}

impl<'a, C> Maps<'a, C> {
    #[inline(always)]
    pub fn new(context: &'a C) -> Self {
        Self { context }
    }
}

impl<C: Context> Tables for Maps<'_, C> {
    type Lines = SetLines;

    #[inline(always)]
    fn generation(&self) -> Generation {
        Generation::from_word(GENERATION.first())
    }

    #[inline(always)]
    fn port(&self, bank: usize, entry: usize) -> Port {
        PORTS.word(bank * PORT_ENTRIES + entry).map_or(Port::NONE, Port::from_word)
    }

    #[inline(always)]
    fn source(&self, bank: usize, class: usize) -> Class {
        Class::from_word(SOURCES.word_or(bank * MAX_SOURCES + class, Class::NONE.word()))
    }

    #[inline(always)]
    fn interface(&self, bank: usize, ifindex: u32) -> u32 {
        let Some(seed) = INTERFACES.word(bank * INTERFACE_WORDS) else { return 0 };
        let bucket = 1 + interface::bucket_index(ifindex, seed);
        Named::from_word(INTERFACES.word(bank * INTERFACE_WORDS + bucket).unwrap_or_default()).offset_of(ifindex)
    }

    #[inline(always)]
    fn narrowed(&self, bank: usize, index: u32) -> Class {
        Class::from_word(NARROWED.word_or(bank * MAX_NARROWED + index as usize, Class::NONE.word()))
    }

    #[inline(always)]
    fn pair(&self, bank: usize, index: u32) -> Decision {
        PAIRS.half(bank * MAX_PAIRS + index as usize).map_or(Decision::NONE, Decision::from_word)
    }

    #[inline(always)]
    fn asked(&self, bank: usize, index: usize) -> [u64; 2] {
        let first = bank * ASKED_BANK_WORDS + index * 2;
        [ASKED.word_or(first, 0), ASKED.word_or(first + 1, 0)]
    }

    #[inline(always)]
    fn set_word(&self, set: usize, word: usize) -> u64 {
        SETS.word_or(set * SET_WORDS + word, 0)
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
    fn ask_sets<A: Address>(&self, fill: impl FnOnce(&mut Asking)) -> Answer {
        sets::ask_sets::<A>(fill)
    }

    #[inline(always)]
    fn ask_each<A: Address>(&self, count: u32, asking: &mut Asking) {
        sets::ask_each::<A>(count, asking);
    }

    #[inline(always)]
    fn weigh_each(&self, count: u32, asking: &mut Asking) {
        sets::weigh_each(count, asking);
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
        // SAFETY: a helper without arguments.
        (unsafe { bpf_ktime_get_ns() } / 1_000_000_000) as u32
    }

    #[inline(always)]
    fn count_rule(&self, id: u32, len: usize) {
        add(&RULES, id, [1, len as u64]);
    }

    #[inline(always)]
    fn count_backend(&self, backend: u32, len: usize, connections: u64, queries: u64) {
        add(&BACKENDS, backend, [1, len as u64, connections, queries]);
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
