//! What the daemon answers about named sets.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A set and how large it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetStatus {
    pub name: String,
    /// The file that it is read from, if it is.
    pub file: Option<PathBuf>,
    /// Prefixes of each family that do not end.
    pub ipv4: usize,
    pub ipv6: usize,
    /// Prefixes that end by themselves.
    pub timed: usize,
    /// How many of those that do not end were added live.
    pub live: usize,
    /// Kernel memory of those that do not end.
    pub memory_bytes: u64,
    /// The rules that name it.
    pub rules: Vec<String>,
}

/// A set with everything that is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetMembers {
    #[serde(flatten)]
    pub status: SetStatus,
    pub elements: Vec<SetElement>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetElement {
    pub prefix: String,
    /// Absent for one that does not end.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub seconds_left: Option<u64>,
}

/// What a change of a set did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetChanged {
    pub changed: usize,
    /// What was as asked for already.
    pub unchanged: usize,
}

/// What reading a set's file again did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    pub prefixes: usize,
    /// Added live, and still there.
    pub kept_live: usize,
    /// Removed live, and as the file says again.
    pub restored: usize,
    /// Prefixes of the file that had host bits, which were taken off.
    pub masked: usize,
}
