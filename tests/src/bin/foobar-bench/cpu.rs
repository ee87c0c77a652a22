//! CPU time of the whole machine, and how much of it others took.
//!
//! The machine's is the time that passed on every CPU less what they were idle, waited for disks or were stolen, which
//! Linux counts exactly (`/proc/stat`, with `CONFIG_NO_HZ`): so what packets cost in interrupts is in it, wherever it
//! fell. Others are the processes that this one did not start, the kernel's own threads apart: those work for our
//! packets too.
//!
//! Interrupts that come amid others are taken for theirs: exact figures need a quiet machine.

use std::{
    collections::{HashMap, HashSet},
    fs,
    time::Instant,
};

use anyhow::{Context as _, Result};

/// `USER_HZ`: what the kernel counts in for userspace, on every architecture that foobar runs on.
const TICKS: f64 = 100.0;
/// The parent of the kernel's threads.
const KTHREADD: u32 = 2;

/// A moment.
pub struct Reading {
    at: Instant,
    cpus: f64,
    /// Seconds, of all CPUs.
    idle: f64,
    others: f64,
}

/// What was used between two moments, in seconds of one CPU.
#[derive(Clone, Copy, Debug)]
pub struct Used {
    /// By all but others.
    pub ours: f64,
    pub others: f64,
    /// What there was.
    pub whole: f64,
}

impl Reading {
    pub fn now() -> Result<Self> {
        let text = fs::read_to_string("/proc/stat").context("reading /proc/stat")?;
        let cpus = text.lines().filter(|line| line.starts_with("cpu") && !line.starts_with("cpu ")).count();
        let words: Vec<f64> =
            text.lines().next().unwrap_or_default().split(' ').filter_map(|w| w.parse().ok()).collect();
        let [_user, _nice, _system, idle, wait, _irq, _softirq, steal, ..] = words[..] else {
            anyhow::bail!("/proc/stat begins with `{}`", text.lines().next().unwrap_or_default());
        };
        let idle = (idle + wait + steal) / TICKS;
        let cpus = f64::from(u32::try_from(cpus)?);
        Ok(Self { at: Instant::now(), cpus, idle, others: others()? })
    }

    /// What was used since then.
    pub fn used(&self) -> Result<Used> {
        let now = Self::now()?;
        let passed = now.at.duration_since(self.at).as_secs_f64() * self.cpus;
        let others = (now.others - self.others).max(0.0);
        Ok(Used { ours: passed - (now.idle - self.idle) - others, others, whole: passed })
    }
}

struct Process {
    parent: u32,
    /// With its children's that have ended, so that nothing is lost where one ends.
    used: f64,
}

/// Seconds that processes took which are neither of this one's tree nor threads of the kernel.
fn others() -> Result<f64> {
    let entries = fs::read_dir("/proc").context("listing /proc")?.flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let processes: HashMap<u32, Process> = pids.filter_map(|pid| Some((pid, process(pid)?))).collect();
    let mut spared = HashSet::from([std::process::id(), KTHREADD]);
    loop {
        let before = spared.len();
        spared.extend(
            processes
                .iter()
                .filter(|(_, process)| spared.contains(&process.parent))
                .map(|(pid, _)| *pid)
                .collect::<Vec<_>>(),
        );
        if spared.len() == before {
            break;
        }
    }
    Ok(processes.iter().filter(|(pid, _)| !spared.contains(pid)).map(|(_, process)| process.used).sum())
}

/// Absent where it has ended meanwhile.
fn process(pid: u32) -> Option<Process> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Behind the name, which may have spaces: the state is the third field of proc(5).
    let words: Vec<_> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| words.get(number - 3)?.parse::<u32>().ok();
    let used: f64 = [14, 15, 16, 17].map(|number| field(number).map(f64::from)).into_iter().sum::<Option<f64>>()?;
    Some(Process { parent: field(4)?, used: used / TICKS })
}
