//! Gives an ICMP error and the packet that it quotes other ends, and keeps every checksum true (RFC 5508 §4.2, RFC 1624).

use super::{Going, quote::Quote};
use crate::{
    address::Address,
    checksum::Delta,
    flow::TCP,
    frame::FrameMut,
    header::{Be16, Ports},
    readdress::{CHECKSUM_TCP, CHECKSUM_UDP, write_ends, write_ports},
};

/// Offset in the ICMP header.
const CHECKSUM_ICMP: usize = 2;

/// `ip` and `header`: offsets of the error's IP header and ICMP header.
#[inline(always)]
pub fn translate<F: FrameMut + ?Sized, A: Address>(
    frame: &mut F,
    (ip, header): (usize, usize),
    quote: &Quote,
    going: &Going,
) -> Option<()> {
    let outer = write_ends::<F, A>(frame, ip, going.source, going.destination)?;
    let (from, to) = (going.quoted_source, going.quoted_destination);
    let inner = write_ends::<F, A>(frame, quote.ip, from.0, to.0)?;
    let ports = Ports { source: Be16::new(from.1), destination: Be16::new(to.1) };
    let ports = write_ports(frame, quote.header, ports, Delta::default())?;
    let sum = write_sum(frame, quote, inner.and(ports))?;
    // An IPv4 header with its own checksum adds up to the same whatever it says; ICMPv6 sums its packet's addresses.
    let addresses = if A::V6 { outer.and(inner) } else { Delta::default() };
    let before = frame.read::<Be16>(header + CHECKSUM_ICMP)?;
    frame.write(header + CHECKSUM_ICMP, addresses.and(ports).and(sum).adjust(before))
}

/// Brings the quoted checksum up to date, where it is among what is quoted: how that changed.
#[inline(always)]
fn write_sum<F: FrameMut + ?Sized>(frame: &mut F, quote: &Quote, delta: Delta) -> Option<Delta> {
    let is_tcp = quote.protocol == TCP;
    let offset = if is_tcp { CHECKSUM_TCP } else { CHECKSUM_UDP };
    if quote.len < offset + size_of::<Be16>() {
        return Some(Delta::default());
    }
    let before = frame.read::<Be16>(quote.header + offset)?;
    if !is_tcp && before.raw() == 0 {
        return Some(Delta::default());
    }
    let after = delta.adjust(before);
    let after = if !is_tcp && after.raw() == 0 { Be16::from_raw(u16::MAX) } else { after };
    frame.write(quote.header + offset, after)?;
    Some(Delta::default().half(before.raw(), after.raw()))
}
