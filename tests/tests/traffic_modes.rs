//! Real traffic in every way of forwarding: who serves, whom the server sees, and what is counted and said of it.

use std::{net::IpAddr, process::Command};

use foobar_tests::{
    frames::Family,
    site::{EchoServer, Layout, Mode, Net, Nginx, Site, Target, Way, quiet},
};
use foobar_userspace::api::types::BackendStatus;

const WEB: u16 = 80;
/// Requests, each on a connection of its own.
const REQUESTS: usize = 40;

foobar_tests::ways!(nginx_answers:
    nat_v4 NAT V4, nat_v6 NAT V6, snat_v4 SNAT V4, snat_v6 SNAT V6, tunnel_v4 TUNNEL V4, tunnel_v6 TUNNEL V6,
    gue_v4 GUE V4, gue_v6 GUE V6);

fn nginx_answers(way: Way) {
    let served = Served::new(way, way.family);
    let seen =
        if way.mode.name == "snat" { served.site.network.outsides(way.family) } else { vec![client(way.family)] };
    served.check(&seen, "redirected");
    let gateway = way.mode.layout == Layout::Across;
    for backend in &served.backends() {
        let hop = backend.next_hop.as_ref().expect("a next hop");
        let host = if gateway { "router" } else { host(&served.site, backend) };
        let interface = if gateway { "eth2" } else { "eth0" };
        assert_eq!((hop.interface.as_str(), hop.mac.as_str()), ("eth1", mac(&served.site, host, interface).as_str()));
    }
}

#[test]
fn ipv4_is_carried_in_ipv6() {
    Served::new(Way { mode: Mode::TUNNEL, family: Family::V4 }, Family::V6).check(&[client(Family::V4)], "redirected");
}

#[test]
fn ipv6_is_carried_in_ipv4() {
    Served::new(Way { mode: Mode::TUNNEL, family: Family::V6 }, Family::V4).check(&[client(Family::V6)], "redirected");
}

#[test]
fn both_families_are_carried_in_udp_of_the_other() {
    for (family, other) in [(Family::V4, Family::V6), (Family::V6, Family::V4)] {
        Served::new(Way { mode: Mode::GUE, family }, other).check(&[client(family)], "redirected");
    }
}

#[test]
fn snat_needs_one_interface_and_nothing_of_its_backends() {
    for family in [Family::V4, Family::V6] {
        let way = Way { mode: Mode { layout: Layout::Bridge, ..Mode::SNAT }, family };
        let served = Served::new(way, family);
        let len = if family == Family::V4 { 32 } else { 128 };
        for host in ["b1", "b2"] {
            served.site.network.ip(host, &format!("address delete {}/{len} dev lo\n", way.service()));
        }
        served.check(&served.site.network.outsides(family), "forwarded");
    }
}

#[test]
fn snat_without_addresses_takes_that_of_the_route() {
    let way = Way { mode: Mode::SNAT, family: Family::V4 };
    let (site, _echo) = way.site(1);
    let nginx = Nginx::start(&site.network, "b1");
    let (service, backend) = (way.service().to_string(), way.backend(1));
    site.tell(&["service", "add", "web", &service, "tcp/80", "--forward", "snat", "--backend", &backend]);
    site.wait_for_next_hops();

    site.ask(Target::new(way.service(), WEB)).expect("an answer");

    assert_eq!(nginx.clients().into_iter().collect::<Vec<_>>(), [Net::Backends.v4(2)]);
}

#[test]
fn who_takes_a_tunnel_off_judges_what_is_inside() {
    let way = Way { mode: Mode::TUNNEL, family: Family::V4 };
    let served = Served::new(way, Family::V4);
    let end = &served.site.ends[0];
    let denied = client(Family::V4).to_string();
    end.ask(&["deny", "tcp/80", "from", &denied]).done();

    let refused = served.requests().iter().filter(|answer| answer.is_none()).count();
    assert!(refused > 0 && refused < REQUESTS, "b1 has rules, and b2 none: {refused}");
    assert_eq!(served.nginx[0].logged(), 0);
}

/// A service in front of two nginx, on the mode's port.
struct Served {
    way: Way,
    nginx: Vec<Nginx>,
    site: Site,
    _echo: Vec<EchoServer>,
}

impl Served {
    fn new(way: Way, backends: Family) -> Self {
        let (site, echo) = way.site(2);
        // The mode's port is the echo servers' own where there is one.
        let port = way.mode.port.map_or(WEB, |port| port + 1);
        let nginx = ["b1", "b2"].map(|host| Nginx::listen(&site.network, host, port)).into();
        let way = Way { mode: Mode { port: way.mode.port.map(|_| port), ..way.mode }, ..way };
        way.add(&site, ("web", WEB), &[1, 2].map(|number| way.mode.layout.backend(backends, number)), &[]);
        Self { way, nginx, site, _echo: echo }
    }

    /// Who answered each request.
    fn requests(&self) -> Vec<Option<String>> {
        let target = Target::new(self.way.service(), WEB).within(std::time::Duration::from_secs(2));
        self.site.on_client(|| (0..REQUESTS).map(|_| target.ask().ok().map(|answer| answer.backend)).collect())
    }

    /// Everybody answers, is seen to have answered whom it should, and is counted.
    fn check(&self, seen: &[IpAddr], outcome: &str) {
        let (site, before) = (&self.site, self.site.outcome(outcome));
        let answers = self.requests();
        assert!(answers.iter().all(Option::is_some), "{:?}: {answers:?}", self.way);
        let url = if self.way.family == Family::V4 { "http://10.77.0.100/" } else { "http://[fd77::100]/" };
        let said =
            quiet(site.network.inside("client", "curl").args(["-sS", "--noproxy", "*", "--max-time", "10", url]));
        assert!(["b1 /\n", "b2 /\n"].contains(&said.as_str()), "{said}");

        site.settle();
        let stats = site.stats();
        for (number, (nginx, count)) in (1..).zip(self.nginx.iter().zip(&stats.services[0].backends)) {
            let clients = nginx.clients();
            assert!(
                !clients.is_empty() && clients.iter().all(|address| seen.contains(address)),
                "{clients:?}: {seen:?}"
            );
            assert!(count.connections >= nginx.logged(), "b{number}: {count:?}");
            assert!(count.packets >= 4 * count.connections, "b{number}: {count:?}");
        }
        let logged: u64 = self.nginx.iter().map(Nginx::logged).sum();
        assert_eq!(logged, REQUESTS as u64 + 1);
        let moved = site.outcome(outcome) - before;
        assert!(moved >= stats.services[0].backends.iter().map(|count| count.packets).sum(), "{outcome}: {moved}");
    }

    fn backends(&self) -> Vec<BackendStatus> {
        self.site.status().services[0].backends.clone()
    }
}

fn client(family: Family) -> IpAddr {
    Net::Clients.address(family, 1)
}

fn host(site: &Site, backend: &BackendStatus) -> &'static str {
    let first = |family| site.network.layout.backend(family, 1);
    if [first(Family::V4), first(Family::V6)].contains(&backend.address) { "b1" } else { "b2" }
}

fn mac(site: &Site, host: &str, interface: &str) -> String {
    let namespace = site.network.names.namespace(host);
    let link = quiet(Command::new("ip").args(["-n", &namespace, "-br", "link", "show", interface]));
    link.split_whitespace().nth(2).unwrap_or_else(|| panic!("{link}")).to_owned()
}
