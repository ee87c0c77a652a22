//! Every task of a developer and of CI: `cargo xtask setup | test | check | proofs | bench | kernels | demo`.
//!
//! Knows none of foobar's crates: it builds them and drives the binaries through their command lines.
#![forbid(unsafe_code)]

mod bench;
mod check;
mod demo;
mod failure;
mod kernels;
mod proofs;
mod say;
mod setup;
mod shell;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Every task of a developer and of CI", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Make sure of everything that building, testing and running foobar needs; install what is missing
    Setup,
    /// Run the unit, property, frame and traffic tests
    Test(test::Args),
    /// Check formatting, lints and the repository's own rules
    Check,
    /// Run the tests that show more the longer they run in their long forms
    Proofs(proofs::Args),
    /// Measure what packets and requests cost
    Bench(bench::Args),
    /// Load the programs and run their tests on other kernels, under QEMU
    Kernels(kernels::Args),
    /// Show foobar at work between namespaces of this machine
    Demo(demo::Args),
    /// Answer HTTP requests with a name
    #[command(name = "__respond", hide = true)]
    Respond(demo::respond::Args),
    /// Send HTTP requests and report how they went
    #[command(name = "__load", hide = true)]
    Load(demo::load::Args),
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(code) => code,
        Err(error) => failure::report(&error),
    }
}

fn run(task: Task) -> anyhow::Result<ExitCode> {
    match task {
        Task::Setup => setup::run(&setup::ALL).map(|()| ExitCode::SUCCESS),
        Task::Test(args) => test::run(&args),
        Task::Check => check::run(),
        Task::Proofs(args) => proofs::run(&args),
        Task::Bench(args) => bench::run(&args),
        Task::Kernels(args) => kernels::run(&args),
        Task::Demo(args) => demo::run(&args),
        Task::Respond(args) => demo::respond::run(&args).map(|()| ExitCode::SUCCESS),
        Task::Load(args) => demo::load::run(&args).map(|()| ExitCode::SUCCESS),
    }
}
