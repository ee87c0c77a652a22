//! What of a running configuration a file can say.
//!
//! A file has no word for a backend that drains, and one that is on its way out is none of its backends any more. What
//! ends by itself, a rule with `for`, is left to end: written into a file it would begin anew with every start.

use super::Config;
use crate::domain::{BackendState, Service};

impl Config {
    /// The same as a file would say it, and a sentence for each thing that it cannot.
    pub fn as_file(&self) -> (Self, Vec<String>) {
        let mut file = self.clone();
        let mut unsaid = Vec::new();
        file.firewall.rules.retain(|rule| {
            if rule.lifetime.is_some() {
                unsaid.push(format!("`{rule}` ends by itself"));
            }
            rule.lifetime.is_none()
        });
        for service in &mut file.services {
            say_backends(service, &mut unsaid);
        }
        (file, unsaid)
    }

    /// The same with its parts in an order that does not matter.
    #[must_use]
    pub(super) fn sorted(mut self) -> Self {
        self.interfaces.sort_by(|a, b| a.name.cmp(&b.name));
        self.services.sort_by(|a, b| a.name.cmp(&b.name));
        for service in &mut self.services {
            service.backends.sort_by_key(|backend| backend.address);
        }
        self
    }
}

fn say_backends(service: &mut Service, unsaid: &mut Vec<String>) {
    let Service { name, backends, .. } = service;
    // A service has a backend, if only one that is leaving.
    if backends.iter().any(|backend| backend.state != BackendState::Removing) {
        backends.retain(|backend| backend.state != BackendState::Removing);
    }
    for backend in backends {
        if backend.state != BackendState::Ready {
            unsaid.push(format!("backend {} of {name} is in state `{}`", backend.address, backend.state));
            backend.state = BackendState::Ready;
            backend.deadline = None;
        }
    }
}
