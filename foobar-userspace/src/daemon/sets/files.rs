//! The files of sets in the state directory: a journal for each name, a copy for each file that one is read from.

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use foobar_common::hash::mix;

/// Where the copy of a set's file is: a set that comes from elsewhere has another one.
pub fn copy(dir: &Path, name: &str, file: &Path) -> PathBuf {
    let hash = file.as_os_str().as_bytes().iter().fold(0, |hash, byte| mix(hash ^ u64::from(*byte)));
    dir.join(format!("{name}.{hash:016x}.copy"))
}

pub fn journal(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.journal"))
}

/// Deletes what is of no set with one of these names: a set that is made anew is empty.
pub fn keep(dir: &Path, names: &BTreeSet<&String>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let file = entry.file_name();
        let file = file.to_string_lossy();
        let of_copy = || file.strip_suffix(".copy")?.rsplit_once('.').map(|(name, _)| name);
        let name = file.strip_suffix(".journal").or_else(of_copy);
        if name.is_none_or(|name| !names.iter().any(|kept| *kept == name)) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_no_set_goes() {
        let dir = tempfile::tempdir().expect("a directory");
        let (a, b) = ("a".to_owned(), "a.b".to_owned());
        let [first, second] = ["/x", "/y"].map(|file| copy(dir.path(), &b, Path::new(file)));
        assert_ne!(first, second);
        for path in [&first, &second, &journal(dir.path(), &a), &journal(dir.path(), &b), &dir.path().join("a.new")] {
            fs::write(path, "").expect("written");
        }
        keep(dir.path(), &[&b].into()).expect("kept");
        let left: BTreeSet<_> =
            fs::read_dir(dir.path()).expect("there").map(|entry| entry.expect("one").path()).collect();
        assert_eq!(left, [first, second, journal(dir.path(), &b)].into());
    }
}
