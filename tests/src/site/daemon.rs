//! The real `foobar`: its daemon beside the test, and its command line as the way of talking to it.

use std::{
    env, fs,
    fs::File,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use rustix::process::Signal;

use super::{
    names::Names,
    shell::{Beside, Said, mortal, shown, wait_until},
};

const START_PATIENCE: Duration = Duration::from_mins(5);
const STOP_PATIENCE: Duration = Duration::from_secs(15);
/// No command may take longer, in seconds.
const COMMAND_PATIENCE: &str = "60";

/// One instance of foobar: its places, and its daemon while that runs.
#[derive(Debug)]
pub struct Foobar {
    pub binary: PathBuf,
    pub directory: PathBuf,
    pub pins: PathBuf,
    pub netns: String,
    /// Given to `foobar run -c` where it is set.
    pub config: Option<PathBuf>,
    daemon: Option<Beside>,
}

impl Foobar {
    /// The balancer's.
    pub fn new(names: &Names) -> Self {
        Self {
            binary: binary(),
            directory: names.directory(),
            pins: names.pin_parent().join("pins"),
            netns: names.namespace("lb"),
            config: None,
            daemon: None,
        }
    }

    /// One of another host, beside the balancer's.
    pub fn of(names: &Names, host: &str) -> Self {
        let directory = names.directory().join(host);
        fs::create_dir(&directory).expect("a directory for a host's foobar");
        Self { directory, pins: names.pin_parent().join(host), netns: names.namespace(host), ..Self::new(names) }
    }

    pub fn socket(&self) -> PathBuf {
        self.directory.join("foobar.sock")
    }

    pub fn state(&self) -> PathBuf {
        self.directory.join("state")
    }

    /// Writes the configuration file that the next start takes.
    pub fn configure(&mut self, text: &str) {
        let path = self.directory.join("foobar.toml");
        fs::write(&path, text).expect("the configuration is written");
        self.config = Some(path);
    }

    /// Starts the daemon and waits until it answers.
    pub fn start(&mut self) {
        let log = File::options().create(true).append(true).open(self.log()).expect("the daemon's log");
        let mut command = mortal(&self.binary);
        command.args(self.run_args()).stdout(log.try_clone().expect("a log")).stderr(log);
        let mut daemon = Beside::start(&mut command);
        wait_until("the daemon to answer", START_PATIENCE, || {
            assert!(!daemon.has_ended(), "`foobar run` ended: {}", self.last_words());
            self.ask(&["status"]).code == Some(0)
        });
        self.daemon = Some(daemon);
    }

    /// The words of `foobar run` for this instance.
    pub fn run_args(&self) -> Vec<String> {
        let text = |path: &Path| path.display().to_string();
        let mut args = vec!["run".to_owned(), "--netns".to_owned(), self.netns.clone()];
        args.extend(["--pin-dir".to_owned(), text(&self.pins), "--state".to_owned(), text(&self.state())]);
        args.extend(["--socket".to_owned(), text(&self.socket())]);
        args.extend(self.config.iter().flat_map(|path| ["-c".to_owned(), text(path)]));
        args
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.end(Signal::KILL);
    }

    /// SIGTERM.
    pub fn stop(&mut self) {
        self.end(Signal::TERM);
    }

    fn end(&mut self, signal: Signal) {
        self.daemon.take().expect("a daemon runs").end(signal, STOP_PATIENCE);
    }

    pub fn process(&self) -> u32 {
        self.daemon.as_ref().expect("a daemon runs").id()
    }

    /// Runs a command of the CLI to its end.
    pub fn ask(&self, args: &[&str]) -> Said {
        said(&mut self.command(args))
    }

    /// A command of the CLI.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--signal=KILL", COMMAND_PATIENCE]).arg(&self.binary).args(args);
        command.stdin(Stdio::null()).env("FOOBAR_SOCKET", self.socket()).env("NO_COLOR", "1");
        command
    }

    /// The end of the daemon's log.
    pub fn last_words(&self) -> String {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(25)..].join("\n")
    }

    fn log(&self) -> PathBuf {
        self.directory.join("foobar.log")
    }
}

/// Runs a command to its end, whatever that is.
pub fn said(command: &mut Command) -> Said {
    let output = command.output().unwrap_or_else(|error| panic!("cannot run `{}`: {error}", shown(command)));
    Said::of(shown(command), &output)
}

/// `FOOBAR_BIN` if it is set, else the one that was built with the tests.
fn binary() -> PathBuf {
    if let Some(binary) = env::var_os("FOOBAR_BIN") {
        return PathBuf::from(binary);
    }
    let this = env::current_exe().expect("the test's own file");
    let binary = this.ancestors().skip(1).take(2).map(|dir| dir.join("foobar-under-test")).find(|file| file.exists());
    binary.unwrap_or_else(|| {
        panic!(
            "there is no foobar-under-test beside {}\nhint: `cargo build -p foobar-tests`, or set FOOBAR_BIN",
            this.display()
        )
    })
}
