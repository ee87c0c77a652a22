//! Rules with `limit` and `log` in the loaded program: what is over a limit is dropped, whoever else sends meanwhile.

use foobar_common::{Outcome, event::Kind};
use foobar_tests::{
    frames::{tcp, udp},
    lab::{INGRESS, Lab, run},
};

const HOST: &str = "10.0.0.1:9000";
const CLIENT: &str = "192.0.2.7:4000";

/// Outcomes of the same datagram, so many times.
fn outcomes(lab: &mut Lab, source: &str, times: usize) -> Vec<Outcome> {
    (0..times).map(|_| lab.run(&udp(source, HOST)).outcome).collect()
}

fn split(passed: usize, limited: usize) -> Vec<Outcome> {
    [vec![Outcome::Allowed; passed], vec![Outcome::Limited; limited]].concat()
}

#[test]
fn what_is_over_the_limit_is_dropped_whatever_stands_behind_and_counted_apart() {
    let mut lab = Lab::new().rules(&["allow udp/9000 limit 1/m burst 3 as dns", "allow udp"]);
    let sent = udp(CLIENT, HOST);
    for _ in 0..3 {
        assert_eq!(lab.run(&sent).counted, ["allowed", "rule dns"]);
    }
    let got = lab.run(&sent);
    assert_eq!(got.counted, ["limited"], "the rule counts what it let in");
    assert_eq!(lab.run(&udp("203.0.113.9:4000", HOST)).outcome, Outcome::Limited, "the rule has one bucket");
    let id = lab.rule_id(0);
    assert_eq!(lab.datapath().limited(id).expect("its counter").packets, 2);
    assert_eq!(lab.run(&udp(CLIENT, "10.0.0.1:9001")).outcome, Outcome::Allowed, "others have no limit");
}

#[test]
fn each_source_has_a_bucket_and_an_ipv6_network_has_one() {
    let mut lab = Lab::new().rule("allow udp limit 1/m per source burst 2");
    assert_eq!(outcomes(&mut lab, "192.0.2.7:1", 4), split(2, 2));
    assert_eq!(outcomes(&mut lab, "192.0.2.8:1", 4), split(2, 2));
    let mut six = |source: &str| lab.run(&udp(source, "[2001:db8:1::1]:9000")).outcome;
    let found = ["[2001:db8::1]:1", "[2001:db8::2]:1", "[2001:db8::ffff:1]:1", "[2001:db8:0:1::1]:1"].map(&mut six);
    assert_eq!(found, [Outcome::Allowed, Outcome::Allowed, Outcome::Limited, Outcome::Allowed]);
}

#[test]
fn a_limit_of_connections_counts_those_that_open_and_no_others() {
    let mut lab = Lab::new().rule("allow tcp limit 1 connections/m burst 1");
    let syn = tcp(CLIENT, HOST).syn();
    assert_eq!(lab.run(&syn).outcome, Outcome::Allowed);
    assert_eq!(lab.run(&syn).outcome, Outcome::Limited);
    for _ in 0..20 {
        assert_eq!(lab.run(&tcp(CLIENT, HOST)).outcome, Outcome::Allowed, "it opens nothing");
    }
    assert_eq!(lab.run(&syn).outcome, Outcome::Limited);
}

#[test]
fn a_bucket_survives_changes_that_keep_its_rule_and_a_new_rate_holds_at_once() {
    let named = "allow udp limit 1/m burst 3 as dns";
    let mut lab = Lab::new().rule(named);
    assert_eq!(outcomes(&mut lab, CLIENT, 4), split(3, 1));
    lab.becomes(&["deny tcp/1", named]);
    assert_eq!(outcomes(&mut lab, CLIENT, 2), split(0, 2), "it stands elsewhere, and is the same");
    lab.becomes(&["allow udp limit 1/m burst 5 as dns"]);
    assert_eq!(outcomes(&mut lab, CLIENT, 6), split(5, 1), "another limit under the same name");
    lab.becomes(&["allow udp limit 1/m per source burst 2 as dns"]);
    assert_eq!(outcomes(&mut lab, CLIENT, 3), split(2, 1));
    lab.becomes(&["allow udp limit 1/m per source burst 3 as dns"]);
    assert_eq!(outcomes(&mut lab, CLIENT, 4), split(3, 1));
    lab.becomes(&["allow udp as dns"]);
    assert_eq!(outcomes(&mut lab, CLIENT, 4), split(4, 0));
}

#[test]
fn asking_takes_nothing() {
    let mut lab = Lab::new().rule("allow udp limit 1/m per source burst 1");
    lab.publish();
    let sent = udp(CLIENT, HOST);
    for _ in 0..3 {
        let said = lab.datapath().explain(sent.bytes(), INGRESS);
        assert_eq!((said.outcome, said.within_limit), (Outcome::Allowed, Some(true)));
    }
    assert_eq!(lab.run(&sent).outcome, Outcome::Allowed);
    let said = lab.datapath().explain(sent.bytes(), INGRESS);
    assert_eq!((said.outcome, said.within_limit, said.rule), (Outcome::Limited, Some(false), Some(lab.rule_id(0))));
}

#[test]
fn many_sources_neither_relieve_a_heavy_one_nor_throttle_one_that_was_silent() {
    let mut lab = Lab::new().rule("allow udp limit 1/m per source burst 2");
    assert_eq!(outcomes(&mut lab, "192.0.2.7:1", 3), split(2, 1));
    let mut frame = udp("10.0.0.1:1", HOST).bytes();
    let before = lab.outcomes();
    let mut after = Vec::new();
    let mut rng = fastrand::Rng::with_seed(0x11_3175);
    let count = 200_000;
    for _ in 0..count {
        // The source's last three bytes; a datagram's checksum is not looked at.
        frame[27..30].copy_from_slice(&rng.u32(..).to_be_bytes()[..3]);
        run(lab.program(), &frame, &mut after);
    }
    let limited = Outcome::Limited.index();
    let by = lab.outcomes()[&limited][0] - before[&limited][0];
    // Three of one address among so many of 16 million are over its limit too, and few sets are full.
    assert!(by < count / 1_000, "{by} of {count} that sent about once");
    lab.refresh();
    assert_eq!(outcomes(&mut lab, "192.0.2.7:1", 1), split(0, 1), "limited as before");
    assert_eq!(outcomes(&mut lab, "192.0.2.99:1", 3), split(2, 1), "let in, and limited like any");
}

#[test]
fn what_a_rule_logs_is_shown_though_nobody_watches() {
    let mut lab = Lab::new().rules(&["deny udp/1 log as scan", "allow udp/2 limit 1/m burst 1 log", "allow udp/3"]);
    lab.publish();
    let mut events = lab.datapath().take_events().expect("nobody took them yet");
    for (port, outcome, rule) in
        [(1, Outcome::Denied, 0), (2, Outcome::Allowed, 1), (2, Outcome::Limited, 1), (3, Outcome::Allowed, 2)]
    {
        let sent = udp(CLIENT, &format!("10.0.0.1:{port}"));
        assert_eq!(lab.run(&sent).outcome, outcome);
        let shown = events.take();
        assert_eq!(shown.is_some(), port != 3, "port {port}");
        let Some(shown) = shown else { continue };
        assert_eq!((shown.head.outcome(), shown.head.kinds), (Some(outcome), Kind::Logged.bit()));
        assert_eq!((shown.head.rule, shown.front), (lab.rule_id(rule), sent.bytes()));
    }
}
