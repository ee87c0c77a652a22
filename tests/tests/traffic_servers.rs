//! Servers as they come, behind the modes that ask little of them: nginx, with curl and wrk as its clients, and iperf3,
//! whose two connections a run have one port. Whom the servers see is as the manual says.

use std::{collections::BTreeSet, net::IpAddr};

use foobar_tests::site::{EchoServer, Flows, Iperf, Mode, Net, Nginx, Requests, Site, Way, quiet, wrk};

const WEB: u16 = 80;
/// Of wrk and of iperf3, each way.
const SECONDS: u32 = 2;
/// Bits a second that iperf3 reaches through everything, on a machine that does much else.
const LEAST: f64 = 10e6;

foobar_tests::ways!(servers_serve:
    snat_v4 SNAT V4, snat_v6 SNAT V6, nat_v4 NAT V4, nat_v6 NAT V6, tunnel_v4 TUNNEL V4, tunnel_v6 TUNNEL V6);

fn servers_serve(way: Way) {
    let served = Served::new(way);
    let (network, service) = (&served.site.network, way.service());
    let url = if service.is_ipv4() { format!("http://{service}/") } else { format!("http://[{service}]/") };
    let said = quiet(network.inside("client", "curl").args(["-sS", "--noproxy", "*", "--max-time", "10", &url]));
    assert!(["b1 /\n", "b2 /\n"].contains(&said.as_str()), "{said}");

    let Requests { answered, failed, .. } = wrk(network, "client", &[service], SECONDS);
    println!("{way:?}: {answered} requests in {SECONDS} s");
    assert!(answered > 100 && failed == 0, "{way:?}: {answered} answers, {failed} failed");
    let logged: Vec<_> = served.nginx.iter().map(Nginx::logged).collect();
    // Those that were under way when wrk ended are logged too.
    assert!(
        logged.iter().all(|count| *count > 0) && logged.iter().sum::<u64>() > answered.into(),
        "{logged:?}, {answered}"
    );
    let seen: BTreeSet<_> = served.nginx.iter().flat_map(Nginx::clients).collect();
    assert!(!seen.is_empty() && seen.is_subset(&served.documented()), "{way:?}: {seen:?}");

    for flows in [Flows::Up, Flows::Down] {
        let rate = Iperf::measure(network, "client", service, flows, SECONDS);
        println!("{way:?}: {flows:?} {:.0} Mbit/s", rate / 1e6);
        assert!(rate > LEAST, "{way:?}, {flows:?}: {rate} bits a second");
    }
}

/// A service of nginx and one of iperf3 in front of two backends.
struct Served {
    way: Way,
    nginx: Vec<Nginx>,
    site: Site,
    _iperf: Vec<Iperf>,
    _echo: Vec<EchoServer>,
}

impl Served {
    fn new(way: Way) -> Self {
        let (site, echo) = way.site(2);
        let (hosts, backends) = (["b1", "b2"], [1, 2].map(|number| way.mode.layout.backend(way.family, number)));
        // The mode's port is the echo servers' own where there is one.
        let port = way.mode.port.map(|port| port + 1);
        let nginx = hosts.map(|host| Nginx::listen(&site.network, host, port.unwrap_or(WEB))).into();
        let iperf = hosts.map(|host| Iperf::serve(&site.network, host)).into();
        Way { mode: Mode { port, ..way.mode }, ..way }.add(&site, ("web", WEB), &backends, &[]);
        // The connection for the bytes has to come where that for the agreement is.
        let together = ["--affinity", "source"];
        let mode = Mode { port: way.mode.port.map(|_| Iperf::PORT), ..way.mode };
        Way { mode, ..way }.add(&site, ("iperf", Iperf::PORT), &backends, &together);
        Self { way, nginx, site, _iperf: iperf, _echo: echo }
    }

    /// Whom the servers see, by the manual.
    fn documented(&self) -> BTreeSet<IpAddr> {
        match self.way.mode.name {
            "snat" => self.site.network.outsides(self.way.family).into_iter().collect(),
            _ => [Net::Clients.address(self.way.family, 1)].into(),
        }
    }
}
