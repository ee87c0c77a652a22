//! Sweeps over the notes: the kernel's iterator over a map (Linux 5.9) calls a program for each note.
//!
//! A program that writes ends the slice where the reader's buffer is full, and the next one goes on behind it: so each
//! note is a byte. Packets read and write the same notes meanwhile.

use aya_ebpf::{bindings::seq_file, cty::c_void, helpers::generated::bpf_seq_write};
use foobar_common::{
    Address,
    address::{V4, V6},
    note::Note,
};

use crate::maps;

/// The kernel's `bpf_iter__bpf_map_elem`.
#[repr(C)]
pub struct Step {
    meta: *const Meta,
    map: *const c_void,
    /// Null behind the last element, as the next one.
    key: *const c_void,
    value: *const [u64; 2],
}

/// The front of the kernel's `bpf_iter_meta`.
#[repr(C)]
struct Meta {
    seq: *mut seq_file,
}

/// Looks at one note of IPv4.
#[unsafe(link_section = "iter/bpf_map_elem")]
#[unsafe(no_mangle)]
pub extern "C" fn foobar_sweep_v4(step: *const Step) -> i32 {
    look::<V4>(step)
}

/// The same of IPv6, whose keys are longer.
#[unsafe(link_section = "iter/bpf_map_elem")]
#[unsafe(no_mangle)]
pub extern "C" fn foobar_sweep_v6(step: *const Step) -> i32 {
    look::<V6>(step)
}

#[inline(always)]
fn look<A: Address>(step: *const Step) -> i32 {
    // SAFETY: the kernel hands each program of this kind such a record.
    let (key, value) = unsafe { ((*step).key, (*step).value) };
    if key.is_null() || value.is_null() {
        maps::end_sweep::<A>();
        return 0;
    }
    // SAFETY: the kernel attaches this program to a map with keys and values of at least these sizes, in whole words.
    let (key, words) = unsafe { (key.cast::<A::FlowKey>().read(), value.read()) };
    maps::sweep::<A>(&key, Note::from_words(words));
    // A buffer without room ends the slice too.
    // SAFETY: the kernel's own record, and a byte of this program's.
    unsafe { bpf_seq_write((*(*step).meta).seq, (&raw const STEP).cast(), 1) };
    0
}

/// What a note is in the reader's buffer.
static STEP: u8 = 1;
