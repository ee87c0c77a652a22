//! The firewall's question: which rule is the first to match this packet?
//!
//! Every rule constrains the source alone or the protocol and port alone, so the first match is the smaller of two
//! minima, one a table: a fixed number of reads however many rules there are.

use crate::{
    address::Address,
    child::Child,
    decision::Decision,
    extension::{self, KINDS},
    flow::Flow,
    layout::{LISTENS, PROTOCOLS, port_entry, root_index},
    outcome::{Outcome, Step},
    tables::Tables,
};

/// What is known of a packet that no rule denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// A rule allowed it, by name.
    pub allowed: bool,
    /// Some service listens on its protocol and port.
    pub listens: bool,
}

/// Asks the rules of `bank`, and counts the one that matched.
#[inline(always)]
pub fn admit<A: Address, T: Tables>(flow: &Flow<A>, bank: usize, tables: &T, frame_len: usize) -> Step<Admission> {
    let port = tables.port(bank, port_entry(flow));
    let mut decision = Decision::from_word(port).first(by_source(flow.source, bank, tables));
    if flow.extensions != 0 {
        decision = decision.first(against_extensions(flow.extensions, bank, tables));
    }
    let listens = port & LISTENS != 0;
    if decision.is_none() {
        return Ok(Admission { allowed: false, listens });
    }
    tables.count_rule(decision.id(), frame_len);
    if decision.allows() { Ok(Admission { allowed: true, listens }) } else { Err(Outcome::Denied) }
}

/// The first denial of a kind of extension header among those of the mask.
///
/// An allowance of such a number does not count: what stands behind the header must not fare better for it.
#[inline(always)]
fn against_extensions<T: Tables>(extensions: u64, bank: usize, tables: &T) -> Decision {
    let mut denial = Decision::NONE;
    for number in KINDS {
        let decision = Decision::from_word(tables.port(bank, PROTOCOLS + usize::from(number)));
        if extensions & extension::bit(number) != 0 && !decision.allows() {
            denial = denial.first(decision);
        }
    }
    denial
}

/// Walks the trie of sources: two bytes at its root, then one byte a node.
#[inline(always)]
pub(crate) fn by_source<A: Address, T: Tables>(source: A, bank: usize, tables: &T) -> Decision {
    let mut entry = tables.root(root_index(bank, A::V6), source.prefix16());
    for _ in 2..A::BYTES {
        let Some(child) = Child::from_entry(entry) else { break };
        let front = source.half(child.lower()) >> child.shift();
        let node = tables.node(child.node(), front as u8);
        entry = if node.path == front >> 8 { node.entry } else { node.otherwise };
    }
    Decision::from_word(entry)
}
