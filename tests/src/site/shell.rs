//! Other programs: run to their end with what they said, or kept beside the test and ended with it.

use std::{
    io::Write,
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

const LOOK_EVERY: Duration = Duration::from_millis(5);

/// How a command ended, and what it said.
#[derive(Debug)]
pub struct Said {
    /// The command itself, for messages.
    pub line: String,
    /// Absent where a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    pub(super) fn of(line: String, output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { line, code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// What it printed; panics unless it was done.
    pub fn done(self) -> String {
        assert_eq!(self.code, Some(0), "`{}` was not done: {}", self.line, self.stderr);
        self.stdout
    }

    /// The sentence and the hint; panics unless it exits with 1 and says exactly one of each.
    pub fn refused(self) -> (String, String) {
        assert_eq!(self.code, Some(1), "`{}` was not refused: {}{}", self.line, self.stdout, self.stderr);
        let find = |start| self.stderr.lines().filter_map(|line| line.strip_prefix(start)).collect::<Vec<_>>();
        let (errors, hints) = (find("error: "), find("hint: "));
        assert_eq!((errors.len(), hints.len()), (1, 1), "`{}`: one sentence, one hint: {}", self.line, self.stderr);
        (errors[0].to_owned(), hints[0].to_owned())
    }
}

/// A process beside the test, killed when this is dropped, or when the test is killed.
#[derive(Debug)]
pub struct Beside(Child);

impl Beside {
    /// Starts `program` inside a network namespace that is open at `netns`, or in this one.
    pub fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap_or_else(|error| panic!("cannot run `{}`: {error}", shown(command))))
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    pub fn has_ended(&mut self) -> bool {
        !matches!(self.0.try_wait(), Ok(None))
    }

    /// Sends a signal and waits until it has ended; panics after `patience`.
    pub fn end(mut self, signal: Signal, patience: Duration) {
        self.signal(signal);
        wait_until("a process to end", patience, || self.has_ended());
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw).expect("a process id");
        // Where it has ended by itself there is nobody to tell.
        let _ = kill_process(pid, signal);
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A command that ends with this thread, whatever ends that.
pub fn mortal(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program).stdin(Stdio::null());
    command
}

/// Like [`mortal`], inside a network namespace only: `/sys` and the files stay the host's.
pub fn mortal_inside(netns: &Path, program: &str) -> Command {
    let mut command = mortal("nsenter");
    command.arg(format!("--net={}", netns.display())).arg(program);
    command
}

/// Runs it to its end and returns what it printed; panics with what it said if it fails.
pub fn quiet(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("cannot run `{}`: {error}", shown(command)));
    Said::of(shown(command), &output).done()
}

/// The same with something on its standard input.
pub fn fed(command: &mut Command, input: &str) {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap_or_else(|error| panic!("cannot run `{}`: {error}", shown(command)));
    // A command that ended early says why by itself.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("its output");
    Said::of(format!("{} <<< {input:?}", shown(command)), &output).done();
}

/// Waits until something holds; panics after `patience`, naming it.
pub fn wait_until(what: &str, patience: Duration, mut holds: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < patience, "waited {patience:?} for {what}");
        thread::sleep(LOOK_EVERY);
    }
    start.elapsed()
}

/// A command as it is typed.
pub fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
