//! A packet's way out of this host: rules, what is never dropped by default, answers, the default.
//!
//! Where neither rules nor a default judge what leaves, nothing is asked but what has to be noted, and nothing counted.
//! What may not leave becomes the answer that its sender hears.

use crate::{
    address::Address,
    admit::{admit, decide},
    flow::Flow,
    fragment::{follow_sent, remember},
    frame::{Frame, Resize},
    generation::Generation,
    outcome::{Action, Outcome, Step},
    parse::{self, Network},
    plane::Way,
    refuse::refuse,
    serve::unserved,
    state::{Fate, note_opened},
    tables::Tables,
};

/// What becomes of a frame that this host sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    Leaves,
    Dropped,
    /// The frame is the answer: it belongs back where it came from.
    Answered,
}

/// Decides whether a frame leaves, and makes the answer of one that may not.
#[inline(always)]
pub fn depart<F: Resize + ?Sized, T: Tables>(frame: &mut F, tables: &T) -> Departure {
    let generation = tables.generation();
    let unread = match parse::link(frame) {
        Ok(Network::V4(offset)) => match parse::ipv4(frame, offset) {
            Ok(flow) => return judge(frame, offset, &flow, generation, tables),
            Err(outcome) => outcome,
        },
        Ok(Network::V6(offset)) => match parse::ipv6(frame, offset) {
            Ok(flow) => return judge(frame, offset, &flow, generation, tables),
            Err(outcome) => outcome,
        },
        Err(outcome) => outcome,
    };
    if !generation.judges_sent() {
        return Departure::Leaves;
    }
    tables.count_sent(unread, frame.len());
    if matches!(unread.action(), Action::Drop) { Departure::Dropped } else { Departure::Leaves }
}

/// The outcome is counted before all else is done, so that the kernel's verifier looks at that once for all of them.
#[inline(always)]
fn judge<F: Resize + ?Sized, A: Address, T: Tables>(
    frame: &mut F,
    offset: usize,
    flow: &Flow<A>,
    generation: Generation,
    tables: &T,
) -> Departure {
    let fate = if generation.judges_sent() { judge_counted(frame, flow, generation, tables) } else { Fate::Left };
    // The same again: carried along, it would stand on the stack.
    let generation = tables.generation();
    if generation.notes() {
        note_opened(frame, flow, fate, generation, tables);
    }
    match fate {
        Fate::Left => Departure::Leaves,
        Fate::Refused if refuse(frame, offset, flow).is_some() => Departure::Answered,
        Fate::Refused => Departure::Dropped,
    }
}

#[inline(always)]
fn judge_counted<F: Frame + ?Sized, A: Address, T: Tables>(
    frame: &F,
    flow: &Flow<A>,
    generation: Generation,
    tables: &T,
) -> Fate {
    match verdict(frame, flow, generation, tables) {
        Ok(outcome) => {
            tables.count_sent(outcome, frame.len());
            remember(flow, Way::Out, outcome, 0, tables);
            Fate::Left
        }
        Err(outcome) => {
            tables.count_sent(outcome, frame.len());
            Fate::Refused
        }
    }
}

/// Why a packet may leave, or as an error why it may not.
#[inline(always)]
fn verdict<F: Frame + ?Sized, A: Address, T: Tables>(
    frame: &F,
    flow: &Flow<A>,
    generation: Generation,
    tables: &T,
) -> Step<Outcome> {
    let (settled, _) = decide(flow, generation, Way::Out, tables);
    if flow.fragment.is_later() {
        return follow_sent(frame, flow, settled, generation, tables);
    }
    admit(flow, settled, tables, frame.len())?;
    match unserved(frame, flow, settled.decision, (Way::Out, generation.drops_sent()), tables) {
        Outcome::DefaultDrop => Err(Outcome::DefaultDrop),
        outcome => Ok(outcome),
    }
}

/// What would become of a frame that this host sends. Nothing is answered.
pub fn judge_sent<F: Frame + ?Sized, T: Tables>(frame: &F, tables: &T) -> Outcome {
    let generation = tables.generation();
    let judged = match parse::link(frame) {
        Ok(Network::V4(offset)) => {
            parse::ipv4(frame, offset).and_then(|flow| verdict(frame, &flow, generation, tables))
        }
        Ok(Network::V6(offset)) => {
            parse::ipv6(frame, offset).and_then(|flow| verdict(frame, &flow, generation, tables))
        }
        Err(outcome) => Err(outcome),
    };
    match judged {
        _ if !generation.judges_sent() => Outcome::DefaultPass,
        Ok(outcome) | Err(outcome) => outcome,
    }
}

#[cfg(test)]
mod tests;
