//! What time does: notes end, rings get calm, removed backends leave, interfaces come back.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use foobar_common::{layout::MAX_NOTES, note::Note, slot::Slot};

use super::{
    engine::Engine,
    plan::{Forced, seed},
    state::{State, Unrest, now},
};
use crate::{api::types::Refusal, domain::BackendState};

/// Seconds between two sweeps over the notes.
const SWEEP_EVERY: u64 = 10;

/// What a sweep over the notes found.
#[derive(Default)]
struct Sweep {
    /// Living notes by backend.
    by_backend: HashMap<u32, u64>,
    /// By service: tracked slots with a note of another backend than the current one.
    elsewhere: BTreeMap<String, BTreeSet<u32>>,
    /// A family's table was full: flows may have begun on their previous backends without a note.
    full: bool,
}

impl Engine {
    /// To be called every second.
    pub fn tick(&mut self) {
        self.ticks += 1;
        self.expected.clear();
        self.attach_returned();
        if self.unsaved.is_some() {
            self.save();
        }
        if self.ticks.is_multiple_of(SWEEP_EVERY)
            && let Err(refusal) = self.age()
        {
            tracing::error!("aging: {refusal}");
        }
    }

    fn age(&mut self) -> Result<(), Refusal> {
        let restless = !self.state.unrest.is_empty() || self.noted > 0 || self.state.ids.retired().next().is_some();
        if !restless && !self.anything_removing() {
            return Ok(());
        }
        let sweep = self.sweep()?;
        self.noted = sweep.by_backend.values().sum();
        self.settle(&sweep)?;
        self.finish_removals(&sweep)?;
        self.release_ids(&sweep)
    }

    /// Forgets notes that are over, and counts the others.
    fn sweep(&mut self) -> Result<Sweep, Refusal> {
        let services = self.state.config.services.clone();
        let mut owners = HashMap::new();
        for service in &services {
            for backend in &service.backends {
                if let Some(id) = self.state.ids.backend(service, backend.address) {
                    owners.insert(id, service);
                }
            }
        }
        let mut sweep = Sweep::default();
        let now = now() as u32;
        let flows = self.datapath.notes()?;
        let v6 = flows.iter().filter(|flow| flow.is_v6()).count();
        sweep.full = v6.max(flows.len() - v6) >= MAX_NOTES as usize;
        for flow in flows {
            let Note { backend, .. } = flow.note;
            let Some(service) = owners.get(&backend) else {
                self.datapath.forget(&flow);
                continue;
            };
            if flow.note.is_over(now, service.idle.as_secs() as u32) {
                self.datapath.forget(&flow);
                continue;
            }
            *sweep.by_backend.entry(backend).or_default() += 1;
            let slot = flow.slot(seed(service));
            if self.rings.get(&service.name).is_some_and(|ring| ring.slots[slot as usize].current() != backend) {
                sweep.elsewhere.entry(service.name.clone()).or_default().insert(slot);
            }
        }
        Ok(sweep)
    }

    /// Gives up previous backends one `idle` after the last change, or after the last time that a flow found no room for
    /// its note, then calms the slots that no note speaks of.
    fn settle(&mut self, sweep: &Sweep) -> Result<(), Refusal> {
        let mut state = self.state.clone();
        let mut aged = Forced::new();
        for (name, unrest) in &self.state.unrest {
            let Some(ring) = self.rings.get(name) else { continue };
            let slots = match unrest {
                Unrest::Waiting(_) if sweep.full => {
                    state.unrest.insert(name.clone(), Unrest::Waiting(now()));
                    continue;
                }
                Unrest::Waiting(since) if now() > since + idle(&state, name) => {
                    state.unrest.insert(name.clone(), Unrest::Settling);
                    give_up_previous(&ring.slots)
                }
                Unrest::Waiting(_) => continue,
                Unrest::Settling => calm(&ring.slots, sweep.elsewhere.get(name)),
            };
            if slots.iter().all(|slot| !slot.is_tracked()) {
                state.unrest.remove(name);
            }
            if slots != ring.slots {
                aged.insert(name.clone(), slots);
            }
        }
        if state == self.state && aged.is_empty() { Ok(()) } else { self.replace_rings(state, &aged) }
    }

    fn anything_removing(&self) -> bool {
        let mut backends = self.state.config.services.iter().flat_map(|service| &service.backends);
        backends.any(|backend| backend.state == BackendState::Removing)
    }

    /// Removes backends that drain to leave and hold nothing any more.
    fn finish_removals(&mut self, sweep: &Sweep) -> Result<(), Refusal> {
        let mut done = Vec::new();
        for service in &self.state.config.services {
            let stays = service.backends.iter().filter(|backend| backend.state != BackendState::Removing).count();
            for backend in service.backends.iter().filter(|backend| backend.state == BackendState::Removing) {
                let Some(id) = self.state.ids.backend(service, backend.address) else { continue };
                if stays > 0 && !sweep.by_backend.contains_key(&id) && !self.in_a_slot(id) {
                    done.push((service.name.clone(), backend.address));
                }
            }
        }
        if done.is_empty() {
            return Ok(());
        }
        self.change(|state| {
            for service in &mut state.config.services {
                service.backends.retain(|backend| !done.contains(&(service.name.clone(), backend.address)));
            }
            Ok(())
        })?;
        for (service, address) in done {
            tracing::info!("backend {address} of {service} is drained and removed");
        }
        Ok(())
    }

    fn in_a_slot(&self, id: u32) -> bool {
        self.rings.values().flat_map(|ring| &ring.slots).any(|slot| slot.current() == id || slot.previous() == id)
    }

    fn release_ids(&mut self, sweep: &Sweep) -> Result<(), Refusal> {
        let held: BTreeSet<_> = self.state.ids.retired().filter(|id| self.in_a_slot(*id)).collect();
        let before = self.state.ids.clone();
        let mut ids = before.clone();
        ids.release(|id| held.contains(&id) || sweep.by_backend.contains_key(&id));
        if ids != before {
            self.state.ids = ids;
            self.store.save(&self.state)?;
        }
        Ok(())
    }
}

fn idle(state: &State, service: &str) -> u64 {
    let service = state.config.services.iter().find(|other| other.name == service);
    service.map_or(0, |service| service.idle.as_secs())
}

fn give_up_previous(slots: &[Slot]) -> Vec<Slot> {
    let give_up = |slot: &Slot| if slot.is_tracked() { Slot::tracked(slot.current(), slot.current()) } else { *slot };
    slots.iter().map(give_up).collect()
}

/// Slots whose flows are all on the current backend need no notes.
fn calm(slots: &[Slot], elsewhere: Option<&BTreeSet<u32>>) -> Vec<Slot> {
    let is_elsewhere = |index: usize| elsewhere.is_some_and(|slots| slots.contains(&(index as u32)));
    let calm = |(index, slot): (usize, &Slot)| {
        if slot.previous() == slot.current() && !is_elsewhere(index) { Slot::calm(slot.current()) } else { *slot }
    };
    slots.iter().enumerate().map(calm).collect()
}
