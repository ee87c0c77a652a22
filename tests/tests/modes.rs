//! What a tunnel makes of a frame, byte by byte, and what every way of forwarding leaves alone. Every expected frame is
//! built from scratch, its checksums too.

use foobar_common::{Outcome, target::Target};
use foobar_tests::{
    frames::{Packet, protocol, tcp, udp},
    lab::{Lab, Way},
};
use foobar_userspace::domain::{Encapsulation, Forward};

const CLIENT: &str = "192.0.2.7:4000";
const CLIENT6: &str = "[2001:db8::7]:4000";
const SERVICE: &str = "10.0.0.1:80";
const SERVICE6: &str = "[2001:db8:1::1]:80";
const IPIP: u8 = 4;
const IPV6: u8 = 41;
const DONT_FRAGMENT: u16 = 0x4000;

/// Services with one backend each, of every pair of families that a mode has.
fn lab(forward: Forward) -> Lab {
    Lab::new()
        .service("10.0.0.1", "tcp/80", &["10.1.0.2"])
        .forward(forward)
        .service("2001:db8:1::1", "tcp/80", &["2001:db8:2::2"])
        .forward(forward)
}

/// The outer packet around one, as the lab's balancer makes it.
fn outer(number: u8, inner: &Packet, backend: &str) -> Packet {
    let packet = if backend.contains(':') {
        protocol(number, "fd00:1::1", backend)
    } else {
        protocol(number, "10.1.0.1", backend).identified(0).fragment(DONT_FRAGMENT, false)
    };
    packet.payload(&inner.network()).to(backend)
}

/// An IPv6 frame with the label of its flow taken out.
fn without_label(frame: &[u8], ip: usize) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[ip + 1] &= 0xf0;
    frame[ip + 2..ip + 4].fill(0);
    frame
}

#[test]
fn a_tunnel_puts_a_packet_into_another_of_either_family() {
    let mut lab = lab(Forward::Tunnel)
        .service("10.0.0.2", "tcp/80", &["2001:db8:2::3"])
        .forward(Forward::Tunnel)
        .service("2001:db8:1::2", "tcp/80", &["10.1.0.3"])
        .forward(Forward::Tunnel);
    for (sent, number, backend) in [
        (tcp(CLIENT, SERVICE).syn(), IPIP, "10.1.0.2"),
        (tcp(CLIENT6, SERVICE6).syn(), IPV6, "2001:db8:2::2"),
        (tcp(CLIENT, "10.0.0.2:80").syn(), IPIP, "2001:db8:2::3"),
        (tcp(CLIENT6, "[2001:db8:1::2]:80").syn(), IPV6, "10.1.0.3"),
    ] {
        for (sent, tags) in [(sent.clone(), 0), (sent.clone().vlan(100), 1), (sent.clone().qinq(7, 100), 2)] {
            let got = lab.run(&sent);

            assert_eq!(got.outcome, Outcome::Forwarded, "{sent:?}");
            let inner = sent.clone().ttl(63);
            let mut wanted = outer(number, &inner, backend);
            wanted = match tags {
                0 => wanted,
                1 => wanted.vlan(100),
                _ => wanted.qinq(7, 100),
            };
            let ip = 14 + 4 * tags;
            let frame = if backend.contains(':') { without_label(&got.frame, ip) } else { got.frame.clone() };
            assert_eq!(frame, wanted.bytes(), "{sent:?}");
            let connection = format!("connection {backend}");
            assert_eq!(got.counted, ["forwarded", &format!("backend {backend}"), connection.as_str()], "{sent:?}");
        }
    }
}

#[test]
fn flows_have_labels_of_their_own_in_a_tunnel_over_ipv6() {
    let mut lab = lab(Forward::Tunnel);
    let mut label = |port: u16| {
        let got = lab.run(&tcp(&format!("[2001:db8::7]:{port}"), SERVICE6));
        u32::from_be_bytes(got.frame[14..18].try_into().expect("four bytes")) & 0xf_ffff
    };
    let labels: std::collections::HashSet<_> = (4000..4032).map(&mut label).collect();
    assert!(labels.len() > 28, "{labels:?}");
    assert_eq!(label(4000), label(4000), "the packets of one flow have one label");
}

#[test]
fn gue_has_a_source_port_for_each_flow() {
    let mut lab = lab(Forward::Tunnel).encapsulation(Encapsulation::Gue);
    let mut ports = std::collections::HashSet::new();
    for port in 4000..4032 {
        let sent = tcp(&format!("[2001:db8::7]:{port}"), SERVICE6);
        let got = lab.run(&sent);
        let source = u16::from_be_bytes([got.frame[54], got.frame[55]]);
        assert!(source >= 0xc000, "{source}");
        ports.insert(source);
        let inner = sent.ttl(63).network();
        let header = [0, IPV6, 0, 0];
        let wanted = udp(&format!("[fd00:1::1]:{source}"), "[2001:db8:2::2]:6080")
            .payload(&[&header, inner.as_slice()].concat())
            .transport_bytes(6, &[0, 0])
            .to("2001:db8:2::2");
        assert_eq!(without_label(&got.frame, 14), wanted.bytes());
    }
    assert!(ports.len() > 28, "{ports:?}");
}

#[test]
fn a_tunnel_carries_the_class_and_what_met_congestion() {
    let mut lab = lab(Forward::Tunnel);
    let sent = tcp(CLIENT, SERVICE).class(0xb9);
    let got = lab.run(&sent);
    assert_eq!(got.frame, outer(IPIP, &sent.ttl(63), "10.1.0.2").class(0xb9).bytes());
}

#[test]
fn what_does_not_fit_a_tunnel_is_told_and_dropped_by_nobody_in_silence() {
    let mut lab = lab(Forward::Tunnel).mtu(1400);
    let fits = tcp(CLIENT, SERVICE).payload(&[7; 1400 - 60]);
    let got = lab.run(&fits);
    assert_eq!(got.outcome, Outcome::Forwarded, "20 + 20 + 1340 + 20");
    assert_eq!(got.counted, ["forwarded", "backend 10.1.0.2"]);
    for (sent, mtu, kind) in [
        (tcp(CLIENT, SERVICE).payload(&[7; 1341]), 1380_u16, [3, 4]),
        (tcp(CLIENT6, SERVICE6).payload(&[7; 1301]), 1360, [2, 0]),
    ] {
        let got = lab.run(&sent);
        assert_eq!(got.outcome, Outcome::TooBig);
        assert_eq!(got.counted, ["too_big"], "no backend has it");
        let is_v6 = kind[0] == 2;
        let quoted = &sent.network()[..if is_v6 { 48 } else { 28 }];
        let error = if is_v6 {
            foobar_tests::frames::icmpv6("2001:db8:1::1", "2001:db8::7", 2, 0)
        } else {
            foobar_tests::frames::icmp("10.0.0.1", "192.0.2.7", 3, 4).identified(0)
        };
        let wanted = error.rest(u32::from(mtu)).payload(quoted).back();
        assert_eq!(got.frame, wanted.bytes(), "{kind:?}");
    }
    let later = tcp(CLIENT, SERVICE).payload(&[7; 1400]).fragment(0, true);
    assert_eq!(lab.run(&later).outcome, Outcome::TooBig, "a first fragment is told, too");
}

#[test]
fn a_packet_whose_time_is_over_goes_no_further() {
    for forward in [Forward::Tunnel, Forward::Nat, Forward::Snat] {
        let mut lab = lab(forward);
        if forward == Forward::Snat {
            lab = lab.snat_each(&["10.1.0.1"], &["fd00:1::1"]);
        }
        for sent in [tcp(CLIENT, SERVICE), tcp(CLIENT6, SERVICE6)] {
            let backend = if sent.bytes()[12..14] == [8, 0] { "10.1.0.2" } else { "2001:db8:2::2" };
            let over = lab.run(&sent.clone().ttl(1));
            assert_eq!(over.outcome, Outcome::Expired, "{forward} {sent:?}");
            assert_eq!(over.counted, ["expired"], "no backend has it");
            let got = lab.run(&sent.syn().ttl(2));
            assert_eq!(got.outcome, Outcome::Forwarded, "{forward}");
            let counted = [format!("backend {backend}"), format!("connection {backend}"), "forwarded".to_owned()];
            assert_eq!(sorted(got.counted), counted, "{forward}");
        }
    }
}

#[test]
fn a_backend_here_gets_the_packet_as_it_came() {
    for forward in [Forward::Dsr, Forward::Tunnel] {
        let mut lab = lab(forward).way("10.1.0.2", Way::ThisHost);
        let sent = tcp(CLIENT, SERVICE).syn();
        let got = lab.run(&sent);
        assert_eq!((got.outcome, got.frame), (Outcome::Here, sent.bytes()), "{forward}");
    }
}

fn sorted(mut counted: Vec<String>) -> Vec<String> {
    counted.sort();
    counted
}

#[test]
fn a_backend_that_gets_an_id_is_told_nothing_of_the_one_that_had_it() {
    let mut lab = lab(Forward::Nat);
    lab.run(&tcp(CLIENT, SERVICE).syn());
    let id = lab.id(0, "10.1.0.2");
    let before = lab.datapath().target(id).expect("a target");
    assert_ne!(before, Target::default());

    lab.datapath().reset_backend(id).expect("written");

    assert_eq!(lab.datapath().target(id).expect("a target"), Target::default());
    let counted: u64 = lab.datapath().backend(id).expect("counted").iter().map(|tally| tally.packets).sum();
    assert_eq!(counted, 0);
}
