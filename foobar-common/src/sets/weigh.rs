//! What the rules say of a packet that is in some set.
//!
//! One loop, which keeps as little as it can between its rounds: the kernel's stack is short.

use super::ASKED_FROM;
use crate::{
    admit::{at, first},
    class::Class,
    decision::Decision,
    extension::{self, KINDS},
    layout::{MAX_ASKED, PROTOCOLS},
    plane::{Plane, Way},
    tables::Tables,
    terms::Settled,
};

/// What is known of a packet before its sets are weighed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asking {
    pub bank: usize,
    /// The kind of its port.
    pub kind: u16,
    /// Where the classes of its own destination and interface begin, below 2^20.
    pub narrowed: u32,
    /// The interface's part of that.
    pub interface: u32,
}

impl Asking {
    #[inline(always)]
    const fn plane(self) -> Plane {
        inward(self.bank)
    }

    #[inline(always)]
    pub const fn word(self) -> u64 {
        self.bank as u64 | (self.kind as u64) << 8 | (self.narrowed as u64) << 24 | (self.interface as u64) << 44
    }

    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self {
            bank: (word & 1) as usize,
            kind: (word >> 8) as u16,
            narrowed: (word >> 24) as u32 & 0xf_ffff,
            interface: (word >> 44) as u32,
        }
    }
}

/// The rules that name sets are those for what comes in.
#[inline(always)]
const fn inward(bank: usize) -> Plane {
    Plane { bank, way: Way::In }
}

/// The first rule that matches a packet by some set that it is in: all its sources with all its targets, for its port and
/// then for each kind of extension header in the mask.
#[inline(always)]
pub fn weigh<T: Tables>(
    asking: Asking,
    members: u64,
    own: Class,
    target: Class,
    extensions: u64,
    tables: &T,
) -> Settled {
    let (mut settled, mut partial) = (Settled::plain(Decision::NONE), Settled::plain(Decision::NONE));
    let asking = asking.word();
    let rounds = match (extensions, members & TO) {
        (0, 0) => 1,
        (0, _) => TARGETS,
        _ => TARGETS * (1 + KINDS.len()),
    };
    for round in 0..=TARGETS * (1 + KINDS.len()) {
        let (question, place) = (round / TARGETS, round % TARGETS);
        if place == 0 || round >= rounds {
            // As without sets, an allowance of a header's number does not count.
            if question <= 1 || !partial.decision.allows() {
                settled = settled.first(partial);
            }
            partial = Settled::plain(Decision::NONE);
        }
        if round >= rounds {
            break;
        }
        let asking = Asking::from_word(tables.unrelated(asking));
        if let Some(target) = target_of(asking, members, target, extensions, question, place, tables) {
            partial = partial.first(tables.weigh_sources(asking.bank, members, own, target));
        }
    }
    settled
}

/// The bits of the sets of `to`.
const TO: u64 = (1 << ASKED_FROM) - 1;
/// The packet's own target and those of the sets of `to`.
const TARGETS: usize = 1 + ASKED_FROM;

/// The target of a question: 0 is the packet's port, then come the headers. `None` where the packet does not have it.
#[inline(always)]
fn target_of<T: Tables>(
    asking: Asking,
    members: u64,
    target: Class,
    extensions: u64,
    question: usize,
    place: usize,
    tables: &T,
) -> Option<Class> {
    if place != 0 && members >> (place - 1) & 1 == 0 {
        return None;
    }
    let (kind, target) = if question == 0 {
        (asking.kind, target)
    } else {
        let number = (u64::from_le_bytes(KINDS) >> ((question - 1) * 8)) as u8;
        if extensions & extension::bit(number) == 0 {
            return None;
        }
        let port = tables.port(asking.plane(), PROTOCOLS + usize::from(number));
        (port.kind, at(asking.narrowed, port, asking.plane(), tables))
    };
    if place == 0 {
        return Some(target);
    }
    let [_, row] = tables.asked(asking.bank, place - 1);
    Some(tables.narrowed(asking.plane(), row as u32 + asking.interface + u32::from(kind)))
}

/// Matches a packet's own class, and those of the sets that its source is in, with one target.
#[inline(always)]
pub fn weigh_sources<T: Tables>(bank: usize, members: u64, own: Class, target: Class, tables: &T) -> Settled {
    let (mut settled, mut class) = (Settled::plain(Decision::NONE), own);
    for place in ASKED_FROM - 1..MAX_ASKED {
        if place >= ASKED_FROM {
            if members >> place == 0 {
                break;
            }
            if members >> place & 1 == 0 {
                continue;
            }
            class = Class::from_word(tables.asked(bank, place)[1]);
        }
        settled = settled.first(first(class, target, inward(bank), tables));
    }
    settled
}
