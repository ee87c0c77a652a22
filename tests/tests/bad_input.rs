//! Everything that is asked wrongly is refused with one sentence and one next step, and changes nothing.

use std::{fs, os::unix::fs::symlink, process::Stdio};

use foobar_tests::site::{BALANCER, NOBODY, SERVICE, Site, backend};
use foobar_userspace::api::types::{RuleLine, Status};

/// A command, and words that its sentence or hint has.
type Row = (&'static str, &'static [&'static str]);

const RULES: [Row; 22] = [
    ("allow tcp/0", &["0", "65535"]),
    ("allow tcp/70000", &["70000", "65535"]),
    ("allow tcp/90-80", &["90-80"]),
    ("allow tpc/80", &["tpc", "tcp"]),
    ("deny from 10.0.0.1/8", &["10.0.0.1/8", "10.0.0.0/8"]),
    ("deny from 2001:db8::1/32", &["2001:db8::1/32", "2001:db8::/32"]),
    ("deny from 10.0.0.300", &["10.0.0.300"]),
    ("deny from 10.0.0.0/33", &["10.0.0.0/33"]),
    ("deny frmo 10.0.0.0/8", &["frmo", "from"]),
    ("allow tcp/80 as known", &["known"]),
    ("allow tcp/80 --before 99", &["99"]),
    ("allow tcp/80 --after nobody", &["nobody"]),
    ("rule rm 99", &["99", "foobar rules"]),
    ("rule rm nobody", &["nobody", "foobar rules"]),
    ("allow tcp/22 from @office", &["no set `office`", "foobar set new office"]),
    ("deny to @office", &["no set `office`"]),
    ("allow udp limit 5 connections/s", &["connections", "allow tcp"]),
    ("allow icmp limit 10/h", &["unit", "/m"]),
    ("deny from @blocklist", &["sets"]),
    ("deny tcp/25 limit 10/s", &["limit"]),
    ("alow tcp/80", &["alow"]),
    ("allow", &["RULE"]),
];

const SERVICES: [Row; 30] = [
    ("service add two 192.0.2.1 tcp/80", &["--backend"]),
    ("service add web 192.0.2.1 tcp/80 --backend 10.77.0.11", &["there is a service web already"]),
    ("service add two 10.77.0.100 tcp/80 --backend 10.77.0.11", &["web", "10.77.0.100", "tcp/80"]),
    ("service add two 192.0.2.1 tcp/0 --backend 10.77.0.11", &["0"]),
    ("service add two 192.0.2.1 tcp/70000 --backend 10.77.0.11", &["70000"]),
    ("service add two 192.0.2.1 tcp/80,udp/443 --backend 10.77.0.11", &["udp/443", "one transport"]),
    ("service add two 192.0.2.1 tcp/90-80 --backend 10.77.0.11", &["90-80", "reversed"]),
    ("service add two 192.0.2.1 tcp/80,443 --backend 10.77.0.11:80", &["80 alone", "not tcp/80,443"]),
    ("service add two 10.77.0.100 tcp/any --backend 10.77.0.11", &["web", "tcp/80 already"]),
    ("service add two 192.0.2.1 tcp/81 --backend 10.77.0.11 --ring 700", &["700", "1009, 2039"]),
    ("service add two 192.0.2.1 tcp/81 --backend 10.77.0.11 --affinity quic", &["UDP", "tcp/81"]),
    ("service add two 192.0.2.1 udp/81 --backend 10.77.0.11 --affinity quic", &["10.77.0.11", "no `server_id`"]),
    ("service add two 192.0.2.1 udp/81 --backend 10.77.0.11@0a1 --affinity quic", &["0a1", "not a server id"]),
    ("backend add web 10.77.0.12 --server-id 0a01", &["server id", "`affinity` is `flow`"]),
    ("service add two 192.0.2.1 icmp --backend 10.77.0.11", &["icmp"]),
    ("service add two 192.0.2.300 tcp/80 --backend 10.77.0.11", &["192.0.2.300"]),
    ("service add two 192.0.2.1 tcp/80 --backend 10.77.0.11 --backend 10.77.0.11", &["10.77.0.11"]),
    ("service add two 192.0.2.1 tcp/80 --backend 2001:db8::1", &["2001:db8::1"]),
    ("service add two 192.0.2.1 tcp/80 --backend 10.77.0.11:8080", &["8080"]),
    ("service add two 192.0.2.1 tcp/80 --backend 10.77.0.11=1001", &["1001", "1000"]),
    ("service add two 192.0.2.1 tcp/80 --backend 10.77.0.11 --forward nat --snat 10.77.0.5", &["nat", "snat"]),
    ("service add two 192.0.2.1 tcp/80 --backend 10.77.0.11 --forward dr", &["dr"]),
    ("service add two 192.0.2.1 tcp/80 --backend 10.77.0.11 --idle soon", &["soon"]),
    ("service add two 192.0.2.1 tcp/80 --backend 10.77.0.11 --idle 31d", &["idle", "30d"]),
    ("service rm nobody", &["nobody", "web"]),
    ("backend add web 10.77.0.11", &["10.77.0.11 is a backend of web already"]),
    ("backend rm web 10.77.0.99", &["10.77.0.99", "10.77.0.11"]),
    ("backend drain nobody 10.77.0.11", &["nobody", "web"]),
    ("backend weight web 10.77.0.11 1001", &["1001", "1000"]),
    ("backend rm web 10.77.0.11 --now", &["only backend", "remove the service"]),
];

const INTERFACES: [Row; 9] = [
    ("attach nosuch0", &["there is no interface nosuch0", "ip link"]),
    ("attach eth0", &["eth0 is attached already"]),
    ("attach other0 --peer nosuch:eth0", &["nosuch", "ip netns list"]),
    ("attach other0 --peer nosuch0", &["nosuch0"]),
    ("attach other0 --mode fast", &["fast", "native"]),
    ("attach lo --mode native", &["lo", "--mode generic"]),
    ("detach other0", &["other0 is not attached", "foobar status"]),
    ("detach eth0 other0", &["other0"]),
    ("--socket /nowhere/foobar.sock status", &["no daemon answers on /nowhere/foobar.sock", "foobar run"]),
];

#[test]
fn wrong_rules_are_refused() {
    let site = site();
    refused_all(&site, &RULES);
}

#[test]
fn wrong_services_are_refused() {
    let site = site();
    refused_all(&site, &SERVICES);
}

#[test]
fn wrong_interfaces_are_refused() {
    let site = site();
    refused_all(&site, &INTERFACES);
}

#[test]
fn words_that_are_none_are_refused() {
    let site = site();
    refused_all(&site, &[("statsu", &["statsu"]), ("rules --jsn", &["--jsn"]), ("stats --interval 0s", &["0"])]);
}

#[test]
fn a_socket_that_nobody_answers_any_more_has_a_next_step() {
    let mut site = site();
    let left = site.foobar.directory.join("left.sock");
    drop(std::os::unix::net::UnixListener::bind(&left).expect("a socket"));
    let (error, hint) = site.foobar.ask(&["--socket", &left.display().to_string(), "rules"]).refused();
    assert!(error.contains("no daemon answers") && hint.contains("foobar run"), "{error} {hint}");

    site.foobar.kill();
    let (error, hint) = site.foobar.ask(&["allow", "tcp/80"]).refused();
    assert!(error.contains("no daemon answers") && hint.contains("foobar run"), "{error} {hint}");
    site.foobar.start();
    assert_eq!(site.rule_texts(), ["allow tcp/443 as known"]);
}

#[test]
fn of_two_equal_commands_at_once_one_is_refused() {
    let site = site();
    let (address, first) = (NOBODY.to_string(), backend(1).to_string());
    let add = ["service", "add", "two", &address, "tcp/80", "--backend", &first];

    let ended = at_once(&site, &[&add[..]; 6]);

    assert_eq!(ended.iter().filter(|code| **code == Some(0)).count(), 1, "{ended:?}");
    assert_eq!(ended.iter().filter(|code| **code == Some(1)).count(), 5, "{ended:?}");
    assert_eq!(site.status().services.iter().filter(|service| service.name == "two").count(), 1);
}

#[test]
fn different_commands_at_once_are_all_done() {
    let site = site();
    let rules: Vec<_> = (1..=12).map(|number| format!("tcp/{}", 9000 + number)).collect();
    let commands: Vec<_> = rules.iter().map(|rule| ["allow", rule]).collect();

    let ended = at_once(&site, &commands.iter().map(|words| &words[..]).collect::<Vec<_>>());

    assert_eq!(ended, [Some(0); 12]);
    let lines = site.rules();
    let mut ids: Vec<_> = lines.iter().map(|line| line.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((lines.len(), ids.len()), (13, 13), "every rule is there, with an id of its own: {lines:?}");
    for rule in rules {
        assert!(lines.iter().any(|line| line.rule == format!("allow {rule}")), "{rule}: {lines:?}");
    }
}

#[test]
fn a_state_directory_that_is_none_is_named() {
    let mut site = Site::quiet(0);
    fs::write(site.foobar.state(), "a file").expect("written");
    let args = site.foobar.run_args();
    let (error, _) = site.foobar.ask(&args.iter().map(String::as_str).collect::<Vec<_>>()).refused();
    assert!(error.contains("state"), "{error}");
    fs::remove_file(site.foobar.state()).expect("removed");

    symlink("/nowhere/foobar.toml", site.foobar.directory.join("foobar.toml")).expect("a link");
    site.foobar.config = Some(site.foobar.directory.join("foobar.toml"));
    let args = site.foobar.run_args();
    let (error, hint) = site.foobar.ask(&args.iter().map(String::as_str).collect::<Vec<_>>()).refused();
    assert!(error.contains("foobar.toml") && hint.contains("path"), "{error} {hint}");
    assert!(!site.foobar.pins.exists(), "nothing is left");
}

/// foobar with a rule, a service with one backend, and one more interface.
fn site() -> Site {
    let site = Site::new(1);
    site.network.ip("lb", "link add other0 type veth peer name other1\nlink set other0 up\nlink set other1 up\n");
    site.tell(&["allow", "tcp/443", "as", "known"]);
    site.add_service("web", SERVICE, &[backend(1)]);
    assert_ne!(BALANCER, SERVICE);
    site
}

fn refused_all(site: &Site, rows: &[Row]) {
    let before = everything(site);
    let mut wrong = Vec::new();
    for (line, words) in rows {
        let said = site.foobar.ask(&line.split(' ').collect::<Vec<_>>());
        let code = said.code;
        let lines: Vec<_> = said.stderr.lines().map(ToOwned::to_owned).collect();
        let is_plain =
            matches!(&lines[..], [error, hint] if error.starts_with("error: ") && hint.starts_with("hint: "));
        let says = words.iter().all(|word| said.stderr.contains(word));
        if code != Some(1) || !is_plain || !says || everything(site) != before {
            wrong.push(format!("`{line}` must be refused with {words:?}\n  exit {code:?}: {}", lines.join("\n  ")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What an operator sees, but for counters that traffic moves by itself.
fn everything(site: &Site) -> (Status, Vec<(u32, String)>) {
    let rules = site.rules().into_iter().map(|RuleLine { id, rule, .. }| (id, rule)).collect();
    (site.status(), rules)
}

/// Starts all of them, and returns how each ended.
fn at_once(site: &Site, commands: &[&[&str]]) -> Vec<Option<i32>> {
    let start = |words: &&[&str]| {
        let mut command = site.foobar.command(words);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a command")
    };
    let mut started: Vec<_> = commands.iter().map(start).collect();
    started.iter_mut().map(|child| child.wait().expect("its end").code()).collect()
}

#[test]
fn what_is_valid_and_probably_not_meant_is_warned_of() {
    let mut site = Site::quiet(0);
    site.foobar.start();
    let warned = |args: &[&str]| {
        let said = site.foobar.ask(args);
        let warnings = said.stderr.lines().filter_map(|line| line.strip_prefix("warning: "));
        let warnings: Vec<_> = warnings.map(str::to_owned).collect();
        said.done();
        warnings
    };
    assert!(warned(&["allow", "tcp/22"])[0].contains("the default is `pass`"));
    assert_eq!(warned(&["deny", "tcp", "--after", "1"]), [""; 0]);
    assert_eq!(warned(&["allow", "tcp/80", "--before", "1"]), [""; 0], "a denial stands behind it");
    let shadowed = warned(&["deny", "tcp/25", "--after", "2"]);
    assert_eq!(shadowed, ["`deny tcp/25` can never match: `deny tcp` decides about all of its packets first"]);
    let shadows = warned(&["deny", "tcp/22"]);
    assert_eq!(shadows, ["`allow tcp/22` can never match: `deny tcp/22` decides about all of its packets first"]);
    assert!(warned(&["allow", "ah", "--before", "1"])[0].contains("matches no IPv6 packet"));
}
