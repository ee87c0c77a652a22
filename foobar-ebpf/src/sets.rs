//! The maps of named sets, and the loops that ask them.
//!
//! The loops' bodies are functions of their own (`bpf_loop`, Linux 5.17): the verifier looks at each once, however many
//! sets a packet asks and wherever it comes from.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::{BPF_F_INNER_MAP, BPF_F_MMAPABLE, BPF_F_NO_PREALLOC},
    btf_maps::{Array, ArrayOfMaps},
    helpers::generated::bpf_loop,
    macros::{btf_map, map},
    maps::HashMap,
};
use foobar_common::{
    address::{Address, V4, V6},
    layout::{ASKED_WORDS, MAX_TIMED, SET_SLOTS, SETS_WORDS},
    sets::{Asking, ask_one, weigh_one},
    tables::{Line, Lines},
};

use crate::{
    hide::hide,
    maps::{Context, Maps},
    table::Table,
};

type Words = [u64; 8];
/// As many lines as a set needs (`BPF_F_INNER_MAP`, Linux 5.10).
type Inner = Array<Words, 1, { (BPF_F_INNER_MAP | BPF_F_MMAPABLE) as usize }>;

#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.SETS")]
pub static SETS: Table<SETS_WORDS> = Table::new();
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.ASKED")]
pub static ASKED: Table<ASKED_WORDS> = Table::new();
#[btf_map]
static SET_LINES: ArrayOfMaps<Inner, SET_SLOTS> = ArrayOfMaps::new();
#[map]
static TIMED: HashMap<[u64; 3], u64> = HashMap::with_max_entries(MAX_TIMED, BPF_F_NO_PREALLOC);

/// One set's lines of one family.
pub struct SetLines(&'static Inner);

pub struct SetLine(*const u64);

impl Line for SetLine {
    #[inline(always)]
    fn word(&self, index: usize) -> u64 {
        // SAFETY: the line has eight words.
        unsafe { self.0.add(hide(index) & 7).read_volatile() }
    }
}

impl Lines for SetLines {
    type Line = SetLine;

    #[inline(always)]
    fn line(&self, index: u32) -> Option<SetLine> {
        self.0.get_ptr(index).map(|line| SetLine(line.cast()))
    }
}

#[inline(always)]
pub fn lines(slot: u32) -> Option<SetLines> {
    SET_LINES.get(slot).map(SetLines)
}

#[inline(always)]
pub fn until(element: &[u64; 3]) -> Option<u64> {
    // SAFETY: the word is copied while the program holds RCU's read lock.
    unsafe { TIMED.get(element) }.copied()
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

type Body = unsafe extern "C" fn(u32, *mut Asking) -> i64;

#[inline(always)]
fn each(count: u32, body: Body, asking: &mut Asking) {
    // SAFETY: the body takes an index and the pointer that is handed on, to memory that outlives the loop.
    unsafe { bpf_loop(count, body as *mut c_void, core::ptr::from_mut(asking).cast(), 0) };
}

/// # Safety
/// Called by [`each`] alone.
#[inline(never)]
unsafe extern "C" fn ask_next_v4(index: u32, asking: *mut Asking) -> i64 {
    // SAFETY: as the caller promises.
    ask_one::<V4, _>(index, unsafe { &mut *asking }, &Maps::new(&Nowhere));
    0
}

/// # Safety
/// Called by [`each`] alone.
#[inline(never)]
unsafe extern "C" fn ask_next_v6(index: u32, asking: *mut Asking) -> i64 {
    // SAFETY: as the caller promises.
    ask_one::<V6, _>(index, unsafe { &mut *asking }, &Maps::new(&Nowhere));
    0
}

/// # Safety
/// Called by [`each`] alone.
#[inline(never)]
unsafe extern "C" fn weigh_next(index: u32, asking: *mut Asking) -> i64 {
    // SAFETY: as the caller promises.
    weigh_one(index, unsafe { &mut *asking }, &Maps::new(&Nowhere));
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
