//! What the daemon answers, as it goes over the socket and comes out of `--json`.
//!
//! Counters are sums over CPUs since the program was first loaded; they never go back while it stays loaded.

use std::{net::IpAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

pub use super::{
    careful::{Applied, Confirmed, DryRun, MovedSlots, PendingStatus, RemovedRule, Running, WouldBeDropped},
    refusal::{Refusal, RefusalKind},
    requests::{
        AddRule, ApplyFile, BackendChange, BackendSpec, Explain, InterfaceSpec, NewSet, Place, SafeConnection, Safety,
        ServiceSpec, SetChange,
    },
    sets::{Reloaded, SetChanged, SetElement, SetMembers, SetStatus},
};
use crate::{
    config::Policy,
    domain::{Affinity, BackendState, Encapsulation, Forward, Queries, ServerId},
};

/// A number of packets and what they weighed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    pub packets: u64,
    /// Bytes of whole frames, Ethernet header included.
    pub bytes: u64,
}

/// A rule in its place, with what it has decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleLine {
    /// What `rule rm` and `--before` take; a rule keeps it for its life.
    pub id: u32,
    /// The rule's text.
    pub rule: String,
    /// It is for what this host sends.
    #[serde(default)]
    pub egress: bool,
    pub packets: u64,
    /// Bytes of whole frames.
    pub bytes: u64,
    /// Seconds for which a rule with `for` still holds; 0: its time is over, and it goes in some moments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<u64>,
    /// Packets that were over its limit; absent where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limited: Option<u64>,
}

/// A rule that was added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedRule {
    #[serde(flatten)]
    pub line: RuleLine,
    /// It was there, and its time begins anew.
    #[serde(default)]
    pub renewed: bool,
    /// What is probably not meant, and was not there before it.
    pub warnings: Vec<String>,
    /// Present where the change waits for confirmation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<PendingStatus>,
}

/// What would become of a packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explained {
    /// The counter that it would count in.
    pub outcome: String,
    /// `pass`, `drop`, `tx` or `redirect`.
    pub action: String,
    /// The outcome in a sentence.
    pub why: String,
    /// The interface that it was taken to come in by, where the packet names none.
    pub assumed: Option<String>,
    /// Whether the rules were asked: what cannot be read leaves before.
    pub judged: bool,
    /// The first rule that matches; absent where none does, or the packet leaves before rules are asked.
    pub rule: Option<ExplainedRule>,
    /// Rules that match and would have decided, but for their time, which is over.
    pub over: Vec<String>,
    /// Whether the rule's limit would let it pass at this moment; absent where no limit counts it.
    #[serde(default)]
    pub within_limit: Option<bool>,
    /// Sets that its source is in, and its destination, whether rules name them or not.
    #[serde(default)]
    pub from_sets: Vec<String>,
    #[serde(default)]
    pub to_sets: Vec<String>,
    pub service: Option<String>,
    /// How the service forwards.
    #[serde(default)]
    pub forward: Option<Forward>,
    #[serde(default)]
    pub slot: Option<ExplainedSlot>,
    pub backend: Option<IpAddr>,
    /// A note of this very flow was found.
    pub noted: bool,
    /// The packet's connection id names the backend.
    #[serde(default)]
    pub named: bool,
    /// By which interface it leaves towards the backend.
    pub interface: Option<String>,
    /// What it is then, in words: `tcp 10.0.0.5:2048 > 10.0.0.11:8443`, or what is around it.
    #[serde(default)]
    pub leaves_as: Option<String>,
    /// The frame as rewritten for the backend, in hexadecimal digits.
    pub frame: Option<String>,
}

/// The slot that a flow has in its service's ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedSlot {
    pub index: u32,
    pub of: u32,
    /// Whether it changed lately, so that its flows are noted.
    pub tracked: bool,
    /// The backend of new flows; absent: none takes any.
    pub current: Option<IpAddr>,
    /// The backend of flows that were there before the change.
    pub previous: Option<IpAddr>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedRule {
    pub id: u32,
    pub rule: String,
    /// The rules before it, which do not match.
    pub before: Vec<String>,
}

/// The daemon and everything it holds, at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    /// What happens to a packet that nothing decides.
    pub default: Policy,
    /// Grows by one with every publish of rules and services.
    pub generation: u64,
    /// Where this daemon's programs, tables and links are pinned.
    pub pin_dir: PathBuf,
    pub interfaces: Vec<InterfaceStatus>,
    pub program: ProgramStatus,
    /// How many rules are enforced.
    pub rules: u32,
    pub services: Vec<ServiceStatus>,
    pub notes: NotesStatus,
    /// The change that waits for confirmation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<PendingStatus>,
    /// Sentences an operator should read.
    pub warnings: Vec<String>,
}

/// An interface the program is, or should be, attached to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceStatus {
    pub name: String,
    pub mode: AttachedMode,
    /// 0 while the interface is absent.
    pub ifindex: u32,
    /// `NETNS:IFACE` of the passing program at a veth's other end; absent where it is not there.
    pub peer: Option<String>,
}

/// How the program sits on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AttachedMode {
    /// In the driver.
    Native,
    /// In the kernel's generic receive path.
    Generic,
    /// Wanted, but there is no such interface.
    Absent,
}

/// The program the kernel runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramStatus {
    /// The kernel's id of it, as in `bpftool prog`.
    pub id: u32,
    pub name: String,
}

/// The table of flows that are kept on a backend while its slots change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotesStatus {
    /// Notes that the last sweep left; there is one every ten seconds while something changed lately.
    pub used: u64,
    pub size: u64,
    /// Its memory.
    #[serde(default)]
    pub bytes: u64,
}

/// A service and where its flows go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceStatus {
    pub name: String,
    pub address: IpAddr,
    /// `tcp/443`, `tcp/80,443,5000-5999`, `tcp/any`.
    pub port: String,
    pub forward: Forward,
    /// What a tunnel's packets are put into.
    #[serde(default)]
    pub encapsulation: Encapsulation,
    /// Addresses that packets of a `snat` service come from: those that are configured, or in use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snat: Vec<SnatStatus>,
    pub queries: Queries,
    /// Whether echo requests to its address are answered.
    pub echo: bool,
    pub affinity: Affinity,
    /// With `quic`: the config rotation codepoint of its connection ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quic_config: Option<u8>,
    /// Slots of its ring.
    pub ring: u32,
    /// Seconds that a silent connection is kept on its backend after the backends changed.
    pub idle_seconds: u64,
    pub backends: Vec<BackendStatus>,
}

/// An address of this host that packets come from, and how many of its ports are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnatStatus {
    pub address: IpAddr,
    pub ports_used: u64,
    pub ports: u64,
    /// Whether no new flow gets it: the service had it, and flows that have it go on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub leaves: bool,
}

/// A backend, its share and the way to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendStatus {
    pub address: IpAddr,
    /// With `nat` and `snat`, where it is not the service's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// 0..=1000.
    pub weight: u16,
    pub state: BackendState,
    /// It takes new flows while no other backend does.
    pub backup: bool,
    /// What names it in connection ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_id: Option<ServerId>,
    /// While it takes no new flows: what is left on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<LeftStatus>,
    /// How many slots of the service's ring are its own.
    pub slots: u32,
    /// Absent while nobody knows the way.
    pub next_hop: Option<HopStatus>,
    /// Why there is no next hop, in words.
    pub problem: Option<String>,
}

/// The flows of a backend that drains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftStatus {
    /// Those that are noted, as they were counted last; absent before they were.
    pub noted: Option<u64>,
    /// Seconds after which no others can be there: those that were silent since the drain began.
    pub certain_in_seconds: u64,
    /// Seconds until its connections end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_in_seconds: Option<u64>,
}

/// Where a backend's packets leave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HopStatus {
    pub interface: String,
    /// `02:00:00:00:00:01`.
    pub mac: String,
    /// The router that they go through; absent where the backend is on the interface's own link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
    /// The backend is this host itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub here: bool,
}

/// What `attach` did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attached {
    pub name: String,
    pub mode: AttachedMode,
    pub ifindex: u32,
    pub peer: Option<String>,
    /// What the interface does not do any more until it is detached, as `ethtool -K` calls it: it hid tags of VLANs.
    #[serde(default)]
    pub turned_off: Vec<String>,
    /// Sentences for the operator: a veth whose peer has no program, a driver that cannot do native mode.
    pub warnings: Vec<String>,
}

/// What `detach` did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detached {
    /// The interfaces that the program was taken off.
    pub interfaces: Vec<String>,
    /// Sentences for the operator.
    pub warnings: Vec<String>,
}

/// All counters at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Unix time in milliseconds, taken just before the counters were read.
    pub at_ms: u64,
    /// Every outcome, those that never happened too.
    pub outcomes: Vec<OutcomeCount>,
    /// The same for what this host sends, while rules or a default judge that.
    #[serde(default)]
    pub sent: Vec<OutcomeCount>,
    pub rules: Vec<RuleLine>,
    pub services: Vec<ServiceCount>,
}

/// How many packets left by one outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeCount {
    /// Its name in `snake_case`.
    pub outcome: String,
    /// `pass`, `drop`, `tx` or `redirect`.
    pub action: String,
    pub packets: u64,
    /// Bytes of whole frames.
    pub bytes: u64,
    /// One per possible CPU, in the kernel's order.
    pub per_cpu: Vec<Tally>,
}

/// What went to each backend of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceCount {
    pub name: String,
    pub address: IpAddr,
    /// `tcp/443`, `tcp/80,443,5000-5999`, `tcp/any`.
    pub port: String,
    pub backends: Vec<BackendCount>,
}

/// What went to one backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendCount {
    pub address: IpAddr,
    pub state: BackendState,
    /// 0..=1000.
    pub weight: u16,
    pub packets: u64,
    /// Bytes of whole frames.
    pub bytes: u64,
    /// Connections begun: SYNs; 0 for UDP.
    pub connections: u64,
    /// Queries, counted as the service's `queries` says.
    pub queries: u64,
    /// The same by CPU: one per possible CPU, in the kernel's order.
    pub per_cpu: Vec<BackendTally>,
}

/// What one CPU sent to one backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendTally {
    pub packets: u64,
    /// Bytes of whole frames.
    pub bytes: u64,
    pub connections: u64,
    pub queries: u64,
}
