//! Arbitrary services, for property tests.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use foobar_common::layout::RING_SIZES;
use proptest::prelude::*;

use super::{Affinity, Backend, BackendState, Encapsulation, Forward, Queries, Service, Transport};
use crate::domain::rule::arbitrary::name;

fn addresses(v6: bool) -> BoxedStrategy<Vec<IpAddr>> {
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

fn backend(address: IpAddr, forward: Forward) -> impl Strategy<Value = Backend> {
    let states =
        [BackendState::Ready, BackendState::Drain, BackendState::Emptying, BackendState::Removing, BackendState::Maint];
    let state = prop::sample::select(states.to_vec());
    let port = any::<Option<u16>>().prop_map(move |port| port.filter(|port| *port > 0 && forward.has_ports()));
    let rest = (any::<bool>(), any::<Option<u32>>());
    (0..=1000_u16, state, port, rest).prop_map(move |(weight, state, port, (backup, deadline))| {
        let deadline = deadline.filter(|_| state.drains()).map(u64::from);
        Backend { address, port, weight, state, backup, deadline }
    })
}

/// Any valid service.
pub fn service() -> impl Strategy<Value = Service> {
    let transport = prop_oneof![Just(Transport::Tcp), Just(Transport::Udp)];
    let queries = prop_oneof![Just(Queries::Auto), Just(Queries::Http), Just(Queries::Connections)];
    let affinity = prop_oneof![Just(Affinity::Flow), Just(Affinity::Source)];
    let affinity = (affinity, any::<bool>());
    let spread = (affinity, prop::sample::select(&RING_SIZES[..]), way());
    let head = (name(), transport, 1..=u16::MAX, queries, spread, 1..1_000_000_u64);
    (any::<bool>().prop_flat_map(addresses), head).prop_flat_map(
        |(addresses, (name, transport, port, queries, ((affinity, echo), ring, way), idle))| {
            let backends: Vec<_> = addresses[1..].iter().copied().map(|address| backend(address, way.0)).collect();
            backends.prop_map(move |backends| Service {
                name: name.clone(),
                address: addresses[0],
                transport,
                port,
                forward: way.0,
                encapsulation: way.1,
                snat: Vec::new(),
                queries,
                echo,
                affinity,
                ring,
                idle: Duration::from_secs(idle),
                backends,
            })
        },
    )
}
