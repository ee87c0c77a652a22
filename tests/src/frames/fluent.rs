//! What a test can say of a [`Packet`].

use std::net::IpAddr;

use foobar_common::{
    extension::{self, AUTHENTICATION, FRAGMENT},
    flow::Segment,
};

use super::{BALANCER, Content, Family, Ip, Layer, Packet, ROUTER, Spoil, Transport, mac};

const DOT1Q: u16 = 0x8100;
const DOT1AD: u16 = 0x88a8;

impl Packet {
    /// As it leaves for a backend: only the Ethernet addresses differ.
    pub fn to(&self, backend: &str) -> Self {
        let address: IpAddr = backend.parse().unwrap_or_else(|_| panic!("{backend} is an address"));
        Self { destination_mac: mac(address), source_mac: BALANCER, ..self.clone() }
    }

    /// With other ends, each `ADDRESS:PORT`.
    pub fn between(mut self, source: &str, destination: &str) -> Self {
        let (source, destination) = super::ends(source, destination);
        let ip = self.ip();
        (ip.source, ip.destination) = (source.ip(), destination.ip());
        match &mut ip.transport {
            Transport::Tcp { ports, .. } | Transport::Udp { ports, .. } => *ports = (source.port(), destination.port()),
            Transport::Icmp { .. } | Transport::Other { .. } => panic!("only TCP and UDP have ports"),
        }
        self
    }

    /// From the balancer to who sent it frames.
    pub fn back(self) -> Self {
        Self { destination_mac: ROUTER, source_mac: BALANCER, ..self }
    }

    /// From a backend to the balancer.
    pub fn from(self, backend: &str) -> Self {
        let address: IpAddr = backend.parse().unwrap_or_else(|_| panic!("{backend} is an address"));
        Self { destination_mac: BALANCER, source_mac: mac(address), ..self }
    }

    /// The traffic class, with its congestion bits.
    pub fn class(self, class: u8) -> Self {
        let is_v4 = self.family() == Some(Family::V4);
        if is_v4 { self.with_class(class) } else { self.ip_bytes(0, &[0x60 | class >> 4, class << 4]) }
    }

    fn with_class(mut self, class: u8) -> Self {
        self.ip().class = class;
        self
    }

    /// With another destination than the balancer's MAC.
    pub fn addressed(self, destination_mac: [u8; 6]) -> Self {
        Self { destination_mac, ..self }
    }

    /// The packet that this one answers, or an answer to it: of an echo reply the request, and the other way round.
    pub fn answered(mut self) -> Self {
        if self.family().is_none() {
            return self;
        }
        let ip = self.ip();
        (ip.source, ip.destination) = (ip.destination, ip.source);
        match &mut ip.transport {
            Transport::Tcp { ports, flags, .. } => {
                *ports = (ports.1, ports.0);
                if *flags & Segment::SYN != 0 {
                    *flags ^= Segment::ACK;
                }
            }
            Transport::Udp { ports, .. } => *ports = (ports.1, ports.0),
            Transport::Icmp { kind, .. } => {
                *kind = [(0, 8), (8, 0), (128, 129), (129, 128)]
                    .iter()
                    .find_map(|(from, to)| (from == kind).then_some(*to))
                    .unwrap_or(*kind);
            }
            Transport::Other { .. } => {}
        }
        self
    }

    /// Adds a tag inside of those that are there.
    pub fn vlan(mut self, id: u16) -> Self {
        self.tags.push((DOT1Q, id));
        self
    }

    pub fn qinq(mut self, outer: u16, inner: u16) -> Self {
        self.tags.push((DOT1AD, outer));
        self.vlan(inner)
    }

    /// TTL or hop limit.
    pub fn ttl(mut self, hops: u8) -> Self {
        self.ip().hops = hops;
        self
    }

    /// IPv4 options, filled up to whole words with the end of the list.
    pub fn options(mut self, options: &[u8]) -> Self {
        let ip = self.ip();
        ip.options = options.to_vec();
        ip.options.resize(options.len().next_multiple_of(4), 0);
        self
    }

    /// Adds an IPv6 extension header, in its shortest usual form, behind those that are there.
    pub fn extension(self, number: u8) -> Self {
        match number {
            FRAGMENT => self.fragment(0, false),
            // A 12-byte check value: 24 bytes, six words less two (RFC 4302).
            AUTHENTICATION => self.extension_bytes(number, &[&[0, 4, 0, 0], [7; 20].as_slice()].concat()),
            _ => self.extension_bytes(number, &[0, 0, 1, 4, 0, 0, 0, 0]),
        }
    }

    /// Adds an IPv6 extension header of these bytes, the first of which is filled in.
    pub fn extension_bytes(mut self, number: u8, bytes: &[u8]) -> Self {
        assert!(extension::is_extension(number), "{number} is an extension header");
        self.ip().extensions.push((number, bytes.to_vec()));
        self
    }

    /// Makes it a fragment whose bytes begin `offset` units of 8 into the whole: in IPv4 by the header's field, in IPv6
    /// by an extension header. What follows stays, also where it is not the header that it looks like.
    pub fn fragment(mut self, offset: u16, more: bool) -> Self {
        if self.ip().source.is_ipv4() {
            self.ip().fragment = (offset, more);
            return self;
        }
        let [high, low] = (offset << 3 | u16::from(more)).to_be_bytes();
        self.extension_bytes(FRAGMENT, &[0, 0, high, low, 0, 0, 0, 0])
    }

    /// Identification: of IPv4's header, and of every IPv6 fragment header.
    pub fn identified(mut self, id: u32) -> Self {
        self.ip().id = id;
        self
    }

    pub fn syn(self) -> Self {
        self.flags(Segment::SYN)
    }

    pub fn ack(self) -> Self {
        self.flags(Segment::ACK)
    }

    /// As the other side says it: its SYN acknowledges.
    pub fn answering(mut self) -> Self {
        if let Transport::Tcp { flags, .. } = &mut self.ip().transport
            && *flags == Segment::SYN
        {
            *flags |= Segment::ACK;
        }
        self
    }

    pub fn fin(self) -> Self {
        self.flags(Segment::FIN | Segment::ACK)
    }

    pub fn rst(self) -> Self {
        self.flags(Segment::RST)
    }

    /// TCP's flags, whatever they are.
    pub fn flags(mut self, wanted: u8) -> Self {
        let Transport::Tcp { flags, .. } = &mut self.ip().transport else { panic!("only TCP has flags") };
        *flags = wanted;
        self
    }

    pub fn sequence(mut self, wanted: u32) -> Self {
        let Transport::Tcp { numbers, .. } = &mut self.ip().transport else { panic!("only TCP has a sequence") };
        numbers.0 = wanted;
        self
    }

    /// A segment that has heard the other side's up to here.
    pub fn acknowledging(mut self, wanted: u32) -> Self {
        let Transport::Tcp { numbers, .. } = &mut self.ip().transport else { panic!("only TCP acknowledges") };
        numbers.1 = wanted;
        self
    }

    /// TCP's options, in whole words.
    pub fn tcp_options(mut self, wanted: &[u8]) -> Self {
        let Transport::Tcp { options, .. } = &mut self.ip().transport else { panic!("only TCP has such options") };
        *options = wanted.to_vec();
        self
    }

    pub fn payload(mut self, wanted: &[u8]) -> Self {
        match &mut self.ip().transport {
            Transport::Tcp { payload, .. }
            | Transport::Udp { payload, .. }
            | Transport::Icmp { payload, .. }
            | Transport::Other { payload, .. } => *payload = wanted.to_vec(),
        }
        self
    }

    /// The four bytes of an ICMP message behind its checksum.
    pub fn rest(mut self, wanted: u32) -> Self {
        let Transport::Icmp { rest, .. } = &mut self.ip().transport else { panic!("only ICMP has such bytes") };
        *rest = wanted;
        self
    }

    /// Fills the frame up to `len` with a byte, behind what the IP header says is the packet.
    pub fn padded(mut self, len: usize, byte: u8) -> Self {
        self.padding = Some((len, byte));
        self
    }

    /// Overwrites bytes counted from the IP header.
    pub fn ip_bytes(mut self, offset: usize, bytes: &[u8]) -> Self {
        self.spoiled.push(Spoil { of: Layer::Ip, offset, bytes: bytes.to_vec() });
        self
    }

    /// Overwrites bytes counted from what follows the IP header and its extensions.
    pub fn transport_bytes(mut self, offset: usize, bytes: &[u8]) -> Self {
        self.spoiled.push(Spoil { of: Layer::Transport, offset, bytes: bytes.to_vec() });
        self
    }

    /// Ends the frame after `len` bytes.
    pub fn cut(mut self, len: usize) -> Self {
        self.cut = Some(len);
        self
    }

    /// `None`: it is not IP.
    pub fn family(&self) -> Option<Family> {
        match &self.content {
            Content::Ip(ip) if ip.source.is_ipv4() => Some(Family::V4),
            Content::Ip(_) => Some(Family::V6),
            Content::Raw(..) => None,
        }
    }

    fn ip(&mut self) -> &mut Ip {
        match &mut self.content {
            Content::Ip(ip) => ip,
            Content::Raw(..) => panic!("this frame is not IP"),
        }
    }
}
