//! The demo's child processes: in groups of their own, so that Ctrl-C reaches only the demo, which then cleans up.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};

use crate::shell::shown;

/// Makes this process end when the demo that started it does, however that ends.
pub fn end_with_parent() -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).context("asking to end with the parent")
}

/// Starts a process in a group of its own.
pub fn start(command: &mut Command) -> Result<Child> {
    command.process_group(0).spawn().with_context(|| format!("cannot run `{}`", shown(command)))
}

/// Starts a process that says `ready` in its first line, and waits for that.
pub fn start_ready(command: &mut Command) -> Result<Child> {
    let mut child = start(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("no stdout")?).read_line(&mut line)?;
    ensure!(line.trim() == "ready", "`{}` did not start", shown(command));
    Ok(child)
}

/// Asks it to end, and after `patience` makes it.
pub fn stop(child: &mut Child, patience: Duration) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::TERM);
    }
    let deadline = Instant::now() + patience;
    while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(10));
    }
    kill(child);
}

/// `kill -9`.
pub fn kill(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// Ends the demo's own programs that still run: those inside its namespaces, and those told to use its directory.
pub fn kill_left_behind(namespaces: &[String], directory: &Path) {
    let inode = |path: &Path| fs::metadata(path).ok().map(|meta| meta.ino());
    let ours: Vec<_> = namespaces.iter().filter_map(|name| inode(&Path::new("/run/netns").join(name))).collect();
    let directory = format!("{}/", directory.display());
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let read = |file: &str| fs::read_to_string(entry.path().join(file)).unwrap_or_default();
        let is_inside = || inode(&entry.path().join("ns/net")).is_some_and(|found| ours.contains(&found));
        let pid = entry.file_name().to_string_lossy().parse().ok().and_then(Pid::from_raw);
        let (Some(pid), "xtask" | "foobar") = (pid, read("comm").trim()) else { continue };
        if is_inside() || read("cmdline").contains(&directory) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}
