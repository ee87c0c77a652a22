//! Which interfaces the program is on: asked for, found again, let go.

use std::collections::BTreeSet;

use super::{engine::Engine, offloads::refuse_merging, state::State};
use crate::{
    api::types::{Attached, AttachedMode, Detached, Refusal},
    config::{Config, Interface, Mode},
    datapath::{AttachError, Attachment, Patience},
    plan::interfaces::Ifindexes,
};

impl Engine {
    /// Attaches, and remembers it. On an interface that is attached already, only a peer can be added or changed.
    pub fn attach(&mut self, interface: &Interface) -> Result<Attached, Refusal> {
        self.refuse_while_waiting()?;
        self.refuse_other_mode(interface)?;
        self.follow_interfaces()?;
        let judge = || refuse_merging(&interface.name, &self.state.config);
        let attached = self.datapath.attach(&interface.name, interface.mode, Patience::Settle, judge);
        let attachment = match (attached, &interface.peer) {
            (Err(AttachError::Twice { .. }), Some(_)) => self.attachment(&interface.name)?,
            (result, _) => result?,
        };
        let before = self.state.config.interfaces.iter().any(|other| other.name == interface.name);
        let done = self.attach_peer_of(interface, Patience::Settle).and_then(|()| self.remember(interface));
        if let Err(refusal) = done {
            if !before {
                self.take_off(&interface.name)?;
            }
            return Err(refusal);
        }
        let attached = self.attached(interface, &attachment);
        tracing::info!("{} is attached ({} mode)", attached.name, if attachment.native { "native" } else { "generic" });
        Ok(attached)
    }

    /// Plans anew where an interface that rules name is another one by now: before packets come in by it.
    fn follow_interfaces(&mut self) -> Result<(), Refusal> {
        if let Some(pending) = self.state.pending.as_deref() {
            let stays = |state: &State| Ok::<_, Refusal>(self.ifindexes(&state.config)? == state.ifindexes);
            if !(stays(&self.state)? && stays(&pending.before)?) {
                self.roll_back()?;
                tracing::warn!("the change that waited is undone: an interface that rules name is another one");
            }
            return Ok(());
        }
        if self.ifindexes(&self.state.config)? == self.state.ifindexes {
            return Ok(());
        }
        self.change(|_| Ok(()))?;
        tracing::info!("the rules by interface follow the interfaces: {}", told(&self.state.ifindexes));
        Ok(())
    }

    /// The indexes that the interfaces which rules name go by: of the one that is called so, and of one that was when it
    /// was attached.
    pub(super) fn ifindexes(&self, config: &Config) -> Result<Ifindexes, Refusal> {
        let names: BTreeSet<_> = config.firewall.rules.iter().flat_map(|rule| &rule.on).collect();
        if names.is_empty() {
            return Ok(Ifindexes::new());
        }
        let attachments = self.datapath.attachments()?;
        let of = |name: &String| {
            let attached = attachments.iter().filter(|found| found.called.is_some() && found.interface == *name);
            let there = self.datapath.ifindex(name);
            (name.clone(), attached.map(|found| found.ifindex).chain(there).collect())
        };
        Ok(names.into_iter().map(of).collect())
    }

    /// The kernel holds no native and generic program on one interface at a time, so there would be a gap.
    fn refuse_other_mode(&self, interface: &Interface) -> Result<(), Refusal> {
        let attachment = self.attachment(&interface.name).ok();
        match attachment.and_then(|attachment| other_mode(interface, &attachment)) {
            Some((problem, hint)) => Err(Refusal::refused(problem).hint(hint)),
            None => Ok(()),
        }
    }

    /// Puts the passing program on the peer that is wished for, or takes it off where none is.
    fn attach_peer_of(&mut self, interface: &Interface, patience: Patience) -> Result<(), Refusal> {
        let name = &interface.name;
        if let Some(peer) = &interface.peer {
            self.datapath.attach_peer(name, peer, patience)?;
            self.peers.insert(name.clone(), peer.clone());
        } else {
            self.datapath.detach_peer(name)?;
            self.peers.remove(name);
        }
        Ok(())
    }

    /// The peer of an interface on which the passing program really is.
    pub(super) fn peer_of(&self, interface: &str) -> Option<String> {
        self.peers.get(interface).filter(|_| self.datapath.has_peer(interface)).cloned()
    }

    fn attachment(&self, name: &str) -> Result<Attachment, Refusal> {
        let attachments = self.datapath.attachments()?;
        find(&attachments, name).cloned().ok_or_else(|| Refusal::missing(format!("{name} is not attached")))
    }

    fn remember(&mut self, interface: &Interface) -> Result<(), Refusal> {
        self.change(|state| {
            state.config.interfaces.retain(|other| other.name != interface.name);
            state.config.interfaces.push(interface.clone());
            Ok(())
        })
    }

    pub(super) fn take_off(&mut self, name: &str) -> Result<(), Refusal> {
        self.peers.remove(name);
        Ok(self.datapath.detach(name)?)
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
            turned_off: attachment.shown.iter().map(|feature| feature.name().to_owned()).collect(),
            warnings,
        }
    }

    /// Takes the program off one interface, or off all of them, and forgets them: on disk later, where it is full.
    pub fn detach(&mut self, name: Option<&str>) -> Result<Detached, Refusal> {
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
            self.take_off(name)?;
            tracing::info!("{name} is detached");
        }
        let pending = self.state.pending.as_deref_mut().map(|pending| &mut pending.before);
        let configs = [Some(&mut self.state.config), pending.map(|before| &mut before.config)];
        for config in configs.into_iter().flatten() {
            config.interfaces.retain(|interface| !names.contains(&interface.name));
        }
        self.save();
        Ok(Detached { interfaces: names, warnings: self.unsaved.clone().into_iter().collect() })
    }

    /// Attaches what the configuration names and is not attached yet. A first start fails whole; a restart goes on with
    /// what is there.
    pub(super) fn attach_at_start(&mut self, first: bool) -> Result<(), Refusal> {
        for interface in self.state.config.interfaces.clone() {
            match self.attach_at_start_to(&interface) {
                Ok(()) => {}
                Err(refusal) if first => {
                    for interface in &self.state.config.interfaces {
                        if let Err(error) = self.datapath.detach(&interface.name) {
                            tracing::error!("{} is not taken off: {error:#}", interface.name);
                        }
                    }
                    return Err(refusal);
                }
                Err(refusal) => tracing::warn!("{}: {refusal}", interface.name),
            }
        }
        self.detach_strangers()?;
        for warning in self.interface_warnings()? {
            tracing::warn!("{warning}");
        }
        Ok(())
    }

    fn attach_at_start_to(&mut self, interface: &Interface) -> Result<(), Refusal> {
        if let Some(old) = self.datapath.rename_link(&interface.name)? {
            tracing::info!("{} was attached by the name {old}, which it had", interface.name);
        }
        // After a boot devices merge again: who is warned is better off than who is not filtered.
        self.attach_again(interface, Patience::Settle, || Ok(()))
    }

    /// Attaches an interface of a configuration that is about to be applied, with its peer.
    pub(super) fn attach_as_wished(&mut self, interface: &Interface, wanted: &Config) -> Result<(), Refusal> {
        self.attach_again(interface, Patience::Settle, || refuse_merging(&interface.name, wanted))
    }

    /// After another configuration was applied: peers are as it says, and interfaces that it does not name are let go.
    /// What fails is returned in sentences.
    pub(super) fn let_interfaces_follow(&mut self) -> Vec<String> {
        let mut problems = Vec::new();
        for interface in self.state.config.interfaces.clone() {
            if self.peer_of(&interface.name) != interface.peer
                && let Err(refusal) = self.attach_peer_of(&interface, Patience::Settle)
            {
                problems.push(format!("{}: {refusal}", interface.name));
            }
        }
        problems.extend(self.detach_strangers().err().map(|refusal| refusal.to_string()));
        problems.extend(self.interface_warnings().unwrap_or_default());
        problems
    }

    /// Takes the program off interfaces that the configuration does not name any more.
    fn detach_strangers(&mut self) -> Result<(), Refusal> {
        for attachment in self.datapath.attachments()? {
            if self.state.config.interfaces.iter().all(|interface| interface.name != attachment.interface) {
                self.take_off(&attachment.interface)?;
                tracing::info!("{} is detached: the configuration does not name it", attachment.interface);
            }
        }
        Ok(())
    }

    fn attach_again(
        &mut self,
        interface: &Interface,
        patience: Patience,
        judge: impl FnOnce() -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let name = &interface.name;
        match self.datapath.attach(name, interface.mode, patience, judge) {
            Ok(_) => tracing::info!("{name} is attached"),
            Err(AttachError::Twice { .. }) => {}
            Err(AttachError::UnknownInterface(_))
                if self.attachment(name).is_ok_and(|other| other.called.is_some()) => {}
            Err(error) => return Err(error.into()),
        }
        self.attach_peer_of(interface, patience)
    }

    /// Attaches interfaces that came back, and peers that did.
    pub(super) fn attach_returned(&mut self) {
        if let Err(refusal) = self.follow_interfaces() {
            tracing::error!("rules by interface: {refusal}");
            return;
        }
        let Ok(attachments) = self.datapath.attachments() else { return };
        for interface in self.state.config.interfaces.clone() {
            if self.is_on(&attachments, &interface.name) && self.peer_of(&interface.name) == interface.peer {
                continue;
            }
            // Better that some packets are not sent on than that none is filtered.
            if let Err(refusal) = self.attach_again(&interface, Patience::None, || Ok(())) {
                tracing::debug!("{}: {refusal}", interface.name);
            }
        }
    }

    /// Whether the program is on the interface of this name, or on the one that had it while no other has.
    fn is_on(&self, attachments: &[Attachment], name: &str) -> bool {
        match find(attachments, name).and_then(|found| found.called.as_deref()) {
            Some(called) => called == name || !self.datapath.is_there(name),
            None => false,
        }
    }

    /// Interfaces that backends are reached by, and that have no program, though others do.
    pub(super) fn lossy(&self) -> BTreeSet<String> {
        let attached: Vec<_> = self.datapath.attachments().unwrap_or_default();
        let attached: Vec<_> = attached.into_iter().filter(|found| found.called.is_some()).collect();
        let hops = self.hops.values().flatten().filter(|hop| !attached.is_empty() && !hop.is_here());
        let lossy = hops.filter(|hop| attached.iter().all(|found| found.ifindex != hop.ifindex));
        lossy.map(|hop| hop.interface.clone()).collect()
    }

    /// How the interfaces are other than the configuration says, in sentences.
    pub(super) fn interface_warnings(&self) -> Result<Vec<String>, Refusal> {
        let attachments = self.datapath.attachments()?;
        let mut warnings = Vec::new();
        for interface in &self.state.config.interfaces {
            let name = &interface.name;
            let Some(attachment) = find(&attachments, name).filter(|attachment| attachment.called.is_some()) else {
                warnings.push(format!("{name} is not there; it is attached when it comes back"));
                continue;
            };
            let names =
                attachments.iter().filter(|other| other.interface == *name).filter_map(|other| other.called.as_ref());
            warnings.extend(names.filter(|called| *called != name).map(|other| {
                format!(
                    "{name} is called {other} by now: the program stays on it, and it goes by {name} here until the \
                     configuration says {other}"
                )
            }));
            warnings.extend(other_mode(interface, attachment).map(|(problem, hint)| format!("{problem}: {hint}")));
            if let Some(peer) = interface.peer.as_ref().filter(|peer| self.peer_of(name).as_ref() != Some(*peer)) {
                warnings.push(format!(
                    "{peer}, the peer of {name}, has no passing program: what foobar forwards from {name} is lost; \
                     `foobar attach {name} --peer {peer}` says why"
                ));
            }
        }
        warnings.extend(self.offload_warnings(&attachments));
        Ok(warnings)
    }
}

fn told(ifindexes: &Ifindexes) -> String {
    let one = |(name, of): (&String, &BTreeSet<u32>)| {
        let of: Vec<_> = of.iter().map(u32::to_string).collect();
        if of.is_empty() { format!("{name} is not there") } else { format!("{name} is {}", of.join(" and ")) }
    };
    ifindexes.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// What becomes of frames that leave by an interface without a program.
pub(super) fn lost_on(interface: &str) -> String {
    format!(
        "{interface} has no foobar attached: frames sent to it by XDP are lost on veth and many NICs; `foobar attach \
         {interface}`"
    )
}

/// What is attached by a name: the interface that is called so, if there are two.
pub(super) fn find<'a>(attachments: &'a [Attachment], name: &str) -> Option<&'a Attachment> {
    let by_name = attachments.iter().filter(|attachment| attachment.interface == name);
    by_name.max_by_key(|attachment| attachment.called.as_ref().map(|called| called == name))
}

/// The sentence and the next step where an interface is not attached in the mode that is wished for.
fn other_mode(interface: &Interface, attachment: &Attachment) -> Option<(String, String)> {
    let name = &interface.name;
    let (is, wished) = match (attachment.native, interface.mode) {
        _ if attachment.called.is_none() => return None,
        (true, Mode::Generic) => ("native", "generic"),
        (false, Mode::Native) => ("generic", "native"),
        (_, Mode::Auto) | (true, Mode::Native) | (false, Mode::Generic) => return None,
    };
    let problem =
        format!("{name} is attached in {is} mode, and the kernel cannot go over to {wished} mode without a gap");
    let hint =
        format!("`foobar detach {name}`, then `foobar attach {name} --mode {wished}`; it is unfiltered in between");
    Some((problem, hint))
}

impl From<AttachError> for Refusal {
    fn from(error: AttachError) -> Self {
        let text = error.to_string();
        match error {
            AttachError::UnknownInterface(_) => Self::missing(text)
                .hint("`ip link` lists the interfaces; --netns NAME runs foobar in another namespace"),
            AttachError::Refused(refusal) => refusal,
            AttachError::HidesTags { interface, feature, .. } => Self::refused(text).hint(format!(
                "packets whose tag is hidden would pass for others: `ethtool -K {interface} {} off` has to work first",
                feature.name()
            )),
            AttachError::Foreign { .. } => Self::refused(text)
                .hint("foobar never displaces another program: take it off first (`ip link set dev IFACE xdp off`)"),
            AttachError::NotNative { .. } => Self::refused(text).hint("`--mode generic` works with every driver"),
            AttachError::PeerOf { .. } => {
                Self::refused(text).hint("a veth has one other end: `ip -d link` shows which")
            }
            AttachError::Twice { .. } => Self::refused(text).hint("`foobar status` shows how"),
            AttachError::Renamed { .. } => {
                Self::refused(text).hint("name it so in the configuration file; the next start takes that over")
            }
            AttachError::Other(error) => Self::from(error),
        }
    }
}
