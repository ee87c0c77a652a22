//! Under a default that drops, what this host opens is answered, and nobody else gets in.

use std::{
    fs,
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    thread,
    time::Duration,
};

use foobar_tests::site::{
    BALANCER, Connection, PATIENCE, SERVICE_6, Site, Target, backend, backend_6, said, wait_until,
};

const ECHO: u16 = 7;
const SHORT: Duration = Duration::from_millis(700);
/// The client's address, and the balancer's of each family.
const BALANCERS: [fn() -> IpAddr; 2] = [|| BALANCER, || IpAddr::from([0xfd77, 0, 0, 0, 0, 0, 0, 2])];

/// The backend that the balancer asks, in both families.
fn peers() -> [IpAddr; 2] {
    [backend(1), backend_6(1)]
}

/// A site whose daemon is configured and does not run yet.
fn site(default: &str) -> Site {
    let mut site = Site::quiet(1);
    configure(&mut site, default);
    // The balancer is not to ask from the address that its backends have as well.
    site.network.ip("lb", &format!("address change {SERVICE_6}/128 dev eth0 preferred_lft 0\n"));
    site.network.within("b1", || echo(("::", ECHO)));
    site
}

fn configure(site: &mut Site, default: &str) {
    let interface = format!("{{ name = \"eth0\", peer = \"{}\" }}", site.peer());
    site.foobar.configure(&format!("interfaces = [{interface}]\n[firewall]\ndefault = \"{default}\"\n"));
}

/// Answers every datagram with itself, for as long as the test lives.
fn echo(on: (&str, u16)) {
    let socket = UdpSocket::bind(on).expect("a socket");
    thread::spawn(move || {
        let mut bytes = [0; 64];
        while let Ok((len, client)) = socket.recv_from(&mut bytes) {
            // Who does not listen any more is nobody's loss.
            let _ = socket.send_to(&bytes[..len], client);
        }
    });
}

/// A host asks another one by TCP, by UDP and with a ping; which of them were answered.
fn ask(site: &Site, host: &str, peer: IpAddr, port: u16, patience: Duration) -> [bool; 3] {
    let tcp = site.network.within(host, || Target::new(peer, port).within(patience).ask().is_ok());
    let udp = site.network.within(host, || is_echoed(SocketAddr::new(peer, ECHO), patience));
    let mut ping = site.network.inside(host, "ping");
    ping.args(["-c1", "-W", if patience < Duration::from_secs(1) { "0.7" } else { "10" }, &peer.to_string()]);
    [tcp, udp, said(&mut ping).code == Some(0)]
}

fn is_echoed(target: SocketAddr, patience: Duration) -> bool {
    let socket = connected(target, patience);
    socket.send(b"who").is_ok() && socket.recv(&mut [0; 8]).is_ok()
}

fn connected(target: SocketAddr, patience: Duration) -> UdpSocket {
    let any: IpAddr = if target.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    let socket = UdpSocket::bind((any, 0)).expect("a socket");
    socket.connect(target).expect("a way");
    socket.set_read_timeout(Some(patience)).expect("a timeout");
    socket
}

/// The balancer's questions are answered.
fn assert_answered(site: &Site, when: &str) {
    for peer in peers() {
        assert_eq!(ask(site, "lb", peer, 80, Duration::from_secs(10)), [true; 3], "{when}: {peer}");
    }
}

/// A connection of the balancer's to each of the peers.
fn connections(site: &Site) -> Vec<Connection> {
    let connect = |peer| Target::new(peer, 80).connect().expect("a connection");
    site.network.within("lb", || peers().map(connect).into())
}

fn go_on(connections: &mut [Connection], when: &str) {
    for connection in connections {
        connection.ask().unwrap_or_else(|error| panic!("{when}: {error}"));
    }
}

/// Pinned links of the program on the way out.
fn noting(site: &Site) -> usize {
    let layouts = fs::read_dir(&site.foobar.pins).expect("pins").map(|entry| entry.expect("an entry").path());
    layouts.filter_map(|layout| fs::read_dir(layout.join("egress")).ok()).map(Iterator::count).sum()
}

#[test]
fn what_this_host_opens_is_answered_and_nobody_else_gets_in() {
    let mut site = site("drop");
    site.foobar.start();
    let _server = site.serve("lb", 8080);
    site.network.within("lb", || echo(("::", ECHO)));
    assert_eq!(noting(&site), 1);

    assert_answered(&site, "attached");

    let [reply, dropped] = ["reply", "default_drop"].map(|name| site.outcome(name));
    assert!(reply >= 12, "{reply} answers were counted");
    for balancer in BALANCERS {
        assert_eq!(ask(&site, "client", balancer(), 8080, SHORT), [false; 3], "nobody asked the client");
        assert_eq!(ask(&site, "b1", balancer(), 8080, SHORT), [false; 3], "who was asked may not ask");
    }
    assert_eq!(site.outcome("reply"), reply);
    assert!(site.outcome("default_drop") >= dropped + 12, "each of them was counted");
}

#[test]
fn answers_pass_without_a_daemon_and_after_a_restart() {
    let mut site = site("drop");
    site.foobar.start();
    let mut held = connections(&site);

    for round in 1..=2 {
        site.foobar.kill();
        go_on(&mut held, "without a daemon");
        assert_answered(&site, "without a daemon");
        site.foobar.start();
        assert_eq!(noting(&site), 1, "round {round}");
        go_on(&mut held, "after a restart");
        assert_answered(&site, "after a restart");
    }
}

#[test]
fn what_was_open_before_the_firewall_goes_on() {
    let mut site = site("drop");
    let mut held = connections(&site);
    go_on(&mut held, "without a firewall");
    let pairs = peers().map(|peer| Pair::new(&site, peer));

    site.foobar.start();

    pairs.into_iter().for_each(Pair::assert_heard);
    go_on(&mut held, "attached");
    configure(&mut site, "pass");
    site.foobar.kill();
    site.foobar.start();
    assert_eq!(noting(&site), 0, "a default that passes needs no states");
    held.extend(connections(&site));
    configure(&mut site, "drop");
    site.foobar.kill();
    site.foobar.start();
    assert_eq!(noting(&site), 1);
    go_on(&mut held, "after the default changed");
    assert_answered(&site, "after the default changed");
}

#[test]
fn what_a_rule_let_in_goes_on_when_the_rule_is_gone() {
    let mut site = site("drop");
    site.foobar.start();
    let [v4, v6] = peers().map(|peer| peer.to_string());
    site.tell(&["allow", "from", &format!("{v4},{v6}"), "as", "peer"]);
    let pairs = peers().map(|peer| Pair::new(&site, peer));
    site.tell(&["rule", "rm", "peer"]);
    pairs.into_iter().for_each(Pair::assert_heard);
}

/// Connections of which the peer is the next to speak: this host's ends and the peer's.
struct Pair {
    tcp: [TcpStream; 2],
    udp: [UdpSocket; 2],
}

impl Pair {
    fn new(site: &Site, peer: IpAddr) -> Self {
        let target = SocketAddr::new(peer, 9000);
        let listener = site.network.within("b1", || TcpListener::bind(target)).expect("a listener");
        let theirs = site.network.within("b1", || UdpSocket::bind(target)).expect("a socket");
        let ours = site.network.within("lb", || TcpStream::connect(target)).expect("a connection");
        let tcp = [ours, listener.accept().expect("a connection").0];
        let ours = site.network.within("lb", || connected(target, Duration::from_secs(10)));
        ours.send(b"who").expect("sent");
        theirs.connect(theirs.recv_from(&mut [0; 8]).expect("the question").1).expect("a way");
        Self { tcp, udp: [ours, theirs] }
    }

    fn assert_heard(self) {
        let ([mut ours, mut theirs], mut heard) = (self.tcp, [0; 4]);
        theirs.write_all(b"late").expect("sent");
        ours.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        ours.read_exact(&mut heard).expect("what the peer said on an old connection");
        let [ours, theirs] = self.udp;
        theirs.send(b"late").expect("sent");
        assert_eq!(ours.recv(&mut [0; 8]).expect("what the peer said to an old socket"), 4);
    }
}

#[test]
fn a_denial_beats_a_reply_and_a_live_allowance_needs_none() {
    let mut site = site("drop");
    site.foobar.start();
    let mut held = connections(&site);
    go_on(&mut held, "nothing denies it");

    let [v4, v6] = peers().map(|peer| peer.to_string());
    site.tell(&["deny", "from", &format!("{v4},{v6}"), "as", "peer"]);
    let denied = site.outcome("denied");
    for peer in peers() {
        assert_eq!(ask(&site, "lb", peer, 80, SHORT), [false; 3], "{peer} is denied");
    }
    assert!(site.outcome("denied") >= denied + 6, "its answers are denied");
    site.tell(&["rule", "rm", "peer"]);

    assert_answered(&site, "nothing denies it any more");
    go_on(&mut held, "nothing denies it any more");
    site.tell(&["allow", "from", &format!("{v4},{v6}"), "as", "peer"]);
    let reply = site.outcome("reply");
    assert_answered(&site, "allowed");
    assert_eq!(site.outcome("reply"), reply, "the rule decides");
    site.tell(&["rule", "rm", "peer"]);
    go_on(&mut held, "without the rule");
}

#[test]
fn detach_takes_the_noting_off_and_an_interface_that_returns_gets_it_again() {
    let mut site = site("drop");
    site.foobar.start();
    site.network.ip("lb", "link del eth0\n");
    site.network.plug_balancer();
    wait_until("the interface to be attached again", PATIENCE, || {
        site.status().interfaces.iter().any(|interface| interface.ifindex != 0) && noting(&site) == 1
    });
    wait_until("the answers", PATIENCE, || ask(&site, "lb", backend(1), 80, SHORT) == [true; 3]);

    site.tell(&["detach", "eth0"]);

    assert_eq!(noting(&site), 0);
    site.foobar.stop();
    assert!(!site.foobar.pins.exists());
}
