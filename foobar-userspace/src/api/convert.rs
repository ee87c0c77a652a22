//! From requests to the domain's values: what is wrong is said with the hint that the domain gives.

use std::{collections::HashSet, net::IpAddr, time::Duration};

use foobar_common::{layout::RING_SLOTS, plane::Way};
use ipnet::IpNet;

use super::types::{BackendSpec, InterfaceSpec, NewSet, Place, Refusal, SafeConnection, Safety, ServiceSpec};
use crate::{
    config::Interface,
    daemon::caution::{Caution, Connection},
    domain::{
        Affinity, Backend, BackendAddress, Encapsulation, Forward, Mistake, Queries, Rule, ServerId, Service,
        ServiceFault, ServicePorts, duration,
        mistake::{Fault, Word},
        name, prefix,
        service::{DEFAULT_IDLE, DEFAULT_WEIGHT},
    },
    nexthop::interface_towards,
};

impl From<Mistake> for Refusal {
    fn from(mistake: Mistake) -> Self {
        Self { hint: mistake.hint.clone(), ..Self::malformed(mistake.to_string()) }
    }
}

impl From<Fault> for Refusal {
    fn from(Fault { span: _, problem, hint }: Fault) -> Self {
        Self { hint, ..Self::malformed(problem) }
    }
}

impl From<ServiceFault> for Refusal {
    fn from(ServiceFault { part: _, problem, hint }: ServiceFault) -> Self {
        Self { hint, ..Self::malformed(problem) }
    }
}

pub fn rule(text: &str) -> Result<Rule, Refusal> {
    Ok(text.parse::<Rule>()?)
}

/// Which way of packets is meant.
pub fn way(egress: bool) -> Way {
    if egress { Way::Out } else { Way::In }
}

/// How long a change may wait for its confirmation.
const CONFIRM_WITHIN: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(1);

/// How careful a change is to be made. The interface of its caller's connection is the one towards the other end.
pub async fn caution(Safety { force, confirm_within, connection }: Safety) -> Result<Caution, Refusal> {
    let confirm_within = confirm_within.as_deref().map(|text| duration::read(Word::whole(text))).transpose()?;
    if confirm_within.is_some_and(|within| !CONFIRM_WITHIN.contains(&within)) {
        return Err(Refusal::malformed("a change waits for its confirmation for one second to one hour")
            .hint("write it as in `--confirm-within 60s`"));
    }
    let mut found = None;
    if let Some(SafeConnection { local, peer }) = connection {
        found = Some(Connection { local, peer, interface: interface_towards(peer.ip()).await });
    }
    Ok(Caution { force, confirm_within, connection: found })
}

/// The same for what changes at once, and is not undone by a deadline.
pub async fn caution_at_once(safety: Safety) -> Result<Caution, Refusal> {
    if safety.confirm_within.is_some() {
        return Err(Refusal::refused("what is in a set changes at once, and no deadline undoes it")
            .hint("leave `confirm_within` out"));
    }
    caution(safety).await
}

/// Where a rule goes.
pub fn place(before: Option<String>, after: Option<String>) -> Result<Place, Refusal> {
    match (before, after) {
        (None, None) => Ok(Place::Default),
        (Some(id), None) => Ok(Place::Before(id)),
        (None, Some(id)) => Ok(Place::After(id)),
        (Some(_), Some(_)) => Err(Refusal::malformed("a rule goes before one rule or after one, not both")),
    }
}

/// A checked service.
pub fn service(spec: ServiceSpec) -> Result<Service, Refusal> {
    let ServiceSpec { name, address, port, forward, encapsulation, snat, queries, .. } = spec;
    let ServiceSpec { echo, affinity, quic_config, ring, idle, backends, .. } = spec;
    let ports: ServicePorts = port.parse()?;
    let forward = forward.as_deref().map_or(Ok(Forward::Dsr), str::parse)?;
    let backends = backends.iter().map(|spec| {
        let backend = backend(&spec.address, spec.weight, &ports, forward)?;
        Ok(Backend { backup: spec.backup, server_id: server_id(spec)?, ..backend })
    });
    let service = Service {
        name,
        address: prefix::address(Word::whole(&address))?,
        forward,
        encapsulation: encapsulation.as_deref().map_or(Ok(Encapsulation::Ip), str::parse)?,
        snat: snat.iter().map(|text| prefix::address(Word::whole(text))).collect::<Result<_, _>>()?,
        queries: self::queries(queries.as_deref())?,
        echo: echo.unwrap_or(true),
        affinity: affinity.as_deref().map_or(Ok(Affinity::Flow), str::parse)?,
        quic_config: quic_config.unwrap_or(0),
        ring: ring.unwrap_or(RING_SLOTS),
        idle: idle.as_deref().map_or(Ok(DEFAULT_IDLE), |idle| duration::read(Word::whole(idle)))?,
        backends: backends.collect::<Result<_, Refusal>>()?,
        ports,
    };
    service.check()?;
    Ok(service)
}

/// A ready backend of a service on these ports.
pub fn backend(
    address: &str,
    weight: Option<u16>,
    service: &ServicePorts,
    forward: Forward,
) -> Result<Backend, Refusal> {
    let (address, port) = address.parse::<BackendAddress>()?.for_service(service, forward)?;
    Ok(Backend { port, ..Backend::new(address, weight.unwrap_or(DEFAULT_WEIGHT)) })
}

/// What names it in connection ids.
pub fn server_id(spec: &BackendSpec) -> Result<Option<ServerId>, Refusal> {
    Ok(spec.server_id.as_deref().map(str::parse).transpose()?)
}

/// The name of a new set.
pub fn set_name(NewSet { name }: NewSet) -> Result<String, Refusal> {
    name::name(Word::whole(&name))?;
    Ok(name)
}

/// Prefixes without host bits, each once.
pub fn prefixes(texts: &[String]) -> Result<Vec<IpNet>, Refusal> {
    let mut seen = HashSet::new();
    let mut prefixes = Vec::new();
    for text in texts {
        let prefix = prefix::read(Word::whole(text))?;
        if seen.insert(prefix) {
            prefixes.push(prefix);
        }
    }
    Ok(prefixes)
}

/// How long something lasts, if it ends.
pub fn lifetime(text: Option<&str>) -> Result<Option<Duration>, Refusal> {
    Ok(text.map(|text| duration::read(Word::whole(text))).transpose()?)
}

/// A backend's address as a part of a path.
pub fn address(text: &str) -> Result<IpAddr, Refusal> {
    Ok(text.parse::<BackendAddress>()?.address)
}

/// An interface to attach to.
pub fn interface(InterfaceSpec { name, mode, peer }: InterfaceSpec) -> Result<Interface, Refusal> {
    name::interface(Word::whole(&name))?;
    if let Some(peer) = &peer {
        name::peer(Word::whole(peer))?;
    }
    Ok(Interface { name, mode, peer })
}

/// The query of a removal: nothing, `now=true`, or a deadline as in `deadline=10m`.
pub fn removal(query: Option<&str>) -> Result<(bool, Option<Duration>), Refusal> {
    match query.unwrap_or_default() {
        "" | "now=false" => Ok((false, None)),
        "now=true" => Ok((true, None)),
        other => match other.strip_prefix("deadline=") {
            Some(deadline) => Ok((false, lifetime(Some(deadline))?)),
            None => {
                Err(Refusal::malformed(format!("`{other}` is not understood")).hint("write ?now=true or ?deadline=10m"))
            }
        },
    }
}

fn queries(text: Option<&str>) -> Result<Queries, Refusal> {
    match text {
        None | Some("auto") => Ok(Queries::Auto),
        Some("http") => Ok(Queries::Http),
        Some("connections") => Ok(Queries::Connections),
        Some(other) => Err(Refusal::malformed(format!("`{other}` is not a way to count queries"))
            .hint("write `auto`, `http` or `connections`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn web() -> ServiceSpec {
        ServiceSpec {
            name: "web".into(),
            address: "192.0.2.10".into(),
            port: "tcp/80".into(),
            forward: None,
            encapsulation: None,
            snat: vec![],
            queries: None,
            echo: None,
            affinity: None,
            quic_config: None,
            ring: None,
            idle: None,
            backends: vec![BackendSpec { address: "10.0.0.11".into(), weight: None, backup: false, server_id: None }],
        }
    }

    #[test]
    fn a_plain_service_takes_the_defaults() {
        let service = service(web()).unwrap();

        assert_eq!((service.ports.only(), service.forward, service.idle), (Some(80), Forward::Dsr, DEFAULT_IDLE));
        assert_eq!(service.backends, [Backend::new("10.0.0.11".parse().unwrap(), 100)]);
    }

    #[test]
    fn a_service_forwards_as_it_says() {
        for (word, forward, backend) in [
            ("dsr", Forward::Dsr, "10.0.0.11"),
            ("tunnel", Forward::Tunnel, "2001:db8::1"),
            ("nat", Forward::Nat, "10.0.0.11:8080"),
            ("snat", Forward::Snat, "10.0.0.11:8080"),
        ] {
            let backends = vec![BackendSpec { address: backend.into(), weight: None, backup: false, server_id: None }];
            let spec = ServiceSpec { forward: Some(word.into()), backends, ..web() };
            assert_eq!(service(spec).expect(word).forward, forward);
        }
    }

    #[test]
    fn a_service_reads_connection_ids_where_it_says_so() {
        let named = |id: &str| {
            let server_id = Some(id.to_owned());
            let backends = vec![BackendSpec { address: "10.0.0.11".into(), weight: None, backup: false, server_id }];
            let affinity = Some("quic".into());
            ServiceSpec { port: "udp/443".into(), affinity, quic_config: Some(3), backends, ..web() }
        };
        let read = service(named("0A01")).unwrap();
        assert_eq!((read.affinity, read.quic_config), (Affinity::Quic, 3));
        assert_eq!(read.backends[0].server_id.map(|id| id.to_string()).as_deref(), Some("0a01"));
        assert!(service(named("web1")).unwrap_err().error.contains("is not a server id"));
    }

    #[test]
    fn what_is_wrong_with_a_service_is_said_with_a_hint() {
        let backend =
            |address: &str| vec![BackendSpec { address: address.into(), weight: None, backup: false, server_id: None }];
        for (spec, words) in [
            (ServiceSpec { name: "Web".into(), ..web() }, "is not a name"),
            (ServiceSpec { address: "web".into(), ..web() }, "is not an address"),
            (ServiceSpec { port: "tcp/80,udp/443".into(), ..web() }, "one transport"),
            (ServiceSpec { snat: vec!["10.0.0.5".into()], ..web() }, "keep their source"),
            (ServiceSpec { encapsulation: Some("gue".into()), ..web() }, "no tunnel"),
            (ServiceSpec { forward: Some("magic".into()), ..web() }, "`magic` is not"),
            (ServiceSpec { queries: Some("mysql".into()), ..web() }, "`mysql` is not"),
            (ServiceSpec { idle: Some("soon".into()), ..web() }, "not a duration"),
            (ServiceSpec { backends: vec![], ..web() }, "no backend"),
            (ServiceSpec { backends: backend("10.0.0.11:81"), ..web() }, "own port"),
            (ServiceSpec { backends: backend("2001:db8::1"), ..web() }, "another address family"),
        ] {
            let refusal = service(spec).expect_err(words);
            assert!(refusal.error.contains(words), "{}", refusal.error);
            assert!(refusal.hint.is_some(), "{words}");
        }
    }

    #[test]
    fn a_rule_is_right_or_refused() {
        for text in ["allow tcp/80", "allow tcp/22 on eth0", "deny from 10.0.0.1,@bad to @worse for 10m"] {
            rule(text).unwrap();
        }
        assert!(rule("allow tcp/99999").unwrap_err().hint.is_some(), "a mistake has a hint");
    }

    #[test]
    fn a_place_is_one_place() {
        assert_eq!(place(None, None), Ok(Place::Default));
        assert_eq!(place(Some("3".into()), None), Ok(Place::Before("3".into())));
        assert_eq!(place(None, Some("web".into())), Ok(Place::After("web".into())));
        place(Some("1".into()), Some("2".into())).unwrap_err();
    }

    #[test]
    fn now_is_said_in_one_way() {
        assert_eq!((removal(None), removal(Some("now=true"))), (Ok((false, None)), Ok((true, None))));
        assert_eq!(removal(Some("deadline=2m")), Ok((false, Some(Duration::from_mins(2)))));
        for odd in ["now", "now=1", "no=true"] {
            removal(Some(odd)).unwrap_err();
        }
    }

    #[test]
    fn interfaces_and_peers_have_names() {
        let spec = |name: &str, peer: Option<&str>| InterfaceSpec {
            name: name.into(),
            mode: crate::config::Mode::Auto,
            peer: peer.map(Into::into),
        };
        interface(spec("eth0", Some("blue:eth0"))).unwrap();
        interface(spec("a/b", None)).unwrap_err();
        interface(spec("eth0", Some(":eth0"))).unwrap_err();
    }
}
