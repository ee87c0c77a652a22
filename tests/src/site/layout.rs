//! How the site's machines are connected: what each way of forwarding needs of the network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{
    network::{Network, SERVICE, SERVICE_6},
    shell::quiet,
};
use crate::frames::Family;

/// Addresses of the client beside its first one, from which short connections come.
const SOURCES: std::ops::Range<u8> = 201..209;
/// Addresses of the balancer in the backends' network, beside its own.
const OUTSIDES: std::ops::Range<u8> = 201..205;
const BALANCER: u8 = 2;
const ROUTER: u8 = 3;
const DETOUR: u8 = 4;

/// The ways from the client over the balancer to the backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Everything on one bridge; backends have the service's addresses and answer the client themselves.
    Bridge,
    /// The balancer has an interface on either side and is the router between; backends know no service address.
    Routed,
    /// A router is between the balancer and the backends, which have the service's addresses; it sends what they answer
    /// to the client without the balancer.
    Across,
}

/// A bridge, and what is addressed on it: 10.77.0.0/24 and `fd77::/64`, and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Net {
    Clients,
    Backends,
    /// Of the balancer and the router.
    Between,
    /// Behind a router of the clients' network.
    Far,
}

impl Net {
    pub const fn v4(self, host: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, 77 + self as u8, 0, host))
    }

    pub const fn v6(self, host: u16) -> IpAddr {
        IpAddr::V6(Ipv6Addr::new(0xfd77 + self as u16, 0, 0, 0, 0, 0, 0, host))
    }

    pub const fn address(self, family: Family, host: u8) -> IpAddr {
        match family {
            Family::V4 => self.v4(host),
            Family::V6 => self.v6(host as u16),
        }
    }

    pub(super) const fn bridge(self) -> &'static str {
        match self {
            Self::Clients => "br0",
            Self::Backends => "br1",
            Self::Between => "br2",
            Self::Far => "br3",
        }
    }
}

impl Layout {
    /// Where the backends are.
    pub const fn backends(self) -> Net {
        match self {
            Self::Bridge => Net::Clients,
            Self::Routed | Self::Across => Net::Backends,
        }
    }

    /// Whom the balancer's tunnels come from, by whichever interface.
    pub(super) const fn balancer_addresses(self) -> [IpAddr; 4] {
        let beyond = self.beyond();
        let clients = Net::Clients;
        [clients.v4(BALANCER), clients.v6(BALANCER as u16), beyond.v4(BALANCER), beyond.v6(BALANCER as u16)]
    }

    /// The network of the balancer's last interface.
    const fn beyond(self) -> Net {
        match self {
            Self::Bridge => Net::Clients,
            Self::Routed => Net::Backends,
            Self::Across => Net::Between,
        }
    }

    pub const fn backend(self, family: Family, number: u8) -> IpAddr {
        self.backends().address(family, 10 + number)
    }

    /// The balancer's interfaces, each with the port of the switch that is its other end.
    pub const fn balancer_interfaces(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Bridge => &[("eth0", "lb")],
            Self::Routed | Self::Across => &[("eth0", "lb"), ("eth1", "lb1")],
        }
    }

    pub(super) const fn backends_have_the_service(self) -> bool {
        matches!(self, Self::Bridge | Self::Across)
    }

    /// Whom the backends send to what is not in their own network.
    pub(super) const fn router(self) -> Option<u8> {
        match self {
            Self::Bridge => None,
            Self::Routed => Some(BALANCER),
            Self::Across => Some(ROUTER),
        }
    }
}

impl Network {
    /// The service's address.
    pub const fn service(family: Family) -> IpAddr {
        match family {
            Family::V4 => SERVICE,
            Family::V6 => SERVICE_6,
        }
    }

    /// Gives the client more addresses, and returns them.
    pub fn add_sources(&self, family: Family) -> Vec<IpAddr> {
        self.number("client", "eth0", Net::Clients, family, SOURCES)
    }

    /// Gives the balancer more addresses on the backends' side, and returns them.
    pub fn add_outsides(&self, family: Family) -> Vec<IpAddr> {
        let (interface, _) = self.layout.balancer_interfaces().last().expect("the balancer has an interface");
        self.number("lb", interface, self.layout.beyond(), family, OUTSIDES)
    }

    /// Those addresses.
    pub fn outsides(&self, family: Family) -> Vec<IpAddr> {
        OUTSIDES.map(|number| self.layout.beyond().address(family, number)).collect()
    }

    /// A second router before the backends, beside the first one and in the clients' network: its number in each.
    pub fn add_detour(&self) -> u8 {
        self.add_router("detour", &[Net::Clients, Net::Backends, Net::Between], DETOUR);
        DETOUR
    }

    /// One more host, with the addresses of its number in a network.
    pub fn add_host(&self, host: &str, net: Net, number: u8) {
        self.add(host);
        self.wire(host, "eth0", host, net, number);
    }

    /// One more router: its `eth0` in the first network, `eth1` in the second and so on, with the same number in each.
    pub fn add_router(&self, host: &str, nets: &[Net], number: u8) {
        self.add(host);
        self.forward(host);
        for (index, net) in nets.iter().enumerate() {
            let port = if index == 0 { host.to_owned() } else { format!("{host}{index}") };
            self.wire(host, &format!("eth{index}"), &port, *net, number);
        }
    }

    fn number(
        &self,
        host: &str,
        interface: &str,
        net: Net,
        family: Family,
        numbers: std::ops::Range<u8>,
    ) -> Vec<IpAddr> {
        let addresses: Vec<_> = numbers.map(|number| net.address(family, number)).collect();
        let rest = if family == Family::V4 { "/24 dev" } else { "/64 nodad dev" };
        let lines = addresses.iter().map(|address| format!("address add {address}{rest} {interface}\n"));
        self.ip(host, &lines.collect::<String>());
        addresses
    }

    /// What is between the client's network and the backends'.
    pub(super) fn connect(&self) {
        match self.layout {
            Layout::Bridge => {}
            Layout::Routed => {
                self.wire("lb", "eth1", "lb1", Net::Backends, BALANCER);
                self.forward("lb");
                self.route("client", Net::Clients, BALANCER);
            }
            Layout::Across => {
                self.add_router("router", &[Net::Clients, Net::Backends, Net::Between], ROUTER);
                self.wire("lb", "eth1", "lb1", Net::Between, BALANCER);
                self.route("lb", Net::Between, ROUTER);
                self.route("client", Net::Clients, ROUTER);
            }
        }
    }

    /// Makes a router of a host.
    pub fn forward(&self, host: &str) {
        self.set(host, &[("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1")]);
        // A changed MAC is announced, as routers do.
        self.set(host, &[("ipv4/conf/all/arp_notify", "1"), ("ipv6/conf/all/ndisc_notify", "1")]);
        // Who is a router within one network is one on purpose.
        self.set(host, &[("ipv4/conf/all/send_redirects", "0"), ("ipv4/conf/default/send_redirects", "0")]);
        // Answers from a service's address come in by the interface of the backends.
        self.set(host, &[("ipv4/conf/all/rp_filter", "0"), ("ipv4/conf/default/rp_filter", "0")]);
    }

    /// A host's way to the backends.
    fn route(&self, host: &str, by: Net, router: u8) {
        let (v4, v6) = (by.v4(router), by.v6(router.into()));
        let (to_v4, to_v6) = (Net::Backends.v4(0), Net::Backends.v6(0));
        self.ip(host, &format!("route add {to_v4}/24 via {v4}\nroute add {to_v6}/64 via {v6}\n"));
    }

    /// Takes a backend's only link down: whatever was on its way to it is lost.
    pub fn unplug(&self, host: &str) {
        self.ip(host, "link set eth0 down\n");
    }

    /// How a host routes to an address, as `ip route get` says it.
    pub fn way(&self, host: &str, to: IpAddr) -> String {
        quiet(std::process::Command::new("ip").args([
            "-n",
            &self.names.namespace(host),
            "route",
            "get",
            &to.to_string(),
        ]))
    }
}
