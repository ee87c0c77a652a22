//! Puts a packet into another one, to a backend at any distance: IP in IP of every pair of families (RFC 2003, RFC 2473,
//! RFC 4213), or in UDP (GUE, draft-ietf-intarea-gue), whose source port spreads flows over paths.

use crate::{
    address::{Address, V4, V6},
    checksum::Sum,
    complain::{expired, too_big},
    frame::{FrameMut, Grow, Resize},
    handoff::Handoff,
    header::{Be16, Be32, Ethernet, Gue, Ipv4, Ipv6, Udp, VlanTag},
    hops::{take_v4, take_v6},
    next_hop::NextHop,
    outcome::{Outcome, Step},
    parse::{IPV4, IPV6},
    send::deliver,
    tables::Tables,
    target::{Target, wire_v4, wire_v6},
};

/// The port of GUE (IANA).
pub const GUE_PORT: u16 = 6080;
/// IANA numbers of what is inside.
pub const IN_IPV4: u8 = 4;
pub const IN_IPV6: u8 = 41;
const UDP: u8 = crate::flow::UDP;
/// Hops that the outer packet may take.
const HOPS: u8 = 64;
const DONT_FRAGMENT: u16 = 0x4000;
/// Bytes of UDP and GUE before the inner packet.
const GUE_BYTES: usize = Udp::LEN + Gue::LEN;

/// What the outer packet takes over from the inner one, or is made for it.
#[derive(Clone, Copy)]
struct Inner {
    protocol: u8,
    /// Traffic class, the marks of congestion included (RFC 6040).
    class: u8,
    len: usize,
    hash: u32,
}

/// Sends the packet to its backend inside another one.
#[inline(always)]
pub fn tunnel<F: Grow + Resize + ?Sized, T: Tables>(frame: &mut F, handoff: &Handoff, tables: &T) -> Step<Outcome> {
    let backend = u32::from(handoff.backend);
    let next_hop = tables.next_hop(backend).ok_or(Outcome::NoBackend)?;
    let target = tables.target(backend).ok_or(Outcome::NoBackend)?;
    let to = (next_hop, &target);
    if handoff.v6 {
        carry::<V6, F, T>(frame, handoff, to, tables)
    } else {
        carry::<V4, F, T>(frame, handoff, to, tables)
    }
}

/// A packet of one family.
#[inline(always)]
fn carry<A: Address, F: Grow + Resize + ?Sized, T: Tables>(
    frame: &mut F,
    handoff: &Handoff,
    (next_hop, target): (NextHop, &Target),
    tables: &T,
) -> Step<Outcome> {
    let ip = usize::from(handoff.ip);
    let inner = if A::V6 { inner_v6(frame, ip, handoff.hash)? } else { inner_v4(frame, ip, handoff.hash)? };
    let outer = outer_len(target);
    let fits = target.mtu == 0 || inner.len + outer <= usize::from(target.mtu);
    if !fits {
        return Ok(too_big(frame, ip, A::V6, u32::from(target.mtu) - outer as u32));
    }
    let taken = if A::V6 { take_v6(frame, ip) } else { take_v4(frame, ip) };
    taken.map_err(|left| expired(left, frame, ip, A::V6, tables))?;
    match (target.v6, target.gue) {
        (false, false) => wrap::<V4, false, F>(frame, ip, &inner, target)?,
        (false, true) => wrap::<V4, true, F>(frame, ip, &inner, target)?,
        (true, false) => wrap::<V6, false, F>(frame, ip, &inner, target)?,
        (true, true) => wrap::<V6, true, F>(frame, ip, &inner, target)?,
    }
    deliver(frame, next_hop, u32::from(handoff.backend), handoff, tables)
}

/// Bytes that are put before a packet to this backend.
#[inline(always)]
pub const fn outer_len(target: &Target) -> usize {
    bytes_around(target.v6, target.gue)
}

#[inline(always)]
const fn bytes_around(v6: bool, gue: bool) -> usize {
    let network = if v6 { Ipv6::LEN } else { Ipv4::LEN };
    if gue { network + GUE_BYTES } else { network }
}

#[inline(always)]
fn inner_v4<F: FrameMut + ?Sized>(frame: &F, ip: usize, hash: u32) -> Step<Inner> {
    let Some(header) = frame.read::<Ipv4>(ip) else { return Err(Outcome::Truncated) };
    Ok(Inner { protocol: IN_IPV4, class: header.service, len: usize::from(header.total_len.value()), hash })
}

#[inline(always)]
fn inner_v6<F: FrameMut + ?Sized>(frame: &F, ip: usize, hash: u32) -> Step<Inner> {
    let Some(header) = frame.read::<Ipv6>(ip) else { return Err(Outcome::Truncated) };
    let class = ({ header.version_class_flow }.value() >> 20) as u8;
    Ok(Inner { protocol: IN_IPV6, class, len: Ipv6::LEN + usize::from(header.payload_len.value()), hash })
}

/// In a packet of family `O`: what is known of it is not asked again at each of its headers.
#[inline(always)]
fn wrap<O: Address, const GUE: bool, F: Grow + ?Sized>(
    frame: &mut F,
    ip: usize,
    inner: &Inner,
    target: &Target,
) -> Step<()> {
    let tags = Tags::of(frame, ip)?;
    frame.grow(bytes_around(O::V6, GUE)).ok_or(Outcome::NoRoom)?;
    tags.write(frame, ip, if O::V6 { IPV6 } else { IPV4 })?;
    let (protocol, behind) = if GUE { (UDP, GUE_BYTES) } else { (inner.protocol, 0) };
    let around = Inner { protocol, len: inner.len + behind, ..*inner };
    let payload = if O::V6 {
        frame.write(ip, outer_v6(&around, target)).ok_or(Outcome::Truncated)?;
        ip + Ipv6::LEN
    } else {
        frame.write(ip, outer_v4(&around, target)).ok_or(Outcome::Truncated)?;
        ip + Ipv4::LEN
    };
    if GUE {
        frame.write(payload, udp(inner)).ok_or(Outcome::Truncated)?;
        let gue = Gue { control_len: 0, protocol: inner.protocol, flags: Be16::new(0) };
        frame.write(payload + Udp::LEN, gue).ok_or(Outcome::Truncated)?;
    }
    Ok(())
}

#[inline(always)]
fn outer_v4(inner: &Inner, target: &Target) -> Ipv4 {
    let header = Ipv4 {
        version_ihl: Ipv4::PLAIN,
        service: inner.class,
        total_len: Be16::new((Ipv4::LEN + inner.len) as u16),
        // An atomic datagram needs no identification (RFC 6864 §4.1).
        id: Be16::new(0),
        fragment: Be16::new(DONT_FRAGMENT),
        ttl: HOPS,
        protocol: inner.protocol,
        checksum: Be16::new(0),
        source: wire_v4(target.source),
        destination: wire_v4(target.address),
    };
    Ipv4 { checksum: Sum::default().ipv4(&header).checksum(), ..header }
}

#[inline(always)]
fn outer_v6(inner: &Inner, target: &Target) -> Ipv6 {
    // The label spreads flows as a port would (RFC 6438).
    let label = inner.hash & 0xf_ffff;
    Ipv6 {
        version_class_flow: Be32::new(6 << 28 | u32::from(inner.class) << 20 | label),
        payload_len: Be16::new(inner.len as u16),
        next_header: inner.protocol,
        hop_limit: HOPS,
        source: wire_v6(target.source),
        destination: wire_v6(target.address),
    }
}

/// Without a checksum: the inner packet has its own (RFC 6935, RFC 6936).
#[inline(always)]
fn udp(inner: &Inner) -> Udp {
    Udp {
        source: Be16::new(0xc000 | inner.hash as u16 & 0x3fff),
        destination: Be16::new(GUE_PORT),
        len: Be16::new((GUE_BYTES + inner.len) as u16),
        checksum: Be16::new(0),
    }
}

/// What stands between the Ethernet addresses and the type of what the frame carries: up to two VLAN tags.
#[derive(Clone, Copy)]
pub struct Tags {
    first: u32,
    second: u32,
}

/// Where the type, or the first tag, stands.
const TYPE: usize = Ethernet::LEN - 2;
const TWO: usize = Ethernet::LEN + 2 * VlanTag::LEN;

impl Tags {
    /// Of a frame whose IP header is at `ip`.
    #[inline(always)]
    pub fn of<F: FrameMut + ?Sized>(frame: &F, ip: usize) -> Step<Self> {
        let first = if ip == Ethernet::LEN { 0 } else { frame.read(TYPE).ok_or(Outcome::Truncated)? };
        let second = if ip < TWO { 0 } else { frame.read(TYPE + VlanTag::LEN).ok_or(Outcome::Truncated)? };
        Ok(Self { first, second })
    }

    /// Writes them where they stood, and the type behind them.
    #[inline(always)]
    pub fn write<F: FrameMut + ?Sized>(self, frame: &mut F, ip: usize, ether_type: u16) -> Step<()> {
        let ether_type = Be16::new(ether_type);
        // At fixed places, of which the kernel's verifier knows that they are in the frame.
        if ip == Ethernet::LEN {
            return frame.write(TYPE, ether_type).ok_or(Outcome::Truncated);
        }
        frame.write(TYPE, self.first).ok_or(Outcome::Truncated)?;
        if ip < TWO {
            return frame.write(TYPE + VlanTag::LEN, ether_type).ok_or(Outcome::Truncated);
        }
        frame.write(TYPE + VlanTag::LEN, self.second).ok_or(Outcome::Truncated)?;
        frame.write(TYPE + 2 * VlanTag::LEN, ether_type).ok_or(Outcome::Truncated)
    }
}
