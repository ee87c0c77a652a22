//! The seconds of the monotonic clock. The helper that tells them is called where the tick has moved, and not by each packet:
//! the tick is a number in memory, which the kernel has programs read without a call (Linux 5.6).

use aya_ebpf::helpers::generated::{bpf_jiffies64, bpf_ktime_get_coarse_ns};
use foobar_common::layout::CLOCK_WORDS;

use crate::table::Table;

/// The tick's lower half above its second, which all CPUs share: a static that packets write, since what a loader puts back
/// there is of another tick. An empty table seems right in one tick of 2^32, and tells second 0 there.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.CLOCK")]
static CLOCK: Table<CLOCK_WORDS> = Table::new();

const TICK_SHIFT: u32 = 32;

/// The kernel moves the tick first and the coarse clock after it, so a second can be late, and go back by one, until the next
/// tick: whoever subtracts saturates.
#[inline(always)]
pub fn now() -> u32 {
    // SAFETY: a helper without arguments.
    let tick = unsafe { bpf_jiffies64() } << TICK_SHIFT;
    let known = CLOCK.first();
    if (known ^ tick) >> TICK_SHIFT == 0 {
        return known as u32;
    }
    // SAFETY: likewise.
    let second = (unsafe { bpf_ktime_get_coarse_ns() } / 1_000_000_000) as u32;
    CLOCK.set_first(tick | u64::from(second));
    second
}
