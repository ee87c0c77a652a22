//! Named sets while traffic flows: live additions, files that are read again, ends, and a daemon that dies.

use std::{fs, thread, time::Duration};

use foobar_tests::site::{INTRUDER, PATIENCE, SERVICE, Site, Target, wait_until};

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
    site.add_service("web", SERVICE, &[foobar_tests::site::backend(1)]);
    assert!(is_denied(&site));
    site.tell(&["set", "add", "bad", "198.51.100.1"]);
    thread::scope(|scope| {
        let asking = scope.spawn(|| (0..6).all(|_| is_denied(&site)));
        for round in 0..5 {
            write(&(0..500).map(|n| format!("198.18.{round}.{}\n", n % 256)).collect::<String>());
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
