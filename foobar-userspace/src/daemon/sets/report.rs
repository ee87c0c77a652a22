//! What the engine says of its sets.

use std::{collections::BTreeSet, net::IpAddr};

use foobar_common::sets::host::HostSets;
use ipnet::IpNet;

use super::{
    super::{engine::Engine, state::State},
    NamedSet, covers, masked_in_words, unix_now,
};
use crate::{
    api::types::{Refusal, SetElement, SetMembers, SetStatus},
    domain::{
        SetSource,
        set::{compact, show},
    },
};

impl Engine {
    pub fn sets(&self) -> Vec<SetStatus> {
        self.state.ids.sets().values().filter_map(|id| Some(self.set_status(*id, self.sets.by_id.get(id)?))).collect()
    }

    /// One set with everything that is in it.
    pub fn set_members(&self, name: &str) -> Result<SetMembers, Refusal> {
        let id = self.set_id(name)?;
        let set = &self.sets.by_id[&id];
        let wall = unix_now();
        let timed = set.overlay.timed.iter().filter(|(_, end)| **end > wall);
        let timed = timed.map(|(net, end)| SetElement { prefix: show(net), seconds_left: Some(end - wall) });
        let lasting = set.prefixes().map(|net| SetElement { prefix: show(&net), seconds_left: None });
        Ok(SetMembers { status: self.set_status(id, set), elements: lasting.chain(timed).collect() })
    }

    /// The sets that an address is in, by name.
    pub(in crate::daemon) fn sets_of(&self, address: IpAddr) -> Vec<String> {
        let sets = self.state.ids.sets().iter();
        let is_in = |id: &u32| self.sets.by_id.get(id).is_some_and(|set| set.covers(address));
        sets.filter(|(_, id)| is_in(id)).map(|(name, _)| name.clone()).collect()
    }

    /// The sets of a state, as far as these addresses are in them: what a plan of it is tried with.
    pub(in crate::daemon) fn sets_for(
        &self,
        wanted: &State,
        addresses: &BTreeSet<IpAddr>,
    ) -> Result<HostSets, Refusal> {
        let mut sets = HostSets::default();
        for (name, source) in &wanted.config.firewall.sets {
            let id = wanted.ids.sets()[name];
            let loaded = self.sets.by_id.get(&id).filter(|set| set.source == *source);
            let found = if loaded.is_none() { Some(self.sets.look(name, source)?) } else { None };
            let covers = |address: &&IpAddr| match (loaded, &found) {
                (Some(set), _) => set.covers(**address),
                (None, Some((families, overlay))) => covers(families, overlay, &[], **address),
                (None, None) => false,
            };
            sets.put(id as usize, addresses.iter().filter(covers).map(|address| compact(&IpNet::from(*address))));
        }
        Ok(sets)
    }

    fn set_status(&self, id: u32, set: &NamedSet) -> SetStatus {
        let [v4, v6] = &set.families;
        SetStatus {
            name: set.name.clone(),
            file: match &set.source {
                SetSource::File(path) => Some(path.clone()),
                SetSource::Prefixes(_) => None,
            },
            ipv4: v4.len(),
            ipv6: v6.len(),
            timed: set.overlay.timed.len(),
            live: set.overlay.added.len(),
            memory_bytes: self.datapath.set_bytes(id),
            rules: self.rules_naming(&set.name),
        }
    }

    /// The rules that name a set.
    pub(super) fn rules_naming(&self, set: &str) -> Vec<String> {
        let rules = self.state.config.firewall.rules.iter();
        rules.filter(|rule| rule.sets().any(|name| name == set)).map(ToString::to_string).collect()
    }

    /// What an operator should know of the sets.
    pub(in crate::daemon) fn set_warnings(&self) -> Vec<String> {
        let masked =
            |set: &NamedSet| (set.masked > 0).then(|| format!("set {}: {}", set.name, masked_in_words(set.masked)));
        let stale = self.sets.by_id.values().filter_map(|set| set.stale.clone());
        stale.chain(self.sets.by_id.values().filter_map(masked)).collect()
    }
}
