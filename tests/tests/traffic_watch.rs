//! `foobar watch` beside real traffic: what is dropped is explained, a flood stays bounded, a dead daemon costs nothing.

use std::{
    fs::{self, File},
    net::UdpSocket,
    path::PathBuf,
    time::Duration,
};

use foobar_tests::site::{BALANCER, Beside, INTRUDER, PATIENCE, SERVICE, Site, Target, wait_until};
use foobar_userspace::api::events::WatchLine;

const WEB: Target = Target::new(SERVICE, 80);
const SILENCE: Duration = Duration::from_millis(400);

/// A `foobar watch` beside the test.
struct Watch {
    process: Beside,
    file: PathBuf,
}

impl Watch {
    /// Returns once drops are shown to it.
    fn begin(site: &Site, name: &str, args: &[&str]) -> Self {
        let file = site.foobar.directory.join(name);
        let out = File::create(&file).expect("a file");
        let mut command = site.foobar.command(&[&["watch", "--json"], args].concat());
        let errors = out.try_clone().expect("a file");
        let watch = Self { process: Beside::start(command.stdout(out).stderr(errors)), file };
        // It has subscribed when it sees a packet that only it can have asked for.
        wait_until("the watcher to see something", PATIENCE, || {
            let socket = site.on_client(|| UdpSocket::bind((INTRUDER, 0)).expect("a socket"));
            socket.send_to(b"probe", (BALANCER, 7)).expect("sent");
            !watch.text().is_empty()
        });
        watch
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.file).unwrap_or_default()
    }

    fn lines(&self) -> Vec<WatchLine> {
        let text = self.text();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    }
}

/// A site in which datagrams to port 7 are denied, for [`Watch::begin`].
fn site() -> Site {
    let site = Site::with_web(1);
    site.tell(&["deny", "udp/7", "as", "probe"]);
    site.tell(&["deny", "from", &format!("{INTRUDER}"), "to", &format!("{SERVICE}"), "as", "scanner"]);
    site
}

#[test]
fn a_denied_connection_is_explained_to_every_watcher() {
    let site = site();
    let all = Watch::begin(&site, "all", &[]);
    let mut scanner = site.foobar.command(&["watch", "--rule", "scanner", "--from", "10.0.0.0/8", "--count", "1"]);
    let out = site.foobar.directory.join("scanner");
    let mut scanner = Beside::start(scanner.stdout(File::create(&out).expect("a file")));

    wait_until("the watcher of the rule to see a packet", PATIENCE, || {
        site.ask(WEB.from(INTRUDER).within(SILENCE)).expect_err("denied");
        scanner.has_ended()
    });

    let line = fs::read_to_string(&out).expect("its line");
    let id = site.rules().iter().find(|line| line.rule.ends_with("as scanner")).expect("the rule").id;
    assert!(line.contains(&format!(" denied tcp {INTRUDER}:")), "{line}");
    assert!(line.contains(&format!(" > {SERVICE}:80 syn on eth0 by rule {id} (deny from ")), "{line}");
    assert_eq!(line.lines().count(), 1);
    let seen = all.lines();
    let is_it = |line: &WatchLine| {
        matches!(line, WatchLine::Packet(event) if event.rule.as_ref().is_some_and(|rule| rule.id == id)
            && event.outcome == "denied" && event.source == Some(INTRUDER))
    };
    assert!(seen.iter().any(is_it), "{seen:?}");
    site.ask(WEB).expect("others are served");
}

#[test]
fn what_is_not_understood_is_refused_with_what_is_meant() {
    let site = site();
    let (_, hint) = site.foobar.ask(&["watch", "--outcome", "denid"]).refused();
    assert_eq!(hint, "did you mean `denied`?");
    site.foobar.ask(&["watch", "--rule", "nobody"]).refused();
    site.foobar.ask(&["watch", "--on", "eth9"]).refused();
    site.foobar.ask(&["watch", "--from", "10.0.0.1/8"]).refused();
}

#[test]
fn a_flood_is_shown_in_part_and_the_rest_is_counted() {
    let site = site();
    let mut watch = Watch::begin(&site, "flood", &[]);
    site.on_client(|| {
        let socket = UdpSocket::bind((INTRUDER, 0)).expect("a socket");
        for _ in 0..40_000 {
            // What the socket has no room for is not sent.
            let _ = socket.send_to(b"flood", (BALANCER, 7));
        }
    });
    let denied = || site.rules().iter().find(|line| line.rule.ends_with("as probe")).expect("the rule").packets;
    let told = || {
        let lines = watch.lines();
        let more: u64 = lines.iter().map(|line| if let WatchLine::NotShown(more) = line { *more } else { 0 }).sum();
        let shown = lines.iter().filter(|line| matches!(line, WatchLine::Packet(_))).count() as u64;
        (shown, more)
    };
    // What was sent before the watcher was there is counted by the rule alone.
    wait_until("every packet to be shown or counted", PATIENCE, || {
        let (shown, more) = told();
        more > 0 && shown + more + 200 > denied()
    });
    let (shown, more) = told();
    assert!(shown + more <= denied(), "{shown} + {more} of {}", denied());
    assert!(shown < more, "{shown} shown, {more} not");
    assert!(!watch.process.has_ended());
    assert_eq!(site.ask(WEB).expect("others are served").backend, "b1");
}

#[test]
fn a_dead_daemon_leaves_traffic_as_it_is_and_watchers_say_so() {
    let mut site = site();
    let mut watch = Watch::begin(&site, "dead", &[]);
    site.foobar.kill();
    wait_until("the watcher to end", PATIENCE, || watch.process.has_ended());
    assert!(watch.text().contains("error: "), "{}", watch.text());
    for _ in 0..50 {
        site.ask(WEB).expect("traffic flows");
    }
    site.ask(WEB.from(INTRUDER).within(SILENCE)).expect_err("and is denied as before");
    site.foobar.start();
    let again = Watch::begin(&site, "again", &[]);
    // The daemon's own end is a watcher's too.
    site.foobar.stop();
    let Watch { mut process, .. } = again;
    wait_until("the watcher to end", PATIENCE, || process.has_ended());
}

#[test]
fn a_reader_that_leaves_ends_it_quietly() {
    let site = site();
    let line = format!("{} watch | head -n 1", site.foobar.binary.display());
    let mut shell = std::process::Command::new("sh");
    let out = site.foobar.directory.join("pipe");
    let file = File::create(&out).expect("a file");
    shell.args(["-c", &line]).env("FOOBAR_SOCKET", site.foobar.socket()).stderr(file.try_clone().expect("a file"));
    let mut shell = Beside::start(shell.stdout(file));
    wait_until("the pipe to end", PATIENCE, || {
        let socket = site.on_client(|| UdpSocket::bind((INTRUDER, 0)).expect("a socket"));
        socket.send_to(b"probe", (BALANCER, 7)).expect("sent");
        shell.has_ended()
    });
    let text = fs::read_to_string(&out).expect("its output");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains(" denied udp "), "{text}");
}

#[test]
fn what_this_host_may_not_send_is_shown_with_its_rule() {
    let site = site();
    site.tell(&["deny", "--egress", "udp/9", "as", "mute"]);
    let watch = Watch::begin(&site, "all", &[]);
    let socket = site.network.within("lb", || UdpSocket::bind((BALANCER, 0)).expect("a socket"));
    let is_it = |line: &WatchLine| {
        matches!(line, WatchLine::Packet(event) if event.egress && event.source == Some(BALANCER)
            && event.interface == "eth0" && event.rule.as_ref().is_some_and(|rule| rule.rule == "deny udp/9 as mute"))
    };
    wait_until("the watcher to see what is sent", PATIENCE, || {
        // An error of the datagram before may be told by this one.
        let _ = socket.send_to(b"muted", (INTRUDER, 9));
        watch.lines().iter().any(is_it)
    });
    assert!(watch.lines().iter().all(|line| is_it(line) || !matches!(line, WatchLine::Packet(event) if event.egress)));
}
