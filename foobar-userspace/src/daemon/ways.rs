//! How a service's packets get to a backend: from what the resolver found, and how the service forwards.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
};

use foobar_common::{
    address::{Address as _, V4, V6},
    next_hop::NextHop,
    snat::{FIRST_PORT, MAX_POOL, PLACES, Pool},
    target::Target,
};

use super::{claims::mode, engine::Engine, plan::Forced, state::State};
use crate::{
    api::types::Refusal,
    domain::{Backend, Encapsulation, Forward, Service},
    nexthop,
};

/// The largest packet that an IP header can say.
const MAX_MTU: u32 = 65_535;

/// Why a backend that the resolver found cannot be reached in the service's way; `None`: it can.
pub fn obstacle(service: &Service, backend: &Backend, hop: &nexthop::NextHop) -> Option<String> {
    let address = backend.address;
    match service.forward {
        Forward::Dsr => {
            let gateway = hop.gateway?;
            Some(format!(
                "{address} is reached through the gateway {gateway}: dsr needs the backend on the same L2 segment"
            ))
        }
        Forward::Nat | Forward::Snat if hop.is_here() => Some(format!(
            "{address} is this host itself, whose answers are not rewritten: use `dsr` or `tunnel` for a backend here"
        )),
        Forward::Tunnel | Forward::Nat | Forward::Snat => None,
    }
}

/// What packets are told of a backend, beside the way to it. `addresses`: that new flows get, see [`given`]; `before`: what
/// packets are told so far.
pub fn target(
    (service, backend): (&Service, &Backend),
    hop: &nexthop::NextHop,
    state: &State,
    addresses: Vec<IpAddr>,
    before: Target,
) -> Target {
    let source = match (service.forward, hop.source) {
        (Forward::Snat | Forward::Nat, _) => state.pool.as_packets_take_it(service, addresses).to_words(),
        (_, Some(source)) => words(source),
        (_, None) => before.source,
    };
    Target {
        address: words(backend.address),
        source,
        service: words(service.address),
        port: backend.port.unwrap_or(0),
        mtu: if hop.mtu == 0 { before.mtu } else { hop.mtu.min(MAX_MTU) as u16 },
        mode: mode(service),
        v6: backend.address.is_ipv6(),
        gue: service.encapsulation == Encapsulation::Gue,
        service_port: if backend.port.is_some() { service.ports.first() } else { 0 },
        // As with the MTU: nobody has asked for it yet.
        host_bits: if hop.mtu == 0 {
            before.host_bits
        } else {
            hop.network.map_or(0, |len| host_bits(backend.address, len))
        },
    }
}

/// The addresses that new flows of a service get: those that it has in `claimed`, whose answers come back already, if it is
/// there with some.
pub fn given(service: &Service, state: &State, claimed: &State) -> Vec<IpAddr> {
    let same = claimed.config.services.iter().find(|other| other.is_same(service));
    let known = same.map(|same| claimed.pool.of(same)).filter(|addresses| !addresses.is_empty());
    known.unwrap_or_else(|| state.pool.of(service))
}

/// Of a network with a prefix of this length.
fn host_bits(address: IpAddr, len: u8) -> u8 {
    let whole = if address.is_ipv4() { 32 } else { 128 };
    whole - len.clamp(1, whole)
}

/// As the tables have it.
pub fn words(address: IpAddr) -> [u64; 2] {
    match address {
        IpAddr::V4(address) => V4::from(address).words(),
        IpAddr::V6(address) => V6::from(address).words(),
    }
}

impl Engine {
    /// Writes the way to every backend that the resolver has spoken of; the others keep what stands in the table.
    /// `claimed`: which addresses answers come back to.
    pub(super) fn write_next_hops(&mut self, state: &State, claimed: &State) -> anyhow::Result<()> {
        let pool = self.datapath.pool_addresses();
        // Where a place is handed over later, what stands in the table goes on until then.
        for (id, service, backend) in
            backends(state).into_iter().filter(|(_, service, _)| stands(state, &given(service, state, claimed), &pool))
        {
            let way = match self.hops.get(&backend.address) {
                Some(Ok(hop)) if obstacle(service, backend, hop).is_none() => Some(hop),
                Some(_) => None,
                None => continue,
            };
            let Some(hop) = way else {
                self.datapath.set_next_hop(id, Some(NextHop::UNRESOLVED))?;
                continue;
            };
            let addresses = given(service, state, claimed);
            let target = target((service, backend), hop, state, addresses, self.datapath.target(id)?);
            let is_ready = service.forward != Forward::Snat || Pool::from_words(target.source).count() > 0;
            self.datapath.set_target(id, target)?;
            let hop = if is_ready { hop.as_packets_take_it() } else { NextHop::UNRESOLVED };
            self.datapath.set_next_hop(id, Some(hop))?;
        }
        Ok(())
    }

    /// What packets would be told of each backend that is reached in its service's way, by id.
    pub(super) fn planned_targets(&self, state: &State) -> HashMap<u32, Target> {
        let target = |(id, service, backend): (u32, &Service, &Backend)| {
            let hop = self.hops.get(&backend.address)?.as_ref().ok()?;
            let addresses = given(service, state, state.settled());
            Some((id, target((service, backend), hop, state, addresses, self.datapath.target(id).ok()?)))
        };
        backends(state).into_iter().filter_map(target).collect()
    }

    /// Says which address stands at each place of the pool that had none. Packets that are on their way may still send
    /// from the others.
    pub(super) fn fill_pool(&mut self, state: &State) {
        let before = self.datapath.pool_addresses();
        for (address, place) in state.pool.all().filter(|(_, place)| before[*place] == [0, 0]) {
            self.datapath.set_pool_address(place, words(address));
        }
    }

    /// Hands places of the pool over to other addresses, once no packet sends from the ones that had them: the generation
    /// in force does not know those. Services that get such a place send nothing meanwhile.
    pub(super) fn hand_places_over(&mut self, state: &State) -> anyhow::Result<()> {
        let before = self.datapath.pool_addresses();
        let handed: Vec<_> = state.pool.all().filter(|(address, place)| before[*place] != words(*address)).collect();
        if handed.is_empty() {
            return Ok(());
        }
        let waits = |service| !stands(state, &given(service, state, state.settled()), &before);
        for (id, ..) in backends(state).into_iter().filter(|(_, service, _)| waits(service)) {
            self.datapath.set_next_hop(id, Some(NextHop::UNRESOLVED))?;
        }
        self.datapath.wait_for_packets()?;
        for (address, place) in handed {
            self.datapath.clear_places(place);
            self.datapath.set_pool_address(place, words(address));
        }
        self.write_next_hops(state, state.settled())
    }

    /// Ports that both `snat` and this host's own connections may take.
    pub(super) fn port_warning(&self) -> Option<String> {
        self.state.config.services.iter().find(|service| service.forward.has_pool())?;
        let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
        shared_ports(&range)
    }

    /// Takes the addresses of routes for services whose packets come from such. A change is planned and published.
    pub(super) fn learn_egress(&mut self) -> Result<(), Refusal> {
        // What a change that waits has in both banks stays as it is until it ends.
        if self.state.pending.is_some() {
            return Ok(());
        }
        let mut state = self.state.clone();
        self.learn_egress_of(&mut state);
        self.forget_egress_of(&mut state);
        if state.pool == self.state.pool { Ok(()) } else { self.replace_rings(state, &Forced::new()) }
    }

    /// Has a state know such addresses, as far as routes to its backends were found.
    pub(super) fn learn_egress_of(&self, state: &mut State) {
        let State { config, pool, .. } = state;
        for service in config.services.iter().filter(|service| service.forward.has_pool() && service.snat.is_empty()) {
            let hops = service.backends.iter().filter_map(|backend| self.hops.get(&backend.address)?.as_ref().ok());
            hops.filter_map(|hop| hop.source).for_each(|source| pool.learn(&service.name, source));
        }
    }

    /// Has it forget those that no route has any more, where all of a service's were found.
    fn forget_egress_of(&self, state: &mut State) {
        let State { config, pool, .. } = state;
        for service in &config.services {
            let source = |backend: &Backend| self.hops.get(&backend.address)?.as_ref().ok()?.source;
            if let Some(sources) = service.backends.iter().map(source).collect::<Option<_>>() {
                pool.keep_learnt(&service.name, &sources);
            }
        }
    }
}

/// Whether each of these addresses stands at its place of the pool, as the tables have that.
fn stands(state: &State, addresses: &[IpAddr], pool: &[[u64; 2]; MAX_POOL]) -> bool {
    let stands = |address: &IpAddr| state.pool.place(*address).is_none_or(|place| pool[place] == words(*address));
    addresses.iter().all(stands)
}

/// `range`: `net.ipv4.ip_local_port_range` as the kernel writes it.
fn shared_ports(range: &str) -> Option<String> {
    let first: usize = range.split_whitespace().next()?.parse().ok()?;
    let (low, high) = (FIRST_PORT, PLACES - 1);
    (first < PLACES).then(|| {
        format!(
            "`snat` (and `nat`, to clients near backends) gives the ports {low} to {high}, and so does this host to its own \
             connections from {first} on: `sysctl -w net.ipv4.ip_local_port_range=\"{PLACES} 60999\"`"
        )
    })
}

/// Every backend with its id and service, those that may come back included; once each, as what is in force has it.
pub fn backends(state: &State) -> Vec<(u32, &Service, &Backend)> {
    let mut found = Vec::new();
    let mut known = HashSet::new();
    for state in state.possible() {
        for service in &state.config.services {
            for backend in &service.backends {
                let id = state.ids.backend(service, backend).filter(|id| known.insert(*id));
                found.extend(id.map(|id| (id, service, backend)));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With a service at an address, and what it sends from: named, or learnt.
    fn state(address: &str, named: &[&str], learnt: &[&str]) -> State {
        let json = serde_json::json!({
            "name": "web", "address": address, "port": "tcp/80", "forward": "snat", "snat": named,
            "backends": [{ "address": if address.contains(':') { "fd00::9" } else { "10.0.0.9" } }],
        });
        let mut state = State::default();
        state.config.services = vec![serde_json::from_value(json).expect("a service")];
        for address in learnt {
            state.pool.learn("web", address.parse().expect("an address"));
        }
        state
    }

    #[test]
    fn new_flows_get_addresses_that_answers_come_back_to_already() {
        let given = |now: &State, claimed: &State| {
            let addresses = given(&now.config.services[0], now, claimed);
            addresses.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let (one, both) = (state("192.0.2.1", &[], &["10.0.0.1"]), state("192.0.2.1", &[], &["10.0.0.1", "10.0.0.2"]));
        assert_eq!(given(&both, &one), ["10.0.0.1"], "the other is learnt with the change");
        assert_eq!(given(&both, &both), ["10.0.0.1", "10.0.0.2"]);
        let named = state("192.0.2.1", &["10.0.0.3"], &[]);
        assert_eq!(given(&named, &one), ["10.0.0.1"]);
        assert_eq!(given(&named, &state("192.0.2.1", &[], &[])), ["10.0.0.3"], "it had none");
        assert_eq!(given(&state("2001:db8::1", &["fd00::1"], &[]), &named), ["fd00::1"], "it is another service");
    }

    #[test]
    fn ports_that_both_give_are_named() {
        assert_eq!(shared_ports("32768\t60999\n"), None);
        let warning = shared_ports("1024\t65535\n").expect("a warning");
        assert!(warning.contains("ports 1024 to 32767") && warning.contains("from 1024 on"), "{warning}");
    }
}
