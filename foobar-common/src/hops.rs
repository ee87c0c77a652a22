//! A router takes one off a packet's time to live, and forwards none whose last it was (RFC 1812 §5.3.1, RFC 8200 §3).

use crate::{
    checksum::one_hop_less,
    frame::FrameMut,
    header::{Ipv4, Ipv6},
    outcome::{Outcome, Step},
};

/// Takes one off the IPv4 packet's at `offset`.
#[inline(always)]
pub fn take_v4<F: FrameMut + ?Sized>(frame: &mut F, offset: usize) -> Step<()> {
    let Some(ip) = frame.read::<Ipv4>(offset) else { return Err(Outcome::Truncated) };
    if ip.ttl <= 1 {
        return Err(Outcome::ExpiredUntold);
    }
    frame.write(offset + 8, ip.ttl - 1).ok_or(Outcome::Truncated)?;
    frame.write(offset + 10, one_hop_less(ip.checksum)).ok_or(Outcome::Truncated)
}

/// The same of the IPv6 packet.
#[inline(always)]
pub fn take_v6<F: FrameMut + ?Sized>(frame: &mut F, offset: usize) -> Step<()> {
    let Some(ip) = frame.read::<Ipv6>(offset) else { return Err(Outcome::Truncated) };
    if ip.hop_limit <= 1 {
        return Err(Outcome::ExpiredUntold);
    }
    frame.write(offset + 7, ip.hop_limit - 1).ok_or(Outcome::Truncated)
}
