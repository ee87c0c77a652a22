//! Gives a packet other addresses and ports, and keeps its checksums true (RFC 1624, RFC 3022 §4).

use crate::{
    address::Address,
    checksum::Delta,
    flow::{Flow, Transport},
    frame::FrameMut,
    header::{Be16, Ipv4, Ipv4Ends, Ipv6Ends, Ports},
    outcome::{Outcome, Step},
    target::{wire_v4, wire_v6},
};

/// An address, as [`Address::words`] has it, and a port in host byte order.
pub type End = ([u64; 2], u16);

/// Offsets in an IPv4 and IPv6 header, in bytes.
const CHECKSUM_V4: usize = 10;
const ENDS_V4: usize = 12;
const ENDS_V6: usize = 8;
/// Offsets in TCP's and UDP's header.
pub(crate) const CHECKSUM_TCP: usize = 16;
pub(crate) const CHECKSUM_UDP: usize = 6;

/// Writes both ends of the packet at `ip`. A later fragment has no ports to write, and no checksum.
#[inline(always)]
pub fn readdress<F: FrameMut + ?Sized, A: Address>(
    frame: &mut F,
    ip: usize,
    flow: &Flow<A>,
    from: End,
    to: End,
) -> Step<()> {
    let addresses = write_ends::<F, A>(frame, ip, from.0, to.0).ok_or(Outcome::Truncated)?;
    let ports = Ports { source: Be16::new(from.1), destination: Be16::new(to.1) };
    match flow.transport {
        Transport::Tcp(segment) => {
            let delta = write_ports(frame, segment.header, ports, addresses).ok_or(Outcome::Truncated)?;
            write_checksum(frame, segment.header + CHECKSUM_TCP, delta).ok_or(Outcome::Truncated)
        }
        Transport::Udp { header, .. } => {
            let delta = write_ports(frame, header, ports, addresses).ok_or(Outcome::Truncated)?;
            write_checksum_udp(frame, header + CHECKSUM_UDP, delta).ok_or(Outcome::Truncated)
        }
        _ => Ok(()),
    }
}

/// Writes both addresses of the packet at `ip`, and the checksum of its header: the change is what checksums of what is
/// inside have to follow.
#[inline(always)]
pub(crate) fn write_ends<F: FrameMut + ?Sized, A: Address>(
    frame: &mut F,
    ip: usize,
    from: [u64; 2],
    to: [u64; 2],
) -> Option<Delta> {
    if A::V6 { readdress_v6(frame, ip, from, to) } else { readdress_v4(frame, ip, from, to) }
}

#[inline(always)]
fn readdress_v4<F: FrameMut + ?Sized>(frame: &mut F, ip: usize, from: [u64; 2], to: [u64; 2]) -> Option<Delta> {
    let before = frame.read::<Ipv4>(ip)?;
    let ends = Ipv4Ends { source: wire_v4(from), destination: wire_v4(to) };
    let delta = Delta::default()
        .word({ before.source }.raw(), { ends.source }.raw())
        .word({ before.destination }.raw(), { ends.destination }.raw());
    frame.write(ip + CHECKSUM_V4, delta.adjust(before.checksum))?;
    frame.write(ip + ENDS_V4, ends)?;
    Some(delta)
}

#[inline(always)]
fn readdress_v6<F: FrameMut + ?Sized>(frame: &mut F, ip: usize, from: [u64; 2], to: [u64; 2]) -> Option<Delta> {
    let before = frame.read::<Ipv6Ends>(ip + ENDS_V6)?;
    let ends = Ipv6Ends { source: wire_v6(from), destination: wire_v6(to) };
    let delta = Delta::default().wide(before.source, ends.source).wide(before.destination, ends.destination);
    frame.write(ip + ENDS_V6, ends)?;
    Some(delta)
}

#[inline(always)]
pub(crate) fn write_ports<F: FrameMut + ?Sized>(
    frame: &mut F,
    header: usize,
    ports: Ports,
    delta: Delta,
) -> Option<Delta> {
    let before = frame.read::<Ports>(header)?;
    frame.write(header, ports)?;
    let delta = delta.half({ before.source }.raw(), { ports.source }.raw());
    Some(delta.half({ before.destination }.raw(), { ports.destination }.raw()))
}

#[inline(always)]
fn write_checksum<F: FrameMut + ?Sized>(frame: &mut F, offset: usize, delta: Delta) -> Option<()> {
    let before = frame.read::<Be16>(offset)?;
    frame.write(offset, delta.adjust(before))
}

/// UDP's is 0 where there is none, and never by itself (RFC 768).
#[inline(always)]
fn write_checksum_udp<F: FrameMut + ?Sized>(frame: &mut F, offset: usize, delta: Delta) -> Option<()> {
    let before = frame.read::<Be16>(offset)?;
    if before.raw() == 0 {
        return Some(());
    }
    let after = delta.adjust(before);
    frame.write(offset, if after.raw() == 0 { Be16::from_raw(u16::MAX) } else { after })
}
