//! The seconds of the monotonic clock. The helper that tells them is called once a tick: a call costs more than a look at
//! the tick, a number in memory which the kernel has programs read without one (Linux 5.6).

use aya_ebpf::helpers::generated::{bpf_jiffies64, bpf_ktime_get_coarse_ns};
use foobar_common::layout::CLOCK_WORDS;

use crate::table::Table;

/// The tick's lower half above its second. All CPUs share it: what one writes late is written again.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.CLOCK")]
static CLOCK: Table<CLOCK_WORDS> = Table::new();

const HALF: u32 = 32;

/// As the coarse clock has them, which moves with the tick too.
#[inline(always)]
pub fn now() -> u32 {
    // SAFETY: a helper without arguments.
    let tick = unsafe { bpf_jiffies64() } << HALF;
    let known = CLOCK.first();
    if (known ^ tick) >> HALF == 0 {
        return known as u32;
    }
    // SAFETY: likewise.
    let second = (unsafe { bpf_ktime_get_coarse_ns() } / 1_000_000_000) as u32;
    CLOCK.set(0, tick | u64::from(second));
    second
}
