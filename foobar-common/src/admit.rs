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
    flow::Flow,
    generation::Generation,
    layout::{Side, port_entry},
    limit::source_word,
    outcome::{Outcome, Step},
    plane::{Plane, Way},
    sets::{Asking, Members, Question},
    tables::Tables,
    terms::{Candidates, Demands, Settled},
};

/// Applies what [`decide`] found: counts the rule and sees to what it demands. An error is its denial, or its limit.
#[inline(always)]
pub fn admit<A: Address, T: Tables>(
    flow: &Flow<A>,
    Settled { decision, demands }: Settled,
    tables: &T,
    frame_len: usize,
) -> Step<()> {
    if decision.is_none() {
        return Ok(());
    }
    if demands == 0 {
        tables.remark(decision.id(), false);
    } else {
        meet(Demands::from_word(demands), decision.id(), flow, tables, frame_len)?;
    }
    tables.count_rule(decision.id(), frame_len);
    if decision.allows() { Ok(()) } else { Err(Outcome::Denied) }
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
pub fn decide<A: Address, T: Tables>(flow: &Flow<A>, generation: Generation, way: Way, tables: &T) -> (Settled, bool) {
    let plane = generation.plane(way);
    let (far, near) = plane.sides(flow);
    let port = tables.port(plane, port_entry(flow));
    let source = by_source(far, plane, tables);
    let (interface, narrowed) = if generation.narrows(way) {
        let interface = by_interface(plane, tables);
        (interface, by_destination(near, plane, tables) + interface)
    } else {
        (0, 0)
    };
    let target = at(narrowed, port, plane, tables);
    let settled = first(source, target, plane, tables);
    // No rule on the way out names a set, or an extension header.
    if matches!(way, Way::Out) {
        return (settled, port.listens);
    }
    let members = if generation.asks_sets() { tables.members(plane.bank, far, near) } else { Members::NONE };
    if members.is_none() && flow.extensions == 0 {
        return (settled, port.listens);
    }
    let asking = Asking { bank: plane.bank, kind: port.kind, narrowed, interface };
    tables.put(Question { own: source, target, extensions: flow.extensions, asking }.words());
    let more = if members.destinations() == 0 && flow.extensions == 0 {
        tables.weigh_sources(members.sources() << 1, target)
    } else {
        tables.weigh(members)
    };
    (settled.first(more), port.listens)
}

/// The class of a port at the packet's interface and destination.
#[inline(always)]
pub(crate) fn at<T: Tables>(narrowed: u32, port: Port, plane: Plane, tables: &T) -> Class {
    if narrowed == 0 { port.class } else { tables.narrowed(plane, narrowed + u32::from(port.kind)) }
}

/// The first rule that matches both sides and holds.
#[inline(always)]
pub(crate) fn first<T: Tables>(source: Class, port: Class, plane: Plane, tables: &T) -> Settled {
    let mut candidates = Candidates { source: source.decision, target: port.decision, pair: Decision::NONE };
    let mut first = source.decision.first(port.decision);
    if let Some(index) = source.pair_with(port) {
        candidates.pair = tables.pair(plane, index);
        first = first.first(candidates.pair);
    }
    // No rule on the way out has terms.
    if matches!(plane.way, Way::In) && first.is_conditional() {
        tables.settle(plane.bank, candidates)
    } else {
        Settled::plain(first)
    }
}

#[inline(always)]
pub(crate) fn by_source<A: Address, T: Tables>(source: A, plane: Plane, tables: &T) -> Class {
    match find(source, Side::Source, plane, tables) {
        0 => Class::NONE,
        class => tables.source(plane, class as usize),
    }
}

/// Where the classes of ports at this destination begin in the table of narrowed classes; 0 where no rule names it.
#[inline(always)]
fn by_destination<A: Address, T: Tables>(destination: A, plane: Plane, tables: &T) -> u32 {
    find(destination, Side::Destination, plane, tables)
}

#[inline(always)]
fn find<A: Address, T: Tables>(address: A, side: Side, plane: Plane, tables: &T) -> u32 {
    let root = plane.root(side, A::V6);
    match plane.way {
        Way::In => walk(address, root, tables),
        Way::Out => tables.walk(address, root),
    }
}

/// Where the classes of ports at this packet's interface begin there; no rule on the way out names one.
#[inline(always)]
fn by_interface<T: Tables>(plane: Plane, tables: &T) -> u32 {
    match plane.way {
        Way::In => tables.interface(plane.bank, tables.ingress()),
        Way::Out => 0,
    }
}

/// Walks a trie: two bytes at its root, then one byte a node.
#[inline(always)]
pub fn walk<A: Address, T: Tables>(address: A, root: usize, tables: &T) -> u32 {
    let mut entry = tables.root(root, address.prefix16());
    for _ in 2..A::BYTES {
        let Some(child) = Child::from_entry(entry) else { break };
        let front = address.half(child.lower()) >> child.shift();
        let node = tables.node(child.node(), front as u8);
        entry = if node.path == front >> 8 { node.entry } else { node.otherwise };
    }
    entry >> 1
}
