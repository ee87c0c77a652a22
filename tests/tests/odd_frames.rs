//! Frames that are odd: cut, tagged, with options, extension headers, padding; in fragments; wrong on purpose.

use foobar_common::{
    Outcome,
    extension::{AUTHENTICATION, DESTINATION_OPTIONS, HIP, HOP_BY_HOP, KINDS, MOBILITY, ROUTING, SHIM6},
};
use foobar_tests::{
    frames::{Packet, icmp, protocol, tcp, udp},
    lab::Lab,
};

const FORWARDED: [&str; 2] = ["forwarded", "backend 10.1.0.2"];
const FORWARDED6: [&str; 2] = ["forwarded", "backend 2001:db8:2::2"];

fn lab() -> Lab {
    Lab::new()
        .drops()
        .rule("deny tcp/25")
        .rule("allow udp")
        .service("10.0.0.1", "tcp/80", &["10.1.0.2"])
        .service("10.0.0.1", "udp/53", &["10.1.0.2"])
        .service("2001:db8:1::1", "tcp/80", &["2001:db8:2::2"])
        .service("2001:db8:1::1", "udp/53", &["2001:db8:2::2"])
}

fn v4() -> Packet {
    tcp("192.0.2.7:4000", "10.0.0.1:80").payload(b"hello")
}

fn v6() -> Packet {
    tcp("[2001:db8::7]:4000", "[2001:db8:1::1]:80").payload(b"hello")
}

#[test]
fn every_prefix_of_a_frame_is_truncated() {
    let mut lab = lab();
    let host = lab.host();
    for sent in [
        v4(),
        v6(),
        v4().vlan(7).options(&[1; 8]),
        v6().qinq(1, 2).extension(DESTINATION_OPTIONS).extension(AUTHENTICATION).fragment(0, true),
        udp("192.0.2.7:4000", "10.0.0.1:53"),
        icmp("192.0.2.7", "10.0.0.1", 8, 0),
    ] {
        let whole = sent.bytes();
        for len in 0..whole.len() {
            let mut prefix = whole[..len].to_vec();
            assert_eq!(host.run(&mut prefix), Outcome::Truncated, "{len} bytes of {sent:?}");
            if len >= 14 {
                assert_eq!(lab.run_bytes(&whole[..len]).counted, ["truncated"], "{len} bytes of {sent:?}");
            }
        }
    }
}

#[test]
fn tags_are_looked_behind_up_to_two() {
    let mut lab = lab();
    for sent in [v4().vlan(1), v4().vlan(4095).vlan(2), v4().qinq(1, 2)] {
        let got = lab.run(&sent);
        assert_eq!(got.counted, FORWARDED, "{sent:?}");
        assert_eq!(got.frame, sent.to("10.1.0.2").bytes(), "tags stay");
    }
    assert_eq!(lab.run(&v6().qinq(1, 2)).counted, FORWARDED6);
    assert_eq!(lab.run(&v6().vlan(1).vlan(2).vlan(3)).counted, ["too_many_tags"]);
    assert_eq!(lab.run(&foobar_tests::frames::arp().vlan(3)).counted, ["not_ip"]);
}

#[test]
fn ports_are_found_behind_ipv4_options() {
    let mut lab = lab();
    for len in (4..=40).step_by(4) {
        assert_eq!(lab.run(&v4().options(&vec![1; len])).counted, FORWARDED, "{len} bytes");
    }
    let denied = tcp("192.0.2.7:4000", "10.0.0.1:25").options(&[7, 7, 4, 0, 0, 0, 0, 0]);
    assert_eq!(lab.run(&denied).counted, ["denied", "rule deny tcp/25"]);
}

#[test]
fn ports_are_found_behind_every_kind_of_extension_header() {
    let mut lab = lab();
    let denied = tcp("[2001:db8::7]:4000", "[2001:db8:1::1]:25");
    for kind in [HOP_BY_HOP, ROUTING, AUTHENTICATION, DESTINATION_OPTIONS, MOBILITY, HIP, SHIM6] {
        assert_eq!(lab.run(&v6().extension(kind)).counted, FORWARDED6, "{kind}");
        assert_eq!(lab.run(&denied.clone().extension(kind)).counted, ["denied", "rule deny tcp/25"], "{kind}");
    }
    let long = [&[0, 3], [1; 30].as_slice()].concat();
    assert_eq!(lab.run(&v6().extension_bytes(ROUTING, &long)).counted, FORWARDED6);
    let beyond = v6().extension_bytes(ROUTING, &[0, 200, 0, 0, 0, 0, 0, 0]);
    assert_eq!(lab.run(&beyond).counted, ["truncated"], "a header longer than the packet");
    assert_eq!(lab.run(&protocol(50, "2001:db8::7", "2001:db8:1::1")).counted, ["default_drop"], "ESP ends the walk");
    assert_eq!(lab.run(&protocol(59, "2001:db8::7", "2001:db8:1::1")).counted, ["default_drop"], "and so does nothing");
}

#[test]
fn an_atomic_fragment_is_a_whole_packet() {
    let mut lab = lab();
    assert_eq!(lab.run(&v6().fragment(0, false)).counted, FORWARDED6);
    assert_eq!(lab.run(&v6().fragment(2, false)).counted, ["fragment_unknown"], "it was no first");
}

#[test]
fn a_first_fragment_of_a_long_datagram_is_whole_enough() {
    let mut lab = Lab::new().drops().service("10.0.0.1", "udp/53", &["10.1.0.2"]);
    let long = udp("192.0.2.7:4000", "10.0.0.1:53").transport_bytes(4, &4000u16.to_be_bytes());
    assert_eq!(lab.run(&long.clone().fragment(0, true)).counted, FORWARDED);
    assert_eq!(lab.run(&long).counted, ["truncated"], "and nothing else is");
}

#[test]
fn fragments_made_to_deceive_are_dropped() {
    let mut lab = Lab::new().rule("deny tcp/25").service("10.0.0.1", "tcp/80", &["10.1.0.2"]);
    assert_eq!(lab.run(&v4().fragment(1, false)).counted, ["bad_header"], "it would overwrite the flags");
    assert_eq!(lab.run(&v6().fragment(1, true)).counted, ["bad_header"]);
    let tiny = tcp("192.0.2.7:4000", "10.0.0.1:25").ip_bytes(2, &28u16.to_be_bytes()).fragment(0, true);
    assert_eq!(lab.run(&tiny).counted, ["truncated"], "eight bytes of TCP hide its flags");
    // The protocol of a later fragment stands in the fragment header; here it is an extension header that hides it.
    let hidden = tcp("[2001:db8::7]:4000", "[2001:db8:1::1]:25").fragment(2, false).extension(DESTINATION_OPTIONS);
    assert_eq!(lab.run(&hidden).counted, ["fragment_unknown"]);
}

#[test]
fn padding_is_never_read_as_a_header() {
    let mut lab = lab();
    let got = lab.run(&v4().padded(120, 0xff));
    assert_eq!(got.counted, FORWARDED, "padding is harmless and counted with the frame");
    // The IP header says that there are 8 bytes of TCP; the other twelve are padding.
    assert_eq!(lab.run(&v4().ip_bytes(2, &28u16.to_be_bytes())).counted, ["truncated"]);
    assert_eq!(lab.run(&v6().ip_bytes(4, &8u16.to_be_bytes())).counted, ["truncated"]);
    assert_eq!(lab.run(&udp("192.0.2.7:1", "10.0.0.1:53").ip_bytes(2, &24u16.to_be_bytes())).counted, ["truncated"]);
    // A request in the padding is no query.
    let sent = tcp("192.0.2.7:1", "10.0.0.1:80").payload(b"GET / HTTP/1.1").ip_bytes(2, &40u16.to_be_bytes());
    assert_eq!(lab.run(&sent).counted, FORWARDED);
}

#[test]
fn headers_that_contradict_themselves_are_dropped() {
    let mut lab = lab();
    for (sent, outcome) in [
        (v4().ip_bytes(0, &[0x65]), "bad_header"),
        (v4().ip_bytes(0, &[0x44]), "bad_header"),
        (v4().ip_bytes(0, &[0x4f]), "bad_header"),
        (v4().ip_bytes(2, &19u16.to_be_bytes()), "bad_header"),
        (v4().ip_bytes(2, &2000u16.to_be_bytes()), "truncated"),
        (v6().ip_bytes(0, &[0x45]), "bad_header"),
        (v6().ip_bytes(4, &2000u16.to_be_bytes()), "truncated"),
        (v6().ip_bytes(4, &[0, 0]), "truncated"),
        (v4().transport_bytes(12, &[0x40]), "bad_header"),
        (v4().transport_bytes(12, &[0xf0]), "truncated"),
        (v6().transport_bytes(12, &[0]), "bad_header"),
        (udp("192.0.2.7:1", "10.0.0.1:53").transport_bytes(4, &[0, 7]), "bad_header"),
        (udp("192.0.2.7:1", "10.0.0.1:53").transport_bytes(4, &[0, 99]), "truncated"),
    ] {
        assert_eq!(lab.run(&sent).counted, [outcome], "{sent:?}");
    }
}

#[test]
fn addresses_that_are_never_on_the_wire_are_dropped() {
    let mut lab = lab();
    for (source, destination) in [
        ("224.0.0.1:1", "10.0.0.1:80"),
        ("239.255.255.255:1", "10.0.0.1:80"),
        ("255.255.255.255:1", "10.0.0.1:80"),
        ("[ff02::1]:1", "[2001:db8:1::1]:80"),
        ("[::ffff:192.0.2.7]:1", "[2001:db8:1::1]:80"),
        ("[2001:db8::7]:1", "[::ffff:10.0.0.1]:80"),
    ] {
        assert_eq!(lab.run(&tcp(source, destination)).counted, ["bad_address"], "{source} to {destination}");
    }
}

#[test]
fn a_jumbo_frame_is_forwarded_and_counted_whole() {
    let mut lab = lab();
    let sent = v4().payload(&[0x5a; 8900]);
    let got = lab.run(&sent);
    assert_eq!(got.counted, FORWARDED, "all of its bytes are counted");
    assert_eq!(got.frame, sent.to("10.1.0.2").bytes());
}

#[test]
fn a_denied_kind_of_extension_header_is_denied_wherever_it_stands() {
    for kind in KINDS {
        let mut lab = lab().rule(&format!("deny proto/{kind} as header"));
        let denied = ["denied", "rule header"];
        assert_eq!(lab.run(&v6()).counted, FORWARDED6, "{kind}");
        assert_eq!(lab.run(&v6().extension(kind)).counted, denied, "{kind}");
        let other = if kind == HOP_BY_HOP { ROUTING } else { HOP_BY_HOP };
        assert_eq!(lab.run(&v6().extension(other)).counted, FORWARDED6, "{kind}");
        assert_eq!(lab.run(&v6().extension(other).extension(kind)).counted, denied, "{kind}");
        assert_eq!(lab.run(&v6().extension(kind).extension(other)).counted, denied, "{kind}");
        let later = udp("[2001:db8::7]:4000", "[2001:db8:1::1]:53").extension(kind).fragment(2, false);
        assert_eq!(lab.run(&later).counted, ["allowed", "rule allow udp"], "{kind}: it stands behind an earlier rule");
    }
    let mut first = Lab::new().rules(&["deny ah", "allow udp"]);
    let later = udp("[2001:db8::7]:4000", "[2001:db8:1::1]:53").extension(AUTHENTICATION).fragment(2, false);
    assert_eq!(first.run(&later).counted, ["denied", "rule deny ah"]);
    assert_eq!(first.run(&protocol(AUTHENTICATION, "192.0.2.7", "10.0.0.1")).counted, ["denied", "rule deny ah"]);
}

#[test]
fn an_allowed_kind_of_extension_header_opens_nothing() {
    let mut lab = Lab::new().drops().rules(&["allow proto/60 as header", "deny tcp/25"]);
    let denied = tcp("[2001:db8::7]:4000", "[2001:db8:1::1]:25");
    assert_eq!(lab.run(&denied.extension(DESTINATION_OPTIONS)).counted, ["denied", "rule deny tcp/25"]);
    assert_eq!(lab.run(&v6().extension(DESTINATION_OPTIONS)).counted, ["default_drop"]);
    assert_eq!(lab.run(&protocol(60, "192.0.2.7", "10.0.0.1")).counted, ["allowed", "rule header"]);
}
