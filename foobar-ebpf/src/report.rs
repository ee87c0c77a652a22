//! Shows a packet to people: within its budget, from a function of its own, so that others pay a test and no more.
//!
//! What cannot be shown is counted, and never holds a packet up.

use aya_ebpf::{
    bindings::xdp_md,
    helpers::generated::{bpf_ktime_get_ns, bpf_xdp_load_bytes},
};
use foobar_common::{
    Action, Outcome,
    event::{FRONT, HEAD_WORDS, Head, Kind, ONE_OF},
};

use crate::{hide::hide, maps, maps::Remark};

/// Beside an outcome's index: its packets are dropped.
const DROPPED: u32 = 1 << 8;

/// Shows a packet if it is one to be shown. `count`: how many have left with its outcome on this CPU.
#[inline(always)]
pub fn consider(context: *mut xdp_md, outcome: Outcome, count: u64, remark: Remark, len: usize) {
    let is_dropped = matches!(outcome.action(), Action::Drop);
    if is_sampled(count) || remark.is_logged() || is_dropped && maps::is_watched() {
        let what = outcome.index() | if is_dropped { DROPPED } else { 0 };
        show(context, what, count, remark.word(), len as u64);
    }
}

#[inline(always)]
const fn is_sampled(count: u64) -> bool {
    count & (ONE_OF - 1) == 0
}

/// A call that takes 0.1 µs and more, for few packets.
#[inline(never)]
fn show(context: *mut xdp_md, what: u32, count: u64, remark: u64, len: u64) -> u64 {
    let remark = Remark::from_word(remark);
    // SAFETY: a helper without arguments.
    let at = unsafe { bpf_ktime_get_ns() };
    let mut kinds = 0;
    if is_sampled(count) {
        kinds |= Kind::Sampled.bit();
    }
    if what & DROPPED != 0 && maps::is_watched() && maps::watched_at(at / 1_000_000_000) {
        kinds |= Kind::Dropped.bit();
    }
    if remark.is_logged() {
        kinds |= Kind::Logged.bit();
    }
    for kind in Kind::ALL {
        if kinds & kind.bit() != 0 && !maps::within_budget(kind, at) {
            kinds &= !kind.bit();
        }
    }
    if kinds == 0 {
        return 0;
    }
    let Some(mut entry) = maps::event() else {
        for kind in Kind::ALL {
            if kinds & kind.bit() != 0 {
                maps::count_lost(kind);
            }
        }
        return 0;
    };
    let words = entry.as_mut_ptr().cast::<u64>();
    // SAFETY: the entry has room for the head and the front; the context is this program's.
    unsafe {
        // The helper checks that the frame has these bytes. Written so that Linux 6.1 sees that they are some, and that
        // the entry has room for them.
        let kept = (hide((len as usize).min(FRONT).wrapping_sub(1)) & (FRONT - 1)) + 1;
        let done = bpf_xdp_load_bytes(context, 0, words.add(HEAD_WORDS).cast(), kept as u32) == 0;
        let head = Head {
            at,
            kinds,
            outcome: what & !DROPPED,
            rule: remark.rule(),
            ingress: (*context).ingress_ifindex,
            len: len as u32,
            kept: if done { kept as u32 } else { 0 },
        };
        for (index, word) in head.words().into_iter().enumerate() {
            words.add(index).write_volatile(word);
        }
    }
    entry.submit(0);
    0
}
