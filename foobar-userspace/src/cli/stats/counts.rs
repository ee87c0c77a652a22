//! All counters as tables: what happened, not what might have.

use comfy_table::{Cell, Table};

use crate::{
    api::types::{OutcomeCount, ServiceCount, Stats},
    cli::{
        rules,
        status::state,
        tables::{lines, table, titled},
        text::count,
    },
};

/// Outcomes that happened, rules and backends.
pub fn show(stats: &Stats, per_cpu: bool) -> String {
    let mut parts = vec![if per_cpu { cpus(&stats.outcomes) } else { titled("outcomes", &outcomes(&stats.outcomes)) }];
    if stats.sent.iter().any(|count| count.packets > 0) {
        parts.push(titled("outcomes of what this host sends", &outcomes(&stats.sent)));
    }
    if !stats.rules.is_empty() {
        parts.push(format!("rules\n{}\n", rules::show(&stats.rules)));
    }
    if !stats.services.is_empty() {
        parts.push(titled("services", &services(&stats.services)));
        if per_cpu {
            parts.push(titled("services by CPU", &services_by_cpu(&stats.services)));
        }
    }
    parts.join("\n")
}

fn outcomes(outcomes: &[OutcomeCount]) -> Table {
    let mut table = table(["OUTCOME", "ACTION", "PACKETS", "BYTES"], &[2, 3]);
    for OutcomeCount { outcome, action, packets, bytes, per_cpu: _ } in happened(outcomes) {
        table.add_row([outcome.clone(), action.clone(), count(*packets), count(*bytes)]);
    }
    let total = |of: fn(&OutcomeCount) -> u64| count(outcomes.iter().map(of).sum());
    table.add_row(["all".to_owned(), String::new(), total(|count| count.packets), total(|count| count.bytes)]);
    table
}

fn cpus(outcomes: &[OutcomeCount]) -> String {
    let mut table = table(["OUTCOME", "CPU", "PACKETS", "BYTES"], &[1, 2, 3]);
    for OutcomeCount { outcome, per_cpu, .. } in happened(outcomes) {
        for (cpu, tally) in per_cpu.iter().enumerate().filter(|(_, tally)| tally.packets > 0) {
            table.add_row([outcome.clone(), cpu.to_string(), count(tally.packets), count(tally.bytes)]);
        }
    }
    format!("outcomes by CPU\n{}\n", lines(&table))
}

fn happened(outcomes: &[OutcomeCount]) -> impl Iterator<Item = &OutcomeCount> {
    outcomes.iter().filter(|count| count.packets > 0)
}

fn services(services: &[ServiceCount]) -> Table {
    let headings = ["SERVICE", "ADDRESS", "PORT", "BACKEND", "STATE", "PACKETS", "BYTES", "CONNECTIONS", "QUERIES"];
    let mut table = table(headings, &[5, 6, 7, 8]);
    for ServiceCount { name, address, port, backends } in services {
        for backend in backends {
            let numbers = [backend.packets, backend.bytes, backend.connections, backend.queries];
            let own = [Cell::new(name), Cell::new(address), Cell::new(port)];
            let words = own.into_iter().chain([Cell::new(backend.address), state(backend.state)]);
            table.add_row(words.chain(numbers.map(|number| Cell::new(count(number)))));
        }
    }
    table
}

fn services_by_cpu(services: &[ServiceCount]) -> Table {
    let headings = ["SERVICE", "BACKEND", "CPU", "PACKETS", "BYTES", "CONNECTIONS", "QUERIES"];
    let mut table = table(headings, &[2, 3, 4, 5, 6]);
    for ServiceCount { name, backends, .. } in services {
        for backend in backends {
            for (cpu, tally) in backend.per_cpu.iter().enumerate().filter(|(_, tally)| tally.packets > 0) {
                let numbers = [tally.packets, tally.bytes, tally.connections, tally.queries].map(count);
                let words = [name.clone(), backend.address.to_string(), cpu.to_string()];
                table.add_row(words.into_iter().chain(numbers));
            }
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::types::Tally;

    fn outcome(name: &str, packets: u64) -> OutcomeCount {
        let per_cpu = vec![Tally { packets, bytes: packets * 60 }, Tally::default()];
        OutcomeCount { outcome: name.into(), action: "pass".into(), packets, bytes: packets * 60, per_cpu }
    }

    #[test]
    fn what_never_happened_is_left_out_and_the_sum_is_not() {
        let outcomes = [outcome("allowed", 1000), outcome("denied", 0), outcome("not_ip", 1)];

        let text = lines(&super::outcomes(&outcomes));

        assert!(!text.contains("denied"), "{text}");
        assert!(text.contains("1 001") && text.contains("60 060"), "{text}");
    }

    #[test]
    fn cpus_that_saw_nothing_are_left_out() {
        assert_eq!(cpus(&[outcome("allowed", 5)]).matches("allowed").count(), 1);
    }
}
