//! The real planner, the real tables and the loaded program, on which frames are run one by one.
//!
//! A lab is loaded at its first frame; what is changed later is planned and published as the daemon does it, so that a
//! drained backend leaves tracked slots behind. Frames come in by interface 1, as `BPF_PROG_TEST_RUN` has it.

mod change;
mod counts;
mod host;
mod load;
mod pins;
mod privilege;
mod run;
mod send;
mod sets;
mod sweep;

use std::{collections::BTreeMap, net::IpAddr};

use foobar_common::{layout::RING_SLOTS, next_hop::NextHop};
use foobar_userspace::{
    config::Policy,
    daemon::state::State,
    domain::{
        Affinity, Backend, BackendState, Forward, Queries, Service, ServicePort, SetSource, service::DEFAULT_IDLE,
    },
};

use self::load::Loaded;
pub use self::{
    counts::Counts,
    host::ROOM,
    run::{Got, run},
    send::send,
};
use crate::frames::{BALANCER, mac};

/// The interface that frames come in by.
pub const INGRESS: u32 = 1;
/// Another one, which only a redirect names.
const ELSEWHERE: u32 = 77;

/// How a backend is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// Through the interface that frames come in by.
    #[default]
    Here,
    /// Through another one.
    Elsewhere,
    /// Nobody knows.
    Unresolved,
}

/// A balancer to run frames through.
#[derive(Default)]
pub struct Lab {
    state: State,
    /// Backends that are not reached [`Way::Here`].
    ways: BTreeMap<IpAddr, Way>,
    loaded: Option<Loaded>,
}

impl Lab {
    /// No rules, no services, and what nothing decides passes.
    pub fn new() -> Self {
        Self::default()
    }

    /// What nothing decides is dropped.
    pub fn drops(mut self) -> Self {
        self.state.config.firewall.default = Policy::Drop;
        self
    }

    /// Adds a rule behind those that are there.
    pub fn rule(mut self, text: &str) -> Self {
        let rule = text.parse().unwrap_or_else(|mistake| panic!("{text:?} is a rule: {mistake}"));
        self.state.config.firewall.rules.push(rule);
        self
    }

    /// Adds a rule for what this host sends.
    pub fn egress(mut self, text: &str) -> Self {
        let rule = text.parse().unwrap_or_else(|mistake| panic!("{text:?} is a rule: {mistake}"));
        self.state.config.firewall.egress.rules.push(rule);
        self
    }

    /// What this host sends and nothing decides is dropped.
    pub fn drops_sent(mut self) -> Self {
        self.state.config.firewall.egress.default = Policy::Drop;
        self
    }

    pub fn rules(self, texts: &[&str]) -> Self {
        texts.iter().fold(self, |lab, text| lab.rule(text))
    }

    /// Adds a set with these prefixes.
    pub fn set(mut self, name: &str, prefixes: &[&str]) -> Self {
        let prefixes = prefixes.iter().map(|text| text.parse().expect("a prefix")).collect();
        self.state.config.firewall.sets.insert(name.to_owned(), SetSource::Prefixes(prefixes));
        self
    }

    /// Adds a service, as in `service("10.0.0.1", "tcp/80", &["10.1.0.2", "10.1.0.3"])`.
    pub fn service(mut self, address: &str, port: &str, backends: &[&str]) -> Self {
        let port: ServicePort = port.parse().unwrap_or_else(|mistake| panic!("{port:?} is a port: {mistake}"));
        let backend = |text: &&str| Backend::new(parse(text), 100);
        self.state.config.services.push(Service {
            name: format!("s{}", self.state.config.services.len() + 1),
            address: parse(address),
            transport: port.transport,
            port: port.port,
            forward: Forward::Dsr,
            queries: Queries::Auto,
            affinity: Affinity::Flow,
            ring: RING_SLOTS,
            idle: DEFAULT_IDLE,
            backends: backends.iter().map(backend).collect(),
        });
        self
    }

    /// The last service's ring has so many slots, and its flows this affinity.
    pub fn spread(mut self, ring: u32, affinity: Affinity) -> Self {
        let service = self.state.config.services.last_mut().expect("a service");
        (service.ring, service.affinity) = (ring, affinity);
        self
    }

    /// Frames come in by an interface of this name; by one without it otherwise.
    pub fn comes_in_by(mut self, interface: &str) -> Self {
        self.state.ifindexes.insert(interface.to_owned(), [INGRESS].into());
        self
    }

    /// Says how a backend of every service is reached.
    pub fn way(mut self, backend: &str, way: Way) -> Self {
        self.ways.insert(parse(backend), way);
        self
    }

    /// Starts a backend of every service in this state.
    pub fn with(mut self, backend: &str, state: BackendState) -> Self {
        change::set_state(&mut self.state, parse(backend), state);
        self
    }

    /// The next hop of a backend.
    fn hop(&self, backend: IpAddr) -> NextHop {
        match self.ways.get(&backend).copied().unwrap_or_default() {
            Way::Here => NextHop::new(mac(backend), BALANCER, INGRESS),
            Way::Elsewhere => NextHop::new(mac(backend), BALANCER, ELSEWHERE),
            Way::Unresolved => NextHop::UNRESOLVED,
        }
    }

    /// Every backend with its id.
    fn backends(&self) -> Vec<(u32, IpAddr)> {
        let id = |service: &Service, backend: &Backend| {
            self.state.ids.backend(service, backend.address).map(|id| (id, backend.address))
        };
        let services = &self.state.config.services;
        services.iter().flat_map(|service| service.backends.iter().filter_map(move |b| id(service, b))).collect()
    }
}

fn parse(address: &str) -> IpAddr {
    address.parse().unwrap_or_else(|_| panic!("{address:?} is an address"))
}
