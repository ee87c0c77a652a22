//! What this host sends, through the loaded program: what leaves, what is answered, and what is counted.

use foobar_common::{Departure, plane};
use foobar_tests::{
    frames::{Packet, arp, icmp, icmpv6, tcp, udp},
    lab::Lab,
};

fn both(from: u16, to: u16, make: fn(&str, &str) -> Packet) -> [Packet; 2] {
    [
        make(&format!("10.0.0.1:{from}"), &format!("192.0.2.7:{to}")),
        make(&format!("[2001:db8:1::1]:{from}"), &format!("[2001:db8::7]:{to}")),
    ]
}

/// Sends a packet; what became of it, and what was counted.
fn sent(lab: &mut Lab, packet: &Packet) -> (Departure, Vec<String>) {
    let before = lab.counts();
    let (departure, after) = lab.send(packet);
    if departure != Departure::Answered {
        assert_eq!(after, packet.bytes(), "it is as it was");
    }
    let counts = lab.counts();
    (departure, lab.moved(&before, &counts, packet.len()))
}

#[test]
fn without_rules_and_default_nothing_is_judged() {
    let mut lab = Lab::new().rule("deny tcp/25");
    for packet in both(4000, 25, tcp) {
        assert_eq!(sent(&mut lab, &packet), (Departure::Leaves, vec![]));
    }
}

#[test]
fn the_first_rule_that_matches_decides_and_to_is_the_other_side() {
    let mut lab = Lab::new()
        .egress("allow tcp/25 to 192.0.2.7,2001:db8::7")
        .egress("deny tcp/25")
        .egress("deny udp from 10.0.0.0/8,2001:db8:1::/64 to 192.0.2.0/24,2001:db8::/64")
        .egress("deny udp/53");
    let says = |name: &str| vec!["sent allowed".to_owned(), format!("rule {name}")];
    for packet in both(4000, 25, tcp) {
        assert_eq!(sent(&mut lab, &packet), (Departure::Leaves, says("allow tcp/25 to 192.0.2.7,2001:db8::7")));
        assert_eq!(sent(&mut lab, &packet.answered()).0, Departure::Leaves, "port 25 is the source's");
    }
    let [v4, v6] = [tcp("10.0.0.1:4000", "192.0.2.8:25"), tcp("[2001:db8:1::1]:4000", "[2001:db8::8]:25")];
    let denied = |name: &str| (Departure::Answered, vec!["sent denied".to_owned(), format!("rule {name}")]);
    for packet in [v4.clone(), v4.clone().qinq(1, 2), v6.clone(), v6.vlan(9), v4.payload(&[7; 600])] {
        assert_eq!(sent(&mut lab, &packet), denied("deny tcp/25"), "{packet:?}");
    }
    let name = "deny udp from 10.0.0.0/8,2001:db8:1::/64 to 192.0.2.0/24,2001:db8::/64";
    for packet in both(4000, 5000, udp) {
        assert_eq!(sent(&mut lab, &packet), denied(name));
    }
    assert_eq!(sent(&mut lab, &udp("172.16.0.1:1", "192.0.2.7:53")), denied("deny udp/53"));
    let passes = (Departure::Leaves, vec!["sent default_pass".to_owned()]);
    assert_eq!(sent(&mut lab, &udp("172.16.0.1:1", "192.0.2.7:54")), passes);
    assert_eq!(sent(&mut lab, &arp()), (Departure::Leaves, vec!["sent not_ip".to_owned()]));
}

#[test]
fn kernel_and_host_make_the_same_answers() {
    let mut lab = Lab::new().drops().egress("deny");
    let host = lab.host();
    let packets = both(4000, 25, tcp).into_iter().flat_map(|packet| [packet.clone().syn(), packet.fin()]);
    let datagrams = both(4000, 53, udp).into_iter().chain([icmp("10.0.0.1", "192.0.2.7", 8, 0)]);
    let others = [icmpv6("2001:db8:1::1", "2001:db8::7", 128, 0), icmp("10.0.0.1", "192.0.2.7", 3, 1)];
    for packet in packets.chain(datagrams).chain(others) {
        for odd in [packet.clone(), packet.clone().vlan(3), packet.clone().payload(&[1; 700]), packet.qinq(1, 2)] {
            assert_eq!(lab.send(&odd), host.send(&odd.bytes()), "{odd:?}");
        }
    }
}

#[test]
fn a_reset_for_a_refused_segment_passes_the_ingress_default() {
    let mut lab = Lab::new().drops().egress("deny tcp/25");
    for packet in both(4000, 25, tcp) {
        let (_, reset) = lab.send(&packet.clone().syn());
        lab.refresh();
        assert_eq!(lab.run_bytes(&reset).counted, ["reply"]);
        assert_eq!(lab.run(&packet.answered().flags(0x12)).counted, ["default_drop"], "nothing else does");
    }
}

#[test]
fn under_a_default_that_drops_answers_to_what_came_in_leave() {
    let mut lab = Lab::new().rule("deny tcp/23").drops_sent().egress("allow tcp/443");
    let dropped = (Departure::Answered, vec!["sent default_drop".to_owned()]);
    for (asked, unasked) in [(both(22, 4000, tcp), both(22, 4001, tcp)), (both(53, 4000, udp), both(53, 4001, udp))] {
        for (answer, other) in asked.into_iter().zip(unasked) {
            assert_eq!(sent(&mut lab, &answer), dropped);
            lab.run(&answer.clone().answered());
            assert_eq!(sent(&mut lab, &answer), (Departure::Leaves, vec!["sent reply".to_owned()]));
            assert_eq!(sent(&mut lab, &other), dropped);
        }
    }
    let [denied, _] = both(23, 4000, tcp);
    lab.run(&denied.clone().answered());
    assert_eq!(sent(&mut lab, &denied), dropped, "what was denied opened nothing");
    let [ruled, _] = both(4000, 443, tcp);
    lab.run(&ruled.clone().answered());
    assert_eq!(sent(&mut lab, &ruled).1, ["sent allowed", "rule allow tcp/443"]);
    let essential = (Departure::Leaves, vec!["sent essential".to_owned()]);
    assert_eq!(sent(&mut lab, &icmpv6("fe80::1", "fe80::7", 135, 0).ttl(255)), essential);
    assert_eq!(sent(&mut lab, &udp("10.0.0.1:68", "192.0.2.1:67")), essential);
}

#[test]
fn fragments_leave_with_their_first() {
    let mut lab = Lab::new().egress("deny udp/53");
    for (id, (port, leaves)) in [(80, true), (53, false)].into_iter().enumerate() {
        for packet in both(4000, port, udp).map(|packet| packet.identified(id as u32)) {
            let later = packet.clone().fragment(2, false);
            assert_eq!(sent(&mut lab, &later), (Departure::Dropped, vec!["sent fragment_unknown".to_owned()]));
            lab.send(&packet.fragment(0, true));
            assert_eq!(sent(&mut lab, &later).0 == Departure::Leaves, leaves);
        }
    }
}

#[test]
fn what_would_leave_is_explained_and_nothing_is_counted() {
    let mut lab = Lab::new().rule("deny tcp/25").egress("allow tcp/80").egress("deny tcp/25");
    let [packet, _] = both(4000, 25, tcp);
    let before = lab.counts();
    let said = lab.datapath().explain(packet.bytes(), plane::Way::Out, 1);
    assert_eq!(said.outcome, foobar_common::Outcome::Denied);
    let counts = lab.counts();
    assert_eq!(lab.moved(&before, &counts, 0), [""; 0]);
}
