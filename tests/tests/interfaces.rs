//! The program stays on the interface that it is on, whatever that is called and wherever the next daemon looks.

use std::{collections::BTreeMap, fs, process::Command, thread, time::Duration};

use foobar_tests::site::{Foobar, PATIENCE, SERVICE, Site, Target, backend, quiet, said, wait_until};
use foobar_userspace::api::types::AttachedMode;

const WEB: Target = Target::new(SERVICE, 80);

#[test]
fn a_start_in_another_namespace_is_refused_and_the_traffic_goes_on() {
    let mut site = Site::with_web(2);
    let load = site.load(WEB, 100);
    load.wait_for(30);
    site.foobar.kill();
    let own = site.foobar.netns.clone();

    // The client's eth0 has the same name, and often the same index.
    for host in ["client", "sw"] {
        let there = programs(&site, host);
        site.foobar.netns = site.network.names.namespace(host);
        let args = site.foobar.run_args();
        let (error, hint) = site.foobar.ask(&args.iter().map(String::as_str).collect::<Vec<_>>()).refused();
        assert!(error.contains("is not in this network namespace: eth0 (index "), "{error}");
        assert!(hint.contains("--netns"), "{hint}");
        assert_eq!(programs(&site, host), there, "nothing is attached or detached there");
        load.wait_for(30);
    }
    site.foobar.netns = own;
    site.foobar.start();
    site.wait_for_next_hops();

    load.wait_for(30);
    assert_eq!(load.end().failed, BTreeMap::new());
}

#[test]
fn a_start_without_descriptors_takes_nothing_off() {
    let mut site = Site::with_web(1);
    site.foobar.kill();

    for limit in (20..32).step_by(2) {
        let mut command = Command::new("timeout");
        command.args(["--signal=KILL", "2", "prlimit", &format!("--nofile={limit}")]).arg(&site.foobar.binary);
        println!("{limit}: {:?}", said(command.args(site.foobar.run_args())));
        assert_eq!(programs(&site, "lb").len(), 1, "after a start with {limit} descriptors");
        site.ask(WEB).expect("the program works by itself");
    }
    site.foobar.start();
    assert_eq!(site.status().interfaces[0].mode, AttachedMode::Native);
}

#[test]
fn an_interface_that_is_renamed_keeps_the_program() {
    let mut site = Site::with_web(2);
    let load = site.load(WEB, 100);
    load.wait_for(30);

    site.network.ip("lb", "link set eth0 name lan0\n");
    wait_until("the new name to be said", PATIENCE, || renamed(&site));
    assert_eq!(site.status().interfaces[0].mode, AttachedMode::Native);
    site.foobar.kill();
    load.wait_for(30);
    site.foobar.start();
    assert!(renamed(&site), "{:?}", site.status().warnings);
    site.wait_for_next_hops();
    let (error, _) = site.foobar.ask(&["attach", "lan0"]).refused();
    assert!(error.contains("lan0 is attached already, by the name eth0"), "{error}");
    load.wait_for(30);

    site.foobar.stop();
    site.foobar.configure(&web(&format!("{{ name = \"lan0\", peer = \"{}\" }}", site.peer())));
    site.foobar.start();
    site.wait_for_next_hops();
    load.wait_for(30);
    assert_eq!(load.end().failed, BTreeMap::new());
    let status = site.status();
    assert_eq!((status.interfaces[0].name.as_str(), status.interfaces[0].mode), ("lan0", AttachedMode::Native));
    assert_eq!(status.interfaces[0].peer, Some(site.peer()));
    assert!(!renamed(&site) && status.interfaces.len() == 1, "{status:?}");
}

#[test]
fn a_new_interface_by_an_old_name_is_attached_beside_the_old_one() {
    let site = Site::new(0);
    let has = |name: &str| links(&site, "lb").lines().any(|line| line.contains(name) && line.contains("xdp"));
    site.network.ip("lb", "link add wan0 type veth peer name wan1\nlink set wan0 up\nlink set wan1 up\n");
    site.tell(&["attach", "wan0"]);
    site.network.ip("lb", "link set wan0 name old0\nlink add wan0 type veth peer name wan2\n");

    wait_until("both to have the program", PATIENCE, || has(" wan0@") && has(" old0@"));

    assert!(site.status().warnings.iter().any(|warning| warning.contains("wan0 is called old0")));
    site.tell(&["detach", "wan0"]);
    wait_until("neither to have it", PATIENCE, || !has(" wan0@") && !has(" old0@"));
}

#[test]
fn detaching_another_pin_directory_leaves_the_daemon_that_answers_alone() {
    let site = Site::with_web(1);
    let other = another(&site);
    let pins = other.pins.display().to_string();

    let (error, hint) = site.foobar.ask(&["detach", "--pin-dir", &pins]).refused();

    assert!(error.contains(&pins) && error.contains(&site.foobar.pins.display().to_string()), "{error}");
    assert!(hint.contains("--socket"), "{hint}");
    site.ask(WEB).expect("it is still attached");
    assert_eq!(site.status().interfaces.len(), 1);
    let own = format!("{}/", site.foobar.pins.display());
    assert!(site.tell(&["detach", "--pin-dir", &own]).contains("eth0 is detached"));
}

#[test]
fn another_mode_is_refused_while_attached_and_status_says_what_is() {
    let mut site = Site::quiet(2);
    site.foobar.configure(&web(&format!("{{ name = \"eth0\", peer = \"{}\" }}", site.peer())));
    site.foobar.start();
    site.wait_for_next_hops();

    let (error, hint) = site.foobar.ask(&["attach", "eth0", "--mode", "generic", "--peer", &site.peer()]).refused();
    assert!(error.contains("eth0 is attached in native mode"), "{error}");
    assert!(hint.contains("`foobar detach eth0`, then `foobar attach eth0 --mode generic`"), "{hint}");
    assert!(site.status().warnings.iter().all(|warning| !warning.contains("mode")), "nothing else is wished for");

    site.foobar.stop();
    let generic = format!("{{ name = \"eth0\", mode = \"generic\", peer = \"{}\" }}", site.peer());
    site.foobar.configure(&web(&generic));
    site.foobar.start();
    let status = site.status();
    assert_eq!(status.interfaces[0].mode, AttachedMode::Native);
    assert!(status.warnings.iter().any(|warning| warning.contains("cannot go over to generic")), "{status:?}");
    site.ask(WEB).expect("it goes on natively");
}

#[test]
fn another_peer_in_the_file_is_taken_over() {
    let mut site = Site::quiet(1);
    site.network.ip("sw", "link add spare0 type veth peer name spare1\nlink set spare0 up\nlink set spare1 up\n");
    let spare = format!("{}:spare0", site.network.names.namespace("sw"));
    for (peer, with, without) in [(site.peer(), "lb@", "spare0@"), (spare, "spare0@", "lb@")] {
        site.foobar.configure(&web(&format!("{{ name = \"eth0\", peer = \"{peer}\" }}")));
        site.foobar.start();
        assert_eq!(site.status().interfaces[0].peer, Some(peer));
        wait_until("one peer alone to have the program", PATIENCE, || {
            has_program(&site, with) && !has_program(&site, without)
        });
        site.foobar.stop();
    }
    site.foobar.configure(&web("\"eth0\""));
    site.foobar.start();
    assert_eq!(site.status().interfaces[0].peer, None);
    wait_until("no peer to have the program", PATIENCE, || !has_program(&site, "spare0@"));

    site.foobar.stop();
    site.foobar.configure(&web("{ name = \"eth0\", peer = \"no-such-namespace:lb\" }"));
    site.foobar.start();
    let status = site.status();
    assert_eq!(status.interfaces[0].peer, None, "it is not there");
    assert!(status.warnings.iter().any(|warning| warning.contains("no-such-namespace:lb, the peer of eth0")));
}

#[test]
fn a_peer_whose_pin_was_not_renamed_is_mended() {
    let mut site = Site::with_web(1);
    let peers = fs::read_dir(&site.foobar.pins).expect("pins").flatten().next().expect("a layout").path().join("peers");
    let (pin, fresh) = (peers.join("eth0"), peers.join("eth0:new"));
    site.foobar.kill();
    fs::rename(&pin, &fresh).expect("as a kill leaves it");

    site.foobar.start();

    assert!(pin.exists() && !fresh.exists(), "it has its place");
    site.wait_for_next_hops();
    site.ask(WEB).expect("an answer");
    assert_eq!(site.status().interfaces[0].peer, Some(site.peer()));
    fs::rename(&pin, &fresh).expect("as a kill leaves it");
    site.attach();
    fs::rename(&pin, &fresh).expect("as a kill leaves it");
    site.tell(&["detach"]);
    wait_until("no program to be left", PATIENCE, || !links(&site, "sw").contains("xdp"));
}

#[test]
fn detach_works_where_the_state_cannot_be_saved() {
    let mut site = Site::with_web(1);
    // Stands where the new state is written, as a full disk does.
    let obstacle = site.foobar.state().join("running.json.new");
    fs::create_dir(&obstacle).expect("a directory in the way");

    let said = site.foobar.ask(&["detach", "eth0"]);

    assert!(said.stderr.contains("warning: ") && said.stderr.contains("not on disk"), "{}", said.stderr);
    assert!(said.done().contains("eth0 is detached"));
    thread::sleep(Duration::from_millis(2500));
    assert_eq!(programs(&site, "lb").len(), 0, "it stays off");
    let warned = |site: &Site| site.status().warnings.iter().any(|warning| warning.contains("not on disk"));
    assert!(warned(&site), "{:?}", site.status().warnings);
    fs::remove_dir(&obstacle).expect("removed");
    wait_until("the state to be saved", PATIENCE, || !warned(&site));
    site.foobar.kill();
    site.foobar.start();
    assert_eq!(site.status().interfaces, [], "the next daemon knows");
}

#[test]
fn a_way_out_of_an_interface_without_the_program_is_a_problem() {
    let site = Site::new(0);
    site.network.ip(
        "lb",
        "link add other0 type veth peer name other1\nlink set other0 up\nlink set other1 up\n\
         address add 10.78.0.1/24 dev other0\n\
         neighbour add 10.78.0.9 lladdr 02:00:00:00:78:09 nud permanent dev other0\n",
    );
    site.tell(&["service", "add", "web", &SERVICE.to_string(), "tcp/80", "--backend", "10.78.0.9"]);
    site.wait_for_next_hops();
    let problem = |site: &Site| site.status().services[0].backends[0].problem.clone();

    let said = problem(&site).expect("a problem");
    assert!(said.contains("other0 has no foobar attached") && said.contains("`foobar attach other0`"), "{said}");
    assert!(site.tell(&["status"]).contains("other0 has no foobar attached"), "said to people too");
    assert_eq!(site.foobar.last_words().matches("other0 has no foobar attached").count(), 1, "and once in the log");

    site.tell(&["attach", "other0"]);
    assert_eq!(problem(&site), None);
    site.tell(&["detach", "other0"]);
    assert!(problem(&site).is_some());
}

#[test]
fn another_instance_on_a_configured_interface_does_not_slow_the_daemon() {
    let mut site = Site::with_web(1);
    site.network.ip("lb", "link add other0 type veth peer name other1\nlink set other0 up\nlink set other1 up\n");
    let other = another(&site);
    other.ask(&["attach", "other0"]).done();
    site.foobar.stop();
    site.foobar.configure(&web(&format!("{{ name = \"eth0\", peer = \"{}\" }}, \"other0\"", site.peer())));
    site.foobar.start();
    assert_eq!(site.status().interfaces[1].mode, AttachedMode::Absent);

    let slow = (0..25).filter(|_| {
        thread::sleep(Duration::from_millis(80));
        let start = std::time::Instant::now();
        site.status();
        start.elapsed() > Duration::from_millis(250)
    });

    let slow = slow.count();
    assert!(slow <= 3, "{slow} of 25 answers were slow");
}

/// A second daemon for the balancer, with places of its own.
fn another(site: &Site) -> Foobar {
    let mut other = Foobar::new(&site.network.names);
    other.directory = site.foobar.directory.join("another");
    other.pins = site.foobar.pins.with_file_name("another");
    fs::create_dir(&other.directory).expect("a directory");
    other.start();
    other
}

/// A configuration with a service in front of two backends.
fn web(interfaces: &str) -> String {
    let backends = [1, 2].map(|number| format!("{{ address = \"{}\" }}", backend(number))).join(", ");
    format!(
        "interfaces = [{interfaces}]\n[[service]]\nname = \"web\"\naddress = \"{SERVICE}\"\nports = \"tcp/80\"\n\
         backends = [{backends}]\n"
    )
}

fn renamed(site: &Site) -> bool {
    site.status().warnings.iter().any(|warning| warning.contains("eth0 is called lan0"))
}

fn has_program(site: &Site, interface: &str) -> bool {
    links(site, "sw").lines().any(|line| line.contains(&format!(" {interface}")) && line.contains("xdp"))
}

/// A line such as `prog/xdp id 42` for each program on a host's interfaces.
fn programs(site: &Site, host: &str) -> Vec<String> {
    links(site, host).lines().filter(|line| line.contains("prog/xdp")).map(ToOwned::to_owned).collect()
}

fn links(site: &Site, host: &str) -> String {
    quiet(Command::new("ip").args(["-n", &site.network.names.namespace(host), "link", "show"]))
}
