//! The one way out: counts the outcome, shows what is to be shown, and turns the outcome into an action.

use aya_ebpf::{
    bindings::{xdp_action, xdp_md},
    programs::XdpContext,
};
use aya_log_ebpf::{
    macro_support::{Level, level_enabled},
    trace,
};
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
    if level_enabled(Level::Trace) {
        log(context.ctx, outcome.index(), len as u64);
    }
    match outcome.action() {
        Action::Pass => xdp_action::XDP_PASS,
        Action::Drop => xdp_action::XDP_DROP,
        Action::Tx => xdp_action::XDP_TX,
        Action::Redirect => xdp_action::XDP_REDIRECT,
    }
}

/// The log, for who develops: a function of numbers, since what is referred to needs a place on the caller's stack.
#[inline(never)]
fn log(context: *mut xdp_md, outcome: u32, len: u64) {
    trace!(XdpContext::new(context), "outcome {} of {} bytes", outcome, len);
}
