//! `cargo xtask demo`: foobar at work between namespaces of this machine, every claim checked, nothing left behind.

mod claims;
mod client;
mod counts;
mod foobar;
mod interrupt;
mod lab;
pub mod load;
mod process;
mod request;
pub mod respond;
mod stats;
mod story;
mod table;

use std::{
    path::PathBuf,
    process::{ExitCode, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use self::{interrupt::Interrupt, story::Story};
use crate::{say, setup, shell};

#[derive(clap::Args)]
pub struct Args {
    /// Leave everything standing, and print commands to play with
    #[arg(long)]
    keep: bool,
    /// Remove what an earlier `--keep` left, and do nothing else
    #[arg(long, conflicts_with = "keep")]
    clean: bool,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    if args.clean {
        let removed = lab::remove_left_behind()?;
        say::mark(true, &format!("demos removed: {removed}"));
        return Ok(ExitCode::SUCCESS);
    }
    setup::run(&[setup::Job::Demo])?;
    let binary = build()?;
    let start = Instant::now();
    let mut story = Story::begin(binary, args.keep, Interrupt::listen()?)?;
    let all_held = story.tell().map_err(|error| story.explain(error))?;
    story.end(start.elapsed())?;
    Ok(if all_held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Builds `foobar` and returns the file.
fn build() -> Result<PathBuf> {
    say::heading("Building foobar");
    let mut cargo = shell::cargo();
    cargo.args(["build", "--release", "--package", "foobar-userspace", "--bin", "foobar"]);
    cargo.arg("--message-format=json-render-diagnostics").stdout(Stdio::piped());
    let output = cargo.spawn().and_then(std::process::Child::wait_with_output).context("running cargo")?;
    if !output.status.success() {
        bail!("foobar does not build");
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let built = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let is_foobar = |message: &Value| message["target"]["name"] == "foobar" && message["executable"].is_string();
    let executable = built.filter(is_foobar).find_map(|message| Some(PathBuf::from(message["executable"].as_str()?)));
    let executable = executable.context("cargo names no file for the binary foobar")?;
    say::mark(true, &executable.display().to_string());
    Ok(executable)
}
