//! A packet's way, a stage a line.

use crate::{
    address::Address,
    admit::{admit, decide},
    decision::Decision,
    essential::is_essential,
    find::{ServiceEntry, find, find_answer},
    flow::Flow,
    forward::forward,
    fragment::{follow, remember},
    frame::{Frame, FrameMut},
    handoff::{Begins, Handoff, Stage},
    header::Be16,
    outcome::{Outcome, Step},
    parse::{self, Network},
    pick::pick,
    plane::Way,
    query::queries,
    state::{is_reply, note_heard},
    tables::Tables,
};

/// Decides what becomes of a frame, and rewrites it if it goes to a backend.
#[inline(always)]
pub fn serve<F: FrameMut + ?Sized, T: Tables>(frame: &mut F, tables: &T) -> Outcome {
    match stages(frame, tables) {
        Ok(outcome) | Err(outcome) => outcome,
    }
}

#[inline(always)]
fn stages<F: FrameMut + ?Sized, T: Tables>(frame: &mut F, tables: &T) -> Step<Outcome> {
    match parse::link(frame)? {
        Network::V4(offset) => {
            let flow = parse::ipv4(frame, offset)?;
            judge(frame, offset, &flow, tables)
        }
        Network::V6(offset) => {
            let flow = parse::ipv6(frame, offset)?;
            judge(frame, offset, &flow, tables)
        }
    }
}

#[inline(always)]
fn judge<F: FrameMut + ?Sized, A: Address, T: Tables>(
    frame: &mut F,
    ip: usize,
    flow: &Flow<A>,
    tables: &T,
) -> Step<Outcome> {
    let generation = tables.generation();
    let (settled, listens) = decide(flow, generation, Way::In, tables);
    if flow.fragment.is_later() {
        return follow(frame, flow, settled, (generation, ip), tables);
    }
    admit(flow, settled, tables, frame.len())?;
    if listens
        && !is_for_a_group(frame)
        && let Some(service) = find(flow, generation.bank(), tables)
    {
        if !service.scheme.is_none() {
            let handoff = Handoff::of::<A>(Stage::QUIC, ip, 0, 0, frame.len());
            return Ok(tables.hand_over(Handoff { detail: generation.word(), ..handoff }));
        }
        let picked = pick(frame, flow, &service, tables)?;
        if picked.next_hop.interface().is_none() {
            return Err(Outcome::Unresolved);
        }
        let begins = begins(frame, flow, &service);
        remember(flow, Way::In, Outcome::Forwarded, picked.backend, tables);
        return forward::<F, A, T>(frame, ip, service.mode, &picked, begins, tables);
    }
    if generation.rewrites_answers() && !is_for_a_group(frame) {
        let answer = find_answer(flow, generation, tables);
        if answer != 0 {
            let handoff = Handoff::of::<A>(Stage::ANSWER, ip, (answer >> 32) as u32, 0, frame.len());
            return Ok(tables.hand_over(Handoff { detail: answer & 0xffff_ffff, ..handoff }));
        }
    }
    let outcome = unserved(frame, flow, settled.decision, (Way::In, generation.drops()), tables);
    if generation.hears() && matches!(outcome, Outcome::Allowed | Outcome::DefaultPass) {
        note_heard(frame, flow, tables);
    }
    remember(flow, Way::In, outcome, 0, tables);
    Ok(outcome)
}

/// The bit of an Ethernet address's first two bytes that makes it multicast or broadcast (IEEE 802 §8.2.2).
const GROUP: u16 = 0x0100;

/// Every host of the segment has this frame: were it sent on, each balancer there would send a copy.
#[inline(always)]
pub(crate) fn is_for_a_group<F: Frame + ?Sized>(frame: &F) -> bool {
    // Two bytes: the verifier does not follow the test that the compiler makes of one byte at a frame's start.
    frame.read::<Be16>(0).is_some_and(|first| first.value() & GROUP != 0)
}

/// What becomes of a packet that no rule denies and that is for no service. `drops`: on this way, what nothing decides is
/// dropped.
#[inline(always)]
pub(crate) fn unserved<F: Frame + ?Sized, A: Address, T: Tables>(
    frame: &F,
    flow: &Flow<A>,
    decision: Decision,
    (way, drops): (Way, bool),
    tables: &T,
) -> Outcome {
    if decision.allows() {
        Outcome::Allowed
    } else if is_essential(flow, way) {
        Outcome::Essential
    } else if !drops {
        Outcome::DefaultPass
    } else if is_reply(frame, flow, way, tables) {
        Outcome::Reply
    } else {
        Outcome::DefaultDrop
    }
}

/// What a packet begins at its backend.
#[inline(always)]
fn begins<F: Frame + ?Sized, A: Address>(frame: &F, flow: &Flow<A>, service: &ServiceEntry) -> Begins {
    match flow.segment() {
        Some(segment) => Begins::new(segment.opens(), queries(frame, &segment, service)),
        None => Begins::NOTHING,
    }
}

#[cfg(test)]
mod tests;
