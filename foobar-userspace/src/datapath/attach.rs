//! Puts the programs on interfaces, finds them again after a restart, and takes them off.

use std::{fs, io, thread, time::Duration};

use anyhow::{Context as _, Result, anyhow};
use aya::programs::{
    ProgramError, Xdp, XdpMode,
    links::FdLink,
    tc::SchedClassifierLink,
    xdp::{XdpError, XdpLink},
};
use foobar_common::layout::program;
use rustix::io::Errno;
use thiserror::Error;

use super::{
    Datapath,
    egress::{self, Attending},
    features::Feature,
    foreign,
    links::{self, Place},
    load,
    pins::LinkPin,
    tags::{self, Shown},
};
use crate::{api::types::Refusal, config::Mode, netns};

/// How often, and how long apart, to ask whether a link is gone.
const SETTLE_TRIES: u32 = 25;
const SETTLE_PAUSE: Duration = Duration::from_millis(20);

/// Whether to wait for a program of ours that was just given up: the kernel frees it a little later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// For half a second at most.
    Settle,
    /// Not at all: it is tried again anyway.
    None,
}

/// An interface that the program is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The name by which it was attached.
    pub interface: String,
    pub native: bool,
    pub ifindex: u32,
    /// What it is called in this network namespace; `None` where it is gone, or in another one.
    pub called: Option<String>,
    /// What was turned off, since it hid tags of VLANs.
    pub shown: Vec<Feature>,
}

/// Why a program could not be put on an interface. Nothing changed.
#[derive(Debug, Error)]
pub enum AttachError {
    #[error("there is no interface {0}")]
    UnknownInterface(String),
    /// The peer's namespace cannot be entered, or the caller says no.
    #[error("{0}")]
    Refused(#[from] Refusal),
    #[error("{interface} already has an XDP program that is not foobar's: {program}")]
    Foreign { interface: String, program: String },
    #[error("{interface} has the passing program already, as the peer of {holder}")]
    PeerOf { interface: String, holder: String },
    #[error("{interface} cannot run XDP natively: {reason}")]
    NotNative { interface: String, reason: String },
    #[error("{interface} hides tags of VLANs ({}): {reason}", feature.long_name())]
    HidesTags { interface: String, feature: Feature, reason: String },
    #[error("{interface} is attached already")]
    Twice { interface: String },
    #[error("{interface} is attached already, by the name {name} that it had")]
    Renamed { interface: String, name: String },
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

impl Datapath {
    pub fn attachments(&self) -> Result<Vec<Attachment>> {
        let attachment = |pin: LinkPin| {
            let called = match links::place(&self.pins, &pin)? {
                Place::Here(name) => Some(name),
                Place::Elsewhere | Place::Gone => None,
            };
            let shown = tags::off(&self.pins, &pin);
            Ok(Attachment { interface: pin.interface, native: pin.native, ifindex: pin.ifindex, called, shown })
        };
        self.pins.links()?.into_iter().map(attachment).collect()
    }

    /// Swaps this process's programs into the links that an earlier one pinned. No packet goes by in between.
    pub(super) fn adopt_links(&mut self) -> Result<()> {
        for pin in self.pins.links()? {
            let path = self.pins.link(&pin);
            if links::place(&self.pins, &pin)? == Place::Gone {
                Attending::beside(&self.pins, &pin)?.take_off()?;
                Shown::beside(&self.pins, &pin)?.take_back()?;
                fs::remove_file(&path).with_context(|| format!("removing the dead link {}", path.display()))?;
                continue;
            }
            let link =
                XdpLink::try_from(links::open(&path)?).with_context(|| format!("{} is no XDP link", path.display()))?;
            let program = load::main_program(&mut self.ebpf)?;
            let id =
                program.attach_to_link(link).with_context(|| format!("replacing the program on {}", pin.interface))?;
            program.take_link(id)?;
        }
        Ok(())
    }

    /// Has what was attached by another name go by the one that its interface has, `interface`. Returns the other name.
    pub fn rename_link(&mut self, interface: &str) -> Result<Option<String>> {
        for pin in self.pins.links()?.into_iter().filter(|pin| pin.interface != interface) {
            if links::place(&self.pins, &pin)? != Place::Here(interface.to_owned()) {
                continue;
            }
            let (old, new) = (self.pins.peer(&pin.interface), self.pins.peer(interface));
            if old.exists() && !new.exists() {
                fs::rename(&old, &new).with_context(|| format!("renaming the pin {}", old.display()))?;
            }
            let renamed = LinkPin { interface: interface.to_owned(), ..pin.clone() };
            Shown::beside(&self.pins, &pin)?.rename(&self.pins, &renamed)?;
            let (old, new) = (self.pins.link(&pin), self.pins.link(&renamed));
            fs::rename(&old, &new).with_context(|| format!("renaming the pin {}", old.display()))?;
            let (old, new) = (self.pins.egress(&pin), self.pins.egress(&renamed));
            if old.exists() {
                fs::rename(&old, &new).with_context(|| format!("renaming the pin {}", old.display()))?;
            }
            return Ok(Some(pin.interface));
        }
        Ok(None)
    }

    /// Puts the program on an interface: natively where the driver can, if `mode` is auto. Where it is to be generic,
    /// `judge` may say no.
    pub fn attach(
        &mut self,
        interface: &str,
        mode: Mode,
        patience: Patience,
        judge: impl FnOnce() -> Result<(), Refusal>,
    ) -> Result<Attachment, AttachError> {
        let index = links::ifindex(interface)?.ok_or_else(|| AttachError::UnknownInterface(interface.to_owned()))?;
        self.forget_dead(interface)?;
        let called = |other: &Attachment| other.called.as_deref() == Some(interface);
        if let Some(other) = self.attachments()?.into_iter().find(called) {
            let interface = interface.to_owned();
            return Err(if other.interface == interface {
                AttachError::Twice { interface }
            } else {
                AttachError::Renamed { interface, name: other.interface }
            });
        }
        if let Some(id) = settled_program(index, patience)? {
            return Err(foreign_program(interface, id));
        }
        let (pin, shown) = self.attach_to(interface, index, mode, judge)?;
        let called = Some(interface.to_owned());
        Ok(Attachment { interface: pin.interface, native: pin.native, ifindex: index, called, shown })
    }

    /// Puts the program on an interface that has none. Returns what hid tags from it, too.
    fn attach_to(
        &mut self,
        interface: &str,
        index: u32,
        mode: Mode,
        judge: impl FnOnce() -> Result<(), Refusal>,
    ) -> Result<(LinkPin, Vec<Feature>), AttachError> {
        // From here on nothing is opened that is not known when the main program begins to drop.
        let egress = self.begin_to_attend(interface)?;
        let program = load::main_program(&mut self.ebpf)?;
        let (link, native) = create(program, interface, index, mode, judge)?;
        if self.attempts.succeed(interface) {
            self.note_open_sockets();
        }
        let netns = Some(netns::current().context("asking for the network namespace")?);
        let pin = LinkPin { interface: interface.to_owned(), native, ifindex: index, netns };
        // A link that is not pinned yet goes with an error.
        let shown = tags::show(&self.pins, &pin)?;
        if let Err(error) = self.pin(link, egress, &pin) {
            tags::hide(&self.pins, &pin, &shown);
            return Err(error.into());
        }
        Ok((pin, shown))
    }

    /// Has the links outlive the daemon.
    fn pin(&self, link: FdLink, egress: Option<SchedClassifierLink>, pin: &LinkPin) -> Result<()> {
        if let Some(egress) = egress {
            egress::keep(egress, &self.pins.egress(pin))?;
        }
        link.pin(self.pins.link(pin)).with_context(|| format!("pinning the link of {}", pin.interface))?;
        Ok(())
    }

    /// Takes the program off an interface, and the passing one off its peer.
    pub fn detach(&mut self, interface: &str) -> Result<()> {
        for pin in self.pins.links()?.iter().filter(|pin| pin.interface == interface) {
            let (attending, shown) = (Attending::beside(&self.pins, pin)?, Shown::beside(&self.pins, pin)?);
            let path = self.pins.link(pin);
            fs::remove_file(&path).with_context(|| format!("removing the pin {}", path.display()))?;
            attending.take_off()?;
            shown.take_back()?;
        }
        self.detach_peer(interface)
    }

    /// Removes the pins of an interface that is gone; its link is dead with it.
    fn forget_dead(&self, interface: &str) -> Result<()> {
        for pin in self.pins.links()?.iter().filter(|pin| pin.interface == interface) {
            if links::place(&self.pins, pin)? == Place::Gone {
                Attending::beside(&self.pins, pin)?.take_off()?;
                Shown::beside(&self.pins, pin)?.take_back()?;
                fs::remove_file(self.pins.link(pin)).context("removing a dead link")?;
            }
        }
        Ok(())
    }

    /// Whether there is an interface of this name in this network namespace.
    pub fn is_there(&self, interface: &str) -> bool {
        self.ifindex(interface).is_some()
    }

    /// The index of the interface that is called so, if one is.
    pub fn ifindex(&self, interface: &str) -> Option<u32> {
        links::ifindex(interface).ok().flatten()
    }

    /// Whether the interface is one end of a veth pair.
    pub fn is_veth(&self, ifindex: u32) -> bool {
        foreign::facts(ifindex).is_ok_and(|facts| facts.is_veth)
    }
}

pub(super) fn foreign_program(interface: &str, id: u32) -> AttachError {
    let name = foreign::program_name(id).unwrap_or_else(|| "unknown name".to_owned());
    AttachError::Foreign { interface: interface.to_owned(), program: format!("{name}, id {id}") }
}

/// The program on an interface, once a link of ours that was just given up is gone: the kernel frees it a little later.
pub(super) fn settled_program(index: u32, patience: Patience) -> Result<Option<u32>> {
    let tries = if patience == Patience::Settle { SETTLE_TRIES } else { 0 };
    for _ in 0..tries {
        match foreign::facts(index)?.program {
            Some(id) if foreign::program_name(id).is_some_and(|name| name.starts_with(program::MAIN)) => {
                thread::sleep(SETTLE_PAUSE);
            }
            other => return Ok(other),
        }
    }
    Ok(foreign::facts(index)?.program)
}

/// Makes a link, and says whether it is native. Before one that is generic, `judge` may say no.
pub(super) fn create(
    program: &mut Xdp,
    interface: &str,
    index: u32,
    mode: Mode,
    judge: impl FnOnce() -> Result<(), Refusal>,
) -> Result<(FdLink, bool), AttachError> {
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
        _ => {
            judge()?;
            match link(program, index, XdpMode::Skb) {
                Ok(link) => Ok((link, false)),
                Err(error) if is_busy(&error) => Err(foreign_now(interface, index, error)),
                Err(error) => Err(AttachError::Other(error.context(format!("attaching to {interface}")))),
            }
        }
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
