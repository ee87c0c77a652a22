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
mod table;

use aya_ebpf::{
    bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC, xdp_action},
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};
use foobar_common::{
    Departure, Frame as _, Outcome, Tables as _,
    ask::Judged,
    depart,
    handoff::{Handoff, Stage},
    serve,
};

// `inline(always)`: the macros wrap a function, and one of this size would be called, by every packet.

/// The firewall and balancer.
#[xdp(frags)]
#[inline(always)]
pub fn foobar(context: XdpContext) -> u32 {
    let mut packet = packet::Packet::<false>::new(&context);
    let maps = maps::Maps::new(&context);
    let mut outcome = serve(&mut packet, &maps);
    let judged = Judged { outcome, generation: maps.generation() };
    if judged.is_asked(&packet) {
        outcome = maps.hand_over(Handoff::told(Stage::ASK, packet.len(), judged.word()));
    }
    if matches!(outcome, Outcome::NoStage) {
        maps.go_on();
    }
    if matches!(outcome, Outcome::NotIp) {
        // Nothing has asked for the rest of a multi-buffer frame yet, whose bytes count too.
        packet.reaches(usize::MAX);
    }
    exit::leave(&context, packet.len(), outcome, maps.remarked())
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
