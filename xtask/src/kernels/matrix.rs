//! The matrix: a line per kernel, and below it what went wrong there.

use super::verdict::Verdict;
use crate::say;

const COLUMNS: [&str; 7] =
    ["kernel", "release", "programs: verified instructions / stack", "tests", "XDP on veth", "way out", ""];

pub fn print(rows: &[(String, Verdict)]) {
    let lines: Vec<_> = rows.iter().map(|(name, verdict)| cells(name, verdict)).collect();
    let widths: Vec<_> = (0..COLUMNS.len()).map(|column| width(&lines, column)).collect();
    let line = |cells: &[String]| -> String {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    say::line(&say::bold(&format!("  {}", line(&COLUMNS.map(str::to_owned)))));
    for (cells, (_, verdict)) in lines.iter().zip(rows) {
        let text = format!("  {}", line(cells));
        say::line(&if verdict.holds() { text } else { say::red(&text) });
        for note in verdict.notes() {
            say::line(&say::dim(&format!("    {note}")));
        }
    }
}

fn cells(name: &str, verdict: &Verdict) -> [String; 7] {
    let program = |[name, verified, stack]: &[String; 3]| {
        let verified = verified.parse().map_or_else(|_| verified.clone(), say::grouped);
        format!("{name} {verified} / {stack}")
    };
    let programs: Vec<_> = verdict.programs.iter().map(program).collect();
    let tests = match (verdict.passed, verdict.failed) {
        (0, 0) => String::new(),
        (passed, 0) => format!("{passed} passed"),
        (passed, failed) => format!("{passed} passed, {failed} failed"),
    };
    let sign = if verdict.holds() { "✓" } else { "✗" };
    [
        name.to_owned(),
        verdict.release.clone(),
        programs.join(", "),
        tests,
        verdict.xdp.clone(),
        verdict.egress.clone(),
        sign.to_owned(),
    ]
}

fn width(lines: &[[String; 7]], column: usize) -> usize {
    let cells = lines.iter().map(|cells| cells[column].chars().count());
    cells.chain([COLUMNS[column].chars().count()]).max().unwrap_or(0)
}
