//! What follows a running configuration: backends that are left out drain before they leave.

use super::Config;
use crate::domain::{Backend, BackendState, Service, ServicePorts};

impl Config {
    /// This configuration in place of `running`: backends that only that one has are on their way out.
    ///
    /// A service that forwards otherwise has none of them: their flows end with the old way. Nor has one that cannot hold
    /// them, or a `nat` service whose backend another one has the answers of.
    #[must_use]
    pub fn draining(&self, running: &Self) -> Self {
        let mut next = self.clone();
        for service in &mut next.services {
            let Some(old) = running.services.iter().find(|old| old.is_same(service)) else { continue };
            // Nothing is left on those in maintenance.
            let in_use = old.backends.iter().filter(|backend| backend.state != BackendState::Maint);
            for backend in in_use.filter(|_| old.forward == service.forward) {
                if service.backends.iter().all(|other| other.address != backend.address) {
                    service.backends.push(Backend { state: BackendState::Removing, ..backend.clone() });
                    if service.check().is_err() || service.answered_by(&self.services) {
                        service.backends.pop();
                    }
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
    /// Whether another of these services has the answers of its last backend.
    fn answered_by(&self, services: &[Self]) -> bool {
        let others: Vec<_> = services.iter().filter(|other| other.name != self.name).cloned().collect();
        let last = Self { backends: self.backends.last().cloned().into_iter().collect(), ..self.clone() };
        last.answers_of(&others).is_some()
    }

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

#[cfg(test)]
mod tests {
    use std::slice;

    use super::*;

    fn service(name: &str, last: u8, forward: &str, backends: &str) -> String {
        format!(
            "[[service]]\nname = \"{name}\"\naddress = \"192.0.2.{last}\"\nports = \"tcp/80\"\nforward = \"{forward}\"\nbackends = [{backends}]\n"
        )
    }

    fn drained(before: &str, after: &str) -> Vec<(String, BackendState)> {
        let parse = |text: &str| Config::parse(text, "f").unwrap_or_else(|error| panic!("{}", error.report()));
        let next = parse(after).draining(&parse(before));
        next.check().expect("what follows a configuration is valid");
        let backends = next.services.iter().flat_map(|service| &service.backends);
        backends.map(|backend| (backend.address.to_string(), backend.state)).collect()
    }

    const FIRST: &str = "{ address = \"10.0.0.1\" }";
    const OTHER: &str = "{ address = \"10.0.0.2\", port = 8080 }";

    #[test]
    fn who_is_left_out_drains_where_the_service_can_hold_it() {
        let ready = |address: &str| (address.to_owned(), BackendState::Ready);
        let leaving = |address: &str| (address.to_owned(), BackendState::Removing);
        let (first, other) = (ready("10.0.0.1"), ready("10.0.0.2"));
        let dsr = service("a", 1, "dsr", FIRST);
        let nat = service("a", 1, "nat", OTHER);
        assert_eq!(drained(&service("a", 1, "nat", FIRST), &nat), [other.clone(), leaving("10.0.0.1")]);
        assert_eq!(drained(&dsr, &nat), slice::from_ref(&other), "another way of forwarding");
        assert_eq!(drained(&nat, &dsr), slice::from_ref(&first));
        let wide = service("a", 1, "tunnel", "{ address = \"2001:db8::1\" }");
        assert_eq!(drained(&wide, &service("a", 1, "snat", FIRST)), slice::from_ref(&first));
        let more = nat.replace("tcp/80", "tcp/80,443").replace(", port = 8080", "");
        assert_eq!(
            drained(&nat, &more.replace("10.0.0.2", "10.0.0.1")),
            slice::from_ref(&first),
            "it has one port of its own"
        );
        let both = service("a", 1, "nat", OTHER) + &service("b", 2, "nat", FIRST);
        let moved = service("a", 1, "nat", FIRST) + &service("b", 2, "nat", OTHER);
        assert_eq!(drained(&both, &moved), [first, other], "each has the other's, and answers are one service's");
    }

    #[test]
    fn who_is_left_out_keeps_a_server_id_that_nobody_takes() {
        let named = |last: u8, id: &str| {
            let backend = format!("{{ address = \"10.0.0.{last}\", server_id = \"{id}\" }}");
            service("a", 1, "dsr", &backend).replace("tcp/80\"", "udp/443\"\naffinity = \"quic\"")
        };
        let states =
            |before: &str, after: &str| drained(before, after).into_iter().map(|(_, state)| state).collect::<Vec<_>>();
        let before = named(1, "0a01");
        assert_eq!(states(&before, &named(2, "0a02")), [BackendState::Ready, BackendState::Removing]);
        assert_eq!(states(&before, &named(2, "0a01")), [BackendState::Ready], "the new one has its id");
        assert_eq!(states(&before, &named(2, "0a")), [BackendState::Ready], "ids of one service are of one length");
    }
}
