//! From a frame's bytes to a [`Flow`]: the only code that knows where headers are.
//!
//! What we do not speak is left to the kernel; what contradicts itself is dropped. Every length that is believed is the
//! IP header's, never the frame's, so that padding is not read as a header.

use network_types::eth::EtherType;

use crate::{
    address::{Address, V4, V6},
    extension::{self, MAX_EXTENSIONS},
    flow::{Flow, ICMP, ICMPV6, Segment, TCP, Transport, UDP},
    fragment::Fragment,
    frame::Frame,
    header::{Ethernet, Extension, FragmentHeader, Icmp, Ipv4, Ipv6, Tcp, Udp, VlanTag},
    outcome::{Outcome, Step},
};

pub const IPV4: u16 = u16::from_be(EtherType::Ipv4 as u16);
pub const IPV6: u16 = u16::from_be(EtherType::Ipv6 as u16);
pub const DOT1Q: u16 = u16::from_be(EtherType::Ieee8021q as u16);
pub const DOT1AD: u16 = u16::from_be(EtherType::Ieee8021ad as u16);

/// VLAN tags that are looked behind.
const MAX_TAGS: usize = 2;

/// No header stands further behind: there are at most eight extension headers of 2 KiB before it.
pub(crate) const MAX_OFFSET: usize = 0x7fff;

/// Does the same with a handed over packet's flow, whichever its family is.
macro_rules! with_flow {
    ($frame:ident, $handoff:ident, $flow:ident => $work:expr) => {{
        let ip = usize::from($handoff.ip);
        if $handoff.v6 {
            let $flow = $crate::parse::ipv6($frame, ip)?;
            $work
        } else {
            let $flow = $crate::parse::ipv4($frame, ip)?;
            $work
        }
    }};
}
pub(crate) use with_flow;

/// The IP header's family and offset in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    V4(usize),
    V6(usize),
}

/// Looks behind the Ethernet header and up to two VLAN tags.
#[inline(always)]
pub fn link<F: Frame + ?Sized>(frame: &F) -> Step<Network> {
    let Some(ethernet) = frame.read::<Ethernet>(0) else { return Err(Outcome::Truncated) };
    let mut ether_type = ethernet.ether_type.value();
    let mut offset = Ethernet::LEN;
    for _ in 0..MAX_TAGS {
        if !is_tag(ether_type) {
            break;
        }
        let Some(tag) = frame.read::<VlanTag>(offset) else { return Err(Outcome::Truncated) };
        ether_type = tag.ether_type.value();
        offset += VlanTag::LEN;
    }
    let offset = frame.forget(offset) & MAX_OFFSET;
    match ether_type {
        IPV4 => Ok(Network::V4(offset)),
        IPV6 => Ok(Network::V6(offset)),
        _ if is_tag(ether_type) => Err(Outcome::TooManyTags),
        _ => Err(Outcome::NotIp),
    }
}

#[inline(always)]
const fn is_tag(ether_type: u16) -> bool {
    matches!(ether_type, DOT1Q | DOT1AD)
}

/// The flow of the IPv4 packet at `offset`.
#[inline(always)]
pub fn ipv4<F: Frame + ?Sized>(frame: &F, offset: usize) -> Step<Flow<V4>> {
    let Some(ip) = frame.read::<Ipv4>(offset) else { return Err(Outcome::Truncated) };
    let header_len = usize::from(ip.version_ihl & 0x0f) * 4;
    let total_len = frame.bytes_of(usize::from(ip.total_len.value()), offset);
    if ip.version_ihl >> 4 != 4 || header_len < Ipv4::LEN || total_len < header_len {
        return Err(Outcome::BadHeader);
    }
    if !frame.reaches(offset + total_len) {
        return Err(Outcome::Truncated);
    }
    // Read once more: `reaches` is a call at worst, and what was read before it would be kept on the stack.
    let Some(ip) = frame.read::<Ipv4>(offset) else { return Err(Outcome::Truncated) };
    let part = Part {
        protocol: ip.protocol,
        extensions: 0,
        offset: offset + header_len,
        len: total_len - header_len,
        fragment: match ip.fragment.value() & 0x3fff {
            0 => Fragment::WHOLE,
            word => Fragment::at(word & Ipv4::OFFSET, word & 0x2000 != 0, u32::from(ip.id.value())),
        },
    };
    flow(frame, V4::from_wire(ip.source), V4::from_wire(ip.destination), ip.ttl, &part)
}

/// The flow of the IPv6 packet at `offset`, behind its extension headers.
#[inline(always)]
pub fn ipv6<F: Frame + ?Sized>(frame: &F, offset: usize) -> Step<Flow<V6>> {
    let Some(ip) = frame.read::<Ipv6>(offset) else { return Err(Outcome::Truncated) };
    let payload_len = frame.bytes_of(usize::from(ip.payload_len.value()), offset + Ipv6::LEN);
    if ip.version_class_flow.value() >> 28 != 6 {
        return Err(Outcome::BadHeader);
    }
    if !frame.reaches(offset + Ipv6::LEN + payload_len) {
        return Err(Outcome::Truncated);
    }
    // As for IPv4.
    let Some(ip) = frame.read::<Ipv6>(offset) else { return Err(Outcome::Truncated) };
    let part = Part {
        protocol: ip.next_header,
        extensions: 0,
        offset: offset + Ipv6::LEN,
        len: payload_len,
        fragment: Fragment::WHOLE,
    };
    let part = behind_extensions(frame, part)?;
    flow(frame, V6::from_wire(ip.source), V6::from_wire(ip.destination), ip.hop_limit, &part)
}

/// What an IP header, or an extension header, says of what follows it.
#[derive(Clone, Copy)]
struct Part {
    protocol: u8,
    /// Kinds of extension headers before it.
    extensions: u64,
    /// Where it begins in the frame, in bytes.
    offset: usize,
    /// Its bytes, by the IP header.
    len: usize,
    fragment: Fragment,
}

/// Walks the extension headers. Behind the header of a later fragment nothing is a header.
#[inline(always)]
fn behind_extensions<F: Frame + ?Sized>(frame: &F, mut part: Part) -> Step<Part> {
    if matches!(part.protocol, TCP | UDP) {
        return Ok(part);
    }
    for _ in 0..MAX_EXTENSIONS {
        if !extension::is_extension(part.protocol) || part.fragment.is_later() {
            return Ok(part);
        }
        part = behind_extension(frame, part)?;
    }
    if extension::is_extension(part.protocol) && !part.fragment.is_later() {
        return Err(Outcome::TooManyExtensions);
    }
    Ok(part)
}

#[inline(always)]
fn behind_extension<F: Frame + ?Sized>(frame: &F, part: Part) -> Step<Part> {
    let Some(header) = frame.read::<Extension>(part.offset) else { return Err(Outcome::Truncated) };
    let len = extension::bytes(part.protocol, header.len);
    if len > part.len {
        return Err(Outcome::Truncated);
    }
    let mut fragment = part.fragment;
    if part.protocol == extension::FRAGMENT {
        let Some(header) = frame.read::<FragmentHeader>(part.offset) else { return Err(Outcome::Truncated) };
        let word = header.fragment.value();
        fragment = Fragment::at(word >> 3, word & 1 != 0, { header.id }.value());
    }
    Ok(Part {
        protocol: header.next_header,
        extensions: frame.forget((part.extensions | extension::bit(part.protocol)) as usize) as u64,
        offset: frame.forget(part.offset + len) & MAX_OFFSET,
        len: frame.forget(part.len - len) & usize::from(u16::MAX),
        fragment: Fragment::from_word(frame.forget(fragment.word() as usize) as u64),
    })
}

#[inline(always)]
fn flow<F: Frame + ?Sized, A: Address>(frame: &F, source: A, destination: A, hops: u8, part: &Part) -> Step<Flow<A>> {
    if source.is_bad_source() || destination.is_bad_destination() {
        return Err(Outcome::BadAddress);
    }
    let transport = match part.protocol {
        protocol if part.fragment.is_later() => later_fragment(protocol, part.fragment)?,
        TCP => tcp(frame, part)?,
        UDP => udp(frame, part)?,
        ICMP if !A::V6 => icmp(frame, part)?,
        ICMPV6 if A::V6 => icmp(frame, part)?,
        _ => Transport::Other,
    };
    let &Part { protocol, extensions, fragment, .. } = part;
    Ok(Flow { source, destination, protocol, extensions, hops, fragment, transport })
}

#[inline(always)]
fn later_fragment(protocol: u8, fragment: Fragment) -> Step<Transport> {
    if protocol == TCP && fragment.begins_at_tcp_flags() {
        return Err(Outcome::BadHeader);
    }
    Ok(Transport::LaterFragment)
}

#[inline(always)]
fn tcp<F: Frame + ?Sized>(frame: &F, part: &Part) -> Step<Transport> {
    let Some(tcp) = frame.read::<Tcp>(part.offset) else { return Err(Outcome::Truncated) };
    let header_len = tcp.header_len();
    if header_len > part.len {
        return Err(Outcome::Truncated);
    }
    if header_len < Tcp::LEN {
        return Err(if part.len < Tcp::LEN { Outcome::Truncated } else { Outcome::BadHeader });
    }
    Ok(Transport::Tcp(Segment {
        source: tcp.source.value(),
        destination: tcp.destination.value(),
        flags: tcp.flags,
        header: part.offset,
        end: part.offset + part.len,
    }))
}

#[inline(always)]
fn udp<F: Frame + ?Sized>(frame: &F, part: &Part) -> Step<Transport> {
    if part.len < Udp::LEN {
        return Err(Outcome::Truncated);
    }
    let Some(udp) = frame.read::<Udp>(part.offset) else { return Err(Outcome::Truncated) };
    let len = usize::from(udp.len.value());
    if len < Udp::LEN {
        return Err(Outcome::BadHeader);
    }
    // A first fragment carries the length of the whole datagram.
    if len > part.len && !part.fragment.is_first() {
        return Err(Outcome::Truncated);
    }
    Ok(Transport::Udp { source: udp.source.value(), destination: udp.destination.value(), header: part.offset })
}

#[inline(always)]
fn icmp<F: Frame + ?Sized>(frame: &F, part: &Part) -> Step<Transport> {
    if part.len < Icmp::LEN {
        return Err(Outcome::Truncated);
    }
    let Some(icmp) = frame.read::<Icmp>(part.offset) else { return Err(Outcome::Truncated) };
    Ok(Transport::Icmp { kind: icmp.kind, header: part.offset })
}

#[cfg(test)]
mod tests;
