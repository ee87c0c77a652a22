//! Every map, and the named ways into them. Nothing else in this crate knows that there are maps.

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    helpers::generated::{bpf_ktime_get_ns, bpf_redirect},
    macros::map,
    maps::{Array, HashMap, PerCpuArray},
    programs::XdpContext,
};
use foobar_common::{
    Address, Outcome, Tables,
    decision::Decision,
    find::{BUCKET_WORDS, Bucket, ServiceKey, bucket_index},
    generation::Generation,
    layout::{
        BACKEND_TALLY_WORDS, CHILD, MAX_BACKENDS, MAX_NODES, MAX_NOTES, MAX_RINGS, MAX_RULES, NODE_WORDS, PORT_ENTRIES,
        PORT_WORDS, RING_SLOTS, RING_WORDS, ROOT_WORDS, SERVICE_BUCKETS, SERVICE_WORDS, TALLY_WORDS,
    },
    next_hop::NextHop,
    note::Note,
    slot::Slot,
};

type FlowV4 = <foobar_common::address::V4 as Address>::FlowKey;
type FlowV6 = <foobar_common::address::V6 as Address>::FlowKey;
type Tally = [u64; TALLY_WORDS];
type BackendTally = [u64; BACKEND_TALLY_WORDS];

#[map]
static GENERATION: Array<u64> = Array::with_max_entries(1, 0);
#[map]
static PORTS: Array<[u64; PORT_WORDS]> = Array::with_max_entries(2, 0);
#[map]
static ROOTS: Array<[u64; ROOT_WORDS]> = Array::with_max_entries(4, 0);
#[map]
static NODES: Array<[u64; NODE_WORDS]> = Array::with_max_entries(2 * MAX_NODES, 0);
#[map]
static SERVICES: Array<[u64; SERVICE_WORDS]> = Array::with_max_entries(2, 0);
#[map]
static RINGS: Array<[u64; RING_WORDS]> = Array::with_max_entries(MAX_RINGS, 0);
#[map]
static NEXT_HOPS: Array<[u64; 2]> = Array::with_max_entries(MAX_BACKENDS, 0);
#[map]
static NOTES_V4: HashMap<FlowV4, [u64; 2]> = HashMap::with_max_entries(MAX_NOTES, BPF_F_NO_PREALLOC);
#[map]
static NOTES_V6: HashMap<FlowV6, [u64; 2]> = HashMap::with_max_entries(MAX_NOTES, BPF_F_NO_PREALLOC);
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

/// Half-word `index` of a table that is one element of an array; `None` past its end.
#[inline(always)]
fn half<const N: usize>(table: &Array<[u64; N]>, element: u32, index: u32) -> Option<u32> {
    let words = table.get_ptr(element)?.cast::<u32>();
    if index as usize >= N * 2 {
        return None;
    }
    // SAFETY: an element holds 2 N aligned half-words, and the index is below that.
    Some(unsafe { words.add(index as usize).read_volatile() })
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

/// The kernel's tables, for one packet.
pub struct Maps<'a> {
    context: &'a XdpContext,
}

impl<'a> Maps<'a> {
    #[inline(always)]
    pub fn new(context: &'a XdpContext) -> Self {
        Self { context }
    }
}

impl Tables for Maps<'_> {
    #[inline(always)]
    fn generation(&self) -> Generation {
        // SAFETY: an aligned word of an array's element.
        let word = GENERATION.get_ptr(0).map_or(0, |word| unsafe { word.read_volatile() });
        Generation::from_word(word)
    }

    #[inline(always)]
    fn port(&self, bank: u32, entry: u32) -> u32 {
        if entry >= PORT_ENTRIES {
            return Decision::NONE.word();
        }
        half(&PORTS, bank, entry).unwrap_or(Decision::NONE.word())
    }

    #[inline(always)]
    fn root(&self, root: u32, prefix16: u16) -> u32 {
        half(&ROOTS, root, u32::from(prefix16)).unwrap_or(Decision::NONE.word() & !CHILD)
    }

    #[inline(always)]
    fn node(&self, node: u32, byte: u8) -> u32 {
        half(&NODES, node, u32::from(byte)).unwrap_or(Decision::NONE.word() & !CHILD)
    }

    #[inline(always)]
    fn service(&self, bank: u32, key: ServiceKey) -> Option<Bucket> {
        let words = SERVICES.get_ptr(bank)?.cast::<u64>();
        // SAFETY: the table's first word.
        let index = bucket_index(key, unsafe { words.read_volatile() });
        if index >= SERVICE_BUCKETS {
            return None;
        }
        // SAFETY: behind the first word stand as many buckets as that, and nobody writes a bank that is read.
        Some(unsafe { words.add(1 + index as usize * BUCKET_WORDS).cast::<Bucket>().read() })
    }

    #[inline(always)]
    fn slot(&self, ring: u32, slot: u32) -> Option<Slot> {
        if slot >= RING_SLOTS {
            return None;
        }
        half(&RINGS, ring, slot).map(Slot::from_word)
    }

    #[inline(always)]
    fn next_hop(&self, backend: u32) -> Option<NextHop> {
        NextHop::from_words(*NEXT_HOPS.get(backend)?)
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
    fn delete_note<A: Address>(&self, key: &A::FlowKey) {
        // A note that is gone already is what was wanted.
        // SAFETY: as for `note`.
        let _ = unsafe {
            if A::V6 { NOTES_V6.remove(same::<_, FlowV6>(key)) } else { NOTES_V4.remove(same::<_, FlowV4>(key)) }
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
        self.context.ingress_ifindex() as u32
    }

    #[inline(always)]
    fn redirect(&self, interface: u32) {
        // SAFETY: takes numbers alone; the program returns XDP_REDIRECT next.
        unsafe { bpf_redirect(interface, 0) };
    }
}
