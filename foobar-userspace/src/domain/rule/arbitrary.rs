//! Arbitrary rules, for property tests.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proptest::{option, prelude::*};

use super::{IcmpTypes, Limit, Matcher, Ports, Rule, Source, Verdict};

pub fn name() -> impl Strategy<Value = String> {
    "[a-z_][a-z0-9._-]{0,20}".prop_filter("not a verdict", |name| name != "allow" && name != "deny")
}

fn matcher() -> impl Strategy<Value = Matcher> {
    prop_oneof![
        Just(Matcher::Any),
        ports().prop_map(Matcher::Tcp),
        ports().prop_map(Matcher::Udp),
        icmp_types().prop_map(Matcher::Icmp),
        icmp_types().prop_map(Matcher::Icmpv6),
        any::<u8>()
            .prop_filter("has a matcher of its own", |n| ![1, 6, 17, 58].contains(n))
            .prop_map(Matcher::Protocol),
    ]
}

fn ports() -> impl Strategy<Value = Ports> {
    prop::collection::vec((1..=u16::MAX, prop_oneof![Just(0), 0..2000_u16]), 0..4)
        .prop_map(|ends| Ports::new(ends.into_iter().map(|(low, more)| low..=low.saturating_add(more))))
}

fn icmp_types() -> impl Strategy<Value = IcmpTypes> {
    prop::collection::vec(any::<u8>(), 0..4).prop_map(IcmpTypes::new)
}

fn v4() -> impl Strategy<Value = IpNet> {
    (any::<u32>(), 0..=32_u8)
        .prop_map(|(bits, len)| IpNet::V4(Ipv4Net::new(Ipv4Addr::from_bits(bits), len).unwrap().trunc()))
}

fn v6() -> impl Strategy<Value = IpNet> {
    (any::<u128>(), 0..=128_u8)
        .prop_filter("mapped", |(bits, _)| bits >> 32 != 0xffff)
        .prop_map(|(bits, len)| IpNet::V6(Ipv6Net::new(Ipv6Addr::from_bits(bits), len).unwrap().trunc()))
}

/// Sources of one family, each once, and perhaps a set.
fn sources(family: Option<u8>) -> BoxedStrategy<Vec<Source>> {
    let prefix = match family {
        Some(4) => v4().boxed(),
        Some(6) => v6().boxed(),
        _ => prop_oneof![v4(), v6()].boxed(),
    };
    let source = prop_oneof![4 => prefix.prop_map(Source::Prefix), 1 => name().prop_map(Source::Set)];
    prop::collection::vec(source, 0..4).prop_map(unique).boxed()
}

fn unique<T: PartialEq>(items: Vec<T>) -> Vec<T> {
    let mut kept = Vec::new();
    for item in items {
        if !kept.contains(&item) {
            kept.push(item);
        }
    }
    kept
}

/// `connects`: it may count connections.
fn limit(connects: bool) -> impl Strategy<Value = Limit> {
    (1..=u32::MAX, prop_oneof![Just(1), Just(60)], any::<bool>(), any::<bool>(), option::of(1..=u32::MAX)).prop_map(
        move |(count, secs, connections, per_source, burst)| Limit {
            count,
            per: Duration::from_secs(secs),
            connections: connections && connects,
            per_source,
            burst,
        },
    )
}

fn interfaces() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("[a-z][a-z0-9.@_-]{0,14}", 0..3).prop_map(unique)
}

/// Any rule that a text can say.
pub fn rule() -> impl Strategy<Value = Rule> {
    let lifetime = option::of((1..u64::from(u32::MAX)).prop_map(Duration::from_secs));
    (any::<bool>(), matcher(), prop_oneof![Just(4_u8), Just(6)])
        .prop_flat_map(move |(allow, matcher, family)| {
            let family = matcher.family().unwrap_or(family);
            let is_tcp = matches!(matcher, Matcher::Tcp(_));
            let limit = if allow { option::of(limit(is_tcp)).boxed() } else { Just(None).boxed() };
            let verdict = if allow { Verdict::Allow } else { Verdict::Deny };
            (
                (Just(verdict), Just(matcher), sources(Some(family)), sources(Some(family)), interfaces()),
                (limit, any::<bool>(), lifetime.clone(), option::of(name())),
            )
        })
        .prop_map(|((verdict, matcher, from, to, on), (limit, log, lifetime, name))| Rule {
            verdict,
            matcher,
            from,
            to,
            on,
            limit,
            log,
            lifetime,
            name,
        })
}

/// Any rule that this version enforces.
pub fn enforceable_rule() -> impl Strategy<Value = Rule> {
    let sources = (any::<bool>(), matcher(), option::of(name())).prop_flat_map(|(allow, matcher, name)| {
        let prefixes =
            |from: Vec<Source>| from.into_iter().filter(|source| matches!(source, Source::Prefix(_))).collect();
        let family = matcher.family().map_or(prop_oneof![Just(4), Just(6)].boxed(), |family| Just(family).boxed());
        let both = move |family| {
            let to = prop_oneof![2 => Just(vec![]), 1 => self::sources(Some(family)).prop_map(prefixes)];
            (self::sources(Some(family)).prop_map(prefixes), to)
        };
        (Just(allow), Just(matcher), family.prop_flat_map(both), Just(name))
    });
    let lifetime =
        prop_oneof![2 => Just(None), 1 => (1..u64::from(u32::MAX)).prop_map(|s| Some(Duration::from_secs(s)))];
    (sources, lifetime).prop_map(|((allow, matcher, (from, to), name), lifetime)| {
        let verdict = if allow { Verdict::Allow } else { Verdict::Deny };
        Rule { from, to, lifetime, name, ..Rule::new(verdict, matcher) }
    })
}
