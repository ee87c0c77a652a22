//! The firewall's question: which rule is the first to match this packet?
//!
//! A packet's source is of one class, its protocol and port of another. Each class knows the first rule that constrains
//! its side alone, and where the rules that constrain both sides stand; the first match is the smallest of three. A fixed
//! number of reads, however many rules there are.

use crate::{
    address::Address,
    child::Child,
    class::Class,
    decision::Decision,
    extension::KINDS,
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
    let source = by_source(flow.source, bank, tables);
    let mut decision = first(source, Class::from_word(port), bank, tables);
    if flow.extensions != 0 {
        decision = decision.first(against_extensions(flow.extensions, source, bank, tables));
    }
    let listens = port & LISTENS != 0;
    if decision.is_none() {
        return Ok(Admission { allowed: false, listens });
    }
    tables.count_rule(decision.id(), frame_len);
    if decision.allows() { Ok(Admission { allowed: true, listens }) } else { Err(Outcome::Denied) }
}

/// The first rule that matches both sides.
#[inline(always)]
fn first<T: Tables>(source: Class, port: Class, bank: usize, tables: &T) -> Decision {
    let alone = port.decision.first(source.decision);
    match source.pair_with(port) {
        Some(index) => alone.first(tables.pair(bank, index)),
        None => alone,
    }
}

/// The first denial of a kind of extension header among those of the mask.
///
/// An allowance of such a number does not count: what stands behind the header must not fare better for it.
#[inline(always)]
fn against_extensions<T: Tables>(extensions: u8, source: Class, bank: usize, tables: &T) -> Decision {
    let mut denial = Decision::NONE;
    for (place, number) in KINDS.into_iter().enumerate() {
        if extensions >> place & 1 != 0 {
            let kind = Class::from_word(tables.port(bank, PROTOCOLS + usize::from(number)));
            let decision = first(source, kind, bank, tables);
            denial = if decision.allows() { denial } else { denial.first(decision) };
        }
    }
    denial
}

/// Walks the trie of sources: two bytes at its root, then one byte a node.
#[inline(always)]
pub(crate) fn by_source<A: Address, T: Tables>(source: A, bank: usize, tables: &T) -> Class {
    let mut entry = tables.root(root_index(bank, A::V6), source.prefix16());
    for _ in 2..A::BYTES {
        let Some(child) = Child::from_entry(entry) else { break };
        let front = source.half(child.lower()) >> child.shift();
        let node = tables.node(child.node(), front as u8);
        entry = if node.path == front >> 8 { node.entry } else { node.otherwise };
    }
    if entry == 0 { Class::NONE } else { Class::from_word(tables.source(bank, (entry >> 1) as usize)) }
}
