//! `cargo xtask proofs`: the tests that show more the longer they run, in their long forms.
//!
//! Each is one test, optimized, under the variables that make it long; it is told before it runs, and how long it took.

use std::{
    process::{Command, ExitCode},
    time::Instant,
};

use anyhow::Result;

use crate::{failure::hinted, say, setup, shell};

#[derive(clap::Args)]
pub struct Args {
    /// Only those whose name contains this
    filter: Option<String>,
}

/// A test in its long form.
struct Proof {
    name: &'static str,
    shows: &'static str,
    /// The variables that make it long, where it is not so by itself.
    size: &'static [(&'static str, &'static str)],
    /// What cargo is told to run.
    test: &'static [&'static str],
}

const PROOFS: [Proof; 8] = [
    Proof {
        name: "tables",
        shows: "10,000 random lists, with `on` and `for`, planned into tables that answer as the list read top to bottom",
        size: &[("PROPTEST_CASES", "10000")],
        test: &["--package", "foobar-userspace", "--lib", "the_tables_answer_as_the_list_read_top_to_bottom"],
    },
    Proof {
        name: "naive",
        shows: "2,000 random lists in the loaded program, 1,000 frames each",
        size: &[("FOOBAR_LISTS", "2000")],
        test: &["--package", "foobar-tests", "--test", "naive"],
    },
    Proof {
        name: "differential",
        shows: "10,000,000 frames to which the loaded program answers as the host",
        size: &[("FOOBAR_FRAMES", "10000000")],
        test: &["--package", "foobar-tests", "--test", "differential"],
    },
    Proof {
        name: "flips",
        shows: "1,000 changes under frames on two CPUs, none of which sees half of two lists",
        size: &[],
        test: &["--package", "foobar-tests", "--test", "flips"],
    },
    Proof {
        name: "kills",
        shows: "200 times `kill -9` at random moments while rules are published",
        size: &[("FOOBAR_KILLS", "200")],
        test: &["--package", "foobar-tests", "--test", "kills"],
    },
    Proof {
        name: "ways-live",
        shows: "2,000 connections in every way of forwarding and both families, of which only a dead backend's break",
        size: &[("FOOBAR_WAYS", "all")],
        test: &["--package", "foobar-tests", "--test", "live", "--", "--test-threads", "1"],
    },
    Proof {
        name: "ways-silence",
        shows: "the same of 1,000 silent ones, while backends change",
        size: &[("FOOBAR_WAYS", "all")],
        test: &["--package", "foobar-tests", "--test", "silence", "--", "--test-threads", "1"],
    },
    Proof {
        name: "ways-flood",
        shows: "the same of 1,000 under 5,000,000 SYNs and forged segments",
        size: &[("FOOBAR_WAYS", "all"), ("FOOBAR_SYNS", "5000000")],
        test: &["--package", "foobar-tests", "--test", "flood", "--", "--test-threads", "1"],
    },
];

impl Proof {
    fn command(&self) -> Command {
        let mut cargo = shell::cargo();
        cargo
            .args(["test", "--release"])
            .args(self.test)
            .args(self.behind())
            .arg("--nocapture")
            .envs(self.size.iter().copied());
        cargo
    }

    /// The command line as one would type it.
    fn shown(&self) -> String {
        let sizes = self.size.iter().map(|(variable, size)| format!("{variable}={size}"));
        let words = ["cargo test --release"].iter().chain(self.test).chain(self.behind()).chain(&["--nocapture"]);
        sizes.chain(words.map(ToString::to_string)).collect::<Vec<_>>().join(" ")
    }

    /// What comes before words for the tests themselves, if nothing for them stands there yet.
    fn behind(&self) -> &'static [&'static str] {
        if self.test.contains(&"--") { &[] } else { &["--"] }
    }
}

pub fn run(Args { filter }: &Args) -> Result<ExitCode> {
    let is_wanted = |proof: &&Proof| filter.as_ref().is_none_or(|part| proof.name.contains(part.as_str()));
    let wanted: Vec<_> = PROOFS.iter().filter(is_wanted).collect();
    if wanted.is_empty() {
        let names: Vec<_> = PROOFS.iter().map(|proof| proof.name).collect();
        return Err(hinted("no proof has that in its name", format!("there are: {}", names.join(", "))));
    }
    setup::run(&[setup::Job::Test])?;
    let mut told = Vec::new();
    for proof in wanted {
        say::heading(&format!("{}: {}", proof.name, proof.shows));
        say::line(&proof.shown());
        let start = Instant::now();
        let holds = shell::loud(&mut proof.command())? == ExitCode::SUCCESS;
        told.push((holds, format!("{}: {} ({} s)", proof.name, proof.shows, start.elapsed().as_secs())));
    }
    say::heading("Proofs");
    for (holds, line) in &told {
        say::mark(*holds, line);
    }
    Ok(if told.iter().all(|(holds, _)| *holds) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
