//! A change that waits for confirmation: kept, undone, or undone by the packets themselves when its time is up.
//!
//! The state before it is on disk beside it. The daemon follows what packets see, never the other way round: it undoes on
//! disk what the data path has undone, and makes backends that only the change had drain.

use std::time::Duration;

use foobar_common::slot::Slot;

use super::{
    engine::Engine,
    plan::{Forced, Rings, plan},
    sets::Unread,
    state::now,
};
use crate::{
    api::types::{Confirmed, PendingStatus, Refusal},
    config::Difference,
};

/// The second that is at least `within` away, on the clock that packets read.
pub(super) fn deadline(within: Duration) -> u32 {
    u32::try_from(now() + within.as_secs() + 1).unwrap_or(u32::MAX)
}

impl Engine {
    /// The change that waits is there to stay.
    pub fn confirm(&mut self) -> Result<Confirmed, Refusal> {
        self.undo_when_due();
        let Some(pending) = &self.state.pending else { return Err(nothing_waits()) };
        if now() >= u64::from(pending.until) {
            return Err(Refusal::refused(
                "the change's time is up: packets see what was before, which is not on disk yet",
            )
            .hint("the daemon's log says why, and it tries again every second"));
        }
        let attended = self.state.attention();
        let state = self.state.clone().confirmed();
        self.store.save(&state)?;
        self.datapath.keep();
        let before = std::mem::replace(&mut self.state, state);
        self.held = Rings::new();
        self.bury(&self.state.clone());
        self.let_sets_go();
        if self.state.attention() != attended {
            self.datapath.attend_egress(self.state.attention())?;
        }
        let state = self.state.clone();
        if let Err(error) = self.write_next_hops(&state, &state) {
            tracing::error!("addresses that are new to `snat` are told to packets later: {error:#}");
        }
        if let Err(refusal) = self.learn_egress() {
            tracing::error!("addresses of routes that `snat` services send from: {refusal}");
        }
        tracing::info!("the change is confirmed");
        Ok(Confirmed { changes: before.pending.map_or(Vec::new(), |pending| self.since(&pending.before.config)) })
    }

    /// What was before the change that waits comes back at once.
    pub fn roll_back(&mut self) -> Result<Confirmed, Refusal> {
        if self.state.pending.is_none() {
            return Err(nothing_waits());
        }
        let undone = self.state.config.clone();
        self.undo()?;
        tracing::info!("the change is rolled back");
        Ok(Confirmed { changes: self.since(&undone) })
    }

    /// What changed since then, in lines.
    fn since(&self, before: &crate::config::Config) -> Vec<String> {
        Difference::between(before, &self.state.config).lines()
    }

    /// Follows the data path where the time of a change that waits is up.
    pub(super) fn undo_when_due(&mut self) {
        let due = self.state.pending.as_ref().is_some_and(|pending| now() >= u64::from(pending.until));
        if !due {
            return;
        }
        match self.undo() {
            Ok(()) => tracing::warn!("nobody confirmed the change in time: what was before is in force again"),
            Err(refusal) => {
                let warning = format!("what was before the change is in force again, and not on disk: {refusal}");
                if self.unsaved.as_ref() != Some(&warning) {
                    tracing::error!("{warning}");
                }
                self.unsaved = Some(warning);
            }
        }
    }

    fn undo(&mut self) -> Result<(), Refusal> {
        let Some(mut wanted) = self.state.rolled_back() else { return Ok(()) };
        wanted.ifindexes = self.ifindexes(&wanted.config)?;
        self.learn_egress_of(&mut wanted);
        let plan = plan(&mut wanted, &self.held, &Forced::new(), now())?;
        self.load_sets(&wanted, Unread::AsBefore)?;
        self.store.save(&wanted)?;
        self.datapath.fall_back();
        self.rings.clone_from(&self.held);
        self.put_in_force(wanted, plan)
    }

    /// Nothing else can be published while both banks are in use.
    pub(super) fn refuse_while_waiting(&mut self) -> Result<(), Refusal> {
        self.undo_when_due();
        match self.pending_status() {
            None => Ok(()),
            Some(PendingStatus { seconds_left, .. }) => {
                Err(Refusal::refused(format!("a change waits for confirmation, for {seconds_left} s more"))
                    .hint("`foobar confirm` or `foobar rollback` first"))
            }
        }
    }

    pub(super) fn pending_status(&self) -> Option<PendingStatus> {
        let pending = self.state.pending.as_deref()?;
        let seconds_left = u64::from(pending.until).saturating_sub(now());
        Some(PendingStatus { seconds_left, changes: self.since(&pending.before.config) })
    }

    /// Has flows that begin while a change waits noted also where its rings are not in force: they stay on their backends
    /// when it is undone, whoever lives to see that.
    pub(super) fn mark_held(&mut self) {
        for (name, ring) in &mut self.held {
            let Some(later) = self.rings.get(name).filter(|later| later.slots.len() == ring.slots.len()) else {
                continue;
            };
            let slots = ring.slots.iter().zip(&later.slots);
            ring.slots = slots.map(|(slot, later)| if slot == later { *slot } else { watched(*slot) }).collect();
            if let Err(error) = self.datapath.mark_ring(ring.region, &ring.slots) {
                tracing::error!("flows of {name} that begin before a confirmation may break without one: {error:#}");
            }
        }
    }
}

/// A slot with the same backends, whose flows are asked for their notes.
fn watched(slot: Slot) -> Slot {
    if slot.is_tracked() { slot } else { Slot::tracked(slot.current(), slot.current()) }
}

fn nothing_waits() -> Refusal {
    Refusal::missing("no change waits for confirmation")
        .hint("one that was not confirmed in time is undone already: the daemon's log says so")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_never_early() {
        let second = now();
        assert!(u64::from(deadline(Duration::from_secs(30))) > second + 30);
    }

    #[test]
    fn a_watched_slot_has_the_same_backends() {
        assert_eq!(watched(Slot::calm(7)), Slot::tracked(7, 7));
        assert_eq!(watched(Slot::tracked(7, 3)), Slot::tracked(7, 3));
    }
}
