//! From what the kernel knows about an address to the way there, or a sentence about why there is none. Pure.

use std::net::IpAddr;

use ipnet::IpNet;

use super::NextHop;

/// What the kernel's routes say about an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    OnLink(Path),
    /// Through a router; `None` where that is no address that has a neighbour.
    Gateway(Option<IpAddr>, Path),
    /// One of this host's own addresses.
    Local,
    /// Nothing, or a route that says no.
    Unreachable,
    /// Broadcast, multicast and the like.
    NotOneHost,
}

/// The interface that a route leaves by, and what it says beside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Path {
    pub ifindex: u32,
    /// This host's address on it.
    pub source: Option<IpAddr>,
    /// Where the route has one of its own.
    pub mtu: Option<u32>,
}

impl Route {
    /// Whose MAC is asked for to get to an address, and by which interface.
    pub fn neighbour(&self, address: IpAddr) -> Option<(u32, IpAddr)> {
        match self {
            Self::OnLink(path) => Some((path.ifindex, address)),
            Self::Gateway(gateway, path) => gateway.map(|gateway| (path.ifindex, gateway)),
            Self::Local | Self::Unreachable | Self::NotOneHost => None,
        }
    }
}

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub name: String,
    /// Absent where frames have none.
    pub mac: Option<[u8; 6]>,
    /// Up, with a carrier.
    pub works: bool,
    pub mtu: u32,
}

/// What the kernel knows of a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Neighbour {
    /// Confirmed lately, or set by hand.
    Sure([u8; 6]),
    /// Being confirmed.
    Checked([u8; 6]),
    /// Confirmed once.
    Stale([u8; 6]),
    /// Being asked for.
    Asked,
    /// Asked for in vain.
    Silent,
}

/// The networks that interfaces have addresses in, by the interface's index.
#[derive(Debug, Default)]
pub(super) struct Networks(pub Vec<(u32, IpNet)>);

impl Networks {
    /// The length of the longest prefix of an interface's that an address is in.
    pub fn around(&self, ifindex: u32, address: IpAddr) -> Option<u8> {
        let here = self.0.iter().filter(|(index, network)| *index == ifindex && network.contains(&address));
        here.map(|(_, network)| network.prefix_len()).max()
    }
}

/// The way to an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Found(NextHop),
    /// There is an interface, but nobody has answered on it yet, or any more.
    Unanswered {
        ifindex: u32,
        problem: String,
    },
    None(String),
}

/// Judges one address. `link` is that of an on-link route.
pub(super) fn judge(address: IpAddr, route: Route, link: Option<&Link>, neighbour: Option<Neighbour>) -> Way {
    let (gateway, path) = match route {
        Route::OnLink(path) => (None, path),
        Route::Gateway(Some(gateway), path) => (Some(gateway), path),
        Route::Gateway(None, _) => return Way::None(format!("{address} is reached through a tunnel of the kernel's")),
        Route::Local => return Way::Found(NextHop::here()),
        Route::Unreachable => return Way::None(format!("no route to {address}")),
        Route::NotOneHost => return Way::None(format!("{address} is not the address of one host")),
    };
    let Some(link) = link else { return Way::None(format!("no route to {address}")) };
    let name = &link.name;
    let Some(source_mac) = link.mac else {
        return Way::None(format!("{address} is reached through {name}, which is not Ethernet: a frame needs a MAC"));
    };
    if !link.works {
        return Way::None(format!("{address} is reached through {name}, which has no carrier"));
    }
    let Some(destination_mac) = neighbour.and_then(mac) else {
        let problem = match gateway {
            Some(gateway) => format!("{}, and is the way to {address}", unanswered(gateway, name)),
            None => unanswered(address, name),
        };
        return Way::Unanswered { ifindex: path.ifindex, problem };
    };
    Way::Found(NextHop {
        interface: name.clone(),
        ifindex: path.ifindex,
        destination_mac,
        source_mac,
        gateway,
        source: path.source,
        network: None,
        mtu: path.mtu.unwrap_or(link.mtu),
    })
}

fn mac(neighbour: Neighbour) -> Option<[u8; 6]> {
    match neighbour {
        Neighbour::Sure(mac) | Neighbour::Checked(mac) | Neighbour::Stale(mac) => Some(mac),
        Neighbour::Asked | Neighbour::Silent => None,
    }
}

fn unanswered(address: IpAddr, interface: &str) -> String {
    let question = if address.is_ipv4() { "ARP" } else { "neighbour discovery" };
    format!("{address} does not answer {question} on {interface}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const THEIRS: [u8; 6] = [2, 0, 0, 0, 0, 9];
    const OURS: [u8; 6] = [2, 0, 0, 0, 0, 1];

    fn judged(route: Route, link: &Link, neighbour: Option<Neighbour>) -> Way {
        judge("10.0.0.9".parse().unwrap(), route, Some(link), neighbour)
    }

    fn path() -> Path {
        Path { ifindex: 3, source: Some("10.0.0.1".parse().unwrap()), mtu: None }
    }

    fn hop() -> NextHop {
        NextHop {
            interface: "eth0".into(),
            ifindex: 3,
            destination_mac: THEIRS,
            source_mac: OURS,
            gateway: None,
            source: path().source,
            network: None,
            mtu: 1500,
        }
    }

    fn eth0() -> Link {
        Link { name: "eth0".into(), mac: Some(OURS), works: true, mtu: 1500 }
    }

    #[test]
    fn an_address_is_in_the_smallest_network_of_its_interface() {
        let network = |ifindex, text: &str| (ifindex, text.parse().unwrap());
        let networks = Networks(vec![
            network(3, "10.0.0.1/8"),
            network(3, "10.0.0.1/24"),
            network(4, "10.0.0.1/30"),
            network(3, "2001:db8::1/64"),
        ]);
        let around = |ifindex, address: &str| networks.around(ifindex, address.parse().unwrap());
        assert_eq!(around(3, "10.0.0.2"), Some(24));
        assert_eq!(around(3, "10.0.1.2"), Some(8));
        assert_eq!(around(4, "10.0.0.9"), None);
        assert_eq!(around(3, "2001:db8::2"), Some(64));
    }

    #[test]
    fn a_known_neighbour_is_a_way_however_old() {
        for neighbour in [Neighbour::Sure(THEIRS), Neighbour::Checked(THEIRS), Neighbour::Stale(THEIRS)] {
            let way = judged(Route::OnLink(path()), &eth0(), Some(neighbour));
            assert_eq!(way, Way::Found(hop()));
        }
    }

    #[test]
    fn a_gateway_is_a_way_and_a_route_may_have_an_mtu_of_its_own() {
        let gateway: IpAddr = "10.1.0.1".parse().unwrap();
        let route = Route::Gateway(Some(gateway), Path { mtu: Some(1400), ..path() });
        assert_eq!(route.neighbour("10.0.0.9".parse().unwrap()), Some((3, gateway)));
        let way = judged(route, &eth0(), Some(Neighbour::Sure(THEIRS)));
        assert_eq!(way, Way::Found(NextHop { gateway: Some(gateway), mtu: 1400, ..hop() }));
        let Way::Unanswered { problem, .. } = judged(route, &eth0(), None) else { panic!("a silent gateway") };
        assert_eq!(problem, "10.1.0.1 does not answer ARP on eth0, and is the way to 10.0.0.9");
    }

    #[test]
    fn an_address_of_this_host_is_here() {
        assert_eq!(judged(Route::Local, &eth0(), None), Way::Found(NextHop::here()));
    }

    #[test]
    fn silence_is_said_in_the_family_s_own_words() {
        for neighbour in [None, Some(Neighbour::Asked), Some(Neighbour::Silent)] {
            let way = judged(Route::OnLink(path()), &eth0(), neighbour);
            let problem = "10.0.0.9 does not answer ARP on eth0".to_owned();
            assert_eq!(way, Way::Unanswered { ifindex: 3, problem });
        }
        assert!(unanswered("2001:db8::9".parse().unwrap(), "eth0").contains("neighbour discovery"));
    }

    #[test]
    fn every_other_way_has_its_sentence() {
        let deaf = Link { works: false, ..eth0() };
        let tunnel = Link { mac: None, ..eth0() };
        let on_link = Route::OnLink(path());
        for (route, link, words) in [
            (Route::Gateway(None, path()), &eth0(), "a tunnel of the kernel's"),
            (Route::Unreachable, &eth0(), "no route to 10.0.0.9"),
            (Route::NotOneHost, &eth0(), "not the address of one host"),
            (on_link, &deaf, "no carrier"),
            (on_link, &tunnel, "not Ethernet"),
        ] {
            let Way::None(problem) = judged(route, link, Some(Neighbour::Sure(THEIRS))) else { panic!("{words}") };
            assert!(problem.contains(words), "{problem}");
        }
    }
}
