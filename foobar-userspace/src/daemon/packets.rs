//! Packets on their way from the program to whoever watches, to the log, and to the memory of the last minute.
//!
//! Nobody waits for a slow watcher: what he has no room for is counted.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use foobar_common::{
    Action,
    event::{Cut, Kind},
    plane::Way,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    time::{ClockId, clock_gettime},
};
use tokio::sync::broadcast::{Receiver, Sender, channel};

use super::{dry_run::SeenFrame, packet_log::PacketLog, recent::Recent};
use crate::{
    api::events::{EventRule, PacketEvent, WatchLine},
    datapath::{Events, ShownPacket},
    domain::{packet::hex, seen::Seen},
};

/// Lines that wait for a slow watcher.
const WAITING: usize = 4096;
/// Packets that are read before anything else has its turn.
const AT_ONCE: usize = 256;

const SECOND: Duration = Duration::from_secs(1);

/// How to find the name of an interface's index.
pub type InterfaceName = fn(u32) -> Option<String>;

/// Shared by the engine, which gives names, the thread that reads packets, and the watchers.
#[derive(Clone, Debug)]
pub struct Packets(Arc<Mutex<Shared>>);

#[derive(Debug)]
struct Shared {
    /// `None` when the daemon stops.
    watchers: Option<Sender<Arc<WatchLine>>>,
    /// Texts by id; one that is gone keeps its own until the id is another's.
    rules: HashMap<u32, String>,
    interfaces: HashMap<u32, String>,
    interface_name: InterfaceName,
    recent: Recent,
    log: PacketLog,
    /// What had been lost when it was last asked.
    lost: Option<[u64; Kind::COUNT]>,
}

impl Packets {
    pub fn new(interface_name: InterfaceName) -> Self {
        Self(Arc::new(Mutex::new(Shared {
            watchers: Some(channel(WAITING).0),
            rules: HashMap::new(),
            interfaces: HashMap::new(),
            interface_name,
            recent: Recent::default(),
            log: PacketLog::default(),
            lost: None,
        })))
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every line from here on; `None` when the daemon stops.
    pub fn subscribe(&self) -> Option<Receiver<Arc<WatchLine>>> {
        self.shared().watchers.as_ref().map(Sender::subscribe)
    }

    pub fn is_watched(&self) -> bool {
        self.shared().watchers.as_ref().is_some_and(|watchers| watchers.receiver_count() > 0)
    }

    /// Sends every watcher home.
    pub fn close(&self) {
        self.shared().watchers = None;
    }

    fn is_closed(&self) -> bool {
        self.shared().watchers.is_none()
    }

    /// The texts of the rules in force, by id.
    pub fn name_rules(&self, rules: impl Iterator<Item = (u32, String)>) {
        self.shared().rules.extend(rules);
    }

    /// One of 1,024 packets of the last minute.
    pub fn recent(&self) -> Vec<SeenFrame> {
        self.shared().recent.frames(Instant::now())
    }

    fn show(&self, packet: ShownPacket) {
        let mut shared = self.shared();
        let is_logged = packet.head.is(Kind::Logged);
        // A drop that is there for its sample alone is among those that were not shown.
        let is_drop = packet.head.outcome().is_some_and(|outcome| outcome.action() == Action::Drop);
        let is_told = is_logged || packet.head.is(Kind::Dropped) || !is_drop;
        let watchers = shared.watchers.clone().filter(|watchers| is_told && watchers.receiver_count() > 0);
        if is_logged || watchers.is_some() {
            let event = shared.event(&packet);
            if is_logged {
                shared.log.add(&event);
            }
            if let Some(watchers) = watchers {
                // Without watchers there is nobody to tell.
                let _ = watchers.send(Arc::new(WatchLine::Packet(event)));
            }
        }
        if packet.head.is(Kind::Sampled) {
            shared.recent.add(packet, Instant::now());
        }
    }

    /// Says what was not shown, and forgets names that may change.
    fn end_second(&self, lost: [u64; Kind::COUNT]) {
        let mut shared = self.shared();
        shared.interfaces.clear();
        let before = shared.lost.replace(lost).unwrap_or(lost);
        let more = |kind: Kind| lost[kind as usize].saturating_sub(before[kind as usize]);
        shared.log.end_second(more(Kind::Logged));
        let more = more(Kind::Dropped) + more(Kind::Logged);
        if let Some(watchers) = shared.watchers.as_ref().filter(|_| more > 0) {
            // As above.
            let _ = watchers.send(Arc::new(WatchLine::NotShown(more)));
        }
    }
}

impl Shared {
    fn event(&mut self, ShownPacket { head, front }: &ShownPacket) -> PacketEvent {
        let Seen { text, source } = Seen::of(&Cut { front, len: head.len as usize });
        let rule = EventRule { id: head.rule, rule: self.rules.get(&head.rule).cloned().unwrap_or_default() };
        PacketEvent {
            at_ms: wall_clock(head.at).as_millis() as u64,
            outcome: head.outcome().map_or("unknown", |outcome| outcome.name()).to_owned(),
            action: head.outcome().map_or("unknown", |outcome| outcome.action().name()).to_owned(),
            rule: (head.rule != 0).then_some(rule),
            logged: head.is(Kind::Logged),
            egress: head.way == Way::Out,
            interface: self.interface(head.interface),
            len: head.len,
            packet: text,
            source,
            frame: hex(front),
        }
    }

    fn interface(&mut self, index: u32) -> String {
        let name = |index: &u32| (self.interface_name)(*index).unwrap_or_else(|| format!("interface {index}"));
        self.interfaces.entry(index).or_insert_with_key(name).clone()
    }
}

/// The time since 1970 of a moment of the monotonic clock, in nanoseconds.
fn wall_clock(at: u64) -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    let now = Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0));
    let ago = now.saturating_sub(Duration::from_nanos(at));
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(ago)
}

/// Reads what the program shows, until the daemon stops.
pub fn follow(mut events: Events, packets: &Packets) -> io::Result<()> {
    let mut second = Instant::now();
    while !packets.is_closed() {
        let left = second.saturating_duration_since(Instant::now());
        match poll(&mut [PollFd::new(&events, PollFlags::IN)], Some(&Timespec::try_from(left).unwrap_or_default())) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for packet in std::iter::from_fn(|| events.take()).take(AT_ONCE) {
            packets.show(packet);
        }
        if Instant::now() >= second {
            second = Instant::now() + SECOND;
            match events.lost() {
                Ok(lost) => packets.end_second(lost),
                Err(error) => tracing::debug!("asking how many packets were not shown: {error:#}"),
            }
        }
    }
    Ok(())
}
