//! Shows a packet to people: within its budget, from a function of its own, so that others pay a test and no more.
//!
//! What cannot be shown is counted, and never holds a packet up.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::{__sk_buff, xdp_md},
    helpers::generated::{bpf_ktime_get_ns, bpf_skb_load_bytes, bpf_xdp_load_bytes},
};
use foobar_common::{
    Action, Outcome,
    event::{FRONT, HEAD_WORDS, Head, Kind, ONE_OF},
    plane::Way,
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

/// The same of one that this host sends, before it becomes what its sender is told: only drops are shown, to who watches.
#[inline(always)]
pub fn consider_sent(context: *mut __sk_buff, outcome: Outcome, remark: Remark, len: usize) {
    if matches!(outcome.action(), Action::Drop) && maps::is_watched() {
        show_sent(context, outcome.index() | DROPPED, remark.word(), len as u64);
    }
}

/// What a program is called with, as far as it is shown.
trait Shown: Copy {
    const WAY: Way;

    /// # Safety
    ///
    /// The context is this program's.
    unsafe fn interface(self) -> u32;

    /// Copies the front of the frame. False where it has not so many bytes.
    ///
    /// # Safety
    ///
    /// The context is this program's, and there is room for the bytes.
    unsafe fn load(self, to: *mut c_void, len: u32) -> bool;
}

impl Shown for *mut xdp_md {
    const WAY: Way = Way::In;

    #[inline(always)]
    unsafe fn interface(self) -> u32 {
        // SAFETY: the caller's.
        unsafe { (*self).ingress_ifindex }
    }

    #[inline(always)]
    unsafe fn load(self, to: *mut c_void, len: u32) -> bool {
        // SAFETY: the caller's.
        unsafe { bpf_xdp_load_bytes(self, 0, to, len) == 0 }
    }
}

impl Shown for *mut __sk_buff {
    const WAY: Way = Way::Out;

    #[inline(always)]
    unsafe fn interface(self) -> u32 {
        // SAFETY: the caller's.
        unsafe { (*self).ifindex }
    }

    #[inline(always)]
    unsafe fn load(self, to: *mut c_void, len: u32) -> bool {
        // SAFETY: the caller's.
        unsafe { bpf_skb_load_bytes(self.cast(), 0, to, len) == 0 }
    }
}

/// A call that takes 0.1 µs and more, for few packets.
#[inline(never)]
fn show(context: *mut xdp_md, what: u32, count: u64, remark: u64, len: u64) -> u64 {
    tell(context, what, is_sampled(count), remark, len)
}

/// The same on the way out.
#[inline(never)]
fn show_sent(context: *mut __sk_buff, what: u32, remark: u64, len: u64) -> u64 {
    tell(context, what, false, remark, len)
}

#[inline(always)]
fn tell<C: Shown>(context: C, what: u32, is_sampled: bool, remark: u64, len: u64) -> u64 {
    let remark = Remark::from_word(remark);
    // SAFETY: a helper without arguments.
    let at = unsafe { bpf_ktime_get_ns() };
    let mut kinds = 0;
    if is_sampled {
        kinds |= Kind::Sampled.bit();
    }
    if what & DROPPED != 0 && maps::is_watched() && maps::watched_at(at / 1_000_000_000) {
        kinds |= Kind::Dropped.bit();
    }
    if remark.is_logged() {
        kinds |= Kind::Logged.bit();
    }
    for kind in Kind::ALL {
        if kinds & kind.bit() != 0 && !maps::within_budget(kind as u32, at) {
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
        let done = context.load(words.add(HEAD_WORDS).cast(), kept as u32);
        let head = Head {
            at,
            kinds,
            outcome: what & !DROPPED,
            rule: remark.rule(),
            way: C::WAY,
            interface: context.interface(),
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
