//! A site: a client, a balancer that runs the real `foobar`, and backends, each in a network namespace of its own.
//!
//! Dropping a [`Site`] leaves nothing behind, after a panic too; what a killed test left, the next one removes.

mod capture;
mod checked;
mod client;
mod daemon;
mod echo;
mod echoes;
mod flood;
mod http;
mod iperf;
mod layout;
mod load;
mod memory;
mod mode;
mod names;
mod network;
mod nginx;
mod pings;
mod poll;
mod privilege;
mod shell;
mod shorts;
mod stream;
mod wrk;

use std::{net::IpAddr, thread, time::Duration};

use foobar_userspace::api::types::{RuleLine, Stats, Status};

pub use self::{
    capture::{Capture, Sent},
    checked::Checked,
    client::{Answer, Connection, Target},
    daemon::{Foobar, said},
    echo::EchoServer,
    echoes::{Broken, Echo, Echoes},
    flood::{Flood, flood, forge},
    http::Server,
    iperf::{Flows, Iperf},
    layout::{Layout, Net},
    load::{Fate, Held, Load, Tally},
    memory::Memory,
    mode::{Mode, Way, in_all_ways},
    network::{BALANCER, INTRUDER, NOBODY, Network, SERVICE, SERVICE_6, backend, backend_6},
    nginx::Nginx,
    pings::Pings,
    shell::{Beside, Said, mortal, quiet, wait_until},
    shorts::{Short, Shorts},
    stream::{StreamServer, download, upload},
    wrk::{Requests, wrk},
};

/// How long anything may take that is not a matter of speed.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// The site. What is declared first is removed first.
pub struct Site {
    pub servers: Vec<Server>,
    pub foobar: Foobar,
    /// Those of backends that take tunnels off.
    pub ends: Vec<Foobar>,
    pub network: Network,
}

impl Site {
    /// A network with backends that answer on port 80; foobar does not run yet.
    pub fn quiet(backends: u8) -> Self {
        privilege::demand();
        let network = Network::build(backends);
        let foobar = Foobar::new(&network.names);
        let mut site = Self { servers: Vec::new(), foobar, ends: Vec::new(), network };
        site.servers = (1..=backends).map(|number| site.serve(&format!("b{number}"), 80)).collect();
        site
    }

    /// The same with foobar running and attached to the balancer's interface.
    pub fn new(backends: u8) -> Self {
        let mut site = Self::quiet(backends);
        site.foobar.start();
        site.attach();
        site
    }

    /// The same with a service `web` on port 80 in front of all backends.
    pub fn with_web(backends: u8) -> Self {
        let site = Self::new(backends);
        site.add_service("web", SERVICE, &(1..=backends).map(backend).collect::<Vec<_>>());
        site
    }

    /// `foobar attach`, with the passing program that a veth's other end needs, on each of the balancer's interfaces.
    pub fn attach(&self) -> String {
        let attach = |(interface, port): &(&str, &str)| {
            self.tell(&["attach", interface, "--peer", &format!("{}:{port}", self.network.names.namespace("sw"))])
        };
        self.network.layout.balancer_interfaces().iter().map(attach).collect()
    }

    /// The other end of the balancer's veth pair.
    pub fn peer(&self) -> String {
        format!("{}:lb", self.network.names.namespace("sw"))
    }

    /// Adds a service on port 80, and waits until the way to its backends is known.
    pub fn add_service(&self, name: &str, address: IpAddr, backends: &[IpAddr]) {
        let (address, backends) = (address.to_string(), backends.iter().map(ToString::to_string).collect::<Vec<_>>());
        let mut args = vec!["service", "add", name, &address, "tcp/80"];
        args.extend(backends.iter().flat_map(|backend| ["--backend", backend.as_str()]));
        self.tell(&args);
        self.wait_for_next_hops();
    }

    pub fn wait_for_next_hops(&self) {
        wait_until("the way to every backend", PATIENCE, || {
            let status = self.status();
            status.services.iter().flat_map(|service| &service.backends).all(|backend| backend.next_hop.is_some())
        });
    }

    /// A web server on a host.
    pub fn serve(&self, host: &str, port: u16) -> Server {
        self.network.within(host, || Server::listen(host, port))
    }

    /// Runs a command that must be done, and returns what it printed.
    pub fn tell(&self, args: &[&str]) -> String {
        self.foobar.ask(args).done()
    }

    pub fn status(&self) -> Status {
        read(&self.tell(&["status", "--json"]))
    }

    pub fn stats(&self) -> Stats {
        read(&self.tell(&["stats", "--json"]))
    }

    pub fn rules(&self) -> Vec<RuleLine> {
        read(&self.tell(&["rules", "--json"]))
    }

    /// The texts of the rules, in order.
    pub fn rule_texts(&self) -> Vec<String> {
        self.rules().into_iter().map(|line| line.rule).collect()
    }

    /// Packets that left by an outcome.
    pub fn outcome(&self, name: &str) -> u64 {
        let stats = self.stats();
        let found = stats.outcomes.iter().find(|count| count.outcome == name);
        found.unwrap_or_else(|| panic!("there is no outcome {name}")).packets
    }

    /// Does something on the client.
    pub fn on_client<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.network.within("client", work)
    }

    /// One request of the client on a connection of its own.
    pub fn ask(&self, target: Target) -> std::io::Result<Answer> {
        self.on_client(|| target.ask())
    }

    pub fn load(&self, target: Target, per_second: u32) -> Load {
        Load::begin(&self.network.names.namespace("client"), target, per_second)
    }

    pub fn hold(&self, target: Target, count: usize) -> Held {
        Held::open(&self.network.names.namespace("client"), target, count)
    }

    /// Waits until no packet of a service is under way any more.
    pub fn settle(&self) {
        let counted = || self.stats().services;
        let mut last = counted();
        wait_until("the traffic to end", PATIENCE, || {
            thread::sleep(Duration::from_millis(300));
            let next = counted();
            std::mem::replace(&mut last, next) == last
        });
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if thread::panicking() {
            for foobar in std::iter::once(&self.foobar).chain(&self.ends) {
                eprintln!("the last words of {}'s daemon:\n{}", foobar.netns, foobar.last_words());
            }
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}
