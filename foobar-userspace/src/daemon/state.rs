//! The running configuration on disk: what is acknowledged is here, whole, before it is acknowledged.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::{
    config::{Config, Firewall, Policy},
    datapath::Attention,
    plan::{ids::Ids, interfaces::Ifindexes, pool::Pool},
};

/// What runs, and what it was made from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The boot during which the tables that it speaks of were made.
    pub boot: String,
    /// The text of the configuration file as it was last applied.
    pub file: Option<String>,
    /// The text of the file that the last start was given, as it was then or when it was last applied: a start applies
    /// its file when it is another one.
    #[serde(default)]
    pub seen: Option<String>,
    /// Where the file that was last applied is.
    #[serde(default)]
    pub source: Option<PathBuf>,
    pub config: Config,
    pub ids: Ids,
    /// By the id of a rule with `for`: the second of the monotonic clock at which its time is over.
    #[serde(default)]
    pub ends: BTreeMap<u32, u32>,
    /// By the name of an interface that rules name: the indexes that the tables know it by.
    #[serde(default)]
    pub ifindexes: Ifindexes,
    /// By service: how far its ring has come since it last changed. A service without an entry is calm.
    pub unrest: BTreeMap<String, Unrest>,
    /// Addresses that packets of services come from.
    #[serde(default)]
    pub pool: Pool,
    /// The state before a change that waits for confirmation.
    #[serde(default)]
    pub pending: Option<Box<Pending>>,
}

/// What comes back unless the change is confirmed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// The second of the monotonic clock from which on packets see it again.
    pub until: u32,
    pub before: State,
}

impl State {
    /// What was before the change that waits, as it comes back: backends that only the change has drain, since they may
    /// have connections.
    pub fn rolled_back(&self) -> Option<Self> {
        let before = &self.pending.as_deref()?.before;
        let mut config = before.config.draining(&self.config);
        config.empty_what_was_idle(&self.config);
        // Interfaces are taken off at once, whatever waits.
        config.interfaces.clone_from(&self.config.interfaces);
        let ids = before.ids.clone().back_from(&self.ids);
        Some(Self { config, ids, seen: self.seen.clone(), pool: self.pool.clone(), ..before.clone() })
    }

    /// Keeps what the state before has and may have again: ids of its rules, and what packets are told by them.
    pub fn hold_rules(&mut self, before: &Self) {
        let (old, new) = (&before.config.firewall, &self.config.firewall);
        self.ids.hold_rules(&before.ids, (&old.rules, &old.egress.rules), (&new.rules, &new.egress.rules));
    }

    /// Gives other ids to sets that come from elsewhere than before: both are there until one is let go.
    pub fn renew_sets(&mut self, before: &Self) {
        let (old, new) = (&before.config.firewall.sets, &self.config.firewall.sets);
        self.ids.renew_sets(&before.ids, |name| old.get(name) != new.get(name));
    }

    /// The change is there to stay.
    #[must_use]
    pub fn confirmed(mut self) -> Self {
        self.pending = None;
        self.ids.let_rules_go();
        self
    }

    /// What packets see whether or not the change that waits is confirmed: the one before it, or this one.
    pub fn settled(&self) -> &Self {
        self.pending.as_deref().map_or(self, |pending| &pending.before)
    }

    /// This one, and the one that may come back.
    pub fn possible(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(self.pending.as_deref().map(|pending| &pending.before))
    }

    /// Ids of backends that left and do not come back.
    pub fn dead_backends(&self) -> impl Iterator<Item = u32> {
        let held = self.pending.as_deref().map(|pending| pending.before.ids.living());
        self.ids.retired().filter(move |id| !held.as_ref().is_some_and(|held| held[*id as usize]))
    }

    /// What the program on the way out is needed for.
    pub fn attention(&self) -> Attention {
        let any = |is: fn(&Firewall) -> bool| self.possible().any(|state| is(&state.config.firewall));
        Attention {
            judges: any(|firewall| !firewall.egress.is_idle()),
            notes: any(|firewall| firewall.default == Policy::Drop),
            hears: any(|firewall| firewall.egress.default == Policy::Drop),
        }
    }
}

/// A ring that changed. Seconds of the monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unrest {
    /// Old flows may be silent on their previous backends until one `idle` after this.
    Waiting(u64),
    /// Previous backends are given up; slots get calm as their notes go.
    Settling,
}

/// Where the state is kept.
#[derive(Clone, Debug)]
pub struct Store {
    path: PathBuf,
}

impl Store {
    /// Makes the directory where there is none.
    pub fn new(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("making the state directory {}", dir.display()))?;
        Ok(Self { path: dir.join("running.json") })
    }

    /// `None` where nothing was saved yet.
    pub fn load(&self) -> Result<Option<State>> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("reading {}", self.path.display())),
        };
        let state = serde_json::from_str(&text).with_context(|| format!("{} is damaged", self.path.display()))?;
        Ok(Some(state))
    }

    /// Replaces what was saved; after a crash either the old or the new text is there, whole.
    pub fn save(&self, state: &State) -> Result<()> {
        let text = serde_json::to_string_pretty(state).context("writing the state as JSON")?;
        let fresh = self.path.with_extension("json.new");
        self.replace(&fresh, &text)
            .with_context(|| format!("saving the running configuration to {}", self.path.display()))
    }

    fn replace(&self, fresh: &Path, text: &str) -> Result<()> {
        let mut file = File::create(fresh)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(fresh, &self.path)?;
        // The rename is in the directory: it is durable when that is.
        let dir = self.path.parent().unwrap_or(Path::new("/"));
        Ok(File::open(dir)?.sync_all()?)
    }
}

/// This boot's id (`random(4)`).
pub fn boot_id() -> Result<String> {
    let path = "/proc/sys/kernel/random/boot_id";
    let id = fs::read_to_string(path).with_context(|| format!("reading {path}"))?;
    Ok(id.trim().to_owned())
}

/// Seconds of the wall clock.
pub fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Seconds of the monotonic clock, which is the kernel program's clock too.
pub fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(time.tv_sec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_loaded() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::new(dir.path()).expect("a store");
        assert_eq!(store.load().expect("nothing"), None);
        let mut state = State { boot: "b".to_owned(), ..State::default() };
        state.unrest.insert("web".to_owned(), Unrest::Waiting(7));
        state.config.firewall.rules.push("deny from 203.0.113.0/24 as scanner".parse().expect("a rule"));
        store.save(&state).expect("saved");
        assert_eq!(store.load().expect("loaded"), Some(state));
    }

    #[test]
    fn a_damaged_state_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::new(dir.path()).expect("a store");
        fs::write(dir.path().join("running.json"), "{").expect("written");
        let error = format!("{:#}", store.load().expect_err("damaged"));
        assert!(error.contains("running.json is damaged"), "{error}");
    }
}
