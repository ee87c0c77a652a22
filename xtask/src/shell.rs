//! Running other programs: quietly with their words kept for the error, or loudly on the terminal.

use std::{
    env,
    ffi::OsStr,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Output, Stdio},
    sync::OnceLock,
};

use anyhow::{Context, Result, bail};

static FIRST_IN_PATH: OnceLock<Vec<PathBuf>> = OnceLock::new();

/// The workspace's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace's root")
}

/// Where cargo keeps what it installs.
pub fn cargo_home() -> Result<PathBuf> {
    let home = || env::var_os("HOME").map(|home| Path::new(&home).join(".cargo"));
    env::var_os("CARGO_HOME").map(PathBuf::from).or_else(home).context("neither CARGO_HOME nor HOME is set")
}

/// Makes every later [`cargo`] look into these directories before PATH. Only the first call counts.
pub fn look_first_in(directories: Vec<PathBuf>) {
    let _ = FIRST_IN_PATH.set(directories);
}

/// The cargo that runs this task, in the workspace's root.
pub fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    let first = FIRST_IN_PATH.get().map(Vec::as_slice).unwrap_or_default();
    let path = env::var_os("PATH").unwrap_or_default();
    if let Ok(joined) = env::join_paths(first.iter().cloned().chain(env::split_paths(&path))) {
        command.env("PATH", joined);
    }
    command
}

/// A program and its arguments.
pub fn program<A: AsRef<OsStr>>(name: &str, args: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(name);
    command.args(args);
    command
}

/// The file that `name` would run, if any.
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|directory| directory.join(name)).find(|file| file.is_file())
}

/// Runs it without a word and returns its stdout; a failure repeats the end of what it said.
pub fn quiet(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run `{}`", shown(command)))?;
    judged(command, &output)
}

/// Like [`quiet`], with `input` on stdin.
pub fn fed(command: &mut Command, input: &str) -> Result<String> {
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.with_context(|| format!("cannot run `{}`", shown(command)))?;
    child.stdin.take().context("no stdin")?.write_all(input.as_bytes())?;
    judged(command, &child.wait_with_output()?)
}

fn judged(command: &Command, output: &Output) -> Result<String> {
    if !output.status.success() {
        bail!("`{}` failed ({}): {}", shown(command), output.status, last_words(output));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn last_words(output: &Output) -> String {
    let said = if output.stderr.is_empty() { &output.stdout } else { &output.stderr };
    let said = String::from_utf8_lossy(said);
    let lines: Vec<_> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(5)..].join(" | ")
}

/// Runs it on this terminal; its exit status is ours.
pub fn loud(command: &mut Command) -> Result<ExitCode> {
    let status = command.status().with_context(|| format!("cannot run `{}`", shown(command)))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The command line, for people.
pub fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
