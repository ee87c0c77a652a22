//! A router with a smaller MTU stands between the client and everything else. What it says about a backend's large
//! answers reaches the backend that has the flow, in every way of forwarding, and no other; without its word nothing
//! arrives.

use std::{collections::BTreeSet, fs, net::IpAddr, time::Duration};

use foobar_tests::{
    frames::Family,
    site::{Layout, Net, Site, StreamServer, Target, Way, download},
};

const LEN: usize = 3_000_000;
const PORT: u16 = 5001;
/// The router's number in both of its networks, and the client's in the far one.
const NARROW: u8 = 5;
const FAR: u8 = 1;
/// Of the link between the two, while both ends of every connection think of 1500.
const MTU: u32 = 1300;
/// Downloads, each on a connection of its own: that all of them have the same backend of two is no matter of chance.
const MOST: usize = 40;

foobar_tests::ways!(who_answers_hears_that_it_is_too_much:
    dsr_v4 DSR V4, dsr_v6 DSR V6, tunnel_v4 TUNNEL V4, tunnel_v6 TUNNEL V6, gue_v4 GUE V4, gue_v6 GUE V6,
    nat_v4 NAT V4, nat_v6 NAT V6, snat_v4 SNAT V4, snat_v6 SNAT V6);

fn who_answers_hears_that_it_is_too_much(way: Way) {
    let path = Narrow::new(way);
    let mut served = BTreeSet::new();
    for _ in 0..MOST {
        let before = [1, 2].map(|number| path.told(number));
        let (owner, ended) = path.download(Duration::from_secs(10));
        ended.unwrap_or_else(|error| panic!("{way:?}: b{owner}'s answer did not arrive: {error}"));
        let (other, told) = (3 - owner, |number: u8| path.told(number) - before[usize::from(number) - 1]);
        assert_eq!(told(other), 0, "{way:?}: b{owner} has the flow, and b{other} was told");
        if served.insert(owner) {
            assert!(told(owner) > 0, "{way:?}: b{owner} was told nothing");
            assert!(path.learnt(owner), "{way:?}: b{owner} sends as before: {:?}", path.ways(owner));
        }
        if served.len() == 2 {
            return;
        }
        assert!(!path.learnt(other), "{way:?}: b{other} knows what it was not told: {:?}", path.ways(other));
    }
    panic!("{way:?}: all of {MOST} connections had one backend");
}

foobar_tests::ways!(without_the_word_nothing_arrives:
    unheard_dsr_v4 DSR V4, unheard_tunnel_v6 TUNNEL V6, unheard_nat_v4 NAT V4, unheard_snat_v6 SNAT V6);

/// The other test can fail: a denied error goes nowhere, and the transfer stands still.
fn without_the_word_nothing_arrives(way: Way) {
    let path = Narrow::new(way);
    let error = if way.family == Family::V4 { "icmp/destination-unreachable" } else { "icmpv6/packet-too-big" };
    path.site.tell(&["deny", error]);

    let (owner, ended) = path.download(Duration::from_secs(2));

    assert!(ended.is_err(), "{way:?}: b{owner}'s answer arrived");
    assert_eq!([1, 2].map(|number| (path.told(number), path.learnt(number))), [(0, false), (0, false)], "{way:?}");
    assert!(path.site.outcome("denied") > 0, "{way:?}: the router did say it");
}

/// A service in front of two backends, and a client that is behind a router with a smaller MTU.
struct Narrow {
    way: Way,
    site: Site,
    client: IpAddr,
}

impl Narrow {
    fn new(way: Way) -> Self {
        let (site, _echo) = way.site(2);
        for host in ["b1", "b2"] {
            site.network.within(host, || StreamServer::listen(way.mode.port.map_or(PORT, |_| PORT + 1)));
        }
        let network = &site.network;
        network.add_router("narrow", &[Net::Clients, Net::Far], NARROW);
        network.add_host("far", Net::Far, FAR);
        network.ip("narrow", &format!("link set eth1 mtu {MTU}\n"));
        let address = |net: Net, number| net.address(way.family, number);
        network.ip("far", &format!("route add default via {}\n", address(Net::Far, NARROW)));
        // Who sends to the clients' network by itself.
        let senders: &[&str] = match way.mode.layout {
            Layout::Bridge => &["b1", "b2"],
            Layout::Routed => &["lb"],
            Layout::Across => &["router"],
        };
        let len = if way.family == Family::V4 { 24 } else { 64 };
        let route = format!("route add {}/{len} via {}\n", address(Net::Far, 0), address(Net::Clients, NARROW));
        for host in senders {
            network.ip(host, &route);
        }
        let mode = foobar_tests::site::Mode { port: way.mode.port.map(|_| PORT + 1), ..way.mode };
        let backends = [1, 2].map(|number| way.mode.layout.backend(way.family, number));
        Way { mode, ..way }.add(&site, ("bulk", PORT), &backends, &[]);
        Self { way, site, client: address(Net::Far, FAR) }
    }

    /// Gets large answers over one connection: the number of the backend that has it, and how it ended.
    fn download(&self, patience: Duration) -> (u8, std::io::Result<()>) {
        let counted =
            || self.site.stats().services[0].backends.iter().map(|count| count.connections).collect::<Vec<_>>();
        let before = counted();
        let target = Target::new(self.way.service(), PORT).within(patience);
        let ended = self.site.network.within("far", || download(target, LEN));
        let moved: Vec<_> = counted().iter().zip(before).map(|(after, before)| after - before).collect();
        let owner = moved.iter().position(|count| *count == 1);
        assert_eq!(moved.iter().sum::<u64>(), 1, "one connection, of one backend: {moved:?}");
        (owner.expect("an owner") as u8 + 1, ended)
    }

    /// How many errors of this kind a backend's kernel has got.
    fn told(&self, number: u8) -> u64 {
        self.site.network.within(&format!("b{number}"), || match self.way.family {
            Family::V4 => icmp_counter("InDestUnreachs"),
            Family::V6 => icmpv6_counter("Icmp6InPktTooBigs"),
        })
    }

    /// Whether a backend knows the way's MTU.
    fn learnt(&self, number: u8) -> bool {
        self.ways(number).iter().any(|way| way.contains(&format!(" mtu {MTU}")))
    }

    /// How a backend sends to whom it sees as the client.
    fn ways(&self, number: u8) -> Vec<String> {
        let is_snat = self.way.mode.name == "snat";
        let seen = if is_snat { self.site.network.outsides(self.way.family) } else { vec![self.client] };
        seen.iter().map(|address| self.site.network.way(&format!("b{number}"), *address)).collect()
    }
}

fn icmp_counter(name: &str) -> u64 {
    let text = fs::read_to_string("/proc/thread-self/net/snmp").expect("the kernel's counters");
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Icmp: ")).map(|line| line.split(' '));
    let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
    let found = names.zip(values).find(|(found, _)| *found == name).unwrap_or_else(|| panic!("no counter {name}"));
    found.1.parse().expect("a number")
}

fn icmpv6_counter(name: &str) -> u64 {
    let text = fs::read_to_string("/proc/thread-self/net/snmp6").expect("the kernel's counters");
    let line = text.lines().find(|line| line.split_whitespace().next() == Some(name));
    let value = line.and_then(|line| line.split_whitespace().nth(1)).unwrap_or_else(|| panic!("no counter {name}"));
    value.parse().expect("a number")
}
