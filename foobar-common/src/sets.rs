//! Named sets of prefixes: is an address a member, and what do the rules say of members?
//!
//! A set in `from` is one more class of sources, a set in `to` one more kind of destination; a packet can be of several
//! at once, and its first match is the smallest over all of them. Only sets that rules name are asked.

use crate::{
    address::Address,
    admit::{at, first},
    class::{Class, Port},
    decision::Decision,
    extension::{self, KINDS},
    flow::Flow,
    layout::{MAX_ASKED, PROTOCOLS},
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

/// A packet while the sets are asked, in whole words: it goes from step to step behind a pointer.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Asking {
    /// Both halves of each address.
    source: [u64; 2],
    destination: [u64; 2],
    bank: u64,
    /// How many sets are asked for the destination; those for the source follow.
    to: u64,
    from: u64,
    /// The class of the source by its address, and that of the target, as words.
    own: u64,
    target: u64,
    /// Kind of the port, and where the destination's own row is, if it has one.
    kind: u64,
    narrowed: u64,
    /// Where the rows of the packet's interface begin.
    interface: u64,
    extensions: u64,
    /// The first match so far.
    settled: u64,
    /// By place in the list of asked sets: whether the packet's address is a member.
    members: u64,
    /// The first match on the extension header that is looked at.
    partial: u64,
    /// Whether its extension headers were looked at too.
    whole: u64,
}

/// What a packet's sets say of it.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    pub settled: Settled,
    /// Whether its extension headers were looked at too.
    pub whole: bool,
}

/// What is known of a packet before its sets are asked.
pub struct Known {
    pub bank: usize,
    pub own: Class,
    pub target: Class,
    pub kind: u16,
    pub narrowed: u32,
    pub interface: u32,
}

/// The first rule that matches by some set, `known.own` included where a set of destinations has part in it.
#[inline(always)]
pub fn ask<A: Address, T: Tables>(flow: &Flow<A>, known: &Known, tables: &T) -> Answer {
    let [counts, _] = tables.asked(known.bank, 0);
    tables.ask_sets::<A>(|asking| {
        asking.source = [flow.source.half(false), flow.source.half(true)];
        asking.destination = [flow.destination.half(false), flow.destination.half(true)];
        asking.bank = known.bank as u64;
        asking.to = counts & 0xff;
        asking.from = counts >> 8 & 0xff;
        asking.own = known.own.word();
        asking.target = known.target.word();
        asking.kind = u64::from(known.kind);
        asking.narrowed = u64::from(known.narrowed);
        asking.interface = u64::from(known.interface);
        asking.extensions = flow.extensions;
        asking.members = 0;
        asking.settled = Settled::plain(Decision::NONE).word();
        asking.whole = 0;
    })
}

impl Asking {
    #[inline(always)]
    pub fn answer(&self) -> Answer {
        Answer { settled: Settled::from_word(self.settled), whole: self.whole != 0 }
    }
}

impl Answer {
    /// As if there were no sets.
    pub const NONE: Self = Self { settled: Settled::plain(Decision::NONE), whole: false };
}

/// Asks every set, and where a set of destinations or an extension header has part in it, matches all with all.
#[inline(always)]
pub fn ask_all<A: Address, T: Tables>(asking: &mut Asking, tables: &T) {
    tables.ask_each::<A>((asking.to + asking.from) as u32, asking);
    let to_some = asking.members & ((1 << (asking.to & 63)) - 1) != 0;
    if to_some || asking.members != 0 && asking.extensions != 0 {
        asking.whole = 1;
        let questions = if asking.extensions == 0 { 1 } else { 1 + KINDS.len() as u64 };
        tables.weigh_each((questions * (asking.from + 1) * (asking.to + 1)) as u32, asking);
    }
}

/// Asks one set. A source that is a member is matched with the packet's own target at once.
#[inline(always)]
pub fn ask_one<A: Address, T: Tables>(index: u32, asking: &mut Asking, tables: &T) {
    let index = u64::from(index) & (MAX_ASKED as u64 - 1);
    let bank = asking.bank as usize;
    let [set, class] = tables.asked(bank, 1 + index as usize);
    let address = if index < asking.to { asking.destination } else { asking.source };
    if !is_member::<A, T>(address, set as usize, tables) {
        return;
    }
    asking.members |= 1 << index;
    if index >= asking.to {
        let settled = first(Class::from_word(class), Class::from_word(asking.target), bank, tables);
        asking.settled = Settled::from_word(asking.settled).first(settled).word();
    }
}

/// Matches one class of sources with one target, for the packet's port or for the number of an extension header.
///
/// As without sets, an allowance of such a number does not count.
#[inline(always)]
pub fn weigh_one<T: Tables>(index: u32, asking: &mut Asking, tables: &T) {
    // Never zero, and the compiler sees it: a division by zero would be a panic, which the kernel refuses.
    let (sources, targets) = ((asking.from & 0xff) + 1, (asking.to & 0xff) + 1);
    let (cell, index) = (u64::from(index) % (sources * targets), u64::from(index) / (sources * targets));
    let (source, target) = (cell / targets, cell % targets);
    let bank = asking.bank as usize;
    let Some((own, kind)) = target_of(index, asking, bank, tables) else { return };
    let found = match (class_of(source, asking, bank, tables), target_at(target, own, kind, asking, bank, tables)) {
        (Some(class), Some(target)) => first(class, target, bank, tables),
        _ => Settled::plain(Decision::NONE),
    };
    if index == 0 {
        asking.settled = Settled::from_word(asking.settled).first(found).word();
        return;
    }
    let before = if cell == 0 { Settled::plain(Decision::NONE) } else { Settled::from_word(asking.partial) };
    let partial = before.first(found);
    asking.partial = partial.word();
    if cell + 1 == sources * targets && !partial.decision.allows() {
        asking.settled = Settled::from_word(asking.settled).first(partial).word();
    }
}

/// The target by the packet's own addresses, and its kind of port; `None` for a header that the packet does not have.
#[inline(always)]
fn target_of<T: Tables>(question: u64, asking: &Asking, bank: usize, tables: &T) -> Option<(Class, u32)> {
    if question == 0 {
        return Some((Class::from_word(asking.target), asking.kind as u32));
    }
    let number = (u64::from_le_bytes(KINDS) >> ((question - 1) & 7) * 8) as u8;
    if asking.extensions & extension::bit(number) == 0 {
        return None;
    }
    let port: Port = tables.port(bank, PROTOCOLS + usize::from(number));
    Some((at(asking.narrowed as u32, port, bank, tables), u32::from(port.kind)))
}

/// The class of the source: by its address, or as a member.
#[inline(always)]
fn class_of<T: Tables>(source: u64, asking: &Asking, bank: usize, tables: &T) -> Option<Class> {
    if source == 0 {
        return Some(Class::from_word(asking.own));
    }
    let index = (asking.to + source - 1) & (MAX_ASKED as u64 - 1);
    if asking.members >> index & 1 == 0 {
        return None;
    }
    Some(Class::from_word(tables.asked(bank, 1 + index as usize)[1]))
}

/// The packet's own target, or that of a set which its destination is in.
#[inline(always)]
fn target_at<T: Tables>(target: u64, own: Class, kind: u32, asking: &Asking, bank: usize, tables: &T) -> Option<Class> {
    if target == 0 {
        return Some(own);
    }
    let index = (target - 1) & (MAX_ASKED as u64 - 1);
    if asking.members >> index & 1 == 0 {
        return None;
    }
    let [_, row] = tables.asked(bank, 1 + index as usize);
    Some(tables.narrowed(bank, row as u32 + asking.interface as u32 + kind))
}

/// Whether an address, by its halves, is a member.
#[inline(always)]
pub fn is_member<A: Address, T: Tables>(address: [u64; 2], set: usize, tables: &T) -> bool {
    let lasts = if A::V6 { lasts_v6(address, set, tables) } else { lasts_v4(address, set, tables) };
    lasts || is_timed::<A, T>(address, set, tables)
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
    in_block(&lines, extent, Stride::LEAF_V4.key(address), Stride::LEAF_V4.bit(address))
}

/// A block for each stride in which the set has prefixes.
#[inline(always)]
fn lasts_v6<T: Tables>(address: [u64; 2], set: usize, tables: &T) -> bool {
    let extent = Extent::from_word(tables.set_word(set, 1));
    let Some(lines) = tables.lines(extent.slot) else { return false };
    let mut strides = tables.set_word(set, 2);
    let more = tables.set_word(set, 3);
    for index in 0..Stride::COUNT_V6 {
        if index == Stride::A_WORD {
            strides = more;
        }
        let Some(stride) = Stride::first_in(strides) else { return false };
        strides >>= Stride::BITS;
        if in_block(&lines, extent, stride.key(address), stride.bit(address)) {
            return true;
        }
    }
    false
}

#[inline(always)]
fn in_block<L: crate::tables::Lines>(lines: &L, extent: Extent, key: Key, bit: u64) -> bool {
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
fn is_timed<A: Address, T: Tables>(address: [u64; 2], set: usize, tables: &T) -> bool {
    let first = TIMED_WORD + if A::V6 { 2 } else { 0 };
    let mut lens = tables.set_word(set, first);
    if lens == 0 {
        return false;
    }
    let (more, now) = (tables.set_word(set, first + 1), u64::from(tables.now()));
    for index in 0..TIMED_LENS {
        if index == 8 {
            lens = more;
        }
        let len = lens & 0xff;
        if len == 0 {
            return false;
        }
        lens >>= 8;
        if tables.until(&element(set, len, front(address, len))).is_some_and(|until| until > now) {
            return true;
        }
    }
    false
}
