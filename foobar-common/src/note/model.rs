//! Every history of one slot, two flows, a forger and a table of one or two notes: no live connection to a living
//! backend moves.
//!
//! The forger sends SYNs, FINs, RSTs and other segments in a flow's name, with sequence numbers far from the real ones:
//! he does not know those. The model stands on what the table of notes stands on besides: the first segment behind a SYN
//! is within the window; nobody forges a SYN and the segment that follows it, or a SYN into a connection that is half
//! closed; notes outlive what they are for; and previous is given up when every connection that stays spoke since the
//! change, and found room when it last spoke. An opening is no connection yet: a forged segment amid it can fail it.

use std::collections::{HashMap, VecDeque};

use super::*;
use crate::ring::follow;

const BACKENDS: u32 = 3;
const ISN: u32 = 1_000;
/// The first segment behind the SYN, and one long after.
const YOUNG: u32 = ISN + 1;
const OLD: u32 = ISN + (1 << 30);
/// Of a forged SYN, and of other forged segments.
const FORGED_SYN: u32 = ISN + (1 << 31);
const FORGED: u32 = ISN + (3 << 30);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    None,
    /// The SYN reached the backend.
    Opening,
    Live,
    /// The client sent FIN and listens on.
    HalfClosed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Connection {
    phase: Phase,
    backend: u32,
    /// Where the client's next segment begins.
    next: u32,
    /// It spoke since the slot last changed.
    spoke: bool,
    /// What it last said found no room in the table, or its note went early: previous stands for it.
    refused: bool,
}

const NONE: Connection = Connection { phase: Phase::None, backend: 0, next: 0, spoke: false, refused: false };

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct World {
    slot: u32,
    /// By id, which never lives again.
    dead: [bool; BACKENDS as usize + 1],
    /// By flow, as words, all seen at second 0.
    notes: [Option<[u64; 2]>; 2],
    flows: [Connection; 2],
    /// A live connection did not reach its backend.
    moved: bool,
}

/// Whether a packet comes so long after the last one that the flow goes on.
#[derive(Clone, Copy, Debug)]
enum When {
    Soon,
    Later,
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Open(usize),
    Answer(usize),
    Data(usize, When),
    /// So much was sent meanwhile that the next segment is far from what was seen.
    Jump(usize),
    Close(usize),
    Finish(usize),
    Forge(usize, Act, When),
    /// The note's time is over.
    Expire(usize),
    /// New flows go to this backend from here on; 0: to none.
    Change(u32),
    /// A backend dies and another takes its place.
    Kill(u32, u32),
    /// Previous is given up.
    Age,
    Calm,
}

fn events(flows: usize) -> Vec<Event> {
    let mut events = vec![Event::Age, Event::Calm];
    for flow in 0..flows {
        events.extend([Event::Open(flow), Event::Answer(flow), Event::Jump(flow), Event::Close(flow)]);
        events.extend([Event::Finish(flow), Event::Expire(flow), Event::Forge(flow, Act::Open, When::Soon)]);
        for when in [When::Soon, When::Later] {
            events.extend([Event::Data(flow, when), Event::Forge(flow, Act::Go, when)]);
            events.push(Event::Forge(flow, Act::Close, when));
        }
    }
    for to in 0..=BACKENDS {
        events.push(Event::Change(to));
        events.extend((1..=BACKENDS).filter(|dead| *dead != to).map(|dead| Event::Kill(dead, to)));
    }
    events
}

impl World {
    fn slot(&self) -> Slot {
        Slot::from_word(self.slot)
    }

    fn note(&self, flow: usize) -> Option<Note> {
        self.notes[flow].map(Note::from_words)
    }

    fn set_note(&mut self, flow: usize, note: Note) {
        self.notes[flow] = Some(Note { seen: 0, ..note }.to_words());
    }

    /// Sends a packet as `pick` does: the backend that it reaches, 0 for none, and whether it found room.
    fn send(&mut self, flow: usize, sign: Sign, when: When, room: usize) -> (u32, bool) {
        let slot = self.slot();
        if !slot.is_tracked() {
            return (slot.current(), true);
        }
        if self.note(flow).is_some_and(|note| self.dead[note.backend as usize]) {
            self.notes[flow] = None;
        }
        let now = if matches!(when, When::Soon) { 0 } else { GOES_ON_SECONDS };
        let choice = choose(slot, self.note(flow), sign, now);
        let is_full = self.notes.iter().flatten().count() >= room;
        match choice.note {
            Some(_) if is_full && self.notes[flow].is_none() => return (choice.without_room, false),
            Some(note) => self.set_note(flow, note),
            None => {}
        }
        (choice.backend, true)
    }

    /// A segment of a connection, which must go where the connection is.
    fn continues(&mut self, flow: usize, act: Act, when: When, room: usize) {
        let connection = self.flows[flow];
        let end = connection.next + u32::from(matches!(act, Act::Close));
        let (reached, had_room) = self.send(flow, Sign { act, sequence: connection.next, end }, when, room);
        self.moved |= reached != connection.backend;
        self.flows[flow] = Connection { next: end, spoke: true, refused: !had_room, ..connection };
    }

    fn change(&mut self, to: u32) {
        let dead = self.dead;
        self.slot = follow(Some(&[self.slot()]), &[to], |id| id != 0 && !dead[id as usize])[0].word();
        self.flows.iter_mut().for_each(|flow| flow.spoke = false);
    }

    /// A forged packet. What comes between a SYN and its answer can make an opening fail, and that alone.
    fn forge(&mut self, flow: usize, act: Act, when: When, room: usize) -> Option<()> {
        let phase = self.flows[flow].phase;
        let sequence = if matches!(act, Act::Open) { FORGED_SYN } else { FORGED };
        match (phase, act) {
            (Phase::HalfClosed, Act::Open) => return None,
            (Phase::Opening, Act::Go | Act::Close) => self.flows[flow] = NONE,
            _ => {}
        }
        self.send(flow, Sign { act, sequence, end: sequence }, when, room);
        Some(())
    }

    /// Time passes for a note that its flow cannot need any more.
    fn expire(&mut self, flow: usize) -> Option<()> {
        let note = self.note(flow)?;
        let stands = self.slot().previous() == note.backend;
        let connection = &mut self.flows[flow];
        match (note.kind, connection.phase) {
            (_, Phase::None) | (Kind::Closing, Phase::Live) | (Kind::Provisional, Phase::Live | Phase::HalfClosed) => {}
            // Notes were scarce.
            (Kind::Young, Phase::Live | Phase::HalfClosed) if stands => connection.refused = true,
            _ => return None,
        }
        self.notes[flow] = None;
        Some(())
    }

    /// One `idle` after the change: who did not speak since is not there any more, and nobody was refused.
    fn age(&mut self) -> Option<()> {
        let current = self.slot().current();
        for flow in self.flows.iter_mut().filter(|flow| flow.phase != Phase::None && flow.backend != current) {
            if flow.spoke && flow.refused {
                return None;
            }
            if !flow.spoke {
                *flow = NONE;
            }
        }
        self.slot = Slot::tracked(current, current).word();
        Some(())
    }

    /// The world after an event; `None` where it cannot happen.
    fn after(mut self, event: Event, room: usize) -> Option<Self> {
        match event {
            Event::Open(flow) => {
                // Also a SYN that is sent again.
                if !matches!(self.flows[flow].phase, Phase::None | Phase::Opening) {
                    return None;
                }
                let sign = Sign { act: Act::Open, sequence: ISN, end: ISN };
                let (backend, had_room) = self.send(flow, sign, When::Soon, room);
                // Against a forged SYN it stands un-noted: it is nobody's yet when previous is given up.
                let is_forged = |note: Note| note.kind == Kind::Provisional && note.sequence != ISN;
                let spoke = !self.note(flow).is_some_and(is_forged);
                let opening = Connection { phase: Phase::Opening, backend, next: YOUNG, spoke, refused: !had_room };
                self.flows[flow] = if backend == 0 { NONE } else { opening };
            }
            Event::Answer(flow) => {
                self.in_phase(flow, &[Phase::Opening])?;
                self.continues(flow, Act::Go, When::Soon, room);
                self.flows[flow].phase = Phase::Live;
            }
            Event::Data(flow, when) => {
                self.in_phase(flow, &[Phase::Live, Phase::HalfClosed])?;
                self.continues(flow, Act::Go, when, room);
            }
            Event::Jump(flow) => {
                self.in_phase(flow, &[Phase::Live])?;
                self.flows[flow].next = OLD;
            }
            Event::Close(flow) => {
                self.in_phase(flow, &[Phase::Live])?;
                self.continues(flow, Act::Close, When::Soon, room);
                self.flows[flow] = NONE;
            }
            Event::Finish(flow) => {
                self.in_phase(flow, &[Phase::Live])?;
                self.continues(flow, Act::Close, When::Soon, room);
                // What it says next counts: a FIN that is not noted is not remembered.
                self.flows[flow] = Connection { phase: Phase::HalfClosed, spoke: false, ..self.flows[flow] };
            }
            Event::Forge(flow, act, when) => self.forge(flow, act, when, room)?,
            Event::Expire(flow) => self.expire(flow)?,
            Event::Change(to) if self.dead[to as usize] => return None,
            Event::Change(to) => self.change(to),
            Event::Kill(dead, to) => {
                if self.dead[dead as usize] || self.dead[to as usize] {
                    return None;
                }
                self.dead[dead as usize] = true;
                self.change(to);
                let on_it = self.flows.iter_mut().filter(|flow| flow.backend == dead);
                on_it.for_each(|flow| *flow = NONE);
            }
            Event::Age => self.age()?,
            Event::Calm => {
                let current = self.slot().current();
                let elsewhere = (0..2).filter_map(|flow| self.note(flow)).any(|note| note.backend != current);
                if self.slot().previous() != current || elsewhere {
                    return None;
                }
                self.slot = Slot::calm(current).word();
                // The next sweep forgets them: nobody asks for them.
                self.notes = [None; 2];
            }
        }
        Some(self)
    }

    fn in_phase(&self, flow: usize, phases: &[Phase]) -> Option<()> {
        phases.contains(&self.flows[flow].phase).then_some(())
    }
}

/// Walks through every world that can be reached, and returns how many there are.
fn search(flows: usize, room: usize) -> usize {
    let begin = |first, second| World {
        slot: Slot::calm(1).word(),
        dead: [false; BACKENDS as usize + 1],
        notes: [None; 2],
        flows: [first, second],
        moved: false,
    };
    let live = Connection { phase: Phase::Live, backend: 1, next: YOUNG, ..NONE };
    let mut queue: VecDeque<_> = [begin(NONE, NONE), begin(live, NONE)].into();
    queue.extend((flows == 2).then_some(begin(live, live)));
    let mut came_from: HashMap<World, Option<(World, Event)>> = queue.iter().map(|world| (*world, None)).collect();
    let events = events(flows);
    while let Some(world) = queue.pop_front() {
        for event in &events {
            let Some(next) = world.after(*event, room) else { continue };
            if came_from.contains_key(&next) {
                continue;
            }
            came_from.insert(next, Some((world, *event)));
            assert!(!next.moved, "a live connection moved:\n{}", history(next, &came_from).join("\n"));
            queue.push_back(next);
        }
    }
    came_from.len()
}

/// How a world came to be, the first event first.
fn history(mut world: World, came_from: &HashMap<World, Option<(World, Event)>>) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some((before, event)) = came_from[&world] {
        let notes = [world.note(0), world.note(1)];
        lines.push(format!("{event:?}: {:?} to {:?}, {notes:?}", world.slot().previous(), world.slot().current()));
        world = before;
    }
    lines.reverse();
    lines
}

#[test]
fn no_live_connection_to_a_living_backend_moves() {
    // With room for both, two flows never meet: one stands for them.
    for (flows, room) in [(2, 0), (2, 1), (1, 1)] {
        let worlds = search(flows, room);
        println!("{worlds} worlds of {flows} flows with room for {room} notes");
        assert!(worlds > 400, "the model does not move");
    }
}
