//! Runs the tests: on a kernel under QEMU, or here. Either way what they print is the result.
//!
//! QEMU says success also when the guest's first process dies, so only its last line counts.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use super::{build::Tests, find::Kernel, image, verdict::Verdict};
use crate::shell;

/// What one kernel may take.
const PATIENCE: Duration = Duration::from_mins(30);
const LOOK_EVERY: Duration = Duration::from_millis(200);
const MEMORY_MB: u64 = 2048;

/// Boots the kernel with the archive and returns what it printed.
pub fn boot(kernel: &Kernel, initramfs: &Path, directory: &Path) -> Result<Verdict> {
    let (console, result) = (directory.join("console.log"), directory.join("result.log"));
    for log in [&console, &result] {
        let _ = fs::remove_file(log);
    }
    // The archive lies in memory twice while it is unpacked.
    let memory = MEMORY_MB + image::size(initramfs)? * 2 / 1_000_000;
    // QEMU ends with this task, whatever ends that.
    let mut qemu = shell::program("setpriv", ["--pdeathsig", "KILL", "--", "qemu-system-x86_64"]);
    // Without hardware's help: where this machine is a guest itself, that help is often broken.
    qemu.args(["-accel", "tcg", "-cpu", "max", "-smp", "2", "-display", "none", "-no-reboot", "-nic", "none"]);
    qemu.args(["-m", &memory.to_string(), "-append", "console=ttyS0 quiet panic=-1 random.trust_cpu=on"]);
    qemu.arg("-kernel").arg(&kernel.image).arg("-initrd").arg(initramfs);
    for log in [&console, &result] {
        qemu.args(["-serial", &format!("file:{}", log.display())]);
    }
    end_of(qemu.stdin(Stdio::null()))?;
    let printed = String::from_utf8_lossy(&fs::read(&result).unwrap_or_default()).into_owned();
    let verdict = Verdict::of(&printed, &result.display().to_string());
    if verdict.is_done() {
        return Ok(verdict);
    }
    let minutes = PATIENCE.as_secs() / 60;
    let sentence = format!("it did not come to its end within {minutes} minutes, or died");
    Ok(verdict.with(&format!("{sentence}: read {} and {}", console.display(), result.display())))
}

/// Waits until it ends by itself, or ends it.
fn end_of(qemu: &mut Command) -> Result<()> {
    let mut child = qemu.spawn().with_context(|| format!("cannot run `{}`", shell::shown(qemu)))?;
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait()?.is_none() {
        if Instant::now() > deadline {
            child.kill()?;
        }
        thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

/// The same tests on the running kernel.
pub fn here(tests: &Tests) -> Result<Verdict> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").context("reading the kernel's release")?;
    let mut printed = vec![format!("kernel: release {}\nkernel: starts\n", release.trim())];
    for (name, file) in tests.suites() {
        let mut suite = Command::new(file);
        // Errors among what is printed, as on a guest's serial line.
        let output = suite.args(["--test-threads=2", "--nocapture"]).env("FOOBAR_FRAMES", image::FRAMES).output();
        let output = output.with_context(|| format!("running {}", file.display()))?;
        let code = output.status.code().unwrap_or(-1);
        let text = [&output.stderr, &output.stdout].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat();
        printed.push(format!("kernel: suite {name}\n{text}\nkernel: ended {name} {code}\n"));
    }
    let printed = printed.concat() + "kernel: done\n";
    let log = super::build::directory()?.join("running.log");
    fs::create_dir_all(log.parent().context("a log lies somewhere")?)?;
    fs::write(&log, &printed)?;
    Ok(Verdict::of(&printed, &log.display().to_string()))
}
