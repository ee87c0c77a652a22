//! From a [`Packet`] to its bytes.

use foobar_common::{
    extension::FRAGMENT,
    flow::{ICMPV6, TCP, UDP},
};

use super::{
    Content, Ip, Layer, Packet, Transport,
    checksum::{checksum, octets, with_pseudo_header},
};

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const IPV6_LEN: usize = 40;

impl Packet {
    /// The frame, from its Ethernet header on.
    pub fn bytes(&self) -> Vec<u8> {
        let (ether_type, content, transport_at) = match &self.content {
            Content::Raw(ether_type, bytes) => (*ether_type, bytes.clone(), 0),
            Content::Ip(ip) if ip.source.is_ipv4() => (IPV4, ipv4(ip), 20 + ip.options.len()),
            Content::Ip(ip) => {
                let extensions: usize = ip.extensions.iter().map(|(_, bytes)| bytes.len()).sum();
                (IPV6, ipv6(ip), IPV6_LEN + extensions)
            }
        };
        let mut frame = self.link(ether_type);
        let ip_at = frame.len();
        frame.extend(content);
        for spoil in &self.spoiled {
            let at = spoil.offset + ip_at + if spoil.of == Layer::Ip { 0 } else { transport_at };
            frame[at..at + spoil.bytes.len()].copy_from_slice(&spoil.bytes);
        }
        if let Some((len, byte)) = self.padding {
            frame.resize(frame.len().max(len), byte);
        }
        frame.truncate(self.cut.unwrap_or(usize::MAX));
        frame
    }

    /// From the IP header on.
    pub fn network(&self) -> Vec<u8> {
        let link = 14 + 4 * self.tags.len();
        self.bytes().split_off(link)
    }

    /// The Ethernet header and its tags.
    fn link(&self, ether_type: u16) -> Vec<u8> {
        let mut bytes = [self.destination_mac, self.source_mac].concat();
        for (kind, tag) in &self.tags {
            bytes.extend(kind.to_be_bytes());
            bytes.extend(tag.to_be_bytes());
        }
        bytes.extend(ether_type.to_be_bytes());
        bytes
    }

    /// The length of the frame.
    pub fn len(&self) -> usize {
        self.bytes().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn ipv4(ip: &Ip) -> Vec<u8> {
    let transport = transport(ip);
    let header_len = 20 + ip.options.len();
    let (offset, more) = ip.fragment;
    let mut bytes = vec![0x40 | (header_len / 4) as u8, ip.class];
    bytes.extend(((header_len + transport.len()) as u16).to_be_bytes());
    bytes.extend((ip.id as u16).to_be_bytes());
    bytes.extend((offset | if more { 0x2000 } else { 0 }).to_be_bytes());
    bytes.extend([ip.hops, ip.transport.protocol(), 0, 0]);
    bytes.extend(octets(ip.source));
    bytes.extend(octets(ip.destination));
    bytes.extend(&ip.options);
    let sum = checksum(&bytes, 0);
    bytes[10..12].copy_from_slice(&sum.to_be_bytes());
    bytes.extend(transport);
    bytes
}

fn ipv6(ip: &Ip) -> Vec<u8> {
    let numbers: Vec<_> = ip.extensions.iter().map(|(number, _)| *number).chain([ip.transport.protocol()]).collect();
    let mut payload = Vec::new();
    for ((number, extension), next) in ip.extensions.iter().zip(&numbers[1..]) {
        payload.push(*next);
        if *number == FRAGMENT {
            payload.extend(&extension[1..4]);
            payload.extend(ip.id.to_be_bytes());
        } else {
            payload.extend(&extension[1..]);
        }
    }
    payload.extend(transport(ip));
    let mut bytes = vec![0x60, 0, 0, 0];
    bytes.extend((payload.len() as u16).to_be_bytes());
    bytes.extend([numbers[0], ip.hops]);
    bytes.extend(octets(ip.source));
    bytes.extend(octets(ip.destination));
    bytes.extend(payload);
    bytes
}

impl Transport {
    fn protocol(&self) -> u8 {
        match self {
            Self::Tcp { .. } => TCP,
            Self::Udp { .. } => UDP,
            Self::Icmp { protocol, .. } | Self::Other { protocol, .. } => *protocol,
        }
    }
}

fn transport(ip: &Ip) -> Vec<u8> {
    let (mut bytes, sum_at) = match &ip.transport {
        Transport::Tcp { ports, flags, numbers, options, payload } => {
            (tcp(*ports, *flags, *numbers, options, payload), 16)
        }
        Transport::Udp { ports, payload } => (udp(*ports, payload), 6),
        Transport::Icmp { kind, code, rest, payload, .. } => {
            ([&[*kind, *code, 0, 0], &rest.to_be_bytes()[..], payload].concat(), 2)
        }
        Transport::Other { payload, .. } => return payload.clone(),
    };
    let protocol = ip.transport.protocol();
    let sum = match ip.transport {
        Transport::Icmp { .. } if protocol != ICMPV6 => checksum(&bytes, 0),
        _ => with_pseudo_header(ip.source, ip.destination, protocol, &bytes),
    };
    bytes[sum_at..sum_at + 2].copy_from_slice(&sum.to_be_bytes());
    bytes
}

fn tcp(ports: (u16, u16), flags: u8, (sequence, acknowledged): (u32, u32), options: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut bytes = [ports.0.to_be_bytes(), ports.1.to_be_bytes()].concat();
    bytes.extend(sequence.to_be_bytes());
    bytes.extend(acknowledged.to_be_bytes());
    bytes.extend([(((20 + options.len()) / 4) << 4) as u8, flags, 0xff, 0xff, 0, 0, 0, 0]);
    bytes.extend(options);
    bytes.extend(payload);
    bytes
}

fn udp(ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let len = (8 + payload.len()) as u16;
    let mut bytes = [ports.0, ports.1, len, 0].map(u16::to_be_bytes).concat();
    bytes.extend(payload);
    bytes
}
