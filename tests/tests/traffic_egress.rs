//! Rules for what this host sends, with real sockets: who may not send hears of it at once, and the others go on.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

use foobar_tests::site::{PATIENCE, SERVICE_6, Site, Target, backend, backend_6, wait_until};

/// Far below what a lost packet takes (a SYN is sent again after a second), far above what an answer does.
const AT_ONCE: Duration = Duration::from_millis(500);

fn peers() -> [IpAddr; 2] {
    [backend(1), backend_6(1)]
}

fn site(firewall: &str, mode: &str) -> Site {
    let mut site = Site::quiet(1);
    configure(&mut site, firewall, mode);
    site.network.ip("lb", &format!("address change {SERVICE_6}/128 dev eth0 preferred_lft 0\n"));
    site.foobar.start();
    site
}

fn configure(site: &mut Site, firewall: &str, mode: &str) {
    let interface = format!("{{ name = \"eth0\", mode = \"{mode}\", peer = \"{}\" }}", site.peer());
    site.foobar.configure(&format!("interfaces = [{interface}]\n{firewall}\n"));
}

/// The balancer connects; the error and how long it took.
fn connect(site: &Site, peer: IpAddr, port: u16) -> (io::Result<()>, Duration) {
    site.network.within("lb", || {
        let begin = Instant::now();
        let done = TcpStream::connect_timeout(&SocketAddr::new(peer, port), Duration::from_secs(3));
        (done.map(drop), begin.elapsed())
    })
}

/// The balancer sends datagrams until it hears why they do not arrive.
fn datagram(site: &Site, peer: IpAddr, port: u16) -> Option<io::Error> {
    site.network.within("lb", || {
        let any: IpAddr = if peer.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
        let socket = UdpSocket::bind((any, 0)).expect("a socket");
        socket.connect((peer, port)).expect("a way");
        socket.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
        socket.send(b"who").err().or_else(|| match socket.recv(&mut [0; 8]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            other => other.err(),
        })
    })
}

fn assert_refused(site: &Site, port: u16, when: &str) {
    for peer in peers() {
        let (done, took) = connect(site, peer, port);
        let kind = done.expect_err(when).kind();
        assert!(matches!(kind, io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset), "{when}: {kind:?}");
        println!("{when}: connect() to {peer} was refused after {took:?}");
        assert!(took < AT_ONCE, "{when}: {took:?}");
    }
}

fn assert_reached(site: &Site, when: &str) {
    for peer in peers() {
        let answered = site.network.within("lb", || Target::new(peer, 80).ask());
        answered.unwrap_or_else(|error| panic!("{when}: {peer}: {error}"));
    }
}

fn sent(site: &Site, name: &str) -> u64 {
    let stats = site.stats();
    stats.sent.iter().find(|count| count.outcome == name).unwrap_or_else(|| panic!("no {name} is sent")).packets
}

const RULES: &str = "[firewall.egress]\nrules = [\"deny tcp/25\", \"deny udp/53 to 10.77.0.0/24,fd77::/64\"]";

#[test]
fn who_may_not_send_hears_of_it_and_the_others_go_on() {
    for mode in ["native", "generic"] {
        let site = site(&format!("[firewall]\ndefault = \"drop\"\n{RULES}"), mode);
        assert_refused(&site, 25, mode);
        for peer in peers() {
            let error = datagram(&site, peer, 53).unwrap_or_else(|| panic!("{mode}: {peer}: nothing was heard"));
            let expected = [io::ErrorKind::HostUnreachable, io::ErrorKind::PermissionDenied];
            assert!(expected.contains(&error.kind()), "{mode}: {error:?}");
            let heard = datagram(&site, peer, 54).map(|error| error.kind());
            assert_eq!(heard, Some(io::ErrorKind::ConnectionRefused), "{mode}: it arrives, and nobody listens");
        }
        assert_reached(&site, mode);
        assert!(sent(&site, "denied") >= 4 && sent(&site, "default_pass") > 4);
    }
}

#[test]
fn checksums_and_segments_that_a_card_would_finish_are_answered_too() {
    let site = site(RULES, "native");
    let mut tell = site.network.inside("lb", "ethtool");
    assert!(tell.args(["-K", "eth0", "tx", "on", "tso", "on", "gso", "on"]).status().expect("ethtool").success());
    assert_refused(&site, 25, "offloaded");
    for peer in peers() {
        assert!(datagram(&site, peer, 53).is_some(), "{peer}");
    }
}

#[test]
fn rules_come_and_go_live_and_cut_off_what_is_open() {
    let site = site("", "native");
    assert_reached(&site, "nothing is judged");
    let mut held =
        site.network.within("lb", || peers().map(|peer| Target::new(peer, 80).connect().expect("a connection")));
    for connection in &mut held {
        connection.ask().expect("an answer");
    }

    site.tell(&["deny", "--egress", "tcp/80", "as", "web"]);
    assert_refused(&site, 80, "denied live");
    for connection in &mut held {
        let begin = Instant::now();
        connection.ask().expect_err("it may not send");
        assert!(begin.elapsed() < AT_ONCE, "an open connection is reset");
    }
    let line = site.rules().into_iter().find(|line| line.rule == "deny tcp/80 as web").expect("it is listed");
    assert!(line.egress && line.packets >= 4, "{line:?}");
    let why = site.tell(&["explain", "--egress", "tcp 10.77.0.2:40000 > 10.77.0.11:80 syn on eth0"]);
    assert!(why.starts_with("denied") && why.contains("deny tcp/80 as web"), "{why}");
    let listed = site.tell(&["rules"]);
    assert!(listed.contains("egress\n"), "{listed}");

    site.tell(&["allow", "--egress", "tcp/80", "--before", "web"]);
    assert_reached(&site, "allowed before it");
    site.tell(&["rule", "rm", "web"]);
    assert_reached(&site, "nothing denies it");
}

#[test]
fn rules_stay_in_force_without_a_daemon_and_after_a_restart() {
    let mut site = site(RULES, "native");
    site.tell(&["deny", "--egress", "tcp/26"]);
    for when in ["killed", "killed again"] {
        site.foobar.kill();
        assert_refused(&site, 25, when);
        assert_refused(&site, 26, when);
        assert_reached(&site, when);
        site.foobar.start();
        assert_refused(&site, 26, "started");
    }
    configure(&mut site, "", "native");
    site.foobar.kill();
    site.foobar.start();
    for port in [25, 26] {
        let (done, _) = connect(&site, backend(1), port);
        assert_eq!(done.expect_err("nobody listens").kind(), io::ErrorKind::ConnectionRefused);
    }
    assert!(site.stats().sent.iter().all(|count| count.outcome != "denied") || site.rules().is_empty());
}

#[test]
fn under_a_default_that_drops_what_came_in_is_answered() {
    let mut site = site("[firewall.egress]\nrules = [\"allow tcp/443\"]", "native");
    let _server = site.serve("lb", 8080);
    let reach = |site: &Site| {
        for balancer in [IpAddr::from([10, 77, 0, 2]), IpAddr::from([0xfd77, 0, 0, 0, 0, 0, 0, 2])] {
            site.ask(Target::new(balancer, 8080)).unwrap_or_else(|error| panic!("{balancer}: {error}"));
        }
    };
    reach(&site);
    let mut held = site.on_client(|| Target::new(IpAddr::from([10, 77, 0, 2]), 8080).connect().expect("a connection"));
    held.ask().expect("an answer");

    configure(&mut site, "[firewall.egress]\ndefault = \"drop\"\nrules = [\"allow tcp/443\"]", "native");
    site.foobar.kill();
    site.foobar.start();

    held.ask().expect("what is open goes on");
    reach(&site);
    assert_refused(&site, 80, "nothing allows it");
    assert!(sent(&site, "reply") > 0 && sent(&site, "default_drop") >= 2);
    site.foobar.kill();
    held.ask().expect("without a daemon too");
    reach(&site);
    site.foobar.start();
    site.tell(&["allow", "--egress", "tcp/80"]);
    wait_until("the balancer to reach its peer", PATIENCE, || {
        site.network.within("lb", || Target::new(backend(1), 80).ask().is_ok())
    });
}
