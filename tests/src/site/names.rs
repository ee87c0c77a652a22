//! What a site's things are called, and removing them: also those that a killed test left behind.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, id},
    sync::atomic::{AtomicU32, Ordering},
};

const NAMESPACES: &str = "/run/netns";
const BPFFS: &str = "/sys/fs/bpf";
const MARK: &str = "foobar-site-";

static SITES: AtomicU32 = AtomicU32::new(0);

/// `foobar-site-PID-N`, in front of everything.
#[derive(Clone, Debug)]
pub struct Names {
    tag: String,
}

impl Names {
    /// Names that nobody else has.
    pub fn fresh() -> Self {
        Self { tag: format!("{MARK}{}-{}", id(), SITES.fetch_add(1, Ordering::Relaxed)) }
    }

    pub fn namespace(&self, host: &str) -> String {
        format!("{}-{host}", self.tag)
    }

    pub fn namespace_path(&self, host: &str) -> PathBuf {
        Path::new(NAMESPACES).join(self.namespace(host))
    }

    pub fn directory(&self) -> PathBuf {
        env::temp_dir().join(&self.tag)
    }

    /// A directory on the bpffs that is the site's own.
    pub fn pin_parent(&self) -> PathBuf {
        Path::new(BPFFS).join(&self.tag)
    }

    /// Removes everything of this name, as far as it exists.
    pub fn remove(&self) {
        let _ = fs::remove_dir_all(self.pin_parent());
        let prefix = format!("{}-", self.tag);
        for name in entries(Path::new(NAMESPACES)).filter(|name| name.starts_with(&prefix)) {
            // What fails here was removed by somebody else.
            let _ = Command::new("ip").args(["netns", "delete", &name]).output();
        }
        let _ = fs::remove_dir_all(self.directory());
    }
}

/// Removes what tests left whose process is gone.
pub fn remove_left_behind() {
    for place in [PathBuf::from(NAMESPACES), PathBuf::from(BPFFS), env::temp_dir()] {
        for name in entries(&place) {
            let mut parts = name.strip_prefix(MARK).unwrap_or_default().split('-');
            let (Some(pid), Some(number)) = (parts.next(), parts.next()) else { continue };
            if pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists() {
                Names { tag: format!("{MARK}{pid}-{number}") }.remove();
            }
        }
    }
}

fn entries(directory: &Path) -> impl Iterator<Item = String> + use<> {
    fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
}
