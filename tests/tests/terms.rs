//! Rules that end, through the loaded program and with real traffic: the kernel alone ends them.

use std::{
    thread,
    time::{Duration, Instant},
};

use foobar_tests::{
    frames::{tcp, udp},
    lab::Lab,
    site::{INTRUDER, SERVICE, Site, Target},
};
use foobar_userspace::api::types::RuleLine;

const HERE: &str = "10.0.0.1:443";
const WEB: Target = Target::new(SERVICE, 80);
const SILENCE: Duration = Duration::from_millis(300);

#[test]
fn a_rule_whose_time_is_over_decides_nothing_and_those_behind_it_do() {
    let mut lab = Lab::new().drops().rules(&[
        "deny from 10.9.8.7 for 10m as scanner",
        "deny tcp/443 from 10.9.0.0/16 to 10.0.0.1 for 10m as pair",
        "deny tcp/443 for 10m as port",
        "allow from 10.0.0.0/8 as inside",
    ]);
    let (scanner, neighbour, stranger) = (tcp("10.9.8.7:9", HERE), tcp("10.9.8.8:9", HERE), tcp("192.0.2.7:9", HERE));
    for (ends, [by_scanner, by_neighbour, by_stranger]) in [
        (None, [&["denied", "rule scanner"][..], &["denied", "rule pair"], &["denied", "rule port"]]),
        (Some(1), [&["denied", "rule scanner"], &["denied", "rule port"], &["denied", "rule port"]]),
        (Some(0), [&["denied", "rule port"], &["denied", "rule port"], &["denied", "rule port"]]),
        (Some(2), [&["allowed", "rule inside"], &["allowed", "rule inside"], &["default_drop"]]),
    ] {
        if let Some(index) = ends {
            lab.end(index);
        }
        assert_eq!(lab.run(&scanner).counted, by_scanner, "{ends:?} ended");
        assert_eq!(lab.run(&neighbour).counted, by_neighbour, "{ends:?} ended");
        assert_eq!(lab.run(&stranger).counted, by_stranger, "{ends:?} ended");
    }
}

#[test]
fn an_answer_that_only_a_rule_whose_time_is_over_decides_is_noted() {
    let mut lab = Lab::new().drops().rules(&["allow udp from 192.0.2.0/24 for 10m as short"]);
    let (question, answer) = (udp("10.0.0.1:4000", "192.0.2.7:53"), udp("192.0.2.7:53", "10.0.0.1:4000"));
    lab.send(&question);
    assert_eq!(lab.run(&answer).counted, ["allowed", "rule short"]);

    lab.end(0);

    assert_eq!(lab.run(&answer).counted, ["default_drop"], "it was not noted while a rule decided");
    lab.send(&question);
    assert_eq!(lab.run(&answer).counted, ["reply"]);
}

#[test]
fn a_rule_ends_without_a_daemon_and_is_not_there_again_after_a_restart() {
    let mut site = Site::with_web(1);
    let intruder = WEB.from(INTRUDER);
    let began = Instant::now();
    site.tell(&["deny", "from", &INTRUDER.to_string(), "for", "8s", "as", "short"]);
    site.tell(&["deny", "tcp/8080", "for", "1h", "as", "long"]);
    site.ask(intruder.within(SILENCE)).expect_err("denied");
    assert!(left(&site, "long").is_some_and(|left| (3_500..=3_600).contains(&left)), "{:?}", site.rules());
    site.foobar.kill();

    thread::sleep(Duration::from_secs(4).saturating_sub(began.elapsed()));
    site.ask(intruder.within(SILENCE)).expect_err("denied until its time is over, without a daemon too");
    thread::sleep(Duration::from_secs(10).saturating_sub(began.elapsed()));
    site.ask(intruder).expect("the kernel ended it");

    site.foobar.start();
    site.ask(intruder).expect("a restart does not revive it");
    assert!(left(&site, "long").is_some_and(|left| left <= 3_591), "it goes on: {:?}", site.rules());
    thread::sleep(Duration::from_secs(7));
    assert!(site.rules().iter().all(|line| !line.rule.ends_with("as short")), "{:?}", site.rules());
    assert!(site.foobar.last_words().contains("its time is over"), "{}", site.foobar.last_words());
}

#[test]
fn the_same_command_renews_a_rule_and_its_counter_goes_on() {
    let site = Site::with_web(1);
    let intruder = WEB.from(INTRUDER).within(SILENCE);
    let source = INTRUDER.to_string();
    site.tell(&["deny", "from", &source, "for", "10s"]);
    site.ask(intruder).expect_err("denied");
    let before = site.rules()[0].clone();
    let generation = site.status().generation;

    let said = site.tell(&["deny", "from", &source, "for", "1h"]);

    assert!(said.contains(&format!("rule {} is renewed: deny from {source} for 1h", before.id)), "{said}");
    assert_eq!(site.status().generation, generation, "nothing was published");
    thread::sleep(Duration::from_secs(12));
    site.ask(intruder).expect_err("denied for an hour");
    let rules = site.rules();
    assert_eq!(rules.len(), 1, "{rules:?}");
    assert!(rules[0].id == before.id && rules[0].packets > before.packets, "{rules:?} after {before:?}");
}

fn left(site: &Site, name: &str) -> Option<u64> {
    let named = |line: &RuleLine| line.rule.ends_with(&format!(" as {name}"));
    site.rules().iter().find(|line| named(line))?.left
}
