//! Named sets of prefixes: is an address a member, and what do the rules say of members?
//!
//! A set in `from` is one more class of sources, a set in `to` one more kind of destination; a packet can be of several
//! at once, and its first match is the smallest over all of them. Only sets that rules name are asked.

use core::ops::Range;

use crate::{
    address::Address,
    admit::{at, first},
    class::Class,
    decision::Decision,
    extension::{self, KINDS},
    layout::{MAX_ASKED, MAX_ASKED_TO, MAX_SETS, PROTOCOLS},
    tables::{Line as _, Lines as _, Tables},
    terms::Settled,
};

mod shape;
#[cfg(any(test, feature = "std"))]
pub use shape::LINE_WORDS;
pub use shape::{
    ALL, ARRAY_LINES, Extent, Key, NONE, PARTIAL, PROBES, ROOT_LINES, Stride, TIMED_LENS, TIMED_WORD, element, front,
};

#[cfg(any(test, feature = "std"))]
pub mod contents;
#[cfg(any(test, feature = "std"))]
pub mod host;
#[cfg(any(test, feature = "std"))]
pub mod table;

#[cfg(test)]
mod tests;

/// Where the sets of `from` begin in the list; those of `to` stand before.
pub const ASKED_FROM: usize = MAX_ASKED_TO;

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

/// Both halves of an address.
#[inline(always)]
pub fn halves<A: Address>(address: A) -> [u64; 2] {
    [address.half(false), address.half(true)]
}

/// A bit for each set that has part in a packet, by its place in the list: its source is in it, or its destination.
#[inline(always)]
pub fn members<A: Address, T: Tables>(bank: usize, source: [u64; 2], destination: [u64; 2], tables: &T) -> u64 {
    let from = members_on::<A, T>(bank, ASKED_FROM..MAX_ASKED, source, tables);
    from | members_on::<A, T>(bank, 0..ASKED_FROM, destination, tables)
}

#[inline(always)]
fn members_on<A: Address, T: Tables>(bank: usize, places: Range<usize>, address: [u64; 2], tables: &T) -> u64 {
    let mut members = 0;
    for place in places {
        let [set, _] = tables.asked(bank, place);
        if set == 0 {
            break;
        }
        if is_member::<A, T>(address, (set as usize - 1) & (MAX_SETS - 1), tables) {
            members |= 1 << place;
        }
    }
    members
}

/// The first rule that matches a packet by some set that it is in: all its sources with all its targets, for its port and
/// then for each kind of extension header in the mask.
///
/// One loop, which keeps as little as it can between its rounds: the kernel's stack is short.
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
        let port = tables.port(asking.bank, PROTOCOLS + usize::from(number));
        (port.kind, at(asking.narrowed, port, asking.bank, tables))
    };
    if place == 0 {
        return Some(target);
    }
    let [_, row] = tables.asked(asking.bank, place - 1);
    Some(tables.narrowed(asking.bank, row as u32 + asking.interface + u32::from(kind)))
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
        settled = settled.first(first(class, target, bank, tables));
    }
    settled
}

/// Whether an address, by its halves, is a member.
#[inline(always)]
pub fn is_member<A: Address, T: Tables>(address: [u64; 2], set: usize, tables: &T) -> bool {
    let lasts = if A::V6 { tables.lasts_v6(address, set) } else { lasts_v4(address, set, tables) };
    lasts || tables.set_word(set, timed_word::<A>()) != 0 && tables.is_timed::<A>(address, set)
}

/// Where the lengths of a family's elements that end begin in a set's record.
#[inline(always)]
const fn timed_word<A: Address>() -> usize {
    TIMED_WORD + if A::V6 { 2 } else { 0 }
}

/// Prefixes up to /16 stand in the root, up to /24 in a node of two bits each, and longer ones in blocks.
#[inline(always)]
fn lasts_v4<T: Tables>(address: [u64; 2], set: usize, tables: &T) -> bool {
    let extent = Extent::from_word(tables.set_word(set, 0));
    let Some(lines) = tables.lines(extent.slot) else { return false };
    let root = (address[0] >> 48) as usize;
    let Some(line) = lines.line((root >> 4) as u32) else { return false };
    let entry = line.half(root & 15);
    if u64::from(entry) <= ALL {
        return u64::from(entry) == ALL;
    }
    let Some(node) = lines.line(entry) else { return false };
    let third = (address[0] >> 40) as usize & 0xff;
    let state = node.word(third >> 5) >> ((third & 31) * 2) & 3;
    if state != PARTIAL {
        return state == ALL;
    }
    is_in_block(extent, Stride::LEAF_V4.key(address), Stride::LEAF_V4.bit(address), tables)
}

/// A block for each stride in which the set has prefixes.
#[inline(always)]
pub fn lasts_v6<T: Tables>(address: [u64; 2], set: usize, tables: &T) -> bool {
    let extent = Extent::from_word(tables.set_word(set, 1));
    if extent.slot == 0 {
        return false;
    }
    let mut strides = tables.set_word(set, 2);
    let more = tables.set_word(set, 3);
    for index in 0..Stride::COUNT_V6 {
        if index == Stride::A_WORD {
            strides = more;
        }
        let Some(stride) = Stride::first_in(strides) else { return false };
        strides >>= Stride::BITS;
        if tables.is_in_block(extent, stride.key(address), stride.bit(address)) {
            return true;
        }
    }
    false
}

#[inline(always)]
pub fn is_in_block<T: Tables>(extent: Extent, key: Key, bit: u64, tables: &T) -> bool {
    let Some(lines) = tables.lines(extent.slot) else { return false };
    let mut index = extent.line(key);
    for _ in 0..PROBES {
        let Some(line) = lines.line(index) else { return false };
        if line.word(1) == key[1] && line.word(0) == key[0] {
            return line.word(2) >> bit & 1 != 0;
        }
        if line.word(4) == key[1] && line.word(3) == key[0] {
            return line.word(5) >> bit & 1 != 0;
        }
        if line.word(shape::OVERFLOWS) == 0 {
            return false;
        }
        index += 1;
    }
    false
}

/// Elements that end stand one by one, and are looked up for the lengths that some of them have.
#[inline(always)]
pub fn is_timed<A: Address, T: Tables>(address: [u64; 2], set: usize, tables: &T) -> bool {
    let word = timed_word::<A>();
    let (lens, more, now) = (tables.set_word(set, word), tables.set_word(set, word + 1), u64::from(tables.now()));
    for index in 0..TIMED_LENS as u64 {
        let len = (if index < 8 { lens } else { more }) >> (index % 8 * 8) & 0xff;
        if len == 0 {
            return false;
        }
        if tables.until(&element(set, len, front(address, len))).is_some_and(|until| until > now) {
            return true;
        }
    }
    false
}
