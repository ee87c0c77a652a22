//! What would become of a packet, in the words of the running configuration.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use foobar_common::{
    Action, Address,
    parse::{self, Network},
};

use super::{engine::Engine, plan::key};
use crate::{
    api::types::{Explained, ExplainedRule, Refusal},
    datapath::Explanation,
    domain::packet::SaidPacket,
    nexthop::NextHop,
};

impl Engine {
    /// Asks the tables in force. Nothing is counted, noted or sent.
    pub fn explain(&mut self, packet: SaidPacket) -> Result<Explained, Refusal> {
        let ingress = self.ingress(packet.interface.as_deref())?;
        let (from_sets, to_sets) = addresses(&packet.frame)
            .map_or_else(Default::default, |(source, destination)| (self.sets.of(source), self.sets.of(destination)));
        let Explanation { outcome, rule, service, backend, noted, redirected, frame } =
            self.datapath.explain(packet.frame, ingress);
        let reaches = matches!(outcome.action(), Action::Tx | Action::Redirect);
        let service = self.state.config.services.iter().find(|candidate| Some(key(candidate)) == service);
        let address_of = |id: u32| {
            let of = |address| self.state.ids.backend(service?, address);
            service?.backends.iter().map(|backend| backend.address).find(|address| of(*address) == Some(id))
        };
        let interface = match redirected {
            Some(index) => self.interface_name(index),
            None => packet.interface.filter(|_| reaches),
        };
        Ok(Explained {
            outcome: outcome.name().to_owned(),
            action: outcome.action().name().to_owned(),
            why: outcome.explanation().trim().to_owned(),
            rule: rule.and_then(|id| self.explained_rule(id)),
            from_sets,
            to_sets,
            service: service.map(|service| service.name.clone()),
            backend: backend.and_then(address_of),
            noted,
            interface,
            frame: reaches.then(|| hex(&frame)),
        })
    }

    fn explained_rule(&self, id: u32) -> Option<ExplainedRule> {
        let place = self.rule_ids.iter().position(|other| *other == id)?;
        let texts: Vec<_> = self.state.config.firewall.rules[..=place].iter().map(ToString::to_string).collect();
        let (rule, before) = texts.split_last()?;
        Some(ExplainedRule { id, rule: rule.clone(), before: before.to_vec() })
    }

    /// The index of an attached interface; of the first one where none is named.
    fn ingress(&mut self, name: Option<&str>) -> Result<u32, Refusal> {
        let interfaces = self.interfaces()?;
        match name {
            None => Ok(interfaces.first().map_or(0, |interface| interface.ifindex)),
            Some(name) => {
                let attached = interfaces.iter().find(|interface| interface.name == name);
                attached.map(|interface| interface.ifindex).ok_or_else(|| {
                    Refusal::missing(format!("foobar is not attached to {name}"))
                        .hint("`foobar status` lists the interfaces; without `on` any is meant")
                })
            }
        }
    }

    /// Its name, where it is attached or leads to a backend.
    fn interface_name(&self, index: u32) -> Option<String> {
        let leads = |hop: &&NextHop| hop.ifindex == index;
        self.hops.values().flatten().find(leads).map(|hop| hop.interface.clone())
    }
}

/// A frame's source and destination.
fn addresses(frame: &[u8]) -> Option<(IpAddr, IpAddr)> {
    match parse::link(frame).ok()? {
        Network::V4(offset) => {
            let flow = parse::ipv4(frame, offset).ok()?;
            Some((address(flow.source), address(flow.destination)))
        }
        Network::V6(offset) => {
            let flow = parse::ipv6(frame, offset).ok()?;
            Some((address(flow.source), address(flow.destination)))
        }
    }
}

fn address<A: Address>(address: A) -> IpAddr {
    let [high, low] = address.words();
    if A::V6 {
        Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low)).into()
    } else {
        Ipv4Addr::from_bits(low as u32).into()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}
