//! The ways of forwarding that tests of traffic run with.
//!
//! A mode is a constant here and two lines of [`every_way`](crate::every_way): then each of those tests has it.

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
}

impl Mode {
    pub const DSR: Self = Self { name: "dsr", layout: Layout::Bridge };
}

/// A mode, and the family of the service and its backends.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    pub mode: Mode,
    pub family: Family,
}

/// A test for each mode and family, that calls a function with its [`Way`].
#[macro_export]
macro_rules! every_way {
    ($test:ident) => {
        $crate::every_way!($test: dsr_v4 DSR V4);
        $crate::every_way!($test: dsr_v6 DSR V6);
    };
    ($test:ident: $name:ident $mode:ident $family:ident) => {
        #[test]
        fn $name() {
            $test($crate::site::Way {
                mode: $crate::site::Mode::$mode,
                family: $crate::frames::Family::$family,
            });
        }
    };
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

    /// A site with foobar running and attached, and an echo server on each backend.
    pub fn site(self, backends: u8) -> (Site, Vec<EchoServer>) {
        privilege::demand();
        open_many();
        let network = Network::lay(self.mode.layout, backends);
        let mut site = Site { servers: Vec::new(), foobar: Foobar::new(&network.names), network };
        let listen = |host: String| site.network.within(&host, || EchoServer::listen(&host, ECHO));
        let servers = (1..=backends).map(|number| listen(format!("b{number}"))).collect();
        site.foobar.start();
        site.attach();
        (site, servers)
    }

    /// Adds the service `echo` in front of some backends; `more` are further words of the command.
    pub fn serve(self, site: &Site, backends: &[u8], more: &[&str]) {
        let (service, port) = (self.service().to_string(), format!("tcp/{ECHO}"));
        let backends: Vec<_> = backends.iter().map(|number| self.backend(*number)).collect();
        let mut words = vec!["service", "add", "echo", &service, &port, "--forward", self.mode.name];
        words.extend(backends.iter().flat_map(|backend| ["--backend", backend.as_str()]));
        words.extend(more);
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

/// Raises how many files this process may have open to what it may ask for.
fn open_many() {
    let limit = getrlimit(Resource::Nofile);
    // Where this is refused, connections that cannot be made say so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}
