//! Tells a packet's sender that it is too big for what has to carry it (RFC 1191 §4, RFC 8201, RFC 4443 §3.2).
//!
//! The error comes from the address that the packet was for, since that is one that the sender can be reached from.

use crate::{
    frame::Resize,
    header::{Ipv4, Ipv6, MacAddresses},
    outcome::Outcome,
    refuse::{Message, quote_v4, quote_v6},
};

const PLAIN: u8 = 0x45;
/// The bits of an IPv4 fragment's offset.
const OFFSET: u16 = 0x1fff;
/// The next header of a fragment.
const FRAGMENT: u8 = crate::extension::FRAGMENT;

/// Makes the frame the error that its sender is sent. `ip`: offset of the IP header; `mtu`: bytes that a packet may have.
#[inline(always)]
pub fn too_big<F: Resize + ?Sized>(frame: &mut F, ip: usize, v6: bool, mtu: u32) -> Outcome {
    let told = if v6 { too_big_v6(frame, ip, mtu) } else { too_big_v4(frame, ip, mtu) };
    if told.is_some() { Outcome::TooBig } else { Outcome::TooBigUntold }
}

#[inline(always)]
fn too_big_v4<F: Resize + ?Sized>(frame: &mut F, ip: usize, mtu: u32) -> Option<()> {
    let addresses = frame.read::<MacAddresses>(0)?.swapped();
    let header = frame.read::<Ipv4>(ip)?;
    // Nobody is told of a later fragment, nor of what begins behind options.
    if header.version_ihl != PLAIN || { header.fragment }.value() & OFFSET != 0 {
        return None;
    }
    quote_v4(frame, ip, &header, Message { kind: 3, code: 4, rest: mtu })?;
    frame.write(0, addresses)
}

#[inline(always)]
fn too_big_v6<F: Resize + ?Sized>(frame: &mut F, ip: usize, mtu: u32) -> Option<()> {
    let addresses = frame.read::<MacAddresses>(0)?.swapped();
    let header = frame.read::<Ipv6>(ip)?;
    if header.next_header == FRAGMENT {
        return None;
    }
    quote_v6(frame, ip, &header, Message { kind: 2, code: 0, rest: mtu })?;
    frame.write(0, addresses)
}
