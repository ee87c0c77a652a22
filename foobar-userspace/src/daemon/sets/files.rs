//! The files of sets in the state directory: a journal for each name, a copy for each file that one is read from.

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use foobar_common::hash::mix;

use crate::domain::SetSource;

/// Where the copy of a set's file is: a set that comes from elsewhere has another one.
pub fn copy(dir: &Path, name: &str, file: &Path) -> PathBuf {
    let hash = file.as_os_str().as_bytes().iter().fold(0, |hash, byte| mix(hash ^ u64::from(*byte)));
    dir.join(format!("{name}.{hash:016x}.copy"))
}

pub fn journal(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.journal"))
}

/// Deletes what is not one of these: a set that is made anew is empty.
pub fn keep(dir: &Path, kept: &BTreeSet<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_file() && !kept.contains(&path) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// The files of a set that comes from somewhere.
pub fn of(dir: &Path, name: &str, source: &SetSource) -> impl Iterator<Item = PathBuf> {
    let copy = match source {
        SetSource::File(file) => Some(copy(dir, name, file)),
        SetSource::Prefixes(_) => None,
    };
    copy.into_iter().chain([journal(dir, name)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_no_set_goes() {
        let dir = tempfile::tempdir().expect("a directory");
        let [first, second] = ["/x", "/y"].map(|file| copy(dir.path(), "a.b", Path::new(file)));
        assert_ne!(first, second);
        for path in [&first, &second, &journal(dir.path(), "a"), &journal(dir.path(), "a.b"), &dir.path().join("a.new")]
        {
            fs::write(path, "").expect("written");
        }
        keep(dir.path(), &of(dir.path(), "a.b", &SetSource::File("/x".into())).collect()).expect("kept");
        let left: BTreeSet<_> =
            fs::read_dir(dir.path()).expect("there").map(|entry| entry.expect("one").path()).collect();
        assert_eq!(left, [first, journal(dir.path(), "a.b")].into());
    }
}
