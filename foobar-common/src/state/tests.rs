//! What is sent, and what of it lets an answer in. Both families, from the frames' bytes on.

use crate::{
    Outcome,
    address::{V4, V6},
    class::Port,
    decision::Decision,
    flow::{ICMP, ICMPV6, TCP, UDP},
    image::{HostTables, Image},
    layout::{TCP_PORTS, UDP_PORTS},
};

const HOST: u128 = 0x2001_0db8_0000_0000_0000_0000_0a00_0001;
const PEER: u128 = 0x2001_0db8_0000_0000_0000_0000_c000_0207;
/// GRE.
const OTHER: u8 = 47;

/// A packet of a protocol from one address to another; IPv4 has the addresses' last four bytes.
#[derive(Clone, Copy)]
struct Way {
    v6: bool,
    from: u128,
    to: u128,
}

impl Way {
    fn out(v6: bool) -> Self {
        Self { v6, from: HOST, to: PEER }
    }

    fn back(self) -> Self {
        Self { from: self.to, to: self.from, ..self }
    }

    fn frame(self, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![2; 12];
        let len = payload.len() as u16;
        if self.v6 {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend(len.to_be_bytes());
            frame.extend([protocol, 64]);
            frame.extend(self.from.to_be_bytes());
            frame.extend(self.to.to_be_bytes());
        } else {
            frame.extend([8, 0, 0x45, 0]);
            frame.extend((20 + len).to_be_bytes());
            frame.extend([0, 1, 0, 0, 64, protocol, 0, 0]);
            frame.extend((self.from as u32).to_be_bytes());
            frame.extend((self.to as u32).to_be_bytes());
        }
        frame.extend(payload);
        frame
    }

    fn tcp(self, source: u16, destination: u16, flags: u8) -> Vec<u8> {
        let mut segment = [source.to_be_bytes(), destination.to_be_bytes()].concat();
        segment.extend([0, 0, 0, 7, 0, 0, 0, 0, 0x50, flags, 0, 0, 0, 0, 0, 0]);
        self.frame(TCP, &segment)
    }

    fn udp(self, source: u16, destination: u16) -> Vec<u8> {
        self.frame(UDP, &[source, destination, 8, 0].map(u16::to_be_bytes).concat())
    }

    /// An echo request or its reply.
    fn echo(self, reply: bool, id: u16) -> Vec<u8> {
        let (protocol, kinds) = if self.v6 { (ICMPV6, [128, 129]) } else { (ICMP, [8, 0]) };
        let [high, low] = id.to_be_bytes();
        self.frame(protocol, &[kinds[usize::from(reply)], 0, 0, 0, high, low, 0, 1])
    }
}

fn tables() -> HostTables {
    HostTables { image: Image { drops: true, ..Image::default() }, now: 1000, ..HostTables::default() }
}

fn families(test: impl Fn(Way)) {
    [false, true].map(Way::out).into_iter().for_each(test);
}

fn outcome(tables: &HostTables, frame: &[u8]) -> Outcome {
    tables.run(&mut frame.to_vec())
}

#[test]
fn what_answers_passes_for_as_long_as_it_is_fresh() {
    families(|out| {
        let back = out.back();
        for (sent, answer, life) in [
            (out.tcp(4000, 443, 2), back.tcp(443, 4000, 0x12), super::TCP_SECONDS),
            (out.udp(4000, 53), back.udp(53, 4000), super::UDP_SECONDS),
            (out.echo(false, 9), back.echo(true, 9), super::ECHO_SECONDS),
            (out.frame(OTHER, &[1; 8]), back.frame(OTHER, &[2; 9]), super::OTHER_SECONDS),
        ] {
            let mut tables = tables();
            assert_eq!(outcome(&tables, &answer), Outcome::DefaultDrop, "nobody asked");
            tables.send(&sent);
            assert_eq!(tables.states.borrow().len(), 1);
            assert_eq!(outcome(&tables, &answer), Outcome::Reply);
            tables.now += life;
            assert_eq!(outcome(&tables, &answer), Outcome::Reply);
            tables.now += 1;
            assert_eq!(outcome(&tables, &answer), Outcome::DefaultDrop, "answers refresh nothing");
            tables.send(&sent);
            assert_eq!(outcome(&tables, &answer), Outcome::Reply, "what is sent does");
        }
    });
}

#[test]
fn nothing_like_an_answer_passes() {
    families(|out| {
        let back = out.back();
        let tables = tables();
        tables.send(&out.tcp(4000, 443, 2));
        tables.send(&out.udp(4000, 53));
        tables.send(&out.echo(false, 9));
        for frame in [
            back.tcp(444, 4000, 0x10),
            back.tcp(443, 4001, 0x10),
            back.tcp(4000, 443, 0x10),
            out.tcp(4000, 443, 0x10),
            back.tcp(53, 4000, 0x10),
            back.udp(443, 4000),
            back.udp(54, 4000),
            back.echo(true, 8),
            back.echo(false, 9),
            back.frame(OTHER, &[1; 8]),
            Way { from: back.from + 1, ..back }.udp(53, 4000),
            Way { to: back.to + 1, ..back }.udp(53, 4000),
        ] {
            assert_eq!(outcome(&tables, &frame), Outcome::DefaultDrop, "{frame:02x?}");
        }
    });
}

#[test]
fn what_has_no_answer_is_not_noted() {
    families(|out| {
        let tables = tables();
        let group = if out.v6 { 0xff02 << 112 | 5 } else { 0xe000_0005 };
        let mut fragment = out.udp(4000, 53);
        if !out.v6 {
            fragment[21] = 2;
            tables.send(&fragment);
        }
        for frame in [
            out.tcp(4000, 443, 0x04),
            out.tcp(4000, 443, 0x14),
            out.echo(true, 9),
            out.frame(if out.v6 { ICMPV6 } else { ICMP }, &[3, 1, 0, 0, 0, 0, 0, 0]),
            Way { to: group, ..out }.udp(5353, 5353),
            Way { to: group, ..out }.frame(112, &[1; 8]),
            out.udp(4000, 53)[..40].to_vec(),
        ] {
            tables.send(&frame);
        }
        let mut too_big = out.tcp(4000, 443, 0x10);
        too_big[if out.v6 { 18 } else { 16 }] = 0xff;
        tables.send(&too_big);
        assert!(tables.states.borrow().is_empty(), "{:?}", tables.states);
    });
}

#[test]
fn any_segment_but_a_reset_notes_a_connection() {
    for flags in [0x02, 0x12, 0x10, 0x18, 0x11] {
        families(|out| {
            let tables = tables();
            tables.send(&out.tcp(4000, 443, flags));
            assert_eq!(outcome(&tables, &out.back().tcp(443, 4000, 0x10)), Outcome::Reply, "{flags:#x}");
        });
    }
}

#[test]
fn what_a_rule_decides_is_not_noted_and_a_denial_beats_a_reply() {
    let ruled = |entry: usize, allows| {
        let mut tables = tables();
        tables.image.ports[entry].class.decision = Decision::new(0, allows, 5);
        tables
    };
    families(|out| {
        let (sent, answer) = (out.udp(4000, 53), out.back().udp(53, 4000));
        for (allows, decided) in [(true, Outcome::Allowed), (false, Outcome::Denied)] {
            let tables = ruled(UDP_PORTS + 4000, allows);
            tables.send(&sent);
            assert!(tables.states.borrow().is_empty() && tables.rules.borrow().is_empty());
            assert_eq!(outcome(&tables, &answer), decided);
        }
        let mut tables = tables();
        tables.send(&sent);
        tables.image.ports[UDP_PORTS + 4000] = ruled(UDP_PORTS + 4000, false).image.ports[UDP_PORTS + 4000];
        assert_eq!(outcome(&tables, &answer), Outcome::Denied);
        let other = ruled(TCP_PORTS + 4000, true);
        other.send(&sent);
        assert_eq!(outcome(&other, &answer), Outcome::Reply, "another protocol's rule");
    });
    assert_eq!(Port::NONE.class.decision, Decision::NONE);
}

#[test]
fn who_was_connected_may_not_connect_again() {
    families(|out| {
        let tables = tables();
        tables.send(&out.tcp(4000, 443, 0x10));
        let back = out.back();
        assert_eq!(outcome(&tables, &back.tcp(443, 4000, 0x12)), Outcome::Reply, "a SYN-ACK answers");
        assert_eq!(outcome(&tables, &back.tcp(443, 4000, 0x10)), Outcome::Reply);
        assert_eq!(outcome(&tables, &back.tcp(443, 4000, 0x02)), Outcome::DefaultDrop, "a SYN does not");
    });
}

#[test]
fn a_default_that_passes_asks_for_no_state() {
    families(|out| {
        let mut tables = tables();
        tables.image.drops = false;
        tables.send(&out.udp(4000, 53));
        assert_eq!(outcome(&tables, &out.back().udp(53, 4000)), Outcome::DefaultPass);
    });
}

#[test]
fn a_later_fragment_of_a_reply_is_dropped() {
    let out = Way::out(false);
    let tables = tables();
    tables.send(&out.udp(4000, 53));
    let mut fragment = out.back().udp(53, 4000);
    fragment[21] = 2;
    assert_eq!(outcome(&tables, &fragment), Outcome::Fragment);
}

#[test]
fn a_key_is_of_the_answer() {
    let tables = tables();
    tables.send(&Way::out(false).tcp(4000, 443, 2));
    tables.send(&Way::out(true).tcp(4000, 443, 2));
    let ports = super::port_word(TCP, 443, 4000);
    let halves = |address: u128| [(address >> 64) as u64, address as u64];
    let v4 = <V4 as super::Address>::flow_key(V4(PEER as u32), V4(HOST as u32), ports);
    let v6 = <V6 as super::Address>::flow_key(V6(halves(PEER)), V6(halves(HOST)), ports);
    let states = tables.states.borrow();
    assert!(states.contains_key(v4.as_slice()) && states.contains_key(v6.as_slice()), "{states:?}");
}
