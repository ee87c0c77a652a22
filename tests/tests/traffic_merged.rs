//! What an interface does to frames before XDP sees them: packets that are merged are not sent on, and tags are not hidden.

use std::fs;

use foobar_tests::site::{SERVICE, Site, backend, quiet, said};
use foobar_userspace::api::types::AttachedMode;

const GRO: &str = "`ethtool -K eth0 gro off`";

/// A feature of the balancer's interface is turned on or off.
fn turn(site: &Site, interface: &str, feature: &str, wanted: &str) {
    quiet(site.network.inside("lb", "ethtool").args(["-K", interface, feature, wanted]));
}

/// Whether a feature is on, by the name that `ethtool -k` shows.
fn is_on(site: &Site, feature: &str) -> bool {
    let shown = quiet(site.network.inside("lb", "ethtool").args(["-k", "eth0"]));
    let line = shown.lines().find_map(|line| line.strip_prefix(feature)).expect("the feature is shown");
    line.trim_start_matches(": ").starts_with("on")
}

fn attach(site: &Site, mode: &str) -> foobar_tests::site::Said {
    site.foobar.ask(&["attach", "eth0", "--mode", mode, "--peer", &site.peer()])
}

fn add(site: &Site) -> foobar_tests::site::Said {
    let (service, backend) = (SERVICE.to_string(), backend(1).to_string());
    site.foobar.ask(&["service", "add", "web", &service, "tcp/80", "--forward", "tunnel", "--backend", &backend])
}

#[test]
fn what_services_send_on_is_not_merged_before() {
    let mut site = Site::quiet(1);
    site.foobar.start();
    turn(&site, "eth0", "gro", "on");
    attach(&site, "generic").done();
    site.tell(&["deny", "tcp/9"]);
    let path = site.foobar.directory.join("site.toml");
    let text = format!(
        "interfaces = [{{ name = \"eth0\", mode = \"generic\", peer = \"{}\" }}]\n[[service]]\nname = \"web\"\naddress = \
         \"{SERVICE}\"\nports = \"tcp/80\"\nforward = \"tunnel\"\nbackends = [{{ address = \"{}\" }}]\n",
        site.peer(),
        backend(1)
    );
    fs::write(&path, text).expect("written");
    let path = path.display().to_string();
    for refused in [add(&site), site.foobar.ask(&["apply", &path]), site.foobar.ask(&["apply", "--dry-run", &path])] {
        let (error, hint) = refused.refused();
        assert!(error.contains("eth0") && error.contains("generic-receive-offload is on"), "{error}");
        assert!(hint.contains(GRO), "{hint}");
    }
    assert!(site.status().services.is_empty());

    turn(&site, "eth0", "gro", "off");
    add(&site).done();
    turn(&site, "eth0", "gro", "on");
    site.tell(&["deny", "tcp/10"]);
    let warnings = site.status().warnings;
    assert!(warnings.iter().any(|warning| warning.contains(GRO)), "who turns it on later is told: {warnings:?}");
    site.tell(&["detach"]);
    let (error, hint) = attach(&site, "generic").refused();
    assert!(error.contains("service web") && hint.contains(GRO), "{error}: {hint}");
    let (_, hint) = site.foobar.ask(&["apply", &path]).refused();
    assert!(hint.contains(GRO), "{hint}");
    assert!(site.status().interfaces.is_empty());
    attach(&site, "native").done();
}

#[test]
fn a_driver_without_a_native_mode_is_asked_the_same() {
    let site = Site::with_web(1);
    site.tell(&["service", "rm", "web"]);
    add(&site).done();
    site.network.ip("lb", "link add wide0 type bridge\n");
    turn(&site, "wide0", "gro", "on");
    let (error, hint) = site.foobar.ask(&["attach", "wide0"]).refused();
    assert!(error.contains("wide0") && hint.contains("`ethtool -K wide0 gro off`"), "{error}: {hint}");
    turn(&site, "wide0", "gro", "off");
    site.network.ip("lb", "link add below0 type veth peer name far0\nlink set below0 master wide0\n");
    turn(&site, "below0", "gro", "on");
    let (error, hint) = site.foobar.ask(&["attach", "wide0"]).refused();
    assert!(error.contains("wide0") && error.contains("of below0, which it stands on"), "{error}");
    assert!(hint.contains("`ethtool -K below0 gro off`"), "{hint}");
    turn(&site, "below0", "gro", "off");
    site.tell(&["attach", "wide0"]);
    assert_eq!(site.status().interfaces[1].mode, AttachedMode::Generic);
}

#[test]
fn tags_are_not_hidden_while_the_program_is_there() {
    let mut site = Site::quiet(0);
    site.foobar.start();
    let both = ["rx-vlan-offload", "rx-vlan-stag-hw-parse"];
    assert!(both.iter().all(|feature| is_on(&site, feature)), "as a veth is made");
    for mode in ["native", "generic"] {
        let done = attach(&site, mode).done();
        assert!(done.contains("rxvlan and rx-vlan-stag-hw-parse is off"), "{done}");
        assert!(!both.iter().any(|feature| is_on(&site, feature)), "{mode}");
        site.foobar.kill();
        site.foobar.start();
        assert!(!both.iter().any(|feature| is_on(&site, feature)), "it is attached still");
        site.tell(&["detach"]);
        assert!(both.iter().all(|feature| is_on(&site, feature)), "{mode}");
    }

    turn(&site, "eth0", "rxvlan", "off");
    let done = attach(&site, "native").done();
    assert!(done.contains("; until it is detached, rx-vlan-stag-hw-parse is off"), "{done}");
    site.foobar.kill();
    let mut detach = site.network.inside("lb", &site.foobar.binary.display().to_string());
    said(detach.args(["detach", "--pin-dir"]).arg(&site.foobar.pins)).done();
    assert!(!is_on(&site, both[0]) && is_on(&site, both[1]), "as it was before, without a daemon too");
}
