//! What the engine says of its sets.

use super::{super::engine::Engine, NamedSet, masked_in_words, unix_now};
use crate::{
    api::types::{Refusal, SetElement, SetMembers, SetStatus},
    domain::{SetSource, Source, set::show},
};

impl Engine {
    pub fn sets(&self) -> Vec<SetStatus> {
        self.sets.by_name.iter().map(|(name, set)| self.set_status(name, set)).collect()
    }

    /// One set with everything that is in it.
    pub fn set_members(&mut self, name: &str) -> Result<SetMembers, Refusal> {
        self.find_set(name)?;
        let set = &self.sets.by_name[name];
        let wall = unix_now();
        let timed = set.overlay.timed.iter().filter(|(_, end)| **end > wall);
        let timed = timed.map(|(net, end)| SetElement { prefix: show(net), seconds_left: Some(end - wall) });
        let lasting = set.prefixes().map(|net| SetElement { prefix: show(&net), seconds_left: None });
        Ok(SetMembers { status: self.set_status(name, set), elements: lasting.chain(timed).collect() })
    }

    fn set_status(&self, name: &str, set: &NamedSet) -> SetStatus {
        let names = |source: &Source| matches!(source, Source::Set(set) if set == name);
        let rules = self.state.config.firewall.rules.iter();
        let named_by = rules.filter(|rule| rule.from.iter().chain(&rule.to).any(names)).map(ToString::to_string);
        let [v4, v6] = &set.families;
        SetStatus {
            name: name.to_owned(),
            file: match &set.source {
                SetSource::File(path) => Some(path.clone()),
                SetSource::Prefixes(_) | SetSource::Live => None,
            },
            ipv4: v4.len(),
            ipv6: v6.len(),
            timed: set.overlay.timed.len(),
            live: set.overlay.added.len(),
            memory_bytes: self.datapath.set_bytes(set.id),
            rules: named_by.collect(),
        }
    }

    /// What an operator should know of the sets.
    pub(in crate::daemon) fn set_warnings(&self) -> Vec<String> {
        let masked = |(name, set): (&String, &NamedSet)| {
            (set.masked > 0).then(|| format!("set {name}: {}", masked_in_words(set.masked)))
        };
        let stale = self.sets.by_name.values().filter_map(|set| set.stale.clone());
        stale.chain(self.sets.by_name.iter().filter_map(masked)).collect()
    }
}
