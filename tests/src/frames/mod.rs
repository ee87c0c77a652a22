//! Frames as a test says them: `tcp("192.0.2.7:4000", "10.0.0.1:80").syn().vlan(100)`.
//!
//! Lengths and checksums are right unless a test spoils them with [`Packet::ip_bytes`], [`Packet::transport_bytes`] or
//! [`Packet::cut`], which come last.

mod build;
mod checksum;
mod fluent;
mod mac;

use std::net::{IpAddr, SocketAddr};

pub use mac::{BALANCER, ROUTER, mac};

/// A frame that is not bytes yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    destination_mac: [u8; 6],
    source_mac: [u8; 6],
    /// Ether type and tag, outermost first.
    tags: Vec<(u16, u16)>,
    content: Content,
    spoiled: Vec<Spoil>,
    /// The frame is padded with these bytes to this length.
    padding: Option<(usize, u8)>,
    cut: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    /// Not IP: an ether type and what follows it.
    Raw(u16, Vec<u8>),
    Ip(Ip),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Ip {
    source: IpAddr,
    destination: IpAddr,
    hops: u8,
    /// Of IPv4.
    class: u8,
    /// Of IPv4, in whole words.
    options: Vec<u8>,
    /// Of IPv4: the offset in units of 8 bytes, and whether more follow.
    fragment: (u16, bool),
    /// Identification; of IPv6 in every fragment header.
    id: u32,
    /// Of IPv6, in order: number and bytes, whose first one is filled in.
    extensions: Vec<(u8, Vec<u8>)>,
    transport: Transport,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Transport {
    Tcp { ports: (u16, u16), flags: u8, numbers: (u32, u32), options: Vec<u8>, payload: Vec<u8> },
    Udp { ports: (u16, u16), payload: Vec<u8> },
    Icmp { protocol: u8, kind: u8, code: u8, rest: u32, payload: Vec<u8> },
    Other { protocol: u8, payload: Vec<u8> },
}

/// Which IP a packet is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

/// Bytes that overwrite what was built.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Spoil {
    of: Layer,
    offset: usize,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layer {
    Ip,
    Transport,
}

const TTL: u8 = 64;
/// Identifier 7, sequence number 1.
const ECHO: u32 = 7 << 16 | 1;
const ARP: u16 = 0x0806;

/// An ACK without payload, from one `ADDRESS:PORT` to another of the same family.
pub fn tcp(source: &str, destination: &str) -> Packet {
    let (source, destination) = ends(source, destination);
    let ports = (source.port(), destination.port());
    let flags = foobar_common::flow::Segment::ACK;
    let transport = Transport::Tcp { ports, flags, numbers: (1000, 0), options: Vec::new(), payload: Vec::new() };
    ip(source.ip(), destination.ip(), transport)
}

/// A datagram of 8 bytes.
pub fn udp(source: &str, destination: &str) -> Packet {
    let (source, destination) = ends(source, destination);
    let ports = (source.port(), destination.port());
    ip(source.ip(), destination.ip(), Transport::Udp { ports, payload: b"datagram".to_vec() })
}

/// An ICMP message, also where the addresses are IPv6: then it is protocol 1 in IPv6, which means nothing.
pub fn icmp(source: &str, destination: &str, kind: u8, code: u8) -> Packet {
    let protocol = foobar_common::flow::ICMP;
    ip(address(source), address(destination), Transport::Icmp { protocol, kind, code, rest: ECHO, payload: vec![0; 8] })
}

/// An `ICMPv6` message.
pub fn icmpv6(source: &str, destination: &str, kind: u8, code: u8) -> Packet {
    let protocol = foobar_common::flow::ICMPV6;
    ip(
        address(source),
        address(destination),
        Transport::Icmp { protocol, kind, code, rest: ECHO, payload: vec![0; 20] },
    )
}

/// A packet of a protocol that is known by its number alone.
pub fn protocol(number: u8, source: &str, destination: &str) -> Packet {
    let payload = vec![0xa5; 24];
    ip(address(source), address(destination), Transport::Other { protocol: number, payload })
}

/// A request for an IPv4 address.
pub fn arp() -> Packet {
    let mut payload = vec![0, 1, 8, 0, 6, 4, 0, 1];
    payload.extend([2, 0, 0, 0, 0, 2, 192, 0, 2, 7, 0, 0, 0, 0, 0, 0, 10, 0, 0, 1]);
    ethernet(ARP, &payload)
}

/// Anything behind an Ethernet header.
pub fn ethernet(ether_type: u16, payload: &[u8]) -> Packet {
    Packet {
        destination_mac: BALANCER,
        source_mac: ROUTER,
        tags: Vec::new(),
        content: Content::Raw(ether_type, payload.to_vec()),
        spoiled: Vec::new(),
        padding: None,
        cut: None,
    }
}

fn ip(source: IpAddr, destination: IpAddr, transport: Transport) -> Packet {
    assert_eq!(source.is_ipv4(), destination.is_ipv4(), "{source} and {destination} are of one family");
    let (options, extensions) = (Vec::new(), Vec::new());
    let (fragment, id, class) = ((0, false), 0x1234, 0);
    let ip = Ip { source, destination, hops: TTL, class, options, fragment, id, extensions, transport };
    Packet { content: Content::Ip(ip), ..ethernet(0, &[]) }
}

fn ends(source: &str, destination: &str) -> (SocketAddr, SocketAddr) {
    let parse = |text: &str| text.parse().unwrap_or_else(|_| panic!("{text} is ADDRESS:PORT"));
    (parse(source), parse(destination))
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap_or_else(|_| panic!("{text} is an address"))
}
