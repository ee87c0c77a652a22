//! What a program of this host hears when what it sends may not leave: a reset of its TCP connection, else an ICMP error
//! that says "administratively prohibited" (RFC 1812 §5.2.7.1, RFC 4443 §3.1).
//!
//! The frame becomes the answer, from where it was to go to where it came from. There is none to a reset, to an ICMP
//! error, to what goes to a group, or behind IP options and extension headers.

use crate::{
    address::Address,
    flow::{Flow, ICMP, ICMPV6, Segment, TCP, Transport},
    frame::{Frame, Resize},
    header::{Be16, Be32, Icmp, Ipv4, Ipv6, MacAddresses, Start, Tcp, Wide},
};

/// Destination unreachable, communication administratively prohibited.
const PROHIBITED_V4: (u8, u8) = (3, 13);
const PROHIBITED_V6: (u8, u8) = (1, 1);
/// What Linux sends.
const HOPS: u8 = 64;
const PLAIN: u8 = 0x45;
/// What of the refused packet an error has behind its IP header: the ports are among it.
const QUOTED: usize = Start::LEN;

/// Makes the answer of a packet whose IP header stands at `offset`; `None` where there is none, or it cannot be made.
#[inline(always)]
pub fn refuse<F: Resize + ?Sized, A: Address>(frame: &mut F, offset: usize, flow: &Flow<A>) -> Option<()> {
    if !has_answer(frame, flow) {
        return None;
    }
    let addresses = swapped(frame.read::<MacAddresses>(0)?);
    if A::V6 {
        refuse_v6(frame, offset, flow)?;
    } else {
        refuse_v4(frame, offset, flow)?;
    }
    frame.write(0, addresses)
}

#[inline(always)]
fn has_answer<F: Frame + ?Sized, A: Address>(frame: &F, flow: &Flow<A>) -> bool {
    let is_error = |kind: u8| if A::V6 { kind < 128 } else { matches!(kind, 3 | 4 | 5 | 11 | 12) };
    match flow.transport {
        _ if flow.destination.is_bad_source() || flow.extensions != 0 => false,
        Transport::LaterFragment => false,
        Transport::Tcp(segment) => segment.flags & Segment::RST == 0,
        Transport::Icmp { header, .. } => frame.read::<Icmp>(header).is_some_and(|icmp| !is_error(icmp.kind)),
        Transport::Udp { .. } | Transport::Other => true,
    }
}

#[inline(always)]
fn refuse_v4<F: Resize + ?Sized, A: Address>(frame: &mut F, offset: usize, flow: &Flow<A>) -> Option<()> {
    let ip = frame.read::<Ipv4>(offset)?;
    if ip.version_ihl != PLAIN {
        return None;
    }
    let payload = offset + Ipv4::LEN;
    if let Transport::Tcp(segment) = flow.transport {
        let reset = reset(&frame.read::<Tcp>(payload)?, &segment);
        let pseudo = Sum::default().half(u16::from(TCP)).half(Tcp::LEN as u16).word(ip.source).word(ip.destination);
        frame.resize(payload + Tcp::LEN)?;
        frame.write(offset, back_v4(&ip, TCP, Tcp::LEN))?;
        return frame.write(payload, Tcp { checksum: pseudo.tcp(&reset).checksum(), ..reset });
    }
    let quoted = frame.read::<Start>(payload)?;
    let sum = Sum::default().ipv4(&ip).half(ip.checksum.value()).start(quoted);
    let (kind, code) = PROHIBITED_V4;
    let len = Icmp::LEN + Ipv4::LEN + QUOTED;
    frame.resize(payload + len)?;
    frame.write(offset, back_v4(&ip, ICMP, len))?;
    frame.write(payload, error(kind, code, sum))?;
    frame.write(payload + Icmp::LEN, ip)?;
    frame.write(payload + Icmp::LEN + Ipv4::LEN, quoted)
}

#[inline(always)]
fn refuse_v6<F: Resize + ?Sized, A: Address>(frame: &mut F, offset: usize, flow: &Flow<A>) -> Option<()> {
    let ip = frame.read::<Ipv6>(offset)?;
    let payload = offset + Ipv6::LEN;
    let ends = Sum::default().wide(ip.source).wide(ip.destination);
    if let Transport::Tcp(segment) = flow.transport {
        let reset = reset(&frame.read::<Tcp>(payload)?, &segment);
        let pseudo = ends.half(u16::from(TCP)).half(Tcp::LEN as u16);
        frame.resize(payload + Tcp::LEN)?;
        frame.write(offset, back_v6(&ip, TCP, Tcp::LEN))?;
        return frame.write(payload, Tcp { checksum: pseudo.tcp(&reset).checksum(), ..reset });
    }
    let quoted = frame.read::<Start>(payload)?;
    let len = Icmp::LEN + Ipv6::LEN + QUOTED;
    // The addresses are summed twice: those of the answer, and those that it quotes.
    let sum = ends.half(u16::from(ICMPV6)).half(len as u16).ipv6(&ip).start(quoted);
    let (kind, code) = PROHIBITED_V6;
    frame.resize(payload + len)?;
    frame.write(offset, back_v6(&ip, ICMPV6, len))?;
    frame.write(payload, error(kind, code, sum))?;
    frame.write(payload + Icmp::LEN, ip)?;
    frame.write(payload + Icmp::LEN + Ipv6::LEN, quoted)
}

/// RFC 9293 §3.10.7.1, without its checksum.
#[inline(always)]
fn reset(refused: &Tcp, segment: &Segment) -> Tcp {
    let flags = segment.flags;
    let payload = segment.end.wrapping_sub(segment.header).wrapping_sub(refused.header_len()) as u32;
    let len = payload + u32::from(flags & Segment::FIN != 0) + u32::from(flags & Segment::SYN != 0);
    let has_ack = flags & Segment::ACK != 0;
    let zero = Be32::new(0);
    let next = Be32::new({ refused.sequence }.value().wrapping_add(len));
    Tcp {
        source: refused.destination,
        destination: refused.source,
        sequence: if has_ack { refused.acknowledgement } else { zero },
        acknowledgement: if has_ack { zero } else { next },
        data_offset: ((Tcp::LEN / 4) << 4) as u8,
        flags: if has_ack { Segment::RST } else { Segment::RST | Segment::ACK },
        window: Be16::new(0),
        checksum: Be16::new(0),
        urgent: Be16::new(0),
    }
}

#[inline(always)]
fn error(kind: u8, code: u8, sum: Sum) -> Icmp {
    let checksum = sum.half(u16::from_be_bytes([kind, code])).checksum();
    Icmp { kind, code, checksum, rest: Be32::new(0) }
}

#[inline(always)]
fn back_v4(ip: &Ipv4, protocol: u8, len: usize) -> Ipv4 {
    let back = Ipv4 {
        version_ihl: PLAIN,
        service: 0,
        total_len: Be16::new((Ipv4::LEN + len) as u16),
        id: Be16::new(0),
        fragment: Be16::new(0),
        ttl: HOPS,
        protocol,
        checksum: Be16::new(0),
        source: ip.destination,
        destination: ip.source,
    };
    Ipv4 { checksum: Sum::default().ipv4(&back).checksum(), ..back }
}

#[inline(always)]
fn back_v6(ip: &Ipv6, next_header: u8, len: usize) -> Ipv6 {
    Ipv6 {
        version_class_flow: Be32::new(6 << 28),
        payload_len: Be16::new(len as u16),
        next_header,
        hop_limit: HOPS,
        source: ip.destination,
        destination: ip.source,
    }
}

/// From the second address to the first.
#[inline(always)]
fn swapped(addresses: MacAddresses) -> MacAddresses {
    let (low, high) = (u64::from_le(addresses.low), u32::from_le(addresses.high));
    let (first, second) = (low & 0xffff_ffff_ffff, low >> 48 | u64::from(high) << 16);
    MacAddresses { low: (second | first << 48).to_le(), high: ((first >> 16) as u32).to_le() }
}

/// A sum of 16-bit words for the checksum of RFC 1071.
#[derive(Clone, Copy, Default)]
struct Sum(u64);

impl Sum {
    #[inline(always)]
    const fn half(self, half: u16) -> Self {
        Self(self.0 + half as u64)
    }

    #[inline(always)]
    const fn word(self, word: Be32) -> Self {
        let word = word.value();
        Self(self.0 + (word >> 16) as u64 + (word & 0xffff) as u64)
    }

    #[inline(always)]
    const fn long(self, long: u64) -> Self {
        Self(self.0 + (long >> 48) + (long >> 32 & 0xffff) + (long >> 16 & 0xffff) + (long & 0xffff))
    }

    #[inline(always)]
    fn wide(self, wide: Wide) -> Self {
        self.long({ wide.high }.value()).long({ wide.low }.value())
    }

    #[inline(always)]
    fn start(self, start: Start) -> Self {
        self.long(u64::from_be(start.bytes))
    }

    /// Without its checksum.
    #[inline(always)]
    fn ipv4(self, ip: &Ipv4) -> Self {
        let counted = self.half(u16::from_be_bytes([ip.version_ihl, ip.service])).half({ ip.total_len }.value());
        let counted = counted.half({ ip.id }.value()).half({ ip.fragment }.value());
        counted.half(u16::from_be_bytes([ip.ttl, ip.protocol])).word(ip.source).word(ip.destination)
    }

    #[inline(always)]
    fn ipv6(self, ip: &Ipv6) -> Self {
        let counted = self.word(ip.version_class_flow).half({ ip.payload_len }.value());
        counted.half(u16::from_be_bytes([ip.next_header, ip.hop_limit])).wide(ip.source).wide(ip.destination)
    }

    /// Without its checksum.
    #[inline(always)]
    fn tcp(self, tcp: &Tcp) -> Self {
        let counted = self.half({ tcp.source }.value()).half({ tcp.destination }.value());
        let counted = counted.word(tcp.sequence).word(tcp.acknowledgement);
        counted.half(u16::from_be_bytes([tcp.data_offset, tcp.flags]))
    }

    #[inline(always)]
    const fn checksum(self) -> Be16 {
        let sum = (self.0 & 0xffff_ffff) + (self.0 >> 32);
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = (sum & 0xffff) + (sum >> 16);
        Be16::new(!(sum as u16))
    }
}
