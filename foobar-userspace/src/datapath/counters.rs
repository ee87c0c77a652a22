//! Reads the per-CPU counters.

use anyhow::{Context as _, Result};
use aya::maps::{MapData, PerCpuArray, PerCpuValues};
use foobar_common::{
    Outcome,
    layout::{BACKEND_TALLY_WORDS, TALLY_WORDS},
    target::Target,
};

use super::Datapath;
use crate::api::types::{BackendTally, Tally};

impl Datapath {
    /// Every outcome's counter, a tally a CPU.
    pub fn outcomes(&self) -> Result<Vec<(Outcome, Vec<Tally>)>> {
        read(&self.maps.outcomes)
    }

    /// The same for what this host sends.
    pub fn sent(&self) -> Result<Vec<(Outcome, Vec<Tally>)>> {
        read(&self.maps.sent)
    }

    /// The counter of a rule's id.
    pub fn rule(&self, id: u32) -> Result<Tally> {
        let [packets, bytes] = sum(&self.maps.rules, id)?;
        Ok(Tally { packets, bytes })
    }

    /// The counter of a backend's id, a tally a CPU.
    pub fn backend(&self, id: u32) -> Result<Vec<BackendTally>> {
        let values = self.maps.backends.get(&id, 0).with_context(|| format!("reading counter {id}"))?;
        let tally = |value: &[u64; BACKEND_TALLY_WORDS]| {
            let [packets, bytes, connections, queries] = *value;
            BackendTally { packets, bytes, connections, queries }
        };
        Ok(values.iter().map(tally).collect())
    }

    /// What was over the limit of a rule's id.
    pub fn limited(&self, id: u32) -> Result<Tally> {
        let [packets, bytes] = sum(&self.maps.limited, id)?;
        Ok(Tally { packets, bytes })
    }

    /// Sets the counters of a rule's id to zero and fills its bucket, for a rule that takes the id over.
    pub fn reset_rule(&mut self, id: u32) -> Result<()> {
        self.tables.fill_bucket(id)?;
        reset(&mut self.maps.limited, id)?;
        reset(&mut self.maps.rules, id)
    }

    /// Has an id be nobody's: nothing is counted for it, and packets that know it are told nowhere to go.
    pub fn reset_backend(&mut self, id: u32) -> Result<()> {
        self.tables.set_target(id, Target::default())?;
        reset(&mut self.maps.backends, id)
    }
}

fn read(counters: &PerCpuArray<MapData, [u64; TALLY_WORDS]>) -> Result<Vec<(Outcome, Vec<Tally>)>> {
    let read = |outcome: &Outcome| {
        let values = counters.get(&outcome.index(), 0).context("reading the outcomes' counters")?;
        let tally = |[packets, bytes]: &[u64; TALLY_WORDS]| Tally { packets: *packets, bytes: *bytes };
        Ok((*outcome, values.iter().map(tally).collect()))
    };
    Outcome::ALL.iter().map(read).collect()
}

pub(super) fn sum<const N: usize>(counters: &PerCpuArray<MapData, [u64; N]>, index: u32) -> Result<[u64; N]> {
    let values = counters.get(&index, 0).with_context(|| format!("reading counter {index}"))?;
    let mut total = [0; N];
    for value in values.iter() {
        for (total, value) in total.iter_mut().zip(value) {
            *total += value;
        }
    }
    Ok(total)
}

fn reset<const N: usize>(counters: &mut PerCpuArray<MapData, [u64; N]>, index: u32) -> Result<()> {
    let cpus = aya::util::nr_cpus().map_err(|(file, error)| anyhow::anyhow!("reading {file}: {error}"))?;
    let zeros = PerCpuValues::try_from(vec![[0; N]; cpus]).context("as many zeros as CPUs")?;
    counters.set(index, zeros, 0).with_context(|| format!("resetting counter {index}"))
}
