//! Packets without anything odd, from few hosts, so that flows come again.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use fastrand::Rng;
use foobar_common::flow::Segment;

use super::one_of;
use crate::frames::{Packet, arp, ethernet, icmp, icmpv6, protocol, tcp, udp};

/// Addresses that services have in the tests that use this.
const SERVICES: [&str; 2] = ["10.0.0.1", "2001:db8:1::1"];
const OTHERS: [&str; 2] = ["10.0.0.9", "2001:db8:1::9"];
const PORTS: [u16; 8] = [80, 81, 82, 83, 53, 22, 25, 443];
const SOURCES_V4: [&str; 4] = ["192.0.2", "198.51.100", "203.0.113", "10.9.8"];
const SOURCES_V6: [&str; 4] = ["2001:db8:7::", "2001:db8:bad::", "2001:db8:cafe::", "fe80::"];

/// A packet; two thirds are for a service's address.
pub fn plain(rng: &mut Rng) -> Packet {
    match rng.u8(..) {
        0..2 => arp(),
        2..4 => ethernet(rng.u16(..), &std::array::from_fn::<_, 40, _>(|_| rng.u8(..))),
        _ => ip(rng),
    }
}

fn ip(rng: &mut Rng) -> Packet {
    let family = usize::from(rng.bool());
    let source = source(rng, family);
    let destination: IpAddr = match rng.u8(..) {
        0..240 => SERVICES[family],
        _ => OTHERS[family],
    }
    .parse()
    .expect("an address");
    let from = SocketAddr::new(source, 4000 + rng.u16(..16)).to_string();
    let to = |port| SocketAddr::new(destination, port).to_string();
    let (source, target) = (source.to_string(), destination.to_string());
    match rng.u8(..) {
        0..160 => {
            let to = to(port(rng, &[80, 80, 81]));
            segment(tcp(&from, &to), rng)
        }
        160..215 => {
            let to = to(port(rng, &[53]));
            datagram(&from, &to, rng)
        }
        215..225 => icmp(&source, &target, rng.u8(..16), rng.u8(..4)),
        225..235 => icmpv6(&source, &target, rng.u8(..), 0),
        235..243 => icmpv6(&source, &target, rng.u8(127..146), 0).ttl(one_of(rng, &[64, 255])),
        _ => protocol(rng.u8(..), &source, &target),
    }
}

fn datagram(from: &str, to: &str, rng: &mut Rng) -> Packet {
    let change = |text: &str, port: u16| {
        let mut end: SocketAddr = text.parse().expect("an end");
        end.set_port(port);
        end.to_string()
    };
    match rng.u8(..) {
        0..6 => udp(&change(from, 67), &change(to, 68)),
        6..12 => udp(&change(from, 547), &change(to, 546)),
        _ => udp(from, to),
    }
}

fn source(rng: &mut Rng, family: usize) -> IpAddr {
    let host = rng.u8(1..17);
    if rng.u8(..) < 3 {
        return ["224.0.0.5", "ff02::5"][family].parse().expect("an address");
    }
    if rng.u8(..) < 12 {
        // From anywhere.
        return if family == 0 { rng.u32(..).to_be_bytes().into() } else { Ipv6Addr::from_bits(rng.u128(..)).into() };
    }
    // Those that rules speak of are the rarer ones.
    let net = if rng.u8(..) < 180 { 0 } else { rng.usize(..4) };
    let text = if family == 0 { format!("{}.{host}", SOURCES_V4[net]) } else { format!("{}{host:x}", SOURCES_V6[net]) };
    text.parse().expect("an address")
}

fn port(rng: &mut Rng, served: &[u16]) -> u16 {
    match rng.u8(..) {
        0..180 => one_of(rng, served),
        180..250 => one_of(rng, &PORTS),
        _ => rng.u16(..),
    }
}

fn segment(packet: Packet, rng: &mut Rng) -> Packet {
    const FLAGS: [u8; 6] = [
        Segment::SYN,
        Segment::SYN,
        Segment::ACK,
        Segment::SYN | Segment::ACK,
        Segment::FIN | Segment::ACK,
        Segment::RST,
    ];
    let flags = if rng.u8(..) < 8 { rng.u8(..) } else { one_of(rng, &FLAGS) };
    let packet = packet.flags(flags).sequence(one_of(rng, &[0, 1000, 1001, 1001 + (1 << 20), u32::MAX]));
    match rng.u8(..) {
        0..40 => packet.payload(b"GET / HTTP/1.1\r\n\r\n"),
        40..60 => packet.payload(b"DELETE /a HTTP/1.1\r\n\r\n"),
        60..70 => packet.payload(b"GET /"),
        70..90 => packet.payload(&[rng.u8(..); 33]),
        90..110 => packet.tcp_options(&[2, 4, 5, 180, 1, 1, 1, 0]),
        _ => packet,
    }
}
