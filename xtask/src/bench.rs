//! `cargo xtask bench`: the bench of the tests crate, with everything that it needs in place.

use std::{ffi::OsString, process::ExitCode};

use anyhow::Result;

use crate::{setup, shell};

#[derive(clap::Args)]
pub struct Args {
    /// Handed on to the bench; `-- --help` shows what it knows
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

pub fn run(Args { args }: &Args) -> Result<ExitCode> {
    setup::run(&[setup::Job::Bench])?;
    // Parts of the bench measure traffic, and so run foobar itself.
    let built = shell::loud(shell::cargo().args(["build", "--release", "--package", "foobar-tests", "--bins"]))?;
    if built != ExitCode::SUCCESS {
        return Ok(built);
    }
    let mut cargo = shell::cargo();
    cargo.args(["run", "--release", "--package", "foobar-tests", "--bin", "foobar-bench", "--"]).args(args);
    shell::loud(&mut cargo)
}
