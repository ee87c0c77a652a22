//! The one way out: counts the outcome, shows what is to be shown, and turns the outcome into an action.

use aya_ebpf::{bindings::xdp_action, programs::XdpContext};
use aya_log_ebpf::trace;
use foobar_common::{Action, Frame as _, Outcome};

use crate::{
    maps::{self, Remark},
    packet::Packet,
    report,
};

#[inline(always)]
pub fn leave(context: &XdpContext, packet: &Packet, outcome: Outcome, remark: Remark) -> u32 {
    if matches!(outcome, Outcome::NotIp) {
        // Nothing has asked for the rest of a multi-buffer frame yet, whose bytes count too.
        packet.reaches(usize::MAX);
    }
    let count = maps::count_outcome(outcome, packet.len());
    report::consider(context.ctx, outcome, count, remark, packet.len());
    trace!(context, "outcome {} of {} bytes", outcome.index(), packet.len());
    match outcome.action() {
        Action::Pass => xdp_action::XDP_PASS,
        Action::Drop => xdp_action::XDP_DROP,
        Action::Tx => xdp_action::XDP_TX,
        Action::Redirect => xdp_action::XDP_REDIRECT,
    }
}
