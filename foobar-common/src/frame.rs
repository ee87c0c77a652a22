//! Access to a frame's bytes, the same for the kernel's context and for a slice on the host.
//!
//! Headers are read by value: a reader never holds a pointer into a packet.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A header: plain bytes without padding, any pattern of which is a value.
pub trait Header: FromBytes + IntoBytes + KnownLayout + Immutable + Copy {}

impl<T: FromBytes + IntoBytes + KnownLayout + Immutable + Copy> Header for T {}

/// A received frame, from its Ethernet header on.
pub trait Frame {
    /// The frame's length in bytes. Of a multi-buffer frame it is the whole once [`Frame::reaches`] was asked for more
    /// than the first buffer.
    fn len(&self) -> usize;

    /// Whether the frame, every buffer included, is at least `end` bytes long.
    fn reaches(&self, end: usize) -> bool;

    /// The header at `offset` bytes, or `None` where the frame ends before the header does.
    fn read<H: Header>(&self, offset: usize) -> Option<H>;

    /// Bytes from `offset` on of a packet whose header says `said`. A segment that the kernel has not cut to size yet says
    /// 0 where it is too long to say it (BIG TCP, Linux 5.19); then it is as long as can be said.
    #[inline(always)]
    fn bytes_of(&self, said: usize, _offset: usize) -> usize {
        said
    }

    /// The same number, of which the kernel's verifier knows nothing any more.
    ///
    /// It then looks at what follows once, and not once for each way that led there.
    #[inline(always)]
    fn forget(&self, number: usize) -> usize {
        number
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A frame whose headers can be rewritten in place.
pub trait FrameMut: Frame {
    /// Overwrites the bytes at `offset`; `None`, and nothing written, where the frame is too short.
    fn write<H: Header>(&mut self, offset: usize, header: H) -> Option<()>;
}

/// A frame that can be made longer and shorter: what is behind its headers does not matter.
pub trait Resize: FrameMut {
    /// `None`, and the frame as it was, where that cannot be.
    fn resize(&mut self, len: usize) -> Option<()>;
}

/// A frame that can be made longer and shorter at its front. The bytes there are then anything.
pub trait Grow: FrameMut {
    /// Puts `bytes` before the frame; `None`, and the frame as it was, where there is no room.
    fn grow(&mut self, bytes: usize) -> Option<()>;

    /// Takes `bytes` off the front of the frame, which is longer.
    fn shrink(&mut self, bytes: usize) -> Option<()>;
}

impl Frame for [u8] {
    fn len(&self) -> usize {
        <[u8]>::len(self)
    }

    fn reaches(&self, end: usize) -> bool {
        end <= <[u8]>::len(self)
    }

    fn read<H: Header>(&self, offset: usize) -> Option<H> {
        H::read_from_prefix(self.get(offset..)?).ok().map(|(header, _)| header)
    }
}

impl FrameMut for [u8] {
    fn write<H: Header>(&mut self, offset: usize, header: H) -> Option<()> {
        header.write_to_prefix(self.get_mut(offset..)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_or_write_past_the_end_is_refused_and_changes_nothing() {
        let mut bytes = [1u8, 2, 3, 4];
        let frame: &mut [u8] = &mut bytes;
        assert_eq!(frame.read::<u16>(2), Some(u16::from_ne_bytes([3, 4])));
        assert_eq!(frame.read::<u16>(3), None);
        assert_eq!(frame.read::<u16>(usize::MAX), None);
        assert_eq!(frame.write(3, 0u16), None);
        assert_eq!(frame.write(2, u16::from_ne_bytes([9, 8])), Some(()));
        assert_eq!(bytes, [1, 2, 9, 8]);
    }
}
