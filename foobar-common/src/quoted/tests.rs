//! Messages about flows, over the host's tables: where they go, and what is made of what they quote.

use super::*;
use crate::{
    address::{V4, V6},
    flow::ICMP,
    flow::{TCP, UDP},
};

/// An `ICMPv4` error at the start of a frame without Ethernet header: outer IP header, ICMP header, and what it quotes.
fn error_v4(quoted: &[u8]) -> Vec<u8> {
    let len = (28 + quoted.len()) as u16;
    let [high, low] = len.to_be_bytes();
    let mut frame = vec![0x45, 0, high, low, 0, 0, 0, 0, 64, ICMP, 0, 0, 198, 51, 100, 9, 10, 0, 0, 1];
    frame.extend([3, 4, 0, 0, 0, 0, 5, 0]);
    frame.extend(quoted);
    frame
}

fn packet_v4(protocol: u8, fragment: [u8; 2]) -> Vec<u8> {
    let mut packet =
        vec![0x45, 0, 0, 40, 0, 0, fragment[0], fragment[1], 64, protocol, 0, 0, 10, 0, 0, 1, 192, 0, 2, 7];
    packet.extend([0, 80, 0x0f, 0xa0, 0, 0, 0, 0]);
    packet
}

#[test]
fn a_quote_is_read_as_far_as_its_packet_goes() {
    for protocol in [TCP, UDP] {
        let mut frame = error_v4(&packet_v4(protocol, [0x40, 0]));
        frame.extend([0; 40]);
        let quote = Quote::read::<[u8], V4>(&frame, 0, 20).expect("a quote");
        assert_eq!((quote.source, quote.destination), (([0, 0x0a00_0001], 80), ([0, 0xc000_0207], 4000)));
        assert_eq!((quote.protocol, quote.ip, quote.header, quote.len), (protocol, 28, 48, 8), "padding is not quoted");
    }
}

#[test]
fn nothing_is_read_of_what_has_no_ports() {
    let whole = packet_v4(TCP, [0, 0]);
    let mut short = error_v4(&whole[..27]);
    short.extend([0; 20]);
    for frame in [
        short,
        error_v4(&packet_v4(ICMP, [0, 0])),
        error_v4(&packet_v4(TCP, [0x20, 3])),
        error_v4(&[&[0x65], &whole[1..]].concat()),
        error_v4(&[&[0x44], &whole[1..]].concat()),
    ] {
        assert_eq!(Quote::read::<[u8], V4>(&frame, 0, 20), None, "{frame:?}");
    }
    assert!(Quote::read::<[u8], V4>(&error_v4(&packet_v4(TCP, [0x20, 0])), 0, 20).is_some(), "a first fragment");
    assert_eq!(Quote::read::<[u8], V6>(&error_v4(&whole), 0, 20), None);
}
