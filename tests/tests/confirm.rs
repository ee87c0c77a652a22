//! A change that waits for confirmation, with real packets: nobody has to be alive for what was before to come back.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use foobar_tests::site::{BALANCER, PATIENCE, SERVICE, Site, Target, backend};

const WEB: Target = Target::new(SERVICE, 80);
const CUTTING: &str = "[firewall]\ndefault = \"pass\"\nrules = [\"deny icmp as cut\"]\n";
/// Seconds that a change waits in these tests, and after how many it may be undone: whole seconds are counted.
const WITHIN: Duration = Duration::from_secs(3);
/// What starting and ending processes may take on a busy machine.
const SLACK: Duration = Duration::from_secs(6);
/// Long enough for what was in flight to arrive.
const FLIGHT: Duration = Duration::from_millis(250);

/// A site on which the client is pinging; the file to apply is one that denies it, with the interface as it is.
fn site(rules: &str) -> (Site, String) {
    let site = Site::new(0);
    let path = site.foobar.directory.join("new.toml");
    let interfaces = format!("interfaces = [{{ name = \"eth0\", peer = \"{}\" }}]\n", site.peer());
    fs::write(&path, interfaces + rules).expect("written");
    (site, path.display().to_string())
}

#[test]
fn a_dead_daemon_locks_nobody_out() {
    let (mut site, file) = site(CUTTING);
    let pings = site.pings(BALANCER);
    pings.answer_after(Instant::now(), PATIENCE);
    let asked = Instant::now();
    site.tell(&["apply", &file, "--confirm-within", "3s"]);
    let applied = Instant::now();
    site.foobar.kill();

    let back = pings.answer_after(applied + FLIGHT, PATIENCE);
    assert!(back >= asked + WITHIN, "{:?} after it was asked for", back - asked);
    assert!(back <= applied + WITHIN + Duration::from_secs(1) + SLACK, "{:?} after it was applied", back - applied);
    assert!(!pings.answered_between(applied + FLIGHT, back), "it was cut meanwhile");

    site.foobar.start();
    let status = site.status();
    assert!(status.pending.is_none() && site.rules().is_empty(), "what was before is what runs: {status:?}");
    pings.answer_after(Instant::now(), SLACK);
    assert!(!site.foobar.ask(&["confirm"]).refused().0.is_empty(), "it is too late");
    site.tell(&["deny", "udp/9"]);
}

#[test]
fn the_daemon_follows_what_packets_see() {
    let (site, file) = site(CUTTING);
    let pings = site.pings(BALANCER);
    let said = site.foobar.ask(&["apply", &file, "--confirm-within", "2s"]);
    assert!(said.stderr.contains("unconfirmed"), "{said:?}");
    assert!(said.done().contains("+ rule 1: deny icmp as cut"));
    let applied = Instant::now();
    assert_eq!(site.rule_texts(), ["deny icmp as cut"]);
    let pending = site.status().pending.expect("it waits");
    assert!(pending.seconds_left <= 3 && pending.changes == ["+ rule 1: deny icmp as cut"], "{pending:?}");

    pings.answer_after(applied + FLIGHT, PATIENCE);
    foobar_tests::site::wait_until("the daemon to follow", PATIENCE, || site.status().pending.is_none());
    assert_eq!(site.rule_texts(), [""; 0]);
    site.tell(&["allow", "tcp/22"]);
}

#[test]
fn a_start_that_fails_leaves_the_deadline_of_what_it_does_not_know() {
    let (mut site, file) = site(CUTTING);
    let pings = site.pings(BALANCER);
    pings.answer_after(Instant::now(), PATIENCE);
    site.tell(&["apply", &file, "--confirm-within", "20s"]);
    let applied = Instant::now();
    site.foobar.kill();
    let service = |n: u32| {
        format!(
            "[[service]]\nname = \"s{n}\"\naddress = \"10.0.0.{n}\"\nports = \"tcp/80\"\nbackends = [{{ address = \
             \"10.1.0.1\" }}]\n"
        )
    };
    site.foobar.configure(&(1..=65).map(service).collect::<String>());
    let strange = site.foobar.directory.join("state-2").display().to_string();
    let args: Vec<_> = site.foobar.run_args();
    let args = args.iter().map(|arg| if *arg == site.foobar.state().display().to_string() { &strange } else { arg });

    let (error, _) = site.foobar.ask(&args.map(String::as_str).collect::<Vec<_>>()).refused();

    assert_eq!(error, "more than 64 services");
    let failed = Instant::now();
    assert!(!pings.answered_between(applied + FLIGHT, failed), "it undoes nothing");
    pings.answer_after(failed, PATIENCE);
}

#[test]
fn a_start_before_the_deadline_goes_on_waiting() {
    let (mut site, file) = site(CUTTING);
    let pings = site.pings(BALANCER);
    site.tell(&["apply", &file, "--confirm-within", "90s"]);
    site.foobar.kill();
    site.foobar.start();
    let cut = Instant::now();
    let pending = site.status().pending.expect("it waits still");
    assert!(pending.seconds_left <= 91, "{pending:?}");
    assert_eq!(site.rule_texts(), ["deny icmp as cut"]);
    thread::sleep(FLIGHT);
    assert!(!pings.answered_between(cut + FLIGHT, Instant::now()), "a start undoes nothing");

    site.tell(&["rollback"]);
    pings.answer_after(Instant::now(), SLACK);
    assert!(site.status().pending.is_none() && site.rules().is_empty());
}

#[test]
fn what_is_confirmed_stays_and_meanwhile_nothing_else_changes() {
    let (mut site, _) = site(CUTTING);
    site.tell(&["allow", "tcp/22", "as", "ssh"]);
    let pings = site.pings(BALANCER);
    site.tell(&["deny", "icmp", "as", "cut", "--confirm-within", "60s"]);
    for words in [
        &["deny", "udp/9"][..],
        &["rule", "rm", "ssh"],
        &["rule", "rm", "cut", "--force"],
        &["service", "add", "web", "10.77.0.100", "tcp/80", "--backend", "10.77.0.11"],
        &["attach", "eth1"],
    ] {
        let (error, hint) = site.foobar.ask(words).refused();
        assert!(error.contains("a change waits for confirmation, for "), "{words:?}: {error}");
        assert_eq!(hint, "`foobar confirm` or `foobar rollback` first");
    }
    site.tell(&["confirm"]);
    assert!(site.foobar.ask(&["rollback"]).refused().0.contains("no change waits"));
    let cut = Instant::now();
    site.foobar.kill();
    site.foobar.start();
    assert_eq!(site.rule_texts(), ["deny icmp as cut", "allow tcp/22 as ssh"]);
    assert!(!pings.answered_between(cut + FLIGHT, Instant::now()), "it is denied for good");

    site.tell(&["rule", "rm", "cut", "--confirm-within", "60s"]);
    pings.answer_after(Instant::now(), SLACK);
    site.tell(&["rollback"]);
    assert_eq!(site.rule_texts(), ["deny icmp as cut", "allow tcp/22 as ssh"]);
}

#[test]
fn counters_of_rules_that_come_back_go_on() {
    let (site, file) = site("[firewall]\ndefault = \"pass\"\nrules = [\"deny udp/9\"]\n");
    site.tell(&["allow", "icmp", "as", "ping"]);
    let pings = site.pings(BALANCER);
    pings.answer_after(Instant::now(), PATIENCE);
    let before = site.rules()[0].clone();
    site.tell(&["apply", &file, "--confirm-within", "60s"]);
    assert_eq!(site.rule_texts(), ["deny udp/9"]);
    site.tell(&["rollback"]);
    let after = site.rules()[0].clone();
    assert!(after.id == before.id && after.packets >= before.packets, "{before:?} {after:?}");
}

#[test]
fn connections_outlive_a_change_of_backends_that_is_undone() {
    let site = Site::with_web(3);
    let path = site.foobar.directory.join("new.toml");
    let service = format!(
        "[[service]]\nname = \"web\"\naddress = \"{SERVICE}\"\nports = \"tcp/80\"\nbackends = [{{ address = \"{}\" }}, {{ address = \
         \"{}\" }}]\n",
        backend(3),
        backend(2)
    );
    let interfaces = format!("interfaces = [{{ name = \"eth0\", peer = \"{}\" }}]\n", site.peer());
    site.tell(&["backend", "rm", "web", &backend(3).to_string(), "--now"]);
    fs::write(&path, format!("{interfaces}{service}")).expect("written");
    let old = site.hold(WEB, 20);
    old.wait_for(2);
    site.tell(&["apply", &path.display().to_string(), "--confirm-within", "3s"]);
    site.wait_for_next_hops();
    let amid = site.hold(WEB, 20);
    amid.wait_for(2);
    foobar_tests::site::wait_until("the change to be undone", PATIENCE, || site.status().pending.is_none());
    let states: Vec<_> =
        site.status().services[0].backends.iter().map(|backend| (backend.address, backend.state.to_string())).collect();
    let wanted =
        [(1, "ready"), (2, "ready"), (3, "removing")].map(|(number, state)| (backend(number), state.to_owned()));
    assert_eq!(states, wanted, "who may have connections of the change drains");
    for held in [old, amid] {
        let fates = held.wait_for(4);
        assert!(fates.iter().all(|fate| fate.broken.is_none()), "held connections break: {fates:?}");
    }
}

#[test]
fn connections_outlive_it_without_a_daemon_too() {
    let mut site = Site::with_web(2);
    let path = site.foobar.directory.join("new.toml");
    let interfaces = format!("interfaces = [{{ name = \"eth0\", peer = \"{}\" }}]\n", site.peer());
    let service = format!(
        "[[service]]\nname = \"web\"\naddress = \"{SERVICE}\"\nports = \"tcp/80\"\nbackends = [{{ address = \"{}\" }}]\n",
        backend(1)
    );
    fs::write(&path, format!("{interfaces}{service}")).expect("written");
    site.tell(&["apply", &path.display().to_string(), "--confirm-within", "3s"]);
    let applied = Instant::now();
    let amid = site.hold(WEB, 30);
    site.foobar.kill();
    thread::sleep((applied + WITHIN + SLACK).saturating_duration_since(Instant::now()));
    let fates = amid.wait_for(4);
    assert!(fates.iter().all(|fate| fate.broken.is_none()), "held connections break: {fates:?}");
    site.foobar.start();
    let fates = amid.wait_for(4);
    assert!(fates.iter().all(|fate| fate.broken.is_none()), "held connections break: {fates:?}");
}
