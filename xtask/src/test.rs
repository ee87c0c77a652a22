//! `cargo xtask test`: every test there is, by cargo-nextest where it is installed, else by cargo.

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::{failure::hinted, say, setup, shell};

#[derive(clap::Args)]
pub struct Args {
    /// Only the unit and property tests, which need neither root nor namespaces
    #[arg(long)]
    host_only: bool,
    /// Only tests whose name contains this
    filter: Option<String>,
}

/// The crates whose tests run on any machine.
const HOST_CRATES: [&str; 3] = ["foobar-common", "foobar-userspace", "xtask"];
const ALL_CRATES: [&str; 4] = ["foobar-common", "foobar-userspace", "xtask", "foobar-tests"];

pub fn run(args: &Args) -> Result<ExitCode> {
    if !args.host_only && !setup::is_root() {
        let sentence = "the tests through the loaded program and through namespaces need root";
        let hint = format!("{}, or run `cargo xtask test --host-only` for the others", setup::as_root_hint());
        return Err(hinted(sentence, hint));
    }
    setup::run(&[if args.host_only { setup::Job::Build } else { setup::Job::Test }])?;
    let crates: &[&str] = if args.host_only { &HOST_CRATES } else { &ALL_CRATES };
    say::heading("Tests");
    shell::loud(&mut runner(crates, args.filter.as_deref()))
}

fn runner(crates: &[&str], filter: Option<&str>) -> Command {
    let mut cargo = shell::cargo();
    if shell::quiet(shell::cargo().args(["nextest", "--version"])).is_ok() {
        cargo.args(["nextest", "run", "--no-fail-fast"]);
    } else {
        cargo.args(["test", "--no-fail-fast"]);
    }
    cargo.args(crates.iter().flat_map(|name| ["--package", name])).args(filter);
    cargo
}
