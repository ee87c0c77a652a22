//! A configuration file in place of what runs, with real packets: applied whole, refused whole, compared and written.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use foobar_tests::site::{BALANCER, INTRUDER, SERVICE, Said, Site, Target, backend, said};
use foobar_userspace::api::types::{NotesStatus, Status};

const SILENCE: Duration = Duration::from_millis(400);
const WEB: Target = Target::new(SERVICE, 80);

/// Writes a file that names the interface as it is attached.
fn write(site: &Site, text: &str) -> PathBuf {
    let path = site.foobar.directory.join("site.toml");
    let interfaces = format!("# The uplink.\ninterfaces = [{{ name = \"eth0\", peer = \"{}\" }}]\n", site.peer());
    fs::write(&path, interfaces + text).expect("written");
    path
}

fn ask(site: &Site, command: &str, path: &Path, more: &[&str]) -> Said {
    site.foobar.ask(&[&[command, &path.display().to_string()], more].concat())
}

#[test]
fn a_file_is_applied_live_and_survives() {
    let mut site = Site::with_web(2);
    let held = site.hold(WEB, 10);
    let _server = site.serve("lb", 8080);
    let host = Target::new(BALANCER, 8080);
    site.ask(host).expect("nothing is denied yet");
    let service = format!(
        "[[service]]\nname = \"web\"\naddress = \"{SERVICE}\"\nports = \"tcp/80\"\nbackends = [{{ address = \"{}\" }}]\n",
        backend(1)
    );
    let path = write(&site, &format!("[firewall]\nrules = [\"allow tcp/22\"]\n{service}"));
    let applied = ask(&site, "apply", &path, &[]).done();
    for line in
        ["~ default: pass -> drop", "+ rule 1: allow tcp/22", "~ backend 10.77.0.12 of web: state ready -> removing"]
    {
        assert!(applied.contains(line), "{applied}");
    }
    site.ask(host.within(SILENCE)).expect_err("the default drops");
    assert!(held.wait_for(2).iter().all(|fate| fate.broken.is_none()), "connections stay on a backend that drains");

    let bad = write(&site, "[firewall]\ndefautl = \"pass\"\n");
    let (error, _) = ask(&site, "apply", &bad, &[]).refused();
    assert!(error.contains("site.toml:4:1"), "{error}");
    let strange = write(&site, "").with_file_name("strange.toml");
    fs::write(&strange, "interfaces = [\"eth0\", \"nowhere9\"]\n").expect("written");
    let before = without_countdowns(site.status());
    let (error, _) = ask(&site, "apply", &strange, &[]).refused();
    assert!(error.contains("nowhere9"), "{error}");
    let (error, _) = ask(&site, "apply", &strange, &["--confirm-within", "9s"]).refused();
    assert!(error.contains("interfaces"), "{error}");
    assert_eq!(without_countdowns(site.status()), before, "refused whole");

    site.foobar.kill();
    site.foobar.start();
    site.ask(host.within(SILENCE)).expect_err("what was applied runs on");
    ask(&site, "apply", &write(&site, &service), &[]).done();
    site.ask(host).expect("the default passes again");
}

/// What is left on a backend that drains is counted, and gets less by itself.
fn without_countdowns(mut status: Status) -> Status {
    for backend in status.services.iter_mut().flat_map(|service| &mut service.backends) {
        backend.left = None;
    }
    status.notes = NotesStatus::default();
    status
}

#[test]
fn a_start_with_its_own_file_as_it_was_goes_on_with_what_was_applied() {
    let mut site = Site::quiet(0);
    site.foobar.configure("interfaces = [\"eth0\"]\n[firewall]\ndefault = \"pass\"\nrules = [\"deny udp/1\"]\n");
    site.foobar.start();
    let other = site.foobar.directory.join("other.toml");
    fs::write(&other, "interfaces = [\"eth0\"]\n[firewall]\ndefault = \"pass\"\nrules = [\"deny udp/2\"]\n")
        .expect("written");
    ask(&site, "apply", &other, &[]).done();
    site.foobar.kill();
    site.foobar.start();
    assert_eq!(site.rule_texts(), ["deny udp/2"]);

    site.foobar.configure("interfaces = [\"eth0\"]\n[firewall]\ndefault = \"pass\"\nrules = [\"deny udp/3\"]\n");
    let own = site.foobar.config.clone().expect("its own file");
    ask(&site, "apply", &own, &["--confirm-within", "1s"]).done();
    assert_eq!(site.rule_texts(), ["deny udp/3"]);
    site.foobar.kill();
    std::thread::sleep(Duration::from_millis(2200));
    site.foobar.start();
    assert_eq!(site.rule_texts(), ["deny udp/2"], "a file that was undone is not applied by a start");
}

#[test]
fn a_service_keeps_how_it_spreads_flows_as_long_as_it_lives() {
    let mut site = Site::with_web(2);
    let service = |name: &str, more: &str| {
        let (address, first) = (SERVICE, backend(1));
        format!(
            "[[service]]\nname = \"{name}\"\naddress = \"{address}\"\nports = \"tcp/80\"\n{more}\nbackends = [{{ address = \"{first}\" }}]\n"
        )
    };
    for other in ["ring = 1009", "affinity = \"source\""] {
        let (problem, _) = ask(&site, "apply", &write(&site, &service("web", other)), &[]).refused();
        assert!(problem.contains("service web") && problem.contains("65537"), "{problem}");
        let (problem, _) = ask(&site, "apply", &write(&site, &service("web", other)), &["--dry-run"]).refused();
        assert!(problem.contains("service web"), "{problem}");
    }
    let held = site.hold(WEB, 20);
    site.foobar.kill();
    let file = write(&site, &service("web", "ring = 1009\naffinity = \"source\""));
    site.foobar.configure(&fs::read_to_string(file).expect("written"));
    site.foobar.start();
    assert_eq!(site.status().services[0].ring, 65_537, "a start with such a file keeps it, too");
    assert!(held.wait_for(5).iter().all(|fate| fate.broken.is_none()), "{:?}", held.fates());
    ask(&site, "apply", &write(&site, &service("other", "ring = 1009\naffinity = \"source\"")), &[]).done();
    site.wait_for_next_hops();
    let status = &site.status().services[0];
    assert_eq!((status.name.as_str(), status.ring, status.backends[0].slots), ("other", 1009, 1009));
    assert_eq!(site.ask(WEB).expect("served").backend, "b1");
}

#[test]
fn what_is_saved_is_what_runs_with_its_comments() {
    let site = Site::new(0);
    let text = "[firewall]\n# Nothing is closed yet.\ndefault = \"pass\"\nrules = [\n  # the office\n  \"allow tcp/22\", # ssh\n]\n";
    let path = write(&site, text);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("set");
    ask(&site, "apply", &path, &[]).done();
    assert_eq!(site.foobar.ask(&["diff", "--exit-code"]).done(), "");
    site.tell(&["deny", "from", &INTRUDER.to_string(), "as", "intruder"]);
    let differs = site.tell(&["diff"]);
    assert!(differs.contains("+ rule 1: deny from 10.77.0.66 as intruder"), "{differs}");
    site.foobar.ask(&["diff", "--exit-code"]).refused();

    site.tell(&["save"]);
    let saved = fs::read_to_string(&path).expect("read");
    for line in [
        "# The uplink.",
        "# Nothing is closed yet.",
        "  # the office\n  \"allow tcp/22\", # ssh",
        "  \"deny from 10.77.0.66 as intruder\",",
    ] {
        assert!(saved.contains(line), "{saved}");
    }
    assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o640);
    assert_eq!(site.foobar.ask(&["diff", "--exit-code"]).done(), "");

    fs::write(&path, saved.replace("ssh", "SSH")).expect("written");
    site.tell(&["rule", "rm", "intruder"]);
    assert!(site.foobar.ask(&["save"]).refused().0.contains("is not as it was when it was applied"));
    site.tell(&["save", "--force"]);
    let forced = fs::read_to_string(&path).expect("read");
    assert!(forced.contains("# SSH") && !forced.contains("intruder"), "{forced}");
}

/// A command of somebody who came over a connection to the balancer's port 22, as ssh says it.
fn over_ssh(site: &Site, peer: SocketAddr, args: &[&str]) -> Said {
    let mut command = site.foobar.command(args);
    said(command.env("SSH_CONNECTION", format!("{} {} {BALANCER} 22", peer.ip(), peer.port())))
}

#[test]
fn a_change_that_cuts_the_callers_connection_is_refused() {
    let site = Site::new(0);
    let here: SocketAddr = "10.77.0.1:40000".parse().expect("an address");
    let (error, hint) = over_ssh(&site, here, &["deny", "tcp/22", "as", "oops"]).refused();
    assert!(error.contains("10.77.0.1:40000") && error.contains("`deny tcp/22 as oops` denies it"), "{error}");
    assert!(hint.contains("--force") && hint.contains("--confirm-within"), "{hint}");
    assert!(site.rules().is_empty(), "refused whole");
    over_ssh(&site, here, &["deny", "tcp/22", "from", &INTRUDER.to_string()]).done();
    let strict = write(&site, "[firewall]\nrules = [\"allow tcp/443\"]\n");
    let words = ["apply", &strict.display().to_string()];
    let (error, _) = over_ssh(&site, here, &words).refused();
    assert!(error.contains("the default is `drop`"), "{error}");

    over_ssh(&site, here, &["deny", "tcp/22", "as", "oops", "--confirm-within", "60s"]).done();
    site.tell(&["rollback"]);
    over_ssh(&site, here, &["deny", "tcp/22", "as", "oops", "--force"]).done();
    over_ssh(&site, here, &["deny", "udp"]).done();
    site.tell(&["rule", "rm", "oops"]);

    let open = write(&site, "[firewall]\nrules = [\"allow tcp/22 from 10.77.0.0/24 as ssh\"]\n");
    over_ssh(&site, here, &["apply", &open.display().to_string()]).done();
    let (error, _) = over_ssh(&site, here, &["rule", "rm", "ssh"]).refused();
    assert!(error.contains("no rule allows it"), "{error}");
    let elsewhere = "192.0.2.7:1".parse().expect("an address");
    over_ssh(&site, elsewhere, &["rule", "rm", "ssh"]).done();
}

#[test]
fn a_dry_run_says_who_would_be_cut_and_changes_nothing() {
    let site = Site::with_web(2);
    let _held = site.hold(WEB, 10);
    let _server = site.serve("lb", 8080);
    let connection = site.on_client(|| Target::new(BALANCER, 8080).connect()).expect("a connection");
    let service = format!(
        "[[service]]\nname = \"web\"\naddress = \"{SERVICE}\"\nports = \"tcp/80\"\nbackends = [{{ address = \"{}\" }}]\n",
        backend(1)
    );
    let path =
        write(&site, &format!("[firewall]\ndefault = \"pass\"\nrules = [\"deny tcp/8080 as closed\"]\n{service}"));
    let before = site.status();
    let gone = site.stats().services[0].backends[1].connections;
    assert!(gone > 0, "all of a backend that leaves");
    let found = ask(&site, "apply", &path, &["--dry-run"]).done();
    for line in [
        "+ rule 1: deny tcp/8080 as closed",
        "of the 65537 slots of service web would get another backend: about ",
        &format!("about {gone} connections are on them, if they live (an estimate)"),
        "tcp 10.77.0.1 > 10.77.0.2:8080: `deny tcp/8080 as closed`",
    ] {
        assert!(found.contains(line), "{line} is missing in\n{found}");
    }
    assert_eq!(site.status(), before);
    drop(connection);
}
