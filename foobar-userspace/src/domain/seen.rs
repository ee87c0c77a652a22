//! A frame in the words in which packets are asked about: `tcp 198.51.100.7:40000 > 192.0.2.10:22 syn`.
//!
//! What cannot be read as a whole is told as far as it can.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use foobar_common::{
    Address, Flow, Frame,
    address::{V4, V6},
    flow::{ICMP, ICMPV6, Segment, TCP, Transport, UDP},
    header::{Ethernet, Ipv4, Ipv6},
    outcome::{Outcome, Step},
    parse::{self, Network},
};

use super::{
    Matcher,
    rule::{IcmpTypes, Ports},
};

const ARP: u16 = 0x0806;
const FLAGS: [(u8, &str); 5] =
    [(Segment::SYN, "syn"), (Segment::FIN, "fin"), (Segment::RST, "rst"), (0x08, "psh"), (Segment::ACK, "ack")];

/// What a frame is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub text: String,
    pub source: Option<IpAddr>,
}

impl Seen {
    pub fn of(frame: &impl Frame) -> Self {
        whole(frame).unwrap_or_else(|_| addresses(frame).unwrap_or_else(|| link(frame)))
    }

    fn between(what: &str, source: IpAddr, destination: IpAddr) -> Self {
        Self { text: format!("{what} {source} > {destination}"), source: Some(source) }
    }
}

fn whole(frame: &impl Frame) -> Step<Seen> {
    match parse::link(frame)? {
        Network::V4(offset) => Ok(flow(&parse::ipv4(frame, offset)?)),
        Network::V6(offset) => Ok(flow(&parse::ipv6(frame, offset)?)),
    }
}

fn flow<A: Address>(flow: &Flow<A>) -> Seen {
    let (source, destination) = (ip(flow.source), ip(flow.destination));
    let (protocol, flags) = match flow.transport {
        Transport::Tcp(segment) => (Matcher::Tcp(Ports::default()), flags(segment.flags)),
        Transport::Udp { .. } => (Matcher::Udp(Ports::default()), String::new()),
        Transport::Icmp { kind, .. } if flow.protocol == ICMP => (Matcher::Icmp(IcmpTypes(vec![kind])), String::new()),
        Transport::Icmp { kind, .. } => (Matcher::Icmpv6(IcmpTypes(vec![kind])), String::new()),
        Transport::Other => (Matcher::Protocol(flow.protocol), String::new()),
        Transport::LaterFragment => (named(flow.protocol), " later fragment".to_owned()),
    };
    let text = match flow.ports() {
        Some((from, to)) => {
            format!("{protocol} {} > {}{flags}", SocketAddr::new(source, from), SocketAddr::new(destination, to))
        }
        None => format!("{protocol} {source} > {destination}{flags}"),
    };
    Seen { text, source: Some(source) }
}

fn named(protocol: u8) -> Matcher {
    match protocol {
        TCP => Matcher::Tcp(Ports::default()),
        UDP => Matcher::Udp(Ports::default()),
        ICMP => Matcher::Icmp(IcmpTypes::default()),
        ICMPV6 => Matcher::Icmpv6(IcmpTypes::default()),
        other => Matcher::Protocol(other),
    }
}

/// ` syn,ack`
fn flags(set: u8) -> String {
    let names: Vec<_> = FLAGS.iter().filter(|(bit, _)| set & bit != 0).map(|(_, name)| *name).collect();
    if names.is_empty() { String::new() } else { format!(" {}", names.join(",")) }
}

/// Of an IP packet that contradicts itself or ends early.
fn addresses(frame: &impl Frame) -> Option<Seen> {
    match parse::link(frame).ok()? {
        Network::V4(offset) => {
            let header = frame.read::<Ipv4>(offset)?;
            let (source, destination) = (V4::from_wire(header.source), V4::from_wire(header.destination));
            Some(Seen::between("ipv4", ip(source), ip(destination)))
        }
        Network::V6(offset) => {
            let header = frame.read::<Ipv6>(offset)?;
            let (source, destination) = (V6::from_wire(header.source), V6::from_wire(header.destination));
            Some(Seen::between("ipv6", ip(source), ip(destination)))
        }
    }
}

fn link(frame: &impl Frame) -> Seen {
    let text = match (parse::link(frame), frame.read::<Ethernet>(0).map(|header| header.ether_type.value())) {
        (Err(Outcome::NotIp), Some(ARP)) => "arp".to_owned(),
        (_, Some(ether_type)) => format!("ether type {ether_type:#06x}"),
        (_, None) => "no Ethernet header".to_owned(),
    };
    Seen { text, source: None }
}

fn ip<A: Address>(address: A) -> IpAddr {
    let [high, low] = address.words();
    if A::V6 {
        Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low)).into()
    } else {
        Ipv4Addr::from_bits(low as u32).into()
    }
}

#[cfg(test)]
mod tests {
    use foobar_common::event::{Cut, FRONT};

    use super::*;
    use crate::domain::packet::SaidPacket;

    #[test]
    fn what_is_said_is_seen() {
        for text in [
            "tcp 198.51.100.7:40000 > 192.0.2.10:22 syn",
            "tcp [2001:db8::1]:5 > [2001:db8::2]:6 fin,psh,ack",
            "udp 10.0.0.1:53 > 10.0.0.2:9",
            "icmp/echo-request 10.0.0.1 > 10.0.0.2",
            "icmpv6/echo-reply 2001:db8::1 > 2001:db8::2",
            "vrrp 10.0.0.1 > 224.0.0.18",
        ] {
            let frame = text.parse::<SaidPacket>().expect(text).frame;
            assert_eq!(Seen::of(&Cut { front: &frame, len: frame.len() }).text, text);
        }
    }

    #[test]
    fn the_front_of_a_long_packet_is_enough() {
        let mut frame = "udp 10.0.0.1:53 > 10.0.0.2:9".parse::<SaidPacket>().expect("a packet").frame;
        let len = 1400u16;
        frame.resize(usize::from(len), 0);
        frame[16..18].copy_from_slice(&(len - 14).to_be_bytes());
        frame[38..40].copy_from_slice(&(len - 34).to_be_bytes());
        let seen = Seen::of(&Cut { front: &frame[..FRONT], len: frame.len() });
        assert_eq!(seen.text, "udp 10.0.0.1:53 > 10.0.0.2:9");
    }

    #[test]
    fn what_cannot_be_read_is_told_as_far_as_it_can() {
        let mut frame = "tcp 10.0.0.1:1 > 10.0.0.2:2".parse::<SaidPacket>().expect("a packet").frame;
        let seen = |front: &[u8]| Seen::of(&Cut { front, len: front.len() }).text;
        assert_eq!(seen(&frame[..40]), "ipv4 10.0.0.1 > 10.0.0.2");
        assert_eq!(seen(&frame[..20]), "ether type 0x0800");
        assert_eq!(seen(&frame[..10]), "no Ethernet header");
        frame[12..14].copy_from_slice(&[8, 6]);
        assert_eq!(seen(&frame), "arp");
    }
}
