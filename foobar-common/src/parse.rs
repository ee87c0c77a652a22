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

const IPV4: u16 = u16::from_be(EtherType::Ipv4 as u16);
const IPV6: u16 = u16::from_be(EtherType::Ipv6 as u16);
const DOT1Q: u16 = u16::from_be(EtherType::Ieee8021q as u16);
const DOT1AD: u16 = u16::from_be(EtherType::Ieee8021ad as u16);

/// VLAN tags that are looked behind.
const MAX_TAGS: usize = 2;

/// No header stands further behind: there are at most eight extension headers of 2 KiB before it.
const MAX_OFFSET: usize = 0x7fff;

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
    let fragment = ip.fragment.value();
    let part = Part {
        protocol: ip.protocol,
        extensions: 0,
        offset: offset + header_len,
        len: total_len - header_len,
        fragment_offset: fragment & 0x1fff,
        more: fragment & 0x2000 != 0,
        id: u32::from(ip.id.value()),
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
    let part = Part {
        protocol: ip.next_header,
        extensions: 0,
        offset: offset + Ipv6::LEN,
        len: payload_len,
        fragment_offset: 0,
        more: false,
        id: 0,
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
    /// In units of 8 bytes.
    fragment_offset: u16,
    /// More fragments follow.
    more: bool,
    /// Identification of the packet that it is a part of.
    id: u32,
}

/// Walks the extension headers. Behind the header of a later fragment nothing is a header.
#[inline(always)]
fn behind_extensions<F: Frame + ?Sized>(frame: &F, mut part: Part) -> Step<Part> {
    if matches!(part.protocol, TCP | UDP) {
        return Ok(part);
    }
    for _ in 0..MAX_EXTENSIONS {
        if !extension::is_extension(part.protocol) || part.fragment_offset != 0 {
            return Ok(part);
        }
        part = behind_extension(frame, part)?;
    }
    if extension::is_extension(part.protocol) && part.fragment_offset == 0 {
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
    let mut fragment = usize::from(part.fragment_offset) << 3 | usize::from(part.more) | (part.id as usize) << 16;
    if part.protocol == extension::FRAGMENT {
        let Some(header) = frame.read::<FragmentHeader>(part.offset) else { return Err(Outcome::Truncated) };
        fragment = usize::from(header.fragment.value()) | ({ header.id }.value() as usize) << 16;
    }
    let fragment = frame.forget(fragment);
    Ok(Part {
        protocol: header.next_header,
        extensions: frame.forget((part.extensions | extension::bit(part.protocol)) as usize) as u64,
        offset: frame.forget(part.offset + len) & MAX_OFFSET,
        len: frame.forget(part.len - len) & usize::from(u16::MAX),
        fragment_offset: fragment as u16 >> 3,
        more: fragment & 1 != 0,
        id: frame.forget(fragment >> 16) as u32,
    })
}

#[inline(always)]
fn flow<F: Frame + ?Sized, A: Address>(frame: &F, source: A, destination: A, hops: u8, part: &Part) -> Step<Flow<A>> {
    if source.is_bad_source() || destination.is_bad_destination() {
        return Err(Outcome::BadAddress);
    }
    let transport = match part.protocol {
        // Eight bytes into TCP are its flags: such a fragment exists to change what the first one showed (RFC 3128).
        TCP if part.fragment_offset == 1 => return Err(Outcome::BadHeader),
        _ if part.fragment_offset != 0 => Transport::LaterFragment,
        TCP => tcp(frame, part)?,
        UDP => udp(frame, part)?,
        ICMP if !A::V6 => icmp(frame, part)?,
        ICMPV6 if A::V6 => icmp(frame, part)?,
        _ => Transport::Other,
    };
    let fragment = match (part.fragment_offset, part.more) {
        (0, false) => Fragment::WHOLE,
        (0, true) => Fragment::first(part.id),
        _ => Fragment::later(part.id),
    };
    Ok(Flow { source, destination, protocol: part.protocol, extensions: part.extensions, hops, fragment, transport })
}

#[inline(always)]
fn tcp<F: Frame + ?Sized>(frame: &F, part: &Part) -> Step<Transport> {
    if part.len < Tcp::LEN {
        return Err(Outcome::Truncated);
    }
    let Some(tcp) = frame.read::<Tcp>(part.offset) else { return Err(Outcome::Truncated) };
    let header_len = tcp.header_len();
    if header_len < Tcp::LEN {
        return Err(Outcome::BadHeader);
    }
    if header_len > part.len {
        return Err(Outcome::Truncated);
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
    if len > part.len && !part.more {
        return Err(Outcome::Truncated);
    }
    Ok(Transport::Udp { source: udp.source.value(), destination: udp.destination.value() })
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
