//! Rules that lie across each other, packets at their edges, and the plain reading of one rule for one packet.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use fastrand::Rng;
use foobar_tests::frames::{self, Packet};

/// Networks that prefixes are taken from, so that they meet: the bits of an address, and how many of them are fixed.
const NETS_V4: [u32; 3] = [0x0a00_0000, 0x0a01_0200, 0xc000_0200];
const NET_V6: u128 = 0x2001_0db8 << 96;
/// Without a matcher of their own, and no extension headers.
const PROTOCOLS: [u8; 4] = [47, 50, 112, 132];

/// A prefix as bits: IPv4 in the low 32.
#[derive(Clone, Copy, Debug)]
struct Net {
    v6: bool,
    bits: u128,
    len: u32,
}

#[derive(Clone, Debug)]
enum What {
    Anything,
    Tcp(Vec<(u16, u16)>),
    Udp(Vec<(u16, u16)>),
    /// Echo requests and answers, which no network needs to work.
    Echo(Vec<u8>),
    EchoV6(Vec<u8>),
    Protocol(u8),
}

/// A rule.
#[derive(Clone, Debug)]
pub struct Line {
    pub allows: bool,
    what: What,
    from: Vec<Net>,
    to: Vec<Net>,
}

/// A packet, as far as rules look at it.
#[derive(Clone, Debug)]
pub struct Aim {
    v6: bool,
    source: u128,
    destination: u128,
    what: Content,
}

#[derive(Clone, Copy, Debug)]
enum Content {
    Tcp(u16),
    Udp(u16),
    Echo(u8),
    Protocol(u8),
}

pub fn lines(rng: &mut Rng) -> Vec<Line> {
    (0..rng.usize(1..40)).map(|_| line(rng)).collect()
}

fn line(rng: &mut Rng) -> Line {
    let v6 = rng.u8(..3) == 0;
    let what = match rng.u8(..10) {
        0..2 => What::Anything,
        2..5 => What::Tcp(ranges(rng)),
        5..8 => What::Udp(ranges(rng)),
        8 if v6 => What::EchoV6(types(rng, [128, 129])),
        8 => What::Echo(types(rng, [8, 0])),
        _ => What::Protocol(one_of(rng, &PROTOCOLS)),
    };
    let mut nets = |most| (0..rng.usize(..most)).map(|_| net(v6, rng)).collect::<Vec<_>>();
    let (from, to) = (nets(4), nets(3));
    // A rule for everything at the front would be all of the list.
    let is_all = matches!(what, What::Anything) && from.is_empty() && to.is_empty();
    Line { allows: rng.bool(), from: if is_all { vec![net(v6, rng)] } else { from }, what, to }
}

fn ranges(rng: &mut Rng) -> Vec<(u16, u16)> {
    let range = |rng: &mut Rng| {
        let low = if rng.bool() { rng.u16(1..12) } else { rng.u16(1..65_000) };
        (low, low + if rng.bool() { 0 } else { rng.u16(..400) })
    };
    (0..rng.usize(..4)).map(|_| range(rng)).collect()
}

fn types(rng: &mut Rng, of: [u8; 2]) -> Vec<u8> {
    of.into_iter().filter(|_| rng.bool()).collect()
}

fn net(v6: bool, rng: &mut Rng) -> Net {
    let (bits, width, len) = if v6 {
        // A few bits right where levels of the tables end.
        let bits = NET_V6 | u128::from(rng.u16(..4)) << 80 | u128::from(rng.u16(..4)) << 64 | u128::from(rng.u8(..4));
        (bits, 128, one_of(rng, &[32, 33, 47, 48, 49, 63, 64, 65, 127, 128]))
    } else {
        let bits = one_of(rng, &NETS_V4) | u32::from(rng.u8(..4)) << 8 | u32::from(rng.u8(..));
        (bits.into(), 32, one_of(rng, &[8, 15, 16, 17, 23, 24, 25, 31, 32]))
    };
    let host = width - len;
    Net { v6, bits: if host == 0 { bits } else { bits >> host << host }, len }
}

impl Net {
    fn width(self) -> u32 {
        if self.v6 { 128 } else { 32 }
    }

    fn last(self) -> u128 {
        let host = self.width() - self.len;
        self.bits | if host == 0 { 0 } else { u128::MAX >> (128 - host) }
    }

    fn covers(self, v6: bool, address: u128) -> bool {
        self.v6 == v6 && self.bits <= address && address <= self.last()
    }

    /// Its first or last address, one beyond them, or one within.
    fn edge(self, rng: &mut Rng) -> u128 {
        match rng.u8(..5) {
            0 => self.bits,
            1 => self.last(),
            2 => self.bits - 1,
            3 => self.last() + 1,
            _ => rng.u128(self.bits..=self.last()),
        }
    }
}

impl Line {
    /// The rule alone, as its words say.
    pub fn matches(&self, aim: &Aim) -> bool {
        let port =
            |ranges: &[(u16, u16)], port| ranges.is_empty() || ranges.iter().any(|(l, h)| (*l..=*h).contains(&port));
        let kind = |kinds: &[u8], kind| kinds.is_empty() || kinds.contains(&kind);
        let what = match (&self.what, aim.what) {
            (What::Anything, _) => true,
            (What::Tcp(ranges), Content::Tcp(to)) | (What::Udp(ranges), Content::Udp(to)) => port(ranges, to),
            (What::Echo(kinds), Content::Echo(of)) => !aim.v6 && kind(kinds, of),
            (What::EchoV6(kinds), Content::Echo(of)) => aim.v6 && kind(kinds, of),
            (What::Protocol(number), Content::Protocol(of)) => *number == of,
            _ => false,
        };
        let within = |nets: &[Net], address| nets.is_empty() || nets.iter().any(|net| net.covers(aim.v6, address));
        what && within(&self.from, aim.source) && within(&self.to, aim.destination)
    }
}

impl Aim {
    /// At the edges of one rule, or of two.
    pub fn at(lines: &[Line], rng: &mut Rng) -> Self {
        let (one, other) = (&lines[rng.usize(..lines.len())], &lines[rng.usize(..lines.len())]);
        let v6 = match one.from.iter().chain(&one.to).next() {
            Some(net) => net.v6,
            None => matches!(one.what, What::EchoV6(_)) || rng.u8(..4) == 0,
        };
        let mut address = |nets: &[Net]| {
            let nets: Vec<_> = nets.iter().filter(|net| net.v6 == v6).collect();
            if nets.is_empty() { net(v6, rng).edge(rng) } else { nets[rng.usize(..nets.len())].edge(rng) }
        };
        let (source, destination) = (address(&one.from), address(&one.to));
        let line = if rng.u8(..4) == 0 { other } else { one };
        Self { v6, source, destination, what: content(&line.what, v6, rng) }
    }

    pub fn frame(&self) -> Packet {
        let [source, destination] = [self.source, self.destination].map(|bits| ip(self.v6, bits));
        let end = |address: IpAddr, port| std::net::SocketAddr::new(address, port).to_string();
        let ends = |port| (end(source, 40_000), end(destination, port));
        let (source, destination) = (source.to_string(), destination.to_string());
        match self.what {
            Content::Tcp(port) => frames::tcp(&ends(port).0, &ends(port).1),
            Content::Udp(port) => frames::udp(&ends(port).0, &ends(port).1),
            Content::Echo(kind) if self.v6 => frames::icmpv6(&source, &destination, kind, 0),
            Content::Echo(kind) => frames::icmp(&source, &destination, kind, 0),
            Content::Protocol(number) => frames::protocol(number, &source, &destination),
        }
    }
}

fn content(what: &What, v6: bool, rng: &mut Rng) -> Content {
    let port = |ranges: &[(u16, u16)], rng: &mut Rng| {
        if ranges.is_empty() {
            return rng.u16(1..1000);
        }
        let (low, high) = one_of(rng, ranges);
        one_of(rng, &[low, high, low.max(2) - 1, high.saturating_add(1)])
    };
    match what {
        What::Tcp(ranges) => Content::Tcp(port(ranges, rng)),
        What::Udp(ranges) => Content::Udp(port(ranges, rng)),
        What::Echo(_) | What::EchoV6(_) => Content::Echo(one_of(rng, if v6 { &[128, 129] } else { &[8, 0] })),
        What::Protocol(number) => Content::Protocol(*number),
        What::Anything if rng.bool() => Content::Tcp(rng.u16(1..12)),
        What::Anything => Content::Protocol(one_of(rng, &PROTOCOLS)),
    }
}

fn ip(v6: bool, bits: u128) -> IpAddr {
    if v6 { Ipv6Addr::from_bits(bits).into() } else { Ipv4Addr::from_bits(bits as u32).into() }
}

fn one_of<T: Copy>(rng: &mut Rng, list: &[T]) -> T {
    list[rng.usize(..list.len())]
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.allows { "allow" } else { "deny" })?;
        let list = |items: Vec<String>| if items.is_empty() { String::new() } else { format!("/{}", items.join(",")) };
        let ranges = |ranges: &[(u16, u16)]| list(ranges.iter().map(|(low, high)| format!("{low}-{high}")).collect());
        let kinds = |kinds: &[u8]| list(kinds.iter().map(ToString::to_string).collect());
        match &self.what {
            What::Anything => {}
            What::Tcp(ports) => write!(f, " tcp{}", ranges(ports))?,
            What::Udp(ports) => write!(f, " udp{}", ranges(ports))?,
            What::Echo(types) => write!(f, " icmp{}", kinds(types))?,
            What::EchoV6(types) => write!(f, " icmpv6{}", kinds(types))?,
            What::Protocol(number) => write!(f, " proto/{number}")?,
        }
        for (word, nets) in [("from", &self.from), ("to", &self.to)] {
            let nets: Vec<_> = nets.iter().map(|net| format!("{}/{}", ip(net.v6, net.bits), net.len)).collect();
            if !nets.is_empty() {
                write!(f, " {word} {}", nets.join(","))?;
            }
        }
        Ok(())
    }
}
