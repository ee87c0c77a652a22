//! The ways of forwarding that tests of traffic run with.
//!
//! A mode is a constant here and a name in the list of each test that has it, see [`ways`](crate::ways).

use std::net::{IpAddr, SocketAddr};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{
    EchoServer, Echoes, Shorts, Site, client::Target, daemon::Foobar, layout::Layout, network::Network, privilege,
};
use crate::frames::Family;

/// What is said to foobar, and what the network has to be like.
#[derive(Clone, Copy, Debug)]
pub struct Mode {
    /// Behind `--forward`.
    pub name: &'static str,
    pub layout: Layout,
    /// Where the backends listen, if it is not the service's port.
    pub port: Option<u16>,
    /// Further words.
    pub more: &'static [&'static str],
}

impl Mode {
    pub const DSR: Self = Self { name: "dsr", layout: Layout::Bridge, port: None, more: &[] };
    /// Each backend runs a foobar of its own, that takes the tunnels off.
    pub const TUNNEL: Self = Self { name: "tunnel", layout: Layout::Across, ..Self::DSR };
    pub const GUE: Self = Self { more: &["--encapsulation", "gue"], ..Self::TUNNEL };
    pub const NAT: Self = Self { name: "nat", layout: Layout::Routed, port: Some(8080), more: &[] };
    /// From four addresses.
    pub const SNAT: Self = Self { name: "snat", layout: Layout::Routed, ..Self::DSR };

    fn is(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// A mode, and the family of the service and its backends.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    pub mode: Mode,
    pub family: Family,
}

/// A test for some modes and families, by their names, that calls a function with its [`Way`]; and, where `FOOBAR_WAYS` is
/// `all`, with those behind each `+` too.
#[macro_export]
macro_rules! ways {
    ($test:ident: $($name:ident $mode:ident $family:ident $(+ $far:ident $other:ident)*),+) => {
        $(
            #[test]
            fn $name() {
                $test($crate::way!($mode $family));
                if $crate::site::in_all_ways() {
                    $($test($crate::way!($far $other));)*
                }
            }
        )+
    };
}

/// A [`Way`] by its mode and family.
#[macro_export]
macro_rules! way {
    ($mode:ident $family:ident) => {
        $crate::site::Way { mode: $crate::site::Mode::$mode, family: $crate::frames::Family::$family }
    };
}

/// Whether tests run in every way of forwarding, and not only in some.
///
/// # Panics
///
/// Where the variable says something else.
pub fn in_all_ways() -> bool {
    let wanted = std::env::var("FOOBAR_WAYS").ok();
    assert!(wanted.as_deref().is_none_or(|text| text == "all"), "FOOBAR_WAYS is `all`, or not there");
    wanted.is_some()
}

/// The port of the echo servers.
const ECHO: u16 = 7;

impl Way {
    pub const fn service(self) -> IpAddr {
        Network::service(self.family)
    }

    pub const fn target(self) -> Target {
        Target::new(self.service(), ECHO)
    }

    /// A backend's address by its number.
    pub fn backend(self, number: u8) -> String {
        self.mode.layout.backend(self.family, number).to_string()
    }

    /// The same with the port where it listens, as one is added.
    pub fn new_backend(self, number: u8) -> String {
        self.listening(self.mode.layout.backend(self.family, number))
    }

    fn listening(self, address: IpAddr) -> String {
        self.mode.port.map_or_else(|| address.to_string(), |port| SocketAddr::new(address, port).to_string())
    }

    /// A site with foobar running and attached, and an echo server on each backend.
    pub fn site(self, backends: u8) -> (Site, Vec<EchoServer>) {
        privilege::demand();
        open_many();
        let network = Network::lay(self.mode.layout, backends);
        if self.mode.is(&Mode::SNAT) {
            network.add_outsides(self.family);
        }
        let hosts: Vec<_> = (1..=backends).map(|number| format!("b{number}")).collect();
        let takes_off = if self.mode.is(&Mode::TUNNEL) { hosts.as_slice() } else { &[] };
        let ends = takes_off.iter().map(|host| end(&network, host)).collect();
        let mut site = Site { servers: Vec::new(), foobar: Foobar::new(&network.names), ends, network };
        let port = self.mode.port.unwrap_or(ECHO);
        let listen = |host: &String| site.network.within(host, || EchoServer::listen(host, port));
        let servers = hosts.iter().map(listen).collect();
        site.foobar.start();
        site.attach();
        (site, servers)
    }

    /// Adds the service `echo` in front of some backends; `more` are further words of the command.
    pub fn serve(self, site: &Site, backends: &[u8], more: &[&str]) {
        let backends: Vec<_> = backends.iter().map(|number| self.mode.layout.backend(self.family, *number)).collect();
        self.add(site, ("echo", ECHO), &backends, more);
    }

    /// Adds a service by its name and port in front of such backends, of whichever family.
    pub fn add(self, site: &Site, (name, port): (&str, u16), backends: &[IpAddr], more: &[&str]) {
        let (service, port) = (self.service().to_string(), format!("tcp/{port}"));
        let backends: Vec<_> = backends.iter().map(|address| self.listening(*address)).collect();
        let is_snat = self.mode.is(&Mode::SNAT);
        let outsides = if is_snat { site.network.outsides(self.family) } else { Vec::new() };
        let outsides: Vec<_> = outsides.iter().map(ToString::to_string).collect();
        let mut words = vec!["service", "add", name, &service, &port, "--forward", self.mode.name];
        words.extend(backends.iter().flat_map(|backend| ["--backend", backend.as_str()]));
        words.extend(outsides.iter().flat_map(|address| ["--snat", address.as_str()]));
        words.extend(self.mode.more.iter().chain(more));
        site.tell(&words);
        site.wait_for_next_hops();
    }

    /// Opens connections of the client that keep echoing.
    pub fn echoes(self, site: &Site, sources: &[IpAddr], count: usize) -> Echoes {
        Echoes::open(&site.network.names.namespace("client"), self.target(), sources, count)
    }

    /// Begins short connections of the client.
    pub fn shorts(self, site: &Site, sources: &[IpAddr], per_second: u32) -> Shorts {
        let address = SocketAddr::new(self.service(), ECHO);
        Shorts::begin(&site.network.names.namespace("client"), address, sources, per_second)
    }
}

/// A backend's foobar, that takes the balancer's tunnels off and lets all else pass.
fn end(network: &Network, host: &str) -> Foobar {
    let mut foobar = Foobar::of(&network.names, host);
    let from = network.layout.balancer_addresses().map(|address| format!("\"{address}\"")).join(", ");
    foobar.configure(&format!("interfaces = [\"eth0\"]\n\n[tunnels]\nfrom = [{from}]\n"));
    foobar.start();
    foobar
}

/// Raises how many files this process may have open to what it may ask for.
fn open_many() {
    let limit = getrlimit(Resource::Nofile);
    // Where this is refused, connections that cannot be made say so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}
