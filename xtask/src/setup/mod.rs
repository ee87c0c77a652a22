//! `cargo xtask setup`: makes sure of what building, testing and running foobar needs, and installs what is missing.
//!
//! One line per step. A second run finds everything and takes no time; a failure says what to do next.

pub mod debian;
mod linker;
mod machine;
mod packages;
mod rust_src;

use std::{env, time::Instant};

use anyhow::{Context, Result};

use crate::{say, shell};

/// What the things are needed for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Job {
    Build,
    Test,
    Bench,
    Demo,
    Kernels,
}

/// What `cargo xtask setup` makes sure of: all but an emulator, which only one task needs.
pub const ALL: [Job; 4] = [Job::Build, Job::Test, Job::Bench, Job::Demo];

/// Makes sure of everything that the jobs need.
pub fn run(jobs: &[Job]) -> Result<()> {
    say::heading("Setup");
    step("Linux", |_| machine::linux())?;
    if jobs.iter().any(|job| *job != Job::Build) {
        step("root", |_| machine::root())?;
        step("kernel types (BTF)", |_| machine::btf())?;
        step("bpffs", machine::bpffs)?;
    }
    if packages::wanted(jobs).next().is_some() {
        step("Debian packages", |progress| packages::ensure(progress, jobs))?;
    }
    step("rust-src", rust_src::ensure)?;
    let mut first_in_path = Vec::new();
    step("bpf-linker", |progress| {
        let (found, directory) = linker::ensure(progress)?;
        first_in_path.extend(directory);
        Ok(found)
    })?;
    shell::look_first_in(first_in_path);
    Ok(())
}

fn step(name: &str, ensure: impl FnOnce(&mut Progress) -> Result<String>) -> Result<()> {
    say::part(&format!("  {name} … "));
    let mut progress = Progress { installing_since: None };
    match ensure(&mut progress) {
        Ok(found) => {
            say::line(&progress.conclusion(&found));
            Ok(())
        }
        Err(error) => {
            say::line(&say::red("failed"));
            Err(error).with_context(|| format!("setup, {name}"))
        }
    }
}

/// The rest of a step's line.
struct Progress {
    installing_since: Option<Instant>,
}

impl Progress {
    /// Says what is being installed, once the step knows that it has to.
    fn installing(&mut self, what: &str) {
        self.installing_since.get_or_insert_with(Instant::now);
        say::part(&format!("installing {what} … "));
    }

    fn conclusion(&self, found: &str) -> String {
        match self.installing_since {
            None => format!("{} {}", say::green("found"), say::dim(found)),
            Some(since) => format!("{} in {} s", say::green("done"), since.elapsed().as_secs()),
        }
    }
}

/// Whether this shell runs as root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// How to come back as root with the same toolchain.
pub fn as_root_hint() -> String {
    let task: Vec<_> = env::args().skip(1).collect();
    format!("run `sudo -E env \"PATH=$PATH\" cargo xtask {}`", task.join(" "))
}
