//! The live table: a line per backend with what the client sees and what foobar counts.
//!
//! Drawn in place on a terminal; elsewhere one plain line per second.

use std::time::{Duration, Instant};

use super::{
    counts::Counts,
    foobar::SERVICE_NAME,
    lab::BACKENDS,
    stats::{Backend, Stats},
};
use crate::say::{Canvas, bold, dim, green, grouped, line, on_terminal, red};

/// Rates are taken over at least this long.
const RATE_OVER: Duration = Duration::from_millis(900);

struct Sample {
    at: Instant,
    counts: Counts,
    stats: Option<Stats>,
}

/// One table, from the first time it is drawn to the last.
pub struct Table {
    start: Instant,
    canvas: Canvas,
    before: Option<Sample>,
    rows: Vec<Row>,
    /// What is going on, in a few words.
    pub caption: String,
}

#[derive(Default)]
struct Row {
    requests_per_second: u64,
    packets_per_second: Option<u64>,
}

impl Table {
    pub fn new(caption: &str) -> Self {
        let rows = BACKENDS.iter().map(|_| Row::default()).collect();
        Self { start: Instant::now(), canvas: Canvas::default(), before: None, rows, caption: caption.to_owned() }
    }

    /// Shows the latest figures. No stats means that no daemon answers.
    pub fn show(&mut self, counts: &Counts, stats: Option<&Stats>) {
        let sample = Sample { at: Instant::now(), counts: counts.clone(), stats: stats.cloned() };
        let has_new_rates = self.before.as_ref().is_some_and(|before| before.at.elapsed() >= RATE_OVER);
        if has_new_rates {
            self.take_rates(sample);
        } else {
            self.before.get_or_insert(sample);
        }
        self.draw(counts, stats, has_new_rates);
    }

    /// Shows the last figures, with rates however short it took.
    pub fn conclude(&mut self, counts: &Counts, stats: &Stats) {
        self.take_rates(Sample { at: Instant::now(), counts: counts.clone(), stats: Some(stats.clone()) });
        self.draw(counts, Some(stats), true);
    }

    fn draw(&mut self, counts: &Counts, stats: Option<&Stats>, has_new_rates: bool) {
        if on_terminal() {
            let lines = self.lines(counts, stats);
            self.canvas.draw(&lines);
        } else if has_new_rates {
            line(&self.plain(counts));
        }
    }

    /// Rates from the sample before to this one.
    fn take_rates(&mut self, now: Sample) {
        let Some(before) = self.before.take() else { return };
        let millis = now.at.duration_since(before.at).as_millis().max(1) as u64;
        let rate = |is: u64, was: u64| is.saturating_sub(was) * 1000 / millis;
        let packets = |sample: &Sample, name: &str| Some(seen(sample.stats.as_ref(), name)?.packets);
        let row = |name: &str| Row {
            requests_per_second: rate(now.counts.by(name), before.counts.by(name)),
            packets_per_second: packets(&now, name).zip(packets(&before, name)).map(|(is, was)| rate(is, was)),
        };
        self.rows = BACKENDS.iter().map(|(name, _)| row(name)).collect();
        self.before = Some(now);
    }

    fn lines(&self, counts: &Counts, stats: Option<&Stats>) -> Vec<String> {
        let header = format!(
            "  {:<8} {:<11} {:<9} {:>10} {:>10} {:>16}",
            "backend", "address", "state", "requests/s", "requests", "foobar packets/s"
        );
        let mut lines = vec![bold(&header)];
        for ((name, address), row) in BACKENDS.iter().zip(&self.rows) {
            let word = seen(stats, name).map_or("-".to_owned(), |backend| backend.state);
            let packets = row.packets_per_second.filter(|_| stats.is_some());
            let packets = packets.map_or("-".to_owned(), grouped);
            let (rate, total) = (grouped(row.requests_per_second), grouped(counts.by(name)));
            lines.push(format!("  {name:<8} {address:<11} {word:<9} {rate:>10} {total:>10} {packets:>16}"));
        }
        let failed = format!("failed {}", counts.failed());
        let failed = if counts.failed() == 0 { green(&failed) } else { red(&failed) };
        let slowest = counts.slowest.as_millis();
        lines.push(format!("  {failed} {}", dim(&format!("· slowest {slowest} ms · {}", self.caption))));
        lines
    }

    fn plain(&self, counts: &Counts) -> String {
        let rates =
            BACKENDS.iter().zip(&self.rows).map(|((name, _), row)| format!("{name} {}/s", row.requests_per_second));
        let rates = rates.collect::<Vec<_>>().join("  ");
        let elapsed = self.start.elapsed().as_secs_f32();
        format!("  {elapsed:>5.1} s  {rates}  failed {}  {}", counts.failed(), self.caption)
    }
}

fn seen(stats: Option<&Stats>, backend: &str) -> Option<Backend> {
    stats?.backend(SERVICE_NAME, &super::foobar::address_of(backend).to_string())
}
