//! Puts the programs on interfaces, finds them again after a restart, and takes them off.

use std::{fs, io, thread, time::Duration};

use anyhow::{Context as _, Result, anyhow};
use aya::programs::{
    ProgramError, Xdp, XdpMode,
    links::{FdLink, PinnedLink},
    xdp::{XdpError, XdpLink},
};
use foobar_common::layout::program;
use rustix::io::Errno;
use thiserror::Error;

use super::{Datapath, foreign, load, pins::LinkPin};
use crate::{api::types::Refusal, config::Mode, netns};

/// How often, and how long apart, to ask whether a link is gone.
const SETTLE_TRIES: u32 = 25;
const SETTLE_PAUSE: Duration = Duration::from_millis(20);

/// An interface that the program is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    pub interface: String,
    pub native: bool,
    pub ifindex: u32,
    /// The interface still is the one that was attached.
    pub alive: bool,
}

/// Why a program could not be put on an interface. Nothing changed.
#[derive(Debug, Error)]
pub enum AttachError {
    #[error("there is no interface {0}")]
    UnknownInterface(String),
    /// The peer's namespace cannot be entered.
    #[error("{0}")]
    Netns(#[from] Refusal),
    #[error("{interface} already has an XDP program that is not foobar's: {program}")]
    Foreign { interface: String, program: String },
    #[error("{interface} cannot run XDP natively: {reason}")]
    NotNative { interface: String, reason: String },
    #[error("{interface} is attached already")]
    Twice { interface: String },
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

/// The index of an interface in this thread's network namespace.
pub fn ifindex(interface: &str) -> Option<u32> {
    let socket = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::DGRAM, None).ok()?;
    rustix::net::netdevice::name_to_index(socket, interface).ok()
}

impl Datapath {
    pub fn attachments(&self) -> Result<Vec<Attachment>> {
        let attachment = |pin: LinkPin| {
            let alive = ifindex(&pin.interface) == Some(pin.ifindex);
            Attachment { interface: pin.interface, native: pin.native, ifindex: pin.ifindex, alive }
        };
        Ok(self.pins.links()?.into_iter().map(attachment).collect())
    }

    /// Swaps this process's programs into the links that an earlier one pinned. No packet goes by in between.
    pub(super) fn adopt_links(&mut self) -> Result<()> {
        for pin in self.pins.links()? {
            let path = self.pins.link(&pin);
            if ifindex(&pin.interface) != Some(pin.ifindex) {
                fs::remove_file(&path).with_context(|| format!("removing the dead link {}", path.display()))?;
                continue;
            }
            let link = FdLink::from(PinnedLink::from_pin(&path)?);
            let link = XdpLink::try_from(link).with_context(|| format!("{} is no XDP link", path.display()))?;
            let program = load::main_program(&mut self.ebpf)?;
            let id =
                program.attach_to_link(link).with_context(|| format!("replacing the program on {}", pin.interface))?;
            program.take_link(id)?;
        }
        Ok(())
    }

    /// Puts the program on an interface: natively where the driver can, if `mode` is auto.
    pub fn attach(&mut self, interface: &str, mode: Mode) -> Result<Attachment, AttachError> {
        let index = ifindex(interface).ok_or_else(|| AttachError::UnknownInterface(interface.to_owned()))?;
        self.forget_dead(interface)?;
        if self.attachments()?.iter().any(|attachment| attachment.interface == interface) {
            return Err(AttachError::Twice { interface: interface.to_owned() });
        }
        if let Some(id) = settled_program(index)? {
            return Err(foreign_program(interface, id));
        }
        let program = load::main_program(&mut self.ebpf)?;
        let (link, native) = create(program, interface, index, mode)?;
        let pin = LinkPin { interface: interface.to_owned(), native, ifindex: index };
        link.pin(self.pins.link(&pin)).with_context(|| format!("pinning the link of {interface}"))?;
        Ok(Attachment { interface: pin.interface, native, ifindex: index, alive: true })
    }

    /// Takes the program off an interface, and the passing one off its peer.
    pub fn detach(&mut self, interface: &str) -> Result<()> {
        for pin in self.pins.links()?.iter().filter(|pin| pin.interface == interface) {
            let path = self.pins.link(pin);
            fs::remove_file(&path).with_context(|| format!("removing the pin {}", path.display()))?;
        }
        let peer = self.pins.peer(interface);
        if peer.exists() {
            fs::remove_file(&peer).with_context(|| format!("removing the pin {}", peer.display()))?;
        }
        Ok(())
    }

    /// Removes the pins of an interface that vanished; its link is dead with it.
    fn forget_dead(&self, interface: &str) -> Result<()> {
        for pin in self.pins.links()?.iter().filter(|pin| pin.interface == interface) {
            if ifindex(interface) != Some(pin.ifindex) {
                fs::remove_file(self.pins.link(pin)).context("removing a dead link")?;
            }
        }
        Ok(())
    }

    /// Puts a passing program on the other end of a veth pair: `NETNS:IFACE`, or `IFACE` in this namespace.
    ///
    /// The one that is pinned stays until the new one is there.
    pub fn attach_peer(&mut self, interface: &str, peer: &str) -> Result<(), AttachError> {
        let path = self.pins.peer(interface);
        let pinned =
            path.exists().then(|| PinnedLink::from_pin(&path)).transpose().context("opening the peer's link")?;
        let pinned = pinned.map(FdLink::from).map(|link| link.info()).transpose().context("reading the peer's link")?;
        let (netns, name) = peer.split_once(':').map_or((None, peer), |(netns, name)| (Some(netns), name));
        let program = load::pass_program(&mut self.ebpf)?;
        let own = pinned.map(|info| info.program_id());
        let link = match netns {
            Some(netns) => netns::within(netns, || create_peer(program, name, own))??,
            None => create_peer(program, name, own)?,
        };
        let Some(link) = link else { return Ok(()) };
        let fresh = path.with_file_name(format!("{}:new", path.file_name().unwrap_or_default().display()));
        link.pin(&fresh).with_context(|| format!("pinning the peer's link {}", fresh.display()))?;
        fs::rename(&fresh, &path).with_context(|| format!("pinning the peer's link {}", path.display()))?;
        Ok(())
    }

    /// Whether a passing program is pinned for this interface's peer.
    pub fn has_peer(&self, interface: &str) -> bool {
        self.pins.peer(interface).exists()
    }

    /// Whether the interface is one end of a veth pair.
    pub fn is_veth(&self, ifindex: u32) -> bool {
        foreign::facts(ifindex).is_ok_and(|facts| facts.is_veth)
    }
}

fn foreign_program(interface: &str, id: u32) -> AttachError {
    let name = foreign::program_name(id).unwrap_or_else(|| "unknown name".to_owned());
    AttachError::Foreign { interface: interface.to_owned(), program: format!("{name}, id {id}") }
}

/// Attaches to a peer in this thread's namespace; `None` where the program `own` is there already.
fn create_peer(program: &mut Xdp, name: &str, own: Option<u32>) -> Result<Option<FdLink>, AttachError> {
    let index = ifindex(name).ok_or_else(|| AttachError::UnknownInterface(name.to_owned()))?;
    if own.is_some() && foreign::facts(index)?.program == own {
        return Ok(None);
    }
    match settled_program(index)? {
        Some(id) => Err(foreign_program(name, id)),
        None => create(program, name, index, Mode::Auto).map(|(link, _)| Some(link)),
    }
}

/// The program on an interface, once a link of ours that was just given up is gone: the kernel frees it a little later.
fn settled_program(index: u32) -> Result<Option<u32>> {
    for _ in 0..SETTLE_TRIES {
        match foreign::facts(index)?.program {
            Some(id) if foreign::program_name(id).is_some_and(|name| name.starts_with(program::MAIN)) => {
                thread::sleep(SETTLE_PAUSE);
            }
            other => return Ok(other),
        }
    }
    Ok(foreign::facts(index)?.program)
}

/// Makes a link, and says whether it is native.
fn create(program: &mut Xdp, interface: &str, index: u32, mode: Mode) -> Result<(FdLink, bool), AttachError> {
    let native = match mode {
        Mode::Generic => None,
        Mode::Native | Mode::Auto => Some(link(program, index, XdpMode::Driver)),
    };
    match native {
        Some(Ok(link)) => Ok((link, true)),
        Some(Err(error)) if is_busy(&error) => Err(foreign_now(interface, index, error)),
        Some(Err(error)) if mode == Mode::Native => {
            Err(AttachError::NotNative { interface: interface.to_owned(), reason: format!("{error:#}") })
        }
        _ => match link(program, index, XdpMode::Skb) {
            Ok(link) => Ok((link, false)),
            Err(error) if is_busy(&error) => Err(foreign_now(interface, index, error)),
            Err(error) => Err(AttachError::Other(error.context(format!("attaching to {interface}")))),
        },
    }
}

fn link(program: &mut Xdp, index: u32, mode: XdpMode) -> Result<FdLink> {
    let id = program.attach_to_if_index(index, mode).map_err(|error| anyhow!(errno_of(&error)).context(error))?;
    let link = program.take_link(id)?;
    FdLink::try_from(link).context("this kernel has no XDP links (they came with Linux 5.9)")
}

/// Somebody attached between the question and the attempt.
fn foreign_now(interface: &str, index: u32, error: anyhow::Error) -> AttachError {
    match foreign::facts(index).map(|facts| facts.program) {
        Ok(Some(id)) => foreign_program(interface, id),
        _ => AttachError::Other(error.context(format!("attaching to {interface}"))),
    }
}

fn is_busy(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|error| matches!(error.raw_os_error().map(Errno::from_raw_os_error), Some(Errno::BUSY | Errno::EXIST)))
}

/// The system's own error inside one of aya's.
fn errno_of(error: &ProgramError) -> io::Error {
    let code = match error {
        ProgramError::SyscallError(error) => error.io_error.raw_os_error(),
        ProgramError::XdpError(XdpError::NetlinkError(_)) => Some(Errno::INVAL.raw_os_error()),
        _ => None,
    };
    code.map_or_else(|| io::Error::other("no system error"), io::Error::from_raw_os_error)
}
