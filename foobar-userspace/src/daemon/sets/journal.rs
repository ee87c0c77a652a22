//! What was changed live in a set, on disk before it is acknowledged: a line a change, appended.
//!
//! A crash can leave the last line torn: it was never acknowledged, and is cut off. Ends are seconds of the wall clock,
//! which goes on over a boot.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use ipnet::IpNet;

use super::files::journal;

/// What live commands said of a set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overlay {
    pub added: BTreeSet<IpNet>,
    /// Taken out of what the set's source lists, until that is read again.
    pub removed: BTreeSet<IpNet>,
    /// With the Unix time when each ends.
    pub timed: BTreeMap<IpNet, u64>,
}

/// One live change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Add(IpNet),
    Remove(IpNet),
    /// Out of what was added live: the source does not list it.
    Forget(IpNet),
    /// Until a Unix time.
    Until(IpNet, u64),
}

impl Overlay {
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Add(net) => {
                self.removed.remove(&net);
                self.added.insert(net);
            }
            Change::Remove(net) => {
                self.added.remove(&net);
                self.timed.remove(&net);
                self.removed.insert(net);
            }
            Change::Forget(net) => {
                self.added.remove(&net);
                self.timed.remove(&net);
            }
            Change::Until(net, end) => {
                self.timed.insert(net, end);
            }
        }
    }

    fn len(&self) -> usize {
        self.added.len() + self.removed.len() + self.timed.len()
    }

    fn changes(&self) -> impl Iterator<Item = Change> {
        let removed = self.removed.iter().map(|net| Change::Remove(*net));
        let added = self.added.iter().map(|net| Change::Add(*net));
        removed.chain(added).chain(self.timed.iter().map(|(net, end)| Change::Until(*net, *end)))
    }
}

impl Change {
    fn line(self) -> String {
        match self {
            Self::Add(net) => format!("+ {net}\n"),
            Self::Remove(net) => format!("- {net}\n"),
            Self::Forget(net) => format!("x {net}\n"),
            Self::Until(net, end) => format!("+ {net} until {end}\n"),
        }
    }

    fn read(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let (sign, net) = (words.next()?, words.next()?.parse().ok()?);
        match (sign, words.next(), words.next()) {
            ("+", None, None) => Some(Self::Add(net)),
            ("-", None, None) => Some(Self::Remove(net)),
            ("x", None, None) => Some(Self::Forget(net)),
            ("+", Some("until"), Some(end)) => Some(Self::Until(net, end.parse().ok()?)),
            _ => None,
        }
    }
}

/// A set's journal.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    lines: usize,
}

impl Journal {
    /// Reads the journal of a set, if it has one.
    pub fn open(dir: &Path, name: &str) -> Result<(Self, Overlay)> {
        let path = journal(dir, name);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        };
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        let mut overlay = Overlay::default();
        let mut lines = 0;
        for line in whole.lines() {
            lines += 1;
            if let Some(change) = Change::read(line) {
                overlay.apply(change);
            } else {
                // Better a set without it than no firewall.
                tracing::error!("{}:{lines} is damaged, and left out: {line:?}", path.display());
            }
        }
        if whole.len() < text.len() {
            let file = OpenOptions::new().write(true).open(&path).context("cutting a torn line off")?;
            file.set_len(whole.len() as u64)?;
            file.sync_all()?;
        }
        Ok((Self { path, lines }, overlay))
    }

    /// Writes changes, which are in `overlay` already, to the disk.
    pub fn append(&mut self, changes: &[Change], overlay: &Overlay) -> Result<()> {
        if self.lines + changes.len() > 2 * overlay.len() + 1000 {
            return self.replace(overlay);
        }
        let text: String = changes.iter().map(|change| change.line()).collect();
        self.write(&text).with_context(|| format!("saving a set's changes to {}", self.path.display()))?;
        self.lines += changes.len();
        Ok(())
    }

    fn write(&self, text: &str) -> Result<()> {
        let is_new = !self.path.exists();
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(&self.path)?;
        let end = file.seek(SeekFrom::End(0))?;
        let done = file.write_all(text.as_bytes()).and_then(|()| file.sync_data());
        if let Err(error) = done {
            // What is not acknowledged must not come back.
            let _ = file.set_len(end);
            return Err(error.into());
        }
        if is_new { sync_dir(&self.path) } else { Ok(()) }
    }

    /// Writes the journal anew.
    pub fn replace(&mut self, overlay: &Overlay) -> Result<()> {
        let text: String = overlay.changes().map(Change::line).collect();
        save(&self.path, &text).with_context(|| format!("saving a set's changes to {}", self.path.display()))?;
        self.lines = overlay.len();
        Ok(())
    }
}

/// Replaces a file; after a crash either the old or the new text is there, whole.
pub fn save(path: &Path, text: &str) -> Result<()> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let mut file = File::create(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    sync_dir(path)
}

fn sync_dir(path: &Path) -> Result<()> {
    Ok(File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().expect("a prefix")
    }

    #[test]
    fn what_was_written_is_read_and_a_torn_line_is_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut journal, mut overlay) = Journal::open(dir.path(), "bad").expect("nothing");
        assert_eq!(overlay, Overlay::default());
        let changes = [
            Change::Add(net("10.0.0.0/8")),
            Change::Add(net("10.0.0.1/32")),
            Change::Remove(net("10.0.0.0/8")),
            Change::Until(net("2001:db8::/32"), 77),
        ];
        for change in changes {
            overlay.apply(change);
            journal.append(&[change], &overlay).expect("written");
        }
        let path = dir.path().join("bad.journal");
        let mut file = OpenOptions::new().append(true).open(&path).expect("a journal");
        file.write_all(b"+ 192.0.2.").expect("a torn line");
        let (mut journal, found) = Journal::open(dir.path(), "bad").expect("read");
        assert_eq!(found, overlay);
        assert!(fs::read_to_string(&path).expect("text").ends_with("until 77\n"), "the torn line is gone");
        journal.replace(&found).expect("written anew");
        assert_eq!(Journal::open(dir.path(), "bad").expect("read").1, overlay);
    }

    #[test]
    fn a_journal_does_not_grow_for_ever() {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut journal, mut overlay) = Journal::open(dir.path(), "bad").expect("nothing");
        let changes = [Change::Add(net("10.0.0.1/32")), Change::Remove(net("10.0.0.1/32"))];
        for change in changes.into_iter().cycle().take(1010) {
            overlay.apply(change);
            // Without a disk's patience: only the count matters.
            journal.lines += 1;
        }
        journal.append(&changes, &overlay).expect("written");
        assert_eq!(fs::read_to_string(dir.path().join("bad.journal")).expect("text"), "- 10.0.0.1/32\n");
    }

    #[test]
    fn a_damaged_line_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("bad.journal"), "+ 10.0.0.1/32\n? what\n").expect("written");
        let (_, overlay) = Journal::open(dir.path(), "bad").expect("read");
        assert_eq!(overlay.added, [net("10.0.0.1/32")].into());
    }
}
