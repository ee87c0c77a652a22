//! Which addresses of this host packets of `snat` services come from, each with its place among all.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use foobar_common::snat::{self, MAX_POOL};
use serde::{Deserialize, Serialize};

use crate::{
    api::types::Refusal,
    domain::{Forward, Service},
};

/// Kept with the running configuration: a port's place outlives the daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    places: BTreeMap<IpAddr, usize>,
    /// By service that names no address: those that routes to its backends have had.
    egress: BTreeMap<String, BTreeSet<IpAddr>>,
}

impl Pool {
    /// The addresses of a service, in the order that flows are spread over them.
    pub fn of(&self, service: &Service) -> Vec<IpAddr> {
        if service.forward != Forward::Snat {
            return Vec::new();
        }
        if !service.snat.is_empty() {
            return service.snat.clone();
        }
        self.egress.get(&service.name).into_iter().flatten().copied().take(snat::Pool::MAX).collect()
    }

    /// The same by their places.
    pub fn places(&self, service: &Service) -> Vec<u8> {
        self.of(service).iter().filter_map(|address| self.place(*address)).map(|place| place as u8).collect()
    }

    pub fn place(&self, address: IpAddr) -> Option<usize> {
        self.places.get(&address).copied()
    }

    /// Every address with its place.
    pub fn all(&self) -> impl Iterator<Item = (IpAddr, usize)> + '_ {
        self.places.iter().map(|(address, place)| (*address, *place))
    }

    /// Adds an address that a route to a service's backend has.
    pub fn learn(&mut self, service: &str, address: IpAddr) {
        self.egress.entry(service.to_owned()).or_default().insert(address);
    }

    /// Gives every address its place, those of services that may come back included. One that no service has any more
    /// gives its own up only where there is no other. Of those of routes, some stay without one if there are too many:
    /// nobody asked for them.
    pub fn number(&mut self, services: &[Service]) -> Result<(), Refusal> {
        let is_snat = |name: &String| services.iter().any(|service| service.name == *name && service.snat.is_empty());
        self.egress.retain(|name, _| is_snat(name));
        let wanted: BTreeSet<_> = services.iter().flat_map(|service| self.of(service)).collect();
        let (named, of_routes): (Vec<_>, Vec<_>) =
            wanted.iter().partition(|address| services.iter().any(|service| service.snat.contains(address)));
        for (address, is_named) in named
            .into_iter()
            .map(|address| (address, true))
            .chain(of_routes.into_iter().map(|address| (address, false)))
        {
            if self.places.contains_key(address) {
                continue;
            }
            let free = (0..MAX_POOL).find(|place| self.places.values().all(|taken| taken != place));
            let unused = || {
                let (old, place) = self.places.iter().find(|(old, _)| !wanted.contains(*old))?;
                Some((*old, *place))
            };
            let place = if let Some(place) = free {
                place
            } else if let Some((old, place)) = unused() {
                self.places.remove(&old);
                place
            } else if is_named {
                return Err(too_many());
            } else {
                continue;
            };
            self.places.insert(*address, place);
        }
        Ok(())
    }
}

fn too_many() -> Refusal {
    Refusal::refused(format!("packets of `snat` services come from more than {MAX_POOL} addresses"))
        .hint("have services share addresses: ports are shared out among all flows")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str, snat: &[String]) -> Service {
        let json = serde_json::json!({
            "name": name, "address": "192.0.2.1", "port": "tcp/80", "forward": "snat", "snat": snat,
            "backends": [{ "address": "10.0.0.1" }],
        });
        serde_json::from_value(json).expect("a service")
    }

    #[test]
    fn an_address_keeps_its_place_and_one_that_nobody_has_gives_way_last() {
        let address = |n: usize| format!("10.0.1.{n}");
        let mut pool = Pool::default();
        pool.number(&[service("a", &[address(1), address(2)])]).expect("places");
        let first = pool.clone();
        pool.number(&[service("a", &[address(2)])]).expect("places");
        assert_eq!(pool, first, "its port may be in use");
        let many: Vec<_> = (3..=16).map(address).collect();
        let rest = [service("a", &[address(2)]), service("b", &many[..7]), service("c", &many[7..])];
        pool.number(&rest).expect("15 of 16");
        let other = [service("d", &[address(17)])];
        pool.number(&[rest.to_vec(), other.to_vec()].concat()).expect("the first one's place is free");
        assert_eq!(pool.place(address(1).parse().unwrap()), None);
        assert_eq!(pool.place(address(17).parse().unwrap()), first.place(address(1).parse().unwrap()));
        let one_more = service("e", &[address(18)]);
        pool.number(&[rest.to_vec(), other.to_vec(), vec![one_more]].concat()).expect_err("17 addresses");
        let automatic = service("f", &[]);
        pool.learn("f", address(19).parse().unwrap());
        pool.number(&[rest.to_vec(), other.to_vec(), vec![automatic.clone()]].concat()).expect("nobody named the 17th");
        assert_eq!(pool.places(&automatic), [] as [u8; 0]);
    }

    #[test]
    fn where_none_is_named_those_of_the_routes_are_taken() {
        let mut pool = Pool::default();
        let service = service("a", &[]);
        assert_eq!(pool.of(&service), [] as [IpAddr; 0]);
        pool.learn("a", "10.0.0.2".parse().unwrap());
        pool.learn("a", "10.0.0.2".parse().unwrap());
        pool.number(std::slice::from_ref(&service)).expect("a place");
        assert_eq!(pool.places(&service), [0]);
        pool.number(&[]).expect("none");
        assert_eq!(pool.of(&service), [] as [IpAddr; 0]);
    }
}
