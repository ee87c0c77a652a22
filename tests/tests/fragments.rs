//! A later fragment follows its first, and where nobody saw that, it is dropped rather than guessed at.

use fastrand::Rng;
use foobar_common::{
    Action,
    extension::{AUTHENTICATION, DESTINATION_OPTIONS},
};
use foobar_tests::{
    frames::{Packet, protocol, tcp, udp},
    lab::{Lab, run},
    random::plain,
};

const UNKNOWN: [&str; 1] = ["fragment_unknown"];

/// A packet in both families, from a host's port to the services' address.
fn both(from: u16, to: u16, make: fn(&str, &str) -> Packet) -> [Packet; 2] {
    [
        make(&format!("192.0.2.7:{from}"), &format!("10.0.0.1:{to}")),
        make(&format!("[2001:db8::7]:{from}"), &format!("[2001:db8:1::1]:{to}")),
    ]
}

fn first(packet: &Packet) -> Packet {
    packet.clone().fragment(0, true)
}

/// The middle of a packet, and its end.
fn laters(packet: &Packet) -> [Packet; 2] {
    [packet.clone().fragment(2, true), packet.clone().fragment(3, false)]
}

#[test]
fn later_fragments_of_a_services_packets_go_to_the_backend_of_the_first() {
    for rule in ["deny tcp/25", "allow udp", "allow udp/53", "deny tcp"] {
        let backends: [&[&str]; 2] = [&["10.1.0.2", "10.1.0.3", "10.1.0.4"], &["2001:db8:2::2", "2001:db8:2::3"]];
        let mut lab = Lab::new().drops().rule(rule);
        lab = lab.service("10.0.0.1", "udp/53", backends[0]).service("2001:db8:1::1", "udp/53", backends[1]);
        for port in 4000..4010 {
            for packet in both(port, 53, udp).map(|packet| packet.identified(port.into())) {
                assert_ne!(lab.run(&laters(&packet)[0]).action, Action::Tx, "its first was not seen");
                let sent = lab.run(&first(&packet));
                assert_eq!(sent.action, Action::Tx);
                let backend: Vec<_> = sent.counted.iter().filter(|name| name.starts_with("backend")).collect();
                for later in laters(&packet) {
                    let got = lab.run(&later);
                    assert_eq!(got.frame[..12], sent.frame[..12], "{later:?}");
                    assert_eq!(got.frame[12..], later.bytes()[12..]);
                    assert!(got.counted.contains(backend[0]) && got.counted[0] == "forwarded", "{:?}", got.counted);
                }
            }
        }
    }
}

#[test]
fn what_a_rule_for_ports_decides_holds_for_all_of_the_packet() {
    let mut lab = Lab::new().rules(&["allow tcp/22", "deny tcp/25", "deny tcp from 192.0.2.0/24,2001:db8::/64"]);
    for packet in both(4000, 22, tcp) {
        for later in laters(&packet) {
            assert_eq!(lab.run(&later).counted, UNKNOWN, "{later:?}");
        }
        assert_eq!(lab.run(&first(&packet)).counted, ["allowed", "rule allow tcp/22"]);
        for later in laters(&packet) {
            assert_eq!(lab.run(&later).counted, ["allowed"], "{later:?}");
            assert_eq!(lab.run(&later.clone().qinq(1, 2)).counted, ["allowed"], "behind tags");
            assert_eq!(lab.run(&later.identified(7)).counted, UNKNOWN, "of another packet");
        }
    }
    for packet in both(4000, 25, tcp).map(|packet| packet.identified(25)) {
        assert_eq!(lab.run(&first(&packet)).counted, ["denied", "rule deny tcp/25"]);
        assert_eq!(lab.run(&laters(&packet)[0]).counted, UNKNOWN);
    }
}

#[test]
fn a_rule_that_needs_no_port_decides_by_itself() {
    let mut lab = Lab::new().rules(&["deny from 192.0.2.7", "allow udp", "deny tcp", "deny udp/53"]);
    let [v4, v6] = both(4000, 53, udp);
    assert_eq!(lab.run(&laters(&v4)[0]).counted, ["denied", "rule deny from 192.0.2.7"]);
    assert_eq!(lab.run(&laters(&v6)[0]).counted, ["allowed", "rule allow udp"]);
    let [_, v6] = both(4000, 80, tcp);
    assert_eq!(lab.run(&laters(&v6)[1]).counted, ["denied", "rule deny tcp"]);
    assert_eq!(lab.run(&protocol(47, "2001:db8::7", "2001:db8:1::1").fragment(2, false)).counted, ["default_pass"]);
}

#[test]
fn allowances_before_no_denial_need_no_first() {
    let mut lab = Lab::new().rules(&["deny from 203.0.113.0/24", "allow udp/53"]);
    for packet in both(4000, 53, udp) {
        assert_eq!(lab.run(&laters(&packet)[0]).counted, ["default_pass"]);
        assert_eq!(lab.run(&first(&packet)).counted, ["allowed", "rule allow udp/53"]);
        assert_eq!(lab.run(&laters(&packet)[0]).counted, ["allowed"]);
    }
}

#[test]
fn a_fragmented_answer_to_what_this_host_opened_passes_whole() {
    let mut lab = Lab::new().drops();
    for answer in both(53, 4000, udp) {
        lab.send(&answer.clone().answered());
        assert_eq!(lab.run(&laters(&answer)[0]).counted, UNKNOWN, "before its first");
        for part in [first(&answer), laters(&answer)[0].clone(), laters(&answer)[1].clone()] {
            assert_eq!(lab.run(&part).counted, ["reply"], "{part:?}");
        }
    }
}

#[test]
fn a_later_fragment_with_headers_that_its_first_had_not_is_dropped() {
    let mut lab = Lab::new().rules(&["allow tcp/22", "allow tcp/80", "deny ah", "deny tcp/25"]);
    let packet = tcp("[2001:db8::7]:4000", "[2001:db8:1::1]:80");
    assert_eq!(lab.run(&first(&packet)).counted[0], "allowed");
    assert_eq!(lab.run(&packet.clone().extension(AUTHENTICATION).fragment(2, false)).counted, UNKNOWN);
    assert_eq!(lab.run(&packet.clone().fragment(2, false)).counted, ["allowed"]);
    // Behind the fragment header stands another header in all of them, and the ports behind that in the first alone.
    let behind = tcp("[2001:db8::8]:4000", "[2001:db8:1::1]:80").fragment(0, true).extension(DESTINATION_OPTIONS);
    assert_eq!(lab.run(&behind).counted[0], "allowed");
    let later = tcp("[2001:db8::8]:4000", "[2001:db8:1::1]:80").fragment(2, false).extension(DESTINATION_OPTIONS);
    assert_eq!(lab.run(&later).counted, ["allowed"]);
    let mut lab = Lab::new().rules(&["allow tcp/80", "deny tcp/25"]);
    assert_eq!(lab.run(&later).counted, UNKNOWN);
    assert_eq!(lab.run(&behind).counted[0], "allowed");
    assert_eq!(lab.run(&later).counted, ["allowed"]);
}

#[test]
fn no_fragment_fares_better_than_the_whole_packet() {
    let mut lab = Lab::new()
        .rules(&["deny from 203.0.113.0/28", "allow tcp/22", "deny tcp/25", "allow icmp", "deny udp", "deny tcp/53"])
        .service("10.0.0.1", "tcp/80", &["10.1.0.2"])
        .service("2001:db8:1::1", "tcp/80", &["2001:db8:2::2"]);
    let mut rng = Rng::with_seed(0xf4a6);
    let program = lab.program();
    let mut after = Vec::new();
    let mut followed = 0;
    for id in 0..4_000 {
        let packet = plain(&mut rng);
        if packet.family().is_none() {
            continue;
        }
        let packet = packet.identified(id);
        let mut run = |packet: &Packet| run(program, &packet.bytes(), &mut after);
        let plain = run(&packet);
        let [middle, last] = laters(&packet);
        for order in [[&middle, &first(&packet), &last], [&last, &middle, &first(&packet)]] {
            for part in order {
                let action = run(part);
                assert!(plain != Action::Drop || action == Action::Drop, "{part:?} {action:?}");
            }
        }
        let actions = [first(&packet), middle, last].map(|part| run(&part));
        followed += u32::from(plain == Action::Tx && actions == [Action::Tx; 3]);
    }
    assert!(followed > 100, "only {followed} packets were sent on whole");
}
