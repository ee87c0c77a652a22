//! Access to the frame behind an XDP context: the one file that touches packet memory.

use aya_ebpf::{EbpfContext as _, helpers::generated::bpf_xdp_get_buff_len, programs::XdpContext};
use foobar_common::{Frame, FrameMut, frame::Header};

/// The linear part of a frame, and the length of the whole.
///
/// Headers are read from the linear part alone: drivers put at least the headers there.
pub struct Packet {
    start: usize,
    end: usize,
    len: usize,
}

impl Packet {
    #[inline(always)]
    pub fn new(context: &XdpContext) -> Self {
        // SAFETY: the helper takes the context of this very program.
        let len = unsafe { bpf_xdp_get_buff_len(context.as_ptr().cast()) };
        Self { start: context.data(), end: context.data_end(), len: len as usize }
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
        self.len
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
