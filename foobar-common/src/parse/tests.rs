//! What is found in a frame, and what must never be found.

use proptest::prelude::*;

use super::*;

const SOURCE: u32 = 0xc000_0207;
const DESTINATION: u32 = 0x0a00_0001;

fn ethernet(ether_type: u16) -> Vec<u8> {
    let mut frame = vec![2; 12];
    frame.extend(ether_type.to_be_bytes());
    frame
}

fn v4(protocol: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = ethernet(IPV4);
    frame.extend([0x45, 0]);
    frame.extend((20 + payload.len() as u16).to_be_bytes());
    frame.extend([0, 1]);
    frame.extend(fragment.to_be_bytes());
    frame.extend([64, protocol, 0, 0]);
    frame.extend(SOURCE.to_be_bytes());
    frame.extend(DESTINATION.to_be_bytes());
    frame.extend(payload);
    frame
}

fn v6(next: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = ethernet(IPV6);
    frame.extend([0x60, 0, 0, 0]);
    frame.extend((payload.len() as u16).to_be_bytes());
    frame.extend([next, 255]);
    frame.extend([0x20; 32]);
    frame.extend(payload);
    frame
}

fn tcp_header(words: u8) -> Vec<u8> {
    let mut bytes = vec![0x0f, 0xa0, 0, 80, 0, 0, 0, 7, 0, 0, 0, 0, words << 4, 0x12, 0, 0, 0, 0, 0, 0];
    bytes.resize(bytes.len().max(usize::from(words) * 4), 1);
    bytes
}

/// The flow, as far as it can be told without its family.
fn parsed(frame: &[u8]) -> Step<(u8, Transport)> {
    match link(frame)? {
        Network::V4(offset) => ipv4(frame, offset).map(|flow| (flow.protocol, flow.transport)),
        Network::V6(offset) => ipv6(frame, offset).map(|flow| (flow.protocol, flow.transport)),
    }
}

#[test]
fn a_flow_has_what_stands_in_the_headers() {
    let frame = v4(TCP, 0x4000, &[tcp_header(6).as_slice(), b"hello"].concat());
    let flow = ipv4(frame.as_slice(), 14).expect("a flow");
    assert_eq!((flow.source, flow.destination, flow.protocol, flow.hops), (V4(SOURCE), V4(DESTINATION), TCP, 64));
    let segment = flow.segment().expect("a segment");
    assert_eq!((segment.source, segment.destination, segment.flags), (4000, 80, 0x12));
    assert_eq!(&frame[segment.payload(frame.as_slice()).expect("a header")..segment.end], b"hello");

    let frame = v6(UDP, &[0, 53, 0x10, 0, 0, 8, 0, 0]);
    let flow = ipv6(frame.as_slice(), 14).expect("a flow");
    assert_eq!((flow.ports(), flow.hops), (Some((53, 4096)), 255));
}

#[test]
fn icmp_is_read_in_its_own_family_only() {
    let message = [135, 2, 0, 0, 0, 0, 0, 0];
    let read = |header| Transport::Icmp { kind: 135, header };
    assert_eq!(parsed(&v4(ICMP, 0, &message)), Ok((ICMP, read(34))));
    assert_eq!(parsed(&v6(ICMPV6, &message)), Ok((ICMPV6, read(54))));
    assert_eq!(parsed(&v4(ICMPV6, 0, &message)), Ok((ICMPV6, Transport::Other)));
    assert_eq!(parsed(&v6(ICMP, &message)), Ok((ICMP, Transport::Other)));
}

#[test]
fn the_dont_fragment_bit_makes_no_fragment() {
    let payload = tcp_header(5);
    assert!(matches!(parsed(&v4(TCP, 0x4000, &payload)), Ok((TCP, Transport::Tcp(_)))));
    assert!(matches!(parsed(&v4(TCP, 0x2000, &payload)), Ok((TCP, Transport::Tcp(_)))));
    assert_eq!(parsed(&v4(TCP, 0x1fff, &payload)), Ok((TCP, Transport::LaterFragment)));
    assert_eq!(parsed(&v4(TCP, 0x2002, &payload)), Ok((TCP, Transport::LaterFragment)));
    assert_eq!(parsed(&v4(TCP, 1, &payload)), Err(Outcome::BadHeader));
    assert_eq!(parsed(&v4(UDP, 1, &payload)), Ok((UDP, Transport::LaterFragment)));
}

/// Bytes that look like a packet more often than chance would have it.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let payload = prop::collection::vec(any::<u8>(), 0..90);
    let transport = (payload.clone(), 4u8..=15).prop_map(|(rest, words)| [tcp_header(words), rest].concat());
    let payload = prop_oneof![payload, transport];
    let number = prop_oneof![Just(TCP), Just(UDP), Just(ICMP), Just(ICMPV6), Just(44), Just(60), any::<u8>()];
    let fragment = prop_oneof![3 => Just(0), 1 => any::<u16>()];
    prop_oneof![
        (number.clone(), fragment, payload.clone())
            .prop_map(|(number, fragment, payload)| v4(number, fragment, &payload)),
        (number, payload.clone()).prop_map(|(number, payload)| v6(number, &payload)),
        payload,
    ]
}

/// Where the packet ends by its IP header.
fn end(frame: &[u8]) -> usize {
    match link(frame) {
        Ok(Network::V4(offset)) => {
            frame.read::<Ipv4>(offset).map_or(0, |ip| offset + usize::from(ip.total_len.value()))
        }
        Ok(Network::V6(offset)) => {
            frame.read::<Ipv6>(offset).map_or(0, |ip| offset + Ipv6::LEN + usize::from(ip.payload_len.value()))
        }
        Err(_) => 0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn a_payload_lies_within_its_packet(frame in frames()) {
        if let Ok((_, Transport::Tcp(segment))) = parsed(&frame) {
            prop_assert!(segment.payload(frame.as_slice()).is_some_and(|payload| payload <= segment.end) && segment.end <= end(&frame));
            prop_assert!(end(&frame) <= frame.len());
        }
    }

    #[test]
    fn padding_changes_nothing(frame in frames(), padding in prop::collection::vec(any::<u8>(), 1..60)) {
        let plain = parsed(&frame);
        if plain != Err(Outcome::Truncated) {
            prop_assert_eq!(parsed(&[frame, padding].concat()), plain);
        }
    }

    #[test]
    fn what_the_ip_header_leaves_out_is_never_read(frame in frames(), shorter in 1u16..60, noise in any::<u8>()) {
        let mut frame = frame;
        match link(frame.as_slice()) {
            Ok(Network::V4(14)) if frame.len() > 34 => {
                let len = ((frame.len() - 14) as u16).saturating_sub(shorter).max(20);
                frame[16..18].copy_from_slice(&len.to_be_bytes());
            }
            Ok(Network::V6(14)) if frame.len() > 54 => {
                let len = ((frame.len() - 54) as u16).saturating_sub(shorter);
                frame[18..20].copy_from_slice(&len.to_be_bytes());
            }
            _ => return Ok(()),
        }
        let before = parsed(&frame);
        let end = end(&frame);
        frame[end..].iter_mut().for_each(|byte| *byte ^= noise);
        prop_assert_eq!(parsed(&frame), before);
    }

    #[test]
    fn what_follows_a_later_fragments_header_changes_nothing(
        number in any::<u8>(), offset in 2u16..0x2000, one in any::<[u8; 32]>(), other in any::<[u8; 32]>(),
    ) {
        prop_assert_eq!(parsed(&v4(number, offset, &one)), parsed(&v4(number, offset, &other)));
        let fragment = |body: [u8; 32]| {
            let [high, low] = (offset << 3).to_be_bytes();
            v6(44, &[&[number, 0, high, low, 0, 0, 0, 1], body.as_slice()].concat())
        };
        prop_assert_eq!(parsed(&fragment(one)), parsed(&fragment(other)));
        prop_assert_eq!(parsed(&fragment(one)), Ok((number, Transport::LaterFragment)));
    }
}
