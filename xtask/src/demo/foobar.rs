//! The real `foobar`: its daemon as a child, and its command line as the only way of talking to it.

use std::{
    fs::{self, File},
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

use super::{
    interrupt::Interrupt,
    lab::{BACKENDS, INTRUDER, Names, SERVICE},
    process,
    stats::Stats,
};
use crate::{failure::hinted, say, shell};

pub const SERVICE_NAME: &str = "web";
const START_PATIENCE: Duration = Duration::from_secs(15);
const STOP_PATIENCE: Duration = Duration::from_secs(3);
/// No command of the CLI may take longer, in seconds.
const COMMAND_PATIENCE: &str = "15";

/// The daemon of one demo.
pub struct Foobar {
    pub binary: PathBuf,
    directory: PathBuf,
    pins: PathBuf,
    namespace: String,
    daemon: Option<Child>,
    stays: bool,
}

impl Foobar {
    pub fn new(binary: PathBuf, names: &Names) -> Self {
        let (directory, pins, namespace) = (names.directory(), names.pins(), names.namespace("lb"));
        Self { binary, directory, pins, namespace, daemon: None, stays: false }
    }

    pub fn socket(&self) -> PathBuf {
        self.directory.join("foobar.sock")
    }

    fn log(&self) -> PathBuf {
        self.directory.join("foobar.log")
    }

    /// Writes the configuration file and returns its text.
    pub fn configure(&self) -> Result<String> {
        let text = configuration();
        fs::write(self.directory.join("foobar.toml"), &text).context("writing the configuration")?;
        Ok(text)
    }

    /// Starts the daemon and waits until it answers.
    pub fn start(&mut self, interrupt: &Interrupt) -> Result<()> {
        let at = |file: &str| self.directory.join(file);
        let log = File::options().create(true).append(true).open(self.log()).context("opening the daemon's log")?;
        let mut command = Command::new(&self.binary);
        command.arg("run").arg("-c").arg(at("foobar.toml")).args(["--netns", &self.namespace]);
        command.arg("--pin-dir").arg(&self.pins).arg("--socket").arg(self.socket()).arg("--state").arg(at("state"));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let daemon = self.daemon.insert(process::start(&mut command)?);
        let deadline = Instant::now() + START_PATIENCE;
        loop {
            if daemon.try_wait()?.is_some() {
                bail!("`foobar run` ended at once: {}", last_lines(&self.directory.join("foobar.log")));
            }
            if ask(&self.binary, &self.directory.join("foobar.sock"), &["status"]).is_ok() {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("the daemon does not answer: {}", last_lines(&self.directory.join("foobar.log")));
            }
            interrupt.pause(Duration::from_millis(50))?;
        }
    }

    /// Waits until every backend's next hop is known, so that the first packet finds its way.
    pub fn wait_for_next_hops(&self, interrupt: &Interrupt) -> Result<()> {
        let deadline = Instant::now() + START_PATIENCE;
        while !has_next_hops(&self.status()?) {
            if Instant::now() > deadline {
                let hint = format!("ask `{}`", shell::shown(&self.command(&["status"])));
                return Err(hinted("foobar does not find the way to every backend", hint));
            }
            interrupt.pause(Duration::from_millis(50))?;
        }
        Ok(())
    }

    /// Shows a command, runs it and returns what it printed.
    pub fn tell(&self, args: &[&str]) -> Result<String> {
        say::line(&say::dim(&format!("  $ foobar {}", args.join(" "))));
        self.ask(args)
    }

    pub fn status(&self) -> Result<Value> {
        serde_json::from_str(&self.ask(&["--json", "status"])?).context("reading `foobar status --json`")
    }

    pub fn stats(&self) -> Result<Stats> {
        Stats::read(&self.ask(&["--json", "stats"])?)
    }

    fn ask(&self, args: &[&str]) -> Result<String> {
        ask(&self.binary, &self.socket(), args)
    }

    fn command(&self, args: &[&str]) -> Command {
        command(&self.binary, &self.socket(), args)
    }

    /// `kill -9`.
    pub fn kill(&mut self) -> Result<u32> {
        let mut daemon = self.daemon.take().ok_or_else(|| anyhow!("no daemon runs"))?;
        process::kill(&mut daemon);
        Ok(daemon.id())
    }

    /// Leaves the daemon running when this is dropped.
    pub fn stay(&mut self) {
        self.stays = true;
    }

    /// Takes the program off the interface, by the way that also works when no daemon runs.
    pub fn detach(&self) -> Result<()> {
        self.ask(&["detach", "--pin-dir", &self.pins.to_string_lossy()]).map(drop)
    }

    /// The end of the daemon's log, for a report of what went wrong.
    pub fn last_words(&self) -> String {
        last_lines(&self.log())
    }
}

impl Drop for Foobar {
    fn drop(&mut self) {
        if self.stays {
            return;
        }
        if let Some(mut daemon) = self.daemon.take() {
            let _ = self.detach();
            process::stop(&mut daemon, STOP_PATIENCE);
        }
    }
}

fn command(binary: &Path, socket: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", COMMAND_PATIENCE]).arg(binary).arg("--socket").arg(socket).args(args);
    command
}

fn ask(binary: &Path, socket: &Path, args: &[&str]) -> Result<String> {
    shell::quiet(&mut command(binary, socket, args))
}

fn has_next_hops(status: &Value) -> bool {
    let services = status["services"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut backends = services.iter().filter_map(|service| service["backends"].as_array()).flatten().peekable();
    backends.peek().is_some() && backends.all(|backend| !backend["next_hop"].is_null())
}

fn configuration() -> String {
    let lines = BACKENDS[..3].iter().map(|(_, address)| format!("  {{ address = \"{address}\" }},"));
    let backends = lines.collect::<Vec<_>>().join("\n");
    format!(
        r#"[firewall]
default = "drop"
rules = [
  "deny from {INTRUDER} as intruder",
  "allow icmp/echo-request",
]

[[service]]
name = "{SERVICE_NAME}"
address = "{SERVICE}"
ports = "tcp/80"
forward = "dsr"
backends = [
{backends}
]
"#
    )
}

fn last_lines(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n    ")
}

/// The address of a backend by its name.
pub fn address_of(backend: &str) -> Ipv4Addr {
    BACKENDS.iter().find(|(name, _)| *name == backend).map_or(Ipv4Addr::UNSPECIFIED, |(_, address)| *address)
}
