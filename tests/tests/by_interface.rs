//! Rules `on` an interface: through the loaded program in both directions, and where interfaces come and go.

use std::time::Duration;

use foobar_tests::{
    frames::{tcp, udp},
    lab::Lab,
    site::{BALANCER, PATIENCE, Site, Target, wait_until},
};

const OUTSIDE: &str = "192.0.2.7:4000";
const SILENCE: Duration = Duration::from_millis(300);

fn lab(rules: &[&str]) -> Lab {
    Lab::new().drops().comes_in_by("eth0").rules(rules)
}

#[test]
fn a_rule_holds_on_its_interfaces_alone() {
    let mut lab = lab(&[
        "deny tcp/25 on wan as elsewhere",
        "allow tcp/25 on eth0,wan as mail",
        "allow to 10.0.0.2 on wan as other",
        "allow tcp/443 to 10.0.0.1 on eth0 as web",
        "deny tcp/443 from 192.0.2.0/24 as outside",
        "allow udp from 192.0.2.0/24 on eth0 as udp",
        "allow on wan as rest",
    ]);
    for (frame, counted) in [
        (tcp(OUTSIDE, "10.0.0.1:25"), &["allowed", "rule mail"][..]),
        (tcp(OUTSIDE, "10.0.0.1:25").vlan(7), &["allowed", "rule mail"]),
        (tcp(OUTSIDE, "10.0.0.1:443"), &["allowed", "rule web"]),
        (tcp(OUTSIDE, "10.0.0.2:443"), &["denied", "rule outside"]),
        (tcp("198.51.100.1:9", "10.0.0.2:443"), &["default_drop"]),
        (udp(OUTSIDE, "10.0.0.2:53"), &["allowed", "rule udp"]),
        (udp("198.51.100.1:9", "10.0.0.2:53"), &["default_drop"]),
    ] {
        assert_eq!(lab.run(&frame).counted, counted, "{frame:?}");
    }
}

#[test]
fn a_rule_on_every_packet_of_an_interface_decides_there() {
    let mut here = lab(&["deny on eth0", "allow tcp/443"]);
    assert_eq!(here.run(&tcp(OUTSIDE, "10.0.0.1:443")).counted, ["denied", "rule deny on eth0"]);
    let mut elsewhere = lab(&["deny on wan", "allow tcp/443"]);
    assert_eq!(elsewhere.run(&tcp(OUTSIDE, "10.0.0.1:443")).counted, ["allowed", "rule allow tcp/443"]);
}

#[test]
fn an_answer_is_taken_to_come_in_where_the_packet_went_out() {
    let (question, answer) = (udp("10.0.0.1:4000", "192.0.2.7:53"), udp("192.0.2.7:53", "10.0.0.1:4000"));
    let mut decided = lab(&["allow udp on eth0 as here"]);
    decided.send(&question);
    assert_eq!(decided.run(&answer).counted, ["allowed", "rule here"]);
    let mut undecided = lab(&["allow udp on wan as there"]);
    assert_eq!(undecided.run(&answer).counted, ["default_drop"]);
    undecided.send(&question);
    assert_eq!(undecided.run(&answer).counted, ["reply"]);
}

#[test]
fn a_rule_follows_an_interface_that_is_made_anew() {
    let site = Site::new(0);
    let _server = site.serve("lb", 8080);
    let host = Target::new(BALANCER, 8080);
    site.ask(host).expect("nothing is denied yet");
    site.tell(&["deny", "tcp/8080", "on", "eth0", "as", "closed"]);
    site.ask(host.within(SILENCE)).expect_err("denied on eth0");
    let said = site.foobar.ask(&["explain", "tcp 10.0.0.9:9 > 10.0.0.2:8080 on eth0"]);
    assert!(said.stdout.contains("deny tcp/8080 on eth0"), "{said:?}");
    let said = site.foobar.ask(&["deny", "tcp/8081", "on", "eht0", "as", "typo"]);
    assert!(said.stderr.contains("did you mean `eth0`?"), "{said:?}");
    site.tell(&["rule", "rm", "typo"]);
    let before = site.status().interfaces[0].ifindex;

    site.network.ip("lb", "link delete eth0\n");
    site.network.plug_balancer();

    wait_until("the new interface to be attached", PATIENCE, || {
        site.status().interfaces.iter().any(|interface| interface.ifindex != 0 && interface.ifindex != before)
    });
    // The new one has another MAC address.
    site.network.ip("client", "neigh flush dev eth0\n");
    let denied = site.rules()[0].packets;
    site.ask(host.within(SILENCE)).expect_err("denied on the new one");
    assert!(site.rules()[0].packets > denied, "by the rule: {:?}", site.rules());
    site.tell(&["rule", "rm", "closed"]);
    site.ask(host).expect("no rule is left");
}
