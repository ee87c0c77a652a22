//! The programs that go on with a packet where the first one hands it over. Each leaves by the same exit.

use aya_ebpf::{bindings::xdp_action, macros::xdp, programs::XdpContext};
use foobar_common::{
    Tables as _, answer,
    ask::{Judged, ask},
    handoff::{Handoff, Stage},
    nat,
    outcome::{Outcome, Step},
    quic, quoted, snat, tunnel, untunnel,
};

use crate::{
    exit,
    maps::{self, Maps, Remark},
    packet::Packet,
};

/// To a backend, inside another packet.
#[xdp(frags)]
#[inline(always)]
pub fn foobar_tunnel(context: XdpContext) -> u32 {
    let Some(handoff) = maps::handoff() else { return xdp_action::XDP_ABORTED };
    let mut packet = Packet::<true>::new(&context);
    let done = tunnel::tunnel(&mut packet, &handoff, &Maps::of(&context, handoff.remark));
    leave(&context, &handoff, done)
}

/// To a backend's own address and port.
#[xdp(frags)]
#[inline(always)]
pub fn foobar_nat(context: XdpContext) -> u32 {
    let Some(handoff) = maps::handoff() else { return xdp_action::XDP_ABORTED };
    let (mut packet, maps) = (Packet::<true>::new(&context), Maps::of(&context, handoff.remark));
    let done = nat::nat(&mut packet, &handoff, &maps);
    if matches!(done, Ok(Outcome::NoStage)) {
        maps.go_on();
    }
    leave(&context, &handoff, done)
}

/// The same, from an address and port of this host's.
#[xdp(frags)]
#[inline(always)]
pub fn foobar_snat(context: XdpContext) -> u32 {
    let Some(handoff) = maps::handoff() else { return xdp_action::XDP_ABORTED };
    let mut packet = Packet::<true>::new(&context);
    let done = snat::snat(&mut packet, &handoff, &Maps::of(&context, handoff.remark));
    leave(&context, &handoff, done)
}

/// From a backend to a client.
#[xdp(frags)]
#[inline(always)]
pub fn foobar_answer(context: XdpContext) -> u32 {
    let Some(handoff) = maps::handoff() else { return xdp_action::XDP_ABORTED };
    let (mut packet, maps) = (Packet::<true>::new(&context), Maps::of(&context, handoff.remark));
    let done = answer::answer(&mut packet, &handoff, &maps);
    leave(&context, &handoff, done)
}

/// A packet that is for nobody here, as far as the first program sees: it may be an answer, a tunnel's, or about a flow.
#[xdp(frags)]
#[inline(always)]
pub fn foobar_ask(context: XdpContext) -> u32 {
    let Some(handoff) = maps::handoff() else { return xdp_action::XDP_ABORTED };
    let (packet, maps) = (Packet::<false>::new(&context), Maps::of(&context, handoff.remark));
    let judged = Judged::from_word(handoff.detail);
    if ask(&packet, judged, &maps) {
        maps.go_on();
    }
    leave(&context, &handoff, Ok(judged.outcome))
}

/// For a service whose backends connection ids name: it goes on from where the first program found it.
#[xdp(frags)]
#[inline(always)]
pub fn foobar_quic(context: XdpContext) -> u32 {
    let Some(handoff) = maps::handoff() else { return xdp_action::XDP_ABORTED };
    let (mut packet, maps) = (Packet::<false>::new(&context), Maps::of(&context, handoff.remark));
    let done = quic::quic(&mut packet, &handoff, &maps);
    if matches!(done, Ok(Outcome::NoStage)) {
        maps.go_on();
    }
    leave(&context, &handoff, done)
}

/// An ICMP message that the first program has judged, with the flow that it quotes.
#[xdp(frags)]
#[inline(always)]
pub fn foobar_quoted(context: XdpContext) -> u32 {
    let Some(handoff) = maps::handoff() else { return xdp_action::XDP_ABORTED };
    let (mut packet, maps) = (Packet::<true>::new(&context), Maps::of(&context, handoff.remark));
    let done = quoted::quoted(&mut packet, &handoff, &maps);
    if matches!(done, Ok(Outcome::NoStage)) {
        maps.go_on();
    }
    leave(&context, &handoff, done)
}

/// Out of a balancer's tunnel: what was inside is a packet like any other.
#[xdp(frags)]
#[inline(always)]
pub fn foobar_untunnel(context: XdpContext) -> u32 {
    let Some(handoff) = maps::handoff() else { return xdp_action::XDP_ABORTED };
    let mut packet = Packet::<true>::new(&context);
    let done = untunnel::untunnel(&mut packet, &handoff);
    if done.is_ok() {
        let maps = Maps::of(&context, handoff.remark);
        maps.hand_over(Handoff { stage: Stage::MAIN, ..handoff });
        maps.go_on();
    }
    leave(&context, &handoff, done.map(|()| Outcome::NoStage))
}

#[inline(always)]
fn leave(context: &XdpContext, handoff: &Handoff, done: Step<Outcome>) -> u32 {
    let (Ok(outcome) | Err(outcome)) = done;
    exit::leave(context, handoff.len as usize, outcome, Remark::from_word(handoff.remark))
}
