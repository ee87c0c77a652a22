//! The one way out: counts the outcome and turns it into an action.

use aya_ebpf::{bindings::xdp_action, programs::XdpContext};
use aya_log_ebpf::trace;
use foobar_common::{Action, Frame as _, Outcome};

use crate::{maps, packet::Packet};

#[inline(always)]
pub fn leave(context: &XdpContext, packet: &Packet, outcome: Outcome) -> u32 {
    if matches!(outcome, Outcome::NotIp) {
        // Nothing has asked for the rest of a multi-buffer frame yet, whose bytes count too.
        packet.reaches(usize::MAX);
    }
    maps::count_outcome(outcome, packet.len());
    trace!(context, "outcome {} of {} bytes", outcome.index(), packet.len());
    match outcome.action() {
        Action::Pass => xdp_action::XDP_PASS,
        Action::Drop => xdp_action::XDP_DROP,
        Action::Tx => xdp_action::XDP_TX,
        Action::Redirect => xdp_action::XDP_REDIRECT,
    }
}
