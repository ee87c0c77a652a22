//! What the programs are called with, as far as tables ask.

use aya_ebpf::programs::{TcContext, XdpContext};

/// What a program is called for.
pub trait Context {
    /// Index of the interface that the frame comes in by, or leaves by.
    fn ingress(&self) -> u32;
}

impl Context for XdpContext {
    #[inline(always)]
    fn ingress(&self) -> u32 {
        self.ingress_ifindex() as u32
    }
}

impl Context for TcContext {
    #[inline(always)]
    fn ingress(&self) -> u32 {
        // SAFETY: the kernel gives the program a buffer's context, which lives as long as the program runs.
        unsafe { (*self.skb.skb).ifindex }
    }
}
