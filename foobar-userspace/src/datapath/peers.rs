//! The passing program on the other end of a veth pair, which drops what is sent to it by XDP else.
//!
//! A peer's new link is pinned as `IFACE:new`, then renamed over the old one: there is no moment without a program.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use aya::programs::{Xdp, links::FdLink};

use super::{
    AttachError, Datapath,
    attach::{Patience, create, foreign_program, settled_program},
    foreign,
    links::{self, Seen},
    load,
    pins::Pins,
};
use crate::{config::Mode, netns};

impl Datapath {
    /// Puts a passing program on `NETNS:IFACE`, or on `IFACE` in this namespace, the other end of `interface`.
    ///
    /// The one that is pinned stays until the new one is there, on another peer too.
    pub fn attach_peer(&mut self, interface: &str, peer: &str, patience: Patience) -> Result<(), AttachError> {
        finish(&self.pins)?;
        let pinned = peers(&self.pins)?;
        let (netns, name) = peer.split_once(':').map_or((None, peer), |(netns, name)| (Some(netns), name));
        let program = load::pass_program(&mut self.ebpf)?;
        let mut create = || create_peer(program, name, interface, &pinned, patience);
        let link = match netns {
            Some(netns) => netns::within(netns, create)??,
            None => create()?,
        };
        let Some(link) = link else { return Ok(()) };
        let (path, fresh) = (self.pins.peer(interface), self.pins.fresh_peer(interface));
        link.pin(&fresh).with_context(|| format!("pinning the peer's link {}", fresh.display()))?;
        fs::rename(&fresh, &path).with_context(|| format!("pinning the peer's link {}", path.display()))?;
        Ok(())
    }

    /// Takes the passing program off the peer of an interface, if it is there.
    pub fn detach_peer(&mut self, interface: &str) -> Result<()> {
        for path in [self.pins.fresh_peer(interface), self.pins.peer(interface)] {
            if path.exists() {
                remove(&path)?;
            }
        }
        Ok(())
    }

    /// Whether the peer of an interface is there and has its passing program.
    pub fn has_peer(&self, interface: &str) -> bool {
        let path = self.pins.peer(interface);
        path.exists() && links::look(&path).is_ok_and(|seen| seen.ifindex != 0)
    }
}

/// Ends what a killed process began: a link that is pinned beside the one that it replaces.
pub fn finish(pins: &Pins) -> Result<()> {
    for interface in pins.fresh_peers()? {
        let (fresh, path) = (pins.fresh_peer(&interface), pins.peer(&interface));
        fs::rename(&fresh, &path).with_context(|| format!("pinning the peer's link {}", path.display()))?;
    }
    Ok(())
}

/// Every peer's link, by the interface whose peer it is.
fn peers(pins: &Pins) -> Result<Vec<(String, Seen)>> {
    pins.peers()?.into_iter().map(|interface| Ok((interface.clone(), links::look(&pins.peer(&interface))?))).collect()
}

/// Attaches to a peer in this thread's namespace; `None` where the program of `interface` is there already.
fn create_peer(
    program: &mut Xdp,
    name: &str,
    interface: &str,
    pinned: &[(String, Seen)],
    patience: Patience,
) -> Result<Option<FdLink>, AttachError> {
    let index = links::ifindex(name)?.ok_or_else(|| AttachError::UnknownInterface(name.to_owned()))?;
    if let Some(there) = foreign::facts(index)?.program {
        let seen = Seen { ifindex: index, program: there };
        let mut holders = pinned.iter().filter(|(_, other)| *other == seen).map(|(holder, _)| holder);
        if holders.clone().any(|holder| holder == interface) {
            return Ok(None);
        }
        if let Some(holder) = holders.next() {
            return Err(AttachError::PeerOf { interface: name.to_owned(), holder: holder.clone() });
        }
    }
    match settled_program(index, patience)? {
        Some(id) => Err(foreign_program(name, id)),
        None => create(program, name, index, Mode::Auto, || Ok(())).map(|(link, _)| Some(link)),
    }
}

fn remove(path: &Path) -> Result<()> {
    fs::remove_file(path).with_context(|| format!("removing the pin {}", path.display()))
}
