//! Every outcome, reached through the loaded program; every counter that moved is named, and nothing else moved.

use foobar_common::{Outcome, extension};
use foobar_tests::{
    frames::{arp, ethernet, icmp, icmpv6, protocol, tcp, udp},
    lab::{Lab, Way},
};
use foobar_userspace::domain::BackendState;

const CLIENT: &str = "192.0.2.7:4000";
const CLIENT6: &str = "[2001:db8::7]:4000";

/// A firewall and services of each kind.
fn lab() -> Lab {
    Lab::new()
        .drops()
        .rules(&[
            "deny from 203.0.113.0/24 as scanner",
            "allow tcp/22",
            "allow from 198.51.100.0/24",
            "deny from 2001:db8:bad::/48",
            "allow icmpv6/echo-request",
        ])
        .service("10.0.0.1", "tcp/80", &["10.1.0.2"])
        .service("10.0.0.1", "udp/53", &["10.1.0.3"])
        .service("10.0.0.1", "tcp/81", &["10.1.0.4"])
        .service("10.0.0.1", "tcp/82", &["10.1.0.5"])
        .service("10.0.0.1", "tcp/83", &["10.1.0.6"])
        .service("2001:db8:1::1", "tcp/80", &["2001:db8:2::2"])
        .service("2001:db8:1::1", "udp/53", &["2001:db8:2::3"])
        .service("2001:db8:1::1", "tcp/82", &["2001:db8:2::5"])
        .service("2001:db8:1::1", "tcp/83", &["2001:db8:2::6"])
        .way("10.1.0.4", Way::Elsewhere)
        .way("10.1.0.5", Way::Unresolved)
        .way("2001:db8:2::3", Way::Elsewhere)
        .way("2001:db8:2::5", Way::Unresolved)
        .with("10.1.0.6", BackendState::Drain)
        .with("2001:db8:2::6", BackendState::Drain)
}

#[test]
fn a_service_with_one_backend_gets_the_packet() {
    let mut lab = Lab::new().service("10.0.0.1", "tcp/80", &["10.1.0.2"]);
    let sent = tcp(CLIENT, "10.0.0.1:80").syn();

    let got = lab.run(&sent);

    assert_eq!(got.outcome, Outcome::Forwarded);
    assert_eq!(got.frame, sent.to("10.1.0.2").bytes());
    assert_eq!(got.counted, ["forwarded", "backend 10.1.0.2", "connection 10.1.0.2"]);
}

#[test]
fn every_outcome_is_reached_and_counted_alone() {
    let mut lab = lab();
    let alone = [
        (arp(), Outcome::NotIp),
        (ethernet(0x88cc, &[2, 7, 4]), Outcome::NotIp),
        (icmp("192.0.2.7", "10.0.0.1", 3, 4), Outcome::Essential),
        (icmpv6("2001:db8::7", "2001:db8:1::1", 2, 0), Outcome::Essential),
        (tcp(CLIENT, "10.0.0.1:23").syn(), Outcome::DefaultDrop),
        (tcp(CLIENT6, "[2001:db8:1::1]:23").syn(), Outcome::DefaultDrop),
        (tcp(CLIENT, "10.0.0.1:80").fragment(2, false), Outcome::FragmentUnknown),
        (tcp(CLIENT6, "[2001:db8:1::1]:80").fragment(2, false), Outcome::FragmentUnknown),
        (tcp(CLIENT, "10.0.0.1:80").cut(40), Outcome::Truncated),
        (tcp(CLIENT6, "[2001:db8:1::1]:80").cut(60), Outcome::Truncated),
        (tcp(CLIENT, "10.0.0.1:80").ip_bytes(0, &[0x44]), Outcome::BadHeader),
        (tcp(CLIENT6, "[2001:db8:1::1]:80").ip_bytes(0, &[0x40]), Outcome::BadHeader),
        (tcp("224.0.0.5:1", "10.0.0.1:80"), Outcome::BadAddress),
        (tcp("[ff02::5]:1", "[2001:db8:1::1]:80"), Outcome::BadAddress),
        (tcp(CLIENT, "10.0.0.1:80").qinq(1, 2).vlan(3), Outcome::TooManyTags),
        (tcp(CLIENT, "10.0.0.1:83").syn(), Outcome::NoBackend),
        (tcp(CLIENT6, "[2001:db8:1::1]:83").syn(), Outcome::NoBackend),
        (tcp(CLIENT, "10.0.0.1:82").syn(), Outcome::Unresolved),
        (tcp(CLIENT6, "[2001:db8:1::1]:82").syn(), Outcome::Unresolved),
    ];
    for (sent, outcome) in alone {
        let got = lab.run(&sent);
        assert_eq!(got.counted, [outcome.name()], "{sent:?}");
        assert_eq!((got.outcome, got.action), (outcome, outcome.action()));
        assert_eq!(got.frame, sent.bytes(), "what is not forwarded is not touched");
    }
}

#[test]
fn what_no_rule_matches_passes_where_that_is_the_default() {
    let mut lab = Lab::new().rule("deny tcp/25");
    for sent in [
        tcp(CLIENT, "10.0.0.1:80"),
        udp(CLIENT6, "[2001:db8:1::1]:53"),
        tcp(CLIENT, "10.0.0.1:80").options(&[7, 3, 4]),
        protocol(47, "192.0.2.7", "10.0.0.1"),
    ] {
        assert_eq!(lab.run(&sent).counted, ["default_pass"], "{sent:?}");
    }
    assert_eq!(lab.run(&tcp(CLIENT, "10.0.0.1:25")).counted, ["denied", "rule deny tcp/25"]);
}

#[test]
fn rules_count_what_they_decided() {
    let mut lab = lab();
    for (sent, counted) in [
        (tcp("203.0.113.9:1", "10.0.0.1:22"), ["denied", "rule scanner"]),
        (tcp(CLIENT, "10.0.0.1:22").syn(), ["allowed", "rule allow tcp/22"]),
        (tcp(CLIENT6, "[2001:db8:1::1]:22").syn(), ["allowed", "rule allow tcp/22"]),
        (protocol(112, "198.51.100.3", "10.0.0.1"), ["allowed", "rule allow from 198.51.100.0/24"]),
        (tcp("[2001:db8:bad::1]:1", "[2001:db8:1::1]:443"), ["denied", "rule deny from 2001:db8:bad::/48"]),
        (icmpv6("2001:db8::7", "2001:db8:1::9", 128, 0), ["allowed", "rule allow icmpv6/echo-request"]),
    ] {
        assert_eq!(lab.run(&sent).counted, counted, "{sent:?}");
    }
}

#[test]
fn answers_to_what_this_host_sent_pass_and_nothing_else_does() {
    let mut lab = lab();
    for (sent, unlike) in [
        (tcp("10.0.0.1:4000", "192.0.2.7:443").syn(), tcp("192.0.2.7:443", "10.0.0.1:4001")),
        (tcp("[2001:db8:1::1]:4000", "[2001:db8::7]:443").syn(), udp("[2001:db8::7]:443", "[2001:db8:1::1]:4000")),
        (udp("10.0.0.1:4000", "192.0.2.7:53"), udp("192.0.2.8:53", "10.0.0.1:4000")),
        (udp("[2001:db8:1::1]:4000", "[2001:db8::7]:53"), udp("[2001:db8::7]:54", "[2001:db8:1::1]:4000")),
        (icmp("10.0.0.9", "192.0.2.7", 8, 0), icmp("192.0.2.7", "10.0.0.9", 8, 0)),
        (icmpv6("2001:db8:1::1", "2001:db8::7", 128, 0), icmpv6("2001:db8::8", "2001:db8:1::1", 129, 0)),
        (protocol(47, "10.0.0.1", "192.0.2.7"), protocol(48, "192.0.2.7", "10.0.0.1")),
        (protocol(47, "2001:db8:1::1", "2001:db8::7"), protocol(48, "2001:db8::7", "2001:db8:1::1")),
    ] {
        let answer = sent.clone().answered();
        assert_eq!(lab.run(&answer).counted, ["default_drop"], "before {sent:?}");
        lab.send(&sent);
        assert_eq!(lab.run(&answer).counted, ["reply"], "{sent:?}");
        assert_eq!(lab.run(&unlike).counted, ["default_drop"], "{unlike:?}");
        assert_eq!(lab.run(&answer.clone().fragment(2, false)).counted, ["fragment_unknown"], "{sent:?}");
    }
}

#[test]
fn what_rules_and_services_are_for_is_theirs_whatever_this_host_sent() {
    let mut lab = lab();
    lab.send(&tcp("10.0.0.1:80", "192.0.2.7:4000"));
    assert_eq!(lab.run(&tcp(CLIENT, "10.0.0.1:80")).counted, ["forwarded", "backend 10.1.0.2"]);
    lab.send(&udp("10.0.0.1:4000", "203.0.113.9:53"));
    lab.send(&udp("10.0.0.1:4000", "198.51.100.9:53"));
    assert_eq!(lab.run(&udp("203.0.113.9:53", "10.0.0.1:4000")).counted, ["denied", "rule scanner"]);
    let allowed = ["allowed", "rule allow from 198.51.100.0/24"];
    assert_eq!(lab.run(&udp("198.51.100.9:53", "10.0.0.1:4000")).counted, allowed);
    assert_eq!(lab.datapath().states().expect("states").len(), 1, "what rules decide is not noted");
}

#[test]
fn services_of_both_families_and_protocols_are_reached() {
    let mut lab = lab();
    for (sent, backend) in [
        (tcp(CLIENT, "10.0.0.1:80"), "10.1.0.2"),
        (udp(CLIENT, "10.0.0.1:53"), "10.1.0.3"),
        (tcp(CLIENT6, "[2001:db8:1::1]:80"), "2001:db8:2::2"),
    ] {
        let got = lab.run(&sent);
        assert_eq!(got.frame, sent.to(backend).bytes());
        assert_eq!(got.counted, ["forwarded".to_owned(), format!("backend {backend}")]);
    }
    for (sent, backend) in
        [(tcp(CLIENT, "10.0.0.1:81"), "10.1.0.4"), (udp(CLIENT6, "[2001:db8:1::1]:53"), "2001:db8:2::3")]
    {
        let got = lab.run(&sent);
        assert_eq!((got.outcome, got.frame), (Outcome::Redirected, sent.to(backend).bytes()));
        assert_eq!(got.counted, ["redirected".to_owned(), format!("backend {backend}")]);
    }
}

#[test]
fn another_address_port_or_protocol_is_not_the_service() {
    let mut lab = lab();
    for sent in [
        tcp(CLIENT, "10.0.0.2:80"),
        tcp(CLIENT, "10.0.0.1:53"),
        udp(CLIENT, "10.0.0.1:80"),
        udp(CLIENT6, "[2001:db8:1::2]:53"),
        tcp(CLIENT6, "[2001:db8:1::1]:81"),
    ] {
        assert_eq!(lab.run(&sent).counted, ["default_drop"], "{sent:?}");
    }
}

#[test]
fn too_many_extension_headers_are_dropped_and_as_many_as_are_walked_are_not() {
    let mut lab = lab();
    let with = |count| {
        (0..count).fold(tcp(CLIENT6, "[2001:db8:1::1]:80"), |sent, _| sent.extension(extension::DESTINATION_OPTIONS))
    };
    assert_eq!(lab.run(&with(extension::MAX_EXTENSIONS)).outcome, Outcome::Forwarded);
    assert_eq!(lab.run(&with(extension::MAX_EXTENSIONS + 1)).counted, ["too_many_extensions"]);
}

#[test]
fn a_request_and_a_connection_are_counted_at_their_backend() {
    let mut lab = lab();
    let request = tcp(CLIENT, "10.0.0.1:80").payload(b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(lab.run(&request).counted, ["forwarded", "backend 10.1.0.2", "query 10.1.0.2"]);
    let more = tcp(CLIENT, "10.0.0.1:80").payload(b"and the rest of a body");
    assert_eq!(lab.run(&more).counted, ["forwarded", "backend 10.1.0.2"]);
    let elsewhere = tcp(CLIENT, "10.0.0.1:81").syn();
    let counted = lab.run(&elsewhere).counted;
    assert_eq!(counted, ["redirected", "backend 10.1.0.4", "connection 10.1.0.4", "query 10.1.0.4"]);
}

#[test]
fn a_frame_for_a_group_is_judged_by_rules_and_the_default_alone() {
    let v4 = || tcp(CLIENT, "10.0.0.1:80");
    let v6 = || tcp(CLIENT6, "[2001:db8:1::1]:80");
    let groups = [[0xff; 6], [1, 0, 0x5e, 0, 0, 1], [0x33, 0x33, 0, 0, 0, 1]];
    let mut lab = lab();
    assert_eq!(lab.run(&v4().addressed([0x52, 0x54, 0, 0, 0, 9])).counted, ["forwarded", "backend 10.1.0.2"]);
    assert_eq!(lab.run(&v6().addressed([0x52, 0x54, 0, 0, 0, 9])).counted, ["forwarded", "backend 2001:db8:2::2"]);
    for group in groups {
        assert_eq!(lab.run(&v4().addressed(group)).counted, ["default_drop"], "{group:x?}");
        assert_eq!(lab.run(&v6().addressed(group)).counted, ["default_drop"], "{group:x?}");
        let allowed = tcp("198.51.100.7:4000", "10.0.0.1:80").addressed(group);
        assert_eq!(lab.run(&allowed).counted, ["allowed", "rule allow from 198.51.100.0/24"], "{group:x?}");
        let denied = tcp("[2001:db8:bad::7]:4000", "[2001:db8:1::1]:80").addressed(group);
        assert_eq!(lab.run(&denied).counted, ["denied", "rule deny from 2001:db8:bad::/48"], "{group:x?}");
    }
}
