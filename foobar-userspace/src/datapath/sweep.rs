//! A sweep over all notes, by a program in the kernel: what is over goes, and the rest is counted.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::AsFd as _,
    sync::atomic::{AtomicU64, Ordering},
};

use anyhow::{Context as _, Result};
use aya::maps::IterableMap as _;
use foobar_common::{
    find::ServiceEntry,
    layout::{
        MARKS_EACH, MAX_BACKENDS, RING_UNIT, SWEPT_BACKENDS, SWEPT_NOTES, SWEPT_NOW, SWEPT_SCARCE, SWEPT_UNPROVEN,
        UNPROVEN_WORDS, program, unproven_index,
    },
    note::Kind,
    sweep::{Owner, is_scarce},
};

use super::{
    Datapath, load,
    mapped::store_words,
    walk::{Walk, walk},
};

/// What a sweep goes by.
#[derive(Clone, Debug, Default)]
pub struct Sweeping {
    /// By a backend's id. Notes of other backends go.
    pub owners: BTreeMap<u32, Owner>,
    /// Second of the monotonic clock.
    pub now: u32,
    /// Notes by family, IPv4 first, as they were counted before.
    pub noted: [u64; 2],
}

/// What a sweep found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Notes that stay, by backend.
    pub by_backend: BTreeMap<u32, u64>,
    /// Notes that stay, by family, IPv4 first.
    pub left: [u64; 2],
    /// How each family's walk went.
    pub walks: [Walk; 2],
}

impl Datapath {
    /// Looks at every note once.
    ///
    /// Counts of unproven notes are corrected to what was found, and keep what was counted meanwhile.
    pub fn sweep(&mut self, sweeping: &Sweeping) -> Result<Swept> {
        let before = self.unproven();
        self.prepare(sweeping, before)?;
        let walks =
            [self.walk_v4().context("sweeping notes of IPv4")?, self.walk_v6().context("sweeping notes of IPv6")?];
        let found = std::array::from_fn(|index| self.found(SWEPT_UNPROVEN + index));
        self.correct_unproven(before, found);
        let by_backend = (1..MAX_BACKENDS).map(|id| (id, self.found(SWEPT_BACKENDS + id as usize)));
        let left = [self.found(SWEPT_NOTES), self.found(SWEPT_NOTES + 1)];
        Ok(Swept { by_backend: by_backend.filter(|(_, notes)| *notes > 0).collect(), left, walks })
    }

    /// Slots of a service's ring for which the last sweep met a note of another backend than the current one.
    pub fn elsewhere(&self, service: &ServiceEntry) -> BTreeSet<u32> {
        let marks = self.marks(service).iter().zip(0..).filter(|(word, _)| word.load(Ordering::Relaxed) != 0);
        let of_word = |(word, index): (&AtomicU64, u32)| {
            let word = word.load(Ordering::Relaxed);
            (0..64).filter(move |bit| word >> bit & 1 != 0).map(move |bit| index * 64 + bit)
        };
        marks.flat_map(of_word).collect()
    }

    fn walk_v4(&mut self) -> Result<Walk> {
        let program = load::sweep_program(&mut self.ebpf, program::SWEEP_V4)?;
        walk(program.fd()?.as_fd(), self.maps.notes_v4.map().fd().as_fd())
    }

    fn walk_v6(&mut self) -> Result<Walk> {
        let program = load::sweep_program(&mut self.ebpf, program::SWEEP_V6)?;
        walk(program.fd()?.as_fd(), self.maps.notes_v6.map().fd().as_fd())
    }

    fn prepare(&self, sweeping: &Sweeping, unproven: [u64; UNPROVEN_WORDS]) -> Result<()> {
        let mut owners = vec![[0; Owner::WORDS]; MAX_BACKENDS as usize];
        for (id, owner) in &sweeping.owners {
            *owners.get_mut(*id as usize).with_context(|| format!("no backend has the id {id}"))? = owner.to_words();
            for word in self.marks(&owner.service) {
                word.store(0, Ordering::Relaxed);
            }
        }
        store_words(self.tables.owners.words(), owners.as_flattened().iter().copied());
        let scarce = [false, true].map(|is_v6| {
            let young = unproven[unproven_index(is_v6, Kind::Young)];
            u64::from(is_scarce(sweeping.noted[usize::from(is_v6)], young)) << u32::from(is_v6)
        });
        let swept = self.tables.swept.words();
        for word in swept {
            word.store(0, Ordering::Relaxed);
        }
        swept[SWEPT_NOW].store(sweeping.now.into(), Ordering::Relaxed);
        swept[SWEPT_SCARCE].store(scarce[0] | scarce[1], Ordering::Relaxed);
        Ok(())
    }

    fn found(&self, index: usize) -> u64 {
        self.tables.swept.words()[index].load(Ordering::Relaxed)
    }

    /// The words with a bit for each slot of a ring.
    fn marks(&self, service: &ServiceEntry) -> &[AtomicU64] {
        let first = service.ring as usize * MARKS_EACH;
        let words = service.slots.div_ceil(RING_UNIT) as usize * MARKS_EACH;
        self.tables.marks.words().get(first..first + words).unwrap_or_default()
    }
}
