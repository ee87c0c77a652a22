//! IPv4 and IPv6 addresses as the tables read them: one trait, two compact forms, both in host byte order.

use crate::header::{Be32, Wide};

/// An address family's address. All the code above the parser is written once against this.
pub trait Address: Copy + Eq {
    /// The address as it stands in an IP header.
    type Wire: Copy;
    /// A flow's key in the tables of what was opened and of first fragments.
    type FlowKey: Copy + AsRef<[u64]>;

    /// Bytes in an address.
    const BYTES: usize;
    /// Whether this is IPv6.
    const V6: bool;

    fn from_wire(wire: Self::Wire) -> Self;

    /// Of words as [`Address::words`] has them.
    fn from_words(words: [u64; 2]) -> Self;

    /// The first two bytes: the index into a trie's root.
    fn prefix16(self) -> u16;

    /// The first or the last eight bytes. IPv4's four are the front of the first.
    fn half(self, lower: bool) -> u64;

    /// Never a packet's source (multicast, limited broadcast), or never on the wire at all (IPv4-mapped IPv6).
    fn is_bad_source(self) -> bool;

    /// Never on the wire as a destination.
    fn is_bad_destination(self) -> bool;

    /// The address in two words; IPv4 in the second one.
    fn words(self) -> [u64; 2];

    /// `ports`: source port, destination port and protocol in one word.
    fn flow_key(source: Self, destination: Self, ports: u64) -> Self::FlowKey;

    /// Two words that stand for the pair of addresses in a flow's hash.
    fn hash_words(source: Self, destination: Self) -> [u64; 2];
}

/// An IPv4 address in host byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct V4(pub u32);

/// An IPv6 address in host byte order: the upper and the lower 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct V6(pub [u64; 2]);

impl Address for V4 {
    type Wire = Be32;
    type FlowKey = [u64; 2];

    const BYTES: usize = 4;
    const V6: bool = false;

    #[inline(always)]
    fn from_wire(wire: Be32) -> Self {
        Self(wire.value())
    }

    #[inline(always)]
    fn from_words(words: [u64; 2]) -> Self {
        Self(words[1] as u32)
    }

    #[inline(always)]
    fn prefix16(self) -> u16 {
        (self.0 >> 16) as u16
    }

    #[inline(always)]
    fn half(self, lower: bool) -> u64 {
        if lower { 0 } else { u64::from(self.0) << 32 }
    }

    #[inline(always)]
    fn is_bad_source(self) -> bool {
        // 224.0.0.0/4 (RFC 1122 §3.2.1.3) and 255.255.255.255.
        self.0 >= 0xe000_0000 && (self.0 < 0xf000_0000 || self.0 == u32::MAX)
    }

    #[inline(always)]
    fn is_bad_destination(self) -> bool {
        false
    }

    #[inline(always)]
    fn words(self) -> [u64; 2] {
        [0, u64::from(self.0)]
    }

    #[inline(always)]
    fn flow_key(source: Self, destination: Self, ports: u64) -> [u64; 2] {
        [u64::from(source.0) << 32 | u64::from(destination.0), ports]
    }

    #[inline(always)]
    fn hash_words(source: Self, destination: Self) -> [u64; 2] {
        [u64::from(source.0) << 32 | u64::from(destination.0), 0]
    }
}

impl V6 {
    /// `::ffff:0:0/96` (RFC 4291 §2.5.5.2).
    #[inline(always)]
    const fn is_v4_mapped(self) -> bool {
        self.0[0] == 0 && self.0[1] >> 32 == 0xffff
    }
}

impl Address for V6 {
    type Wire = Wide;
    type FlowKey = [u64; 5];

    const BYTES: usize = 16;
    const V6: bool = true;

    #[inline(always)]
    fn from_wire(wire: Wide) -> Self {
        Self([{ wire.high }.value(), { wire.low }.value()])
    }

    #[inline(always)]
    fn from_words(words: [u64; 2]) -> Self {
        Self(words)
    }

    #[inline(always)]
    fn prefix16(self) -> u16 {
        (self.0[0] >> 48) as u16
    }

    #[inline(always)]
    fn half(self, lower: bool) -> u64 {
        if lower { self.0[1] } else { self.0[0] }
    }

    #[inline(always)]
    fn is_bad_source(self) -> bool {
        // A multicast address is never a source (RFC 4291 §2.7).
        self.0[0] >> 56 == 0xff || self.is_v4_mapped()
    }

    #[inline(always)]
    fn is_bad_destination(self) -> bool {
        self.is_v4_mapped()
    }

    #[inline(always)]
    fn words(self) -> [u64; 2] {
        self.0
    }

    #[inline(always)]
    fn flow_key(source: Self, destination: Self, ports: u64) -> [u64; 5] {
        [source.0[0], source.0[1], destination.0[0], destination.0[1], ports]
    }

    #[inline(always)]
    fn hash_words(source: Self, destination: Self) -> [u64; 2] {
        [source.0[0] ^ destination.0[1].rotate_left(32), source.0[1] ^ destination.0[0].rotate_left(17)]
    }
}

impl From<core::net::Ipv4Addr> for V4 {
    fn from(address: core::net::Ipv4Addr) -> Self {
        Self(address.to_bits())
    }
}

impl From<core::net::Ipv6Addr> for V6 {
    fn from(address: core::net::Ipv6Addr) -> Self {
        let bits = address.to_bits();
        Self([(bits >> 64) as u64, bits as u64])
    }
}
