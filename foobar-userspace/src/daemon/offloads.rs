//! What devices do to frames before XDP sees them. What they merge is larger than what came in, and cannot be sent on.
//!
//! Linux merges nothing on the interface that a generic program is on, but on those below it, such as a bridge's ports.
//! Nothing is refused that was there before: who turns a feature on later is warned.

use super::{engine::Engine, state::State};
use crate::{
    api::types::Refusal,
    config::Config,
    datapath::{
        Attachment,
        below::stack,
        features::{Feature, on},
    },
    domain::Service,
};

/// Refuses an interface in generic mode that merges packets, where a service of the configuration sends them on.
pub fn refuse_merging(interface: &str, config: &Config) -> Result<(), Refusal> {
    match config.services.first() {
        Some(service) => refuse_for(interface, interface, service),
        None => Ok(()),
    }
}

/// The same for one service, with what the interface stands on. `called`: the name that it has.
fn refuse_for(interface: &str, called: &str, service: &Service) -> Result<(), Refusal> {
    for device in stack(called)? {
        let Some(feature) = on(&device, &Feature::MERGING)?.into_iter().next() else { continue };
        let (long, name) = (feature.long_name(), &service.name);
        let of = if device == called { String::new() } else { format!(" of {device}, which it stands on,") };
        let error = format!(
            "{interface} runs XDP in generic mode, and {long}{of} is on: packets that are merged before are too large \
             for what service {name} does with them"
        );
        return Err(Refusal::refused(error).hint(format!("`ethtool -K {device} {} off`", feature.name())));
    }
    Ok(())
}

/// The warning where an interface takes tags off frames.
fn hiding(interface: &str) -> Option<String> {
    let feature = on(interface, &Feature::STRIPPING).ok()?.into_iter().next()?;
    let (long, name) = (feature.long_name(), feature.name());
    Some(format!("{interface} hides tags of VLANs from foobar ({long} is on): `ethtool -K {interface} {name} off`"))
}

impl Engine {
    /// Refuses services that are new where packets come in by an interface that merges them.
    pub(super) fn refuse_services_merged(&self, wanted: &State) -> Result<(), Refusal> {
        let is_known = |service: &Service| self.state.config.services.iter().any(|known| known.is_same(service));
        let Some(service) = wanted.config.services.iter().find(|service| !is_known(service)) else { return Ok(()) };
        generic(&self.datapath.attachments()?, &wanted.config)
            .try_for_each(|(interface, called)| refuse_for(&interface, &called, service))
    }

    /// Interfaces that hide tags, and those in generic mode that merge what services send on, in sentences.
    pub(super) fn offload_warnings(&self, attachments: &[Attachment]) -> Vec<String> {
        let hidden = attachments.iter().filter_map(|found| hiding(found.called.as_deref()?));
        let merging = |service| self.merging_warnings(attachments, service);
        hidden.chain(self.state.config.services.first().into_iter().flat_map(merging)).collect()
    }

    fn merging_warnings(&self, attachments: &[Attachment], service: &Service) -> Vec<String> {
        let refusals = generic(attachments, &self.state.config).filter_map(|(interface, called)| {
            let Refusal { error, hint, .. } = refuse_for(&interface, &called, service).err()?;
            Some(format!("{error}: {}", hint.unwrap_or_default()))
        });
        refusals.collect()
    }
}

/// Interfaces of a configuration that are in generic mode, and what they are called.
fn generic(attachments: &[Attachment], config: &Config) -> impl Iterator<Item = (String, String)> {
    let is_named = |name: &String| config.interfaces.iter().any(|interface| interface.name == *name);
    let found = attachments.iter().filter(move |found| !found.native && is_named(&found.interface));
    found.filter_map(|found| Some((found.interface.clone(), found.called.clone()?)))
}
