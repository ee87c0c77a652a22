//! The packet that an ICMP error is about, as far as it is there.

use crate::{
    address::{Address, V4, V6},
    flow::{TCP, UDP},
    frame::Frame,
    header::{Icmp, Ipv4, Ipv6, Ports},
    readdress::End,
};

/// Bytes behind its IP header that an error has at least (RFC 792).
const LEAST: usize = 8;

/// A packet of TCP or UDP, whole or a first fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    pub source: End,
    pub destination: End,
    pub protocol: u8,
    /// Offsets of its IP header and of what follows, in bytes from the frame's start.
    pub ip: usize,
    pub header: usize,
    /// Bytes that are there of what follows.
    pub len: usize,
}

impl Quote {
    /// Of the error whose IP header and ICMP header stand at these offsets.
    #[inline(always)]
    pub fn read<F: Frame + ?Sized, A: Address>(frame: &F, ip: usize, header: usize) -> Option<Self> {
        let (end, at) = (end_of::<F, A>(frame, ip)?, header + Icmp::LEN);
        let (source, destination, protocol, header) = if A::V6 { ends_v6(frame, at)? } else { ends_v4(frame, at)? };
        if !matches!(protocol, TCP | UDP) || header + LEAST > end {
            return None;
        }
        let ports = frame.read::<Ports>(header)?;
        Some(Self {
            source: (source, { ports.source }.value()),
            destination: (destination, { ports.destination }.value()),
            protocol,
            ip: at,
            header,
            len: end - header,
        })
    }
}

/// Where the error ends by its IP header: padding may follow.
#[inline(always)]
fn end_of<F: Frame + ?Sized, A: Address>(frame: &F, ip: usize) -> Option<usize> {
    Some(if A::V6 {
        ip + Ipv6::LEN + usize::from(frame.read::<Ipv6>(ip)?.payload_len.value())
    } else {
        ip + usize::from(frame.read::<Ipv4>(ip)?.total_len.value())
    })
}

/// Addresses, protocol, and where that begins.
type Ends = ([u64; 2], [u64; 2], u8, usize);

#[inline(always)]
fn ends_v4<F: Frame + ?Sized>(frame: &F, at: usize) -> Option<Ends> {
    let ip = frame.read::<Ipv4>(at)?;
    let header_len = usize::from(ip.version_ihl & 0x0f) * 4;
    if ip.version_ihl >> 4 != 4 || header_len < Ipv4::LEN || { ip.fragment }.value() & Ipv4::OFFSET != 0 {
        return None;
    }
    Some((V4::from_wire(ip.source).words(), V4::from_wire(ip.destination).words(), ip.protocol, at + header_len))
}

#[inline(always)]
fn ends_v6<F: Frame + ?Sized>(frame: &F, at: usize) -> Option<Ends> {
    let ip = frame.read::<Ipv6>(at)?;
    if { ip.version_class_flow }.value() >> 28 != 6 {
        return None;
    }
    Some((V6::from_wire(ip.source).words(), V6::from_wire(ip.destination).words(), ip.next_header, at + Ipv6::LEN))
}
