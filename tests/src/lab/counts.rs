//! Every counter that could have moved, and what moved as text.

use std::collections::BTreeMap;

use foobar_common::Outcome;
use foobar_userspace::api::types::{BackendTally, Tally};

use super::Lab;

/// Packets and bytes by outcome; words by rule's and backend's id. Zeros stand too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub outcomes: BTreeMap<u32, [u64; 2]>,
    /// Of what this host sends.
    pub sent: BTreeMap<u32, [u64; 2]>,
    pub rules: BTreeMap<u32, [u64; 2]>,
    /// Packets, bytes, connections, queries.
    pub backends: BTreeMap<u32, [u64; 4]>,
}

impl Lab {
    /// All counters; ids past those in use are among them, since nobody may count there.
    pub fn counts(&mut self) -> Counts {
        let loaded = self.loaded();
        let last_rule = loaded.rule_ids.iter().chain(&loaded.egress_ids).copied().max().unwrap_or(0);
        let last_backend = self.backends().into_iter().map(|(id, _)| id).chain(self.state.ids.retired()).max();
        let datapath = &self.loaded().datapath;
        let read = || -> anyhow::Result<Counts> {
            let rule = |id| Ok((id, datapath.rule(id).map(|tally| [tally.packets, tally.bytes])?));
            let backend = |id| {
                let cpus = datapath.backend(id)?;
                let sum = |of: fn(&BackendTally) -> u64| cpus.iter().map(of).sum();
                Ok((
                    id,
                    [sum(|cpu| cpu.packets), sum(|cpu| cpu.bytes), sum(|cpu| cpu.connections), sum(|cpu| cpu.queries)],
                ))
            };
            Ok(Counts {
                outcomes: total(&datapath.outcomes()?),
                sent: total(&datapath.sent()?),
                rules: (0..=last_rule + 1).map(rule).collect::<anyhow::Result<_>>()?,
                backends: (0..=last_backend.unwrap_or(0) + 1).map(backend).collect::<anyhow::Result<_>>()?,
            })
        };
        read().unwrap_or_else(|error| panic!("reading the counters: {error:#}"))
    }

    /// The outcomes' counters alone, which are read faster.
    pub fn outcomes(&mut self) -> BTreeMap<u32, [u64; 2]> {
        let outcomes = self.loaded().datapath.outcomes();
        total(&outcomes.unwrap_or_else(|error| panic!("reading the outcomes: {error:#}")))
    }

    /// The counters that moved between two readings, as `forwarded`, `rule allow tcp/22`, `backend 10.1.0.2`,
    /// `connection 10.1.0.2`, `query 10.1.0.2`; with ` x3` and the like where it was not by one packet of `len` bytes.
    pub fn moved(&self, before: &Counts, after: &Counts, len: usize) -> Vec<String> {
        let mut moved = Vec::new();
        for (id, by) in differences(&before.outcomes, &after.outcomes) {
            moved.push(told(Outcome::ALL[id as usize].name(), by[0], by[1], len));
        }
        for (id, by) in differences(&before.sent, &after.sent) {
            moved.push(told(&format!("sent {}", Outcome::ALL[id as usize].name()), by[0], by[1], len));
        }
        for (id, by) in differences(&before.rules, &after.rules) {
            moved.push(told(&format!("rule {}", self.rule_name(id)), by[0], by[1], len));
        }
        for (id, by) in differences(&before.backends, &after.backends) {
            let name = self.backend_name(id);
            moved.push(told(&format!("backend {name}"), by[0], by[1], len));
            for (what, amount) in [("connection", by[2]), ("query", by[3])] {
                if amount > 0 {
                    moved.push(told(&format!("{what} {name}"), amount, amount * len as u64, len));
                }
            }
        }
        moved
    }

    fn rule_name(&self, id: u32) -> String {
        let Some(loaded) = &self.loaded else { return format!("id {id}") };
        let firewall = &self.state.config.firewall;
        let mut rules =
            loaded.rule_ids.iter().zip(&firewall.rules).chain(loaded.egress_ids.iter().zip(&firewall.egress.rules));
        rules.find(|(other, _)| **other == id).map_or_else(|| format!("id {id}"), |(_, rule)| rule.identity())
    }

    fn backend_name(&self, id: u32) -> String {
        let backend = self.backends().into_iter().find(|(other, _)| *other == id);
        backend.map_or_else(|| format!("id {id}"), |(_, address)| address.to_string())
    }
}

/// The outcomes' counters over all CPUs.
fn total(outcomes: &[(Outcome, Vec<Tally>)]) -> BTreeMap<u32, [u64; 2]> {
    let total = |cpus: &Vec<Tally>| cpus.iter().fold([0, 0], |sum, cpu| [sum[0] + cpu.packets, sum[1] + cpu.bytes]);
    outcomes.iter().map(|(outcome, cpus)| (outcome.index(), total(cpus))).collect()
}

fn differences<const N: usize>(
    before: &BTreeMap<u32, [u64; N]>,
    after: &BTreeMap<u32, [u64; N]>,
) -> Vec<(u32, [u64; N])> {
    let difference = |(id, after): (&u32, &[u64; N])| {
        let before = before.get(id).copied().unwrap_or([0; N]);
        (*id, std::array::from_fn(|word| after[word].wrapping_sub(before[word])))
    };
    after.iter().map(difference).filter(|(_, by)| by.iter().any(|amount| *amount != 0)).collect()
}

/// A counter that moved by `packets`, of which each was expected to have `len` bytes.
fn told(name: &str, packets: u64, bytes: u64, len: usize) -> String {
    let times = if packets == 1 { String::new() } else { format!(" x{packets}") };
    let wrong = if bytes == packets * len as u64 { String::new() } else { format!(" of {bytes} bytes") };
    format!("{name}{times}{wrong}")
}
