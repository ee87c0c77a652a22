//! What an operator can change while packets flow.

use std::{net::IpAddr, time::Duration};

use foobar_common::plane::Way;

use super::{
    caution::Caution,
    engine::Engine,
    state::{State, now},
};
use crate::{
    api::types::{AddedRule, Place, Refusal, RemovedRule},
    domain::{Backend, BackendState, Rule, Service},
    plan::place,
};

impl Engine {
    /// A deny goes to the front, an allow to the end, unless `place` says otherwise. A rule with `for` that is there
    /// already begins anew where it stands.
    pub fn add_rule(&mut self, rule: Rule, way: Way, place: &Place, caution: &Caution) -> Result<AddedRule, Refusal> {
        self.refuse_while_waiting()?;
        if *place == Place::Default
            && way == Way::In
            && let Some(index) = self.renewable(&rule)
        {
            if caution.confirm_within.is_some() {
                return Err(Refusal::refused("the rule is there already, and what is renewed cannot be undone")
                    .hint("renew it without --confirm-within, or remove it first"));
            }
            self.renew(index, rule)?;
            let line = self.rule_line(way, index)?;
            return Ok(AddedRule { line, renewed: true, warnings: Vec::new(), pending: None });
        }
        let rules = self.state.config.firewall.rules(way);
        let index = place::index(&rule, place, rules.len(), |id| self.find_rule_for(way, id))?;
        let text = rule.to_string();
        let known = self.state.config.warnings();
        let mut ids = self.known_ids();
        ids.insert(self.number_of(way, index), None);
        self.change_with(caution, |state| {
            let firewall = &mut state.config.firewall;
            firewall.rules_mut(way).insert(index, rule);
            state.ids.keep_rules(&firewall.rules, &firewall.egress.rules, &ids);
            Ok(())
        })?;
        let line = self.rule_line(way, index)?;
        tracing::info!("{} {}: {text}", list(way), line.id);
        let mut warnings = self.state.config.warnings();
        warnings.retain(|warning| !known.contains(warning));
        Ok(AddedRule { line, renewed: false, warnings, pending: self.pending_status() })
    }

    pub fn remove_rule(&mut self, id: &str, caution: &Caution) -> Result<RemovedRule, Refusal> {
        self.refuse_while_waiting()?;
        let (way, index) = self.find_rule(id)?;
        let line = self.rule_line(way, index)?;
        let mut ids = self.known_ids();
        ids.remove(self.number_of(way, index));
        self.change_with(caution, |state| {
            let firewall = &mut state.config.firewall;
            firewall.rules_mut(way).remove(index);
            state.ids.keep_rules(&firewall.rules, &firewall.egress.rules, &ids);
            Ok(())
        })?;
        tracing::info!("{} {} removed: {}", list(way), line.id, line.rule);
        Ok(RemovedRule { line, pending: self.pending_status() })
    }

    /// Ids of both lists, one behind the other.
    fn known_ids(&self) -> Vec<Option<u32>> {
        self.rule_ids.iter().chain(&self.egress_ids).copied().map(Some).collect()
    }

    /// A rule's place in both lists, one behind the other.
    fn number_of(&self, way: Way, index: usize) -> usize {
        match way {
            Way::In => index,
            Way::Out => self.rule_ids.len() + index,
        }
    }

    /// The ids of a list.
    pub(super) fn ids(&self, way: Way) -> &[u32] {
        match way {
            Way::In => &self.rule_ids,
            Way::Out => &self.egress_ids,
        }
    }

    /// A rule's list and its place there, by id or name.
    pub(super) fn find_rule(&self, id: &str) -> Result<(Way, usize), Refusal> {
        let by_id = |way| self.ids(way).iter().position(|other| id.parse() == Ok(*other));
        let by_name =
            |way| self.state.config.firewall.rules(way).iter().position(|rule| rule.name.as_deref() == Some(id));
        let ways = [Way::In, Way::Out];
        let found = ways.into_iter().find_map(|way| Some((way, by_id(way)?)));
        found.or_else(|| ways.into_iter().find_map(|way| Some((way, by_name(way)?)))).ok_or_else(|| {
            Refusal::missing(format!("there is no rule {id}")).hint("`foobar rules` lists them with their ids")
        })
    }

    /// The same within one list.
    fn find_rule_for(&self, way: Way, id: &str) -> Result<usize, Refusal> {
        let (found, index) = self.find_rule(id)?;
        if found == way {
            return Ok(index);
        }
        let hint = "a rule stands before or after one of its own list: `--egress` says which is meant";
        Err(Refusal::refused(format!("rule {id} is an {}", list(found))).hint(hint))
    }

    pub fn add_service(&mut self, service: Service) -> Result<(), Refusal> {
        let said = format!("service {} at {} {}", service.name, service.address, service.ports);
        self.change(|state| {
            let services = &mut state.config.services;
            if services.iter().any(|other| other.name == service.name) {
                return Err(Refusal::refused(format!("there is a service {} already", service.name))
                    .hint("choose another name, or change its backends with `foobar backend`"));
            }
            if let Some((other, shared)) = service.claimed(services) {
                let error = format!("service {} has {} {shared} already", other.name, service.address);
                return Err(Refusal::refused(error).hint("a service has ports of its own on an address"));
            }
            services.push(service);
            Ok(())
        })?;
        tracing::info!("{said}");
        Ok(())
    }

    pub fn remove_service(&mut self, name: &str) -> Result<(), Refusal> {
        self.change(|state| {
            find_service(state, name)?;
            state.config.services.retain(|service| service.name != name);
            Ok(())
        })?;
        tracing::info!("service {name} removed");
        Ok(())
    }

    pub fn add_backend(&mut self, service: &str, backend: Backend) -> Result<(), Refusal> {
        self.edit_service(service, |service| {
            match service.backends.iter_mut().find(|other| other.address == backend.address) {
                // It was on its way out: it comes back with the weight that is asked for.
                Some(old) if old.state == BackendState::Removing => *old = backend,
                Some(_) => {
                    let error = format!("{} is a backend of {} already", backend.address, service.name);
                    return Err(Refusal::refused(error).hint("change its weight with `foobar backend weight`"));
                }
                None => service.backends.push(backend),
            }
            Ok(())
        })
    }

    /// Drains the backend, then removes it, at the deadline at the latest; with `now`, its connections end at once.
    pub fn remove_backend(
        &mut self,
        service: &str,
        address: IpAddr,
        now: bool,
        deadline: Option<Duration>,
    ) -> Result<(), Refusal> {
        self.edit_service(service, |service| {
            let backend = find_backend(service, address)?;
            // Nothing is left on one in maintenance.
            if !now && backend.state != BackendState::Maint {
                (backend.state, backend.deadline) = (BackendState::Removing, deadline.map(second_after));
                return Ok(());
            }
            if service.backends.len() == 1 {
                let error = format!("{address} is the only backend of {}", service.name);
                return Err(Refusal::refused(error).hint("add another one first, or remove the service"));
            }
            service.backends.retain(|backend| backend.address != address);
            Ok(())
        })
    }

    /// Sets what is given, in one change.
    pub fn change_backend(
        &mut self,
        service: &str,
        address: IpAddr,
        weight: Option<u16>,
        state: Option<BackendState>,
        deadline: Option<Duration>,
    ) -> Result<(), Refusal> {
        self.edit_service(service, |service| {
            let backend = find_backend(service, address)?;
            backend.weight = weight.unwrap_or(backend.weight);
            if let Some(state) = state {
                (backend.state, backend.deadline) = (state, deadline.map(second_after));
            }
            Ok(())
        })
    }

    /// Edits a service.
    fn edit_service(
        &mut self,
        name: &str,
        edit: impl FnOnce(&mut Service) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        self.change(|state| {
            edit(find_service(state, name)?)?;
            Ok(())
        })?;
        tracing::info!("service {name}: {}", self.backends_in_words(name));
        Ok(())
    }
}

impl Engine {
    /// The backends of a service as one line of the log.
    fn backends_in_words(&self, name: &str) -> String {
        let service = self.state.config.services.iter().filter(|service| service.name == name);
        let backends = service.flat_map(|service| &service.backends);
        let words = backends.map(|backend| format!("{} {} {}", backend.address, backend.state, backend.weight));
        words.collect::<Vec<_>>().join(", ")
    }
}

/// What a list's rules are called.
fn list(way: Way) -> &'static str {
    match way {
        Way::In => "ingress rule",
        Way::Out => "egress rule",
    }
}

fn find_service<'a>(state: &'a mut State, name: &str) -> Result<&'a mut Service, Refusal> {
    let names: Vec<_> = state.config.services.iter().map(|service| service.name.clone()).collect();
    state.config.services.iter_mut().find(|service| service.name == name).ok_or_else(|| {
        let refusal = Refusal::missing(format!("there is no service {name}"));
        match names.as_slice() {
            [] => refusal.hint("add one with `foobar service add`"),
            names => refusal.hint(format!("there are: {}", names.join(", "))),
        }
    })
}

/// A second of the monotonic clock: what runs does not outlive a boot.
fn second_after(time: Duration) -> u64 {
    now().saturating_add(time.as_secs())
}

fn find_backend(service: &mut Service, address: IpAddr) -> Result<&mut Backend, Refusal> {
    let Service { name, backends, .. } = service;
    let addresses: Vec<_> = backends.iter().map(|backend| backend.address.to_string()).collect();
    backends.iter_mut().find(|backend| backend.address == address).ok_or_else(|| {
        Refusal::missing(format!("{address} is no backend of {name}"))
            .hint(format!("its backends are: {}", addresses.join(", ")))
    })
}
