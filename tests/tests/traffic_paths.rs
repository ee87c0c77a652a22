//! The way to the backends and the interface under foobar change while it works.

use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

use foobar_tests::site::{NOBODY, PATIENCE, SERVICE, SERVICE_6, Site, Target, backend, backend_6, quiet, wait_until};
use foobar_userspace::api::types::{AttachedMode, BackendStatus};

const WEB: Target = Target::new(SERVICE, 80);
/// What is sent to nobody in particular is asked for again this often.
const SHORT: Duration = Duration::from_millis(250);

#[test]
fn a_backend_with_a_new_mac_is_found_again() {
    let site = Site::with_web(1);
    site.ask(WEB).expect("an answer");

    site.network.ip("b1", "link set eth0 address 02:00:00:00:77:01\n");

    let took = answered_again(&site, WEB);
    let hop = first_backend(&site).next_hop.expect("a next hop");
    assert_eq!(hop.mac, "02:00:00:00:77:01");
    assert!(took < Duration::from_secs(3), "it announced itself, and that took {took:?}");
}

#[test]
fn an_ipv6_backend_with_a_new_mac_is_found_again() {
    let site = Site::new(1);
    site.add_service("web", SERVICE_6, &[backend_6(1)]);
    let web = Target::new(SERVICE_6, 80);
    site.ask(web).expect("an answer");

    site.network.ip("b1", "link set eth0 address 02:00:00:00:77:01\n");

    answered_again(&site, web);
    assert_eq!(first_backend(&site).next_hop.expect("a next hop").mac, "02:00:00:00:77:01");
}

#[test]
fn a_backend_whose_interface_comes_back_is_used_again() {
    let site = Site::with_web(1);
    site.ask(WEB).expect("an answer");

    site.network.ip("b1", "link set eth0 down\n");
    site.ask(WEB.within(SHORT)).expect_err("there is nobody");
    site.network.ip("b1", "link set eth0 up\n");

    answered_again(&site, WEB);
}

#[test]
fn a_backend_that_nobody_is_has_a_problem_and_its_packets_are_counted() {
    let site = Site::new(1);
    let (address, nobody) = (SERVICE.to_string(), NOBODY.to_string());
    site.tell(&["service", "add", "web", &address, "tcp/80", "--backend", &nobody]);
    wait_until("the problem to be said", PATIENCE, || {
        first_backend(&site).problem.is_some_and(|problem| problem.contains("does not answer ARP on eth0"))
    });
    let before = site.outcome("unresolved");

    site.ask(WEB.within(SHORT)).expect_err("there is nobody");

    assert!(site.outcome("unresolved") > before, "counted as unresolved");
    assert!(site.tell(&["status"]).contains("does not answer ARP"), "said to people too");
    site.tell(&["backend", "add", "web", &backend(1).to_string()]);
    site.tell(&["backend", "rm", "web", &nobody, "--now"]);
    answered_again(&site, WEB);
}

#[test]
fn an_interface_that_vanishes_is_attached_again_when_it_returns() {
    let site = Site::with_web(2);
    let load = site.load(WEB.within(SHORT), 50);
    load.wait_for(20);

    site.network.ip("sw", "link delete lb\n");
    wait_until("status to say absent", PATIENCE, || site.status().interfaces[0].mode == AttachedMode::Absent);
    assert!(site.status().warnings.iter().any(|warning| warning.contains("eth0 is not there")), "and to warn");
    site.network.plug_balancer();

    let took = wait_until("the interface to be attached again", PATIENCE, || {
        site.status().interfaces[0].mode == AttachedMode::Native
    });
    assert!(took < Duration::from_secs(6), "it is looked for every second, and this took {took:?}");
    answered_again(&site, WEB);
    assert_eq!(site.status().interfaces.len(), 1);
}

#[test]
fn an_interface_that_was_away_with_the_daemon_is_attached_again() {
    let mut site = Site::with_web(2);
    site.ask(WEB).expect("an answer");
    site.foobar.kill();

    site.network.ip("sw", "link delete lb\n");
    site.foobar.start();
    assert_eq!(site.status().interfaces[0].mode, AttachedMode::Absent);
    site.network.plug_balancer();

    answered_again(&site, WEB);
    assert_eq!(site.status().interfaces[0].mode, AttachedMode::Native);
}

#[test]
fn generic_mode_works_and_is_said() {
    let site = Site::new(2);
    site.tell(&["detach", "eth0"]);
    site.tell(&["attach", "eth0", "--mode", "generic", "--peer", &site.peer()]);
    site.add_service("web", SERVICE, &[1, 2].map(backend));

    for _ in 0..50 {
        site.ask(WEB).expect("an answer");
    }

    assert_eq!(site.status().interfaces[0].mode, AttachedMode::Generic);
    assert!(site.tell(&["status"]).contains("generic"), "said to people too");
    assert!(site.outcome("forwarded") >= 50 * 4, "foobar forwarded them");
    let link = quiet(Command::new("ip").args(["-n", &site.network.names.namespace("lb"), "link", "show", "eth0"]));
    assert!(link.contains("xdpgeneric"), "{link}");
}

fn first_backend(site: &Site) -> BackendStatus {
    site.status().services[0].backends[0].clone()
}

/// How long it took until requests were answered three times in a row.
fn answered_again(site: &Site, target: Target) -> Duration {
    let start = Instant::now();
    let target = target.within(SHORT);
    site.on_client(|| {
        wait_until("requests to be answered again", PATIENCE, || {
            let answered = (0..3).all(|_| target.ask().is_ok());
            if !answered {
                thread::sleep(SHORT / 10);
            }
            answered
        })
    });
    start.elapsed()
}
