//! The firewall while traffic flows: a rule holds from the moment its command returns, and counts what it decided.

use std::{
    net::{IpAddr, UdpSocket},
    time::Duration,
};

use foobar_tests::site::{BALANCER, INTRUDER, SERVICE, Site, Target, quiet};

const WEB: Target = Target::new(SERVICE, 80);
/// How long to wait for what must not come.
const SILENCE: Duration = Duration::from_millis(400);

#[test]
fn a_denied_source_is_cut_off_at_once_and_let_in_again() {
    let site = Site::with_web(2);
    let held = site.hold(WEB.from(INTRUDER).within(SILENCE), 5);
    let others = site.hold(WEB, 5);
    let intruder = WEB.from(INTRUDER);
    site.ask(intruder).expect("nothing is denied yet");

    site.tell(&["deny", "from", &INTRUDER.to_string(), "as", "intruder"]);
    site.ask(intruder.within(SILENCE)).expect_err("denied from now on");
    held.wait_for_end();
    let denied = packets(&site, "intruder");
    assert!(denied > 0 && site.outcome("denied") >= denied, "{denied}");

    site.tell(&["allow", "from", &INTRUDER.to_string(), "--before", "intruder"]);
    site.ask(intruder).expect("the first rule that matches decides");
    site.tell(&["rule", "rm", &site.rules()[0].id.to_string()]);
    site.ask(intruder.within(SILENCE)).expect_err("denied again");
    site.tell(&["rule", "rm", "intruder"]);
    site.ask(intruder).expect("no rule is left");
    assert!(others.wait_for(2).iter().all(|fate| fate.broken.is_none()), "others never noticed");
}

#[test]
fn behind_a_default_drop_the_service_is_reached_and_the_host_is_not() {
    let mut site = Site::quiet(2);
    site.foobar.configure("[firewall]\ndefault = \"drop\"\n");
    site.foobar.start();
    site.attach();
    site.add_service("web", SERVICE, &[1, 2].map(foobar_tests::site::backend));
    let _server = site.serve("lb", 8080);
    let host = Target::new(BALANCER, 8080);

    site.ask(WEB).expect("a service's own port needs no rule");
    let dropped = site.outcome("default_drop");
    site.ask(host.within(SILENCE)).expect_err("nothing allows it");
    assert!(site.outcome("default_drop") > dropped, "and that is counted");

    site.tell(&["allow", "tcp/8080"]);
    assert_eq!(site.ask(host).expect("allowed").backend, "lb");
    site.tell(&["rule", "rm", &site.rules()[0].id.to_string()]);
    site.ask(host.within(SILENCE)).expect_err("no rule allows it any more");
    site.ask(WEB).expect("the service is as it was");
}

#[test]
fn rules_count_every_packet_they_decide() {
    let site = Site::new(0);
    site.tell(&["deny", "udp/9001", "as", "bad"]);
    site.tell(&["allow", "udp/9002", "as", "good"]);
    site.tell(&["deny", "icmp/echo-request", "as", "ping"]);

    assert_eq!(arrived(&site, 9001, 25), 0, "denied");
    assert_eq!(arrived(&site, 9002, 30), 30, "allowed");
    assert_eq!(arrived(&site, 9003, 10), 10, "the default is pass");
    let mut ping = site.network.inside("client", "sh");
    quiet(ping.args(["-c", &format!("! ping -c 4 -i 0.05 -W 1 -q {BALANCER}")]));

    assert_eq!(packets(&site, "bad"), 25);
    assert_eq!(packets(&site, "good"), 30);
    assert_eq!(packets(&site, "ping"), 4);
    assert_eq!(site.outcome("denied"), 25 + 4);
    assert_eq!(site.outcome("allowed"), 30);
}

#[test]
fn a_rule_that_is_moved_behind_another_yields_to_it() {
    let site = Site::new(0);
    site.tell(&["allow", "udp", "as", "all"]);
    site.tell(&["deny", "udp/9001", "as", "late", "--after", "all"]);
    assert_eq!(arrived(&site, 9001, 5), 5, "the first rule decides");

    site.tell(&["deny", "udp/9001", "as", "early"]);

    assert_eq!(arrived(&site, 9001, 5), 0, "a live deny goes to the front");
    assert_eq!(["early", "all", "late"].map(|name| packets(&site, name)), [5, 5, 0]);
}

/// Sends datagrams to the balancer, and says how many its sockets got.
fn arrived(site: &Site, port: u16, count: usize) -> usize {
    let bind = |address: IpAddr, port| UdpSocket::bind((address, port)).expect("a socket");
    let server = site.network.within("lb", || bind(BALANCER, port));
    let client = site.on_client(|| bind(INTRUDER, 0));
    for _ in 0..count {
        client.send_to(b"hello", (BALANCER, port)).expect("sent");
    }
    server.set_read_timeout(Some(SILENCE)).expect("a timeout");
    std::iter::from_fn(|| server.recv(&mut [0; 16]).ok()).take(count).count()
}

fn packets(site: &Site, name: &str) -> u64 {
    let rules = site.rules();
    let found = rules.iter().find(|line| line.rule.ends_with(&format!(" as {name}")));
    found.unwrap_or_else(|| panic!("there is no rule {name}: {rules:?}")).packets
}
