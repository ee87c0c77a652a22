//! Live changes of sets and of what is in them.

use std::{collections::BTreeSet, time::Duration};

use foobar_common::{layout::MAX_TIMED, sets::TIMED_LENS};
use ipnet::IpNet;

use super::{
    super::{
        caution::Caution,
        engine::Engine,
        state::{State, now},
    },
    NamedSet, Unread, covers, fresh, join,
    journal::{Change, Overlay},
    unix_now,
};
use crate::{
    api::types::{Refusal, Reloaded, SetChanged},
    config::Policy,
    domain::{Rule, SetSource, Verdict, set::compact},
};

impl Engine {
    /// Makes an empty set.
    pub fn new_set(&mut self, name: &str) -> Result<(), Refusal> {
        if self.state.config.firewall.sets.contains_key(name) {
            return Err(Refusal::refused(format!("there is a set {name} already")).hint("`foobar set list` lists them"));
        }
        self.change(|state| {
            state.config.firewall.sets.insert(name.to_owned(), SetSource::Prefixes(Vec::new()));
            Ok(())
        })?;
        tracing::info!("set {name} is made");
        Ok(())
    }

    /// Takes a set away that no rule names.
    pub fn remove_set(&mut self, name: &str) -> Result<(), Refusal> {
        self.set_id(name)?;
        let by = self.rules_naming(name);
        if !by.is_empty() {
            let by: Vec<_> = by.iter().map(|rule| format!("`{rule}`")).collect();
            return Err(Refusal::refused(format!("set {name} is named by {}", by.join(", ")))
                .hint("remove these rules first: foobar rule rm ID"));
        }
        self.change(|state| {
            state.config.firewall.sets.remove(name);
            Ok(())
        })?;
        tracing::info!("set {name} is removed");
        Ok(())
    }

    /// Adds and removes prefixes, all or none. `lifetime`: what is added ends after so long.
    pub fn change_set(
        &mut self,
        name: &str,
        add: &[IpNet],
        remove: &[IpNet],
        lifetime: Option<Duration>,
        caution: &Caution,
    ) -> Result<SetChanged, Refusal> {
        self.refuse_cut_by_set(caution, name, |set, end| {
            add.iter().any(|net| net.contains(&end)) || covers(&set.families, &set.overlay, remove, end)
        })?;
        let end = lifetime.map(|lifetime| unix_now().saturating_add(lifetime.as_secs()));
        let (id, set) = self.find_set(name)?;
        if end.is_some() {
            fits(set, name, add)?;
        }
        let changes = set.changes(add, remove, end);
        let already = add.len() + remove.len() - changes.len();
        self.refuse_without_room(id, &changes)?;
        let (_, set) = self.find_set(name)?;
        let before = set.overlay.clone();
        for change in &changes {
            set.overlay.apply(*change);
        }
        if let Err(error) = set.journal.append(&changes, &set.overlay) {
            set.overlay = before;
            return Err(error.into());
        }
        for change in &changes {
            if let Err(error) = self.apply_to_set(id, *change, &before) {
                self.take_back(id, &before);
                return Err(error.into());
            }
        }
        if !remove.is_empty() {
            self.keep_lengths(id)?;
            self.note_who_may_have_lost(name);
        }
        tracing::info!("set {name}: {} added, {} removed live", add.len(), remove.len());
        Ok(SetChanged { changed: changes.len(), unchanged: already })
    }

    /// All elements that end have room in the kernel.
    fn refuse_without_room(&self, id: u32, changes: &[Change]) -> Result<(), Refusal> {
        let of_set = |net: &IpNet| self.sets.by_id[&id].overlay.timed.contains_key(net);
        let new = |change: &&Change| matches!(change, Change::Until(net, _) if !of_set(net));
        let count = self.sets.by_id.values().map(|set| set.overlay.timed.len()).sum::<usize>();
        if count + changes.iter().filter(new).count() > MAX_TIMED as usize {
            let problem = format!("all sets together hold {MAX_TIMED} elements that end, and have {count}");
            return Err(Refusal::refused(problem).hint("add them without `--for`, or remove others"));
        }
        Ok(())
    }

    /// Says which lengths the elements of a set that end have left.
    fn keep_lengths(&mut self, id: u32) -> anyhow::Result<()> {
        let Some(set) = self.sets.by_id.get(&id) else { return Ok(()) };
        [false, true].into_iter().try_for_each(|v6| self.datapath.keep_lengths(id, v6, &set.lengths(v6)))
    }

    /// Writes a change into the tables. `before`: what was changed live before it.
    fn apply_to_set(&mut self, id: u32, change: Change, before: &Overlay) -> anyhow::Result<()> {
        let Some(set) = self.sets.by_id.get_mut(&id) else { return Ok(()) };
        let (Change::Add(net) | Change::Remove(net) | Change::Forget(net) | Change::Until(net, _)) = change;
        let (v6, prefix) = compact(&net);
        let contents = &mut set.families[usize::from(v6)];
        match change {
            Change::Add(_) => {
                if contents.insert(prefix) {
                    // One that was removed live is in the list.
                    if !before.removed.contains(&net) {
                        set.fresh.insert(net);
                    }
                    self.datapath.add_to_set(id, v6, prefix, contents)?;
                }
            }
            Change::Remove(_) | Change::Forget(_) => {
                set.fresh.remove(&net);
                if contents.remove(prefix) {
                    self.datapath.remove_from_set(id, v6, prefix, contents);
                }
                self.datapath.remove_until(id, v6, prefix);
            }
            Change::Until(_, end) => {
                let until = now() + end.saturating_sub(unix_now());
                self.datapath.add_until(id, v6, prefix, until)?;
            }
        }
        Ok(())
    }

    /// Undoes changes of which not all could be done: the set is loaded as it was.
    fn take_back(&mut self, id: u32, before: &Overlay) {
        let Some(set) = self.sets.by_id.get_mut(&id) else { return };
        let (name, source) = (set.name.clone(), set.source.clone());
        let done = set.journal.replace(before);
        let done = done.and_then(|()| self.load_set(id, &name, &source, Unread::AsBefore));
        if let Err(error) = done.and_then(|()| self.drop_strange_elements()).and_then(|()| self.keep_lengths(id)) {
            tracing::error!("set {name}: a part of what was refused may hold until a restart: {error:#}");
        }
    }

    /// What a rule allowed was not noted: before members of a set that it names are none, what this host has open with them is.
    pub(super) fn note_who_may_have_lost(&mut self, name: &str) {
        let allows = |rule: &Rule| rule.verdict == Verdict::Allow && rule.sets().any(|set| set == name);
        let closes = |state: &State| {
            state.config.firewall.default == Policy::Drop && state.config.firewall.rules.iter().any(allows)
        };
        if self.state.possible().any(closes) {
            self.datapath.note_open_sockets();
        }
    }

    /// Reads a set's source again. What was added live stays, what was removed live is as the source says.
    pub fn reload_set(&mut self, name: &str, caution: &Caution) -> Result<Reloaded, Refusal> {
        let source = self.find_set(name)?.1.source.clone();
        let list = match &source {
            SetSource::File(path) => self.sets.read(name, path)?,
            SetSource::Prefixes(_) => {
                return Err(Refusal::refused(format!("set {name} has no file"))
                    .hint("`foobar set add` and `set rm` change it; a list in foobar.toml is read at start"));
            }
        };
        let (id, set) = self.find_set(name)?;
        let overlay = Overlay { removed: BTreeSet::new(), ..set.overlay.clone() };
        let (families, restored) = (join(&list.prefixes, &overlay), set.overlay.removed.len());
        self.refuse_cut_by_set(caution, name, |_, end| covers(&families, &overlay, &[], end))?;
        let (_, set) = self.find_set(name)?;
        set.journal.replace(&overlay)?;
        self.datapath.load_set(id, [&families[0], &families[1]])?;
        let (_, set) = self.find_set(name)?;
        let kept_live = overlay.added.len() + overlay.timed.len();
        set.fresh = fresh(&list, &overlay);
        (set.families, set.overlay, set.masked, set.stale) = (families, overlay, list.masked, None);
        let prefixes = set.lasting() + set.overlay.timed.len();
        self.note_who_may_have_lost(name);
        tracing::info!("set {name}: {prefixes} prefixes, {kept_live} of them added live");
        Ok(Reloaded { prefixes, kept_live, restored, masked: list.masked })
    }

    /// The id of a set.
    pub(super) fn set_id(&self, name: &str) -> Result<u32, Refusal> {
        let id = self.state.ids.sets().get(name).copied();
        id.filter(|id| self.sets.by_id.contains_key(id))
            .ok_or_else(|| Refusal::missing(format!("there is no set {name}")).hint(self.state.config.other_sets(name)))
    }

    /// A set that can be changed: there is one of its name.
    fn find_set(&mut self, name: &str) -> Result<(u32, &mut NamedSet), Refusal> {
        let id = self.set_id(name)?;
        if self.sets.by_id.values().filter(|set| set.name == name).count() > 1 {
            return Err(Refusal::refused(format!(
                "a change waits for confirmation that has set {name} come from elsewhere"
            ))
            .hint("`foobar confirm` or `foobar rollback` first"));
        }
        let set = self.sets.by_id.get_mut(&id);
        Ok((id, set.ok_or_else(|| Refusal::missing(format!("there is no set {name}")))?))
    }
}

impl NamedSet {
    /// What has to change for these to be added, until a Unix time if there is one, and those removed.
    fn changes(&self, add: &[IpNet], remove: &[IpNet], end: Option<u64>) -> Vec<Change> {
        let gone = |net: &IpNet| if self.is_listed(net) { Change::Remove(*net) } else { Change::Forget(*net) };
        let mut changes = Vec::new();
        for net in add {
            match end {
                Some(end) => changes.push(Change::Until(*net, end)),
                None if self.contains(net) && self.overlay.added.contains(net) => {}
                None => changes.push(Change::Add(*net)),
            }
        }
        // Behind what comes: nobody who stays is none for a moment.
        changes.extend(remove.iter().filter(|net| self.has(net) && !add.contains(net)).map(gone));
        changes
    }

    /// Whether the set's source lists a member.
    fn is_listed(&self, net: &IpNet) -> bool {
        self.contains(net) && !self.fresh.contains(net)
    }

    /// Whether a prefix is among its elements, lasting or not.
    fn has(&self, net: &IpNet) -> bool {
        self.contains(net) || self.overlay.timed.contains_key(net)
    }
}

/// Whether elements that end can be added: they are looked up for each length that some of them have.
fn fits(set: &NamedSet, name: &str, add: &[IpNet]) -> Result<(), Refusal> {
    for wanted in [false, true] {
        let mut lens = set.lengths(wanted);
        lens.extend(add.iter().filter(|net| compact(net).0 == wanted).map(IpNet::prefix_len));
        if lens.contains(&0) {
            return Err(Refusal::refused("a prefix of length 0 cannot end by itself")
                .hint("write a rule `for` a while instead, or two prefixes of length 1"));
        }
        if lens.len() > TIMED_LENS {
            return Err(Refusal::refused(format!(
                "the elements of set {name} that end would have {} different lengths, and {TIMED_LENS} is the most",
                lens.len()
            ))
            .hint("add it without `--for`, or with a length that others have"));
        }
    }
    Ok(())
}
