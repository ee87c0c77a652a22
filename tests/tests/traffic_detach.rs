//! `foobar detach` takes everything off, with a daemon and without one, and nothing else does.

use std::{path::Path, process::Command};

use foobar_tests::site::{BALANCER, PATIENCE, SERVICE, Site, Target, quiet, wait_until};

const WEB: Target = Target::new(SERVICE, 80);

#[test]
fn detach_takes_everything_off_while_the_daemon_runs() {
    let mut site = Site::with_web(2);
    site.ask(WEB).expect("an answer");

    let said = site.tell(&["detach"]);

    assert!(said.contains("eth0 is detached"), "{said}");
    reaches_the_host_itself(&site);
    assert!(site.status().interfaces.is_empty());
    site.foobar.stop();
    site.tell(&["detach", "--pin-dir", &site.foobar.pins.display().to_string()]);
    nothing_is_pinned(&site);
}

#[test]
fn detach_works_without_a_daemon() {
    let mut site = Site::with_web(2);
    site.foobar.kill();
    site.ask(WEB).expect("the program works by itself");

    let said = site.tell(&["detach", "--pin-dir", &site.foobar.pins.display().to_string()]);

    assert!(said.contains("eth0"), "{said}");
    nothing_is_pinned(&site);
    reaches_the_host_itself(&site);
}

#[test]
fn after_a_detach_foobar_starts_anew() {
    let mut site = Site::with_web(2);
    site.foobar.kill();
    site.tell(&["detach", "--pin-dir", &site.foobar.pins.display().to_string()]);

    site.foobar.start();
    assert!(site.status().interfaces.is_empty(), "what was taken off stays off");
    site.attach();
    site.wait_for_next_hops();

    site.ask(WEB).expect("the service of the running configuration");
}

#[test]
fn one_interface_is_detached_alone() {
    let site = Site::with_web(1);
    site.network.ip("lb", "link add other0 type veth peer name other1\nlink set other0 up\nlink set other1 up\n");
    site.tell(&["attach", "other0"]);

    site.tell(&["detach", "other0"]);

    site.ask(WEB).expect("eth0 is as it was");
    let names: Vec<_> = site.status().interfaces.into_iter().map(|interface| interface.name).collect();
    assert_eq!(names, ["eth0"]);
    assert!(
        !links(&site, "lb").lines().any(|line| line.contains("other0") && line.contains("xdp")),
        "nothing is on it"
    );
}

fn nothing_is_pinned(site: &Site) {
    let pins = &site.foobar.pins;
    assert!(!pins.exists(), "{} is gone", pins.display());
    let lock = Path::new(pins).with_file_name("pins-lock");
    assert!(!lock.exists(), "{} is gone", lock.display());
}

/// No program is left on the balancer or on its peer, and the host answers by itself.
fn reaches_the_host_itself(site: &Site) {
    for host in ["lb", "sw"] {
        // The kernel takes a program off a little after its link is gone.
        wait_until("no program to be left", PATIENCE, || !links(site, host).contains("xdp"));
    }
    let _server = site.serve("lb", 80);
    assert_eq!(site.ask(WEB).expect("the host's own server").backend, "lb");
    assert_eq!(site.ask(Target::new(BALANCER, 80)).expect("the host's own server").backend, "lb");
}

fn links(site: &Site, host: &str) -> String {
    quiet(Command::new("ip").args(["-n", &site.network.names.namespace(host), "link", "show"]))
}
