//! Changes while frames run, published as the daemon publishes them.

use std::net::IpAddr;

use foobar_common::terms::Terms;
use foobar_userspace::{
    daemon::state::State,
    domain::{Backend, BackendState},
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

    /// Lets the time of a rule end, by its place in the list, as it does by itself.
    pub fn end(&mut self, index: usize) {
        let (id, over) = (self.loaded().rule_ids[index], Terms::NONE.until(1));
        self.datapath().set_terms(id, over).unwrap_or_else(|error| panic!("ending a rule: {error:#}"));
        self.loaded().terms.insert(id, over);
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
