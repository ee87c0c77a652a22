//! What a packet is asked that no rule denied and that is for no service: whether it is a backend's answer whose client's way
//! was forgotten, a balancer's tunnel, or an ICMP message about a flow or for a service's address.
//!
//! The first program does not ask, but for whether it is worth it: a stage does, which the packet is handed over to.

use crate::{
    address::Address,
    flow::{Flow, ICMP, ICMPV6},
    frame::Frame,
    generation::Generation,
    header::{Be16, Start},
    nat,
    outcome::Outcome,
    parse::{self, DOT1AD, DOT1Q, IPV4, IPV6, Network},
    quoted,
    serve::is_for_a_group,
    tables::Tables,
    untunnel,
};

/// What the first program made of a packet, and in which generation.
#[derive(Clone, Copy, Debug)]
pub struct Judged {
    pub outcome: Outcome,
    pub generation: Generation,
}

impl Judged {
    const GENERATION_SHIFT: u32 = 8;

    /// Bits 0–7 are the outcome's index, those from 8 on the generation's word without its end.
    #[inline(always)]
    pub const fn word(self) -> u64 {
        self.outcome.index() as u64 | self.generation.confirmed().word() << Self::GENERATION_SHIFT
    }

    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        const ESSENTIAL: u64 = Outcome::Essential as u64;
        const ALLOWED: u64 = Outcome::Allowed as u64;
        const DEFAULT_PASS: u64 = Outcome::DefaultPass as u64;
        let outcome = match word & 0xff {
            ESSENTIAL => Outcome::Essential,
            ALLOWED => Outcome::Allowed,
            DEFAULT_PASS => Outcome::DefaultPass,
            _ => Outcome::DefaultDrop,
        };
        Self { outcome, generation: Generation::from_word(word >> Self::GENERATION_SHIFT) }
    }

    /// Whether the packet is asked more: no rule denied it, and it is for no service. Where neither answers nor tunnels can
    /// come, only what may be an ICMP message is.
    #[inline(always)]
    pub fn is_asked<F: Frame + ?Sized>(self, frame: &F) -> bool {
        let Self { outcome, generation } = self;
        matches!(outcome, Outcome::Essential | Outcome::Allowed | Outcome::DefaultPass | Outcome::DefaultDrop)
            && (generation.has_nat() || generation.has_tunnels() || generation.serves() && may_be_icmp(frame))
    }
}

/// Whether the frame may be an ICMP message, by two reads. One with a VLAN tag may be.
#[inline(always)]
fn may_be_icmp<F: Frame + ?Sized>(frame: &F) -> bool {
    let (Some(ether_type), Some(start)) = (frame.read::<Be16>(12), frame.read::<Start>(16)) else { return false };
    let bytes = u64::from_le(start.bytes);
    match ether_type.value() {
        IPV4 => (bytes >> 56) as u8 == ICMP,
        IPV6 => (bytes >> 32) as u8 == ICMPV6,
        DOT1Q | DOT1AD => true,
        _ => false,
    }
}

/// Hands the packet over to who goes on with it; false where that is nobody, and it leaves as it was judged.
#[inline(always)]
pub fn ask<F: Frame + ?Sized, T: Tables>(frame: &F, judged: Judged, tables: &T) -> bool {
    if is_for_a_group(frame) {
        return false;
    }
    match parse::link(frame) {
        Ok(Network::V4(ip)) => parse::ipv4(frame, ip).is_ok_and(|flow| ask_of(frame, ip, &flow, judged, tables)),
        Ok(Network::V6(ip)) => parse::ipv6(frame, ip).is_ok_and(|flow| ask_of(frame, ip, &flow, judged, tables)),
        Err(_) => false,
    }
}

#[inline(always)]
fn ask_of<F: Frame + ?Sized, A: Address, T: Tables>(
    frame: &F,
    ip: usize,
    flow: &Flow<A>,
    judged: Judged,
    tables: &T,
) -> bool {
    let Judged { outcome, generation } = judged;
    let is_open = !matches!(outcome, Outcome::Essential);
    is_open && generation.has_nat() && nat::take_up(frame, ip, flow, generation, tables)
        || is_open && generation.has_tunnels() && untunnel::take_up(frame, ip, flow, generation, tables)
        || generation.serves() && quoted::take_up(frame, ip, flow, judged, tables)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::TCP;

    #[test]
    fn what_the_first_program_knows_comes_back() {
        for outcome in Outcome::ALL.iter().copied() {
            for bank in [0, 1] {
                let generation = Generation::new(bank, true, false).serving(true).answering(true, bank == 1);
                let judged = Judged { outcome, generation };
                let back = Judged::from_word(judged.word());
                let is_same = (back.outcome, back.generation) == (outcome, generation);
                assert_eq!(
                    judged.is_asked([0; 64].as_slice()),
                    is_same,
                    "{outcome:?} is asked and comes back, or neither"
                );
            }
        }
    }

    #[test]
    fn a_frame_may_be_icmp_by_its_protocol_or_its_tag() {
        let frame = |ether_type: u16, at: usize, protocol: u8| {
            let mut frame = [0; 64];
            frame[12..14].copy_from_slice(&ether_type.to_be_bytes());
            frame[at] = protocol;
            frame
        };
        assert!(may_be_icmp(frame(IPV4, 23, ICMP).as_slice()));
        assert!(may_be_icmp(frame(IPV6, 20, ICMPV6).as_slice()));
        assert!(may_be_icmp(frame(DOT1Q, 23, TCP).as_slice()));
        assert!(!may_be_icmp(frame(IPV4, 23, TCP).as_slice()));
        assert!(!may_be_icmp(frame(IPV6, 23, ICMP).as_slice()));
        assert!(!may_be_icmp(&frame(IPV4, 23, ICMP)[..23]));
    }
}
