//! What the rules say of a packet that is in some set, or has extension headers.
//!
//! One loop, which keeps as little as it can between its rounds: the kernel's stack is short.

use super::{Members, question::Put as _};
use crate::{
    admit::{at, first},
    class::Class,
    decision::Decision,
    extension::{self, KINDS},
    layout::{MAX_ASKED, MAX_ASKED_TO, PROTOCOLS},
    tables::Tables,
    terms::Settled,
};

const NOTHING: Settled = Settled::plain(Decision::NONE);

/// The first rule that matches a packet by a set that its destination is in, or by an extension header: all its sources with
/// all these targets, for its port and then for each kind of header in the mask.
///
/// An allowance of a header's number does not count: what stands behind the header must not fare better for it.
#[inline(always)]
pub fn weigh<T: Tables>(members: Members, tables: &T) -> Settled {
    // Its own class, and the sets that it is in.
    let sources = members.sources() << 1 | 1;
    let mut settled = tables.unrelated(NOTHING.word());
    for asks_header in 0..=KINDS.len() {
        if asks_header == 0 || has_header(asks_header, tables) {
            let mut partial = tables.unrelated(NOTHING.word());
            for place in 0..TARGETS {
                if let Some(target) = target_of(asks_header, place, members, tables) {
                    partial = tables.unrelated(smaller(partial, tables.weigh_sources(sources, target).word()));
                }
            }
            if asks_header == 0 || !Settled::from_word(partial).decision.allows() {
                settled = tables.unrelated(smaller(settled, partial));
            }
        }
    }
    Settled::from_word(settled)
}

/// The number of the kind of header that a round asks for, from 1 on.
#[inline(always)]
const fn number_of(asks_header: usize) -> u8 {
    (u64::from_le_bytes(KINDS) >> ((asks_header - 1) * 8)) as u8
}

#[inline(always)]
fn has_header<T: Tables>(asks_header: usize, tables: &T) -> bool {
    let mask = tables.question().map_or(0, |question| question.extensions());
    mask & extension::bit(number_of(asks_header)) != 0
}

/// The word of the one whose rule stands first.
#[inline(always)]
const fn smaller(first: u64, second: u64) -> u64 {
    Settled::from_word(first).first(Settled::from_word(second)).word()
}

/// The packet's own target and those of the sets of `to`.
const TARGETS: usize = 1 + MAX_ASKED_TO;

/// The target of a round: 0 is the packet's port, then come the headers. `None` where the packet does not have it.
#[inline(always)]
fn target_of<T: Tables>(asks_header: usize, place: usize, members: Members, tables: &T) -> Option<Class> {
    if place != 0 && members.destinations() >> (place - 1) & 1 == 0 {
        return None;
    }
    let question = tables.question()?;
    let asking = question.asking();
    let (kind, target) = if asks_header == 0 {
        (asking.kind, question.target())
    } else {
        let number = number_of(asks_header);
        let port = tables.port(asking.plane(), PROTOCOLS + usize::from(number));
        (port.kind, at(asking.narrowed, port, asking.plane(), tables))
    };
    if place == 0 {
        return Some(target);
    }
    let row = tables.asked_of(asking.bank, place - 1);
    Some(tables.narrowed(asking.plane(), row as u32 + asking.interface + u32::from(kind)))
}

/// Matches classes of sources with one target: bit 0 is the packet's own, the others those of the sets of `from`.
///
/// What stands in words is taken apart in each round: in parts it would not have room in registers.
#[inline(always)]
pub fn weigh_sources<T: Tables>(sources: u64, target: Class, tables: &T) -> Settled {
    let Some(question) = tables.question() else { return NOTHING };
    let mut settled = tables.unrelated(NOTHING.word());
    for place in 0..=MAX_ASKED {
        if sources >> place & 1 != 0 {
            let asking = question.asking();
            let class = match place {
                0 => question.own(),
                _ => Class::from_word(tables.asked_of(asking.bank, place - 1)),
            };
            let target = Class::from_word(tables.unrelated(target.word()));
            settled = tables.unrelated(smaller(settled, first(class, target, asking.plane(), tables).word()));
        }
        // At the end, since Linux 6.1 wants the jump that goes back to be one with a condition.
        if sources >> place <= 1 {
            break;
        }
    }
    Settled::from_word(settled)
}
