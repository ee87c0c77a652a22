//! What would become of a packet, in the words of the running configuration.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use foobar_common::{
    Action, Address,
    flow::{Flow, TCP, UDP},
    parse::{self, Network},
    plane::Way,
};

use super::{claims::key, engine::Engine};
use crate::{
    api::types::{Explained, ExplainedRule, ExplainedSlot, InterfaceStatus, Refusal},
    datapath::Explanation,
    domain::{
        Backend, Matcher, Service,
        packet::{SaidPacket, hex},
    },
    nexthop::NextHop,
};

impl Engine {
    /// Asks the tables in force. Nothing is counted, noted or sent.
    pub fn explain(&mut self, packet: SaidPacket, way: Way) -> Result<Explained, Refusal> {
        let ingress = self.ingress(packet.interface.as_deref())?;
        let (from_sets, to_sets) = addresses(&packet.frame)
            .map_or_else(Default::default, |[source, destination]| (self.sets_of(source), self.sets_of(destination)));
        let came_in = ingress.as_ref().map(|interface| interface.name.clone());
        let ingress = ingress.map_or(0, |interface| interface.ifindex);
        let explanation = self.datapath.explain(packet.frame, way, ingress);
        let Explanation { outcome, judged, rule, over, within_limit, service, backend, noted, .. } = explanation;
        let Explanation { named, slot, redirected, frame, .. } = explanation;
        let reaches = matches!(outcome.action(), Action::Tx | Action::Redirect);
        let is_it = |candidate: &&Service| {
            service.is_some_and(|(of, port)| of == key(candidate) && candidate.ports.contains(port))
        };
        let service = self.state.config.services.iter().find(is_it);
        let address_of = |id: u32| {
            let of = |backend: &&Backend| self.state.ids.backend(service?, backend);
            service?.backends.iter().find(|backend| of(backend) == Some(id)).map(|backend| backend.address)
        };
        let slot = slot.zip(service).map(|((index, slot), service)| ExplainedSlot {
            index,
            of: service.ring,
            tracked: slot.is_tracked(),
            current: address_of(slot.current()),
            previous: address_of(slot.previous()),
        });
        let interface = match redirected {
            Some(index) => self.interface_name(index),
            None => came_in.clone().filter(|_| reaches),
        };
        Ok(Explained {
            outcome: outcome.name().to_owned(),
            action: outcome.action().name().to_owned(),
            why: outcome.explanation().trim().to_owned(),
            assumed: came_in.filter(|_| packet.interface.is_none()),
            judged,
            rule: rule.and_then(|id| self.explained_rule(way, id, &over)),
            over: over.iter().filter_map(|id| self.text_of(*id)).collect(),
            from_sets,
            to_sets,
            within_limit,
            service: service.map(|service| service.name.clone()),
            forward: service.map(|service| service.forward),
            slot,
            backend: backend.and_then(address_of),
            noted,
            named,
            interface,
            leaves_as: if reaches { ends(&frame) } else { None },
            frame: reaches.then(|| hex(&frame)),
        })
    }

    fn explained_rule(&self, way: Way, id: u32, over: &[u32]) -> Option<ExplainedRule> {
        let place = self.ids(way).iter().position(|other| *other == id)?;
        let rules = self.state.config.firewall.rules(way);
        let before = rules[..place].iter().zip(self.ids(way)).filter(|(_, id)| !over.contains(id));
        Some(ExplainedRule {
            id,
            rule: rules[place].to_string(),
            before: before.map(|(rule, _)| rule.to_string()).collect(),
        })
    }

    fn text_of(&self, id: u32) -> Option<String> {
        let place = self.rule_ids.iter().position(|other| *other == id)?;
        Some(self.state.config.firewall.rules[place].to_string())
    }

    /// An attached interface; the first one where none is named.
    fn ingress(&mut self, name: Option<&str>) -> Result<Option<InterfaceStatus>, Refusal> {
        let mut interfaces = self.interfaces()?.into_iter();
        match name {
            None => Ok(interfaces.next()),
            Some(name) => self.attached_interface(name).map(Some),
        }
    }

    pub(super) fn attached_interface(&self, name: &str) -> Result<InterfaceStatus, Refusal> {
        self.interfaces()?.into_iter().find(|interface| interface.name == name).ok_or_else(|| {
            Refusal::missing(format!("foobar is not attached to {name}"))
                .hint("`foobar status` lists the interfaces; without `on`, the first one is meant")
        })
    }

    /// Its name, where it leads to a backend.
    fn interface_name(&self, index: u32) -> Option<String> {
        let leads = |hop: &&NextHop| hop.ifindex == index;
        self.hops.values().flatten().find(leads).map(|hop| hop.interface.clone())
    }
}

/// A frame's source and destination.
pub(super) fn addresses(frame: &[u8]) -> Option<[IpAddr; 2]> {
    match parse::link(frame).ok()? {
        Network::V4(offset) => {
            let flow = parse::ipv4(frame, offset).ok()?;
            Some([address(flow.source), address(flow.destination)])
        }
        Network::V6(offset) => {
            let flow = parse::ipv6(frame, offset).ok()?;
            Some([address(flow.source), address(flow.destination)])
        }
    }
}

/// A packet in words: its protocol, and where it goes from and to.
fn ends(frame: &[u8]) -> Option<String> {
    match parse::link(frame).ok()? {
        Network::V4(offset) => parse::ipv4(frame, offset).ok().map(|flow| said(&flow)),
        Network::V6(offset) => parse::ipv6(frame, offset).ok().map(|flow| said(&flow)),
    }
}

fn said<A: Address>(flow: &Flow<A>) -> String {
    let (source, destination) = (address(flow.source), address(flow.destination));
    let protocol = match flow.protocol {
        TCP => "tcp".to_owned(),
        UDP => "udp".to_owned(),
        number => Matcher::Protocol(number).to_string(),
    };
    match flow.ports() {
        Some((from, to)) => {
            format!("{protocol} {} > {}", SocketAddr::new(source, from), SocketAddr::new(destination, to))
        }
        None => format!("{protocol} {source} > {destination}"),
    }
}

pub(super) fn address<A: Address>(address: A) -> IpAddr {
    let [high, low] = address.words();
    if A::V6 {
        Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low)).into()
    } else {
        Ipv4Addr::from_bits(low as u32).into()
    }
}
