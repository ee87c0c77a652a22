//! Reads the packets that the program shows, and says until when somebody watches.

use std::os::fd::{AsFd, BorrowedFd};

use anyhow::Result;
use aya::{
    Ebpf,
    maps::{MapData, PerCpuArray, RingBuf},
};
use foobar_common::{
    event::{HEAD_WORDS, Head, Kind},
    layout::{BUDGET_WORDS, map},
};

use super::{Datapath, counters, tables::take};

/// A packet as the program showed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownPacket {
    pub head: Head,
    /// The front of the frame.
    pub front: Vec<u8>,
}

/// The ring of shown packets. What nobody reads is lost there and counted; packets never wait for it.
pub struct Events {
    ring: RingBuf<MapData>,
    budgets: PerCpuArray<MapData, [u64; BUDGET_WORDS]>,
}

impl Events {
    pub(super) fn open(ebpf: &mut Ebpf) -> Result<Self> {
        Ok(Self { ring: take(ebpf, map::EVENTS)?, budgets: take(ebpf, map::BUDGETS)? })
    }

    /// The next packet, if there is one; the descriptor becomes readable when there is.
    pub fn take(&mut self) -> Option<ShownPacket> {
        loop {
            let entry = self.ring.next()?;
            // An entry of another length is of another version.
            if let Some(packet) = read(&entry) {
                return Some(packet);
            }
        }
    }

    /// How many packets of each kind there was no room to show, since the tables were made.
    pub fn lost(&self) -> Result<[u64; Kind::COUNT]> {
        let mut lost = [0; Kind::COUNT];
        for kind in Kind::ALL {
            [_, lost[kind as usize]] = counters::sum(&self.budgets, kind as u32)?;
        }
        Ok(lost)
    }
}

impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }
}

fn read(entry: &[u8]) -> Option<ShownPacket> {
    let (words, _) = entry.as_chunks::<8>();
    let (head, _) = words.split_first_chunk::<HEAD_WORDS>()?;
    let head = Head::from_words(head.map(u64::from_ne_bytes));
    let front = entry[HEAD_WORDS * 8..].get(..head.kept as usize)?.to_vec();
    Some(ShownPacket { head, front })
}

impl Datapath {
    /// The shown packets, for the one who reads them; `None` where they were taken before.
    pub fn take_events(&mut self) -> Option<Events> {
        self.events.take()
    }

    /// Whether packets still ask until when.
    pub fn is_watched(&self) -> bool {
        self.tables.watched_until() != 0
    }

    /// Has drops shown until this second of the monotonic clock.
    pub fn watch_until(&self, second: u64) {
        self.tables.watch_until(second);
    }
}
