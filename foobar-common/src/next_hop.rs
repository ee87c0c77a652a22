//! The way to a backend, laid out so that two stores rewrite an Ethernet header.

use crate::header::MacAddresses;

/// | bytes, in memory order | |
/// |---|---|
/// | 0–5 | destination MAC |
/// | 6–11 | source MAC |
/// | 12–15 | interface index; 0: not resolved |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextHop([u64; 2]);

impl NextHop {
    /// A backend that lives, but whose way is not known.
    pub const UNRESOLVED: Self = Self([1, 0]);
    /// What stands in the table for a backend that is dead.
    pub const DEAD_WORDS: [u64; 2] = [0, 0];

    pub fn new(destination: [u8; 6], source: [u8; 6], interface: u32) -> Self {
        let [d0, d1, d2, d3, d4, d5] = destination;
        let [s0, s1, s2, s3, s4, s5] = source;
        let high = u64::from(u32::from_ne_bytes([s2, s3, s4, s5]));
        Self([u64::from_ne_bytes([d0, d1, d2, d3, d4, d5, s0, s1]), high | u64::from(interface) << 32])
    }

    /// The way to a backend that is this host.
    pub const HERE: Self = Self([1, (Self::THIS_HOST as u64) << 32]);

    /// No interface has this index.
    pub const THIS_HOST: u32 = u32::MAX;

    /// To where a frame with these addresses came from, by the interface that it came in by.
    #[inline(always)]
    pub const fn back(addresses: MacAddresses, interface: u32) -> Self {
        let back = addresses.swapped();
        Self([back.low, back.high as u64 | (interface as u64) << 32])
    }

    /// `None` for a dead backend.
    #[inline(always)]
    pub const fn from_words(words: [u64; 2]) -> Option<Self> {
        if words[0] == 0 && words[1] == 0 { None } else { Some(Self(words)) }
    }

    #[inline(always)]
    pub const fn to_words(self) -> [u64; 2] {
        self.0
    }

    /// Of words that some next hop gave.
    #[inline(always)]
    pub const fn from_raw(words: [u64; 2]) -> Self {
        Self(words)
    }

    /// The interface's index, if the way is known.
    #[inline(always)]
    pub const fn interface(self) -> Option<u32> {
        let interface = (self.0[1] >> 32) as u32;
        if interface == 0 { None } else { Some(interface) }
    }

    /// The destination's and the source's MAC, in wire order.
    pub const fn macs(self) -> ([u8; 6], [u8; 6]) {
        let [d0, d1, d2, d3, d4, d5, s0, s1] = self.0[0].to_ne_bytes();
        let [s2, s3, s4, s5, ..] = self.0[1].to_ne_bytes();
        ([d0, d1, d2, d3, d4, d5], [s0, s1, s2, s3, s4, s5])
    }

    /// Both addresses, ready to be written over a frame's.
    #[inline(always)]
    pub const fn addresses(self) -> MacAddresses {
        MacAddresses { low: self.0[0], high: self.0[1] as u32 }
    }
}

// The words are taken apart with shifts that hold in this byte order alone; so is every target of BPF here.
const _: () = assert!(cfg!(target_endian = "little"));

#[cfg(test)]
mod tests {
    use zerocopy::IntoBytes as _;

    use super::*;

    #[test]
    fn the_addresses_come_out_in_wire_order() {
        let hop = NextHop::new([1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12], 42);
        assert_eq!(hop.addresses().as_bytes(), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        assert_eq!(hop.macs(), ([1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12]));
        assert_eq!(hop.interface(), Some(42));
        assert_eq!(NextHop::from_words(hop.to_words()), Some(hop));
        assert_eq!(NextHop::UNRESOLVED.interface(), None);
        assert_eq!(NextHop::from_words(NextHop::DEAD_WORDS), None);
    }
}
