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

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use foobar_common::{layout::RING_SLOTS, next_hop::NextHop, target::Target};
use foobar_userspace::{
    config::Policy,
    daemon::{
        state::State,
        ways::{backends, target},
    },
    domain::{
        Affinity, Backend, BackendState, Encapsulation, Forward, Queries, Service, ServicePorts, SetSource,
        service::DEFAULT_IDLE,
    },
    nexthop,
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

/// This host's own addresses.
pub const SOURCE: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
pub const SOURCE_6: Ipv6Addr = Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 1);

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
    /// The balancer itself is the backend.
    ThisHost,
}

/// A balancer to run frames through.
#[derive(Default)]
pub struct Lab {
    state: State,
    /// Backends that are not reached [`Way::Here`].
    ways: BTreeMap<IpAddr, Way>,
    /// Of what leads to backends; none: 1500.
    mtu: Option<u32>,
    /// The length of the prefix of their network, if this host is in it.
    network: Option<u8>,
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
        let ports: ServicePorts = port.parse().unwrap_or_else(|mistake| panic!("{port:?} is a port: {mistake}"));
        let backend = |text: &&str| Backend::new(parse(text), 100);
        self.state.config.services.push(Service {
            name: format!("s{}", self.state.config.services.len() + 1),
            address: parse(address),
            ports,
            forward: Forward::Dsr,
            encapsulation: Encapsulation::Ip,
            snat: Vec::new(),
            queries: Queries::Auto,
            echo: true,
            affinity: Affinity::Flow,
            quic_config: 0,
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

    /// Connection ids of this config name the last service's backends, in their order.
    pub fn named(mut self, config: u8, ids: &[&str]) -> Self {
        let service = self.state.config.services.last_mut().expect("a service");
        (service.affinity, service.quic_config) = (Affinity::Quic, config);
        for (backend, id) in service.backends.iter_mut().zip(ids) {
            backend.server_id = Some(id.parse().expect("a server id"));
        }
        self
    }

    /// Echo requests to no service are answered: how many are depends on the clock.
    pub fn without_echoes(mut self) -> Self {
        self.state.config.services.iter_mut().for_each(|service| service.echo = false);
        self
    }

    /// Echo requests to the last service's address are left to the rules.
    pub fn without_echo(mut self) -> Self {
        self.state.config.services.last_mut().expect("a service").echo = false;
        self
    }

    /// The last service forwards in this way.
    pub fn forward(mut self, forward: Forward) -> Self {
        self.state.config.services.last_mut().expect("a service").forward = forward;
        self
    }

    /// The last service's tunnels are of this kind.
    pub fn encapsulation(mut self, encapsulation: Encapsulation) -> Self {
        self.state.config.services.last_mut().expect("a service").encapsulation = encapsulation;
        self
    }

    /// Packets of the last service come from these addresses.
    pub fn snat(mut self, addresses: &[&str]) -> Self {
        self.state.config.services.last_mut().expect("a service").snat = addresses.iter().map(|a| parse(a)).collect();
        self
    }

    /// Packets of services come from these addresses, by family.
    pub fn snat_each(mut self, v4: &[&str], v6: &[&str]) -> Self {
        for service in &mut self.state.config.services {
            let addresses = if service.address.is_ipv4() { v4 } else { v6 };
            service.snat = addresses.iter().map(|address| parse(address)).collect();
        }
        self
    }

    /// The last service's backends listen on this port.
    pub fn backends_port(mut self, port: u16) -> Self {
        for backend in &mut self.state.config.services.last_mut().expect("a service").backends {
            backend.port = Some(port);
        }
        self
    }

    /// An IP packet to a backend may have so many bytes.
    pub fn mtu(mut self, mtu: u32) -> Self {
        self.mtu = Some(mtu);
        self
    }

    /// This host is in the backends' networks, whose prefixes are so long.
    pub fn network(mut self, len: u8) -> Self {
        self.network = Some(len);
        self
    }

    /// Tunnels of these balancers are taken off.
    pub fn tunnels(mut self, addresses: &[&str]) -> Self {
        self.state.config.tunnels = addresses.iter().map(|address| parse(address)).collect();
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

    /// The next hop of a backend, as the resolver would find it.
    fn hop(&self, backend: IpAddr) -> Option<nexthop::NextHop> {
        let ifindex = match self.ways.get(&backend).copied().unwrap_or_default() {
            Way::Here => INGRESS,
            Way::Elsewhere => ELSEWHERE,
            Way::Unresolved => return None,
            Way::ThisHost => return Some(nexthop::NextHop::here()),
        };
        Some(nexthop::NextHop {
            interface: "eth0".to_owned(),
            ifindex,
            destination_mac: mac(backend),
            source_mac: BALANCER,
            gateway: None,
            source: Some(source_towards(backend)),
            network: self.network,
            mtu: self.mtu.unwrap_or(1500),
        })
    }

    /// Every backend with its id.
    fn backends(&self) -> Vec<(u32, IpAddr)> {
        backends(&self.state).into_iter().map(|(id, _, backend)| (id, backend.address)).collect()
    }

    /// The ways that packets are told.
    fn ways(&self) -> Vec<(u32, NextHop, Target)> {
        let told = |(id, service, backend): (u32, &Service, &Backend)| {
            let hop = self.hop(backend.address);
            let way = hop.as_ref().map_or(NextHop::UNRESOLVED, nexthop::NextHop::as_packets_take_it);
            let addresses = self.state.pool.of(service);
            let told = hop.map(|hop| target((service, backend), &hop, &self.state, addresses, Target::default()));
            (id, way, told.unwrap_or_default())
        };
        backends(&self.state).into_iter().map(told).collect()
    }
}

/// This host's address where a backend is asked from.
pub fn source_towards(backend: IpAddr) -> IpAddr {
    match backend {
        IpAddr::V4(_) => SOURCE.into(),
        IpAddr::V6(_) => SOURCE_6.into(),
    }
}

fn parse(address: &str) -> IpAddr {
    address.parse().unwrap_or_else(|_| panic!("{address:?} is an address"))
}
