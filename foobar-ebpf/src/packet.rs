//! Access to the frame behind an XDP context: the one file that touches packet memory.

use core::cell::Cell;

use aya_ebpf::{bindings::xdp_md, helpers::generated::bpf_xdp_get_buff_len, programs::XdpContext};
use foobar_common::{Frame, FrameMut, frame::Header};

use crate::hide::hide;

/// The linear part of a frame, and as much of its length as had to be found out.
///
/// Headers are read from the linear part alone: drivers put at least the headers there.
pub struct Packet {
    context: *mut xdp_md,
    start: usize,
    end: usize,
    len: Cell<usize>,
}

impl Packet {
    #[inline(always)]
    pub fn new(context: &XdpContext) -> Self {
        let (start, end) = (context.data(), context.data_end());
        // The compiler must not fold this into a comparison of pointers, which the verifier refuses.
        let len = hide(end - start);
        Self { context: context.ctx, start, end, len: Cell::new(len) }
    }

    /// Where `H` stands at `offset`, if it ends within the linear part.
    #[inline(always)]
    fn at<H>(&self, offset: usize) -> Option<*mut H> {
        let start = self.start + offset;
        if start + size_of::<H>() > self.end {
            return None;
        }
        Some(start as *mut H)
    }
}

impl Frame for Packet {
    #[inline(always)]
    fn len(&self) -> usize {
        self.len.get()
    }

    #[inline(always)]
    fn reaches(&self, end: usize) -> bool {
        if end <= self.len.get() {
            return true;
        }
        // SAFETY: the helper takes the context of this very program.
        self.len.set(unsafe { bpf_xdp_get_buff_len(self.context) } as usize);
        end <= self.len.get()
    }

    #[inline(always)]
    fn forget(&self, number: usize) -> usize {
        // The verifier does not see that a number mixed twice with an unknown one is the same again.
        let unknown = hide(self.end - self.start);
        hide(number ^ unknown) ^ unknown
    }

    #[inline(always)]
    fn read<H: Header>(&self, offset: usize) -> Option<H> {
        // SAFETY: `at` proved that all of H lies within the packet; headers stand at even offsets, and no H asks for more.
        self.at::<H>(offset).map(|header| unsafe { *header })
    }
}

impl FrameMut for Packet {
    #[inline(always)]
    fn write<H: Header>(&mut self, offset: usize, header: H) -> Option<()> {
        let place = self.at::<H>(offset)?;
        // SAFETY: as for `read`; nobody else holds a reference into the packet.
        unsafe { *place = header };
        Some(())
    }
}
