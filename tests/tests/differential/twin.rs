//! A lab and the host's tables side by side, fed with the same frames.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    thread,
    time::Duration,
};

use foobar_common::{
    Action, Outcome,
    image::HostTables,
    note::{Kind, Note, table::Key},
};
use foobar_tests::lab::{Counts, Lab, run, send};

pub struct Twin {
    lab: Lab,
    host: HostTables,
    /// The kernel's counters of outcomes when they were last compared.
    outcomes: BTreeMap<u32, [u64; 2]>,
    after: Vec<u8>,
    frames: usize,
}

impl Twin {
    pub fn new(mut lab: Lab) -> Self {
        let host = lab.host();
        let outcomes = lab.outcomes();
        Self { lab, host, outcomes, after: Vec::new(), frames: 0 }
    }

    /// Changes the configuration of both; what was counted and noted stays.
    pub fn change(&mut self, edit: impl FnOnce(&mut Lab)) {
        edit(&mut self.lab);
        let old = std::mem::replace(&mut self.host, self.lab.host());
        let HostTables { notes, noted, states, heard, firsts, rules, backends, outcomes, sent, .. } = old;
        let fresh = std::mem::take(&mut self.host);
        self.host = HostTables { notes, noted, states, heard, firsts, rules, backends, outcomes, sent, ..fresh };
    }

    pub fn packets(&self, outcome: Outcome) -> u64 {
        self.host.outcomes.borrow().get(&outcome).map_or(0, |[packets, _]| *packets)
    }

    /// Runs frames through both and compares what they became, then the outcomes' counters.
    pub fn batch(&mut self, frames: &[Vec<u8>]) {
        for frame in frames {
            let (action, outcome, bytes) = self.both(frame);
            assert!(
                action == outcome.action() && self.after == bytes,
                "frame {} differs: {frame:02x?}\nkernel {action:?} {:02x?}\nhost {outcome:?} {bytes:02x?}",
                self.frames,
                self.after
            );
            self.frames += 1;
        }
        if !self.outcomes_agree() {
            self.name_the_frame(frames);
        }
    }

    /// This host sends a frame: both note what it opens.
    pub fn send(&mut self, frame: &[u8]) {
        self.host.now = second();
        let (kernel, host) = (send(self.lab.egress_program(), frame), self.host.send(frame));
        assert!(kernel == host, "{frame:02x?} leaves otherwise\nkernel {kernel:02x?}\nhost {host:02x?}");
    }

    /// One frame through both. The kernel's bytes are in `self.after`.
    fn both(&mut self, frame: &[u8]) -> (Action, Outcome, Vec<u8>) {
        self.host.now = second();
        let action = run(self.lab.program(), frame, &mut self.after);
        let mut bytes = frame.to_vec();
        let outcome = self.host.run(&mut bytes);
        (action, outcome, bytes)
    }

    fn outcomes_agree(&mut self) -> bool {
        self.outcomes = self.lab.outcomes();
        self.outcomes == by_index(&self.host.outcomes.borrow())
    }

    /// Actions and bytes agreed, but counters did not: runs the batch again to see for which frame.
    fn name_the_frame(&mut self, frames: &[Vec<u8>]) -> ! {
        for frame in frames {
            let before = self.outcomes.clone();
            let (_, outcome, _) = self.both(frame);
            self.outcomes = self.lab.outcomes();
            let moved: Vec<_> = Outcome::ALL
                .iter()
                .filter(|outcome| self.outcomes[&outcome.index()] != before[&outcome.index()])
                .collect();
            assert!(moved == [&outcome], "kernel {moved:?}, host {outcome:?}: {frame:02x?}");
        }
        panic!("counters differ in the batch before frame {}, and not when it is run again", self.frames);
    }

    /// Every counter, and every note and state but its time.
    pub fn compare_everything(&mut self) {
        let kernel = self.lab.counts();
        assert_eq!(self.host_counts(&kernel), kernel, "counters after frame {}", self.frames);
        let noted = self.lab.datapath().notes();
        let kernel: HashMap<_, _> = noted.iter().map(|flow| (flow.place, (flow.mark, timeless(flow.note)))).collect();
        let noted = self.host.notes.borrow().clone();
        let host: HashMap<_, _> = noted
            .into_iter()
            .map(|(place, words)| (place, (words[0] & Key::MASK, timeless(Note::from_words(words)))))
            .collect();
        println!("{} notes after frame {}", host.len(), self.frames);
        assert!(kernel == host, "{} notes in the kernel, {} on the host, and they differ", kernel.len(), host.len());
        let kernel = self.lab.datapath().states().expect("the states can be read");
        let kernel: HashSet<_> = kernel.into_keys().collect();
        let host: HashSet<_> = self.host.states.borrow().keys().cloned().collect();
        println!("{} states after frame {}", host.len(), self.frames);
        assert!(kernel == host, "{} states in the kernel, {} on the host, and they differ", kernel.len(), host.len());
    }

    /// The host's counters, zeros for those that only the kernel has.
    fn host_counts(&self, kernel: &Counts) -> Counts {
        let mut counts = Counts {
            outcomes: by_index(&self.host.outcomes.borrow()),
            sent: by_index(&self.host.sent.borrow()),
            rules: kernel.rules.keys().map(|id| (*id, [0; 2])).collect(),
            backends: kernel.backends.keys().map(|id| (*id, [0; 4])).collect(),
        };
        counts.rules.extend(self.host.rules.borrow().iter());
        counts.backends.extend(self.host.backends.borrow().iter());
        counts
    }
}

/// The kernel's second, far enough from the next one for a frame to run on both sides. The clock that packets read goes
/// in steps of some milliseconds, and is in the second before for as long.
fn second() -> u32 {
    loop {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        if (20_000_000..800_000_000).contains(&time.tv_nsec) {
            return time.tv_sec.cast_unsigned() as u32;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn by_index(counted: &HashMap<Outcome, [u64; 2]>) -> BTreeMap<u32, [u64; 2]> {
    let of = |outcome: &Outcome| (outcome.index(), counted.get(outcome).copied().unwrap_or_default());
    Outcome::ALL.iter().map(of).collect()
}

/// A note without its time: the clocks differ.
fn timeless(note: Note) -> (u32, Kind, u32, bool) {
    let Note { backend, kind, seen: _, sequence, doubted } = note;
    (backend, kind, sequence, doubted)
}
