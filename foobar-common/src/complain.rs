//! Tells a packet's sender that it is too big for what has to carry it (RFC 1191 §4, RFC 8201, RFC 4443 §3.2), or that its
//! time to live has ended here (RFC 792, RFC 4443 §3.3).
//!
//! The error comes from the address that the packet was for, since that is one that the sender can be reached from.

use crate::{
    event::Told,
    flow::{ICMP, ICMPV6},
    frame::Resize,
    header::{Ipv4, Ipv6, MacAddresses},
    outcome::Outcome,
    refuse::{Message, quote_v4, quote_v6},
    tables::Tables,
};

/// The next header of a fragment.
const FRAGMENT: u8 = crate::extension::FRAGMENT;

/// Makes the frame the error that its sender is sent. `ip`: offset of the IP header; `mtu`: bytes that a packet may have.
#[inline(always)]
pub fn too_big<F: Resize + ?Sized>(frame: &mut F, ip: usize, v6: bool, mtu: u32) -> Outcome {
    let told = if v6 {
        tell_v6(frame, ip, Message { kind: 2, code: 0, rest: mtu })
    } else {
        tell_v4(frame, ip, Message { kind: 3, code: 4, rest: mtu })
    };
    if told.is_some() { Outcome::TooBig } else { Outcome::TooBigUntold }
}

/// What becomes of a packet that left where one was to be taken off its hops: the sender of one that had no more is told,
/// as often as a CPU may.
#[inline(always)]
pub fn expired<F: Resize + ?Sized, T: Tables>(
    left: Outcome,
    frame: &mut F,
    ip: usize,
    v6: bool,
    tables: &T,
) -> Outcome {
    if !matches!(left, Outcome::ExpiredUntold) || !tables.may_tell(Told::Error) {
        return left;
    }
    let told = if v6 {
        tell_v6(frame, ip, Message { kind: 3, code: 0, rest: 0 })
    } else {
        tell_v4(frame, ip, Message { kind: 11, code: 0, rest: 0 })
    };
    if told.is_some() { Outcome::Expired } else { left }
}

/// Nobody is told of a later fragment, of what begins behind options, nor of an error (RFC 1122 §3.2.2).
#[inline(always)]
fn tell_v4<F: Resize + ?Sized>(frame: &mut F, ip: usize, says: Message) -> Option<()> {
    let addresses = frame.read::<MacAddresses>(0)?.swapped();
    let header = frame.read::<Ipv4>(ip)?;
    if header.version_ihl != Ipv4::PLAIN || { header.fragment }.value() & Ipv4::OFFSET != 0 || header.protocol == ICMP {
        return None;
    }
    quote_v4(frame, ip, &header, says)?;
    frame.write(0, addresses)
}

/// The same for IPv6 (RFC 4443 §2.4).
#[inline(always)]
fn tell_v6<F: Resize + ?Sized>(frame: &mut F, ip: usize, says: Message) -> Option<()> {
    let addresses = frame.read::<MacAddresses>(0)?.swapped();
    let header = frame.read::<Ipv6>(ip)?;
    if matches!(header.next_header, FRAGMENT | ICMPV6) {
        return None;
    }
    quote_v6(frame, ip, &header, says)?;
    frame.write(0, addresses)
}
