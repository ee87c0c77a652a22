//! What the programs are called with, as far as tables ask.

use aya_ebpf::{
    maps::ProgramArray,
    programs::{TcContext, XdpContext},
};
use foobar_common::{Address, Outcome, next_hop::NextHop};

use super::{Remark, route};
use crate::report;

/// What a program is called for.
pub trait Context {
    /// Index of the interface that the frame comes in by, or leaves by.
    fn ingress(&self) -> u32;

    /// The way to an address by the kernel's routes and neighbours, as of a packet that is forwarded.
    #[inline(always)]
    fn route<A: Address>(&self, _: A, _: A) -> Option<NextHop> {
        None
    }

    /// Has the program at `index` go on; returns where it is not there.
    #[inline(always)]
    fn tail_call(&self, _: &ProgramArray, _: u32) {}

    /// Shows a frame that this host sends, if it is one to be shown.
    #[inline(always)]
    fn consider_sent(&self, _: Outcome, _: Remark, _: usize) {}
}

impl Context for XdpContext {
    #[inline(always)]
    fn ingress(&self) -> u32 {
        self.ingress_ifindex() as u32
    }

    #[inline(always)]
    fn route<A: Address>(&self, source: A, destination: A) -> Option<NextHop> {
        route::find(self, source, destination)
    }

    #[inline(always)]
    fn tail_call(&self, programs: &ProgramArray, index: u32) {
        // SAFETY: the context is this program's own. Where it succeeds, nothing here goes on.
        unsafe { programs.tail_call(self, index) };
    }
}

impl Context for TcContext {
    #[inline(always)]
    fn ingress(&self) -> u32 {
        // SAFETY: the kernel gives the program a buffer's context, which lives as long as the program runs.
        unsafe { (*self.skb.skb).ifindex }
    }

    #[inline(always)]
    fn consider_sent(&self, outcome: Outcome, remark: Remark, len: usize) {
        report::consider_sent(self.skb.skb, outcome, remark, len);
    }
}
