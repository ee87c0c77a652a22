//! What changed between two readings of the counters, per second. Pure.

use std::{collections::HashMap, net::IpAddr};

use crate::api::types::{BackendCount, OutcomeCount, RuleLine, Stats, Tally};

/// Packets and bits of one thing, per second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rate {
    pub packets: f64,
    pub bits: f64,
}

/// All rates between two readings.
#[derive(Clone, Debug, PartialEq)]
pub struct Rates {
    pub outcomes: Vec<OutcomeRate>,
    pub rules: Vec<(String, Rate)>,
    pub backends: Vec<BackendRate>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct OutcomeRate {
    pub outcome: String,
    pub action: String,
    pub rate: Rate,
}

#[derive(Clone, Debug, PartialEq)]
pub struct BackendRate {
    pub service: String,
    pub address: IpAddr,
    pub rate: Rate,
    pub connections: f64,
    pub queries: f64,
}

/// Counts per second of what happened from `before` to `after`; what appeared meanwhile counts from nothing.
pub fn between(before: &Stats, after: &Stats) -> Rates {
    let seconds = Seconds::between(before, after);
    let outcomes: HashMap<_, _> = before.outcomes.iter().map(|count| (&count.outcome, tally(count))).collect();
    let rules: HashMap<_, _> = before.rules.iter().map(|line| (line.id, of_rule(line))).collect();
    Rates {
        outcomes: after.outcomes.iter().map(|count| outcome(seconds, outcomes.get(&count.outcome), count)).collect(),
        rules: after.rules.iter().map(|line| rule(seconds, rules.get(&line.id), line)).collect(),
        backends: backends(seconds, before, after),
    }
}

/// The time between two readings; never nothing.
#[derive(Clone, Copy, Debug)]
struct Seconds(f64);

impl Seconds {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds between two looks are few")]
    fn between(before: &Stats, after: &Stats) -> Self {
        Self(after.at_ms.saturating_sub(before.at_ms).max(1) as f64 / 1000.0)
    }

    /// Counters that went back were begun anew.
    #[expect(clippy::cast_precision_loss, reason = "a rate is shown with three digits")]
    fn per(self, before: u64, after: u64) -> f64 {
        after.checked_sub(before).unwrap_or(after) as f64 / self.0
    }

    fn rate(self, before: Tally, after: Tally) -> Rate {
        Rate { packets: self.per(before.packets, after.packets), bits: self.per(before.bytes, after.bytes) * 8.0 }
    }
}

fn outcome(seconds: Seconds, before: Option<&Tally>, after: &OutcomeCount) -> OutcomeRate {
    let rate = seconds.rate(before.copied().unwrap_or_default(), tally(after));
    OutcomeRate { outcome: after.outcome.clone(), action: after.action.clone(), rate }
}

fn rule(seconds: Seconds, before: Option<&Tally>, after: &RuleLine) -> (String, Rate) {
    (after.rule.clone(), seconds.rate(before.copied().unwrap_or_default(), of_rule(after)))
}

fn backends(seconds: Seconds, before: &Stats, after: &Stats) -> Vec<BackendRate> {
    let old: HashMap<_, _> = each_backend(before).map(|(service, count)| ((service, count.address), count)).collect();
    let rate = |(service, count): (&str, &BackendCount)| {
        let old = old.get(&(service, count.address));
        let tally = |count: &BackendCount| Tally { packets: count.packets, bytes: count.bytes };
        BackendRate {
            service: service.to_owned(),
            address: count.address,
            rate: seconds.rate(old.map_or_else(Tally::default, |old| tally(old)), tally(count)),
            connections: seconds.per(old.map_or(0, |old| old.connections), count.connections),
            queries: seconds.per(old.map_or(0, |old| old.queries), count.queries),
        }
    };
    each_backend(after).map(rate).collect()
}

fn each_backend(stats: &Stats) -> impl Iterator<Item = (&str, &BackendCount)> {
    stats.services.iter().flat_map(|service| service.backends.iter().map(|count| (service.name.as_str(), count)))
}

fn tally(count: &OutcomeCount) -> Tally {
    Tally { packets: count.packets, bytes: count.bytes }
}

fn of_rule(line: &RuleLine) -> Tally {
    Tally { packets: line.packets, bytes: line.bytes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::types::ServiceCount, domain::BackendState};

    fn stats(at_ms: u64, packets: u64) -> Stats {
        let address = "10.0.0.11".parse().unwrap();
        let bytes = packets * 100;
        let backend = BackendCount {
            address,
            state: BackendState::Ready,
            weight: 100,
            packets,
            bytes,
            connections: packets / 10,
            queries: packets / 5,
            per_cpu: vec![],
        };
        Stats {
            at_ms,
            outcomes: vec![OutcomeCount {
                outcome: "forwarded".into(),
                action: "tx".into(),
                packets,
                bytes,
                per_cpu: vec![],
            }],
            rules: vec![RuleLine { id: 1, rule: "allow tcp/80".into(), packets, bytes, left: None, limited: None }],
            services: vec![ServiceCount {
                name: "web".into(),
                address,
                port: "tcp/80".into(),
                backends: vec![backend],
            }],
        }
    }

    #[test]
    fn rates_are_per_second_and_bits_are_eight_to_a_byte() {
        let rates = between(&stats(1_000, 100), &stats(3_000, 300));

        let right = Rate { packets: 100.0, bits: 80_000.0 };
        assert_eq!(rates.outcomes[0].rate, right);
        assert_eq!(rates.rules, [("allow tcp/80".to_owned(), right)]);
        let BackendRate { rate, connections, queries, .. } = rates.backends[0];
        assert_eq!((rate, connections, queries), (right, 10.0, 20.0));
    }

    #[test]
    fn counters_begun_anew_count_from_nothing() {
        let rates = between(&stats(1_000, 500), &stats(2_000, 50));

        assert_eq!(rates.outcomes[0].rate, Rate { packets: 50.0, bits: 40_000.0 });
    }

    #[test]
    fn what_appeared_meanwhile_counts_from_nothing() {
        let before = Stats { at_ms: 1_000, outcomes: vec![], rules: vec![], services: vec![] };

        let rates = between(&before, &stats(2_000, 50));

        assert_eq!(rates.backends[0].rate, Rate { packets: 50.0, bits: 40_000.0 });
    }

    #[test]
    fn two_readings_at_once_are_no_division_by_nothing() {
        assert!(between(&stats(1_000, 0), &stats(1_000, 1)).outcomes[0].rate.packets.is_finite());
    }
}
