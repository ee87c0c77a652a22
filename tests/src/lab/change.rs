//! Changes while frames run, published as the daemon publishes them.

use std::net::IpAddr;

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
