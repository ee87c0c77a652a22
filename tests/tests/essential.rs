//! What is never dropped by default, and only what it is; a rule still drops it.

use foobar_common::flow::ICMPV6;
use foobar_tests::{
    frames::{Packet, icmp, icmpv6, tcp, udp},
    lab::Lab,
};

const HOST: [&str; 2] = ["192.0.2.7", "10.0.0.1"];
const HOST6: [&str; 2] = ["fe80::7", "fe80::1"];

fn v4(kind: u8) -> Packet {
    icmp(HOST[0], HOST[1], kind, 0)
}

fn v6(kind: u8, hops: u8) -> Packet {
    icmpv6(HOST6[0], HOST6[1], kind, 0).ttl(hops)
}

#[test]
fn exactly_the_errors_that_connections_need_pass() {
    let mut lab = Lab::new().drops();
    for kind in 0..=u8::MAX {
        let outcome = if [3, 11, 12].contains(&kind) { "essential" } else { "default_drop" };
        assert_eq!(lab.run(&v4(kind)).counted, [outcome], "type {kind}");
    }
}

#[test]
fn exactly_discovery_listeners_and_errors_pass_in_ipv6() {
    let mut lab = Lab::new().drops();
    for kind in 0..=u8::MAX {
        let essential = [1, 2, 3, 4, 130, 131, 132, 133, 134, 135, 136, 137, 143].contains(&kind);
        let outcome = if essential { "essential" } else { "default_drop" };
        assert_eq!(lab.run(&v6(kind, 255)).counted, [outcome], "type {kind}");
    }
}

#[test]
fn discovery_from_beyond_this_link_is_dropped() {
    let mut lab = Lab::new().drops();
    for kind in 133..=137 {
        assert_eq!(lab.run(&v6(kind, 254)).counted, ["default_drop"], "type {kind}");
        assert_eq!(lab.run(&v6(kind, 1)).counted, ["default_drop"], "type {kind}");
    }
    assert_eq!(lab.run(&v6(143, 1)).counted, ["essential"], "listener reports have a hop limit of 1");
    assert_eq!(lab.run(&v6(131, 1).extension(0)).counted, ["essential"], "and a router-alert option before them");
}

#[test]
fn a_message_of_the_other_family_is_not_essential() {
    let mut lab = Lab::new().drops();
    assert_eq!(lab.run(&icmp("fe80::7", "fe80::1", 3, 4)).counted, ["default_drop"]);
    let six_in_four = foobar_tests::frames::protocol(ICMPV6, HOST[0], HOST[1]).payload(&[135, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(lab.run(&six_in_four.ttl(255)).counted, ["default_drop"]);
}

#[test]
fn answers_to_a_dhcp_client_pass_and_nothing_like_them() {
    let mut lab = Lab::new().drops();
    for (source, destination, outcome) in [
        ("192.0.2.1:67", "255.255.255.255:68", "essential"),
        ("192.0.2.1:68", "255.255.255.255:67", "default_drop"),
        ("192.0.2.1:67", "10.0.0.1:67", "default_drop"),
        ("192.0.2.1:547", "10.0.0.1:546", "default_drop"),
        ("[fe80::1]:547", "[fe80::7]:546", "essential"),
        ("[fe80::1]:546", "[fe80::7]:547", "default_drop"),
        ("[fe80::1]:67", "[fe80::7]:68", "default_drop"),
    ] {
        assert_eq!(lab.run(&udp(source, destination)).counted, [outcome], "{source} to {destination}");
        let stream = tcp(source, destination);
        assert_eq!(lab.run(&stream).counted, ["default_drop"], "{source} to {destination} by TCP");
    }
}

#[test]
fn a_rule_drops_what_the_default_does_not() {
    let mut lab = Lab::new().drops().rule("deny icmp/3").rule("deny icmpv6").rule("deny udp/68");
    assert_eq!(lab.run(&v4(3)).counted[0], "denied");
    assert_eq!(lab.run(&v4(11)).counted, ["essential"]);
    assert_eq!(lab.run(&v6(135, 255)).counted, ["denied", "rule deny icmpv6"]);
    assert_eq!(lab.run(&udp("192.0.2.1:67", "10.0.0.1:68")).counted, ["denied", "rule deny udp/68"]);
}

#[test]
fn a_later_fragment_of_an_error_is_not_essential() {
    let mut lab = Lab::new().drops();
    assert_eq!(lab.run(&v4(3).fragment(2, false)).counted, ["fragment_unknown"]);
    assert_eq!(lab.run(&v6(2, 255).fragment(2, false)).counted, ["fragment_unknown"]);
}
