//! Named sets in the lab: loaded as the daemon loads them, and changed while frames run.

use std::collections::BTreeMap;

use foobar_common::sets::{contents::Contents, host::HostSets};
use foobar_userspace::{
    daemon::{
        sets::{join, journal::Overlay},
        state::now,
    },
    domain::{SetSource, set::compact},
};

use super::Lab;

/// By name: the id, and what is in it.
pub type LabSets = BTreeMap<String, (u32, [Contents; 2])>;

impl Lab {
    /// Loads the sets that were not loaded yet.
    pub(super) fn load_sets(&self, loaded: &mut super::load::Loaded) -> anyhow::Result<()> {
        for (name, source) in &self.state.config.firewall.sets {
            let SetSource::Prefixes(prefixes) = source else { continue };
            if !loaded.sets.contains_key(name) {
                let (id, families) = (self.state.ids.sets()[name], join(prefixes, &Overlay::default()));
                loaded.datapath.load_set(id, [&families[0], &families[1]])?;
                loaded.sets.insert(name.clone(), (id, families));
            }
        }
        Ok(())
    }

    /// Adds a prefix to a set in force.
    pub fn add_to_set(&mut self, name: &str, prefix: &str) {
        let (v6, prefix) = compact(&prefix.parse().expect("a prefix"));
        let loaded = self.loaded();
        let (id, families) = loaded.sets.get_mut(name).expect("a set");
        let contents = &mut families[usize::from(v6)];
        contents.insert(prefix);
        loaded.datapath.add_to_set(*id, v6, prefix, contents).expect("added");
    }

    /// Removes a prefix from a set in force.
    pub fn remove_from_set(&mut self, name: &str, prefix: &str) {
        let (v6, prefix) = compact(&prefix.parse().expect("a prefix"));
        let loaded = self.loaded();
        let (id, families) = loaded.sets.get_mut(name).expect("a set");
        let contents = &mut families[usize::from(v6)];
        contents.remove(prefix);
        loaded.datapath.remove_from_set(*id, v6, prefix, contents);
    }

    /// Adds a prefix that ends so many seconds from the start of this second on.
    pub fn add_until(&mut self, name: &str, prefix: &str, seconds: u64) {
        let (v6, prefix) = compact(&prefix.parse().expect("a prefix"));
        let loaded = self.loaded();
        let id = loaded.sets[name].0;
        loaded.datapath.add_until(id, v6, prefix, now() + seconds).expect("added");
    }

    /// Puts other prefixes in the place of those that a set has.
    pub fn reload_set(&mut self, name: &str, prefixes: &[&str]) {
        let nets: Vec<_> = prefixes.iter().map(|text| text.parse().expect("a prefix")).collect();
        let loaded = self.loaded();
        let (id, families) = loaded.sets.get_mut(name).expect("a set");
        *families = join(&nets, &Overlay::default());
        loaded.datapath.load_set(*id, [&families[0], &families[1]]).expect("loaded");
    }

    /// The same sets on the host.
    pub(super) fn host_sets(&mut self) -> HostSets {
        let mut by_id: Vec<_> = self.loaded().sets.values().collect();
        by_id.sort_by_key(|(id, _)| *id);
        let (mut sets, empty) = (HostSets::default(), Contents::default());
        for (id, families) in by_id {
            while sets.records.len() < *id as usize {
                sets.push([&empty, &empty]);
            }
            sets.push([&families[0], &families[1]]);
        }
        sets
    }
}
