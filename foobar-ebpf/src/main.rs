//! The kernel's hands: an entry point that reads as the packet's way, and one exit.

#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]
#![expect(clippy::needless_pass_by_value, reason = "the entry points' signatures are aya's")]

mod apart;
mod exit;
mod hide;
mod maps;
mod packet;
mod report;
mod sets;
mod stages;
mod sweep;
mod table;

use aya_ebpf::{
    bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC, xdp_action, xdp_md},
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};
use foobar_common::{
    Departure, Frame as _, Outcome, Tables as _, depart,
    nat::{find_way, may_be_answer},
    quoted::{Asked, ask, may_be_asked, may_be_icmp},
    serve,
    untunnel::{may_be_peeled, peel},
};

// `inline(always)`: the macros wrap a function, and one of this size would be called, by every packet.

/// The firewall and balancer.
#[xdp(frags)]
#[inline(always)]
pub fn foobar(context: XdpContext) -> u32 {
    let mut packet = packet::Packet::<false>::new(&context);
    let maps = maps::Maps::new(&context);
    let outcome = serve(&mut packet, &maps);
    if matches!(outcome, Outcome::NoStage)
        || maps.generation().has_tunnels() && may_be_peeled(outcome) && peel_apart(context.ctx) != 0
        || maps.generation().has_nat() && may_be_answer(outcome) && find_way_apart(context.ctx) != 0
        || maps.generation().serves()
            && may_be_asked(outcome)
            && may_be_icmp(&packet)
            && ask_of(&context, outcome, &maps)
    {
        maps.go_on();
    }
    if matches!(outcome, Outcome::NotIp) {
        // Nothing has asked for the rest of a multi-buffer frame yet, whose bytes count too.
        packet.reaches(usize::MAX);
    }
    exit::leave(&context, packet.len(), outcome, maps.remarked())
}

/// Hands a packet over that is a known balancer's tunnel. In a function of its own: few hosts ask.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn peel_apart(context: *mut xdp_md) -> u64 {
    let context = XdpContext::new(context);
    let (packet, maps) = (packet::Packet::<false>::new(&context), maps::Maps::new(&context));
    u64::from(peel(&packet, maps.generation(), &maps))
}

/// Hands an answer over whose client's way was forgotten. In a function of its own: the others are many.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn find_way_apart(context: *mut xdp_md) -> u64 {
    let context = XdpContext::new(context);
    let (packet, maps) = (packet::Packet::<false>::new(&context), maps::Maps::new(&context));
    u64::from(find_way(&packet, maps.generation(), &maps))
}

#[inline(always)]
fn ask_of(context: &XdpContext, before: Outcome, maps: &maps::Maps<'_, XdpContext>) -> bool {
    let asked = Asked { before, generation: maps.generation() };
    ask_apart(context.ctx, asked.word(), maps.remarked().word()) != 0
}

/// Hands an ICMP message over that may be about a service's flow, or for a service. In a function of its own: they are few.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn ask_apart(context: *mut xdp_md, asked: u64, remark: u64) -> u64 {
    let context = XdpContext::new(context);
    let (packet, maps) = (packet::Packet::<false>::new(&context), maps::Maps::of(&context, remark));
    u64::from(ask(&packet, Asked::from_word(asked), &maps))
}

/// Judges what this host sends, notes what it opens, and lets others decide about what may leave.
#[classifier]
#[inline(always)]
pub fn foobar_egress(context: TcContext) -> i32 {
    let mut sent = packet::Sent::new(&context);
    match depart(&mut sent, &maps::Maps::new(&context)) {
        Departure::Leaves => TC_ACT_UNSPEC,
        Departure::Dropped => TC_ACT_SHOT,
        Departure::Answered => sent.turn_back(),
    }
}

/// Passes every frame: on a veth's other end, it lets frames in that the first end sends from XDP.
#[xdp(frags)]
pub fn foobar_pass(_: XdpContext) -> u32 {
    xdp_action::XDP_PASS
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
