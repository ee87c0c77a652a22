//! Pinned links, and the interfaces that they are on: a link knows its own, whatever that is called meanwhile.
//!
//! Nothing here takes a link off. One is dead when the kernel says so, never because a name does not resolve.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use aya::programs::links::{FdLink, PinnedLink};
use rustix::{io::Errno, net::netdevice};

use super::pins::{LinkPin, Pins};
use crate::{api::types::Refusal, netns};

/// What the kernel says of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The index of its interface, in whatever network namespace that is; 0 where the interface is gone.
    pub ifindex: u32,
    /// The id of its program.
    pub program: u32,
}

/// Where the interface of a pinned link is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In this thread's network namespace, under this name.
    Here(String),
    /// In another one.
    Elsewhere,
    /// Nowhere: the link is dead.
    Gone,
}

/// Opens a pinned link.
pub fn open(path: &Path) -> Result<FdLink> {
    Ok(PinnedLink::from_pin(path).with_context(|| format!("opening the pinned link {}", path.display()))?.into())
}

pub fn look(path: &Path) -> Result<Seen> {
    let link = open(path)?;
    let info = link.info().with_context(|| format!("asking about the pinned link {}", path.display()))?;
    Ok(Seen { ifindex: ifindex_of(info.id())?, program: info.program_id() })
}

pub fn place(pins: &Pins, pin: &LinkPin) -> Result<Place> {
    let seen = look(&pins.link(pin))?;
    if seen.ifindex == 0 {
        return Ok(Place::Gone);
    }
    if pin.netns.is_some_and(|netns| Some(netns) != netns::current().ok()) {
        return Ok(Place::Elsewhere);
    }
    Ok(name_of(seen.ifindex)?.map_or(Place::Elsewhere, Place::Here))
}

/// Refuses to go on where the program is on an interface that cannot be seen from here.
pub fn refuse_elsewhere(pins: &Pins) -> Result<()> {
    for pin in pins.links()? {
        if place(pins, &pin)? == Place::Elsewhere {
            let (root, interface, ifindex) = (pins.root().display(), &pin.interface, pin.ifindex);
            let error = format!(
                "{root} is attached to an interface that is not in this network namespace: {interface} (index {ifindex})"
            );
            let hint = format!(
                "give the --netns with which it was attached; if {interface} was moved elsewhere: `foobar detach --pin-dir \
                 {root}` takes the program off"
            );
            return Err(Refusal::refused(error).hint(hint).into());
        }
    }
    Ok(())
}

/// The index of an interface in this thread's network namespace.
pub fn ifindex(interface: &str) -> Result<Option<u32>> {
    match netdevice::name_to_index(socket()?, interface) {
        Ok(index) => Ok(Some(index)),
        Err(Errno::NODEV) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("asking for the index of {interface}")),
    }
}

/// The name of an interface in this thread's network namespace.
pub fn name_of(ifindex: u32) -> Result<Option<String>> {
    match netdevice::index_to_name(socket()?, ifindex) {
        Ok(name) => Ok(Some(name)),
        Err(Errno::NODEV) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("asking for the name of interface {ifindex}")),
    }
}

fn socket() -> Result<std::os::fd::OwnedFd> {
    rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::DGRAM, None)
        .context("opening a socket to ask for interfaces")
}

/// The interface of an XDP or TC link that this process has open. The library shows neither the interface nor the descriptor,
/// so it is the one whose `fdinfo` has the link's id.
fn ifindex_of(link: u32) -> Result<u32> {
    for entry in fs::read_dir("/proc/self/fdinfo").context("reading /proc/self/fdinfo")? {
        let path: PathBuf = entry?.path();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            // Another thread closed it.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        };
        if let Some(ifindex) = ifindex_in(&text, link) {
            return Ok(ifindex);
        }
    }
    anyhow::bail!("/proc/self/fdinfo does not have the link {link}")
}

/// Reads a `fdinfo`: `link_type:\txdp`, `link_id:\t7`, `ifindex:\t3`, each on a line.
fn ifindex_in(fdinfo: &str, link: u32) -> Option<u32> {
    let field = |name: &str| fdinfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    if !matches!(field("link_type"), Some("xdp" | "tcx")) || field("link_id")?.parse() != Ok(link) {
        return None;
    }
    field("ifindex")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_links_interface_is_read() {
        let text =
            "pos:\t0\nflags:\t02000002\nlink_type:\txdp\nlink_id:\t12\nprog_tag:\tab\nprog_id:\t9\nifindex:\t3\n";

        assert_eq!(ifindex_in(text, 12), Some(3));
        assert_eq!(ifindex_in(text, 1), None, "another link");
        assert_eq!(ifindex_in(&text.replace("xdp", "tcx"), 12), Some(3));
        assert_eq!(ifindex_in(&text.replace("xdp", "netns"), 12), None, "another kind");
        assert_eq!(ifindex_in("pos:\t0\n", 12), None, "no link");
    }

    #[test]
    fn a_name_that_nobody_has_is_no_error() {
        assert_eq!(ifindex("no-such-name0").unwrap(), None);
        let index = ifindex("lo").unwrap().expect("every namespace has one");
        assert_eq!(name_of(index).unwrap().as_deref(), Some("lo"));
    }
}
