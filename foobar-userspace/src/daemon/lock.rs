//! One daemon per state directory and per pin directory, by `flock`: the kernel lets go when the process ends, however it ends.
//!
//! A pin directory is on a bpffs, which holds no files, and goes away with `detach`: its lock is a directory beside it.

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use crate::api::types::Refusal;

/// Held until it is dropped.
#[derive(Debug)]
pub struct StateLock {
    _file: File,
}

/// Held until it is dropped, and gone without a trace then.
#[derive(Debug)]
pub struct PinLock {
    _file: File,
    path: PathBuf,
}

/// Takes the state directory, which is created where it does not exist.
pub fn state(dir: &Path) -> Result<StateLock, Refusal> {
    directory(dir, 0o750)?;
    let path = dir.join("lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(|e| failed(&path, &e))?;
    take(&file).map_err(|error| held(error, &file, "state directory", dir))?;
    Ok(StateLock { _file: file })
}

/// Takes the pin directory: its parent is on a bpffs, itself need not exist.
pub fn pins(dir: &Path) -> Result<PinLock, Refusal> {
    let path = beside(dir);
    loop {
        directory(&path, 0o700)?;
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(&path, &error)),
        };
        take(&file).map_err(|error| held(error, &file, "pin directory", dir))?;
        if is_still(&path, &file) {
            return Ok(PinLock { _file: file, path });
        }
    }
}

impl Drop for PinLock {
    fn drop(&mut self) {
        // Still locked: whoever opened this very directory finds that it is gone, and makes it anew.
        let _ = fs::remove_dir(&self.path);
    }
}

fn beside(pins: &Path) -> PathBuf {
    // Without a trailing slash.
    let pins: PathBuf = pins.components().collect();
    let mut name = pins.into_os_string();
    name.push("-lock");
    PathBuf::from(name)
}

fn directory(path: &Path, mode: u32) -> Result<(), Refusal> {
    DirBuilder::new().recursive(true).mode(mode).create(path).map_err(|error| failed(path, &error))
}

fn failed(path: &Path, error: &io::Error) -> Refusal {
    Refusal::refused(format!("cannot make {}: {error}", path.display())).hint("run it as root, or name another place")
}

fn take(file: &File) -> Result<(), Errno> {
    flock(file, FlockOperation::NonBlockingLockExclusive)
}

/// Whether the path still names what was opened: the holder before us may have removed it.
fn is_still(path: &Path, file: &File) -> bool {
    let (Ok(there), Ok(here)) = (fs::metadata(path), file.metadata()) else { return false };
    (there.dev(), there.ino()) == (here.dev(), here.ino())
}

fn held(error: Errno, file: &File, what: &str, dir: &Path) -> Refusal {
    let dir = dir.display();
    if error != Errno::WOULDBLOCK {
        return Refusal::broken(format!("cannot lock the {what} {dir}: {error}"));
    }
    let pid = holder(file).map_or_else(String::new, |pid| format!(" (process {pid})"));
    Refusal::refused(format!("a daemon{pid} already runs with the {what} {dir}"))
        .hint("stop that one first, or give this one its own --state, --pin-dir and --socket")
}

/// The process that holds a lock on the file.
fn holder(file: &File) -> Option<u32> {
    let metadata = file.metadata().ok()?;
    let (dev, ino) = (metadata.dev(), metadata.ino());
    let place = format!("{:02x}:{:02x}:{ino}", rustix::fs::major(dev), rustix::fs::minor(dev));
    pid_of(&fs::read_to_string("/proc/locks").ok()?, &place)
}

/// Reads `/proc/locks`: `1: FLOCK  ADVISORY  WRITE 1234 00:1f:5678 0 EOF`.
fn pid_of(locks: &str, place: &str) -> Option<u32> {
    let words = locks.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    words
        .filter(|words| words.get(1) == Some(&"FLOCK") && words.get(5) == Some(&place))
        .find_map(|words| words.get(4)?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_daemon_learns_who_the_first_is() {
        let dir = tempfile::tempdir().unwrap();
        let first = state(dir.path()).unwrap();

        let refusal = state(dir.path()).unwrap_err();

        assert!(refusal.error.contains(&format!("(process {})", std::process::id())), "{}", refusal.error);
        drop(first);
        state(dir.path()).expect("the lock goes with its holder");
    }

    #[test]
    fn a_pin_directory_is_locked_before_it_exists() {
        let dir = tempfile::tempdir().unwrap();
        let pin_dir = dir.path().join("foobar");
        let first = pins(&pin_dir).unwrap();

        let refusal = pins(&pin_dir).unwrap_err();

        assert!(refusal.error.contains("pin directory"), "{}", refusal.error);
        drop(first);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing stays behind");
        pins(&pin_dir).expect("the lock goes with its holder");
    }

    #[test]
    fn the_lock_stands_beside_however_the_directory_is_written() {
        assert_eq!(beside(Path::new("/sys/fs/bpf/foobar/")), Path::new("/sys/fs/bpf/foobar-lock"));
        assert_eq!(beside(Path::new("/sys/fs//bpf/foobar")), Path::new("/sys/fs/bpf/foobar-lock"));
    }

    #[test]
    fn the_holder_is_found_among_the_locks() {
        let locks = "1: POSIX  ADVISORY  WRITE 7 00:1f:5678 0 EOF\n2: FLOCK  ADVISORY  WRITE 1234 00:1f:5678 0 EOF\n";

        assert_eq!(pid_of(locks, "00:1f:5678"), Some(1234));
        assert_eq!(pid_of(locks, "00:1f:9"), None);
    }
}
