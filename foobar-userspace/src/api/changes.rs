//! Changes to a service's backends as they are asked for, and what of the engine's knowledge they take.

use std::{net::IpAddr, time::Duration};

use super::{
    convert,
    types::{BackendChange, BackendSpec, Refusal},
};
use crate::{
    daemon::engine::Engine,
    domain::{Backend, BackendAddress, BackendState, Forward, ServerId, ServicePorts, service::DEFAULT_WEIGHT},
};

/// A backend to add, whose port is compared with the service's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addition {
    at: BackendAddress,
    weight: u16,
    backup: bool,
    server_id: Option<ServerId>,
}

/// A change of weight, of state, or of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    weight: Option<u16>,
    state: Option<BackendState>,
    deadline: Option<Duration>,
}

impl Addition {
    pub fn read(spec: &BackendSpec) -> Result<Self, Refusal> {
        let server_id = convert::server_id(spec)?;
        let weight = spec.weight.unwrap_or(DEFAULT_WEIGHT);
        Ok(Self { at: spec.address.parse()?, weight, backup: spec.backup, server_id })
    }

    pub fn address(&self) -> IpAddr {
        self.at.address
    }

    pub fn apply(self, engine: &mut Engine, service: &str) -> Result<(), Refusal> {
        let backend = {
            let (ports, forward) = spread(engine, service)?;
            convert::backend(&self.at.to_string(), Some(self.weight), &ports, forward)?
        };
        engine.add_backend(service, Backend { backup: self.backup, server_id: self.server_id, ..backend })
    }
}

impl Change {
    pub fn read(BackendChange { weight, state, deadline }: BackendChange) -> Result<Self, Refusal> {
        if weight.is_none() && state.is_none() {
            return Err(Refusal::malformed("nothing is to be changed").hint("give a `weight`, a `state` or both"));
        }
        if state == Some(BackendState::Removing) {
            return Err(Refusal::malformed("a backend is removed, not set to `removing`").hint("send a DELETE"));
        }
        let deadline = convert::lifetime(deadline.as_deref())?;
        if deadline.is_some() && !state.is_some_and(BackendState::drains) {
            return Err(Refusal::malformed("a deadline is one of a drain").hint("give `state` as `drain`, too"));
        }
        Ok(Self { weight, state, deadline })
    }

    pub fn apply(self, engine: &mut Engine, service: &str, address: IpAddr) -> Result<(), Refusal> {
        engine.change_backend(service, address, self.weight, self.state, self.deadline)
    }
}

fn spread(engine: &Engine, service: &str) -> Result<(ServicePorts, Forward), Refusal> {
    let services = engine.services();
    let found = services.iter().find(|candidate| candidate.name == service);
    let found = found.ok_or_else(|| {
        Refusal::missing(format!("there is no service `{service}`")).hint("list them: foobar service list")
    })?;
    Ok((found.port.parse()?, found.forward))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_changes_something_that_may_be_changed() {
        Change::read(BackendChange { weight: Some(0), ..BackendChange::default() }).unwrap();
        Change::read(BackendChange { state: Some(BackendState::Drain), ..BackendChange::default() }).unwrap();
        Change::read(BackendChange::default()).unwrap_err();
        Change::read(BackendChange { state: Some(BackendState::Removing), ..BackendChange::default() }).unwrap_err();
    }

    #[test]
    fn an_addition_has_an_address() {
        let spec =
            |address: &str| BackendSpec { address: address.into(), weight: None, backup: false, server_id: None };
        Addition::read(&spec("10.0.0.11:80")).unwrap();
        assert!(Addition::read(&spec("web1")).unwrap_err().hint.is_some(), "the next step is named");
    }
}
