//! From what the kernel knows about an address to the way there, or a sentence about why there is none. Pure.

use std::net::IpAddr;

use super::NextHop;

/// What the kernel's routes say about an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    OnLink {
        ifindex: u32,
    },
    Gateway {
        gateway: Option<IpAddr>,
    },
    /// One of this host's own addresses.
    Local,
    /// Nothing, or a route that says no.
    Unreachable,
    /// Broadcast, multicast and the like.
    NotOneHost,
}

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub name: String,
    /// Absent where frames have none.
    pub mac: Option<[u8; 6]>,
    /// Up, with a carrier.
    pub works: bool,
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
    let ifindex = match route {
        Route::OnLink { ifindex } => ifindex,
        Route::Gateway { gateway } => return Way::None(through_gateway(address, gateway)),
        Route::Local => return Way::None(format!("{address} is this host itself")),
        Route::Unreachable => return Way::None(format!("no route to {address}")),
        Route::NotOneHost => return Way::None(format!("{address} is not the address of one host")),
    };
    let Some(link) = link else { return Way::None(format!("no route to {address}")) };
    let name = &link.name;
    let Some(source_mac) = link.mac else {
        return Way::None(format!("{address} is reached through {name}, which is not Ethernet: dsr needs a MAC"));
    };
    if !link.works {
        return Way::None(format!("{address} is reached through {name}, which has no carrier"));
    }
    match neighbour.and_then(mac) {
        Some(destination_mac) => Way::Found(NextHop { interface: name.clone(), ifindex, destination_mac, source_mac }),
        None => Way::Unanswered { ifindex, problem: unanswered(address, name) },
    }
}

fn mac(neighbour: Neighbour) -> Option<[u8; 6]> {
    match neighbour {
        Neighbour::Sure(mac) | Neighbour::Checked(mac) | Neighbour::Stale(mac) => Some(mac),
        Neighbour::Asked | Neighbour::Silent => None,
    }
}

fn through_gateway(address: IpAddr, gateway: Option<IpAddr>) -> String {
    let gateway = gateway.map_or_else(|| "a gateway".to_owned(), |gateway| format!("the gateway {gateway}"));
    format!("{address} is reached through {gateway}: dsr needs the backend on the same L2 segment")
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

    fn eth0() -> Link {
        Link { name: "eth0".into(), mac: Some(OURS), works: true }
    }

    #[test]
    fn a_known_neighbour_is_a_way_however_old() {
        for neighbour in [Neighbour::Sure(THEIRS), Neighbour::Checked(THEIRS), Neighbour::Stale(THEIRS)] {
            let way = judged(Route::OnLink { ifindex: 3 }, &eth0(), Some(neighbour));

            let hop = NextHop { interface: "eth0".into(), ifindex: 3, destination_mac: THEIRS, source_mac: OURS };
            assert_eq!(way, Way::Found(hop));
        }
    }

    #[test]
    fn silence_is_said_in_the_family_s_own_words() {
        for neighbour in [None, Some(Neighbour::Asked), Some(Neighbour::Silent)] {
            let way = judged(Route::OnLink { ifindex: 3 }, &eth0(), neighbour);
            let problem = "10.0.0.9 does not answer ARP on eth0".to_owned();
            assert_eq!(way, Way::Unanswered { ifindex: 3, problem });
        }
        assert!(unanswered("2001:db8::9".parse().unwrap(), "eth0").contains("neighbour discovery"));
    }

    #[test]
    fn every_other_way_has_its_sentence() {
        let gateway = Some("10.1.0.1".parse().unwrap());
        let deaf = Link { works: false, ..eth0() };
        let tunnel = Link { mac: None, ..eth0() };
        let on_link = Route::OnLink { ifindex: 3 };
        for (route, link, words) in [
            (Route::Gateway { gateway }, &eth0(), "the gateway 10.1.0.1"),
            (Route::Gateway { gateway: None }, &eth0(), "a gateway"),
            (Route::Local, &eth0(), "this host itself"),
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
