//! What the load client saw, and the line of JSON in which it tells.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};

use super::request::Failure;

type PerName = BTreeMap<String, u64>;

/// Requests since the client started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Answered over a connection of their own, by backend.
    pub fresh: PerName,
    /// Answered over connections that stay open, by backend.
    pub held: PerName,
    /// Not answered, by reason.
    pub failures: PerName,
    pub slowest: Duration,
}

impl Counts {
    pub fn answered(&self) -> u64 {
        self.fresh.values().chain(self.held.values()).sum()
    }

    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    pub fn by(&self, backend: &str) -> u64 {
        self.fresh_by(backend) + self.held_by(backend)
    }

    pub fn fresh_by(&self, backend: &str) -> u64 {
        self.fresh.get(backend).copied().unwrap_or(0)
    }

    pub fn held_by(&self, backend: &str) -> u64 {
        self.held.get(backend).copied().unwrap_or(0)
    }

    /// `12 timeout, 1 reset`.
    pub fn reasons(&self) -> String {
        self.failures.iter().map(|(reason, count)| format!("{count} {reason}")).collect::<Vec<_>>().join(", ")
    }

    pub fn note(&mut self, is_fresh: bool, answer: Result<String, Failure>, took: Duration) {
        let (counter, name) = match answer {
            Ok(backend) if is_fresh => (&mut self.fresh, backend),
            Ok(backend) => (&mut self.held, backend),
            Err(failure) => (&mut self.failures, failure.to_string()),
        };
        *counter.entry(name).or_default() += 1;
        self.slowest = self.slowest.max(took);
    }

    pub fn add(&mut self, other: &Self) {
        let Self { fresh, held, failures, slowest } = other;
        for (ours, theirs) in [(&mut self.fresh, fresh), (&mut self.held, held), (&mut self.failures, failures)] {
            for (name, count) in theirs {
                *ours.entry(name.clone()).or_default() += count;
            }
        }
        self.slowest = self.slowest.max(*slowest);
    }

    pub fn to_line(&self) -> String {
        let Self { fresh, held, failures, slowest } = self;
        let slowest_us = slowest.as_micros() as u64;
        json!({ "fresh": fresh, "held": held, "failures": failures, "slowest_us": slowest_us }).to_string()
    }

    pub fn from_line(line: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(line).ok()?;
        let per_name = |key: &str| -> Option<PerName> {
            value.get(key)?.as_object()?.iter().map(|(name, count)| Some((name.clone(), count.as_u64()?))).collect()
        };
        Some(Self {
            fresh: per_name("fresh")?,
            held: per_name("held")?,
            failures: per_name("failures")?,
            slowest: Duration::from_micros(value.get("slowest_us")?.as_u64()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Counts, Failure};

    #[test]
    fn a_line_says_all_that_was_counted() {
        let mut counts = Counts::default();
        counts.note(true, Ok("b1".into()), Duration::from_micros(70));
        counts.note(false, Ok("b1".into()), Duration::from_micros(90));
        counts.note(true, Err(Failure::Reset), Duration::from_micros(20));

        assert_eq!(Counts::from_line(&counts.to_line()), Some(counts.clone()));
        assert_eq!((counts.answered(), counts.failed(), counts.by("b1")), (2, 1, 2));
    }
}
