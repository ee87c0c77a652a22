//! The maps of named sets, and the loops that ask them.
//!
//! What asks is a global function, which the verifier looks at by itself, once, whichever ways lead to it; the loops' bodies are functions of their own (`bpf_loop`, Linux 5.17), however many sets a packet asks.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC},
    btf_maps::{Array, ArrayOfMaps},
    helpers::generated::bpf_loop,
    macros::{btf_map, map},
    maps::{HashMap, PerCpuArray},
};
use foobar_common::{
    address::{Address, V4, V6},
    layout::{ASKED_WORDS, MAX_TIMED, SET_SLOTS, SETS_WORDS},
    sets::{ARRAY_LINES, Answer, Asking, ask_all, ask_one, weigh_one},
    tables::{Line, Lines},
};

use crate::{
    maps::{Context, Maps},
    table::Table,
};

type Words = [u64; 8];
/// All of one size: the kernel reads such arrays without a call.
type Inner = Array<Words, { ARRAY_LINES as usize }, { BPF_F_MMAPABLE as usize }>;

#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.SETS")]
pub static SETS: Table<SETS_WORDS> = Table::new();
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.ASKED")]
pub static ASKED: Table<ASKED_WORDS> = Table::new();
#[btf_map]
static SET_LINES: ArrayOfMaps<Inner, SET_SLOTS> = ArrayOfMaps::new();
#[map]
static ASKING: PerCpuArray<Asking> = PerCpuArray::with_max_entries(1, 0);
#[map]
static TIMED: HashMap<[u64; 3], u64> = HashMap::with_max_entries(MAX_TIMED, BPF_F_NO_PREALLOC);

/// One set's lines of one family, by the slot of their first array.
pub struct SetLines(u32);

pub struct SetLine(*const u64);

impl Line for SetLine {
    #[inline(always)]
    fn word(&self, index: usize) -> u64 {
        // SAFETY: the line has eight words.
        unsafe { self.0.add(index & 7).read_volatile() }
    }
}

impl Lines for SetLines {
    type Line = SetLine;

    #[inline(always)]
    fn line(&self, index: u32) -> Option<SetLine> {
        let array = SET_LINES.get(self.0 + index / ARRAY_LINES)?;
        array.get_ptr(index % ARRAY_LINES).map(|line| SetLine(line.cast()))
    }
}

#[inline(always)]
pub fn lines(slot: u32) -> Option<SetLines> {
    if slot == 0 { None } else { Some(SetLines(slot)) }
}

#[inline(always)]
pub fn until(element: &[u64; 3]) -> Option<u64> {
    // SAFETY: the word is copied while the program holds RCU's read lock.
    unsafe { TIMED.get(element) }.copied()
}

#[inline(always)]
pub fn ask_sets<A: Address>(fill: impl FnOnce(&mut Asking)) -> Answer {
    let Some(asking) = asking() else { return Answer::NONE };
    fill(asking);
    if A::V6 {
        ask_sets_v6()
    } else {
        ask_sets_v4()
    };
    asking.answer()
}

/// This CPU's own packet: the stack has no room for it. Nothing else of ours runs on this CPU meanwhile.
#[inline(always)]
fn asking() -> Option<&'static mut Asking> {
    // SAFETY: the kernel gave this CPU's own element, which nobody else holds.
    ASKING.get_ptr_mut(0).map(|asking| unsafe { &mut *asking })
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ask_sets_v4() -> u64 {
    ask_all_of::<V4>()
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ask_sets_v6() -> u64 {
    ask_all_of::<V6>()
}

/// The kernel wants an answer of a function.
#[inline(always)]
fn ask_all_of<A: Address>() -> u64 {
    if let Some(asking) = asking() {
        ask_all::<A, _>(asking, &Maps::new(&Nowhere));
    }
    0
}

#[inline(always)]
pub fn ask_each<A: Address>(count: u32, asking: &mut Asking) {
    let body = if A::V6 { ask_next_v6 } else { ask_next_v4 };
    each(count, body, asking);
}

#[inline(always)]
pub fn weigh_each(count: u32, asking: &mut Asking) {
    each(count, weigh_next, asking);
}

/// The kernel hands on a pointer to the stack alone: there is the one to the packet.
type Handle = *mut *mut Asking;
type Body = unsafe extern "C" fn(u32, Handle) -> i64;

#[inline(always)]
fn each(count: u32, body: Body, asking: &mut Asking) {
    let mut asking = core::ptr::from_mut(asking);
    // SAFETY: the body takes an index and the pointer that is handed on, to memory that outlives the loop.
    unsafe { bpf_loop(count, body as *mut c_void, (&raw mut asking).cast(), 0) };
}

/// # Safety
/// Called by [`each`] alone.
#[inline(never)]
unsafe extern "C" fn ask_next_v4(index: u32, asking: Handle) -> i64 {
    // SAFETY: as the caller promises.
    ask_one::<V4, _>(index, unsafe { &mut **asking }, &Maps::new(&Nowhere));
    0
}

/// # Safety
/// Called by [`each`] alone.
#[inline(never)]
unsafe extern "C" fn ask_next_v6(index: u32, asking: Handle) -> i64 {
    // SAFETY: as the caller promises.
    ask_one::<V6, _>(index, unsafe { &mut **asking }, &Maps::new(&Nowhere));
    0
}

/// # Safety
/// Called by [`each`] alone.
#[inline(never)]
unsafe extern "C" fn weigh_next(index: u32, asking: Handle) -> i64 {
    // SAFETY: as the caller promises.
    weigh_one(index, unsafe { &mut **asking }, &Maps::new(&Nowhere));
    0
}

/// A loop's body has no packet at hand, and needs none.
struct Nowhere;

impl Context for Nowhere {
    #[inline(always)]
    fn ingress(&self) -> u32 {
        0
    }
}
