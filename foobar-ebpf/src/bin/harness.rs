//! Times any XDP program through `BPF_PROG_TEST_RUN`, also one that rewrites or encapsulates.
//!
//! A wrapper tail-calls the program under test from a sub-program, puts the frame back as it was, and moves on to the
//! next flow. Nothing in production loads this.

#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![expect(clippy::needless_pass_by_value, reason = "the entry points' signatures are aya's")]

use aya_ebpf::{
    EbpfContext as _,
    bindings::{xdp_action, xdp_md},
    helpers::generated::{bpf_ktime_get_coarse_ns, bpf_xdp_adjust_head, bpf_xdp_get_buff_len},
    macros::{map, xdp},
    maps::{Array, ProgramArray},
    programs::XdpContext,
};

/// Bytes that are put back after each run.
const HEAD_WORDS: usize = 10;
/// Bytes of an IPv4 header.
const OUTER: i32 = 20;
/// What the sub-program answers where no program was called.
const NO_TARGET: u32 = 7;

/// How to run; the host side fills it in word by word.
///
/// | word | |
/// |---|---|
/// | 0 | frame length |
/// | 1 | offset of the two bytes of the source address that tell flows apart; from bit 16 on, of two more, or 0 |
/// | 2 | offset of the source port |
/// | 3 | flows; 0: each run is a new one |
/// | 4 | runs so far |
/// | 5–14 | the frame's first 80 bytes |
/// | 15–22 | runs by the action that they returned |
type Settings = [u64; 15 + 8];

#[map]
static SETTINGS: Array<Settings> = Array::with_max_entries(1, 0);
/// The program under test. A table's programs agree on multi-buffer support, so each kind has its own.
#[map]
static TARGET: ProgramArray = ProgramArray::with_max_entries(1, 0);
#[map]
static TARGET_FRAGS: ProgramArray = ProgramArray::with_max_entries(1, 0);

/// What [`bounce`] knows: the address that it serves, and the MACs of two servers, as they stand in a frame.
#[map]
static BOUNCE: Array<[u64; 3]> = Array::with_max_entries(1, 0);

#[xdp]
pub fn wrap(context: XdpContext) -> u32 {
    let action = call(context.ctx);
    next(&context, action)
}

#[xdp(frags)]
pub fn wrap_frags(context: XdpContext) -> u32 {
    let action = call_frags(context.ctx);
    next(&context, action)
}

/// The least that a program can do, for programs without multi-buffer support.
#[xdp]
pub fn empty(_: XdpContext) -> u32 {
    xdp_action::XDP_TX
}

#[xdp(frags)]
pub fn empty_frags(_: XdpContext) -> u32 {
    xdp_action::XDP_TX
}

/// Moves the frame's front as a tunnel does, and no more: what that costs, and that the wrapper moves it back.
#[xdp(frags)]
pub fn grow_frags(context: XdpContext) -> u32 {
    // SAFETY: the context is this program's own.
    match unsafe { bpf_xdp_adjust_head(context.as_ptr().cast(), -OUTER) } {
        0 => xdp_action::XDP_TX,
        _ => xdp_action::XDP_ABORTED,
    }
}

/// Calls a function of its own, and no more.
#[xdp(frags)]
pub fn apart_frags(context: XdpContext) -> u32 {
    if called(context.ingress_ifindex() as u64) == 0 { xdp_action::XDP_ABORTED } else { xdp_action::XDP_TX }
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn called(number: u64) -> u64 {
    number.rotate_left(1)
}

/// Asks what time it is, and no more.
#[xdp(frags)]
pub fn clock_frags(_: XdpContext) -> u32 {
    // SAFETY: a helper without arguments.
    if unsafe { bpf_ktime_get_coarse_ns() } == 0 { xdp_action::XDP_ABORTED } else { xdp_action::XDP_TX }
}

/// The least that a balancer of direct server return can do: TCP over IPv4 to one address goes to one of two servers, as
/// the last bit but one of the client's port says (Linux connects from every other port). It has no rules, no counters
/// and no tables.
#[xdp(frags)]
pub fn bounce(context: XdpContext) -> u32 {
    const ENDS: usize = 14 + 20 + 2;
    let (start, end) = (context.data(), context.data_end());
    let Some(known) = BOUNCE.get(0) else { return xdp_action::XDP_PASS };
    if start + ENDS > end {
        return xdp_action::XDP_PASS;
    }
    // SAFETY: within the bounds checked above, at even offsets.
    let half = |offset: usize| unsafe { *((start + offset) as *const u16) };
    let is_tcp = half(12) == 0x0800_u16.to_be() && u16::from_be(half(14 + 8)) & 0xff == 6;
    let address = u64::from(half(14 + 16)) | u64::from(half(14 + 18)) << 16;
    if !is_tcp || address != known[0] {
        return xdp_action::XDP_PASS;
    }
    let mac = if half(14 + 20) & 2_u16.to_be() == 0 { known[1] } else { known[2] };
    let own = [half(0), half(2), half(4)];
    for (index, own) in own.into_iter().enumerate() {
        // SAFETY: likewise.
        unsafe {
            *((start + index * 2) as *mut u16) = (mac >> (16 * index)) as u16;
            *((start + 6 + index * 2) as *mut u16) = own;
        }
    }
    xdp_action::XDP_TX
}

/// For the other end of a veth pair, which takes in what comes as XDP frames only with a program of its own.
#[xdp(frags)]
pub fn pass(_: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

#[inline(never)]
fn call(context: *mut xdp_md) -> u32 {
    tail_call(&TARGET, context)
}

#[inline(never)]
fn call_frags(context: *mut xdp_md) -> u32 {
    tail_call(&TARGET_FRAGS, context)
}

/// A tail call returns to the caller of the sub-program that makes it.
#[inline(always)]
fn tail_call(targets: &ProgramArray, context: *mut xdp_md) -> u32 {
    let mut answer = NO_TARGET;
    // SAFETY: the context is this program's own, and so is the variable; volatile, or the compiler would know the answer.
    unsafe {
        targets.tail_call(&XdpContext::new(context), 0);
        core::ptr::read_volatile(&raw mut answer)
    }
}

/// Puts the frame back and prepares the next flow. The wrapper's own answer is the action of the program under test.
#[inline(always)]
fn next(context: &XdpContext, action: u32) -> u32 {
    let Some(settings) = SETTINGS.get_ptr_mut(0) else { return xdp_action::XDP_ABORTED };
    // SAFETY: an array's element; a test run has one CPU.
    let settings = unsafe { &mut *settings };
    // SAFETY: the context is this program's own. (The verifier refuses what the compiler makes of `data_end - data`.)
    let len = unsafe { bpf_xdp_get_buff_len(context.as_ptr().cast()) };
    let grown = len.wrapping_sub(settings[0]).cast_signed();
    // SAFETY: as above.
    if grown != 0 && unsafe { bpf_xdp_adjust_head(context.as_ptr().cast(), grown as i32) } != 0 {
        return xdp_action::XDP_ABORTED;
    }
    let (start, end) = (context.data(), context.data_end());
    if start + HEAD_WORDS * 8 > end {
        return xdp_action::XDP_ABORTED;
    }
    for index in 0..HEAD_WORDS {
        // SAFETY: within the bounds checked above; a test run's frame begins at an aligned address.
        unsafe { *((start + index * 8) as *mut u64) = settings[5 + index] };
    }
    let run = settings[4];
    settings[4] = run + 1;
    settings[15 + (action & 7) as usize] += 1;
    scatter(start, end, settings, run);
    action & 7
}

/// Writes the next flow's source port and the end of its address.
#[inline(always)]
fn scatter(start: usize, end: usize, settings: &Settings, run: u64) {
    let flows = settings[3];
    if flows == 1 {
        return;
    }
    let flow = if flows == 0 { run } else { run % flows };
    let mixed = (flow + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let front = settings[1] >> 16;
    for (offset, value) in [(settings[1], mixed >> 32), (settings[2], mixed >> 48), (front, mixed >> 16 & 0xff7f)] {
        if offset == 0 {
            return;
        }
        let place = start + (offset & 0x7f) as usize;
        if place + 2 > end {
            return;
        }
        // SAFETY: within the frame, at an even offset.
        unsafe { *(place as *mut u16) = value as u16 };
    }
}

/// The host builds this crate only to check it.
#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// As the kernel spells it.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
