//! What an operator can change while packets flow.

use std::net::IpAddr;

use super::{caution::Caution, engine::Engine, state::State};
use crate::{
    api::types::{AddedRule, Place, Refusal, RemovedRule},
    domain::{Backend, BackendState, Rule, Service},
    plan::place,
};

impl Engine {
    /// A deny goes to the front, an allow to the end, unless `place` says otherwise. A rule with `for` that is there
    /// already begins anew where it stands.
    pub fn add_rule(&mut self, rule: Rule, place: &Place, caution: &Caution) -> Result<AddedRule, Refusal> {
        self.refuse_while_waiting()?;
        if *place == Place::Default
            && let Some(index) = self.renewable(&rule)
        {
            self.renew(index, rule)?;
            return Ok(AddedRule { line: self.rule_line(index)?, renewed: true, warnings: Vec::new(), pending: None });
        }
        let rules = &self.state.config.firewall.rules;
        let index = place::index(&rule, place, rules.len(), |id| self.find_rule(id))?;
        let text = rule.to_string();
        let known = self.state.config.warnings();
        let mut ids = self.known_ids();
        ids.insert(index, None);
        self.change_with(caution, |state| {
            state.config.firewall.rules.insert(index, rule);
            state.ids.keep_rules(&state.config.firewall.rules, &ids);
            Ok(())
        })?;
        let line = self.rule_line(index)?;
        tracing::info!("rule {}: {text}", line.id);
        let mut warnings = self.state.config.warnings();
        warnings.retain(|warning| !known.contains(warning));
        Ok(AddedRule { line, renewed: false, warnings, pending: self.pending_status() })
    }

    pub fn remove_rule(&mut self, id: &str, caution: &Caution) -> Result<RemovedRule, Refusal> {
        self.refuse_while_waiting()?;
        let index = self.find_rule(id)?;
        let line = self.rule_line(index)?;
        let mut ids = self.known_ids();
        ids.remove(index);
        self.change_with(caution, |state| {
            state.config.firewall.rules.remove(index);
            state.ids.keep_rules(&state.config.firewall.rules, &ids);
            Ok(())
        })?;
        tracing::info!("rule {} removed: {}", line.id, line.rule);
        Ok(RemovedRule { line, pending: self.pending_status() })
    }

    fn known_ids(&self) -> Vec<Option<u32>> {
        self.rule_ids.iter().copied().map(Some).collect()
    }

    /// A rule's place in the list, by id or name.
    pub(super) fn find_rule(&self, id: &str) -> Result<usize, Refusal> {
        let by_name = |rule: &Rule| rule.name.as_deref() == Some(id);
        let by_id = id.parse().ok().and_then(|id: u32| self.rule_ids.iter().position(|other| *other == id));
        by_id.or_else(|| self.state.config.firewall.rules.iter().position(by_name)).ok_or_else(|| {
            Refusal::missing(format!("there is no rule {id}")).hint("`foobar rules` lists them with their ids")
        })
    }

    pub fn add_service(&mut self, service: Service) -> Result<(), Refusal> {
        let said = format!("service {} at {} {}", service.name, service.address, service.notation());
        self.change(|state| {
            let services = &mut state.config.services;
            if services.iter().any(|other| other.name == service.name) {
                return Err(Refusal::refused(format!("there is a service {} already", service.name))
                    .hint("choose another name, or change its backends with `foobar backend`"));
            }
            let twin = |other: &&Service| other.address == service.address && other.notation() == service.notation();
            if let Some(other) = services.iter().find(twin) {
                let error = format!("service {} has {} {} already", other.name, service.address, service.notation());
                return Err(Refusal::refused(error).hint("a service has an address and port of its own"));
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

    /// Drains the backend, then removes it; with `now`, its connections end at once.
    pub fn remove_backend(&mut self, service: &str, address: IpAddr, now: bool) -> Result<(), Refusal> {
        self.edit_service(service, |service| {
            let backend = find_backend(service, address)?;
            if !now {
                backend.state = BackendState::Removing;
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
    ) -> Result<(), Refusal> {
        self.edit_service(service, |service| {
            let backend = find_backend(service, address)?;
            backend.weight = weight.unwrap_or(backend.weight);
            backend.state = state.unwrap_or(backend.state);
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

fn find_backend(service: &mut Service, address: IpAddr) -> Result<&mut Backend, Refusal> {
    let Service { name, backends, .. } = service;
    let addresses: Vec<_> = backends.iter().map(|backend| backend.address.to_string()).collect();
    backends.iter_mut().find(|backend| backend.address == address).ok_or_else(|| {
        Refusal::missing(format!("{address} is no backend of {name}"))
            .hint(format!("its backends are: {}", addresses.join(", ")))
    })
}
