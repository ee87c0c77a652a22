//! A daemon that cannot start says why and leaves nothing; a program that is somebody else's is left alone.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use foobar_tests::site::{PATIENCE, Said, Site, Target, quiet, said, wait_until};

#[test]
fn another_program_on_the_interface_is_named_and_left_alone() {
    let site = Site::new(0);
    site.network.ip("lb", "link add other0 type veth peer name other1\nlink set other0 up\nlink set other1 up\n");
    let name = put_foreign_program(&site, "other0");
    let before = links(&site);

    for mode in ["auto", "native", "generic"] {
        let (error, hint) = site.foobar.ask(&["attach", "other0", "--mode", mode]).refused();
        assert!(error.contains("other0 already has an XDP program") && error.contains(&name), "{error}");
        assert!(error.contains(&format!("id {}", program_id(&before))), "{error}: {before}");
        assert!(hint.contains("never displaces"), "{hint}");
    }

    let (error, _) = site.foobar.ask(&["attach", "other1", "--peer", "other0"]).refused();
    assert!(error.contains("other0 already has an XDP program"), "{error}");
    // What was put on the other end and taken back, the kernel frees a little later.
    wait_until("the links to be as before", PATIENCE, || links(&site) == before);
    assert_eq!(site.status().interfaces.len(), 1, "nothing is remembered");
}

#[test]
fn without_root_the_missing_capabilities_are_named() {
    let mut site = Site::quiet(0);
    open_to_everyone(&mut site);
    for dropped in [
        &["--reuid", "nobody", "--regid", "nogroup", "--clear-groups"][..],
        &["--bounding-set=-all", "--inh-caps=-all"],
    ] {
        let (error, hint) = started(&site, "setpriv", dropped).refused();

        assert!(error.contains("CAP_BPF") && error.contains("CAP_NET_ADMIN"), "{error}");
        assert!(hint.contains("root"), "{hint}");
        nothing_is_left(&site);
    }
}

#[test]
fn one_missing_capability_is_named_alone() {
    let mut site = Site::quiet(0);
    open_to_everyone(&mut site);
    let (error, _) = started(&site, "setpriv", &["--bounding-set=-net_admin", "--inh-caps=-net_admin"]).refused();

    assert_eq!(error, "the capability CAP_NET_ADMIN is missing");
    nothing_is_left(&site);
}

#[test]
fn somebody_else_may_not_open_the_socket() {
    let mut site = Site::quiet(0);
    open_to_everyone(&mut site);
    site.foobar.start();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "nobody", "--regid", "nogroup", "--clear-groups"]).arg(&site.foobar.binary);
    let said = said(command.arg("--socket").arg(site.foobar.socket()).args(["allow", "tcp/80"]));

    let (error, hint) = said.refused();
    assert!(error.contains("may not be opened") && hint.contains("root"), "{error} {hint}");
    assert!(site.rules().is_empty());
}

#[test]
fn inside_ip_netns_exec_the_private_bpffs_is_refused() {
    let site = Site::quiet(0);
    let (error, hint) = started(&site, "ip", &["netns", "exec", &site.foobar.netns]).refused();

    assert!(error.contains("not on a bpffs") && error.contains("ip netns exec"), "{error}");
    assert!(hint.contains("--netns"), "{hint}");
    nothing_is_left(&site);
}

#[test]
fn a_pin_directory_on_a_disk_is_refused() {
    let mut site = Site::quiet(0);
    site.foobar.pins = site.foobar.directory.join("pins");

    let (error, hint) = started(&site, "env", &[]).refused();

    assert!(error.contains("is not on a bpffs") && hint.contains("mount -t bpf"), "{error} {hint}");
    nothing_is_left(&site);
}

#[test]
fn a_network_namespace_that_is_none_is_named() {
    let mut site = Site::quiet(0);
    site.foobar.netns = "no-such-namespace".to_owned();

    let (error, hint) = started(&site, "env", &[]).refused();

    assert!(error.contains("no-such-namespace") && hint.contains("ip netns list"), "{error} {hint}");
    nothing_is_left(&site);
}

#[test]
fn a_second_daemon_is_refused_and_the_first_goes_on() {
    let mut site = Site::with_web(1);
    let first = site.foobar.process();
    let own = |what: &str| site.foobar.directory.join(what).display().to_string();
    let (state, socket) = (own("state-2"), own("socket-2"));
    let pins = site.foobar.pins.with_file_name("pins-2").display().to_string();
    let shares = [
        (vec!["--state", &state, "--socket", &socket], "pin directory"),
        (vec!["--pin-dir", &pins, "--socket", &socket], "state directory"),
        (vec!["--state", &state, "--pin-dir", &pins], "another daemon answers"),
        (vec![], "already runs"),
    ];
    for (own, words) in shares {
        let (error, hint) = with(&site, &own).refused();
        assert!(error.contains(words), "{own:?}: {error}");
        assert!(error.contains(&first.to_string()) || words.contains("answers"), "names process {first}: {error}");
        assert!(hint.contains("stop that one first"), "{hint}");
        site.ask(Target::new(foobar_tests::site::SERVICE, 80)).expect("the first one works");
        assert_eq!(site.status().services.len(), 1, "the first one answers");
    }
    assert!(!Path::new(&pins).exists(), "nothing is left");
    site.foobar.stop();
    site.foobar.start();
}

#[test]
fn a_firewall_whose_state_is_not_given_stays_in_force() {
    let mut site = Site::with_web(1);
    site.tell(&["deny", "tcp/80"]);
    let web = Target::new(foobar_tests::site::SERVICE, 80).within(Duration::from_millis(500));
    site.foobar.kill();
    site.foobar.config = None;
    let state = site.foobar.directory.join("state-2").display().to_string();

    let (error, hint) = with(&site, &["--state", &state]).refused();

    assert!(error.contains("a firewall is in force") && error.contains(&state), "{error}");
    assert!(hint.contains("--state") && hint.contains("-c FILE") && hint.contains("foobar detach"), "{hint}");
    site.ask(web).expect_err("it denies still");
    site.foobar.start();
    assert_eq!(site.rule_texts(), ["deny tcp/80"]);
}

#[test]
fn mistakes_of_the_file_have_a_place() {
    let mut site = Site::quiet(0);
    let service = "[[service]]\nname = \"web\"\naddress = \"10.77.0.100\"\nports = \"tcp/80\"\n";
    let rows = [
        ("[firewall]\ndefautl = \"drop\"\n".to_owned(), ":2:1", "default"),
        ("[firewall]\nrules = [\"allow udp limit 5 connections/s\"]\n".to_owned(), ":2:", "only TCP"),
        ("[firewall]\nrules = [\n  \"allow tcp/80\",\n  \"allow tpc/80\",\n]\n".to_owned(), ":4:", "tcp"),
        ("[firewall]\nrules = [\"deny from 10.0.0.1/8\"]\n".to_owned(), ":2:", "10.0.0.0/8"),
        (format!("{service}backends = []\n"), ":5:", "backend"),
        (service.to_owned(), ":1:", "backends"),
        (format!("{service}forwrad = \"dsr\"\n"), ":5:1", "forward"),
        (
            format!("{service}forward = \"natt\"\nbackends = [{{ address = \"10.77.0.11\" }}]\n"),
            ":5:",
            "did you mean `nat`?",
        ),
        ("interfaces = [\"nosuch0\"]\n".to_owned(), "nosuch0", "ip link"),
        ("interfaces = \n".to_owned(), ":1:", "toml.io"),
        ("a = 1\na = 2\n".to_owned(), ":2:1", "toml.io"),
        ("interfaces = [\"a/b\"]\n".to_owned(), ":1:", "a/b"),
        ("interfaces = [{ name = \"v\", peer = \"a:b:c\" }]\n".to_owned(), ":1:", "b:c"),
    ];
    for (text, place, words) in rows {
        site.foobar.configure(&text);
        let file = site.foobar.config.clone().expect("a file");
        let said = started(&site, "env", &[]);
        let all = said.stderr.clone();
        said.refused();
        assert!(all.contains(place) && all.contains(words), "{text}: wants {place} and {words}: {all}");
        nothing_is_left(&site);
        if !text.contains("nosuch0") {
            let said = site.foobar.ask(&["check", &file.display().to_string()]);
            let all = said.stderr.clone();
            said.refused();
            assert!(all.contains(place) && all.contains(words), "check: {text}: wants {place} and {words}: {all}");
        }
    }
}

#[test]
fn what_has_no_room_is_refused_by_check_in_the_same_words() {
    let mut site = Site::quiet(0);
    let service = |n: u32| {
        format!(
            "[[service]]\nname = \"s{n}\"\naddress = \"10.0.0.{n}\"\nports = \"tcp/80\"\n\
             backends = [{{ address = \"10.77.0.11\" }}]\n"
        )
    };
    let rules = |rules: Vec<String>| format!("[firewall]\nrules = {rules:?}\n");
    let prefixes =
        (0..20_000).map(|n| format!("{:x}:{:x}::/33", 0x2001 + n / 10_000, n % 10_000)).collect::<Vec<_>>().join(",");
    for (text, words) in [
        ((1..=65).map(service).collect(), "64 services"),
        (rules((1..=20_000).map(|port| format!("allow tcp/{port}")).collect()), "16383 rules"),
        (rules(vec![format!("deny from {prefixes}")]), "16384 trie nodes"),
    ] {
        site.foobar.configure(&text);
        let file = site.foobar.config.clone().expect("a file");
        let run = started(&site, "env", &[]).refused();
        assert!(run.0.contains(words), "{words}: {run:?}");
        assert_eq!(site.foobar.ask(&["check", &file.display().to_string()]).refused(), run);
        nothing_is_left(&site);
    }
}

/// `foobar run` through another program.
fn started(site: &Site, through: &str, args: &[&str]) -> Said {
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", "30", through]).args(args).arg(&site.foobar.binary);
    said(command.args(site.foobar.run_args()))
}

/// `foobar run` for the site's places, save those that `own` names.
fn with(site: &Site, own: &[&str]) -> Said {
    let args = site.foobar.run_args();
    let pairs = args[1..].chunks(2).filter(|pair| !own.contains(&pair[0].as_str())).flatten();
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", "30"]).arg(&site.foobar.binary).arg("run").args(pairs).args(own);
    said(&mut command)
}

/// The binary where everyone may read it.
fn open_to_everyone(site: &mut Site) {
    let copy = site.foobar.directory.join("foobar");
    fs::copy(&site.foobar.binary, &copy).expect("a copy");
    site.foobar.binary = copy;
}

fn nothing_is_left(site: &Site) {
    let parent = site.network.names.pin_parent();
    let left: Vec<_> = fs::read_dir(&parent).expect("the pins' parent").flatten().map(|entry| entry.path()).collect();
    assert_eq!(left, Vec::<PathBuf>::new(), "nothing is pinned");
    assert!(!site.foobar.socket().exists(), "no socket is left");
    assert!(!links(site).contains("xdp"), "nothing is attached");
}

/// Loads a program that libxdp comes with onto an interface of the balancer, and returns its name.
fn put_foreign_program(site: &Site, interface: &str) -> String {
    let libraries = fs::read_dir("/usr/lib").expect("/usr/lib").flatten();
    let object = libraries.map(|entry| entry.path().join("bpf/xsk_def_xdp_prog.o")).find(|path| path.exists());
    let object = object.expect("libxdp's xsk_def_xdp_prog.o; hint: apt install xdp-tools");
    let pin = site.network.names.pin_parent().join("foreign");
    quiet(Command::new("bpftool").args(["prog", "load"]).arg(object).arg(&pin));
    let mut attach = site.network.inside("lb", "bpftool");
    quiet(attach.args(["net", "attach", "xdp", "pinned"]).arg(&pin).args(["dev", interface]));
    "xsk_def_prog".to_owned()
}

fn links(site: &Site) -> String {
    let namespace = site.network.names.namespace("lb");
    quiet(Command::new("ip").args(["-n", &namespace, "-details", "link", "show"]))
}

/// The id in `prog/xdp id 42` of the one interface that has another program than foobar's.
fn program_id(links: &str) -> u32 {
    let at = links.find("other0").expect("other0");
    let id = links[at..].split("prog/xdp id ").nth(1).and_then(|rest| rest.split(' ').next());
    id.and_then(|id| id.parse().ok()).unwrap_or_else(|| panic!("a program on other0: {links}"))
}
