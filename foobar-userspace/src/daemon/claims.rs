//! What services are to packets: their keys, their ports, and what the tables say of them.
//!
//! A service's flows are spread by its address and the port that is written first, so that the others can come and go.

use std::{net::IpAddr, ops::RangeInclusive};

use foobar_common::{
    address::{V4, V6},
    find::{Group, Kind, ServiceEntry, ServiceKey, key_of, service_key},
    flow::{TCP, UDP},
    image::{Claim, Image},
    layout::{MAX_ANSWER_KEYS, MAX_SERVICE_KEYS},
    quic::Scheme,
    ring,
    target::Mode,
};

use super::{plan::bits, state::State};
use crate::{
    api::types::Refusal,
    domain::{Affinity, Backend, Forward, Queries, Service, Transport},
};

/// In a key whose group is found out later.
const NO_GROUP: Group = 0;
/// Plain-text HTTP's usual ports.
const HTTP_PORTS: [u16; 6] = [80, 591, 8000, 8008, 8080, 8888];

/// What a service is for: its ports, and apart from them those whose queries are HTTP's.
pub fn claims(service: &Service, ring: u32) -> impl Iterator<Item = Claim> {
    let entry = ServiceEntry { ring, ..entry(service) };
    let key = key(service);
    let claim =
        move |ports, http| Claim { key, ports, entry: ServiceEntry { http, ..entry }.to_words(), listens: true };
    let (http, others) = match (service.ports.transport(), service.queries) {
        (Transport::Tcp, Queries::Http) => (service.ports.ranges().to_vec(), Vec::new()),
        (Transport::Tcp, Queries::Auto) => apart(service.ports.ranges(), HTTP_PORTS),
        _ => (Vec::new(), service.ports.ranges().to_vec()),
    };
    [claim(http, true), claim(others, false)].into_iter().filter(|claim| !claim.ports.is_empty())
}

/// Whose answers are rewritten: a `nat` service's backends, by the ports that packets reach them at.
pub fn answers(service: &Service, state: &State) -> Vec<Claim> {
    if service.forward != Forward::Nat {
        return Vec::new();
    }
    let claim = |backend: &Backend| {
        let id = state.ids.backend(service, backend)?;
        let ports = backend.ports(service);
        let key = match backend.address {
            IpAddr::V4(address) => key_of(Kind::Backend, V4::from(address), NO_GROUP, protocol(service)),
            IpAddr::V6(address) => key_of(Kind::Backend, V6::from(address), NO_GROUP, protocol(service)),
        };
        Some(Claim { key, ports: ports.ranges().to_vec(), entry: [u64::from(id), 0], listens: false })
    };
    service.backends.iter().filter_map(claim).collect()
}

/// Some ports out of these ranges, and what is left of them. `some` ascends.
fn apart(ranges: &[RangeInclusive<u16>], some: [u16; 6]) -> (Vec<RangeInclusive<u16>>, Vec<RangeInclusive<u16>>) {
    let (mut found, mut left) = (Vec::new(), Vec::new());
    for range in ranges {
        let mut rest = range.clone();
        for port in some.into_iter().filter(|port| range.contains(port)) {
            found.push(port..=port);
            left.push(*rest.start()..=port - 1);
            // No port in question is the last that there is.
            rest = port + 1..=*range.end();
        }
        left.push(rest);
    }
    left.retain(|range| !range.is_empty());
    (found, left)
}

pub fn too_many_keys(keys: usize) -> Refusal {
    Refusal::refused(format!(
        "the ports of all services make {keys} groups of ports at their addresses, and there is room for {MAX_SERVICE_KEYS}"
    ))
    .hint("ports that the same services have are one group: give services equal lists of ports, or fewer ranges")
}

pub fn too_many_answers(keys: usize) -> Refusal {
    Refusal::refused(format!(
        "the groups of ports at the addresses of all backends of `nat` services, and all server ids, are {keys} keys, and \
         there is room for {MAX_ANSWER_KEYS}"
    ))
    .hint("ports that the same backends have are one group: give `nat` services equal lists of ports, or fewer ranges")
}

/// What packets know of a service, but for its ring's region and for what a query is on a port.
pub fn entry(service: &Service) -> ServiceEntry {
    ServiceEntry {
        ring: 0,
        slots: service.ring,
        seed: seed(service),
        by_source: service.affinity == Affinity::Source,
        http: false,
        mode: mode(service),
        scheme: scheme(service),
    }
}

/// Which connection ids name a backend: all server ids of a service are of one length.
fn scheme(service: &Service) -> Scheme {
    let id = service.backends.iter().find_map(|backend| backend.server_id);
    id.map_or(Scheme::NONE, |id| Scheme::new(service.quic_config, id.bytes()))
}

/// Lets connection ids name a service's backends.
pub fn name_servers(service: &Service, ring: u32, state: &State, image: &mut Image) {
    for backend in &service.backends {
        if let (Some(server), Some(id)) = (backend.server_id, state.ids.backend(service, backend)) {
            image.server(ring, server.value(), id);
        }
    }
}

/// How packets get to a service's backends.
pub fn mode(service: &Service) -> Mode {
    match service.forward {
        Forward::Dsr => Mode::Dsr,
        Forward::Tunnel => Mode::Tunnel,
        Forward::Nat => Mode::Nat,
        Forward::Snat => Mode::Snat,
    }
}

fn protocol(service: &Service) -> u8 {
    match service.ports.transport() {
        Transport::Tcp => TCP,
        Transport::Udp => UDP,
    }
}

/// What is mixed into the hashes of a service's flows: the same on every machine, fixed for the service's life. Of its
/// ports only the first counts, so that others can come and go.
fn seed(service: &Service) -> u32 {
    (ring::name(bits(service.address) ^ u128::from(service.ports.first()) << 64 ^ u128::from(protocol(service)) << 80)
        >> 32) as u32
}

/// What the tables know a service by, without the group of a port.
pub fn key(service: &Service) -> ServiceKey {
    match service.address {
        IpAddr::V4(address) => service_key(V4::from(address), NO_GROUP, protocol(service)),
        IpAddr::V6(address) => service_key(V6::from(address), NO_GROUP, protocol(service)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Config,
        daemon::{
            plan::{Forced, Rings, plan, refuse_another_spread},
            state::State,
        },
    };

    fn service(name: &str, address: &str, ports: &str) -> Service {
        let backends = r#"[{"address":"10.0.0.11"}]"#;
        let json = format!(r#"{{"name":"{name}","address":"{address}","port":"{ports}","backends":{backends}}}"#);
        serde_json::from_str(&json).expect(ports)
    }

    #[test]
    fn flows_of_one_port_are_spread_as_ever_and_other_ports_change_nothing() {
        let seeds = ["tcp/443", "udp/443", "tcp/80"].map(|ports| seed(&service("web", "192.0.2.10", ports)));
        assert_eq!(seeds, [0x6fa6_a4f1, 0x0fdf_8520, 0xd75b_9578]);
        assert_eq!(seed(&service("web", "192.0.2.10", "tcp/443,80,5000-5999")), seeds[0]);
        assert_eq!(seed(&service("other", "192.0.2.10", "tcp/80,443")), seeds[2]);
    }

    #[test]
    fn http_is_counted_on_its_usual_ports_and_connections_on_the_others() {
        let claimed = |ports, queries| {
            let service = Service { queries, ..service("web", "192.0.2.10", ports) };
            let of = |claim: Claim| (ServiceEntry::from_words(claim.entry).http, claim.ports);
            claims(&service, 7).map(of).collect::<Vec<_>>()
        };
        let split = [(true, vec![80..=80, 8000..=8000]), (false, vec![443..=443, 7999..=7999, 8001..=8001])];
        assert_eq!(claimed("tcp/443,80,7999-8001", Queries::Auto), split);
        assert_eq!(claimed("tcp/8080", Queries::Auto), [(true, vec![8080..=8080])]);
        assert_eq!(claimed("tcp/any", Queries::Auto)[1].1.len(), 7, "between six ports, and around them");
        assert_eq!(claimed("tcp/any", Queries::Http), [(true, vec![1..=65535])]);
        assert_eq!(claimed("tcp/any", Queries::Connections), [(false, vec![1..=65535])]);
        assert_eq!(claimed("udp/80", Queries::Auto), [(false, vec![80..=80])]);
    }

    #[test]
    fn a_service_keeps_its_first_port_while_it_keeps_any() {
        let config = |ports| Config { services: vec![service("web", "192.0.2.10", ports)], ..Config::default() };
        let changed = |before, after| refuse_another_spread(&config(before), &config(after));
        for (before, after) in [("tcp/443", "tcp/443,80"), ("tcp/443,80", "tcp/443"), ("tcp/443", "tcp/80")] {
            changed(before, after).expect("nothing that stays moves");
        }
        let refusal = changed("tcp/443", "tcp/80,443").expect_err("443 would move");
        assert!(refusal.error.starts_with("service web spreads its flows by tcp/443, its first port"), "{refusal}");
        assert_eq!(refusal.hint.as_deref(), Some("write that port first: `ports = \"tcp/443,80\"`"));
        assert!(
            changed("tcp/443", "tcp/any").expect_err("moves").hint.is_some_and(|hint| hint.contains("443,1-65535"))
        );
        assert!(changed("tcp/80,443", "tcp/443").expect_err("moves").hint.is_some_and(|hint| hint.contains("keep")));
    }

    #[test]
    fn other_ports_leave_the_ring_and_the_ids_as_they_are() {
        let mut state = State {
            config: Config { services: vec![service("web", "192.0.2.10", "tcp/443")], ..Config::default() },
            ..State::default()
        };
        let before = plan(&mut state, &Rings::new(), &Forced::new(), 0).expect("a plan");
        state.config.services = vec![service("web", "192.0.2.10", "tcp/443,80,5000-5999")];
        let after = plan(&mut state, &before.rings, &Forced::new(), 0).expect("a plan");
        assert_eq!((after.rings, after.changed.len(), after.new_backends.len()), (before.rings, 0, 0));
        assert_eq!(after.image.services.len(), 2, "80 counts HTTP");
    }

    #[test]
    fn more_groups_than_there_is_room_for_are_refused() {
        let lists: Vec<_> = (0..60_u32)
            .map(|n| {
                let ports: Vec<_> = (0..60).filter(|m| m != &n).map(|m| (10_000 + m).to_string()).collect();
                Service {
                    ring: 1009,
                    ..service(&format!("s{n}"), &format!("192.0.2.{}", n + 1), &format!("tcp/{}", ports.join(",")))
                }
            })
            .collect();
        let mut state = State { config: Config { services: lists, ..Config::default() }, ..State::default() };
        let Err(refusal) = plan(&mut state, &Rings::new(), &Forced::new(), 0) else { panic!("no room") };
        assert!(
            refusal.error.contains("3540 groups of ports at their addresses, and there is room for 512"),
            "{refusal}"
        );
        assert!(refusal.hint.is_some());
    }
}
