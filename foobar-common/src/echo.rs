//! Answers to echo requests for a service's address: no host has it, so this one speaks for it (RFC 792, RFC 4443 §4.2).

use crate::{
    address::Address,
    checksum::Delta,
    event::Told,
    find::echoes,
    flow::Flow,
    frame::FrameMut,
    header::{Be16, Icmp, Ipv4, Ipv6, MacAddresses},
    tables::Tables,
};

/// Types of ICMP, and those of `ICMPv6`.
const REQUEST: u8 = 8;
const REPLY: u8 = 0;
const REQUEST_V6: u8 = 128;
const REPLY_V6: u8 = 129;
/// What Linux sends.
const HOPS: u8 = 64;

/// Whether a message of this type asks for an echo.
#[inline(always)]
pub const fn is_request<A: Address>(kind: u8) -> bool {
    kind == if A::V6 { REQUEST_V6 } else { REQUEST }
}

/// Makes a whole request its answer, where its address is a service's that wants it, as often as a CPU may; else `None`, and
/// the frame as it was. `ip` and `header`: offsets of the IP header and of the ICMP header.
#[inline(always)]
pub fn echo<F: FrameMut + ?Sized, A: Address, T: Tables>(
    frame: &mut F,
    (ip, header): (usize, usize),
    flow: &Flow<A>,
    bank: usize,
    tables: &T,
) -> Option<()> {
    let icmp = frame.read::<Icmp>(header)?;
    let is_plain = A::V6 || frame.read::<u8>(ip)? == Ipv4::PLAIN;
    if icmp.code != 0 || !is_plain || !echoes(flow.destination, bank, tables) || !tables.may_tell(Told::Echo) {
        return None;
    }
    let addresses = frame.read::<MacAddresses>(0)?.swapped();
    if A::V6 {
        back_v6(frame, ip)?;
    } else {
        back_v4(frame, ip)?;
    }
    let kind = if A::V6 { REPLY_V6 } else { REPLY };
    let half = |kind: u8| Be16::new(u16::from_be_bytes([kind, 0])).raw();
    // The sum of the addresses is the same the other way round.
    let checksum = Delta::default().half(half(icmp.kind), half(kind)).adjust(icmp.checksum);
    frame.write(header, Icmp { kind, checksum, ..icmp })?;
    frame.write(0, addresses)
}

#[inline(always)]
fn back_v4<F: FrameMut + ?Sized>(frame: &mut F, ip: usize) -> Option<()> {
    let asked = frame.read::<Ipv4>(ip)?;
    let half = |ttl: u8| Be16::new(u16::from_be_bytes([ttl, asked.protocol])).raw();
    let checksum = Delta::default().half(half(asked.ttl), half(HOPS)).adjust(asked.checksum);
    frame.write(ip, Ipv4 { ttl: HOPS, checksum, source: asked.destination, destination: asked.source, ..asked })
}

#[inline(always)]
fn back_v6<F: FrameMut + ?Sized>(frame: &mut F, ip: usize) -> Option<()> {
    let asked = frame.read::<Ipv6>(ip)?;
    frame.write(ip, Ipv6 { hop_limit: HOPS, source: asked.destination, destination: asked.source, ..asked })
}
