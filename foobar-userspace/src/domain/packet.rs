//! A packet as an operator says it: `tcp 198.51.100.7:40000 > 192.0.2.10:443 syn on eth0`, or `hex:` and a frame's bytes.

use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use etherparse::{IpNumber, PacketBuilder, PacketBuilderStep, TcpHeader};

use super::{
    Matcher, Mistake,
    mistake::{Parsed, Word},
    rule::read_matcher,
};

/// A frame, and the interface that it comes in by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaidPacket {
    pub frame: Vec<u8>,
    /// None: any.
    pub interface: Option<String>,
}

/// Locally administered addresses, which no card has.
const MACS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1]];
const HOPS: u8 = 64;
const EXAMPLE: &str = "as in `tcp 198.51.100.7:40000 > 192.0.2.10:443 syn on eth0`, `icmp/echo-request 10.0.0.1 > 10.0.0.2` or `hex:0200…`";
/// Shorter frames never reach a program (the kernel's `ETH_HLEN`).
const SHORTEST: usize = 14;
/// Bytes of a QUIC connection id (RFC 9000 §17.2), and of what is sealed behind it at least: a number, a byte, a tag.
const LONGEST_ID: usize = 20;
const SEALED: usize = 20;

impl FromStr for SaidPacket {
    type Err = Mistake;

    fn from_str(text: &str) -> Result<Self, Mistake> {
        read(text).map_err(|fault| fault.within(text))
    }
}

fn read(text: &str) -> Parsed<SaidPacket> {
    let mut words = words(text);
    let end = Word { text: "", start: text.len() };
    let mut next = |what: &str| match words.next() {
        Some(word) => Ok(word),
        None => Err(end.fault(format!("{what} is missing")).hint(EXAMPLE)),
    };
    let first = next("the protocol")?;
    let frame = if let Some(digits) = first.text.strip_prefix("hex:") {
        bytes(first, digits)?
    } else {
        let (source, arrow, destination) = (next("the source")?, next("`>`")?, next("the destination")?);
        if arrow.text != ">" {
            return Err(arrow.fault(format!("`{}` stands where `>` belongs", arrow.text)).hint(EXAMPLE));
        }
        let mut flags = Vec::new();
        let mut rest = words.clone();
        while let Some(word) = rest.next().filter(|word| word.text != "on") {
            flags.push(word);
            words.next();
        }
        build(first, source, destination, &flags)?
    };
    let interface = match words.next() {
        None => None,
        Some(word) if word.text == "on" => Some(words.next().ok_or_else(|| end.fault("the interface is missing"))?),
        Some(word) => return Err(word.fault(format!("nobody expects `{}` here", word.text)).hint(EXAMPLE)),
    };
    if let Some(word) = words.next() {
        return Err(word.fault(format!("nobody expects `{}` here", word.text)).hint(EXAMPLE));
    }
    Ok(SaidPacket { frame, interface: interface.map(|word| word.text.to_owned()) })
}

fn words(text: &str) -> impl Iterator<Item = Word<'_>> + Clone {
    let start = |word: &str| word.as_ptr() as usize - text.as_ptr() as usize;
    text.split_whitespace().map(move |word| Word { text: word, start: start(word) })
}

/// A QUIC packet of a connection that is open, to this connection id.
fn short_header(id: Word<'_>) -> Parsed<Vec<u8>> {
    let is_hex = id.text.len().is_multiple_of(2) && id.text.bytes().all(|digit| digit.is_ascii_hexdigit());
    if !is_hex || id.text.len() > 2 * LONGEST_ID {
        let problem =
            format!("`{}` is no connection id: at most {LONGEST_ID} bytes, two hexadecimal digits each", id.text);
        return Err(id.fault(problem));
    }
    Ok([&[0x40], octets(id.text).as_slice(), &[0; SEALED]].concat())
}

/// Pairs of hexadecimal digits.
fn octets(digits: &str) -> Vec<u8> {
    (0..digits.len()).step_by(2).filter_map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok()).collect()
}

fn bytes(word: Word<'_>, digits: &str) -> Parsed<Vec<u8>> {
    let is_hex = digits.len().is_multiple_of(2) && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    if !is_hex || digits.len() < 2 * SHORTEST {
        return Err(word.fault(format!("a frame is at least {SHORTEST} bytes, two hexadecimal digits each")));
    }
    Ok(octets(digits))
}

fn build(protocol: Word<'_>, source: Word<'_>, destination: Word<'_>, flags: &[Word<'_>]) -> Parsed<Vec<u8>> {
    let matcher = read_matcher(protocol)?;
    let payload = match (&matcher, flags) {
        (Matcher::Udp(_), [word, id]) if word.text == "cid" => short_header(*id)?,
        (Matcher::Tcp(_), _) | (_, []) => Vec::new(),
        (_, [flag, ..]) => {
            let fault = flag.fault(format!("`{}`: only TCP has flags", flag.text));
            return Err(fault.hint("a datagram of QUIC has a connection id: `cid 000a0112345678`"));
        }
    };
    let has_list = match &matcher {
        Matcher::Tcp(ports) | Matcher::Udp(ports) => !ports.0.is_empty(),
        _ => false,
    };
    if has_list {
        return Err(protocol.fault("a packet's ports stand behind its addresses").hint(EXAMPLE));
    }
    let mut frame = Vec::new();
    let done = match matcher {
        Matcher::Tcp(_) => {
            let (from, to) = (with_port(source)?, with_port(destination)?);
            let mut header = TcpHeader::new(from.port(), to.port(), 1, u16::MAX);
            header.ack = flags.is_empty();
            for flag in flags.iter().flat_map(|word| word.text.split(',').map(move |flag| (word, flag))) {
                set(&mut header, flag.1).map_err(|problem| flag.0.fault(problem))?;
            }
            ip(from.ip(), to.ip(), destination)?.tcp_header(header).write(&mut frame, &[])
        }
        Matcher::Udp(_) => {
            let (from, to) = (with_port(source)?, with_port(destination)?);
            ip(from.ip(), to.ip(), destination)?.udp(from.port(), to.port()).write(&mut frame, &payload)
        }
        Matcher::Icmp(kinds) => {
            let kind = kinds.0.first().copied().unwrap_or(8);
            let step = ip(address(source)?, address(destination)?, destination)?;
            step.icmpv4_raw(kind, 0, [0; 4]).write(&mut frame, &[])
        }
        Matcher::Icmpv6(kinds) => {
            let kind = kinds.0.first().copied().unwrap_or(128);
            let step = ip(address(source)?, address(destination)?, destination)?;
            step.icmpv6_raw(kind, 0, [0; 4]).write(&mut frame, &[])
        }
        Matcher::Protocol(number) => {
            let step = ip(address(source)?, address(destination)?, destination)?;
            step.write(&mut frame, IpNumber(number), &[0; 8])
        }
        Matcher::Any => return Err(protocol.fault("a packet has a protocol").hint(EXAMPLE)),
    };
    done.map_err(|error| protocol.fault(format!("there is no such packet: {error}")))?;
    Ok(frame)
}

fn ip(source: IpAddr, destination: IpAddr, at: Word<'_>) -> Parsed<PacketBuilderStep<etherparse::IpHeaders>> {
    let link = PacketBuilder::ethernet2(MACS[0], MACS[1]);
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => Ok(link.ipv4(source.octets(), destination.octets(), HOPS)),
        (IpAddr::V6(source), IpAddr::V6(destination)) => Ok(link.ipv6(source.octets(), destination.octets(), HOPS)),
        _ => Err(at.fault("source and destination are of two families")),
    }
}

fn with_port(word: Word<'_>) -> Parsed<SocketAddr> {
    let example = "write it as in `192.0.2.10:443` or `[2001:db8::1]:443`";
    word.text.parse().map_err(|_| word.fault(format!("`{}` is no address with a port", word.text)).hint(example))
}

fn address(word: Word<'_>) -> Parsed<IpAddr> {
    word.text.parse().map_err(|_| word.fault(format!("`{}` is no address", word.text)))
}

fn set(header: &mut TcpHeader, flag: &str) -> Result<(), String> {
    match flag {
        "syn" => header.syn = true,
        "ack" => header.ack = true,
        "fin" => header.fin = true,
        "rst" => header.rst = true,
        "psh" => header.psh = true,
        other => return Err(format!("`{other}` is no flag: syn, ack, fin, rst and psh are")),
    }
    Ok(())
}

/// A frame as it is said behind `hex:`.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

#[cfg(test)]
mod tests {
    use foobar_common::{Address as _, parse};

    use super::*;

    #[test]
    fn what_is_said_is_what_the_parser_reads() {
        let said: SaidPacket = "tcp 198.51.100.7:40000 > 192.0.2.10:443 syn,ack on eth0".parse().expect("a packet");
        assert_eq!(said.interface.as_deref(), Some("eth0"));
        let frame: &[u8] = &said.frame;
        let parse::Network::V4(offset) = parse::link(frame).expect("IP") else { panic!("IPv4") };
        let flow = parse::ipv4(frame, offset).expect("whole");
        let segment = flow.segment().expect("TCP");
        assert_eq!((segment.source, segment.destination, segment.flags), (40_000, 443, 0x12));
        assert_eq!(flow.source.words(), [0, 0xc633_6407]);
        assert_eq!(frame.len(), 54);
    }

    #[test]
    fn every_protocol_has_its_form() {
        for text in [
            "udp [2001:db8::1]:53 > [2001:db8::2]:9",
            "udp 198.51.100.7:4000 > 192.0.2.10:443 cid 000a0112345678 on eth0",
            "icmp 10.0.0.1 > 10.0.0.2",
            "icmpv6/echo-reply 2001:db8::1 > 2001:db8::2 on lan0",
            "vrrp 10.0.0.1 > 224.0.0.18",
            "proto/47 2001:db8::1 > 2001:db8::2",
            "hex:020000000002020000000001080645",
        ] {
            assert!(text.parse::<SaidPacket>().is_ok(), "{text}: {:?}", text.parse::<SaidPacket>());
        }
    }

    #[test]
    fn what_is_no_packet_is_refused_at_its_word() {
        for (text, words) in [
            ("", ""),
            ("tcp 10.0.0.1:1", ""),
            ("tcp 10.0.0.1:1 < 10.0.0.2:2", "<"),
            ("tcp 10.0.0.1 > 10.0.0.2:2", "10.0.0.1"),
            ("tcp/443 10.0.0.1:1 > 10.0.0.2:2", "tcp/443"),
            ("tcp 10.0.0.1:1 > [2001:db8::1]:2", "[2001:db8::1]:2"),
            ("tcp 10.0.0.1:1 > 10.0.0.2:2 sny", "sny"),
            ("udp 10.0.0.1:1 > 10.0.0.2:2 syn", "syn"),
            ("udp 10.0.0.1:1 > 10.0.0.2:2 cid", "cid"),
            ("udp 10.0.0.1:1 > 10.0.0.2:2 cid 0a1", "0a1"),
            ("tcp 10.0.0.1:1 > 10.0.0.2:2 cid", "cid"),
            ("icmp 10.0.0.1:1 > 10.0.0.2", "10.0.0.1:1"),
            ("tcp 10.0.0.1:1 > 10.0.0.2:2 on", ""),
            ("tcp 10.0.0.1:1 > 10.0.0.2:2 on eth0 now", "now"),
            ("hex:02000", "hex:02000"),
        ] {
            let mistake = text.parse::<SaidPacket>().expect_err(text);
            assert_eq!(mistake.words(), words, "{text}: {mistake}");
        }
    }
}
