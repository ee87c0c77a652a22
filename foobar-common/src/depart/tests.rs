//! What may leave, what is answered, and what the answer is. Both families.

use crate::{
    Departure, Outcome,
    decision::Decision,
    flow::{ICMP, ICMPV6, TCP, UDP},
    image::{HostTables, Image},
    layout::{TCP_PORTS, UDP_PORTS},
};

const HOST: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 1];
const PEER: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 192, 0, 2, 7];
const MACS: [u8; 12] = [1 << 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

fn frame(v6: bool, [from, to]: [[u8; 16]; 2], protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = MACS.to_vec();
    let len = payload.len() as u16;
    if v6 {
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        frame.extend(len.to_be_bytes());
        frame.extend([protocol, 64]);
        frame.extend([from, to].concat());
    } else {
        frame.extend([8, 0, 0x45, 0]);
        frame.extend((20 + len).to_be_bytes());
        frame.extend([0, 1, 0, 0, 64, protocol, 0, 0]);
        frame.extend([&from[12..], &to[12..]].concat());
    }
    frame.extend(payload);
    frame
}

fn tcp(source: u16, destination: u16, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut segment = [source.to_be_bytes(), destination.to_be_bytes()].concat();
    segment.extend([0, 0, 1, 0, 0, 0, 2, 0, 0x50, flags, 9, 9, 9, 9, 0, 0]);
    segment.extend(payload);
    segment
}

fn udp(source: u16, destination: u16) -> Vec<u8> {
    [source, destination, 12, 0xabcd, 1, 2].map(u16::to_be_bytes).concat()
}

/// `deny tcp/25` and `deny udp/53` as rules 1 and 2, and this default.
fn tables(drops: bool) -> HostTables {
    let mut sent = Image { drops, ..Image::default() };
    sent.ports[TCP_PORTS + 25].class.decision = Decision::new(0, false, 1);
    sent.ports[UDP_PORTS + 53].class.decision = Decision::new(1, false, 2);
    HostTables { image: Image { sent: Some(Box::new(sent)), ..Image::default() }, now: 100, ..HostTables::default() }
}

fn families(test: impl Fn(bool, &dyn Fn(u8, &[u8]) -> Vec<u8>)) {
    for v6 in [false, true] {
        test(v6, &|protocol, payload| frame(v6, [HOST, PEER], protocol, payload));
    }
}

/// A sum of 16-bit words that is all ones where the checksum in it is right.
fn sum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// The answer's payload, whose addresses, lengths and checksums are those of an answer.
fn answer(v6: bool, protocol: u8, answer: &[u8]) -> Vec<u8> {
    assert_eq!(answer[..12], [&MACS[6..], &MACS[..6]].concat());
    let (header, from, to) = if v6 { (40, 8, 24) } else { (20, 12, 16) };
    let size = if v6 { 16 } else { 4 };
    let (ip, payload) = answer[14..].split_at(header);
    assert_eq!((&ip[from..from + size], &ip[to..to + size]), (&PEER[16 - size..], &HOST[16 - size..]));
    let said = usize::from(ip[if v6 { 4 } else { 2 }]) << 8 | usize::from(ip[if v6 { 5 } else { 3 }]);
    assert_eq!(said, payload.len() + if v6 { 0 } else { 20 });
    assert_eq!(ip[if v6 { 6 } else { 9 }], protocol);
    if !v6 {
        assert_eq!(sum(ip), 0xffff);
    }
    let pseudo = match protocol {
        ICMP => Vec::new(),
        _ => [&ip[from..], &[0, protocol], &(payload.len() as u16).to_be_bytes()].concat(),
    };
    assert_eq!(sum(&[pseudo, payload.to_vec()].concat()), 0xffff, "{payload:02x?}");
    payload.to_vec()
}

#[test]
fn a_denied_segment_is_answered_by_the_reset_that_its_socket_believes() {
    families(|v6, frame| {
        let tables = tables(false);
        for (flags, payload, expected) in [
            (0x02, &b""[..], [0, 0, 0, 0, 0, 0, 1, 1, 0x50, 0x14]),
            (0x10, &b"odd"[..], [0, 0, 2, 0, 0, 0, 0, 0, 0x50, 0x04]),
            (0x01, &b"five!"[..], [0, 0, 0, 0, 0, 0, 1, 6, 0x50, 0x14]),
        ] {
            let (departure, after) = tables.send(&frame(TCP, &tcp(4000, 25, flags, payload)));
            assert_eq!(departure, Departure::Answered);
            let segment = answer(v6, TCP, &after);
            assert_eq!(segment[..4], [0, 25, 0x0f, 0xa0]);
            assert_eq!(segment[4..14], expected, "{flags:#x}");
            assert_eq!(segment.len(), 20);
        }
        assert_eq!(tables.sent.borrow()[&Outcome::Denied][0], 3);
        assert_eq!(tables.rules.borrow()[&1][0], 3);
    });
}

#[test]
fn a_denied_datagram_is_answered_by_an_error_that_quotes_it() {
    families(|v6, frame| {
        let tables = tables(false);
        let sent = frame(UDP, &udp(4000, 53));
        let (departure, after) = tables.send(&sent);
        assert_eq!(departure, Departure::Answered);
        let error = answer(v6, if v6 { ICMPV6 } else { ICMP }, &after);
        assert_eq!(error[..2], if v6 { [1, 1] } else { [3, 13] });
        assert_eq!(error[8..], sent[14..sent.len() - 4]);
    });
}

#[test]
fn what_may_leave_leaves_as_it_is() {
    families(|_, frame| {
        let tables = tables(false);
        for payload in [tcp(4000, 80, 2, b""), tcp(25, 4000, 0x12, b"")] {
            let sent = frame(TCP, &payload);
            assert_eq!(tables.send(&sent), (Departure::Leaves, sent));
        }
        assert_eq!(tables.sent.borrow()[&Outcome::DefaultPass][0], 2);
    });
}

#[test]
fn nobody_is_answered_who_would_answer_again() {
    families(|v6, frame| {
        let tables = tables(true);
        let echo = if v6 { [ICMPV6, 128] } else { [ICMP, 8] };
        assert_eq!(tables.send(&frame(echo[0], &[echo[1], 0, 0, 0, 0, 0, 0, 0])).0, Departure::Answered);
        let group = [if v6 { 0xff } else { 0 }, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 224, 0, 0, 5];
        for sent in [frame(TCP, &tcp(4000, 25, 0x04, b"")), super::tests::frame(v6, [HOST, group], UDP, &udp(5353, 53))]
        {
            assert_eq!(tables.send(&sent), (Departure::Dropped, sent));
        }
        let redirect = if v6 { [ICMPV6, 100] } else { [ICMP, 5] };
        assert_eq!(tables.send(&frame(redirect[0], &[redirect[1], 0, 0, 0, 0, 0, 0, 0])).0, Departure::Dropped);
    });
}

#[test]
fn under_a_default_that_drops_answers_leave_and_nothing_else_does() {
    families(|v6, frame| {
        let tables = tables(true);
        let back = |protocol: u8, payload: &[u8]| super::tests::frame(v6, [PEER, HOST], protocol, payload);
        for (heard, answer) in [
            (back(TCP, &tcp(4000, 22, 2, b"")), frame(TCP, &tcp(22, 4000, 0x12, b""))),
            (back(UDP, &udp(4000, 123)), frame(UDP, &udp(123, 4000))),
        ] {
            assert_eq!(tables.send(&answer).0, Departure::Answered, "nobody asked");
            assert_eq!(tables.run(&mut heard.clone()), Outcome::DefaultPass);
            assert_eq!(tables.send(&answer), (Departure::Leaves, answer));
        }
        assert_eq!(tables.sent.borrow()[&Outcome::Reply][0], 2);
        assert_eq!(tables.sent.borrow()[&Outcome::DefaultDrop][0], 2);
        let (question, essential) = if v6 { (udp(546, 547), [1, 4]) } else { (udp(68, 67), [3, 3]) };
        assert_eq!(tables.send(&frame(UDP, &question)).0, Departure::Leaves, "a DHCP client asks");
        let error = [essential[0], essential[1], 0, 0, 0, 0, 0, 0];
        assert_eq!(tables.send(&frame(if v6 { ICMPV6 } else { ICMP }, &error)).0, Departure::Leaves);
        let arp = [&MACS[..], &[8, 6, 0, 1]].concat();
        assert_eq!(tables.send(&arp).0, Departure::Leaves);
    });
}

#[test]
fn a_refused_segment_lets_its_reset_in_and_nothing_else() {
    families(|_, frame| {
        let mut tables = tables(false);
        tables.image.drops = true;
        let (_, mut reset) = tables.send(&frame(TCP, &tcp(4000, 25, 2, b"")));
        let mut other = reset.clone();
        let flags = other.len() - 7;
        other[flags] = 0x12;
        assert_eq!(tables.run(&mut other), Outcome::DefaultDrop);
        assert_eq!(tables.run(&mut reset), Outcome::Reply);
        tables.now += 2;
        assert_eq!(tables.run(&mut reset), Outcome::DefaultDrop);
    });
}

#[test]
fn what_is_refused_to_whom_a_rule_lets_in_leaves_no_state() {
    families(|_, frame| {
        let mut tables = tables(true);
        tables.image.drops = true;
        tables.image.ports[TCP_PORTS + 80].class.decision = Decision::new(0, true, 9);
        for stranger in 4000..4100 {
            let answer = frame(TCP, &tcp(80, stranger, 0x12, b""));
            assert_eq!(tables.send(&answer).0, Departure::Answered);
        }
        assert_eq!(tables.states.borrow().len(), 0);
        assert_eq!(tables.send(&frame(TCP, &tcp(4000, 25, 2, b""))).0, Departure::Answered);
        assert_eq!(tables.states.borrow().len(), 1, "the host's own");
    });
}

#[test]
fn later_fragments_follow_their_first_out() {
    let mut tables = tables(false);
    let sent = tables.image.sent.as_mut().expect("rules");
    sent.needs = vec![crate::fragment::Need::Port; 2];
    sent.ports[crate::layout::FRAGMENTS + usize::from(UDP)].class.decision = Decision::new(1, false, 2);
    for (port, departure) in [(80, Departure::Leaves), (53, Departure::Dropped)] {
        let mut first = frame(false, [HOST, PEER], UDP, &udp(4000, port));
        (first[19], first[20]) = (port as u8, 0x20);
        let mut later = first.clone();
        (later[20], later[21]) = (0, 2);
        assert_eq!(tables.send(&later).0, Departure::Dropped);
        tables.send(&first);
        assert_eq!(tables.send(&later).0, departure);
    }
}
