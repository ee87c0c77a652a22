//! Where the parts of a configuration stand in its file, for mistakes that show only when all of it is read.

use std::{collections::BTreeMap, ops::Range};

use foobar_common::plane::Way;

use super::check::{ConfigFault, Place};
use crate::domain::{
    Part,
    mistake::{Fault, words},
};

pub type Span = Range<usize>;

pub struct Places {
    pub interfaces: Vec<InterfacePlaces>,
    pub firewall: FirewallPlaces,
    pub services: Vec<ServicePlaces>,
}

pub struct InterfacePlaces {
    pub name: Span,
    pub peer: Option<Span>,
}

#[derive(Default)]
pub struct FirewallPlaces {
    pub rules: Vec<RulePlace>,
    pub egress: Vec<RulePlace>,
    /// By name.
    pub sets: BTreeMap<String, Span>,
}

pub struct RulePlace {
    /// Without the quotes, where `verbatim`.
    pub span: Span,
    pub text: String,
    /// Whether the text stands in the file as it is, so that its words can be placed.
    pub verbatim: bool,
}

pub struct ServicePlaces {
    pub section: Span,
    pub name: Span,
    pub address: Span,
    pub port: Span,
    pub idle: Option<Span>,
    pub queries: Option<Span>,
    /// `forward`, `encapsulation` or `snat`.
    pub forward: Option<Span>,
    pub ring: Option<Span>,
    pub affinity: Option<Span>,
    pub quic_config: Option<Span>,
    pub backends: Span,
    pub each: Vec<BackendPlaces>,
}

pub struct BackendPlaces {
    pub address: Span,
    pub weight: Option<Span>,
    pub server_id: Option<Span>,
}

impl Places {
    pub fn place(&self, fault: ConfigFault) -> Fault {
        let ConfigFault { place, problem, hint } = fault;
        let span = match place {
            Place::Interface(index) => self.interfaces[index].name.clone(),
            Place::Peer(index) => {
                let InterfacePlaces { name, peer } = &self.interfaces[index];
                peer.as_ref().unwrap_or(name).clone()
            }
            Place::Rule { way: Way::In, index, word } => self.firewall.rules[index].word(word.as_deref()),
            Place::Rule { way: Way::Out, index, word } => self.firewall.egress[index].word(word.as_deref()),
            Place::Set(name) => self.firewall.sets.get(&name).cloned().unwrap_or(0..0),
            Place::Service(index, part) => self.services[index].part(part),
        };
        Fault { span, problem, hint }
    }
}

impl RulePlace {
    /// The span of a word of the rule, or of an item in one of its lists.
    fn word(&self, wanted: Option<&str>) -> Span {
        let Some(wanted) = wanted.filter(|_| self.verbatim) else {
            return self.span.clone();
        };
        let items = words(&self.text).into_iter().flat_map(|word| word.items().unwrap_or_default());
        let found = items.into_iter().find(|item| item.text == wanted);
        found.map_or(self.span.clone(), |item| item.span().start + self.span.start..item.span().end + self.span.start)
    }
}

impl ServicePlaces {
    fn part(&self, part: Part) -> Span {
        let optional = |span: &Option<Span>| span.as_ref().unwrap_or(&self.section).clone();
        match part {
            Part::Name => self.name.clone(),
            Part::Address => self.address.clone(),
            Part::Port => self.port.clone(),
            Part::Queries => optional(&self.queries),
            Part::Forward => optional(&self.forward),
            Part::Ring => optional(&self.ring),
            Part::Idle => optional(&self.idle),
            Part::Backends => self.backends.clone(),
            Part::Affinity => optional(&self.affinity),
            Part::QuicConfig => optional(&self.quic_config),
            Part::BackendAddress(index) => self.each[index].address.clone(),
            Part::BackendWeight(index) => optional(&self.each[index].weight),
            Part::BackendServerId(index) => optional(&self.each[index].server_id),
        }
    }
}
