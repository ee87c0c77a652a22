//! What makes a whole configuration valid, whether it came from a file, from JSON or from live commands.

use std::collections::HashMap;

use foobar_common::{extension::is_extension, plane::Way};

use super::{Config, Interface};
use crate::domain::{
    Forward, Matcher, Part, Rule, Service, ServicePorts,
    mistake::{Fault, Word, nearest},
    name,
};

/// What is wrong with a configuration, and with which part of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct ConfigFault {
    pub place: Place,
    pub problem: String,
    pub hint: Option<String>,
}

/// A part of a configuration; everything by its place in its list, from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Interface(usize),
    Peer(usize),
    Rule {
        way: Way,
        index: usize,
        /// The word of the rule that is at fault, where it is one word.
        word: Option<String>,
    },
    /// By name.
    Set(String),
    Service(usize, Part),
}

type Checked = Result<(), ConfigFault>;

fn fault(place: Place, problem: impl Into<String>, hint: impl Into<String>) -> ConfigFault {
    ConfigFault { place, problem: problem.into(), hint: Some(hint.into()) }
}

impl Config {
    /// Checks every part, what the parts have in common, and that this version enforces all of it.
    pub fn check(&self) -> Checked {
        self.check_interfaces()?;
        self.check_sets()?;
        self.check_rules()?;
        self.check_services()
    }

    fn check_interfaces(&self) -> Checked {
        let mut seen = HashMap::new();
        for (index, interface) in self.interfaces.iter().enumerate() {
            interface.check(index)?;
            if seen.insert(&interface.name, index).is_some() {
                let problem = format!("interface `{}` stands twice", interface.name);
                return Err(fault(Place::Interface(index), problem, "write it once"));
            }
        }
        Ok(())
    }

    fn check_sets(&self) -> Checked {
        for set in self.firewall.sets.keys() {
            name::name(Word::whole(set)).map_err(|wrong| ConfigFault {
                place: Place::Set(set.clone()),
                problem: wrong.problem,
                hint: wrong.hint,
            })?;
        }
        Ok(())
    }

    /// Every set that a rule names is there.
    fn check_named(&self, rule: &Rule, at: impl Fn(Option<String>) -> Place) -> Checked {
        let Some(set) = rule.sets().find(|set| !self.firewall.sets.contains_key(*set)) else { return Ok(()) };
        Err(fault(at(Some(format!("@{set}"))), format!("there is no set `{set}`"), self.other_sets(set)))
    }

    /// What to do where there is no set of a name.
    pub fn other_sets(&self, name: &str) -> String {
        let names = || self.firewall.sets.keys().map(String::as_str);
        match nearest(name, names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if names().next().is_none() => {
                format!("make it: `foobar set new {name}`, or `{name} = {{ prefixes = [] }}` in `[firewall.sets]`")
            }
            None => format!("there are: {}", names().collect::<Vec<_>>().join(", ")),
        }
    }

    fn check_rules(&self) -> Checked {
        let mut names = HashMap::new();
        let inward = self.firewall.rules.iter().enumerate().map(|(index, rule)| (Way::In, index, rule));
        let outward = self.firewall.egress.rules.iter().enumerate().map(|(index, rule)| (Way::Out, index, rule));
        for (way, index, rule) in inward.chain(outward) {
            let at = |word| Place::Rule { way, index, word };
            match way {
                Way::In => self.check_named(rule, at)?,
                Way::Out => check_sent(rule, at)?,
            }
            if let Some(name) = &rule.name
                && let Some(first) = names.insert(name, rule)
            {
                let problem = format!("the name `{name}` belongs to `{first}` already");
                let hint = "a name is given once: `foobar rule rm NAME` must know which is meant";
                return Err(fault(at(Some(name.clone())), problem, hint));
            }
        }
        Ok(())
    }

    fn check_services(&self) -> Checked {
        let mut names = HashMap::new();
        for (index, service) in self.services.iter().enumerate() {
            service.check().map_err(|wrong| ConfigFault {
                place: Place::Service(index, wrong.part),
                problem: wrong.problem,
                hint: wrong.hint,
            })?;
            if names.insert(&service.name, index).is_some() {
                let problem = format!("a service named `{}` exists already", service.name);
                return Err(fault(Place::Service(index, Part::Name), problem, "give each service its own name"));
            }
            if let Some((first, shared)) = service.claimed(&self.services[..index]) {
                let first = &first.name;
                let problem = format!("service `{first}` has {shared} on {} already", service.address);
                let hint = format!("add the backends to `{first}`, or choose another address or port");
                return Err(fault(Place::Service(index, Part::Port), problem, hint));
            }
            if let Some((place, first, shared)) = service.answers_of(&self.services[..index]) {
                let address = service.backends[place].address;
                let problem = format!("service `{first}` has the backend {address} at {shared} already, by `nat`");
                let hint = "answers of a `nat` backend are told by its address and port alone: give it another port, or \
                            have one of the services `snat`";
                return Err(fault(Place::Service(index, Part::BackendAddress(place)), problem, hint));
            }
        }
        Ok(())
    }
}

impl Service {
    /// The first backend whose answers would be taken for those to another of these services, by its place; that service,
    /// and the ports.
    pub(super) fn answers_of<'a>(&self, others: &'a [Self]) -> Option<(usize, &'a str, ServicePorts)> {
        let nat = |service: &&Self| service.forward == Forward::Nat;
        let others = || others.iter().filter(nat).flat_map(|other| other.backends.iter().map(move |it| (other, it)));
        Some(self).filter(nat)?.backends.iter().enumerate().find_map(|(place, backend)| {
            let mut same = others().filter(|(_, other)| other.address == backend.address);
            let ports = backend.ports(self);
            same.find_map(|(other, its)| Some((place, other.name.as_str(), ports.shared(&its.ports(other))?)))
        })
    }

    /// The first of these services that has some of its ports on its address, and which.
    pub fn claimed<'a>(&self, by: &'a [Self]) -> Option<(&'a Self, ServicePorts)> {
        let mut here = by.iter().filter(|other| other.address == self.address);
        here.find_map(|other| Some((other, self.ports.shared(&other.ports)?)))
    }
}

/// What this version does not enforce on the way out.
fn check_sent(rule: &Rule, at: impl Fn(Option<String>) -> Place) -> Checked {
    let words = [
        (!rule.on.is_empty()).then(|| "on".to_owned()),
        rule.lifetime.map(|_| "for".to_owned()),
        rule.limit.as_ref().map(|_| "limit".to_owned()),
        rule.log.then(|| "log".to_owned()),
        rule.sets().next().map(|name| format!("@{name}")),
    ];
    if let Some(word) = words.into_iter().flatten().next() {
        let problem = format!("`{rule}`: this version does not enforce `{word}` on the way out");
        let hint = format!("leave `{word}` out of egress rules");
        return Err(fault(at(Some(word)), problem, hint));
    }
    if let Matcher::Protocol(number) = rule.matcher
        && is_extension(number)
    {
        let problem = format!("`{rule}`: {number} is an IPv6 extension header, of which egress rules do not speak");
        return Err(fault(at(None), problem, "deny what stands behind the header"));
    }
    Ok(())
}

impl Interface {
    /// Checks the names of the interface and of its peer; `index` is its place in the list.
    fn check(&self, index: usize) -> Checked {
        let Self { name, mode: _, peer } = self;
        let at = |place, wrong: Fault| ConfigFault { place, problem: wrong.problem, hint: wrong.hint };
        name::interface(Word::whole(name)).map_err(|wrong| at(Place::Interface(index), wrong))?;
        let Some(peer) = peer else { return Ok(()) };
        name::peer(Word::whole(peer)).map_err(|wrong| at(Place::Peer(index), wrong))?;
        if peer == name {
            let problem = format!("interface `{name}` cannot be its own peer");
            return Err(fault(
                Place::Peer(index),
                problem,
                "the peer is the other end of the veth pair: `NETNS:IFACE` or `IFACE`",
            ));
        }
        Ok(())
    }
}
