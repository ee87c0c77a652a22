//! What a process and its maps hold, as the kernel counts it.

use std::{collections::BTreeMap, fs};

use super::daemon::Foobar;

/// Bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Of the daemon's own (`VmRSS`).
    pub resident: u64,
    /// Of the maps that it has open (`memlock` of their descriptors).
    pub maps: u64,
}

impl Memory {
    pub fn of(foobar: &Foobar) -> Self {
        let process = format!("/proc/{}", foobar.process());
        let status = fs::read_to_string(format!("{process}/status")).expect("the daemon's status");
        let resident = 1024 * number(&status, "VmRSS:").expect("its resident memory");
        let descriptors = fs::read_dir(format!("{process}/fdinfo")).expect("the daemon's descriptors");
        // One that was closed meanwhile is none.
        let texts = descriptors.filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok());
        let map = |text: String| Some((number(&text, "map_id:")?, number(&text, "memlock:")?));
        let maps: BTreeMap<_, _> = texts.filter_map(map).collect();
        assert!(!maps.is_empty(), "the daemon has its maps open");
        Self { resident, maps: maps.values().sum() }
    }
}

fn number(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}
