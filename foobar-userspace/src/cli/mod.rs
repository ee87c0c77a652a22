//! The command line: what can be said, and where it goes. Data on stdout, talk on stderr.
//!
//! Exit codes: 0 done, 1 refused (also what clap does not understand), 2 broken.

mod apply;
mod attach;
mod backend;
mod caller;
mod check;
mod diff;
mod exit;
mod explain;
mod output;
mod rates;
mod rules;
mod run;
mod safety;
mod service;
mod set;
mod stats;
mod status;
mod tables;
mod text;
mod watch;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use crate::api::{client::Client, types::Refusal};

const AFTER_HELP: &str = "\
Begin with:
  foobar run                     the daemon, in the foreground
  foobar attach eth0             filter and balance what comes in on eth0
  foobar allow tcp/22            then, rule by rule, what may come in
  foobar stats --watch           and what does";

/// An eBPF/XDP firewall and packet-level load balancer.
#[derive(Debug, Parser)]
#[command(name = "foobar", version, after_help = AFTER_HELP, disable_help_subcommand = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What every command takes.
#[derive(Args, Debug)]
struct Global {
    /// The daemon's socket
    #[arg(long, global = true, value_name = "PATH", env = "FOOBAR_SOCKET", default_value = "/run/foobar/foobar.sock")]
    socket: PathBuf,
    /// Print JSON, where something is printed
    #[arg(long, global = true)]
    json: bool,
}

impl Global {
    fn client(&self) -> Client {
        Client::new(&self.socket)
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon, in the foreground
    Run(run::Run),
    /// Attach to an interface
    Attach(attach::Attach),
    /// Detach from an interface, or from all: the only thing that stops the filtering and balancing
    Detach(attach::Detach),
    /// Check a configuration file
    Check(check::Check),
    /// Replace the running configuration by a file's
    Apply(apply::Apply),
    /// Keep the change that waits for confirmation
    Confirm,
    /// Undo the change that waits for confirmation
    Rollback,
    /// Show what runs and is not in the file that it came from
    Diff(diff::Diff),
    /// Write what runs into the file that it came from; comments are kept
    Save(diff::Save),
    /// Allow what a rule matches, behind the other rules
    Allow(rules::Allow),
    /// Deny what a rule matches, before the other rules
    Deny(rules::Deny),
    /// List the rules in their order
    Rules,
    /// Change a rule
    #[command(subcommand)]
    Rule(rules::Rule),
    /// Change named sets of prefixes, which rules name as `@NAME`
    #[command(subcommand)]
    Set(set::Set),
    /// Add, remove or list services
    #[command(subcommand)]
    Service(service::Service),
    /// Add, remove, drain or weigh a service's backends
    #[command(subcommand)]
    Backend(backend::Backend),
    /// Say what would become of a packet, and why
    Explain(explain::Explain),
    /// Show what is attached and served
    Status,
    /// Show what was counted
    Stats(stats::Stats),
    /// Show packets that are dropped, as they come, and those of rules with `log`
    Watch(watch::Watch),
}

/// Reads the command line, does what it says, and says how that went.
pub fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => exit::report(dispatch(cli)),
        Err(error) => exit::usage(&error),
    }
}

fn dispatch(cli: Cli) -> Result<(), Refusal> {
    let global = &cli.global;
    let Some(command) = cli.command else { return talk(status::welcome(global)) };
    match command {
        Command::Run(run) => run.run(global),
        Command::Check(check) => check.run(global),
        Command::Attach(attach) => talk(attach.run(global)),
        Command::Detach(detach) => talk(detach.run(global)),
        Command::Apply(apply) => talk(apply.run(global)),
        Command::Diff(diff) => talk(diff.run(global)),
        Command::Save(save) => talk(save.run(global)),
        Command::Confirm => talk(apply::confirm(global)),
        Command::Rollback => talk(apply::roll_back(global)),
        Command::Allow(allow) => talk(allow.run(global)),
        Command::Deny(deny) => talk(deny.run(global)),
        Command::Rules => talk(rules::list(global)),
        Command::Rule(rule) => talk(rule.run(global)),
        Command::Set(set) => talk(set.run(global)),
        Command::Service(service) => talk(service.run(global)),
        Command::Backend(backend) => talk(backend.run(global)),
        Command::Explain(explain) => talk(explain.run(global)),
        Command::Status => talk(status::run(global)),
        Command::Stats(stats) => talk(stats.run(global)),
        Command::Watch(watch) => talk(watch.run(global)),
    }
}

/// Runs a conversation with the daemon.
fn talk(conversation: impl Future<Output = Result<(), Refusal>>) -> Result<(), Refusal> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Refusal::broken(format!("cannot start: {error}")))?.block_on(conversation)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_options_stand_anywhere() {
        for line in [["foobar", "--json", "--socket=/x", "rules"], ["foobar", "rules", "--socket=/x", "--json"]] {
            let cli = Cli::try_parse_from(line).unwrap();
            assert!(cli.global.json, "{line:?}");
            assert_eq!(cli.global.socket, PathBuf::from("/x"));
        }
    }

    #[test]
    fn foobar_alone_is_a_command() {
        assert!(Cli::try_parse_from(["foobar"]).unwrap().command.is_none());
    }
}
