//! The program on the way out, which judges what this host sends and notes what it opens: on every interface that has the
//! main one, and before it.
//!
//! From Linux 6.6 on it has a link, pinned under the name of the main program's. Before, it is a filter of the interface,
//! which holds by itself and is found again by its priority and handle: nothing else has these.

use std::{
    fs, mem,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use aya::{
    programs::{
        Link as _, LinkOrder, SchedClassifier, TcAttachType,
        links::FdLink,
        tc::{NlOptions, SchedClassifierLink, TcAttachOptions, TcHandle, qdisc_add_clsact},
    },
    util::KernelVersion,
};

use super::{
    Datapath,
    links::{self, Place},
    load,
    pins::{LinkPin, Pins},
};
use crate::api::types::Refusal;

/// The first version with links for this hook.
const LINKS_SINCE: (u8, u8) = (6, 6);

const PRIORITY: u16 = 0xf00b;
const HANDLE: TcHandle = TcHandle::new(0, 1);

/// What the program on the way out is needed for: by what is in force, and by what may come back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attention {
    /// Rules or a default judge what this host sends.
    pub judges: bool,
    /// What this host opens is noted, for a default that drops what comes in.
    pub notes: bool,
    /// What others open is, for a default that drops what this host sends.
    pub hears: bool,
}

impl Attention {
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let Self { judges, notes, hears } = other;
        Self { judges: self.judges || judges, notes: self.notes || notes, hears: self.hears || hears }
    }

    pub fn is_idle(self) -> bool {
        self == Self::default()
    }
}

impl Datapath {
    /// Has the program look at what leaves by every attached interface, and by those that are attached later; or by none.
    /// What is open already is noted too.
    ///
    /// To be called before what depends on it is in force, and after nothing does any more.
    pub fn attend_egress(&mut self, attention: Attention) -> Result<()> {
        let Attention { judges: _, notes, hears } = attention;
        let generation = self.generation();
        let mut misses_some = notes && !generation.notes() || hears && !generation.hears();
        self.attention = attention;
        if (generation.notes(), generation.hears()) != (notes, hears) {
            self.tables.set_generation(generation.noting(notes, hears), self.number());
        }
        for pin in self.pins.links()? {
            if attention.is_idle() {
                Attending::beside(&self.pins, &pin)?.take_off()?;
            } else if let Place::Here(name) = links::place(&self.pins, &pin)?
                && !(has_links()? && self.stands(&pin)?)
            {
                let link = attach(load::egress_program(&mut self.ebpf)?, &name)?;
                keep(link, &self.pins.egress(&pin))?;
                misses_some = notes || hears;
            }
        }
        if misses_some {
            self.note_open_sockets();
        }
        Ok(())
    }

    /// Puts the program back where somebody else took it off: without it, a default that drops drops answers too.
    pub fn mend_egress(&mut self) -> Result<()> {
        // Whether a filter of an older kernel still is there, nobody tells cheaply.
        if self.attention.is_idle() || !has_links()? {
            return Ok(());
        }
        self.attend_egress(self.attention)
    }

    /// Whether the pinned link of the program holds it still; removes one that does not.
    fn stands(&self, pin: &LinkPin) -> Result<bool> {
        let path = self.pins.egress(pin);
        if !path.exists() {
            return Ok(false);
        }
        if links::look(&path)?.ifindex != 0 {
            return Ok(true);
        }
        tracing::warn!("somebody took off what looks at what {} sends; it is put back", pin.interface);
        remove(&path)?;
        Ok(false)
    }

    /// Begins to look at what leaves by an interface, where that is wanted. It ends with what is returned, unless that is
    /// kept.
    pub(super) fn begin_to_attend(&mut self, interface: &str) -> Result<Option<SchedClassifierLink>> {
        if self.attention.is_idle() {
            return Ok(None);
        }
        let link = attach(load::egress_program(&mut self.ebpf)?, interface)?;
        if self.attempts.begin(interface) {
            self.note_open_sockets();
        }
        Ok(Some(link))
    }

    /// Swaps this process's program into the links that an earlier one pinned.
    pub(super) fn adopt_egress(&mut self) -> Result<()> {
        let links = self.pins.links()?;
        for path in self.pins.egress_links()? {
            let has_main = links.iter().any(|pin| self.pins.egress(pin) == path);
            if !has_main || links::look(&path)?.ifindex == 0 {
                remove(&path)?;
                continue;
            }
            let link = SchedClassifierLink::try_from(links::open(&path)?);
            let link = link.with_context(|| format!("{} is no TC link", path.display()))?;
            let program = load::egress_program(&mut self.ebpf)?;
            let id = program.attach_to_link(link).with_context(|| format!("replacing {}", path.display()))?;
            program.take_link(id)?;
        }
        Ok(())
    }
}

/// Puts the program on an interface, before others of its kind: one that decides would keep frames from it.
fn attach(program: &mut SchedClassifier, interface: &str) -> Result<SchedClassifierLink> {
    let has_links = has_links()?;
    let id = if has_links {
        let first = TcAttachOptions::TcxOrder(LinkOrder::first());
        program.attach_with_options(interface, TcAttachType::Egress, first)
    } else {
        // One that is there serves as well; where there is none for another reason, the next step says so.
        let _ = qdisc_add_clsact(interface);
        let there = filter(interface)?;
        let options = NlOptions { priority: PRIORITY, handle: HANDLE, classid: None };
        program.attach_to_link(there).or_else(|_| {
            program.attach_with_options(interface, TcAttachType::Egress, TcAttachOptions::Netlink(options))
        })
    };
    Ok(program.take_link(id.map_err(|error| unable(interface, has_links, &error.into()))?)?)
}

/// Why what an interface sends is not looked at, and what the kernel has to be built with.
fn unable(interface: &str, has_links: bool, error: &anyhow::Error) -> Refusal {
    let wanted = if has_links {
        "TCX (CONFIG_NET_XGRESS)"
    } else {
        "clsact and its filters (CONFIG_NET_SCH_INGRESS, CONFIG_NET_CLS_BPF and CONFIG_NET_CLS_ACT)"
    };
    Refusal::broken(format!("attaching to what {interface} sends: {error:#}")).hint(format!(
        "the kernel has to be built with {wanted}, on which rules for what this host sends and a default that drops \
         depend; `default = \"pass\"` without egress rules does not"
    ))
}

/// Lets the program stay on the interface when this process ends.
pub(super) fn keep(link: SchedClassifierLink, path: &Path) -> Result<()> {
    if has_links()? {
        let link = FdLink::try_from(link)?;
        link.pin(path).with_context(|| format!("pinning {}", path.display()))?;
    } else {
        mem::forget(link);
    }
    Ok(())
}

/// The program on the interface of a main program's link, by which it is found.
///
/// To be looked up while that link is there, and taken off after it: what drops goes before what knows the answers.
pub(super) struct Attending {
    link: PathBuf,
    /// The interface that may have the filter of an older kernel.
    filter: Option<String>,
}

impl Attending {
    pub fn beside(pins: &Pins, pin: &LinkPin) -> Result<Self> {
        let filter = match links::place(pins, pin)? {
            Place::Here(name) if !has_links()? => Some(name),
            _ => None,
        };
        Ok(Self { link: pins.egress(pin), filter })
    }

    pub fn take_off(self) -> Result<()> {
        if self.link.exists() {
            remove(&self.link)?;
        }
        if let Some(name) = self.filter {
            // Where it is not, nothing is to be done.
            let _ = filter(&name)?.detach();
        }
        Ok(())
    }
}

/// The filter that an earlier process may have made.
fn filter(interface: &str) -> Result<SchedClassifierLink> {
    SchedClassifierLink::attached(interface, TcAttachType::Egress, PRIORITY, HANDLE, None)
        .with_context(|| format!("finding {interface}"))
}

fn has_links() -> Result<bool> {
    let (major, minor) = LINKS_SINCE;
    Ok(KernelVersion::current().context("asking for the kernel's version")? >= KernelVersion::new(major, minor, 0))
}

fn remove(path: &Path) -> Result<()> {
    fs::remove_file(path).with_context(|| format!("removing the pin {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_lacks_is_named() {
        for (has_links, option) in [(true, "CONFIG_NET_XGRESS"), (false, "CONFIG_NET_SCH_INGRESS")] {
            let refusal = unable("eth0", has_links, &anyhow::anyhow!("Invalid argument"));
            assert_eq!(refusal.error, "attaching to what eth0 sends: Invalid argument");
            assert!(refusal.hint.is_some_and(|hint| hint.contains(option)));
        }
    }
}
