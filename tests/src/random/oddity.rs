//! What makes a packet odd without making it another one: tags, options, extension headers, fragments, padding.

use fastrand::Rng;
use foobar_common::extension::{DESTINATION_OPTIONS, HOP_BY_HOP, KINDS, MOBILITY, ROUTING};

use super::one_of;
use crate::frames::{Family, Packet};

/// The packet with one to three oddities.
pub fn odd(packet: Packet, rng: &mut Rng) -> Packet {
    (0..rng.u8(1..4)).fold(packet, |packet, _| match packet.family() {
        None => link(packet, rng),
        Some(_) if rng.u8(..) < 64 => link(packet, rng),
        Some(Family::V4) => ipv4(packet, rng),
        Some(Family::V6) => ipv6(packet, rng),
    })
}

fn link(packet: Packet, rng: &mut Rng) -> Packet {
    match rng.u8(..4) {
        0 => packet.vlan(rng.u16(..4096)),
        1 => packet.qinq(rng.u16(..4096), rng.u16(..4096)),
        _ => packet.padded(rng.usize(60..120), rng.u8(..)),
    }
}

fn ipv4(packet: Packet, rng: &mut Rng) -> Packet {
    match rng.u8(..3) {
        0 => packet.options(&[7; 40][..rng.usize(..=40)]),
        _ => fragment(packet, rng),
    }
}

fn ipv6(packet: Packet, rng: &mut Rng) -> Packet {
    match rng.u8(..4) {
        0 => fragment(packet, rng),
        1 => {
            let units = rng.u8(..4);
            let bytes = [&[0, units], vec![1; usize::from(units) * 8 + 6].as_slice()].concat();
            packet.extension_bytes(one_of(rng, &[HOP_BY_HOP, ROUTING, DESTINATION_OPTIONS, MOBILITY]), &bytes)
        }
        2 if rng.u8(..4) == 0 => (0..rng.u8(4..12)).fold(packet, |packet, _| packet.extension(one_of(rng, &KINDS))),
        _ => packet.extension(one_of(rng, &KINDS)),
    }
}

fn fragment(packet: Packet, rng: &mut Rng) -> Packet {
    // Few, so that fragments meet.
    let packet = packet.identified(rng.u32(..4));
    match rng.u8(..8) {
        0 => packet.fragment(1, rng.bool()),
        1 | 2 => packet.fragment(rng.u16(2..8192), rng.bool()),
        3 => packet.fragment(0, false),
        _ => packet.fragment(0, true),
    }
}
