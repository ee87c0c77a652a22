//! A whole configuration in place of the one that runs, while packets flow.
//!
//! What a start with a changed file does, without the start: valid and applied whole, or refused whole.

use std::path::{Path, PathBuf};

use super::{caution::Caution, engine::Engine, plan, state::State};
use crate::{
    api::types::{Applied, Refusal, Running},
    config::{Config, Difference},
};

/// A configuration file as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadFile {
    pub path: PathBuf,
    pub text: String,
}

impl ReadFile {
    /// Mistakes are placed in the file.
    pub fn config(&self) -> Result<Config, Refusal> {
        Ok(Config::parse(&self.text, &self.path.display().to_string())?)
    }
}

impl Engine {
    /// Replaces the running configuration by `wanted`, which is what the file says. Backends that it leaves out drain.
    pub fn apply(&mut self, file: &ReadFile, wanted: &Config, caution: &Caution) -> Result<Applied, Refusal> {
        self.refuse_while_waiting()?;
        let before = self.state.config.clone();
        let interfaces_differ = !Difference::of_interfaces(&before, wanted).is_empty();
        if interfaces_differ && caution.confirm_within.is_some() {
            return Err(Refusal::refused(
                "the file names other interfaces, and packets cannot undo that by themselves",
            )
            .hint("apply it without --confirm-within, or attach and detach first"));
        }
        if interfaces_differ {
            // Before anything is attached.
            plan::judge(wanted)?;
        }
        let next = wanted.draining(&before);
        let attached = self.attach_new(&next)?;
        let is_own = self.is_own(&file.path);
        let waits = caution.confirm_within.is_some();
        let done = self.change_with(caution, |state| {
            state.config = next;
            if !waits {
                // The time of its rules runs from here on.
                state.ends.clear();
            }
            state.remember_file(file, is_own);
            Ok(())
        });
        if let Err(refusal) = done {
            for name in attached {
                self.take_off(&name)?;
            }
            return Err(refusal);
        }
        let mut warnings = self.state.config.warnings();
        warnings.extend(self.let_interfaces_follow());
        let difference = Difference::between(&before, &self.state.config);
        tracing::info!("{} is applied: {} differences", file.path.display(), difference.lines().len());
        Ok(Applied { changes: difference.lines(), difference, warnings, pending: self.pending_status() })
    }

    /// Attaches those that are not attached yet, all or none; their names.
    fn attach_new(&mut self, wanted: &Config) -> Result<Vec<String>, Refusal> {
        let known: Vec<_> = self.state.config.interfaces.iter().map(|interface| interface.name.clone()).collect();
        let mut attached = Vec::new();
        for interface in wanted.interfaces.iter().filter(|interface| !known.contains(&interface.name)) {
            let done = self.attach_as_wished(interface, wanted);
            attached.push(interface.name.clone());
            if let Err(refusal) = done {
                for name in attached {
                    self.take_off(&name)?;
                }
                return Err(refusal);
            }
        }
        Ok(attached)
    }

    /// What runs, and the file that it came from.
    pub fn running(&self) -> Running {
        let State { config, source, file, pending, .. } = self.state.clone();
        Running { config, source, file, waits: pending.is_some() }
    }

    /// A file was written that says what runs: the next start finds it unchanged.
    pub fn saved(&mut self, file: &ReadFile) -> Result<(), Refusal> {
        self.refuse_while_waiting()?;
        let (said, runs) = (file.config()?.as_file().0, self.state.config.as_file().0);
        if !Difference::between(&said, &runs).is_empty() {
            return Err(Refusal::refused(format!("what runs changed while {} was written", file.path.display()))
                .hint("`foobar diff` shows how; `foobar save` again"));
        }
        let is_own = self.is_own(&file.path);
        self.state.remember_file(file, is_own);
        self.save();
        tracing::info!("{} says what runs", file.path.display());
        Ok(())
    }

    /// Whether a start is given this very file.
    fn is_own(&self, path: &Path) -> bool {
        let same = |own: &PathBuf| {
            own == path || matches!((own.canonicalize(), path.canonicalize()), (Ok(a), Ok(b)) if a == b)
        };
        self.own_file.as_ref().is_some_and(same)
    }
}

impl State {
    /// The file that it was made from. `is_own`: a start is given this file.
    pub(super) fn remember_file(&mut self, file: &ReadFile, is_own: bool) {
        self.file = Some(file.text.clone());
        self.source = Some(file.path.clone());
        if is_own {
            self.seen = Some(file.text.clone());
        }
    }
}
