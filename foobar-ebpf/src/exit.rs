//! The one way out: counts the outcome, shows what is to be shown, and turns the outcome into an action.

use aya_ebpf::{bindings::xdp_action, programs::XdpContext};
use aya_log_ebpf::trace;
use foobar_common::{Action, Outcome};

use crate::{
    maps::{self, Remark},
    report,
};

/// `len`: the frame's, as it came in.
#[inline(always)]
pub fn leave(context: &XdpContext, len: usize, outcome: Outcome, remark: Remark) -> u32 {
    let count = maps::count_outcome(outcome, len);
    report::consider(context.ctx, outcome, count, remark, len);
    trace!(context, "outcome {} of {} bytes", outcome.index(), len);
    match outcome.action() {
        Action::Pass => xdp_action::XDP_PASS,
        Action::Drop => xdp_action::XDP_DROP,
        Action::Tx => xdp_action::XDP_TX,
        Action::Redirect => xdp_action::XDP_REDIRECT,
    }
}
