//! One look at every note: what is over is forgotten, the rest is counted.
//!
//! Notes are read while packets change them, so that a sweep can miss one that is there: who acts on the absence of a
//! note looks twice.

use std::collections::{BTreeSet, HashMap};

use foobar_common::{
    layout::{MAX_NOTES, MAX_UNPROVEN, UNPROVEN_WORDS, unproven_index},
    note::Kind,
    slot::Slot,
};

use super::{
    aging::{Elsewhere, life},
    engine::Engine,
    plan::entry,
    state::{Unrest, now},
};
use crate::{api::types::Refusal, domain::Service};

/// What a sweep over the notes found.
#[derive(Default)]
pub(super) struct Sweep {
    /// Living notes by backend.
    pub by_backend: HashMap<u32, u64>,
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
    /// Forgets notes that are over, or that nobody asks for, and counts the others.
    pub(super) fn sweep(&mut self) -> Result<Sweep, Refusal> {
        let services = self.state.config.services.clone();
        let mut owners = HashMap::new();
        for service in &services {
            for backend in &service.backends {
                if let Some(id) = self.state.ids.backend(service, backend) {
                    owners.insert(id, service);
                }
            }
        }
        let settling = self.state.unrest.iter().filter(|(_, unrest)| **unrest == Unrest::Settling);
        let elsewhere = settling.map(|(name, _)| (name.clone(), BTreeSet::new())).collect();
        let mut sweep = Sweep { elsewhere, ..Sweep::default() };
        let now = now() as u32;
        let counted = self.datapath.unproven();
        let flows = self.datapath.notes()?;
        let v6 = flows.iter().filter(|flow| flow.is_v6()).count();
        let scarce = [false, true].map(|is_v6| {
            let notes = if is_v6 { v6 } else { flows.len() - v6 };
            is_scarce(notes, counted[unproven_index(is_v6, Kind::Young)])
        });
        let mut found = [0; UNPROVEN_WORDS];
        for flow in flows {
            let place =
                owners.get(&flow.note.backend).and_then(|service| self.place(service, flow.slot(&entry(service))));
            let Some((service, index, region, slot)) = place else {
                self.datapath.forget(&flow);
                continue;
            };
            let note = flow.note;
            // Where previous is given up nothing stands for a flow but its note.
            let stands = slot.previous() == note.backend;
            if note.is_over(now, life(service), stands && scarce[usize::from(flow.is_v6())]) {
                if note.kind == Kind::Young && !note.is_over(now, life(service), false) {
                    self.datapath.refuse(region, u64::from(now));
                }
                self.datapath.forget(&flow);
                continue;
            }
            found.iter_mut().enumerate().for_each(|(word, count)| *count += u64::from(flow.unproven() == Some(word)));
            *sweep.by_backend.entry(note.backend).or_default() += 1;
            if slot.current() != note.backend
                && let Some(slots) = sweep.elsewhere.get_mut(&service.name)
            {
                slots.insert(index);
            }
        }
        self.datapath.correct_unproven(counted, found);
        Ok(sweep)
    }

    /// A service's slot and its ring's region, if packets ask for notes there.
    fn place<'a>(&self, service: &'a Service, index: u32) -> Option<(&'a Service, u32, u32, Slot)> {
        let ring = self.rings.get(&service.name)?;
        let slot = *ring.slots.get(index as usize)?;
        slot.is_tracked().then_some((service, index, ring.region, slot))
    }
}

/// Whether notes of flows that spoke once go early.
fn is_scarce(notes: usize, young: u64) -> bool {
    notes > MAX_NOTES as usize / 2 || young > u64::from(MAX_UNPROVEN) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_scarce_from_half_of_the_room_on() {
        assert!(!is_scarce(MAX_NOTES as usize / 2, u64::from(MAX_UNPROVEN / 2)));
        assert!(is_scarce(MAX_NOTES as usize / 2 + 1, 0));
        assert!(is_scarce(0, u64::from(MAX_UNPROVEN / 2) + 1));
    }
}
