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

/// The first rule that matches a packet by some set that it is in, or by an extension header: all its sources with all its
/// targets, for its port and then for each kind of header in the mask.
///
/// An allowance of a header's number does not count: what stands behind the header must not fare better for it.
#[inline(always)]
pub fn weigh<T: Tables>(members: Members, tables: &T) -> Settled {
    let mut settled = tables.unrelated(NOTHING.word());
    for asks_header in 0..=KINDS.len() {
        let mut partial = tables.unrelated(NOTHING.word());
        for place in 0..TARGETS {
            if let Some(target) = target_of(asks_header, place, members, tables) {
                partial = tables.unrelated(smaller(partial, tables.weigh_sources(members, target).word()));
            }
        }
        if asks_header == 0 || !Settled::from_word(partial).decision.allows() {
            settled = tables.unrelated(smaller(settled, partial));
        }
    }
    Settled::from_word(settled)
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
    if place != 0 && !members.has_destination(place - 1) {
        return None;
    }
    let question = tables.question()?;
    let asking = question.asking();
    let (kind, target) = if asks_header == 0 {
        (asking.kind, question.target())
    } else {
        let number = (u64::from_le_bytes(KINDS) >> ((asks_header - 1) * 8)) as u8;
        if question.extensions() & extension::bit(number) == 0 {
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
///
/// What stands in words is taken apart in each round: in parts it would not have room in registers.
#[inline(always)]
pub fn weigh_sources<T: Tables>(members: Members, target: Class, tables: &T) -> Settled {
    let Some(question) = tables.question() else { return NOTHING };
    let mut settled = NOTHING.word();
    // Bit 0 is its own class.
    let sources = members.sources() << 1 | 1;
    for place in 0..=MAX_ASKED {
        if sources >> place & 1 != 0 {
            let asking = question.asking();
            let class = match place {
                0 => question.own(),
                _ => Class::from_word(tables.asked(asking.bank, place - 1)[1]),
            };
            let target = Class::from_word(tables.unrelated(target.word()));
            let round = first(class, target, asking.plane(), tables);
            settled = tables.unrelated(smaller(settled, round.word()));
        }
        // At the end, since Linux 6.1 wants the jump that goes back to be one with a condition.
        if sources >> place <= 1 {
            break;
        }
    }
    Settled::from_word(settled)
}
