//! What a program of this host hears when what it sends may not leave: a reset of its TCP connection, else an ICMP error
//! that says "administratively prohibited" (RFC 1812 §5.2.7.1, RFC 4443 §3.1).
//!
//! The frame becomes the answer, from where it was to go to where it came from. There is none to a reset, to an ICMP
//! error, to what goes to a group, or behind IP options and extension headers.

use crate::{
    address::Address,
    checksum::Sum,
    flow::{Flow, ICMP, ICMPV6, Segment, TCP, Transport},
    frame::{Frame, Resize},
    header::{Be16, Be32, Icmp, Ipv4, Ipv6, MacAddresses, Start, Tcp},
};

/// Destination unreachable, communication administratively prohibited.
const PROHIBITED_V4: Message = Message { kind: 3, code: 13, rest: 0 };
const PROHIBITED_V6: Message = Message { kind: 1, code: 1, rest: 0 };
/// What Linux sends.
const HOPS: u8 = 64;
/// What of the refused packet an error has behind its IP header: the ports are among it.
const QUOTED: usize = Start::LEN;

/// Makes the answer of a packet whose IP header stands at `offset`; `None` where there is none, or it cannot be made.
#[inline(always)]
pub fn refuse<F: Resize + ?Sized, A: Address>(frame: &mut F, offset: usize, flow: &Flow<A>) -> Option<()> {
    if !has_answer(frame, flow) {
        return None;
    }
    let addresses = frame.read::<MacAddresses>(0)?.swapped();
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
    if ip.version_ihl != Ipv4::PLAIN {
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
    quote_v4(frame, offset, &ip, PROHIBITED_V4)
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
    quote_v6(frame, offset, &ip, PROHIBITED_V6)
}

/// Makes the frame an ICMP error about its packet, whose header stands at `offset`. Its Ethernet addresses stay.
#[inline(always)]
pub(crate) fn quote_v4<F: Resize + ?Sized>(frame: &mut F, offset: usize, ip: &Ipv4, says: Message) -> Option<()> {
    let payload = offset + Ipv4::LEN;
    let quoted = frame.read::<Start>(payload)?;
    let sum = Sum::default().ipv4(ip).half(ip.checksum.value()).start(quoted);
    let len = Icmp::LEN + Ipv4::LEN + QUOTED;
    frame.resize(payload + len)?;
    frame.write(offset, back_v4(ip, ICMP, len))?;
    frame.write(payload, says.header(sum))?;
    frame.write(payload + Icmp::LEN, *ip)?;
    frame.write(payload + Icmp::LEN + Ipv4::LEN, quoted)
}

/// The same of an IPv6 packet.
#[inline(always)]
pub(crate) fn quote_v6<F: Resize + ?Sized>(frame: &mut F, offset: usize, ip: &Ipv6, says: Message) -> Option<()> {
    let payload = offset + Ipv6::LEN;
    let quoted = frame.read::<Start>(payload)?;
    let len = Icmp::LEN + Ipv6::LEN + QUOTED;
    // The addresses are summed twice: those of the answer, and those that it quotes.
    let ends = Sum::default().wide(ip.source).wide(ip.destination);
    let sum = ends.half(u16::from(ICMPV6)).half(len as u16).ipv6(ip).start(quoted);
    frame.resize(payload + len)?;
    frame.write(offset, back_v6(ip, ICMPV6, len))?;
    frame.write(payload, says.header(sum))?;
    frame.write(payload + Icmp::LEN, *ip)?;
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

/// What an ICMP error says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message {
    pub kind: u8,
    pub code: u8,
    pub rest: u32,
}

impl Message {
    /// Its header, where `sum` is that of all behind it, and of the pseudo-header.
    #[inline(always)]
    fn header(self, sum: Sum) -> Icmp {
        let Self { kind, code, rest } = self;
        let rest = Be32::new(rest);
        let checksum = sum.half(u16::from_be_bytes([kind, code])).word(rest).checksum();
        Icmp { kind, code, checksum, rest }
    }
}

#[inline(always)]
fn back_v4(ip: &Ipv4, protocol: u8, len: usize) -> Ipv4 {
    let back = Ipv4 {
        version_ihl: Ipv4::PLAIN,
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
