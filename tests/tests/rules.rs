//! The rules through the loaded program: first match wins, whatever it speaks of, and a denial beats a service.

use foobar_tests::{
    frames::{protocol, tcp, udp},
    lab::Lab,
};

const INSIDE: &str = "10.9.8.7:4000";
const OUTSIDE: &str = "192.0.2.7:4000";
const HERE: &str = "10.0.0.1:443";

#[test]
fn the_first_rule_that_matches_wins_over_both_dimensions() {
    let mut port_first = Lab::new().drops().rules(&["allow tcp/443", "deny from 10.0.0.0/8"]);
    assert_eq!(port_first.run(&tcp(INSIDE, HERE)).counted, ["allowed", "rule allow tcp/443"]);
    assert_eq!(port_first.run(&tcp(INSIDE, "10.0.0.1:80")).counted, ["denied", "rule deny from 10.0.0.0/8"]);

    let mut source_first = Lab::new().drops().rules(&["deny from 10.0.0.0/8", "allow tcp/443"]);
    assert_eq!(source_first.run(&tcp(INSIDE, HERE)).counted, ["denied", "rule deny from 10.0.0.0/8"]);
    assert_eq!(source_first.run(&tcp(OUTSIDE, HERE)).counted, ["allowed", "rule allow tcp/443"]);
}

#[test]
fn a_rule_that_names_source_destination_and_port_holds_for_all_of_them_together() {
    let mut lab = Lab::new().drops().rules(&[
        "allow tcp/443 from 10.9.8.0/24 as office",
        "deny tcp from 10.9.0.0/16 to 10.0.0.1 as neighbours",
        "allow tcp/443 from 10.0.0.0/8 to 10.0.0.0/30 as inside",
        "allow udp/53 to 2001:db8:1::53,10.0.0.2 as resolver",
        "deny from 10.7.0.0/16 to 10.0.0.3 as both",
    ]);
    for (frame, counted) in [
        (tcp(INSIDE, HERE), &["allowed", "rule office"][..]),
        (tcp(INSIDE, "10.0.0.1:80"), &["denied", "rule neighbours"]),
        (tcp("10.9.9.1:1", HERE), &["denied", "rule neighbours"]),
        (tcp("10.9.9.1:1", "10.0.0.2:443"), &["allowed", "rule inside"]),
        (tcp("10.9.9.1:1", "10.0.0.4:443"), &["default_drop"]),
        (tcp(OUTSIDE, HERE), &["default_drop"]),
        (udp(OUTSIDE, "10.0.0.2:53"), &["allowed", "rule resolver"]),
        (udp(OUTSIDE, "10.0.0.1:53"), &["default_drop"]),
        (udp("[2001:db8::1]:9", "[2001:db8:1::53]:53"), &["allowed", "rule resolver"]),
        (udp("[2001:db8::1]:9", "[2001:db8:1::54]:53"), &["default_drop"]),
        (udp("10.7.1.1:9", "10.0.0.3:9"), &["denied", "rule both"]),
        (tcp("10.7.1.1:9", "10.0.0.3:443"), &["allowed", "rule inside"]),
        (tcp("10.7.1.1:9", "10.0.0.3:80"), &["denied", "rule both"]),
    ] {
        assert_eq!(lab.run(&frame).counted, counted);
    }
}

#[test]
fn a_longer_prefix_does_not_beat_an_earlier_rule() {
    let mut lab = Lab::new().drops().rules(&[
        "deny from 10.9.8.7",
        "allow from 10.9.0.0/16",
        "deny from 10.9.8.0/24 as late",
        "deny from 10.0.0.0/8 as rest",
    ]);
    assert_eq!(lab.run(&tcp(INSIDE, HERE)).counted[0], "denied");
    assert_eq!(lab.run(&tcp("10.9.8.8:1", HERE)).counted, ["allowed", "rule allow from 10.9.0.0/16"]);
    assert_eq!(lab.run(&tcp("10.8.0.1:1", HERE)).counted, ["denied", "rule rest"]);
    assert_eq!(lab.run(&tcp("11.0.0.0:1", HERE)).counted, ["default_drop"]);
}

#[test]
fn ipv6_prefixes_of_every_length_hold_at_their_edges() {
    for len in [0, 1, 15, 16, 17, 24, 31, 32, 63, 64, 65, 127, 128] {
        let bits: u128 = 0x2001_0db8_dead_beef_1234_5678_9abc_def0;
        let mask = if len == 0 { 0 } else { u128::MAX << (128 - len) };
        let prefix = std::net::Ipv6Addr::from_bits(bits & mask);
        let mut lab = Lab::new().rule(&format!("deny from {prefix}/{len} as it"));
        let mut run = |bits: u128| {
            let source = std::net::Ipv6Addr::from_bits(bits);
            lab.run(&tcp(&format!("[{source}]:1"), "[2001:db8:1::1]:443")).counted
        };
        assert_eq!(run(bits | !mask & 0xffff), ["denied", "rule it"], "/{len}");
        if len > 0 {
            assert_eq!(run(bits ^ 1 << (128 - len)), ["default_pass"], "/{len}");
        }
    }
}

#[test]
fn a_denial_beats_a_service_and_an_allowance_does_not_keep_from_it() {
    let lab = || Lab::new().drops().service("10.0.0.1", "tcp/443", &["10.1.0.2"]);
    let mut denied = lab().rule("deny tcp/443");
    assert_eq!(denied.run(&tcp(OUTSIDE, HERE)).counted, ["denied", "rule deny tcp/443"]);
    let mut allowed = lab().rule("allow tcp/443");
    assert_eq!(allowed.run(&tcp(OUTSIDE, HERE)).counted, ["forwarded", "rule allow tcp/443", "backend 10.1.0.2"]);
    let mut silent = lab();
    assert_eq!(silent.run(&tcp(OUTSIDE, HERE)).counted, ["forwarded", "backend 10.1.0.2"]);
}

#[test]
fn a_rule_for_everything_ends_the_list() {
    let mut lab = Lab::new().rules(&["allow udp/53", "deny as everything", "allow tcp"]);
    assert_eq!(lab.run(&udp(OUTSIDE, "10.0.0.1:53")).counted, ["allowed", "rule allow udp/53"]);
    for sent in [tcp(OUTSIDE, HERE), tcp("[2001:db8::1]:1", "[2001:db8::2]:1"), protocol(89, "10.9.8.7", "224.0.0.5")] {
        assert_eq!(lab.run(&sent).counted, ["denied", "rule everything"]);
    }
}

#[test]
fn other_protocols_are_matched_by_number() {
    let mut lab = Lab::new().drops().rules(&["allow vrrp", "deny proto/47", "allow esp"]);
    for (number, counted) in [(112, "allowed"), (47, "denied"), (50, "allowed"), (89, "default_drop")] {
        assert_eq!(lab.run(&protocol(number, "192.0.2.7", "10.0.0.1")).counted[0], counted, "{number}");
        assert_eq!(lab.run(&protocol(number, "2001:db8::1", "2001:db8::2")).counted[0], counted, "{number}");
    }
}

#[test]
fn ranges_hold_at_both_ends() {
    let mut lab = Lab::new().drops().rule("allow tcp/1000-1999,3000 as it");
    for (port, counted) in
        [(999, "default_drop"), (1000, "allowed"), (1999, "allowed"), (2000, "default_drop"), (3000, "allowed")]
    {
        assert_eq!(lab.run(&tcp(OUTSIDE, &format!("10.0.0.1:{port}"))).counted[0], counted, "{port}");
    }
}

#[test]
fn pairs_beyond_the_dense_table_are_found() {
    let rule = |n: u32| format!("allow tcp/{} from 10.{}.{}.0/24", 2 * n + 1, n / 200, n % 200);
    let rules: Vec<_> = (0..2_000).map(rule).collect();
    let mut lab = Lab::new().drops().rules(&rules.iter().map(String::as_str).collect::<Vec<_>>());
    let of = |source: u32, port: u32| {
        let source = format!("10.{}.{}.9:4000", source / 200, source % 200);
        tcp(&source, &format!("10.0.0.1:{}", 2 * port + 1))
    };
    for n in (0..2_000).step_by(97) {
        assert_eq!(lab.run(&of(n, n)).counted, ["allowed".to_owned(), format!("rule {}", rule(n))], "{n}");
        for (source, port) in [(n, (n + 1) % 2_000), ((n + 7) % 2_000, n)] {
            assert_eq!(lab.run(&of(source, port)).counted, ["default_drop"], "{source} {port}");
        }
    }
}
