//! Access to the frame behind a program's context: the one file that touches packet memory.

use aya_ebpf::{
    bindings::{__sk_buff, BPF_F_INGRESS, xdp_md},
    helpers::generated::{
        bpf_redirect, bpf_skb_change_tail, bpf_skb_store_bytes, bpf_xdp_adjust_head, bpf_xdp_adjust_tail,
        bpf_xdp_get_buff_len,
    },
    programs::{TcContext, XdpContext},
};
use foobar_common::{
    Frame, FrameMut,
    frame::{Grow, Header, Resize},
};

use crate::hide::{InMemory, hide};

/// The linear part of a frame. Headers are read from there alone: drivers and the stack put at least the headers there.
struct Linear {
    start: usize,
    end: usize,
}

impl Linear {
    /// Bytes. The compiler must not fold this into a comparison of pointers, which the verifier refuses.
    #[inline(always)]
    fn len(&self) -> usize {
        hide(self.end - self.start)
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

    /// The same by a check of its own: the compiler would leave out one that another implies, of which the verifier knows
    /// nothing.
    #[inline(always)]
    fn own_place<H>(&self, offset: usize) -> Option<*mut H> {
        let start = hide(self.start + offset);
        if start + size_of::<H>() > self.end {
            return None;
        }
        Some(start as *mut H)
    }

    #[inline(always)]
    fn forget(&self, number: usize) -> usize {
        // The verifier does not see that a number mixed twice with an unknown one is the same again.
        let unknown = self.len();
        hide(number ^ unknown) ^ unknown
    }

    #[inline(always)]
    fn reread<H: Header>(&self, offset: usize) -> Option<H> {
        // SAFETY: as for `read`.
        self.own_place::<H>(offset).map(|header| unsafe { *header })
    }

    #[inline(always)]
    fn read<H: Header>(&self, offset: usize) -> Option<H> {
        // SAFETY: `at` proved that all of H lies within the packet; headers stand at even offsets, and no H asks for more.
        self.at::<H>(offset).map(|header| unsafe { *header })
    }
}

/// A received frame, and as much of its length as had to be found out. `WARY`: each header is read by a check of its own,
/// since writes come between, after which the verifier knows less than the compiler.
pub struct Packet<const WARY: bool> {
    context: *mut xdp_md,
    linear: Linear,
    len: InMemory<usize>,
}

impl<const WARY: bool> Packet<WARY> {
    #[inline(always)]
    pub fn new(context: &XdpContext) -> Self {
        let linear = Linear { start: context.data(), end: context.data_end() };
        let len = linear.len();
        Self { context: context.ctx, linear, len: InMemory::new(len) }
    }
}

impl<const WARY: bool> Frame for Packet<WARY> {
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
        self.linear.forget(number)
    }

    #[inline(always)]
    fn read<H: Header>(&self, offset: usize) -> Option<H> {
        if WARY { self.linear.reread(offset) } else { self.linear.read(offset) }
    }
}

impl<const WARY: bool> FrameMut for Packet<WARY> {
    #[inline(always)]
    fn write<H: Header>(&mut self, offset: usize, header: H) -> Option<()> {
        let place = self.linear.own_place::<H>(offset)?;
        // SAFETY: as for `read`; nobody else holds a reference into the packet.
        unsafe { *place = header };
        Some(())
    }
}

impl<const WARY: bool> Packet<WARY> {
    /// Finds the linear part again, which may have moved.
    #[inline(always)]
    fn find(&mut self) {
        // SAFETY: the context is this very program's. The verifier knows that a helper came between.
        let (start, end) = unsafe { ((&raw const (*self.context).data), (&raw const (*self.context).data_end)) };
        // SAFETY: as above.
        let (start, end) = unsafe { (start.read_volatile() as usize, end.read_volatile() as usize) };
        self.linear = Linear { start, end };
    }

    /// Moves the frame's front by so many bytes: to the front where they are negative.
    #[inline(always)]
    fn move_front(&mut self, by: i32) -> Option<()> {
        // SAFETY: the context is this very program's.
        let done = unsafe { bpf_xdp_adjust_head(self.context, by) };
        self.find();
        self.len.set(self.len.get().wrapping_sub((by as isize).cast_unsigned()));
        (done == 0).then_some(())
    }
}

impl<const WARY: bool> Grow for Packet<WARY> {
    #[inline(always)]
    fn grow(&mut self, bytes: usize) -> Option<()> {
        self.move_front(-(bytes as u32).cast_signed())
    }

    #[inline(always)]
    fn shrink(&mut self, bytes: usize) -> Option<()> {
        self.move_front((bytes as u32).cast_signed())
    }
}

impl<const WARY: bool> Resize for Packet<WARY> {
    #[inline(always)]
    fn resize(&mut self, len: usize) -> Option<()> {
        // SAFETY: the context is this very program's.
        let now = unsafe { bpf_xdp_get_buff_len(self.context) } as u32;
        let by = (len as u32).wrapping_sub(now).cast_signed();
        // SAFETY: as above.
        let done = unsafe { bpf_xdp_adjust_tail(self.context, by) };
        self.find();
        self.len.set(len);
        (done == 0).then_some(())
    }
}

/// A frame on its way out, which may be many segments in one (GSO).
pub struct Sent {
    context: *mut __sk_buff,
    linear: Linear,
    len: usize,
}

impl Sent {
    #[inline(always)]
    pub fn new(context: &TcContext) -> Self {
        let linear = Linear { start: context.data(), end: context.data_end() };
        Self { context: context.skb.skb, linear, len: context.len() as usize }
    }

    /// Has the frame come in by the interface that it was to leave by.
    #[inline(always)]
    pub fn turn_back(&self) -> i32 {
        // SAFETY: the context is this very program's; the helper takes numbers alone.
        unsafe { bpf_redirect((*self.context).ifindex, u64::from(BPF_F_INGRESS)) as i32 }
    }
}

impl Frame for Sent {
    #[inline(always)]
    fn len(&self) -> usize {
        self.len
    }

    #[inline(always)]
    fn reaches(&self, end: usize) -> bool {
        end <= self.len
    }

    #[inline(always)]
    fn bytes_of(&self, said: usize, offset: usize) -> usize {
        if said == 0 { hide(self.len - offset).min(usize::from(u16::MAX)) } else { said }
    }

    #[inline(always)]
    fn forget(&self, number: usize) -> usize {
        self.linear.forget(number)
    }

    #[inline(always)]
    fn read<H: Header>(&self, offset: usize) -> Option<H> {
        self.linear.read(offset)
    }
}

// The packet may have moved behind these: the verifier sees to it that nothing is read of it any more.
impl FrameMut for Sent {
    #[inline(always)]
    fn write<H: Header>(&mut self, offset: usize, header: H) -> Option<()> {
        let bytes = core::ptr::from_ref(&header).cast();
        // SAFETY: the helper copies as many bytes as the header has, into the packet of this very program.
        let done = unsafe { bpf_skb_store_bytes(self.context, offset as u32, bytes, size_of::<H>() as u32, 0) };
        (done == 0).then_some(())
    }
}

impl Resize for Sent {
    #[inline(always)]
    fn resize(&mut self, len: usize) -> Option<()> {
        // SAFETY: the context is this very program's.
        let done = unsafe { bpf_skb_change_tail(self.context, len as u32, 0) };
        (done == 0).then_some(())
    }
}
