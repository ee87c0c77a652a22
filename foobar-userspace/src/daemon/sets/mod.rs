//! The sets that run: what their sources list, joined with what was added and removed live.
//!
//! A live change is on disk, then in the tables, then acknowledged. It needs no publishing: sets stand outside the banks.

mod changes;
mod cut;
mod files;
pub mod journal;
mod report;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use foobar_common::sets::{
    contents::{Contents, Prefix},
    element,
};
use ipnet::IpNet;

use self::journal::{Journal, Overlay, save};
use super::{
    engine::Engine,
    state::{State, now, unix_now},
};
use crate::{
    config::{parse_list, read_list, read_source},
    domain::{
        SetSource,
        set::{List, compact, expand},
    },
};

/// A set that runs.
#[derive(Debug)]
pub struct NamedSet {
    pub name: String,
    pub source: SetSource,
    /// What is lasting, by family.
    pub families: [Contents; 2],
    pub overlay: Overlay,
    /// What was added live that the source does not list.
    pub fresh: BTreeSet<IpNet>,
    pub journal: Journal,
    /// How many prefixes of its file had host bits.
    pub masked: usize,
    /// Why what runs is not what its source says, in a sentence.
    pub stale: Option<String>,
}

/// Every set, by id, and the directory of their journals. While a change waits that has a set come from elsewhere, both
/// are here.
#[derive(Debug)]
pub struct NamedSets {
    dir: PathBuf,
    pub by_id: BTreeMap<u32, NamedSet>,
}

/// What becomes of a set whose file cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// The change is.
    Refused,
    /// It is as when the file was read last: traffic does not wait for somebody to mend it.
    AsBefore,
}

impl NamedSets {
    /// Makes the directory where there is none.
    pub fn new(state_dir: &Path) -> Result<Self> {
        let dir = state_dir.join("sets");
        fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
        Ok(Self { dir, by_id: BTreeMap::new() })
    }

    /// What a source lists, and why that is what it was when it was read last, if so.
    fn list(&self, name: &str, source: &SetSource, unread: Unread) -> Result<(List, Option<String>)> {
        let path = match source {
            SetSource::Prefixes(prefixes) => return Ok((List::given(prefixes), None)),
            SetSource::File(path) => path,
        };
        let wrong = match self.read(name, path) {
            Ok(list) => return Ok((list, None)),
            Err(wrong) => wrong,
        };
        let copy = match unread {
            Unread::Refused => return Err(wrong),
            Unread::AsBefore => fs::read_to_string(files::copy(&self.dir, name, path)),
        };
        let Ok(copy) = copy else { return Err(wrong) };
        let stale = format!("set {name} is as it was when its file was read last: {wrong:#}");
        Ok((parse_list(&copy, path)?, Some(stale)))
    }

    /// Reads a set's file, and keeps a copy for the day when it cannot be read.
    fn read(&self, name: &str, path: &Path) -> Result<List> {
        let (text, list) = read_list(path)?;
        let copy = files::copy(&self.dir, name, path);
        if fs::read_to_string(&copy).ok().as_ref() != Some(&text) {
            save(&copy, &text).with_context(|| format!("keeping a copy of {}", path.display()))?;
        }
        Ok(list)
    }

    /// A set as its source and its journal say.
    fn open(&self, name: &str, source: &SetSource, unread: Unread) -> Result<NamedSet> {
        let (list, stale) = self.list(name, source, unread)?;
        let (journal, overlay) = Journal::open(&self.dir, name)?;
        let (families, fresh) = (join(&list.prefixes, &overlay), fresh(&list, &overlay));
        Ok(NamedSet {
            name: name.to_owned(),
            source: source.clone(),
            families,
            overlay,
            fresh,
            journal,
            masked: list.masked,
            stale,
        })
    }

    /// The same, only looked at.
    fn look(&self, name: &str, source: &SetSource) -> Result<([Contents; 2], Overlay)> {
        let list = read_source(source)?;
        let (_, overlay) = Journal::open(&self.dir, name)?;
        Ok((join(&list.prefixes, &overlay), overlay))
    }
}

/// Whether an address is in a set, but for the prefixes that are about to leave it.
pub fn covers(families: &[Contents; 2], overlay: &Overlay, leave: &[IpNet], address: IpAddr) -> bool {
    let (v6, host) = compact(&IpNet::from(address));
    let around = (0..=host.len).map(|len| Prefix::new(host.bits, len));
    let lasts = |prefix| families[usize::from(v6)].contains(prefix) && !leave.contains(&expand(v6, prefix));
    let ends = |(net, end): (&IpNet, &u64)| net.contains(&address) && *end > unix_now() && !leave.contains(net);
    around.into_iter().any(lasts) || overlay.timed.iter().any(ends)
}

impl NamedSet {
    /// Lasting prefixes of both families.
    pub fn lasting(&self) -> usize {
        self.families.iter().map(Contents::len).sum()
    }

    /// Every lasting prefix, IPv4 first.
    pub fn prefixes(&self) -> impl Iterator<Item = IpNet> {
        let [v4, v6] = &self.families;
        v4.iter().map(|prefix| expand(false, prefix)).chain(v6.iter().map(|prefix| expand(true, prefix)))
    }

    /// Whether an address is in it.
    fn covers(&self, address: IpAddr) -> bool {
        covers(&self.families, &self.overlay, &[], address)
    }

    fn contains(&self, net: &IpNet) -> bool {
        let (v6, prefix) = compact(net);
        self.families[usize::from(v6)].contains(prefix)
    }

    /// Lengths of a family's elements that end.
    fn lengths(&self, v6: bool) -> BTreeSet<u8> {
        let of_family = self.overlay.timed.keys().filter(|net| compact(net).0 == v6);
        of_family.map(IpNet::prefix_len).collect()
    }
}

/// What was added live that a list does not have.
fn fresh(list: &List, overlay: &Overlay) -> BTreeSet<IpNet> {
    let listed: HashSet<_> = list.prefixes.iter().filter(|net| overlay.added.contains(*net)).collect();
    overlay.added.iter().filter(|net| !listed.contains(net)).copied().collect()
}

/// What is lasting, by family.
pub fn join(listed: &[IpNet], overlay: &Overlay) -> [Contents; 2] {
    let stays = listed.iter().filter(|net| !overlay.removed.contains(net));
    let all: Vec<_> = stays.chain(&overlay.added).map(compact).collect();
    [false, true].map(|wanted| all.iter().filter(|(v6, _)| *v6 == wanted).map(|(_, prefix)| *prefix).collect())
}

impl Engine {
    /// Brings the sets that run to what a state says: loads those that are new or come from elsewhere. Nothing is taken
    /// away yet, since rules in force may name it.
    pub(super) fn load_sets(&mut self, state: &State, unread: Unread) -> Result<()> {
        for state in state.possible() {
            for (name, source) in &state.config.firewall.sets {
                let id = state.ids.sets()[name];
                let known = self.sets.by_id.get(&id).is_some_and(|set| set.name == *name && set.source == *source);
                if !known {
                    self.load_set(id, name, source, unread)?;
                }
            }
        }
        Ok(())
    }

    /// Loads the sets of a daemon that begins.
    pub(super) fn take_sets_over(&mut self, state: &State) -> Result<()> {
        self.load_sets(state, Unread::AsBefore)?;
        self.drop_strange_elements()
    }

    /// Takes out of the kernel what was written there and never acknowledged.
    pub(super) fn drop_strange_elements(&mut self) -> Result<()> {
        let elements = self.sets.by_id.iter().flat_map(|(id, set)| set.overlay.timed.keys().map(move |net| (*id, net)));
        let known = elements.map(|(id, net)| {
            let (v6, prefix) = compact(net);
            element(id as usize, v6, prefix.len.into(), prefix.halves())
        });
        self.datapath.keep_elements(&known.collect())
    }

    fn load_set(&mut self, id: u32, name: &str, source: &SetSource, unread: Unread) -> Result<()> {
        let set = self.sets.open(name, source, unread)?;
        if set.masked > 0 {
            tracing::warn!("set {name}: {}", masked_in_words(set.masked));
        }
        if let Some(stale) = &set.stale {
            tracing::warn!("{stale}");
        }
        self.write_set(id, &set)?;
        tracing::info!("set {name}: {} prefixes", set.lasting() + set.overlay.timed.len());
        self.sets.by_id.insert(id, set);
        Ok(())
    }

    /// Takes away what no state speaks of any more.
    pub(super) fn let_sets_go(&mut self) {
        if let Err(error) = self.unload_sets() {
            tracing::error!("a set that is gone is still in memory: {error:#}");
        }
    }

    fn unload_sets(&mut self) -> Result<()> {
        let ids: BTreeSet<_> = self.state.possible().flat_map(|state| state.ids.sets().values().copied()).collect();
        let mut gone: BTreeSet<_> = self.datapath.sets_in_force().into_iter().collect();
        gone.extend(self.sets.by_id.keys());
        gone.retain(|id| !ids.contains(id));
        if !gone.is_empty() {
            // A packet may still be asking by the rules that were in force before.
            self.datapath.wait_for_readers()?;
        }
        for id in gone {
            self.datapath.clear_set(id)?;
            self.sets.by_id.remove(&id);
        }
        let sets = self.state.possible().flat_map(|state| &state.config.firewall.sets);
        let kept = sets.flat_map(|(name, source)| files::of(&self.sets.dir, name, source)).collect();
        files::keep(&self.sets.dir, &kept)?;
        Ok(())
    }

    /// Writes a whole set into the tables.
    fn write_set(&mut self, id: u32, set: &NamedSet) -> Result<()> {
        let [v4, v6] = &set.families;
        self.datapath.load_set(id, [v4, v6])?;
        let (wall, monotonic) = (unix_now(), now());
        for (net, end) in set.overlay.timed.iter().filter(|(_, end)| **end > wall) {
            let (v6, prefix) = compact(net);
            self.datapath.add_until(id, v6, prefix, monotonic + (end - wall))?;
        }
        Ok(())
    }

    /// Forgets elements that have ended. To be called every second.
    pub(super) fn end_elements(&mut self) -> Result<()> {
        let wall = unix_now();
        let mut ended = Vec::new();
        for (id, set) in &mut self.sets.by_id {
            let over: Vec<_> = set.overlay.timed.iter().filter(|(_, end)| **end <= wall).map(|(net, _)| *net).collect();
            if over.is_empty() {
                continue;
            }
            for net in &over {
                let (v6, prefix) = compact(net);
                set.overlay.timed.remove(net);
                self.datapath.remove_until(*id, v6, prefix);
            }
            for v6 in [false, true] {
                self.datapath.keep_lengths(*id, v6, &set.lengths(v6))?;
            }
            tracing::info!("set {}: {} elements have ended", set.name, over.len());
            ended.push(set.name.clone());
        }
        for name in ended {
            self.note_who_may_have_lost(&name);
        }
        Ok(())
    }
}

/// What is said of host bits.
pub fn masked_in_words(count: usize) -> String {
    format!("{count} of its file's prefixes have bits set beyond their length, which were taken off")
}
