//! Builds the tests and says where their files are, as cargo names them.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{say, shell};

/// What runs on every kernel: what it says of the programs, each outcome, random frames beside the host's answers, and what
/// every way of forwarding makes of a frame.
const SUITES: [&str; 5] = ["kernel", "outcomes", "differential", "modes", "rewrites"];
/// Each frame takes its time under an emulator, so these only where all are asked for.
const MORE: [&str; 8] =
    ["essential", "explain", "rules", "odd_frames", "tracked", "permissive", "traffic", "traffic_replies"];
/// The daemon and command line that the tests drive.
pub const FOOBAR: &str = "foobar-under-test";

/// Files by name: each suite, and [`FOOBAR`].
pub struct Tests(pub Vec<(String, PathBuf)>);

impl Tests {
    pub fn suites(&self) -> impl Iterator<Item = &(String, PathBuf)> {
        self.0.iter().filter(|(name, _)| name != FOOBAR)
    }
}

/// Where kernels and images are kept: in cargo's own build directory.
pub fn directory() -> Result<PathBuf> {
    let metadata = shell::quiet(shell::cargo().args(["metadata", "--format-version=1", "--no-deps"]))?;
    let metadata: Value = serde_json::from_str(&metadata).context("reading cargo's metadata")?;
    let target = metadata["target_directory"].as_str().context("cargo names no build directory")?;
    Ok(Path::new(target).join("kernels"))
}

/// Builds what runs on every kernel, or all that can.
pub fn build(full: bool) -> Result<Tests> {
    let more = if full { &MORE[..] } else { &[] };
    let suites: Vec<_> = SUITES.iter().chain(more).copied().collect();
    say::heading("Building the tests");
    let mut cargo = shell::cargo();
    cargo.args(["test", "--no-run", "--package", "foobar-tests", "--bin", FOOBAR]);
    cargo.args(suites.iter().flat_map(|suite| ["--test", suite]));
    cargo.arg("--message-format=json-render-diagnostics").stdout(Stdio::piped());
    let output = cargo.spawn().and_then(std::process::Child::wait_with_output).context("running cargo")?;
    if !output.status.success() {
        bail!("the tests do not build");
    }
    let tests = files(&String::from_utf8_lossy(&output.stdout), &suites)?;
    say::mark(true, &format!("{} files", tests.0.len()));
    Ok(tests)
}

fn files(messages: &str, suites: &[&str]) -> Result<Tests> {
    let messages: Vec<_> = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).collect();
    let find = |name: &str, is_test: bool| {
        let is_it = |message: &&Value| {
            message["target"]["name"] == name
                && message["profile"]["test"] == is_test
                && message["executable"].is_string()
        };
        let file = messages.iter().find(is_it).and_then(|message| message["executable"].as_str());
        file.map(|file| (name.to_owned(), PathBuf::from(file)))
            .with_context(|| format!("cargo names no file for {name}"))
    };
    let suites = suites.iter().map(|suite| find(suite, true));
    suites.chain([find(FOOBAR, false)]).collect::<Result<_>>().map(Tests)
}
