//! A directory of a lab's own on the bpffs, which goes when the lab goes, also in a panic.

use std::{
    fs,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use foobar_userspace::datapath::remove_pins;

const BPFFS: &str = "/sys/fs/bpf";
const PREFIX: &str = "foobar-test-";

/// Labs that this process has made.
static MADE: AtomicU32 = AtomicU32::new(0);

pub struct PinDir(PathBuf);

impl PinDir {
    /// A name that no other lab has. What killed tests left behind is removed.
    pub fn new() -> Self {
        remove_orphans();
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        Self(Path::new(BPFFS).join(format!("{PREFIX}{}-{number}", process::id())))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for PinDir {
    fn drop(&mut self) {
        if let Err(error) = remove_pins(&self.0) {
            eprintln!("{} is left behind: {error:#}", self.0.display());
        }
    }
}

fn remove_orphans() {
    let Ok(entries) = fs::read_dir(BPFFS) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            // Another test may be at it too.
            let _ = remove_pins(&entry.path());
        }
    }
}
