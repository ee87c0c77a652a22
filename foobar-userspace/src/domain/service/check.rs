//! What makes a service valid, each refusal with the part at fault.

use std::{
    collections::HashSet,
    net::{IpAddr, Ipv4Addr},
};

use foobar_common::{
    layout::{RING_SIZES, RING_SLOTS},
    snat::Pool,
};

use super::{Backend, Encapsulation, Forward, MAX_IDLE, MAX_WEIGHT, Service};
use crate::domain::{duration, mistake::Word, name};

/// What is wrong with a service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct ServiceFault {
    pub part: Part,
    pub problem: String,
    pub hint: Option<String>,
}

/// A part of a service; backends by their place in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Name,
    Address,
    Port,
    Queries,
    /// How packets get to backends, with what belongs to that.
    Forward,
    Ring,
    Affinity,
    QuicConfig,
    Idle,
    Backends,
    BackendAddress(usize),
    BackendWeight(usize),
    BackendServerId(usize),
}

pub(super) fn fault(part: Part, problem: impl Into<String>, hint: impl Into<String>) -> ServiceFault {
    ServiceFault { part, problem: problem.into(), hint: Some(hint.into()) }
}

impl Service {
    /// Checks everything that concerns this service alone. Whoever makes or changes one calls it.
    pub fn check(&self) -> Result<(), ServiceFault> {
        check_name(&self.name)?;
        self.check_address()?;
        if self.ports.contains(0) {
            return Err(fault(
                Part::Port,
                "port 0 does not exist",
                "a port is a number from 1 to 65535, as in `tcp/80`",
            ));
        }
        if self.idle.is_zero() || self.idle.subsec_nanos() != 0 {
            return Err(fault(Part::Idle, "`idle` is a whole number of seconds, at least one", "write it as in `3h`"));
        }
        if self.idle > MAX_IDLE {
            let problem = format!("an `idle` of `{}` is too long", duration::write(self.idle));
            return Err(fault(Part::Idle, problem, "`idle` is 30 days at most: `30d`"));
        }
        if !RING_SIZES.contains(&self.ring) {
            let sizes: Vec<_> = RING_SIZES.iter().map(ToString::to_string).collect();
            let hint = format!("the sizes are {}; {RING_SLOTS} where it is left out", sizes.join(", "));
            return Err(fault(Part::Ring, format!("{} is no size of a ring", self.ring), hint));
        }
        self.check_snat()?;
        self.check_backends()?;
        self.check_connection_ids()
    }

    fn check_snat(&self) -> Result<(), ServiceFault> {
        if self.encapsulation != Encapsulation::Ip && self.forward != Forward::Tunnel {
            let problem = format!("a `{}` service has no tunnel to encapsulate packets for", self.forward);
            return Err(fault(Part::Forward, problem, "leave `encapsulation` out, or write `forward = \"tunnel\"`"));
        }
        if !self.snat.is_empty() && self.forward != Forward::Snat {
            let problem = format!("packets of a `{}` service keep their source", self.forward);
            return Err(fault(Part::Forward, problem, "leave `snat` out, or write `forward = \"snat\"`"));
        }
        if self.snat.len() > Pool::MAX {
            let problem = format!("a service has at most {} addresses in `snat`", Pool::MAX);
            return Err(fault(Part::Forward, problem, "each gives 31,744 ports; split the service for more"));
        }
        let mut seen = HashSet::new();
        for address in &self.snat {
            if let Some(what) = odd_address(*address) {
                let problem = format!("`{address}` is {what}, which no packet can come from");
                return Err(fault(Part::Forward, problem, "write an address of this host that backends can reach"));
            }
            if address.is_ipv4() != self.address.is_ipv4() {
                let problem = format!("`{address}` in `snat` is of another address family than the service");
                return Err(fault(Part::Forward, problem, "packets keep their family: write one of the same"));
            }
            if *address == self.address || !seen.insert(address) {
                let problem = format!("`{address}` in `snat` is the service's own address, or stands there twice");
                return Err(fault(Part::Forward, problem, "write other addresses of this host, each once"));
            }
        }
        Ok(())
    }

    fn check_address(&self) -> Result<(), ServiceFault> {
        let address = self.address;
        match odd_address(address) {
            Some(what) => Err(fault(
                Part::Address,
                format!("`{address}` is {what}, which no client can reach as a service"),
                "a service has an address that is routed to this host, such as `192.0.2.10`",
            )),
            None => Ok(()),
        }
    }

    fn check_backends(&self) -> Result<(), ServiceFault> {
        if self.backends.is_empty() {
            let problem = format!("service `{}` has no backend", self.name);
            return Err(fault(Part::Backends, problem, "a service needs at least one: `{ address = \"10.0.0.11\" }`"));
        }
        let mut seen = HashSet::new();
        for (index, backend) in self.backends.iter().enumerate() {
            self.check_backend(index, backend)?;
            if !seen.insert(backend.address) {
                let problem = format!("backend `{}` stands twice in service `{}`", backend.address, self.name);
                return Err(fault(
                    Part::BackendAddress(index),
                    problem,
                    "write it once, with the weight that is meant",
                ));
            }
        }
        Ok(())
    }

    fn check_backend(&self, index: usize, backend: &Backend) -> Result<(), ServiceFault> {
        let Backend { address, weight, port, .. } = *backend;
        let at = Part::BackendAddress(index);
        if let Some(what) = odd_address(address) {
            let problem = format!("`{address}` is {what}, which cannot be a backend");
            return Err(fault(
                at,
                problem,
                "a backend has the address of a server next to this host, such as `10.0.0.11`",
            ));
        }
        if address.is_ipv4() != self.address.is_ipv4() && self.forward != Forward::Tunnel {
            let problem =
                format!("backend `{address}` is of another address family than its service `{}`", self.address);
            let hint = "only a tunnel takes IPv4 to IPv6 or the other way: `forward = \"tunnel\"`";
            return Err(fault(at, problem, hint));
        }
        if port.is_some() && !self.forward.has_ports() {
            let problem = format!("a backend of a `{}` service has no port of its own", self.forward);
            return Err(fault(at, problem, "leave `port` out, or have the service `nat` or `snat`"));
        }
        if let Some(port) = port
            && self.ports.only().is_none()
        {
            let problem = format!("{port} cannot be the `port` of a backend of a service on {}", self.ports);
            return Err(fault(
                at,
                problem,
                "the `port` of a backend needs a service with one port; else packets keep theirs",
            ));
        }
        if port == Some(0) {
            return Err(fault(at, "port 0 does not exist", "a port is a number from 1 to 65535"));
        }
        if address == self.address {
            let problem = format!("backend `{address}` is the service's own address");
            return Err(fault(
                at,
                problem,
                "write the server's own address; in dsr it also has the service's on its loopback",
            ));
        }
        if weight > MAX_WEIGHT {
            let problem = format!("a weight of {weight} is too large");
            return Err(fault(
                Part::BackendWeight(index),
                problem,
                format!("a weight is a number from 0 to {MAX_WEIGHT}"),
            ));
        }
        Ok(())
    }
}

fn check_name(text: &str) -> Result<(), ServiceFault> {
    match name::name(Word::whole(text)) {
        Ok(_) => Ok(()),
        Err(wrong) => Err(ServiceFault { part: Part::Name, problem: wrong.problem, hint: wrong.hint }),
    }
}

/// What kind of address this is, if it is none of one host on a network.
fn odd_address(address: IpAddr) -> Option<&'static str> {
    match address {
        address if address.is_unspecified() => Some("the unspecified address"),
        address if address.is_loopback() => Some("a loopback address"),
        address if address.is_multicast() => Some("a multicast address"),
        IpAddr::V4(Ipv4Addr::BROADCAST) => Some("the broadcast address"),
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => Some("an IPv4 address inside IPv6"),
        IpAddr::V6(v6) if v6.is_unicast_link_local() => Some("a link-local address"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::service::{DEFAULT_IDLE, Forward, Queries, ServicePorts, Transport};

    fn service(address: &str, backends: &[&str]) -> Service {
        Service {
            name: "web".to_owned(),
            address: address.parse().unwrap(),
            ports: ServicePorts::new(Transport::Tcp, 80, []),
            forward: Forward::Dsr,
            encapsulation: Encapsulation::Ip,
            snat: Vec::new(),
            queries: Queries::Auto,
            echo: true,
            affinity: crate::domain::Affinity::Flow,
            quic_config: 0,
            ring: RING_SLOTS,
            idle: DEFAULT_IDLE,
            backends: backends.iter().map(|address| Backend::new(address.parse().unwrap(), 100)).collect(),
        }
    }

    #[test]
    fn a_plain_service_is_valid() {
        assert_eq!(service("192.0.2.10", &["10.0.0.11", "10.0.0.12"]).check(), Ok(()));
        assert_eq!(service("2001:db8::10", &["2001:db8::11"]).check(), Ok(()));
    }

    #[test]
    fn what_is_wrong_is_placed() {
        let part = |service: Service| service.check().expect_err(&format!("{service:?}")).part;
        assert_eq!(part(Service { name: "Web".to_owned(), ..service("192.0.2.10", &["10.0.0.11"]) }), Part::Name);
        let zero = ServicePorts::new(Transport::Tcp, 80, [0..=9]);
        assert_eq!(part(Service { ports: zero, ..service("192.0.2.10", &["10.0.0.11"]) }), Part::Port);
        assert_eq!(part(Service { idle: Duration::ZERO, ..service("192.0.2.10", &["10.0.0.11"]) }), Part::Idle);
        let second = Duration::from_secs(1);
        assert_eq!(part(Service { idle: MAX_IDLE + second, ..service("192.0.2.10", &["10.0.0.11"]) }), Part::Idle);
        assert_eq!(Service { idle: MAX_IDLE, ..service("192.0.2.10", &["10.0.0.11"]) }.check(), Ok(()));
        for odd in ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255"] {
            assert_eq!(part(service(odd, &["10.0.0.11"])), Part::Address, "{odd}");
            assert_eq!(part(service("192.0.2.10", &["10.0.0.11", odd])), Part::BackendAddress(1), "{odd}");
        }
        for odd in ["::", "::1", "ff02::1", "::ffff:10.0.0.1", "fe80::1"] {
            assert_eq!(part(service(odd, &["2001:db8::1"])), Part::Address, "{odd}");
        }
        assert_eq!(part(service("192.0.2.10", &[])), Part::Backends);
        assert_eq!(part(service("192.0.2.10", &["10.0.0.11", "10.0.0.11"])), Part::BackendAddress(1));
        assert_eq!(part(service("192.0.2.10", &["2001:db8::1"])), Part::BackendAddress(0));
        assert_eq!(part(service("192.0.2.10", &["192.0.2.10"])), Part::BackendAddress(0));
        let mut heavy = service("192.0.2.10", &["10.0.0.11"]);
        heavy.backends[0].weight = 1001;
        assert_eq!(part(heavy), Part::BackendWeight(0));
    }
}
