//! A sweep over all notes: what is over goes, and the rest is counted.
//!
//! It reads the memory that packets write, which goes on meanwhile: of a level without notes nothing is read.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use foobar_common::{
    layout::{NOTED_SECRET, unproven_index},
    note::{
        Kind, Note,
        table::{IN_A_LINE, Key, LEVELS_COUNT, first_line, level_index},
    },
    slot::Slot,
    sweep::{Fate, fate, is_elsewhere, is_scarce},
};

use super::{Datapath, NotedFlow};

/// What a sweep knows of the service that a backend is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// The region of its ring.
    pub ring: u32,
    pub slots: u32,
    /// Seconds that a silent flow's note is kept.
    pub life: u32,
}

/// What a sweep goes by.
#[derive(Clone, Debug, Default)]
pub struct Sweeping {
    /// By a backend's id. Notes of other backends go.
    pub owners: BTreeMap<u32, Owner>,
    /// Second of the monotonic clock.
    pub now: u32,
    /// Notes as they were counted before.
    pub noted: u64,
}

/// What a sweep found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Notes that stay, by backend.
    pub by_backend: BTreeMap<u32, u64>,
    /// Notes that stay.
    pub left: u64,
    /// By ring, slots with a note of another backend than the current one.
    elsewhere: BTreeMap<u32, Vec<bool>>,
}

impl Swept {
    /// Slots of a ring with a note of another backend than the current one.
    pub fn elsewhere(&self, ring: u32) -> BTreeSet<u32> {
        let marks = self.elsewhere.get(&ring).into_iter().flatten();
        (0..).zip(marks).filter(|(_, is_elsewhere)| **is_elsewhere).map(|(slot, _)| slot).collect()
    }

    /// Counts a note that stays.
    fn count(&mut self, flow: &NotedFlow, owned: Option<(Owner, Slot)>) {
        self.left += 1;
        *self.by_backend.entry(flow.note.backend).or_default() += 1;
        if let Some((Owner { ring, slots, .. }, slot)) = owned
            && is_elsewhere(flow.note, slot)
        {
            let marks = self.elsewhere.entry(ring).or_insert_with(|| vec![false; slots as usize]);
            marks[Key::slot_in(flow.mark) as usize] = true;
        }
    }
}

impl Datapath {
    /// Looks at every note once.
    ///
    /// Counts of notes are corrected to what was found, and keep what was counted meanwhile.
    pub fn sweep(&mut self, sweeping: &Sweeping) -> Result<Swept> {
        let before = self.notes.counted();
        // What a packet has counted stands by now.
        self.wait_for_packets()?;
        let (mut swept, mut found, mut reserved) = (Swept::default(), [0; NOTED_SECRET], vec![]);
        let scarce = is_scarce(sweeping.noted, before[unproven_index(Kind::Young)]);
        for level in (0..LEVELS_COUNT).filter(|level| *level == 0 || before[level_index(*level)] > 0) {
            for place in first_line(level) * IN_A_LINE..first_line(level + 1) * IN_A_LINE {
                if let Some(flow) = self.notes.at(place) {
                    let owned = self.owned(&flow, sweeping);
                    let stays = owned.is_some_and(|owned| self.stays(flow.note, owned, sweeping.now, scarce));
                    if !stays && self.notes.take_away(flow) {
                        continue;
                    }
                    swept.count(&flow, owned);
                    if flow.note.kind.is_unproven() {
                        found[unproven_index(flow.note.kind)] += 1;
                    }
                } else if self.notes.is_reserved(place) {
                    reserved.push(place);
                } else {
                    continue;
                }
                if level > 0 {
                    found[level_index(level)] += 1;
                }
            }
        }
        self.notes.correct(before, found);
        if !reserved.is_empty() {
            self.wait_for_packets()?;
            for place in reserved {
                self.notes.free_reserved(place);
            }
        }
        Ok(swept)
    }

    /// Whose a note is, and its flow's slot, where its backend has a service whose ring has such a slot.
    fn owned(&self, flow: &NotedFlow, sweeping: &Sweeping) -> Option<(Owner, Slot)> {
        let index = Key::slot_in(flow.mark);
        let owner = sweeping.owners.get(&flow.note.backend).copied().filter(|owner| index < owner.slots)?;
        Some((owner, self.tables.slot(owner.ring, index)?))
    }

    fn stays(&self, note: Note, (owner, slot): (Owner, Slot), now: u32, scarce: bool) -> bool {
        let fate = fate(note, slot, owner.life, scarce, now);
        if fate == Fate::Early {
            self.refuse(owner.ring, now.into());
        }
        fate == Fate::Stays
    }
}
