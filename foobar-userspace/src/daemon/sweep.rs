//! One look at every note: what the engine asks for, and what it keeps of the answer.

use std::collections::BTreeMap;

use foobar_common::find::ServiceEntry;

use super::{
    aging::{Elsewhere, life},
    claims::entry,
    engine::Engine,
    state::{Unrest, now},
};
use crate::{
    api::types::Refusal,
    datapath::{Owner, Sweeping},
    domain::Service,
};

/// What a sweep over the notes found.
#[derive(Default)]
pub(super) struct Sweep {
    /// Living notes by backend.
    pub by_backend: BTreeMap<u32, u64>,
    /// For every service that settles, one without such slots included.
    pub elsewhere: Elsewhere,
}

impl Sweep {
    /// Noted flows of a backend.
    pub fn flows_on(&self, backend: u32) -> u64 {
        self.by_backend.get(&backend).copied().unwrap_or(0)
    }
}

impl Engine {
    /// Has notes forgotten that are over, or that nobody asks for, and counts the others.
    pub(super) fn sweep(&mut self) -> Result<Sweep, Refusal> {
        let sweeping = Sweeping { owners: self.owners(), now: now() as u32, noted: self.noted };
        let swept = self.datapath.sweep(&sweeping)?;
        self.noted = swept.left;
        tracing::debug!(left = swept.left, "swept the notes");
        let elsewhere = |service: &Service| Some((service.name.clone(), swept.elsewhere(self.placed(service)?.ring)));
        let is_settling = |service: &&Service| self.state.unrest.get(&service.name) == Some(&Unrest::Settling);
        let settling = self.state.config.services.iter().filter(is_settling);
        let elsewhere = settling.filter_map(elsewhere).collect();
        let mut by_backend = swept.by_backend;
        for (backend, flows) in self.sweep_places(&sweeping)? {
            *by_backend.entry(backend).or_default() += flows;
        }
        Ok(Sweep { by_backend, elsewhere })
    }

    /// Gives ports back of `snat` flows that are over.
    pub(super) fn sweep_ports(&mut self) -> Result<(), Refusal> {
        self.sweep_places(&Sweeping { owners: self.owners(), now: now() as u32, noted: 0 }).map(|_| ())
    }

    /// Gives ports back of `snat` flows that are over; the others by backend. Those that are noted too are counted once more.
    fn sweep_places(&mut self, sweeping: &Sweeping) -> Result<BTreeMap<u32, u64>, Refusal> {
        // A service that is no more has flows for a while, whose backends' ids are nobody else's until then.
        if self.state.pool.all().next().is_none() {
            return Ok(BTreeMap::new());
        }
        let life = |id| sweeping.owners.get(&id).map(|owner| owner.life);
        Ok(self.datapath.sweep_places(sweeping.now, life)?)
    }

    /// By each backend's id.
    fn owners(&self) -> BTreeMap<u32, Owner> {
        let mut owners = BTreeMap::new();
        for service in &self.state.config.services {
            let Some(placed) = self.placed(service) else { continue };
            let owner = Owner { ring: placed.ring, slots: placed.slots, life: life(service) };
            let ids = service.backends.iter().filter_map(|backend| self.state.ids.backend(service, backend));
            owners.extend(ids.map(|id| (id, owner)));
        }
        owners
    }

    /// What packets know of a service, with its ring's region.
    fn placed(&self, service: &Service) -> Option<ServiceEntry> {
        Some(ServiceEntry { ring: self.rings.get(&service.name)?.region, ..entry(service) })
    }
}
