//! Real QUIC connections whose clients change their address while backends change: those that a service names by
//! connection ids go on, and those that it does not break.

mod ends;

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use ends::{Client, Server, server_id};
use foobar_tests::{
    frames::Family,
    site::{Mode, Net, PATIENCE, Site, Way, wait_until},
};
use tokio::runtime::Runtime;

const QUIC: u16 = 443;
/// So many that none of the backends gets none but once in a million times.
const CLIENTS: usize = 40;
const BACKENDS: u8 = 3;
/// Within which an answer comes, also over a path that is new.
const SOON: Duration = Duration::from_secs(10);
/// After which none will: a lost packet was sent again often by then.
const NEVER: Duration = Duration::from_secs(3);
/// Longer than any slot or note speaks of a backend that left, with an `idle` of ten seconds.
const TALK: Duration = Duration::from_mins(1);

foobar_tests::ways!(connections_go_on:
    dsr_v4 DSR V4, dsr_v6 DSR V6, tunnel_v4 TUNNEL V4, gue_v6 GUE V6, nat_v4 NAT V4, nat_v6 NAT V6, snat_v4 SNAT V4,
    snat_v6 SNAT V6);

fn connections_go_on(way: Way) {
    let served = Served::new(way, "quic", &[]);
    let (clients, homes) = served.connect();
    assert!((1..=BACKENDS).all(|number| homes.contains(&format!("b{number}"))), "{homes:?}");

    served.move_all(&clients, 0);
    assert_eq!(served.ask_all(&clients, SOON), homes, "from another address");
    let drained = way.backend(2);
    served.site.tell(&["backend", "drain", "web", &drained]);
    served.move_all(&clients, 1);
    assert_eq!(served.ask_all(&clients, SOON), homes, "from another address, and b2 drains");
    let id = format!("00{}aabbccdd", server_id(2));
    let packet = format!("udp {} > {} cid {id}", SocketAddr::new(served.sources[0], 7), served.target());
    let explained = served.site.tell(&["explain", &packet]);
    assert!(explained.contains(&format!("backend   {drained}, by its connection id")), "{explained}");

    served.site.tell(&["backend", "rm", "web", &drained, "--now"]);
    served.move_all(&clients, 2);
    let left: Vec<_> = clients.iter().zip(&homes).filter(|(_, home)| *home != "b2").collect();
    for (client, home) in left {
        assert_eq!(served.ask(client, SOON).as_ref(), Some(home), "of a backend that stayed");
    }
}

#[test]
fn without_names_they_break() {
    let way = Way { mode: Mode::DSR, family: Family::V4 };
    let served = Served::new(way, "flow", &[]);
    let (clients, homes) = served.connect();
    assert_eq!(served.ask_all(&clients, SOON), homes, "as long as nobody moves");

    served.move_all(&clients, 0);
    let broken = clients.iter().filter(|client| served.ask(client, NEVER).is_none()).count();
    println!("{broken} of {CLIENTS} connections broke");
    assert!(broken >= CLIENTS / 4, "two of three flows have another backend: {broken} of {CLIENTS} broke");
}

#[test]
fn a_backend_that_drains_leaves_when_nobody_who_names_it_speaks() {
    let served = Served::new(Way { mode: Mode::DSR, family: Family::V4 }, "quic", &["--idle", "10s"]);
    let (clients, homes) = served.connect();
    let on_it: Vec<_> =
        clients.iter().zip(&homes).filter(|(_, home)| *home == "b2").map(|(client, _)| client).collect();
    assert!(!on_it.is_empty(), "{homes:?}");
    let is_there = || served.site.status().services[0].backends.len() == usize::from(BACKENDS);

    served.site.tell(&["backend", "rm", "web", &served.way.backend(2)]);
    let began = Instant::now();
    while began.elapsed() < TALK {
        assert!(on_it.iter().all(|client| served.ask(client, SOON).as_deref() == Some("b2")), "{:?}", began.elapsed());
        thread::sleep(Duration::from_secs(1));
    }
    assert!(is_there(), "its notes and slots are long gone, and its connections are not");
    wait_until("b2 to leave", PATIENCE, || !is_there());
}

/// A service in front of QUIC servers that make connection ids of their server ids, and where the client moves to.
struct Served {
    way: Way,
    sources: Vec<IpAddr>,
    site: Site,
    _servers: Vec<Server>,
    runtime: Runtime,
}

impl Served {
    fn new(way: Way, affinity: &str, more: &[&str]) -> Self {
        let (site, _) = way.site(BACKENDS);
        let runtime = Runtime::new().expect("a runtime");
        let port = way.mode.port.unwrap_or(QUIC);
        let listen = |number: u8| {
            let any: IpAddr = if way.service().is_ipv4() { [0; 4].into() } else { [0; 16].into() };
            let host = format!("b{number}");
            let socket = site.network.within(&host, || UdpSocket::bind((any, port))).expect("a socket");
            let _inside = runtime.enter();
            Server::start(&host, number, socket)
        };
        let servers = (1..=BACKENDS).map(listen).collect();
        add(way, &site, affinity, more);
        let sources = site.network.add_sources(way.family);
        Self { way, sources, site, _servers: servers, runtime }
    }

    fn target(&self) -> SocketAddr {
        SocketAddr::new(self.way.service(), QUIC)
    }

    /// Clients that are connected, each from a port of its own, and who answers them.
    fn connect(&self) -> (Vec<Client>, Vec<String>) {
        let source = Net::Clients.address(self.way.family, 1);
        let client = |_| {
            let socket = self.socket(source);
            self.runtime.block_on(Client::connect(socket, self.target(), SOON))
        };
        let clients: Vec<_> = (0..CLIENTS).map(client).collect();
        let homes = self.ask_all(&clients, SOON);
        (clients, homes)
    }

    fn socket(&self, source: IpAddr) -> UdpSocket {
        self.site.on_client(|| UdpSocket::bind((source, 0))).expect("a socket")
    }

    /// Gives each client another address and port.
    fn move_all(&self, clients: &[Client], turn: usize) {
        for (number, client) in clients.iter().enumerate() {
            let socket = self.socket(self.sources[(number + turn) % self.sources.len()]);
            let _inside = self.runtime.enter();
            client.move_to(socket);
        }
    }

    fn ask(&self, client: &Client, within: Duration) -> Option<String> {
        self.runtime.block_on(client.ask(within))
    }

    fn ask_all(&self, clients: &[Client], within: Duration) -> Vec<String> {
        let ask = |client| self.ask(client, within).unwrap_or_else(|| "nobody".to_owned());
        clients.iter().map(ask).collect()
    }
}

fn add(way: Way, site: &Site, affinity: &str, more: &[&str]) {
    let named = |number: u8| {
        let backend = way.new_backend(number);
        if affinity == "quic" { format!("{backend}@{}", server_id(number)) } else { backend }
    };
    let backends: Vec<_> = (1..=BACKENDS).map(named).collect();
    let outsides = if way.mode.name == "snat" { site.network.outsides(way.family) } else { Vec::new() };
    let outsides: Vec<_> = outsides.iter().map(ToString::to_string).collect();
    let (service, port) = (way.service().to_string(), format!("udp/{QUIC}"));
    let mut words = vec!["service", "add", "web", &service, &port, "--forward", way.mode.name, "--affinity", affinity];
    words.extend(backends.iter().flat_map(|backend| ["--backend", backend.as_str()]));
    words.extend(outsides.iter().flat_map(|address| ["--snat", address.as_str()]));
    words.extend(way.mode.more.iter().chain(more));
    site.tell(&words);
    wait_until("the way to every backend", SOON, || {
        site.status().services[0].backends.iter().all(|backend| backend.next_hop.is_some())
    });
}
