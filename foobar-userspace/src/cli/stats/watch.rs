//! Rates as tables, redrawn on a terminal and one after the other elsewhere; or counters as JSON lines.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::read;
use crate::{
    api::{client::Client, types::Refusal},
    cli::{
        output,
        rates::{Rate, Rates, between},
        tables::{is_terminal, table, titled},
        text::rate,
    },
};

/// To the upper left, and away with what is below.
const REDRAW: &str = "\x1b[H\x1b[J";

/// Counters, one object a line.
pub async fn objects(client: &Client, period: Duration) -> Result<(), Refusal> {
    let mut looks = ticks(period);
    loop {
        looks.tick().await;
        output::json(&read(client).await?)?;
    }
}

/// Rates, one picture after the other.
pub async fn tables(client: &Client, period: Duration) -> Result<(), Refusal> {
    let mut looks = ticks(period);
    looks.tick().await;
    let mut before = read(client).await?;
    let start = if is_terminal() { REDRAW } else { "" };
    let end = if is_terminal() { "" } else { "\n" };
    loop {
        looks.tick().await;
        let after = read(client).await?;
        output::print_raw(&format!("{start}{}{end}", show(&between(&before, &after))))?;
        before = after;
    }
}

fn ticks(period: Duration) -> tokio::time::Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

fn show(rates: &Rates) -> String {
    let mut parts = vec![backends(rates), outcomes(rates), drops(rates), rules(rates)];
    parts.retain(|part| !part.is_empty());
    parts.join("\n")
}

fn backends(rates: &Rates) -> String {
    if rates.backends.is_empty() {
        return String::new();
    }
    let mut table = table(["SERVICE", "BACKEND", "PACKET/S", "BIT/S", "CONN/S", "QUERY/S"], &[2, 3, 4, 5]);
    for backend in &rates.backends {
        let Rate { packets, bits } = backend.rate;
        let words = [backend.service.clone(), backend.address.to_string()];
        table.add_row(words.into_iter().chain([packets, bits, backend.connections, backend.queries].map(rate)));
    }
    titled("backends", &table)
}

/// What left, by action: drops have a table of their own.
fn outcomes(rates: &Rates) -> String {
    named("outcomes", rates.outcomes.iter().filter(|each| each.action != "drop").map(|each| (&each.outcome, each.rate)))
}

fn drops(rates: &Rates) -> String {
    let dropped = rates.outcomes.iter().filter(|each| each.action == "drop" && each.rate.packets > 0.0);
    named("drops", dropped.map(|each| (&each.outcome, each.rate)))
}

fn rules(rates: &Rates) -> String {
    named("rules", rates.rules.iter().map(|(rule, rate)| (rule, *rate)))
}

fn named<'a>(title: &str, rows: impl Iterator<Item = (&'a String, Rate)>) -> String {
    let mut table = table(["", "PACKET/S", "BIT/S"], &[1, 2]);
    for (name, Rate { packets, bits }) in rows {
        table.add_row([name.clone(), rate(packets), rate(bits)]);
    }
    if table.is_empty() { String::new() } else { titled(title, &table) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::rates::{BackendRate, OutcomeRate};

    #[test]
    fn a_picture_shows_backends_outcomes_and_drops_by_reason() {
        let some = Rate { packets: 1500.0, bits: 12_000_000.0 };
        let outcome =
            |name: &str, action: &str, rate| OutcomeRate { outcome: name.into(), action: action.into(), rate };
        let rates = Rates {
            outcomes: vec![
                outcome("allowed", "pass", Rate::default()),
                outcome("denied", "drop", some),
                outcome("fragment_unknown", "drop", Rate::default()),
            ],
            rules: vec![],
            backends: vec![BackendRate {
                service: "web".into(),
                address: "10.0.0.11".parse().unwrap(),
                rate: some,
                connections: 12.0,
                queries: 340.0,
            }],
        };

        let text = show(&rates);

        for words in ["10.0.0.11", "1.50k", "12.0M", "340", "allowed", "drops", "denied"] {
            assert!(text.contains(words), "{words} is missing in\n{text}");
        }
        assert!(!text.contains("fragment"), "drops that do not happen are left out");
        assert!(!text.contains("rules"), "empty tables are left out");
    }
}
