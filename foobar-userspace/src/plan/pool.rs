//! Which addresses of this host packets of `snat` services come from, and with `nat` those of clients in the backends'
//! network; each with its place among all.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use foobar_common::snat::{self, MAX_POOL};
use serde::{Deserialize, Serialize};

use crate::{api::types::Refusal, domain::Service};

/// Kept with the running configuration: a port's place outlives the daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    places: BTreeMap<IpAddr, usize>,
    /// By service that names no address: those that routes to its backends have.
    egress: BTreeMap<String, BTreeSet<IpAddr>>,
    /// By service: what its flows were spread over.
    #[serde(default)]
    spread: BTreeMap<String, Spread>,
}

/// A flow's port depends on which addresses its service has, and in which order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Spread {
    now: Vec<IpAddr>,
    /// Where they have changed: those that older flows may have.
    older: BTreeSet<IpAddr>,
}

impl Spread {
    fn becomes(&mut self, addresses: Vec<IpAddr>) {
        // Before its first address a service has no flow.
        if !self.now.is_empty() && self.now != addresses {
            self.older.extend(self.now.iter().chain(&addresses));
        }
        self.now = addresses;
    }

    fn has(&self, address: &IpAddr) -> bool {
        self.now.contains(address) || self.older.contains(address)
    }
}

impl Pool {
    /// The addresses of a service, in the order that flows are spread over them.
    pub fn of(&self, service: &Service) -> Vec<IpAddr> {
        if !service.forward.has_pool() {
            return Vec::new();
        }
        if !service.snat.is_empty() {
            return service.snat.clone();
        }
        self.egress.get(&service.name).into_iter().flatten().copied().take(snat::Pool::MAX).collect()
    }

    /// Addresses for new flows of a service and those of its older ones, by their places.
    pub fn as_packets_take_it(&self, service: &Service, addresses: Vec<IpAddr>) -> snat::Pool {
        snat::Pool::new(&self.places(addresses), &self.places(self.older(service)))
    }

    /// Addresses that older flows of a service may have: answers come to them, too.
    pub fn older<'a>(&'a self, service: &Service) -> impl Iterator<Item = IpAddr> + use<'a> {
        self.spread.get(&service.name).into_iter().flat_map(|spread| &spread.older).copied()
    }

    fn places(&self, addresses: impl IntoIterator<Item = IpAddr>) -> Vec<u8> {
        addresses.into_iter().filter_map(|address| self.place(address)).map(|place| place as u8).collect()
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

    /// Forgets the others, if some of these were learnt.
    pub fn keep_learnt(&mut self, service: &str, addresses: &BTreeSet<IpAddr>) {
        if let Some(learnt) = self.egress.get_mut(service).filter(|learnt| !learnt.is_disjoint(addresses)) {
            learnt.retain(|address| addresses.contains(address));
        }
    }

    /// Gives every address its place, those of services that may come back included. One that no service has any more
    /// gives its own up only where there is no other, and that of older flows last. Of those of routes, some stay without
    /// one if there are too many: nobody asked for them.
    pub fn number(&mut self, services: &[Service]) -> Result<(), Refusal> {
        let has_pool =
            |name: &String| services.iter().any(|service| service.name == *name && service.forward.has_pool());
        self.spread.retain(|name, _| has_pool(name));
        let learns = |name: &String| services.iter().any(|service| service.name == *name && service.snat.is_empty());
        self.egress.retain(|name, _| learns(name));
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
                // Flows of services that are still there may have it.
                let has_flows = |address| self.spread.values().any(|spread| spread.has(address));
                let unused = self.places.iter().filter(|(old, _)| !wanted.contains(*old));
                unused.min_by_key(|(old, _)| has_flows(*old)).map(|(old, place)| (*old, *place))
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
        self.spread_over(services);
        Ok(())
    }

    /// Remembers what the flows of each service are spread over. The same one may be there twice, with other addresses.
    fn spread_over(&mut self, services: &[Service]) {
        for service in services.iter().filter(|service| service.forward.has_pool()) {
            let mut addresses = self.of(service);
            addresses.retain(|address| self.places.contains_key(address));
            self.spread.entry(service.name.clone()).or_default().becomes(addresses);
        }
        for spread in self.spread.values_mut() {
            spread.older.retain(|address| self.places.contains_key(address));
        }
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
        assert_eq!(pool.places, first.places, "its port may be in use");
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
        assert_eq!(pool.as_packets_take_it(&automatic, pool.of(&automatic)).count(), 0);
    }

    #[test]
    fn where_none_is_named_those_of_the_routes_are_taken() {
        let mut pool = Pool::default();
        let service = service("a", &[]);
        assert_eq!(pool.of(&service), [] as [IpAddr; 0]);
        pool.learn("a", "10.0.0.2".parse().unwrap());
        pool.learn("a", "10.0.0.2".parse().unwrap());
        pool.number(std::slice::from_ref(&service)).expect("a place");
        assert_eq!(pool.as_packets_take_it(&service, pool.of(&service)), snat::Pool::new(&[0], &[]));
        pool.learn("a", "10.0.0.3".parse().unwrap());
        pool.keep_learnt("a", &["10.0.0.3".parse().unwrap()].into());
        assert_eq!(pool.of(&service), ["10.0.0.3".parse::<IpAddr>().unwrap()]);
        pool.keep_learnt("a", &BTreeSet::new());
        assert_eq!(pool.of(&service).len(), 1, "no route has one, and it goes on");
        pool.number(&[]).expect("none");
        assert_eq!(pool.of(&service), [] as [IpAddr; 0]);
    }

    #[test]
    fn older_flows_keep_the_addresses_that_their_service_had() {
        let address = |n: usize| format!("10.0.1.{n}");
        let mut pool = Pool::default();
        let with = |addresses: &[usize]| {
            let addresses: Vec<_> = addresses.iter().map(|number| address(*number)).collect();
            service("a", &addresses)
        };
        let mut taken = |services: &[Service]| {
            pool.number(services).expect("places");
            pool.as_packets_take_it(&services[0], pool.of(&services[0]))
        };
        assert_eq!(taken(&[with(&[1, 2])]), snat::Pool::new(&[0, 1], &[]));
        assert_eq!(taken(&[with(&[1, 2])]), snat::Pool::new(&[0, 1], &[]), "nothing changed");
        assert_eq!(taken(&[with(&[2, 1])]), snat::Pool::new(&[1, 0], &[0, 1]));
        assert_eq!(taken(&[with(&[3]), with(&[2, 1])]), snat::Pool::new(&[2], &[0, 1, 2]), "both may be in force");
        assert_eq!(taken(&[service("b", &[address(1)])]), snat::Pool::new(&[0], &[]), "another service");
        assert_eq!(taken(&[with(&[1])]), snat::Pool::new(&[0], &[]), "it was gone");
    }

    #[test]
    fn the_address_that_a_service_leaves_gives_way_after_those_of_nobody() {
        let address = |n: usize| format!("10.0.1.{n}");
        let mut pool = Pool::default();
        let all: Vec<_> = (10..25).map(|n| service(&format!("s{n}"), &[address(n)])).collect();
        let left = service("left", &[address(1)]);
        pool.number(&[all.clone(), vec![left]].concat()).expect("16 places");
        let fewer = &all[..14];
        pool.number(&[fewer.to_vec(), vec![service("left", &[address(2)])]].concat()).expect("that of s24 is free");
        assert!(pool.place(address(1).parse().unwrap()).is_some(), "its flows have it");
        assert_eq!(pool.place(address(24).parse().unwrap()), None);
    }
}
