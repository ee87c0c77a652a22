//! Named sets through the loaded program: membership, live changes, ends, and other contents in one step.

use foobar_tests::{
    frames::{Packet, tcp, udp},
    lab::Lab,
};

const HERE: &str = "10.0.0.1:443";
const HERE_6: &str = "[2001:db8:1::1]:443";

fn outcome(lab: &mut Lab, frame: &Packet) -> String {
    lab.run(frame).counted[0].clone()
}

#[test]
fn a_set_is_prefixes_of_both_families_and_of_any_length() {
    let prefixes = ["192.0.2.0/25", "198.18.0.0/15", "203.0.113.7/32", "64.0.0.0/2", "10.1.0.0/20"];
    let prefixes_6 = ["2001:db8:bad::/48", "2001:db8::7/128", "3000::/4"];
    let mut lab = Lab::new().rule("deny from @bad").set("bad", &[&prefixes[..], &prefixes_6].concat());
    for (source, denied) in [
        ("192.0.2.127", true),
        ("192.0.2.128", false),
        ("198.19.255.255", true),
        ("198.17.255.255", false),
        ("203.0.113.7", true),
        ("203.0.113.6", false),
        ("10.1.15.255", true),
        ("10.1.16.0", false),
        ("64.0.0.0", true),
        ("126.1.2.3", true),
        ("128.0.0.0", false),
        ("[2001:db8:bad:ffff::1]", true),
        ("[2001:db8:bae::1]", false),
        ("[2001:db8::7]", true),
        ("[2001:db8::8]", false),
        ("[3fff::1]", true),
        ("[4000::1]", false),
    ] {
        let here = if source.starts_with('[') { HERE_6 } else { HERE };
        let expected = if denied { "denied" } else { "default_pass" };
        assert_eq!(outcome(&mut lab, &tcp(&format!("{source}:9"), here)), expected, "{source}");
    }
}

#[test]
fn sets_in_from_and_to_and_prefixes_beside_them_hold_together() {
    let mut lab = Lab::new()
        .drops()
        .set("office", &["192.0.2.0/24", "2001:db8:2::/48"])
        .set("servers", &["10.0.0.0/24", "2001:db8:1::/48"])
        .set("bad", &["192.0.2.66/32"])
        .rules(&[
            "deny tcp/25 to @servers as mail",
            "deny from @bad to @servers as bad",
            "allow tcp/443 from @office,198.51.100.0/24 as web",
            "allow udp from @office to @servers as both",
        ]);
    for (frame, counted) in [
        (tcp("192.0.2.1:9", HERE), &["allowed", "rule web"][..]),
        (tcp("198.51.100.9:9", HERE), &["allowed", "rule web"]),
        (tcp("203.0.113.1:9", HERE), &["default_drop"]),
        (tcp("192.0.2.66:9", HERE), &["denied", "rule bad"]),
        (tcp("192.0.2.66:9", "10.0.1.1:443"), &["allowed", "rule web"]),
        (tcp("198.51.100.9:9", "10.0.0.9:25"), &["denied", "rule mail"]),
        (udp("192.0.2.1:9", "10.0.0.9:53"), &["allowed", "rule both"]),
        (udp("192.0.2.1:9", "10.0.9.9:53"), &["default_drop"]),
        (udp("198.51.100.9:9", "10.0.0.9:53"), &["default_drop"]),
        (tcp("[2001:db8:2::1]:9", HERE_6), &["allowed", "rule web"]),
        (udp("[2001:db8:2::1]:9", HERE_6), &["allowed", "rule both"]),
        (udp("[2001:db8:3::1]:9", HERE_6), &["default_drop"]),
        (tcp("192.0.2.66:9", HERE).vlan(7), &["denied", "rule bad"]),
        (udp("192.0.2.1:9", "10.0.0.9:53").fragment(64, false), &["allowed", "rule both"]),
        (udp("[2001:db8:2::1]:9", HERE_6).extension(60), &["allowed", "rule both"]),
    ] {
        assert_eq!(lab.run(&frame).counted, counted);
        let host = lab.host();
        let expected = lab.run(&frame).outcome;
        assert_eq!(host.run(&mut frame.bytes()), expected, "the host says the same");
    }
}

#[test]
fn a_live_change_holds_at_once_and_publishes_nothing() {
    let mut lab = Lab::new().rule("deny from @bad").set("bad", &["192.0.2.0/24"]);
    let frames = [tcp("203.0.113.7:9", HERE), tcp("[2001:db8:bad::7]:9", HERE_6)];
    let generation = lab.datapath().number();
    for (frame, prefixes) in frames.iter().zip([
        ["203.0.113.7/32", "203.0.113.0/26", "203.0.112.0/20", "200.0.0.0/6"],
        ["2001:db8:bad::7/128", "2001:db8:bad::/64", "2001:db8:bad::/48", "2000::/3"],
    ]) {
        for prefix in prefixes {
            assert_eq!(outcome(&mut lab, frame), "default_pass", "before {prefix}");
            lab.add_to_set("bad", prefix);
            assert_eq!(outcome(&mut lab, frame), "denied", "{prefix}");
            lab.remove_from_set("bad", prefix);
        }
        for prefix in prefixes {
            lab.add_to_set("bad", prefix);
        }
        for prefix in prefixes {
            assert_eq!(outcome(&mut lab, frame), "denied", "{prefix} is still there");
            lab.remove_from_set("bad", prefix);
        }
        assert_eq!(outcome(&mut lab, frame), "default_pass");
    }
    assert_eq!(lab.datapath().number(), generation);
}

#[test]
fn other_contents_take_the_place_of_those_that_were() {
    let mut lab = Lab::new().rule("deny from @bad").set("bad", &["192.0.2.0/24", "2001:db8:bad::/48"]);
    let (old, new) = (tcp("192.0.2.7:9", HERE), tcp("203.0.113.7:9", HERE));
    let (old_6, new_6) = (tcp("[2001:db8:bad::7]:9", HERE_6), tcp("[2001:db8::7]:9", HERE_6));
    for _ in 0..3 {
        lab.reload_set("bad", &["203.0.113.7/32", "2001:db8::7/128"]);
        assert_eq!(
            [&old, &new, &old_6, &new_6].map(|frame| outcome(&mut lab, frame)),
            ["default_pass", "denied", "default_pass", "denied"]
        );
        lab.reload_set("bad", &["192.0.2.0/24", "2001:db8:bad::/48"]);
        assert_eq!(
            [&old, &new, &old_6, &new_6].map(|frame| outcome(&mut lab, frame)),
            ["denied", "default_pass", "denied", "default_pass"]
        );
    }
    lab.reload_set("bad", &[]);
    assert_eq!([&old, &old_6].map(|frame| outcome(&mut lab, frame)), ["default_pass", "default_pass"]);
}

#[test]
fn what_ends_is_denied_until_then() {
    let mut lab = Lab::new().rule("deny from @bad").set("bad", &[]);
    let frames = [tcp("192.0.2.7:9", HERE), tcp("[2001:db8:bad::7]:9", HERE_6)];
    for (frame, prefix) in frames.iter().zip(["192.0.2.0/25", "2001:db8:bad::/48"]) {
        lab.add_until("bad", prefix, 0);
        assert_eq!(outcome(&mut lab, frame), "default_pass", "over");
        lab.add_until("bad", prefix, 600);
        assert_eq!(outcome(&mut lab, frame), "denied");
    }
}
