//! The maps of packets that are shown: until when somebody watches, how many a CPU may still show, and the ring.

use aya_ebpf::{
    macros::map,
    maps::{PerCpuArray, RingBuf, ring_buf::RingBufEntry},
};
use foobar_common::{
    event::{self, Budget, EVENT_WORDS, Kind},
    layout::{BUDGET_WORDS, EVENTS_BYTES, WATCH_WORDS},
};

use super::counts::add;
use crate::table::Table;

#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.WATCH")]
static WATCH: Table<WATCH_WORDS> = Table::new();
#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(EVENTS_BYTES, 0);
#[map]
static BUDGETS: PerCpuArray<[u64; BUDGET_WORDS]> = PerCpuArray::with_max_entries(event::BUDGETS as u32, 0);

/// What the rules said of a packet, for who is shown it.
#[derive(Clone, Copy)]
pub struct Remark(u64);

impl Remark {
    /// The sign, which is tested by one instruction.
    const LOGGED: u64 = 1 << 63;

    /// No rule decided.
    pub const NONE: Self = Self(0);

    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self(word)
    }

    #[inline(always)]
    pub const fn word(self) -> u64 {
        self.0
    }

    /// The rule with this id decided.
    #[inline(always)]
    #[must_use]
    pub const fn by(self, rule: u32) -> Self {
        Self(self.0 | rule as u64)
    }

    /// Its rule asks for it.
    #[inline(always)]
    #[must_use]
    pub const fn logged(self, logs: bool) -> Self {
        if logs { Self(self.0 | Self::LOGGED) } else { self }
    }

    /// The id of the rule that decided; 0: none did.
    #[inline(always)]
    pub const fn rule(self) -> u32 {
        self.0 as u32
    }

    #[inline(always)]
    pub const fn is_logged(self) -> bool {
        self.0 & Self::LOGGED != 0
    }
}

/// Whether drops may be shown to somebody.
#[inline(always)]
pub fn is_watched() -> bool {
    WATCH.first() != 0
}

/// Whether somebody watches at this second. Who did not renew it for long is forgotten.
#[inline(always)]
pub fn watched_at(now: u64) -> bool {
    let is_watched = now <= WATCH.first();
    if !is_watched {
        WATCH.set(0, 0);
    }
    is_watched
}

/// Whether one packet more of a kind may be shown on this CPU, or sent by itself: by the place of its budget.
#[inline(always)]
pub fn within_budget(place: u32, now: u64) -> bool {
    let Some(budget) = BUDGETS.get_ptr_mut(place) else { return false };
    // SAFETY: the kernel gave this CPU's own element.
    let [budget, lost] = unsafe { &mut *budget };
    let after = Budget::from_word(*budget).take(now);
    match after {
        Some(after) => *budget = after.word(),
        None => *lost += 1,
    }
    after.is_some()
}

/// Counts a packet that there was no room to show.
#[inline(always)]
pub fn count_lost(kind: Kind) {
    add(&BUDGETS, kind as u32, [0, 1]);
}

/// Room for a packet that is shown.
#[inline(always)]
pub fn event() -> Option<RingBufEntry<[u64; EVENT_WORDS]>> {
    EVENTS.reserve(0)
}
