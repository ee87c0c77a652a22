//! What stands in the tables when packets of a case come.
//!
//! It is made ready before each measurement, and afterwards counters have to say that packets met it: a case that times
//! something else fails.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use foobar_common::{
    Outcome,
    layout::{MAX_UNPROVEN, unproven_index},
    note::{Kind, table::NoteTable as _},
    snat::{MAX_POOL, PORTS},
};
use foobar_userspace::{
    daemon::state::now,
    datapath::{NotedFlow, Sweeping},
};

use super::{
    harness::{Harness, Load, Target},
    ours::Ours,
    rules::FLOWS,
};

/// By what packets meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    /// All ports of the pool are free: each flow takes one.
    PortsFree,
    /// All ports are taken, by flows that have just begun: no flow gets one.
    PortsTaken,
    /// All ports are taken, by flows whose clients were silent for too long: each flow takes one over.
    PortsOver,
    /// Every slot is tracked, and each flow has a lasting note, of this second.
    Noted,
    /// The same of seconds ago: each packet renews its flow's note.
    Renewed,
    /// Every slot is tracked, and no flow has a note: each SYN makes one.
    Unnoted,
    /// Every slot is tracked, and there are as many notes of SYNs as can be: no flow finds room.
    NotesFull,
}

/// A scene's place: the program, its tables, and the frames that are timed.
pub struct Stage<'a> {
    pub harness: &'a mut Harness,
    pub ours: &'a mut Ours,
    pub load: &'a Load,
}

/// What was known when a measurement began.
pub struct Before {
    second: u64,
    decided: u64,
    provisional: u64,
}

/// Flows that fill tables are numbered from here on; those that are timed are not so many.
const OTHERS: u64 = 1 << 30;
/// With the one of the frame as it is, which comes first.
const ALL_FLOWS: u32 = FLOWS as u32 + 1;
/// After so long a packet shows that its flow goes on: two seconds of the clock, which the kernel reads coarsely.
const GOES_ON: Duration = Duration::from_millis(2100);

impl Scene {
    pub const fn is_tracked(self) -> bool {
        matches!(self, Self::Noted | Self::Renewed | Self::Unnoted | Self::NotesFull)
    }

    /// Packets of a measurement, where so many are wanted.
    pub fn packets(self, wanted: u32) -> u32 {
        match self {
            // Three quarters of the ports of four addresses: who has two buckets to choose from finds one.
            Self::PortsFree | Self::PortsTaken => wanted.min(96_000),
            // A quarter: hardly any bucket is met as often as it has places.
            Self::PortsOver => wanted.min(32_000),
            Self::Unnoted => wanted.min(MAX_UNPROVEN),
            Self::Renewed => ALL_FLOWS,
            Self::Noted | Self::NotesFull => wanted,
        }
    }

    /// Before anything is timed.
    pub fn begin(self, stage: &mut Stage<'_>) -> Result<()> {
        match self {
            Self::PortsOver => stage.take_all_ports(),
            // The first packet of a flow makes its note, and one that comes later has it last.
            Self::Noted | Self::Renewed => {
                stage.take_notes_away()?;
                stage.run(0, ALL_FLOWS)?;
                stage.wait(GOES_ON);
                stage.run(0, ALL_FLOWS)?;
                stage.ours.notes[usize::from(stage.load.v6)] = stage.ours.datapath.notes();
                Ok(())
            }
            Self::PortsFree | Self::PortsTaken | Self::Unnoted | Self::NotesFull => Ok(()),
        }
    }

    /// Before each measurement.
    pub fn prepare(self, stage: &mut Stage<'_>) -> Result<Before> {
        match self {
            Self::PortsFree => stage.free_ports(),
            Self::PortsTaken => {
                stage.free_ports();
                stage.take_all_ports()?;
            }
            // A port of a client that was not heard is kept for 3 seconds, and a bit of a second does not count.
            Self::PortsOver => stage.wait(Duration::from_millis(4100)),
            Self::Noted => {
                stage.put_notes_back()?;
                stage.run(0, ALL_FLOWS)?;
            }
            Self::Renewed => {
                stage.put_notes_back()?;
                stage.wait(GOES_ON);
            }
            Self::Unnoted => stage.take_notes_away()?,
            Self::NotesFull => stage.fill_notes()?,
        }
        Ok(Before { second: now(), decided: self.decided(stage)?, provisional: stage.provisional() })
    }

    /// After each measurement of so many packets.
    pub fn check(self, stage: &mut Stage<'_>, before: &Before, packets: u32) -> Result<()> {
        let packets = u64::from(packets);
        let decided = self.decided(stage)? - before.decided;
        ensure!(decided == packets, "{decided} of {packets} packets were {}", self.outcome().name());
        match self {
            Self::PortsFree => {
                let taken = stage.ports_taken();
                ensure!(taken == packets, "{packets} flows took {taken} ports");
            }
            Self::PortsTaken | Self::PortsOver => stage.expect_all_taken()?,
            Self::Unnoted => {
                let noted = stage.provisional() - before.provisional;
                ensure!(before.provisional == 0, "{} notes were there before the flows", before.provisional);
                ensure!(noted == packets, "{packets} SYNs made {noted} notes");
            }
            Self::NotesFull => {
                let (noted, refused) = (stage.provisional() - before.provisional, stage.refused());
                ensure!(noted == 0, "{noted} of {packets} SYNs found room for a note");
                ensure!(refused + 1 >= before.second, "no flow was refused a note");
            }
            Self::Noted | Self::Renewed => stage.expect_used(before.second)?,
        }
        stage.ours.timed[usize::from(stage.load.v6)] = Some((Instant::now(), before.second));
        Ok(())
    }

    const fn outcome(self) -> Outcome {
        if matches!(self, Self::PortsTaken) { Outcome::Exhausted } else { Outcome::Forwarded }
    }

    fn decided(self, stage: &Stage<'_>) -> Result<u64> {
        stage.ours.counted(self.outcome())
    }
}

impl Stage<'_> {
    /// Has the program judge so many frames of the load.
    fn run(&mut self, first: u64, packets: u32) -> Result<()> {
        let program = Target::Frags(self.ours.program()?);
        self.harness.run(&program, self.load, first, packets)?;
        self.ours.timed[usize::from(self.load.v6)] = Some((Instant::now(), now()));
        Ok(())
    }

    /// The same of flows that are not timed.
    fn run_others(&mut self, first: u64, packets: u32) -> Result<()> {
        let mut frame = self.load.frame.clone();
        let port = self.load.port();
        frame[port] ^= 1;
        let load = &Load { frame, ..*self.load };
        Stage { harness: self.harness, ours: self.ours, load }.run(OTHERS + first, packets)
    }

    /// Waits until so much time has passed since the program ran last.
    fn wait(&self, least: Duration) {
        if let Some((last, _)) = self.ours.timed[usize::from(self.load.v6)] {
            sleep(least.saturating_sub(last.elapsed()));
        }
    }

    /// Places of the pool that have an address of this family.
    fn pool(&self) -> impl Iterator<Item = usize> + use<> {
        let (addresses, v6) = (self.ours.datapath.pool_addresses(), self.load.v6);
        (0..MAX_POOL).filter(move |place| addresses[*place] != [0, 0] && (addresses[*place][0] != 0) == v6)
    }

    fn free_ports(&self) {
        self.pool().for_each(|place| self.ours.datapath.clear_places(place));
    }

    /// Twice as many flows as there are ports, so that no bucket is left with a free one.
    fn take_all_ports(&mut self) -> Result<()> {
        self.run_others(0, 2 * self.ports() as u32)?;
        self.expect_all_taken()
    }

    fn expect_all_taken(&self) -> Result<()> {
        let (taken, all) = (self.ports_taken(), self.ports());
        ensure!(taken == all, "{taken} of {all} ports are taken, which were to be all");
        Ok(())
    }

    fn ports(&self) -> u64 {
        (self.pool().count() * PORTS) as u64
    }

    fn ports_taken(&self) -> u64 {
        let taken = self.ours.datapath.ports_taken();
        self.pool().map(|place| taken[place]).sum()
    }

    fn provisional(&self) -> u64 {
        self.ours.datapath.note_table().noted(unproven_index(Kind::Provisional))
    }

    /// A sweep that knows no backend takes all notes away.
    fn take_notes_away(&mut self) -> Result<()> {
        self.ours.datapath.sweep(&Sweeping::default()).map(|_| ())
    }

    /// The notes of this family's flows alone.
    fn put_notes_back(&mut self) -> Result<()> {
        self.take_notes_away()?;
        let table = self.ours.datapath.note_table();
        let notes = &self.ours.notes[usize::from(self.load.v6)];
        ensure!(notes.iter().all(|flow| table.put_back(flow)), "another note stands in a place");
        Ok(())
    }

    fn expect_used(&self, second: u64) -> Result<()> {
        let is_used = |NotedFlow { note, .. }: &NotedFlow| {
            note.kind == Kind::Lasting && !note.doubted && u64::from(note.seen) + 1 >= second
        };
        let (used, others): (Vec<_>, Vec<_>) = self.ours.datapath.notes().into_iter().partition(is_used);
        ensure!(
            used.len() as u64 == u64::from(ALL_FLOWS) && others.is_empty(),
            "of {ALL_FLOWS} flows, {} had a lasting note that was used, and {} another: {:?}",
            used.len(),
            others.len(),
            others.first()
        );
        Ok(())
    }

    fn fill_notes(&mut self) -> Result<()> {
        let free = u64::from(MAX_UNPROVEN).saturating_sub(self.provisional());
        if free > 0 {
            self.run_others(0, free as u32)?;
        }
        let (noted, most) = (self.provisional(), MAX_UNPROVEN);
        ensure!(noted == u64::from(most), "{noted} notes of SYNs are there, which were to be {most}");
        Ok(())
    }

    fn refused(&self) -> u64 {
        self.ours.datapath.refused(self.ours.rings[usize::from(self.load.v6)])
    }
}
