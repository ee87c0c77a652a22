//! Named sets while traffic flows: live additions, files that are read again, ends, and a daemon that dies.

use std::{fs, thread, time::Duration};

use foobar_tests::site::{BALANCER, INTRUDER, PATIENCE, SERVICE, Site, Target, backend, said, wait_until};

const WEB: Target = Target::new(SERVICE, 80);
/// How long to wait for what must not come.
const SILENCE: Duration = Duration::from_millis(400);

fn is_denied(site: &Site) -> bool {
    site.ask(WEB.from(INTRUDER).within(SILENCE)).is_err()
}

#[test]
fn what_is_added_live_is_denied_at_once_and_outlives_the_daemon() {
    let mut site = Site::with_web(1);
    let intruder = INTRUDER.to_string();
    site.tell(&["set", "new", "bad"]);
    site.tell(&["deny", "from", "@bad", "as", "blocked"]);
    let generation = site.status().generation;
    assert!(!is_denied(&site));

    site.tell(&["set", "add", "bad", &intruder, "192.0.2.0/24"]);
    assert!(is_denied(&site));
    site.ask(WEB).expect("others are served");
    let explained = site.tell(&["explain", &format!("tcp {intruder}:9 > {SERVICE}:80 syn")]);
    assert!(explained.contains("@bad"), "{explained}");
    site.tell(&["set", "rm", "bad", &intruder]);
    assert!(!is_denied(&site));
    assert_eq!(site.status().generation, generation, "nothing was published");

    site.tell(&["set", "add", "bad", &intruder]);
    site.foobar.kill();
    assert!(is_denied(&site), "without a daemon");
    site.foobar.start();
    assert!(is_denied(&site), "after a restart");
    assert_eq!(site.tell(&["set", "list", "bad"]).lines().count(), 2);
    let refused = site.foobar.ask(&["set", "delete", "bad"]);
    assert_eq!(refused.code, Some(1));
    site.tell(&["rule", "rm", "blocked"]);
    site.tell(&["set", "delete", "bad"]);
    assert!(!is_denied(&site));
}

#[test]
fn what_is_removed_a_second_time_stays_removed() {
    let mut site = Site::with_web(1);
    let (list, intruder) = (site.foobar.directory.join("bad.txt"), INTRUDER.to_string());
    fs::write(&list, format!("{intruder}\n192.0.2.1\n")).expect("written");
    let rules = "[firewall]\ndefault = \"pass\"\nrules = [\"deny from @bad\"]\n[firewall.sets]\n";
    let service = format!(
        "[[service]]\nname = \"web\"\naddress = \"{SERVICE}\"\nports = \"tcp/80\"\nbackends = [{{ address = \"{}\" }}]\n",
        backend(1)
    );
    let file = file_with(&site, "set.toml", &format!("{rules}bad = {{ file = \"{}\" }}\n{service}", list.display()));
    site.tell(&["apply", &file]);
    assert!(is_denied(&site));
    for change in ["rm", "add", "rm"] {
        site.tell(&["set", change, "bad", &intruder]);
    }
    assert!(!is_denied(&site));
    site.foobar.kill();
    site.foobar.start();
    assert!(!is_denied(&site), "after a restart");
    assert!(site.tell(&["set", "list", "bad"]).contains("192.0.2.1"));
}

#[test]
fn an_element_ends_by_itself_when_the_daemon_is_dead() {
    let mut site = Site::with_web(1);
    site.tell(&["set", "new", "bad"]);
    site.tell(&["deny", "from", "@bad"]);
    site.tell(&["set", "add", "bad", &INTRUDER.to_string(), "--for", "4s"]);
    assert!(is_denied(&site));
    site.foobar.kill();
    wait_until("the element to end", PATIENCE, || !is_denied(&site));
    site.foobar.start();
    assert!(!is_denied(&site), "it does not come back");
}

#[test]
fn a_file_is_read_again_without_a_gap() {
    let mut site = Site::quiet(1);
    let file = site.foobar.directory.join("bad.txt");
    let write = |more: &str| fs::write(&file, format!("# a list\n{INTRUDER}\n{more}")).expect("a list");
    write("");
    site.foobar.configure(&format!(
        "[firewall]\ndefault = \"pass\"\nrules = [\"deny from @bad\"]\n[firewall.sets]\nbad = {{ file = \"{}\" }}\n",
        file.display()
    ));
    site.foobar.start();
    site.attach();
    site.add_service("web", SERVICE, &[backend(1)]);
    assert!(is_denied(&site));
    site.tell(&["set", "add", "bad", "198.51.100.1"]);
    thread::scope(|scope| {
        let asking = scope.spawn(|| (0..6).all(|_| is_denied(&site)));
        for round in 0..5 {
            let others: Vec<_> = (0..500).map(|n| format!("198.18.{round}.{}\n", n % 256)).collect();
            write(&others.concat());
            site.tell(&["set", "reload", "bad"]);
        }
        assert!(asking.join().expect("it asked"), "a packet saw a set without its member");
    });
    assert!(site.tell(&["set", "list", "bad"]).contains("198.51.100.1\n"), "what was added live stays");

    fs::write(&file, "example.org\n").expect("a bad list");
    let refused = site.foobar.ask(&["set", "reload", "bad"]);
    assert_eq!(refused.code, Some(1));
    assert!(is_denied(&site), "a bad file changes nothing");
    fs::write(&file, "").expect("an empty list");
    site.tell(&["set", "reload", "bad"]);
    assert!(!is_denied(&site));
}

/// A file about the interface as it is, and these sections.
fn file_with(site: &Site, name: &str, sections: &str) -> String {
    let path = site.foobar.directory.join(name);
    let interfaces = format!("interfaces = [{{ name = \"eth0\", peer = \"{}\" }}]\n", site.peer());
    fs::write(&path, interfaces + sections).expect("written");
    path.display().to_string()
}

#[test]
fn a_set_that_comes_from_elsewhere_is_undone_with_the_change() {
    let mut site = Site::with_web(1);
    let service = format!(
        "[[service]]\nname = \"web\"\naddress = \"{SERVICE}\"\nports = \"tcp/80\"\nbackends = [{{ address = \"{}\" }}]\n",
        backend(1)
    );
    let rules = "[firewall]\ndefault = \"pass\"\nrules = [\"deny from @bad\"]\n[firewall.sets]\n";
    let old = file_with(&site, "old.toml", &format!("{rules}bad = {{ prefixes = [\"{INTRUDER}\"] }}\n{service}"));
    let new = file_with(&site, "new.toml", &format!("{rules}bad = {{ prefixes = [\"192.0.2.7\"] }}\n{service}"));
    site.tell(&["apply", &old]);
    assert!(is_denied(&site));
    let difference = site.tell(&["diff", &new]);
    assert!(difference.contains("set bad"), "{difference}");

    for end in ["rollback", "deadline", "dead"] {
        let within = if end == "rollback" { "60s" } else { "2s" };
        site.tell(&["apply", &new, "--confirm-within", within]);
        assert!(!is_denied(&site), "the new contents hold before the {end}");
        let (error, _) = site.foobar.ask(&["set", "add", "bad", "192.0.2.8"]).refused();
        assert!(error.contains("waits for confirmation"), "{error}");
        match end {
            "rollback" => drop(site.tell(&["rollback"])),
            "dead" => site.foobar.kill(),
            _ => {}
        }
        wait_until("the old contents", PATIENCE, || is_denied(&site));
        if end == "dead" {
            site.foobar.start();
            assert!(is_denied(&site), "after a restart");
        }
    }
    site.tell(&["apply", &new, "--confirm-within", "60s"]);
    site.tell(&["confirm"]);
    assert!(!is_denied(&site));
    site.tell(&["set", "add", "bad", &INTRUDER.to_string()]);
    assert!(is_denied(&site));
}

#[test]
fn a_member_that_cuts_the_callers_connection_is_refused() {
    let site = Site::new(0);
    site.tell(&["set", "new", "bad"]);
    site.tell(&["deny", "tcp/22", "from", "@bad"]);
    let over_ssh = |args: &[&str]| {
        let mut command = site.foobar.command(args);
        said(command.env("SSH_CONNECTION", format!("10.77.0.1 40000 {BALANCER} 22")))
    };
    let (error, _) = over_ssh(&["set", "add", "bad", "192.0.2.7", "10.77.0.0/30"]).refused();
    assert!(error.contains("`deny tcp/22 from @bad` denies it"), "{error}");
    assert_eq!(site.tell(&["set", "list", "bad"]).trim(), "", "refused whole");
    over_ssh(&["set", "add", "bad", "192.0.2.7"]).done();
    over_ssh(&["set", "add", "bad", "10.77.0.1", "--force"]).done();
    over_ssh(&["set", "rm", "bad", "10.77.0.1"]).done();
}

#[test]
fn a_daemon_that_begins_while_a_change_waits_knows_its_sets() {
    let mut site = Site::with_web(1);
    site.tell(&["set", "new", "bad"]);
    site.tell(&["deny", "from", "@bad"]);
    site.tell(&["deny", "udp/9", "--confirm-within", "60s"]);
    site.foobar.kill();
    site.foobar.start();
    site.tell(&["set", "add", "bad", &INTRUDER.to_string()]);
    assert!(is_denied(&site));
    let explained = site.tell(&["explain", &format!("tcp {INTRUDER}:9 > {SERVICE}:80 syn")]);
    assert!(explained.contains("@bad"), "{explained}");
    site.tell(&["rollback"]);
    assert!(is_denied(&site));
}

#[test]
fn a_list_that_cannot_be_read_is_refused_and_leaves_nothing() {
    let site = Site::new(0);
    let list = |name: &str| site.foobar.directory.join(name);
    fs::write(list("a.txt"), "192.0.2.1\n").expect("a list");
    fs::write(list("b.txt"), "192.0.2.2\n").expect("a list");
    let file = |first: &str, second: &str| {
        let of = |name: &str, file: &str| format!("{name} = {{ file = \"{}\" }}\n", list(file).display());
        let sets = [of("x", first), of("y", second)].concat();
        file_with(&site, "sets.toml", &format!("[firewall]\ndefault = \"pass\"\n[firewall.sets]\n{sets}"))
    };
    site.tell(&["apply", &file("a.txt", "a.txt")]);
    let (error, _) = site.foobar.ask(&["apply", &file("b.txt", "missing.txt")]).refused();
    assert!(error.contains("missing.txt"), "{error}");
    assert_eq!(site.tell(&["set", "list", "x"]).trim(), "192.0.2.1", "nothing changed");
    site.tell(&["set", "add", "x", "192.0.2.9"]);
    fs::write(list("b.txt"), "192.0.2.3\n").expect("another list");
    site.tell(&["apply", &file("b.txt", "a.txt")]);
    let listed = site.tell(&["set", "list", "x"]);
    assert_eq!(
        listed.lines().collect::<Vec<_>>(),
        ["192.0.2.3", "192.0.2.9"],
        "what it is now, and what was added live"
    );
}

#[test]
fn what_was_added_and_removed_live_leaves_no_mark() {
    let mut site = Site::with_web(1);
    let intruder = INTRUDER.to_string();
    let sets = |prefixes: &str| format!("[firewall.sets]\nbad = {{ prefixes = [{prefixes}] }}\n");
    let rules = "[firewall]\ndefault = \"pass\"\nrules = [\"deny from @bad\"]\n";
    site.tell(&["apply", &file_with(&site, "a.toml", &format!("{rules}{}", sets("")))]);
    site.tell(&["set", "add", "bad", &intruder]);
    site.tell(&["set", "rm", "bad", &intruder]);
    site.tell(&["apply", &file_with(&site, "b.toml", &format!("{rules}{}", sets(&format!("\"{intruder}\""))))]);
    assert_eq!(site.tell(&["set", "list", "bad"]).trim(), intruder);
    site.tell(&["set", "rm", "bad", &intruder]);
    site.foobar.kill();
    site.foobar.start();
    assert_eq!(site.tell(&["set", "list", "bad"]).trim(), "", "what the source lists stays removed");
}
