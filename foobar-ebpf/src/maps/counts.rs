//! The counters of each CPU: why packets left, what rules decided, what backends got.

use aya_ebpf::{macros::map, maps::PerCpuArray};
use foobar_common::{
    Outcome,
    layout::{BACKEND_TALLY_WORDS, MAX_BACKENDS, MAX_RULES, TALLY_WORDS},
};

type Tally = [u64; TALLY_WORDS];
type BackendTally = [u64; BACKEND_TALLY_WORDS];

#[map]
static OUTCOMES: PerCpuArray<Tally> = PerCpuArray::with_max_entries(Outcome::COUNT as u32, 0);
#[map]
static RULES: PerCpuArray<Tally> = PerCpuArray::with_max_entries(MAX_RULES, 0);
#[map]
static BACKENDS: PerCpuArray<BackendTally> = PerCpuArray::with_max_entries(MAX_BACKENDS, 0);

/// Counts a packet of `len` bytes that left with `outcome`, and returns how many have on this CPU.
#[inline(always)]
pub fn count_outcome(outcome: Outcome, len: usize) -> u64 {
    add(&OUTCOMES, outcome.index(), [1, len as u64])
}

/// Adds to this CPU's counter, and returns its first word. A counter that is not there changes no verdict.
#[inline(always)]
pub(super) fn add<const N: usize>(counters: &PerCpuArray<[u64; N]>, index: u32, amounts: [u64; N]) -> u64 {
    let Some(counter) = counters.get_ptr_mut(index) else { return 1 };
    // SAFETY: the kernel gave this CPU's own element, and nothing else runs on this CPU meanwhile.
    let counter = unsafe { &mut *counter };
    for (total, amount) in counter.iter_mut().zip(amounts) {
        *total += amount;
    }
    counter[0]
}

/// Counts a packet of `len` bytes that a rule decided.
#[inline(always)]
pub fn count_rule(id: u32, len: usize) {
    add(&RULES, id, [1, len as u64]);
}

#[inline(always)]
pub fn count_backend(backend: u32, amounts: BackendTally) {
    add(&BACKENDS, backend, amounts);
}
