//! The table that people read, and the same as JSON.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use serde_json::json;

use super::{LARGE, NOTED, SELDOM, SMALL, SNAT_SYNS, TRACKED_FLOOD, TRACKED_SYNS};

/// What a SYN of a new flow may cost in `snat`, of what its only flow costs.
const OF_ONE_FLOW: f64 = 1.3;
/// What a packet of a flow that is noted may cost, in F.
const NOTED_IN_F: f64 = 2.5;

/// Nanoseconds a packet.
pub struct Row {
    pub name: &'static str,
    pub v6: bool,
    pub empty: f64,
    pub foobar: f64,
}

impl Row {
    /// Net of the empty program.
    fn net(&self) -> f64 {
        self.foobar - self.empty
    }
}

#[derive(Default)]
pub struct Report {
    /// xdp-filter, net of the empty program.
    pub f: f64,
    /// Moving a frame's front and back, net likewise: the way back is the wrapper's, and in a tunnel's time too.
    pub moves: f64,
    /// Calling a function of a program's own, net likewise.
    pub call: f64,
    /// Asking the kernel for the coarse clock, net likewise.
    pub clock: f64,
    pub rows: Vec<Row>,
}

impl Report {
    pub fn print(&self) {
        println!("F = xdp-filter, all features, a TCP frame that passes: {:.1} ns, net of an empty program\n", self.f);
        println!("{:<32} {:>5} {:>8} {:>8} {:>8} {:>7}", "case", "", "empty", "foobar", "net ns", "net / F");
        for row in &self.rows {
            let family = if row.v6 { "IPv6" } else { "IPv4" };
            let share = row.net() / self.f;
            println!(
                "{:<32} {family:>5} {:>8.1} {:>8.1} {:>8.1} {share:>7.2}",
                row.name,
                row.empty,
                row.foobar,
                row.net()
            );
        }
        let (moves, share) = (self.moves, self.moves / self.f);
        println!("\nmoving a frame's front by 20 bytes, and back in the wrapper: {moves:.1} ns = {share:.2} F");
        println!("calling a function: {:.1} ns; asking for the coarse clock: {:.1} ns", self.call, self.clock);
        self.print_added("a set of 1,000 adds, half of the sources in it", SMALL, "no set, 1,000 sources");
        self.print_added("one of 200 in it", SELDOM, "no set, 100,000 sources");
        self.print_added("a set of 1,000,000 adds, half of the sources in it", LARGE, "no set, 100,000 sources");
        self.print_ratio("100,000 flows over 1 flow", "forwarded, 100,000 flows", "forwarded, 1 flow");
        self.print_ratio("10,000 rules over 10", "source and port, 10,000 rules", "source and port, 10 rules");
        self.print_ratio(
            "10,000 rules over 10, many flows",
            "the same of 10,000, 100,000 flows",
            "the same, 100,000 flows",
        );
        self.print_ratio(
            "SYNs over established, many flows",
            "forwarded, SYNs of new flows",
            "forwarded, 100,000 flows",
        );
        self.print_ratio("SYNs that are noted over flows that are", TRACKED_SYNS, NOTED[0]);
        self.print_ratio("SYNs without room for notes over flows that are noted", TRACKED_FLOOD, NOTED[0]);
        print_bound("snat, SYNs of new flows over 1 flow", "", OF_ONE_FLOW, self.ratios(SNAT_SYNS, "snat, 1 flow"));
        for name in NOTED {
            print_bound(name, " F", NOTED_IN_F, self.nets(name).map(|nets| nets.map(|net| net / self.f)));
        }
    }

    /// A case's net cost, for each family.
    fn nets(&self, name: &str) -> Option<[f64; 2]> {
        let net = |v6| self.rows.iter().find(|row| row.name == name && row.v6 == v6).map(Row::net);
        Some([net(false)?, net(true)?])
    }

    /// One case's net cost over another's, for each family.
    fn ratios(&self, above: &str, below: &str) -> Option<[f64; 2]> {
        let ([above4, above6], [below4, below6]) = (self.nets(above)?, self.nets(below)?);
        Some([above4 / below4, above6 / below6])
    }

    fn print_ratio(&self, title: &str, above: &str, below: &str) {
        if let Some([v4, v6]) = self.ratios(above, below) {
            println!("{title}: IPv4 {v4:.2}, IPv6 {v6:.2}");
        }
    }

    /// One case's net cost less another's, in nanoseconds and in F, for each family.
    fn print_added(&self, title: &str, above: &str, below: &str) {
        if let (Some([above4, above6]), Some([below4, below6])) = (self.nets(above), self.nets(below)) {
            let (v4, v6) = (above4 - below4, above6 - below6);
            println!("{title}: IPv4 {v4:.1} ns = {:.2} F, IPv6 {v6:.1} ns = {:.2} F", v4 / self.f, v6 / self.f);
        }
    }

    pub fn write(&self, path: &Path) -> Result<()> {
        let row = |row: &Row| {
            json!({
                "case": row.name, "family": if row.v6 { 6 } else { 4 }, "empty_ns": row.empty, "foobar_ns": row.foobar,
                "net_ns": row.net(), "net_f": row.net() / self.f,
            })
        };
        let text = json!({ "f_ns": self.f, "moves_ns": self.moves, "call_ns": self.call, "clock_ns": self.clock, "cases": self.rows.iter().map(row).collect::<Vec<_>>() });
        fs::write(path, format!("{text:#}\n")).with_context(|| format!("writing {}", path.display()))?;
        println!("\nwritten to {}", path.display());
        Ok(())
    }
}

/// What was found for each family, beside what is the most.
fn print_bound(title: &str, unit: &str, most: f64, found: Option<[f64; 2]>) {
    let Some([v4, v6]) = found else { return };
    let verdict = if v4.max(v6) <= most { "held" } else { "MISSED" };
    println!("{title}: IPv4 {v4:.2}{unit}, IPv6 {v6:.2}{unit}; at most {most}{unit}: {verdict}");
}
