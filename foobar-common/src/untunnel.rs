//! Takes the outer packet off that a known balancer put around one. What is inside is judged as if it had come so.
//!
//! Fragments of outer packets, and those with options or extension headers, are nobody's tunnel here: they go on as they are.

use crate::{
    address::Address,
    checksum::Delta,
    find::is_balancers,
    flow::{Flow, Transport, UDP},
    fragment::Fragment,
    frame::{Frame, FrameMut, Grow},
    generation::Generation,
    handoff::{Handoff, Stage},
    header::{Be16, Be32, Gue, Ipv4, Ipv6, MacAddresses, Udp},
    outcome::{Outcome, Step},
    parse::{IPV4, IPV6, MAX_OFFSET},
    tables::Tables,
    tunnel::{GUE_PORT, IN_IPV4, IN_IPV6, Tags},
};

/// The explicit congestion notification of a traffic class: its bits, and "congestion experienced" (RFC 3168 §5).
const ECN: u8 = 3;

/// Whether the packet may hold another one: what its sender is asked for.
#[inline(always)]
fn is_tunnel<A: Address>(flow: &Flow<A>) -> bool {
    if flow.fragment != Fragment::WHOLE || flow.extensions != 0 {
        return false;
    }
    match flow.transport {
        Transport::Other => matches!(flow.protocol, IN_IPV4 | IN_IPV6),
        Transport::Udp { destination, .. } => destination == GUE_PORT,
        _ => false,
    }
}

/// Hands a packet over that a known balancer put around another one; false where it is none.
#[inline(always)]
pub fn take_up<F: Frame + ?Sized, A: Address, T: Tables>(
    frame: &F,
    ip: usize,
    flow: &Flow<A>,
    generation: Generation,
    tables: &T,
) -> bool {
    let is_balancers = is_tunnel(flow) && is_balancers(flow, generation, tables);
    if is_balancers {
        tables.hand_over(Handoff::of::<A>(Stage::UNTUNNEL, ip, 0, 0, frame.len()));
    }
    is_balancers
}

/// What is inside.
struct Inner {
    /// The IANA number of its family.
    protocol: u8,
    /// Where it begins, in bytes from the frame's start.
    offset: usize,
    /// The outer packet's traffic class.
    class: u8,
}

/// Takes the outer header off: what is left is a frame with the inner packet.
#[inline(always)]
pub fn untunnel<F: Grow + ?Sized>(frame: &mut F, handoff: &Handoff) -> Step<()> {
    let ip = usize::from(handoff.ip);
    let outer = if handoff.v6 { behind_v6(frame, ip)? } else { behind_v4(frame, ip)? };
    let inner = if outer.protocol == UDP { behind_udp(frame, &outer)? } else { outer };
    let ether_type = match inner.protocol {
        IN_IPV4 => IPV4,
        IN_IPV6 => IPV6,
        _ => return Err(Outcome::BadHeader),
    };
    let tags = Tags::of(frame, ip)?;
    let addresses = frame.read::<MacAddresses>(0).ok_or(Outcome::Truncated)?;
    frame.shrink(inner.offset - ip).ok_or(Outcome::NoRoom)?;
    frame.write(0, addresses).ok_or(Outcome::Truncated)?;
    tags.write(frame, ip, ether_type)?;
    if inner.class & ECN != ECN {
        return Ok(());
    }
    // On Linux 6.1 the verifier goes ways that an offset with these bits cannot go.
    let ip = frame.forget(ip) & MAX_OFFSET;
    if ether_type == IPV4 { mark_v4(frame, ip) } else { mark_v6(frame, ip) }
}

#[inline(always)]
fn behind_v4<F: FrameMut + ?Sized>(frame: &F, ip: usize) -> Step<Inner> {
    let Some(header) = frame.read::<Ipv4>(ip) else { return Err(Outcome::Truncated) };
    if header.version_ihl != Ipv4::PLAIN {
        return Err(Outcome::BadHeader);
    }
    Ok(Inner { protocol: header.protocol, offset: ip + Ipv4::LEN, class: header.service })
}

#[inline(always)]
fn behind_v6<F: FrameMut + ?Sized>(frame: &F, ip: usize) -> Step<Inner> {
    let Some(header) = frame.read::<Ipv6>(ip) else { return Err(Outcome::Truncated) };
    let class = ({ header.version_class_flow }.value() >> 20) as u8;
    Ok(Inner { protocol: header.next_header, offset: ip + Ipv6::LEN, class })
}

/// Behind UDP and GUE: of version 0 a header, whose length it says; of version 1 nothing.
#[inline(always)]
fn behind_udp<F: FrameMut + ?Sized>(frame: &F, outer: &Inner) -> Step<Inner> {
    let offset = outer.offset + Udp::LEN;
    let Some(gue) = frame.read::<Gue>(offset) else { return Err(Outcome::Truncated) };
    match gue.control_len >> 4 {
        0 | 1 => {
            let len = Gue::LEN + usize::from(gue.control_len & 0x1f) * 4;
            Ok(Inner { protocol: gue.protocol, offset: offset + len, ..*outer })
        }
        4 => Ok(Inner { protocol: IN_IPV4, offset, ..*outer }),
        6 => Ok(Inner { protocol: IN_IPV6, offset, ..*outer }),
        // Control messages among them.
        _ => Err(Outcome::BadHeader),
    }
}

/// The outer packet met congestion: the inner one says so, or is dropped where its ends would not hear (RFC 6040 §4.2).
#[inline(always)]
fn mark_v4<F: FrameMut + ?Sized>(frame: &mut F, ip: usize) -> Step<()> {
    let Some(header) = frame.read::<Ipv4>(ip) else { return Err(Outcome::Truncated) };
    if header.service & ECN == 0 {
        return Err(Outcome::Congested);
    }
    let half = |class: u8| Be16::new(u16::from_be_bytes([header.version_ihl, class])).raw();
    let marked = header.service | ECN;
    let checksum = Delta::default().half(half(header.service), half(marked)).adjust(header.checksum);
    frame.write(ip + 1, marked).ok_or(Outcome::Truncated)?;
    frame.write(ip + 10, checksum).ok_or(Outcome::Truncated)
}

#[inline(always)]
fn mark_v6<F: FrameMut + ?Sized>(frame: &mut F, ip: usize) -> Step<()> {
    let Some(header) = frame.read::<Ipv6>(ip) else { return Err(Outcome::Truncated) };
    let word = { header.version_class_flow }.value();
    let ecn = u32::from(ECN) << 20;
    if word & ecn == 0 {
        return Err(Outcome::Congested);
    }
    frame.write(ip, Be32::new(word | ecn)).ok_or(Outcome::Truncated)
}
