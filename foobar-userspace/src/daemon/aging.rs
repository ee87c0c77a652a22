//! What time does: notes and rules end, rings get calm, removed backends leave, interfaces come back.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use foobar_common::slot::Slot;

use super::{
    engine::Engine,
    plan::Forced,
    state::{Unrest, now},
    sweep::Sweep,
};
use crate::{
    api::types::Refusal,
    domain::{Backend, BackendState, Service, Transport},
};

/// Seconds between two sweeps over the notes.
const SWEEP_EVERY: u64 = 10;
/// Seconds between two looks for rules whose time is over: those that end together go together.
const REMOVE_EVERY: u64 = 5;
/// Seconds after a change during which an un-noted datagram belongs to the previous backend.
const DATAGRAM_WINDOW: u64 = 60;
/// Seconds that a silent flow of datagrams is kept on its backend.
const DATAGRAM_LIFE: u64 = 120;

impl Engine {
    /// To be called every second.
    pub fn tick(&mut self) {
        self.ticks += 1;
        self.expected.clear();
        self.keep_watch();
        self.attach_returned();
        self.undo_when_due();
        if self.unsaved.is_some() {
            self.save();
        }
        if let Err(error) = self.end_elements() {
            tracing::error!("ending elements of sets: {error:#}");
        }
        // What a change that waits left out may come back: nothing is taken off or forgotten meanwhile.
        let waits = self.state.pending.is_some();
        if !waits
            && (self.ticks.is_multiple_of(REMOVE_EVERY) || self.allowance_is_over())
            && let Err(refusal) = self.remove_over()
        {
            tracing::error!("removing rules whose time is over: {refusal}");
        }
        if waits {
            // Two sweeps in a row are none with a wait between.
            self.swept = None;
            // Who is heard in between counts, though nobody goes.
            if self.ticks.is_multiple_of(SWEEP_EVERY)
                && let Err(refusal) = self.talking()
            {
                tracing::error!("reading the backends' counters: {refusal}");
            }
        }
        if waits && self.ticks.is_multiple_of(REMOVE_EVERY) && self.allowance_is_over() {
            // It stays on the list meanwhile, but what it let in has to go on.
            self.datapath.note_open_sockets();
        }
        if !waits && let Err(refusal) = self.end_drains() {
            tracing::error!("ending drains: {refusal}");
        }
        if self.ticks.is_multiple_of(REMOVE_EVERY)
            && let Err(error) = self.datapath.mend_egress()
        {
            tracing::error!("looking after what looks at what is sent: {error:#}");
        }
        if self.ticks.is_multiple_of(SWEEP_EVERY)
            && !waits
            && let Err(refusal) = self.age()
        {
            tracing::error!("aging: {refusal}");
        }
    }

    fn age(&mut self) -> Result<(), Refusal> {
        let restless = !self.state.unrest.is_empty() || self.noted != 0 || self.state.ids.retired().next().is_some();
        let talking = self.talking()?;
        if !restless && talking.is_empty() && !self.anything_leaving() {
            self.swept = None;
            // Ports are given back whatever changed.
            return self.sweep_ports();
        }
        let sweep = self.sweep()?;
        // What one part cannot do must not keep the others from theirs.
        let parts = [
            ("calming rings", self.settle(&sweep)),
            ("removing drained backends", self.finish_removals(&sweep, &talking)),
            ("freeing ids", self.release_ids(&sweep)),
        ];
        self.swept = Some(sweep);
        for (what, refusal) in parts.into_iter().filter_map(|(what, done)| Some((what, done.err()?))) {
            tracing::error!("{what}: {refusal}");
        }
        Ok(())
    }

    /// Gives up previous backends when their time is over, then calms the slots that no note speaks of.
    fn settle(&mut self, sweep: &Sweep) -> Result<(), Refusal> {
        let mut state = self.state.clone();
        let mut aged = Forced::new();
        for (name, unrest) in &self.state.unrest {
            let Some(ring) = self.rings.get(name) else { continue };
            let service = self.state.config.services.iter().find(|service| service.name == *name);
            let slots = match unrest {
                Unrest::Waiting(since) => {
                    let refused = self.datapath.refused(ring.region);
                    if now() <= given_up_at(*since, refused, service.map_or(0, window)) {
                        continue;
                    }
                    state.unrest.insert(name.clone(), Unrest::Settling);
                    give_up_previous(&ring.slots)
                }
                Unrest::Settling => match self.swept.as_ref().and_then(|swept| swept.elsewhere.get(name)) {
                    // A sweep amid updates can miss a note; two in a row hardly do.
                    Some(before) => settled(&ring.slots, &(before | sweep.elsewhere.get(name).unwrap_or(before))),
                    None => continue,
                },
            };
            if slots.iter().all(|slot| !slot.is_tracked()) {
                state.unrest.remove(name);
            }
            if slots != ring.slots {
                aged.insert(name.clone(), slots);
            }
        }
        if state == self.state && aged.is_empty() {
            return Ok(());
        }
        // Where all together have no room, each has.
        self.replace_rings(state.clone(), &aged).or_else(|_| {
            aged.into_iter().try_for_each(|(name, slots)| self.replace_rings(state.clone(), &[(name, slots)].into()))
        })
    }

    /// Seconds until previous backends of a service are given up: only noted flows are on them then.
    pub(super) fn certain_in(&self, service: &Service) -> u64 {
        let Some(Unrest::Waiting(since)) = self.state.unrest.get(&service.name) else { return 0 };
        let refused = self.rings.get(&service.name).map_or(0, |ring| self.datapath.refused(ring.region));
        (given_up_at(*since, refused, window(service)) + 1).saturating_sub(now())
    }

    /// Whether a backend waits for its flows to be gone.
    fn anything_leaving(&self) -> bool {
        let mut backends = self.state.config.services.iter().flat_map(|service| &service.backends);
        backends.any(|backend| matches!(backend.state, BackendState::Removing | BackendState::Emptying))
    }

    /// Ends the connections of backends whose deadline is over.
    fn end_drains(&mut self) -> Result<(), Refusal> {
        let now = now();
        let is_over = |backend: &Backend| backend.deadline.is_some_and(|deadline| deadline <= now);
        let backends = self.state.config.services.iter().flat_map(|service| &service.backends);
        let over: Vec<_> = backends.filter(|backend| is_over(backend)).map(|backend| backend.address).collect();
        if over.is_empty() {
            return Ok(());
        }
        self.change(|state| {
            for service in &mut state.config.services {
                let leaves = |backend: &Backend| is_over(backend) && backend.state == BackendState::Removing;
                // A service has a backend, if only one in maintenance.
                if !service.backends.iter().all(leaves) {
                    service.backends.retain(|backend| !leaves(backend));
                }
                for backend in service.backends.iter_mut().filter(|backend| is_over(backend)) {
                    (backend.state, backend.deadline) = (BackendState::Maint, None);
                }
            }
            Ok(())
        })?;
        for address in over {
            tracing::info!("backend {address}: the deadline of its drain is over");
        }
        Ok(())
    }

    /// Removes backends that drain to leave and hold nothing any more, or has them in maintenance.
    fn finish_removals(&mut self, sweep: &Sweep, talking: &BTreeSet<u32>) -> Result<(), Refusal> {
        let mut done = Vec::new();
        let held = self.held(sweep);
        for service in &self.state.config.services {
            let stays = service.backends.iter().any(|backend| backend.state != BackendState::Removing);
            for backend in &service.backends {
                let leaves = backend.state == BackendState::Removing && stays;
                let Some(id) = self.state.ids.backend(service, backend) else { continue };
                if (leaves || backend.state == BackendState::Emptying)
                    && held.as_ref().is_some_and(|held| !held.contains(&id))
                    && !talking.contains(&id)
                {
                    done.push((service.name.clone(), backend.address));
                }
            }
        }
        if done.is_empty() {
            return Ok(());
        }
        self.change(|state| {
            for service in &mut state.config.services {
                let name = service.name.clone();
                let is_done = |backend: &Backend| done.contains(&(name.clone(), backend.address));
                service.backends.retain(|backend| !(is_done(backend) && backend.state == BackendState::Removing));
                for backend in service.backends.iter_mut().filter(|backend| is_done(backend)) {
                    (backend.state, backend.deadline) = (BackendState::Maint, None);
                }
            }
            Ok(())
        })?;
        for (service, address) in done {
            tracing::info!("backend {address} of {service} is drained");
        }
        Ok(())
    }

    /// Ids that a slot, or a note of this sweep or the one before, speaks of; `None` before two sweeps.
    fn held(&self, sweep: &Sweep) -> Option<BTreeSet<u32>> {
        let noted = sweep.by_backend.keys().chain(self.swept.as_ref()?.by_backend.keys()).copied();
        let slots = self.rings.values().flat_map(|ring| &ring.slots);
        // Neighbours are often alike, and most slots name one of a few ids.
        let mut held: BTreeSet<_> = noted.collect();
        let mut last = Slot::default();
        for slot in slots.filter(|slot| std::mem::replace(&mut last, **slot) != **slot) {
            held.extend([slot.current(), slot.previous()]);
        }
        Some(held)
    }

    fn release_ids(&mut self, sweep: &Sweep) -> Result<(), Refusal> {
        if self.state.ids.retired().next().is_none() {
            return Ok(());
        }
        let Some(held) = self.held(sweep) else { return Ok(()) };
        let mut state = self.state.clone();
        state.ids.release(|id| held.contains(&id));
        if state.ids != self.state.ids {
            // Who gets the id next begins at zero, also where a crash comes between.
            for id in self.state.ids.retired().filter(|id| !held.contains(id)) {
                self.datapath.reset_backend(id)?;
            }
            self.store.save(&state)?;
            self.state = state;
        }
        Ok(())
    }
}

/// Seconds after a change for which previous backends stand.
fn window(service: &Service) -> u64 {
    match service.ports.transport() {
        Transport::Tcp => service.idle.as_secs(),
        Transport::Udp => service.idle.as_secs().min(DATAGRAM_WINDOW),
    }
}

/// Seconds that a silent flow's note is kept.
pub(super) fn life(service: &Service) -> u32 {
    let life = match service.ports.transport() {
        Transport::Tcp => service.idle,
        Transport::Udp => service.idle.min(Duration::from_secs(DATAGRAM_LIFE)),
    };
    u32::try_from(life.as_secs()).unwrap_or(u32::MAX)
}

/// The second after which previous backends are given up: one window after the change, or after the last time that a
/// flow could not be noted, but two windows after the change at the latest, so that a flood does not hold them for ever.
fn given_up_at(since: u64, refused: u64, window: u64) -> u64 {
    let latest = since.saturating_add(window.saturating_mul(2));
    since.max(refused).saturating_add(window).min(latest)
}

fn give_up_previous(slots: &[Slot]) -> Vec<Slot> {
    let give_up = |slot: &Slot| if slot.is_tracked() { Slot::tracked(slot.current(), slot.current()) } else { *slot };
    slots.iter().map(give_up).collect()
}

/// Slots whose flows are all on the current backend need no notes.
fn calm(slots: &[Slot], elsewhere: &BTreeSet<u32>) -> Vec<Slot> {
    let calm = |(index, slot): (usize, &Slot)| {
        let is_elsewhere = elsewhere.contains(&(index as u32));
        if slot.previous() == slot.current() && !is_elsewhere { Slot::calm(slot.current()) } else { *slot }
    };
    slots.iter().enumerate().map(calm).collect()
}

/// Slots that still have a previous backend give it up: a start after a crash finds them so. Others become calm.
fn settled(slots: &[Slot], elsewhere: &BTreeSet<u32>) -> Vec<Slot> {
    let given_up = give_up_previous(slots);
    if given_up == slots { calm(slots, elsewhere) } else { given_up }
}

/// By service that settles: tracked slots with a note of another backend than the current one.
pub(super) type Elsewhere = BTreeMap<String, BTreeSet<u32>>;

#[cfg(test)]
mod tests {
    use super::*;

    fn service(port: &str, idle: &str) -> Service {
        let json = format!(
            r#"{{"name":"s","address":"192.0.2.1","port":"{port}","idle":"{idle}","backends":[{{"address":"10.0.0.1"}}]}}"#
        );
        serde_json::from_str(&json).expect("a service")
    }

    #[test]
    fn what_a_crash_left_with_a_previous_backend_gives_it_up_before_it_calms() {
        let left = [Slot::tracked(2, 1), Slot::tracked(3, 3), Slot::calm(4)];
        let nowhere = BTreeSet::new();
        let given_up = settled(&left, &nowhere);
        assert_eq!(given_up, [Slot::tracked(2, 2), Slot::tracked(3, 3), Slot::calm(4)]);
        assert_eq!(settled(&given_up, &nowhere), [Slot::calm(2), Slot::calm(3), Slot::calm(4)]);
        assert_eq!(settled(&given_up, &[0].into())[0], Slot::tracked(2, 2), "a note stands elsewhere");
    }

    #[test]
    fn datagrams_have_a_minute_and_connections_their_idle() {
        for (port, idle, seconds, silent) in [
            ("tcp/80", "3h", 10_800, 10_800),
            ("udp/53", "3h", 60, 120),
            ("udp/53", "90s", 60, 90),
            ("udp/53", "1s", 1, 1),
        ] {
            let service = service(port, idle);
            assert_eq!((window(&service), life(&service)), (seconds, silent), "{port} {idle}");
        }
    }

    #[test]
    fn a_refusal_holds_previous_for_one_window_more_at_most() {
        assert_eq!(given_up_at(1000, 0, 60), 1060);
        assert_eq!(given_up_at(1000, 1030, 60), 1090);
        assert_eq!(given_up_at(1000, 1090, 60), 1120);
        assert_eq!(given_up_at(1000, 0, u64::MAX), u64::MAX);
    }

    #[test]
    fn a_slot_is_calm_where_no_note_is_elsewhere() {
        let slots = [Slot::tracked(2, 2), Slot::tracked(2, 2), Slot::tracked(2, 1)];
        assert_eq!(calm(&slots, &BTreeSet::from([1])), [Slot::calm(2), slots[1], slots[2]]);
    }
}
