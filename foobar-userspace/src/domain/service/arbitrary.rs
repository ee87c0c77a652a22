//! Arbitrary services, for property tests.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use foobar_common::layout::RING_SIZES;
use proptest::prelude::*;

use super::{Affinity, Backend, BackendState, Encapsulation, Forward, Queries, Service, ServicePorts, Transport};
use crate::domain::rule::arbitrary::name;

pub fn addresses(v6: bool) -> BoxedStrategy<Vec<IpAddr>> {
    let one = move |bits: u32| {
        if v6 {
            IpAddr::V6(Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(bits)))
        } else {
            IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 | (bits & 0x00ff_ffff)))
        }
    };
    prop::collection::vec(1..u32::MAX, 2..6)
        .prop_map(move |bits| bits.into_iter().map(one).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>())
        .prop_filter("a service and a backend", |addresses| addresses.len() > 1)
        .boxed()
}

fn way() -> impl Strategy<Value = (Forward, Encapsulation)> {
    prop::sample::select(vec![
        (Forward::Dsr, Encapsulation::Ip),
        (Forward::Tunnel, Encapsulation::Ip),
        (Forward::Tunnel, Encapsulation::Gue),
        (Forward::Nat, Encapsulation::Ip),
        (Forward::Snat, Encapsulation::Ip),
    ])
}

fn backend(address: IpAddr, has_ports: bool) -> impl Strategy<Value = Backend> {
    let states =
        [BackendState::Ready, BackendState::Drain, BackendState::Emptying, BackendState::Removing, BackendState::Maint];
    let state = prop::sample::select(states.to_vec());
    let port = any::<Option<u16>>().prop_map(move |port| port.filter(|port| *port > 0 && has_ports));
    let rest = (any::<bool>(), any::<Option<u32>>());
    (0..=1000_u16, state, port, rest).prop_map(move |(weight, state, port, (backup, deadline))| {
        let deadline = deadline.filter(|_| state.drains()).map(u64::from);
        Backend { address, port, weight, state, backup, server_id: None, deadline }
    })
}

/// Any ports of a service.
pub fn ports() -> impl Strategy<Value = ServicePorts> {
    let range = (1..=u16::MAX, prop_oneof![Just(0), 0..2000_u16, Just(u16::MAX)]);
    let ranges = prop::collection::vec(range.prop_map(|(low, more)| low..=low.saturating_add(more)), 0..4);
    let ports = (any::<bool>(), 1..=u16::MAX, ranges).prop_map(|(tcp, first, ranges)| {
        let transport = if tcp { Transport::Tcp } else { Transport::Udp };
        ServicePorts::new(transport, first, ranges)
    });
    prop_oneof![8 => ports, 1 => Just(ServicePorts::new(Transport::Tcp, 1, [1..=u16::MAX]))]
}

/// The same with server ids where connection ids are read; TCP has none.
fn with_ids(service: Service) -> Service {
    if service.affinity != Affinity::Quic {
        return service;
    }
    if service.ports.transport() == Transport::Tcp {
        return Service { affinity: Affinity::Flow, ..service };
    }
    let (config, digits) = ((service.ring % 7) as u8, 2 + 2 * (service.ring as usize % 8));
    let id = |at: usize| format!("{at:0digits$x}").parse().ok();
    let numbered = |(at, backend)| Backend { server_id: id(at), ..backend };
    let backends = service.backends.into_iter().enumerate().map(numbered).collect();
    Service { quic_config: config, backends, ..service }
}

/// Any valid service.
pub fn service() -> impl Strategy<Value = Service> {
    let queries = prop_oneof![Just(Queries::Auto), Just(Queries::Http), Just(Queries::Connections)];
    let affinity = prop_oneof![Just(Affinity::Flow), Just(Affinity::Source), Just(Affinity::Quic)];
    let affinity = (affinity, any::<bool>());
    let spread = (affinity, prop::sample::select(&RING_SIZES[..]), way());
    let head = (name(), ports(), queries, spread, 1..1_000_000_u64);
    (any::<bool>().prop_flat_map(addresses), head).prop_flat_map(
        |(addresses, (name, ports, queries, ((affinity, echo), ring, way), idle))| {
            let has_ports = way.0.gives_ports(&ports);
            let backends: Vec<_> = addresses[1..].iter().copied().map(|address| backend(address, has_ports)).collect();
            backends.prop_map(move |backends| {
                with_ids(Service {
                    name: name.clone(),
                    address: addresses[0],
                    ports: ports.clone(),
                    forward: way.0,
                    encapsulation: way.1,
                    snat: Vec::new(),
                    queries,
                    echo,
                    affinity,
                    quic_config: 0,
                    ring,
                    idle: Duration::from_secs(idle),
                    backends,
                })
            })
        },
    )
}
