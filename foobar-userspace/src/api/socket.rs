//! The daemon's end of the Unix socket: who may open it, and that nobody else's is taken.
//!
//! Whoever may write to the socket may do everything the daemon may: mode 0660, in a directory of mode 0750.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::{
        fs::{DirBuilderExt, FileTypeExt},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};

use rustix::{fs::Mode, process::umask};

use super::types::Refusal;

/// A listening socket, whose file goes away with it.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Listens at `path`. Call it while the process has one thread: the umask is everyone's.
    pub fn bind(path: &Path) -> Result<Self, Refusal> {
        let broken = |error: io::Error| {
            Refusal::refused(format!("cannot listen on {}: {error}", path.display()))
                .hint("name another place: --socket")
        };
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(0o750).create(parent).map_err(broken)?;
        }
        clear(path)?;
        let before = umask(Mode::from_raw_mode(0o117));
        let listener = UnixListener::bind(path);
        umask(before);
        let listener = listener.map_err(broken)?;
        listener.set_nonblocking(true).map_err(broken)?;
        Ok(Self { listener, path: path.to_owned() })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A handle to accept on.
    pub fn listener(&self) -> io::Result<UnixListener> {
        self.listener.try_clone()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Nobody can be told if this fails, and the next daemon replaces a socket that nobody answers.
        let _ = fs::remove_file(&self.path);
    }
}

/// Removes a socket that nobody answers; refuses to touch anything else.
fn clear(path: &Path) -> Result<(), Refusal> {
    let Ok(found) = fs::symlink_metadata(path) else { return Ok(()) };
    let place = path.display();
    if !found.file_type().is_socket() {
        return Err(Refusal::refused(format!("{place} is not a socket")).hint("name another place: --socket"));
    }
    if UnixStream::connect(path).is_ok() {
        return Err(Refusal::refused(format!("another daemon answers on {place}"))
            .hint("stop that one first, or give this one its own --state, --pin-dir and --socket"));
    }
    fs::remove_file(path).map_err(|error| Refusal::refused(format!("cannot replace {place}: {error}")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_socket_is_for_its_owner_and_group() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/foobar.sock");

        let socket = Socket::bind(&path).unwrap();

        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o660);
        assert_eq!(mode(path.parent().unwrap()), 0o750);
        drop(socket);
        assert!(!path.exists(), "the file goes with the socket");
    }

    #[test]
    fn a_socket_that_is_answered_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("foobar.sock");
        let _first = Socket::bind(&path).unwrap();

        let refusal = Socket::bind(&path).unwrap_err();

        assert!(refusal.error.contains("another daemon answers"), "{}", refusal.error);
        assert!(path.exists(), "the refused one leaves it alone");
    }

    #[test]
    fn a_socket_left_behind_is_replaced_and_a_file_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let left = dir.path().join("left.sock");
        drop(UnixListener::bind(&left).unwrap());
        Socket::bind(&left).unwrap();

        let file = dir.path().join("file");
        fs::write(&file, "data").unwrap();
        let refusal = Socket::bind(&file).unwrap_err();
        assert!(refusal.error.ends_with("is not a socket"), "{}", refusal.error);
    }
}
