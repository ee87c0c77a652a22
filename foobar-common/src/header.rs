//! The headers that are read on the hot path, as they stand on the wire.
//!
//! `packed(2)`: headers begin at even offsets (Ethernet has 14 bytes, a tag 4). The linker is told that the kernel's
//! machines read words at any address, so that a field is one load whatever its offset. Numbers keep network order
//! inside [`Be16`], [`Be32`] and [`Be64`].

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A 16-bit number in network byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(transparent)]
pub struct Be16(u16);

impl Be16 {
    #[inline(always)]
    pub const fn new(value: u16) -> Self {
        Self(value.to_be())
    }

    #[inline(always)]
    pub const fn value(self) -> u16 {
        u16::from_be(self.0)
    }

    /// The bytes as they stand in memory.
    #[inline(always)]
    pub const fn raw(self) -> u16 {
        self.0
    }

    #[inline(always)]
    pub const fn from_raw(raw: u16) -> Self {
        Self(raw)
    }
}

/// A 32-bit number in network byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(transparent)]
pub struct Be32(u32);

impl Be32 {
    #[inline(always)]
    pub const fn new(value: u32) -> Self {
        Self(value.to_be())
    }

    #[inline(always)]
    pub const fn value(self) -> u32 {
        u32::from_be(self.0)
    }

    /// The bytes as they stand in memory.
    #[inline(always)]
    pub const fn raw(self) -> u32 {
        self.0
    }
}

/// A 64-bit number in network byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(transparent)]
pub struct Be64(u64);

impl Be64 {
    #[inline(always)]
    pub const fn new(value: u64) -> Self {
        Self(value.to_be())
    }

    /// The bytes as they stand in memory.
    #[inline(always)]
    pub const fn raw(self) -> u64 {
        self.0
    }

    #[inline(always)]
    pub const fn value(self) -> u64 {
        u64::from_be(self.0)
    }
}

/// Declares a header: its fields in wire order, its length proved.
macro_rules! header {
    ($(#[$doc:meta])* $name:ident, $len:literal { $($field:ident: $type:ty),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
        #[repr(C, packed(2))]
        pub struct $name { $(pub $field: $type),+ }

        impl $name {
            /// Bytes on the wire.
            pub const LEN: usize = $len;
        }

        const _: () = assert!(size_of::<$name>() == $len);
    };
}

header! {
    /// IEEE 802.3. A MAC address is three 16-bit words in memory order.
    Ethernet, 14 { addresses: MacAddresses, ether_type: Be16 }
}

header! {
    /// Destination and source, as the twelve bytes stand in memory.
    MacAddresses, 12 { low: u64, high: u32 }
}

impl MacAddresses {
    /// From the second address to the first.
    #[inline(always)]
    #[must_use]
    pub const fn swapped(self) -> Self {
        let (low, high) = (u64::from_le(self.low), u32::from_le(self.high));
        let (first, second) = (low & 0xffff_ffff_ffff, low >> 48 | (high as u64) << 16);
        Self { low: (second | first << 48).to_le(), high: ((first >> 16) as u32).to_le() }
    }
}

header! {
    /// Eight bytes of payload, as they stand in memory.
    Start, 8 { bytes: u64 }
}

header! {
    /// How every QUIC packet begins (RFC 8999 §5): what stands behind the first byte is of a long header alone.
    QuicStart, 6 { form: u8, version: [u8; 4], len: u8 }
}

/// A connection id's first octet, and the server id behind it with whatever follows. It stands at any offset.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C, packed)]
pub struct ConnectionId {
    pub first: u8,
    pub server: Be64,
}

impl ConnectionId {
    /// Bytes on the wire.
    pub const LEN: usize = size_of::<Self>();
}

const _: () = assert!(ConnectionId::LEN == 9);

header! {
    /// IEEE 802.1Q, as it follows an ether type of 0x8100 or 0x88a8.
    VlanTag, 4 { tag: Be16, ether_type: Be16 }
}

header! {
    /// RFC 791, without options.
    Ipv4, 20 {
        version_ihl: u8,
        service: u8,
        total_len: Be16,
        id: Be16,
        fragment: Be16,
        ttl: u8,
        protocol: u8,
        checksum: Be16,
        source: Be32,
        destination: Be32,
    }
}

impl Ipv4 {
    /// Version 4, and a header of 20 bytes: one without options.
    pub const PLAIN: u8 = 0x45;
    /// The bits of a fragment's offset, in units of 8 bytes.
    pub const OFFSET: u16 = 0x1fff;
}

header! {
    /// An IPv6 address (RFC 4291).
    Wide, 16 { high: Be64, low: Be64 }
}

impl Wide {
    /// Of an address's upper and lower 64 bits.
    #[inline(always)]
    pub const fn new([high, low]: [u64; 2]) -> Self {
        Self { high: Be64::new(high), low: Be64::new(low) }
    }
}

header! {
    /// RFC 8200.
    Ipv6, 40 {
        version_class_flow: Be32,
        payload_len: Be16,
        next_header: u8,
        hop_limit: u8,
        source: Wide,
        destination: Wide,
    }
}

header! {
    /// What every IPv6 extension header begins with (RFC 6564).
    Extension, 2 { next_header: u8, len: u8 }
}

header! {
    /// RFC 8200 §4.5.
    FragmentHeader, 8 { next_header: u8, reserved: u8, fragment: Be16, id: Be32 }
}

header! {
    /// RFC 9293, without options.
    Tcp, 20 {
        source: Be16,
        destination: Be16,
        sequence: Be32,
        acknowledgement: Be32,
        data_offset: u8,
        flags: u8,
        window: Be16,
        checksum: Be16,
        urgent: Be16,
    }
}

impl Tcp {
    /// Bytes of the header with its options, by its own word.
    #[inline(always)]
    pub const fn header_len(&self) -> usize {
        (self.data_offset >> 4) as usize * 4
    }
}

header! {
    /// RFC 768.
    Udp, 8 { source: Be16, destination: Be16, len: Be16, checksum: Be16 }
}

header! {
    /// What ICMP (RFC 792) and ICMPv6 (RFC 4443) messages begin with.
    Icmp, 8 { kind: u8, code: u8, checksum: Be16, rest: Be32 }
}

header! {
    /// The ports that TCP and UDP begin with.
    Ports, 4 { source: Be16, destination: Be16 }
}

header! {
    /// Generic UDP Encapsulation, version 0 without extensions (draft-ietf-intarea-gue).
    Gue, 4 { control_len: u8, protocol: u8, flags: Be16 }
}

header! {
    /// Both addresses of an IPv4 header.
    Ipv4Ends, 8 { source: Be32, destination: Be32 }
}

header! {
    /// Both addresses of an IPv6 header.
    Ipv6Ends, 32 { source: Wide, destination: Wide }
}
