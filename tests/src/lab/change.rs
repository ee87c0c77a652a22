//! Changes while frames run, published as the daemon publishes them.

use std::net::IpAddr;

use foobar_common::terms::Terms;
use foobar_userspace::{
    config::{Firewall, Policy},
    daemon::state::State,
    domain::{Backend, BackendState, ServicePorts},
};

use super::{Lab, parse};

impl Lab {
    /// The backend takes no new flows.
    pub fn drain(&mut self, backend: &str) {
        self.change(|state| set_state(state, parse(backend), BackendState::Drain));
    }

    /// The backend takes new flows again.
    pub fn ready(&mut self, backend: &str) {
        self.change(|state| set_state(state, parse(backend), BackendState::Ready));
    }

    /// Adds a backend to every service of its family.
    pub fn add(&mut self, backend: &str) {
        let address = parse(backend);
        self.change(|state| {
            for service in state.config.services.iter_mut().filter(|s| s.address.is_ipv4() == address.is_ipv4()) {
                service.backends.push(Backend::new(address, 100));
            }
        });
    }

    /// Takes the backend off at once: it is dead.
    pub fn kill(&mut self, backend: &str) {
        let address = parse(backend);
        self.change(|state| {
            for service in &mut state.config.services {
                service.backends.retain(|backend| backend.address != address);
            }
        });
    }

    /// Gives the services at an address these ports.
    pub fn listen(&mut self, address: &str, ports: &str) {
        let address = parse(address);
        let ports: ServicePorts = ports.parse().unwrap_or_else(|mistake| panic!("{ports:?} are ports: {mistake}"));
        self.change(|state| {
            for service in state.config.services.iter_mut().filter(|service| service.address == address) {
                service.ports = ports.clone();
            }
        });
    }

    /// Puts other rules and another default in force.
    pub fn replace(&mut self, rules: &[String], default: Policy) {
        let read = |text: &String| text.parse().unwrap_or_else(|mistake| panic!("{text:?} is a rule: {mistake}"));
        let rules = rules.iter().map(read).collect();
        self.change(|state| {
            let Firewall { default: wanted, rules: list, .. } = &mut state.config.firewall;
            (*wanted, *list) = (default, rules);
        });
    }

    /// Lets the time of a rule end, by its place in the list, as it does by itself.
    pub fn end(&mut self, index: usize) {
        let (id, over) = (self.loaded().rule_ids[index], Terms::NONE.until(1));
        self.datapath().set_terms(id, over).unwrap_or_else(|error| panic!("ending a rule: {error:#}"));
        self.loaded().terms.insert(id, over);
    }

    /// Puts these rules in the place of all others.
    pub fn becomes(&mut self, rules: &[&str]) {
        let rules = rules.iter().map(|text| text.parse().unwrap_or_else(|mistake| panic!("{text:?}: {mistake}")));
        let rules = rules.collect();
        self.change(|state| state.config.firewall.rules = rules);
    }

    fn change(&mut self, edit: impl FnOnce(&mut State)) {
        // What was before is in force first.
        self.loaded();
        edit(&mut self.state);
        self.publish();
    }
}

pub fn set_state(state: &mut State, address: IpAddr, wanted: BackendState) {
    let backends = state.config.services.iter_mut().flat_map(|service| &mut service.backends);
    for backend in backends.filter(|backend| backend.address == address) {
        backend.state = wanted;
    }
}
