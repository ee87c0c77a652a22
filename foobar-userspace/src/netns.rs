//! Entering a network namespace, and nothing else of it: `/sys`, and so the pins, stay the host's.
//!
//! A namespace belongs to a thread. The daemon enters before it has a second one, so that all of them are in it.

use std::{
    fs::{self, File},
    io,
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
    thread,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::api::types::Refusal;

/// Where `ip netns` keeps the names.
const NAMES: &str = "/run/netns";

/// Opens a network namespace by the name that `ip netns` gave it, or by a path such as `/proc/1/ns/net`.
pub fn open(name: &str) -> Result<File, Refusal> {
    let path = path(name);
    File::open(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            Refusal::refused(format!("there is no network namespace `{name}`")).hint("list them: ip netns list")
        }
        _ => Refusal::refused(format!("cannot open the network namespace `{name}`: {error}")).hint("run it as root"),
    })
}

/// Moves the calling thread into a network namespace; threads it makes later are in it too.
pub fn enter(name: &str) -> Result<(), Refusal> {
    let namespace = open(name)?;
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).map_err(
        |error| match io::Error::from(error) {
            error if error.kind() == io::ErrorKind::InvalidInput => {
                Refusal::refused(format!("`{}` is not a network namespace", path(name).display()))
                    .hint("list them: ip netns list")
            }
            error => Refusal::refused(format!("cannot enter the network namespace `{name}`: {error}"))
                .hint("CAP_SYS_ADMIN is needed: run it as root"),
        },
    )
}

/// The network namespace of the calling thread: a number that no other one has while it exists.
pub fn current() -> io::Result<u64> {
    Ok(fs::metadata("/proc/thread-self/ns/net")?.ino())
}

/// Runs `work` inside a network namespace, on a thread of its own; the caller stays where it is.
pub fn within<T: Send>(name: &str, work: impl FnOnce() -> T + Send) -> Result<T, Refusal> {
    thread::scope(|scope| {
        let worker = scope.spawn(|| enter(name).map(|()| work()));
        worker.join().unwrap_or_else(|_| Err(Refusal::broken(format!("the work inside `{name}` panicked"))))
    })
}

fn path(name: &str) -> PathBuf {
    if name.contains('/') { PathBuf::from(name) } else { Path::new(NAMES).join(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_namespace_is_named() {
        let refusal = open("no-such-namespace").expect_err("must not exist");

        assert_eq!(refusal.error, "there is no network namespace `no-such-namespace`");
        assert!(refusal.hint.is_some(), "the next step is named");
    }

    #[test]
    fn a_path_is_taken_as_it_is() {
        assert_eq!(path("blue"), Path::new("/run/netns/blue"));
        assert_eq!(path("/proc/1/ns/net"), Path::new("/proc/1/ns/net"));
    }
}
