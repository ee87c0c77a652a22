//! The site's machines: network namespaces as ports of bridges.
//!
//! Where backends have the service's addresses, those are on their loopback, and they never say so: the balancer does.

use std::{fs, net::IpAddr, path::Path, process::Command};

use foobar_userspace::netns;

use super::{
    layout::{Layout, Net},
    names::{Names, remove_left_behind},
    shell::{fed, mortal_inside, quiet},
};

pub const SERVICE: IpAddr = v4(100);
pub const SERVICE_6: IpAddr = v6(0x100);
pub const BALANCER: IpAddr = v4(2);
/// The client's second address, for rules against somebody.
pub const INTRUDER: IpAddr = v4(66);

/// One more address of the network that nobody has.
pub const NOBODY: IpAddr = v4(250);

/// The namespaces, removed when this is dropped.
#[derive(Debug)]
pub struct Network {
    pub names: Names,
    pub layout: Layout,
}

impl Network {
    /// A client, a balancer and `backends` backends, b1 and so on, all on one bridge.
    pub fn build(backends: u8) -> Self {
        Self::lay(Layout::Bridge, backends)
    }

    /// The same machines, connected otherwise.
    pub fn lay(layout: Layout, backends: u8) -> Self {
        remove_left_behind();
        let network = Self { names: Names::fresh(), layout };
        fs::create_dir(network.names.directory()).expect("a directory for the site");
        fs::create_dir(network.names.pin_parent()).expect("a directory for the site's pins");
        network.add("sw");
        network.add("client");
        network.plug("client", 1);
        network.ip("client", &format!("address add {INTRUDER}/24 dev eth0\n"));
        network.add("lb");
        network.plug_balancer();
        network.connect();
        for number in 1..=backends {
            network.add_backend(number);
        }
        network
    }

    /// The balancer's interface, with the service's addresses on it.
    pub fn plug_balancer(&self) {
        self.plug("lb", 2);
        self.ip("lb", &format!("address add {SERVICE}/32 dev eth0\naddress add {SERVICE_6}/128 dev eth0 nodad\n"));
    }

    /// Runs `ip` commands on a host.
    pub fn ip(&self, host: &str, lines: &str) {
        fed(Command::new("ip").args(["-n", &self.names.namespace(host), "-batch", "-"]), lines);
    }

    /// Does something in a host's network namespace, on a thread of its own.
    pub fn within<T: Send>(&self, host: &str, work: impl FnOnce() -> T + Send) -> T {
        netns::within(&self.names.namespace(host), work).unwrap_or_else(|refusal| panic!("{host}: {refusal}"))
    }

    /// A command on a host, that ends with this thread.
    pub fn inside(&self, host: &str, program: &str) -> Command {
        mortal_inside(&self.names.namespace_path(host), program)
    }

    pub(super) fn add(&self, host: &str) {
        quiet(Command::new("ip").args(["netns", "add", &self.names.namespace(host)]));
        // Addresses are good at once.
        self.set(host, &[("ipv6/conf/all/accept_dad", "0"), ("ipv6/conf/default/accept_dad", "0")]);
        self.set(host, &[("ipv6/conf/default/router_solicitations", "0")]);
        self.ip(host, "link set lo up\n");
    }

    /// One more backend, on which nothing listens yet. Returns the host's name.
    pub fn add_backend(&self, number: u8) -> String {
        let host = format!("b{number}");
        self.add(&host);
        self.set(&host, &[("ipv4/conf/all/arp_ignore", "1"), ("ipv4/conf/all/arp_announce", "2")]);
        // A changed MAC is announced.
        self.set(&host, &[("ipv4/conf/all/arp_notify", "1"), ("ipv6/conf/all/ndisc_notify", "1")]);
        let net = self.layout.backends();
        self.wire(&host, "eth0", &host, net, 10 + number);
        if self.layout.backends_have_the_service() {
            self.ip(&host, &format!("address add {SERVICE}/32 dev lo\naddress add {SERVICE_6}/128 dev lo nodad\n"));
        }
        if let Some(router) = self.layout.router() {
            let (v4, v6) = (net.v4(router), net.v6(router.into()));
            self.ip(&host, &format!("route add default via {v4}\nroute add default via {v6}\n"));
        }
        host
    }

    /// A veth pair between a host's `eth0` in the clients' network and the bridge's port that carries the host's name.
    fn plug(&self, host: &str, number: u8) {
        self.wire(host, "eth0", host, Net::Clients, number);
    }

    /// A veth pair between a host's interface, with the addresses of its number, and a port of a network's bridge.
    pub(super) fn wire(&self, host: &str, interface: &str, port: &str, net: Net, number: u8) {
        let (namespace, bridge) = (self.names.namespace(host), net.bridge());
        if !self.within("sw", || Path::new("/proc/sys/net/ipv4/conf").join(bridge).exists()) {
            let kind = "type bridge stp_state 0 forward_delay 0 mcast_snooping 0";
            self.ip("sw", &format!("link add {bridge} {kind}\nlink set {bridge} up\n"));
            self.keep_filters_off_the_switch();
        }
        let pair = format!("link add {port} type veth peer name {interface} netns {namespace}");
        self.ip("sw", &format!("{pair}\nlink set {port} master {bridge} up\n"));
        let (v4, v6) = (net.v4(number), net.v6(number.into()));
        let addresses = format!("address add {v4}/24 dev {interface}\naddress add {v6}/64 dev {interface} nodad\n");
        self.ip(host, &format!("link set {interface} up\n{addresses}"));
        // Else a rewritten frame leaves with the partial checksum of a locally made one; and what is captured is what
        // is on the wire.
        quiet(self.inside(host, "ethtool").args(["-K", interface, "tx", "off", "tso", "off", "gso", "off"]));
    }

    /// A switch asks no IP filters of what it forwards; a bridge does where the kernel has `br_netfilter`.
    fn keep_filters_off_the_switch(&self) {
        for call in ["arptables", "iptables", "ip6tables"] {
            let key = format!("bridge/bridge-nf-call-{call}");
            if self.within("sw", || Path::new("/proc/sys/net").join(&key).exists()) {
                self.set("sw", &[(&key, "0")]);
            }
        }
    }

    pub(super) fn set(&self, host: &str, settings: &[(&str, &str)]) {
        self.within(host, || {
            for (key, value) in settings {
                fs::write(format!("/proc/sys/net/{key}"), value).unwrap_or_else(|error| panic!("net/{key}: {error}"));
            }
        });
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.names.remove();
    }
}

/// A backend's address by its number.
pub const fn backend(number: u8) -> IpAddr {
    v4(10 + number)
}

/// The same for IPv6.
pub const fn backend_6(number: u8) -> IpAddr {
    v6(10 + number as u16)
}

const fn v4(host: u8) -> IpAddr {
    Net::Clients.v4(host)
}

const fn v6(host: u16) -> IpAddr {
    Net::Clients.v6(host)
}
