//! What the daemon answers to careful changes: what waits, what was applied or would be, what runs.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::types::RuleLine;
use crate::config::{Config, Difference};

/// A rule that was removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedRule {
    #[serde(flatten)]
    pub line: RuleLine,
    /// Present where the change waits for confirmation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<PendingStatus>,
}

/// A change that is undone unless it is confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingStatus {
    pub seconds_left: u64,
    /// What it changed, a line for each difference.
    pub changes: Vec<String>,
}

/// A configuration that was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// A line for each difference.
    pub changes: Vec<String>,
    pub difference: Difference,
    /// What is probably not meant.
    pub warnings: Vec<String>,
    pub pending: Option<PendingStatus>,
}

/// What a file would change; nothing is changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DryRun {
    /// A line for each difference.
    pub changes: Vec<String>,
    pub difference: Difference,
    /// Services whose new flows would go elsewhere.
    pub slots: Vec<MovedSlots>,
    /// Connections that this host has open and that would be cut.
    pub connections: Vec<WouldBeDropped>,
    /// What was seen lately and would be dropped.
    pub flows: Vec<WouldBeDropped>,
    /// How many frames that were seen lately this was asked of.
    pub frames: u64,
}

/// How many of a service's slots would get another backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedSlots {
    pub service: String,
    pub moved: u32,
    pub of: u32,
    /// An estimate of the connections on those that move, see the manual; `None` for datagrams, of which none are counted.
    #[serde(default)]
    pub flows: Option<u64>,
}

/// Packets that pass and would not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WouldBeDropped {
    /// `tcp 192.0.2.7 > 10.0.0.1:22`
    pub flow: String,
    /// What they would be counted as.
    pub outcome: String,
    /// The rule that would deny them.
    pub rule: Option<String>,
    pub packets: u64,
}

/// A change that was confirmed, or undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmed {
    /// What is other than before, a line for each difference.
    pub changes: Vec<String>,
}

/// What runs, and the file that it came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    pub config: Config,
    /// Absent where nothing was ever applied from a file.
    pub source: Option<PathBuf>,
    /// The file's text as it was applied.
    pub file: Option<String>,
    /// A change waits for confirmation, and may be undone.
    #[serde(default)]
    pub waits: bool,
}
