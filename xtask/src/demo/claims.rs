//! What the demo promises to show, each with whether it held.

use crate::say;

#[derive(Default)]
pub struct Claims(Vec<(bool, String)>);

impl Claims {
    /// Notes and shows whether a claim holds, with the figures behind it.
    pub fn check(&mut self, holds: bool, claim: &str, figures: &str) {
        let figures = if figures.is_empty() { String::new() } else { format!("  {}", say::dim(figures.trim())) };
        say::mark(holds, &format!("{claim}{figures}"));
        self.0.push((holds, claim.to_owned()));
    }

    pub fn all_hold(&self) -> bool {
        self.0.iter().all(|(holds, _)| *holds)
    }

    pub fn summarize(&self) {
        for (holds, claim) in &self.0 {
            say::mark(*holds, claim);
        }
        let held = self.0.iter().filter(|(holds, _)| *holds).count();
        let verdict = format!("{held} of {} claims held", self.0.len());
        say::line(&format!("\n  {}", if self.all_hold() { say::green(&verdict) } else { say::red(&verdict) }));
    }
}
