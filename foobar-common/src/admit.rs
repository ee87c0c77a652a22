//! The firewall's question: which rule is the first to match this packet?
//!
//! A packet's source is of one class, what it is for of another: its protocol and port, narrowed by its interface and its
//! destination where rules name some. Each class knows the first rule that constrains its side alone, and where the rules
//! that constrain both sides stand; the first match is the smallest of three. A fixed number of reads, however many rules
//! there are; where the first match is conditional, [`crate::terms`] says which holds.

use crate::{
    address::Address,
    child::Child,
    class::{Class, Port},
    decision::Decision,
    extension::{self, KINDS},
    flow::Flow,
    generation::Generation,
    layout::{PROTOCOLS, Side, port_entry, root_index},
    limit::source_word,
    outcome::{Outcome, Step},
    sets::Asking,
    tables::Tables,
    terms::{Candidates, Demands, Settled},
};

/// What is known of a packet that no rule denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// A rule allowed it, by name.
    pub allowed: bool,
    /// Some service listens on its protocol and port.
    pub listens: bool,
}

/// Asks the rules of the generation's bank, and counts the one that matched.
#[inline(always)]
pub fn admit<A: Address, T: Tables>(
    flow: &Flow<A>,
    generation: Generation,
    tables: &T,
    frame_len: usize,
) -> Step<Admission> {
    let (Settled { decision, demands }, listens) = decide(flow, generation, tables);
    if decision.is_none() {
        return Ok(Admission { allowed: false, listens });
    }
    if demands != 0 {
        meet(Demands::from_word(demands), decision.id(), flow, tables, frame_len)?;
    }
    tables.count_rule(decision.id(), frame_len);
    if decision.allows() { Ok(Admission { allowed: true, listens }) } else { Err(Outcome::Denied) }
}

/// Sees to what a rule demands of a packet that it decides.
#[inline(always)]
fn meet<A: Address, T: Tables>(demands: Demands, rule: u32, flow: &Flow<A>, tables: &T, frame_len: usize) -> Step<()> {
    tables.remark(rule, demands.logs());
    let is_counted =
        demands.limits() && (!demands.counts_connections() || flow.segment().is_some_and(|segment| segment.opens()));
    if is_counted && !tables.within_limit(rule, source_word(flow)) {
        tables.count_limited(rule, frame_len);
        return Err(Outcome::Limited);
    }
    Ok(())
}

/// The first rule that matches and holds, and whether some service listens there.
#[inline(always)]
pub(crate) fn decide<A: Address, T: Tables>(flow: &Flow<A>, generation: Generation, tables: &T) -> (Settled, bool) {
    let bank = generation.bank();
    let port = tables.port(bank, port_entry(flow));
    let source = by_source(flow.source, bank, tables);
    let (interface, narrowed) = if generation.narrows() {
        let interface = tables.interface(bank, tables.ingress());
        (interface, by_destination(flow.destination, bank, tables) + interface)
    } else {
        (0, 0)
    };
    let target = at(narrowed, port, bank, tables);
    let settled = first(source, target, bank, tables);
    let members = if generation.asks_sets() { tables.members(bank, flow.source, flow.destination) } else { 0 };
    let more = if members != 0 {
        let asking = Asking { bank, kind: port.kind, narrowed, interface };
        tables.weigh(asking, members, source, target, flow.extensions)
    } else if flow.extensions != 0 {
        tables.against_extensions(bank, flow.extensions, source, narrowed)
    } else {
        return (settled, port.listens);
    };
    (settled.first(more), port.listens)
}

/// The class of a port at the packet's interface and destination.
#[inline(always)]
pub(crate) fn at<T: Tables>(narrowed: u32, port: Port, bank: usize, tables: &T) -> Class {
    if narrowed == 0 { port.class } else { tables.narrowed(bank, narrowed + u32::from(port.kind)) }
}

/// The first rule that matches both sides and holds.
#[inline(always)]
pub fn first<T: Tables>(source: Class, port: Class, bank: usize, tables: &T) -> Settled {
    let pair = source.pair_with(port).map_or(Decision::NONE, |index| tables.pair(bank, index));
    let candidates = Candidates { source: source.decision, target: port.decision, pair };
    let first = candidates.first();
    if first.is_conditional() { tables.settle(bank, candidates) } else { Settled::plain(first) }
}

/// The first denial of a kind of extension header among those of the mask.
///
/// An allowance of such a number does not count: what stands behind the header must not fare better for it.
#[inline(always)]
pub fn against_extensions<T: Tables>(
    bank: usize,
    extensions: u64,
    source: Class,
    narrowed: u32,
    tables: &T,
) -> Settled {
    let mut denial = Settled::plain(Decision::NONE);
    for number in KINDS {
        if extensions & extension::bit(number) != 0 {
            let kind = tables.port(bank, PROTOCOLS + usize::from(number));
            let settled = first(source, at(narrowed, kind, bank, tables), bank, tables);
            denial = if settled.decision.allows() { denial } else { denial.first(settled) };
        }
    }
    denial
}

#[inline(always)]
pub(crate) fn by_source<A: Address, T: Tables>(source: A, bank: usize, tables: &T) -> Class {
    match walk(source, root_index(bank, Side::Source, A::V6), tables) {
        0 => Class::NONE,
        class => tables.source(bank, class as usize),
    }
}

/// Where the classes of ports at this destination begin in the table of narrowed classes; 0 where no rule names it.
#[inline(always)]
fn by_destination<A: Address, T: Tables>(destination: A, bank: usize, tables: &T) -> u32 {
    walk(destination, root_index(bank, Side::Destination, A::V6), tables)
}

/// Walks a trie: two bytes at its root, then one byte a node.
#[inline(always)]
fn walk<A: Address, T: Tables>(address: A, root: usize, tables: &T) -> u32 {
    let mut entry = tables.root(root, address.prefix16());
    for _ in 2..A::BYTES {
        let Some(child) = Child::from_entry(entry) else { break };
        let front = address.half(child.lower()) >> child.shift();
        let node = tables.node(child.node(), front as u8);
        entry = if node.path == front >> 8 { node.entry } else { node.otherwise };
    }
    entry >> 1
}
