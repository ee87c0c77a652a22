//! `cargo xtask kernels`: the programs and their tests on Debian's kernels under QEMU, and on this machine's own.
//!
//! One row of a matrix per kernel. Nothing of the machine is touched: everything lies in the build directory.

mod build;
mod find;
mod guest;
mod image;
mod matrix;
mod verdict;

use std::{fs, process::ExitCode, time::Instant};

use anyhow::{Context, Result};

use self::{build::Tests, find::WANTED, verdict::Verdict};
use crate::{failure::hinted, say, setup};

#[derive(clap::Args)]
pub struct Args {
    /// Only this one: 6.1, 6.12, newest, running, …
    #[arg(long, value_name = "KERNEL")]
    only: Option<String>,
    /// Run all suites that can run there, not only the quick ones
    #[arg(long)]
    full: bool,
    /// Look for newer packages than those that are here
    #[arg(long)]
    fresh: bool,
}

/// The kernel that this task runs on.
const RUNNING: &str = "running";

pub fn run(args: &Args) -> Result<ExitCode> {
    let only = args.only.as_deref();
    refuse_unknown(only)?;
    if std::env::consts::ARCH != "x86_64" {
        return Err(hinted("the kernels are Debian's for amd64, and this is another machine", "use an amd64 one"));
    }
    setup::run(&[setup::Job::Kernels])?;
    let tests = build::build(args.full)?;
    let asked = |name: &str| only.is_none_or(|only| only == name);
    let mut rows = Vec::new();
    say::heading("Kernels");
    for wanted in WANTED.iter().filter(|wanted| asked(wanted.name)) {
        rows.push(step(wanted.name, || under_qemu(wanted, &tests, args.fresh)));
    }
    if asked(RUNNING) {
        rows.push(step(RUNNING, || guest::here(&tests)));
    }
    say::heading("Matrix");
    matrix::print(&rows);
    let all_hold = rows.iter().all(|(_, verdict)| verdict.holds());
    Ok(if all_hold { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn refuse_unknown(only: Option<&str>) -> Result<()> {
    let names: Vec<_> = WANTED.iter().map(|wanted| wanted.name).chain([RUNNING]).collect();
    match only {
        Some(only) if !names.contains(&only) => {
            Err(hinted(format!("there is no kernel `{only}` in the matrix"), format!("one of {}", names.join(", "))))
        }
        _ => Ok(()),
    }
}

/// One kernel, on a line that ends with how it went. What fails here is a row of the matrix too.
fn step(name: &str, run: impl FnOnce() -> Result<Verdict>) -> (String, Verdict) {
    say::part(&format!("  {name} … "));
    let start = Instant::now();
    let verdict = run().unwrap_or_else(|error| Verdict::broken(&format!("{error:#}")));
    let seconds = start.elapsed().as_secs();
    say::line(&format!(
        "{} in {seconds} s",
        if verdict.holds() { say::green("as it should") } else { say::red("not") }
    ));
    (name.to_owned(), verdict)
}

fn under_qemu(wanted: &find::Wanted, tests: &Tests, fresh: bool) -> Result<Verdict> {
    let directory = build::directory()?.join(wanted.name);
    fs::create_dir_all(&directory).with_context(|| format!("making {}", directory.display()))?;
    let kernel = find::kernel(wanted, &directory, fresh)?;
    say::part(&format!("{} … ", kernel.release));
    let initramfs = image::build(&kernel, tests, &directory)?;
    let mut verdict = guest::boot(&kernel, &initramfs, &directory)?;
    verdict.expect_refusal(wanted.refused);
    Ok(verdict)
}
