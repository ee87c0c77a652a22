//! What the parser found out about a packet.

use network_types::ip::IpProto;

use crate::{address::Address, fragment::Fragment, frame::Frame, header::Tcp};

/// A packet, as rules, services and rings see it. Ports are in host byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow<A> {
    pub source: A,
    pub destination: A,
    /// IANA protocol number, behind every extension header.
    pub protocol: u8,
    /// Kinds of extension headers before it, as a mask of [`crate::extension::bit`]s. None in IPv4.
    pub extensions: u64,
    /// TTL or hop limit.
    pub hops: u8,
    pub fragment: Fragment,
    pub transport: Transport,
}

/// What stands behind the IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Tcp(Segment),
    Udp {
        source: u16,
        destination: u16,
        /// Offset of the header in the frame, in bytes.
        header: usize,
    },
    /// ICMP in IPv4, ICMPv6 in IPv6.
    Icmp {
        kind: u8,
        /// Offset of the header in the frame, in bytes.
        header: usize,
    },
    /// A protocol that is known by its number alone.
    Other,
    /// A fragment but the first: it has no ports, and is never read as if it had.
    LaterFragment,
}

/// A TCP segment's header, and where its payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    pub source: u16,
    pub destination: u16,
    pub flags: u8,
    /// Offset of the header in the frame, in bytes. What few packets are asked is read from there when it is asked.
    pub header: usize,
    /// Offset of the payload's end, by the IP header.
    pub end: usize,
}

impl Segment {
    pub const FIN: u8 = 0x01;
    pub const SYN: u8 = 0x02;
    pub const RST: u8 = 0x04;
    pub const ACK: u8 = 0x10;

    /// Where the payload begins, in bytes from the frame's start: at most `end`, as the parser has made sure.
    #[inline(always)]
    pub fn payload<F: Frame + ?Sized>(&self, frame: &F) -> Option<usize> {
        Some(self.header + frame.read::<Tcp>(self.header)?.header_len())
    }

    /// The first segment of a connection: SYN without ACK, RST and FIN.
    #[inline(always)]
    pub const fn opens(&self) -> bool {
        self.flags & (Self::SYN | Self::ACK | Self::RST | Self::FIN) == Self::SYN
    }

    /// FIN or RST.
    #[inline(always)]
    pub const fn closes(&self) -> bool {
        self.flags & (Self::RST | Self::FIN) != 0
    }
}

pub const TCP: u8 = IpProto::Tcp as u8;
pub const UDP: u8 = IpProto::Udp as u8;
pub const ICMP: u8 = IpProto::Icmp as u8;
pub const ICMPV6: u8 = IpProto::Ipv6Icmp as u8;

/// Source port, destination port and protocol in one word, as flow keys have it.
#[inline(always)]
pub const fn port_word(protocol: u8, source: u16, destination: u16) -> u64 {
    source as u64 | (destination as u64) << 16 | (protocol as u64) << 32
}

impl<A: Address> Flow<A> {
    /// Source and destination port of TCP and UDP.
    #[inline(always)]
    pub fn ports(&self) -> Option<(u16, u16)> {
        match self.transport {
            Transport::Tcp(segment) => Some((segment.source, segment.destination)),
            Transport::Udp { source, destination, .. } => Some((source, destination)),
            _ => None,
        }
    }

    /// Whether the packet can be an answer to another: it has ports, and opens no TCP connection.
    #[inline(always)]
    pub fn may_answer(&self) -> bool {
        match self.transport {
            Transport::Tcp(segment) => !segment.opens(),
            Transport::Udp { .. } => true,
            _ => false,
        }
    }

    #[inline(always)]
    pub fn segment(&self) -> Option<Segment> {
        match self.transport {
            Transport::Tcp(segment) => Some(segment),
            _ => None,
        }
    }
}
