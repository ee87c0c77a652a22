//! `cargo xtask check`: what can be judged without running anything. Needs no BPF toolchain.

mod tidy;

use std::process::ExitCode;

use anyhow::Result;

use crate::{say, shell};

const STEPS: [(&str, &[&str]); 2] = [
    ("Formatting", &["fmt", "--all", "--check"]),
    ("Lints", &["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]),
];

pub fn run() -> Result<ExitCode> {
    let mut all_hold = true;
    for (name, args) in STEPS {
        say::heading(name);
        let holds = shell::loud(shell::cargo().args(args))? == ExitCode::SUCCESS;
        say::mark(holds, &format!("cargo {}", args.join(" ")));
        all_hold &= holds;
    }
    say::heading("The repository's own rules");
    let offences = tidy::offences(shell::root())?;
    for offence in &offences {
        say::mark(false, offence);
    }
    if offences.is_empty() {
        say::mark(true, "tidy");
    }
    Ok(if all_hold && offences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
