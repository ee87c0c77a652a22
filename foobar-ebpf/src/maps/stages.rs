//! What programs that go on with a packet need: whom it is handed to, and with what; where backends and clients are; and
//! whose the ports are that `snat` gives.

use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    macros::map,
    maps::{Array, PerCpuArray, ProgramArray},
};
use foobar_common::{
    handoff::{HANDOFF_WORDS, Handoff, Stage},
    layout::{CLIENT_WORDS, MAX_BUCKETS, MAX_CLIENTS, MAX_MAPPINGS, POOL_WORDS, TAGS_WORDS, TARGETS_WORDS},
    next_hop::NextHop,
    snat::{LEASE_WORDS, Lease, MAPPING_WORDS, Mapping},
    target::{TARGET_WORDS, Target, client_index},
};

use super::Context;
use crate::table::{Record, Table};

#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.TARGETS")]
static TARGETS: Table<TARGETS_WORDS> = Table::new();
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.POOL")]
static POOL: Table<POOL_WORDS> = Table::new();
// What packets write is in maps and not in statics, whose contents a loader writes once more.
#[map]
static HANDOFFS: PerCpuArray<[u64; HANDOFF_WORDS]> = PerCpuArray::with_max_entries(1, 0);
#[map]
static CLIENTS: Array<[u64; CLIENT_WORDS]> = Array::with_max_entries(MAX_CLIENTS as u32, 0);
#[map]
static TAGS: Array<u64> = Array::with_max_entries(TAGS_WORDS as u32, BPF_F_MMAPABLE);
#[map]
static LEASES: Array<[u64; LEASE_WORDS]> = Array::with_max_entries(MAX_MAPPINGS as u32, BPF_F_MMAPABLE);
#[map]
static MAPPINGS: Array<[u64; MAPPING_WORDS]> = Array::with_max_entries(MAX_MAPPINGS as u32, BPF_F_MMAPABLE);
#[map]
static SEARCHED: Array<u64> = Array::with_max_entries(MAX_BUCKETS as u32, 0);
/// All of them have several buffers, as their caller does.
#[map]
static STAGES: ProgramArray = ProgramArray::with_max_entries(Stage::COUNT as u32, 0);

/// This CPU's handoff: no other packet comes between while the programs run.
#[inline(always)]
fn place() -> Option<Record<HANDOFF_WORDS>> {
    element(HANDOFFS.get_ptr(0))
}

/// An element that a map has given: there while the program runs.
#[inline(always)]
pub fn element<const N: usize>(element: Option<*const [u64; N]>) -> Option<Record<N>> {
    // SAFETY: maps of these kinds never take an element away; its words are read and written whole.
    element.map(|element| Record::of(unsafe { &*element }))
}

/// Says what the next program is handed.
#[inline(always)]
pub fn hand_over(handoff: Handoff) {
    let Some(place) = place() else { return };
    for (index, word) in handoff.to_words().into_iter().enumerate() {
        place.put(index, word);
    }
}

/// Has the program go on that the packet was handed over to; returns only where it is not there. Each by an index of its
/// own, which the kernel makes a jump.
#[inline(always)]
pub fn go_on<C: Context>(context: &C) {
    let Some(handoff) = handoff() else { return };
    match handoff.stage {
        Stage::TUNNEL => context.tail_call(&STAGES, Stage::TUNNEL.0),
        Stage::NAT => context.tail_call(&STAGES, Stage::NAT.0),
        Stage::SNAT => context.tail_call(&STAGES, Stage::SNAT.0),
        Stage::ANSWER => context.tail_call(&STAGES, Stage::ANSWER.0),
        Stage::UNTUNNEL => context.tail_call(&STAGES, Stage::UNTUNNEL.0),
        Stage::ASK => context.tail_call(&STAGES, Stage::ASK.0),
        Stage::QUOTED => context.tail_call(&STAGES, Stage::QUOTED.0),
        Stage::QUIC => context.tail_call(&STAGES, Stage::QUIC.0),
        Stage::MAIN => context.tail_call(&STAGES, Stage::MAIN.0),
        _ => {}
    }
}

/// What this program was handed.
#[inline(always)]
pub fn handoff() -> Option<Handoff> {
    place().map(|place| Handoff::from_words(place.words()))
}

#[inline(always)]
pub fn target(backend: u32) -> Option<Target> {
    let record = TARGETS.record::<TARGET_WORDS>(backend as usize * TARGET_WORDS)?;
    Some(Target::from_words(record.words()))
}

#[inline(always)]
fn client(client: [u64; 2]) -> Option<Record<CLIENT_WORDS>> {
    element(CLIENTS.get_ptr(client_index(client)))
}

/// A reader takes a way only where the key stands before and after it.
#[inline(always)]
pub fn learn(address: [u64; 2], way: NextHop) {
    let Some(place) = client(address) else { return };
    let ([high, low], [first, second]) = (address, way.to_words());
    let differs = (place.word::<0>() ^ high) | (place.word::<1>() ^ low);
    if differs | (place.word::<2>() ^ first) | (place.word::<3>() ^ second) == 0 {
        return;
    }
    place.put(1, 0);
    place.put(0, high);
    place.put(2, first);
    place.put(3, second);
    place.put(1, low);
}

#[inline(always)]
pub fn way_back(address: [u64; 2]) -> Option<NextHop> {
    let place = client(address)?;
    let [high, low] = address;
    let before = (place.word::<1>() ^ low) | (place.word::<0>() ^ high);
    let (second, first) = (place.word::<3>(), place.word::<2>());
    let after = place.word::<1>() ^ low;
    if before | after == 0 { Some(NextHop::from_raw([first, second])) } else { None }
}

#[inline(always)]
pub fn pool_address(index: usize) -> Option<[u64; 2]> {
    POOL.record::<2>(index * 2).map(Record::words)
}

#[inline(always)]
pub fn tags(word: usize) -> u64 {
    // SAFETY: as for `element`.
    TAGS.get_ptr(word as u32).map_or(u64::MAX, |word| unsafe { word.read_volatile() })
}

#[inline(always)]
pub fn swap_tags(word: usize, before: u64, after: u64) -> bool {
    element::<1>(TAGS.get_ptr(word as u32).map(<*const u64>::cast)).is_some_and(|word| word.swap(0, before, after))
}

#[inline(always)]
pub fn searched(bucket: usize) -> u32 {
    // SAFETY: as for `element`.
    SEARCHED.get_ptr(bucket as u32).map_or(0, |second| unsafe { second.read_volatile() as u32 })
}

#[inline(always)]
pub fn set_searched(bucket: usize, second: u32) {
    let Some(place) = SEARCHED.get_ptr_mut(bucket as u32) else { return };
    // SAFETY: as for `element`.
    unsafe { place.write_volatile(second.into()) };
}

#[inline(always)]
fn mapping_at(index: usize) -> Option<Record<MAPPING_WORDS>> {
    element(MAPPINGS.get_ptr(index as u32))
}

#[inline(always)]
pub fn mapping(index: usize) -> Option<Mapping> {
    mapping_at(index).map(|record| Mapping::from_words(record.words()))
}

#[inline(always)]
pub fn set_mapping(index: usize, mapping: Mapping) {
    let Some(place) = mapping_at(index) else { return };
    for (index, word) in mapping.to_words().into_iter().enumerate() {
        place.put(index, word);
    }
}

#[inline(always)]
fn lease_at(index: usize) -> Option<Record<LEASE_WORDS>> {
    element(LEASES.get_ptr(index as u32))
}

#[inline(always)]
pub fn lease(index: usize) -> Option<Lease> {
    lease_at(index).map(|record| Lease::from_words(record.words()))
}

#[inline(always)]
pub fn set_lease(index: usize, lease: Lease) {
    let Some(place) = lease_at(index) else { return };
    let [first, second] = lease.to_words();
    place.put(0, first);
    place.put(1, second);
}

/// The second word is written last, by which userspace sees that it is renewed.
#[inline(always)]
pub fn renew_lease(index: usize, before: Lease, after: Lease) {
    let Some(place) = lease_at(index) else { return };
    let ([before, _], [first, second]) = (before.to_words(), after.to_words());
    if place.swap(0, before, first) {
        place.put(1, second);
    }
}
