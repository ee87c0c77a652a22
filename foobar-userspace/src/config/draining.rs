//! What follows a running configuration: backends that are left out drain before they leave.

use super::Config;
use crate::domain::{Backend, BackendState, Service, ServicePorts};

impl Config {
    /// This configuration in place of `running`: backends that only that one has are on their way out.
    #[must_use]
    pub fn draining(&self, running: &Self) -> Self {
        let mut next = self.clone();
        for service in &mut next.services {
            let Some(old) = running.services.iter().find(|old| old.is_same(service)) else { continue };
            // Nothing is left on those in maintenance.
            for backend in old.backends.iter().filter(|backend| backend.state != BackendState::Maint) {
                if service.backends.iter().all(|other| other.address != backend.address) {
                    service.backends.push(Backend { state: BackendState::Removing, ..backend.clone() });
                }
            }
        }
        next
    }
}

impl Config {
    /// Backends in maintenance that `running` has in use get empty first.
    pub fn empty_what_was_idle(&mut self, running: &Self) {
        for service in &mut self.services {
            let Some(old) = running.services.iter().find(|old| old.is_same(service)) else { continue };
            for backend in service.backends.iter_mut().filter(|backend| backend.state == BackendState::Maint) {
                let in_use = |old: &&Backend| old.address == backend.address && old.state != BackendState::Maint;
                if old.backends.iter().any(|old| in_use(&old)) {
                    backend.state = BackendState::Emptying;
                }
            }
        }
    }
}

impl Service {
    /// Whether its flows are the other's: name, address and the first port are equal.
    pub fn is_same(&self, other: &Self) -> bool {
        let first = |service: &Self| (service.ports.transport(), service.ports.first());
        self.name == other.name && self.address == other.address && first(self) == first(other)
    }

    /// The ports on which it is the other under another first port, by which flows are spread.
    pub fn moves_from(&self, other: &Self) -> Option<ServicePorts> {
        let could_be_same = self.name == other.name && self.address == other.address && !self.is_same(other);
        self.ports.shared(&other.ports).filter(|_| could_be_same)
    }
}
