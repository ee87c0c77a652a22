//! Which interfaces the program is on: asked for, found again, let go.

use super::engine::Engine;
use crate::{
    api::types::{Attached, AttachedMode, Refusal},
    config::Interface,
    datapath::{AttachError, Attachment},
};

impl Engine {
    /// Attaches, and remembers it. On an interface that is attached already, only a peer can be added.
    pub fn attach(&mut self, interface: &Interface) -> Result<Attached, Refusal> {
        let attachment = match (self.datapath.attach(&interface.name, interface.mode), &interface.peer) {
            (Err(AttachError::Twice { .. }), Some(_)) => self.attachment(&interface.name)?,
            (result, _) => result?,
        };
        let before = self.state.config.interfaces.iter().any(|other| other.name == interface.name);
        let done = self.attach_peer_of(interface).and_then(|()| self.remember(interface));
        if let Err(refusal) = done {
            if !before {
                self.datapath.detach(&interface.name)?;
            }
            return Err(refusal);
        }
        let attached = self.attached(interface, &attachment);
        tracing::info!("{} is attached ({} mode)", attached.name, if attachment.native { "native" } else { "generic" });
        Ok(attached)
    }

    fn attach_peer_of(&mut self, interface: &Interface) -> Result<(), Refusal> {
        match &interface.peer {
            Some(peer) => Ok(self.datapath.attach_peer(&interface.name, peer)?),
            None => Ok(()),
        }
    }

    fn attachment(&self, name: &str) -> Result<Attachment, Refusal> {
        let attachments = self.datapath.attachments()?;
        attachments
            .into_iter()
            .find(|attachment| attachment.interface == name)
            .ok_or_else(|| Refusal::missing(format!("{name} is not attached")))
    }

    fn remember(&mut self, interface: &Interface) -> Result<(), Refusal> {
        self.change(|state| {
            state.config.interfaces.retain(|other| other.name != interface.name);
            state.config.interfaces.push(interface.clone());
            Ok(())
        })
    }

    fn attached(&self, interface: &Interface, attachment: &Attachment) -> Attached {
        let mut warnings = Vec::new();
        if !attachment.native {
            warnings.push(format!(
                "{} runs XDP in generic mode, which is slower: its driver has no native mode for it",
                interface.name
            ));
        }
        if interface.peer.is_none() && self.datapath.is_veth(attachment.ifindex) {
            warnings.push(format!(
                "{0} is one end of a veth pair: what foobar forwards from it arrives only if the other end has an XDP \
                 program too; `foobar attach {0} --peer NETNS:IFACE` puts a passing one there",
                interface.name
            ));
        }
        Attached {
            name: interface.name.clone(),
            mode: if attachment.native { AttachedMode::Native } else { AttachedMode::Generic },
            ifindex: attachment.ifindex,
            peer: interface.peer.clone(),
            warnings,
        }
    }

    /// Takes the program off one interface, or off all of them, and forgets them.
    pub fn detach(&mut self, name: Option<&str>) -> Result<Vec<String>, Refusal> {
        let names: Vec<_> = self.state.config.interfaces.iter().map(|interface| interface.name.clone()).collect();
        let names = match name {
            Some(name) if names.iter().any(|other| other == name) => vec![name.to_owned()],
            Some(name) => {
                return Err(
                    Refusal::missing(format!("{name} is not attached")).hint("`foobar status` lists the interfaces")
                );
            }
            None => names,
        };
        for name in &names {
            self.datapath.detach(name)?;
            tracing::info!("{name} is detached");
        }
        self.change(|state| {
            state.config.interfaces.retain(|interface| !names.contains(&interface.name));
            Ok(())
        })?;
        Ok(names)
    }

    /// Attaches what the configuration names and is not attached yet. A first start fails whole; a restart goes on with
    /// what is there.
    pub(super) fn attach_at_start(&mut self, first: bool) -> Result<(), Refusal> {
        for interface in self.state.config.interfaces.clone() {
            match self.attach_again(&interface) {
                Ok(()) => {}
                Err(refusal) if first => {
                    for interface in &self.state.config.interfaces {
                        self.datapath.detach(&interface.name)?;
                    }
                    return Err(refusal);
                }
                Err(refusal) => tracing::warn!("{} is not attached: {refusal}", interface.name),
            }
        }
        self.detach_strangers()
    }

    /// Takes the program off interfaces that the configuration does not name any more.
    fn detach_strangers(&mut self) -> Result<(), Refusal> {
        for attachment in self.datapath.attachments()? {
            if self.state.config.interfaces.iter().all(|interface| interface.name != attachment.interface) {
                self.datapath.detach(&attachment.interface)?;
                tracing::info!("{} is detached: the configuration does not name it", attachment.interface);
            }
        }
        Ok(())
    }

    fn attach_again(&mut self, interface: &Interface) -> Result<(), Refusal> {
        match self.datapath.attach(&interface.name, interface.mode) {
            Err(AttachError::Twice { .. }) if self.datapath.has_peer(&interface.name) => return Ok(()),
            Ok(_) | Err(AttachError::Twice { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        self.attach_peer_of(interface)?;
        tracing::info!("{} is attached", interface.name);
        Ok(())
    }

    /// Attaches interfaces that came back.
    pub(super) fn attach_returned(&mut self) {
        let Ok(attachments) = self.datapath.attachments() else { return };
        for interface in self.state.config.interfaces.clone() {
            if attachments.iter().any(|attachment| attachment.interface == interface.name && attachment.alive) {
                continue;
            }
            match self.attach_again(&interface) {
                Ok(()) => {}
                Err(refusal) => tracing::debug!("{} is not attached: {refusal}", interface.name),
            }
        }
    }
}

impl From<AttachError> for Refusal {
    fn from(error: AttachError) -> Self {
        let text = error.to_string();
        match error {
            AttachError::UnknownInterface(_) => Self::missing(text)
                .hint("`ip link` lists the interfaces; --netns NAME runs foobar in another namespace"),
            AttachError::Netns(refusal) => refusal,
            AttachError::Foreign { .. } => Self::refused(text)
                .hint("foobar never displaces another program: take it off first (`ip link set dev IFACE xdp off`)"),
            AttachError::NotNative { .. } => Self::refused(text).hint("`--mode generic` works with every driver"),
            AttachError::Twice { .. } => Self::refused(text).hint("`foobar status` shows how"),
            AttachError::Other(error) => Self::broken(format!("{error:#}")),
        }
    }
}
