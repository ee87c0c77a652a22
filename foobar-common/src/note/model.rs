//! Every history of one slot, two flows, a forger of SYNs and a table of one or two notes: no live connection to a
//! living backend moves.
//!
//! The model stands on what the table of notes stands on: the first segment behind a SYN is within the window, a forger
//! does not know sequences and sends SYNs alone, notes outlive what they are for, and previous is given up when every
//! connection is noted.

use std::collections::{HashSet, VecDeque};

use super::*;
use crate::ring::follow;

const BACKENDS: u32 = 3;
const ISN: u32 = 1_000;
/// The first segment behind the SYN, and one long after.
const YOUNG: u32 = ISN + 1;
const OLD: u32 = ISN + (1 << 30);
const FORGED: u32 = ISN + (1 << 31);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Connection {
    None,
    /// The SYN reached this backend.
    Opening(u32),
    Live(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct World {
    slot: u32,
    /// By id, which never lives again.
    dead: [bool; BACKENDS as usize + 1],
    /// By flow, as words.
    notes: [Option<[u64; 2]>; 2],
    flows: [Connection; 2],
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Open(usize),
    Answer(usize),
    Data(usize),
    Close(usize),
    Forge(usize),
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

fn events() -> Vec<Event> {
    let mut events = vec![Event::Age, Event::Calm];
    for flow in 0..2 {
        events.extend([Event::Open(flow), Event::Answer(flow), Event::Data(flow)]);
        events.extend([Event::Close(flow), Event::Forge(flow), Event::Expire(flow)]);
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

    /// Sends a packet as `pick` does; the backend that it reaches, 0 for none.
    fn send(&mut self, flow: usize, opens: bool, closes: bool, sequence: u32, room: usize) -> u32 {
        let slot = self.slot();
        if !slot.is_tracked() {
            return slot.current();
        }
        if self.note(flow).is_some_and(|note| self.dead[note.backend as usize]) {
            self.notes[flow] = None;
        }
        let choice = choose(slot, self.note(flow), Sign { opens, closes, sequence }, 0);
        let is_full = self.notes.iter().flatten().count() >= room;
        match choice.note {
            Some(_) if is_full && self.notes[flow].is_none() => return choice.without_room,
            Some(note) => self.notes[flow] = Some(note.to_words()),
            None => {}
        }
        choice.backend
    }

    /// A segment of a connection with `backend`, which is where it must go.
    fn continues(&mut self, flow: usize, closes: bool, sequence: u32, backend: u32, room: usize) {
        let before = *self;
        let reached = self.send(flow, false, closes, sequence, room);
        assert_eq!(reached, backend, "a live connection moved: flow {flow}, sequence {sequence}, {before:?}");
    }

    fn change(&mut self, to: u32) {
        let dead = self.dead;
        self.slot = follow(Some(&[self.slot()]), &[to], |id| id != 0 && !dead[id as usize])[0].word();
    }

    /// Every connection has a note of its own, or is where its slot's new flows go.
    fn can_age(&self) -> bool {
        let is_noted = |flow: usize, backend, is_own: fn(&Note) -> bool| {
            backend == self.slot().current()
                || self.note(flow).is_some_and(|note| note.backend == backend && is_own(&note))
        };
        (0..2).all(|flow| match self.flows[flow] {
            Connection::None => true,
            Connection::Opening(backend) => {
                is_noted(flow, backend, |note| note.kind != Kind::Closing && note.isn == ISN)
            }
            Connection::Live(backend) => is_noted(flow, backend, |note| note.kind == Kind::Lasting),
        })
    }

    /// The world after an event; `None` where it cannot happen.
    fn after(mut self, event: Event, room: usize) -> Option<Self> {
        match event {
            Event::Open(flow) => match self.flows[flow] {
                Connection::Live(_) => return None,
                // Also a SYN that is sent again.
                _ => {
                    self.flows[flow] = match self.send(flow, true, false, ISN, room) {
                        0 => Connection::None,
                        backend => Connection::Opening(backend),
                    }
                }
            },
            Event::Answer(flow) => {
                let Connection::Opening(backend) = self.flows[flow] else { return None };
                self.continues(flow, false, YOUNG, backend, room);
                self.flows[flow] = Connection::Live(backend);
            }
            Event::Data(flow) | Event::Close(flow) => {
                let Connection::Live(backend) = self.flows[flow] else { return None };
                let closes = matches!(event, Event::Close(_));
                self.continues(flow, closes, OLD, backend, room);
                if closes {
                    self.flows[flow] = Connection::None;
                }
            }
            Event::Forge(flow) => {
                self.send(flow, true, false, FORGED, room);
            }
            Event::Expire(flow) => {
                let needed = match self.note(flow)?.kind {
                    Kind::Provisional => matches!(self.flows[flow], Connection::Opening(_)),
                    Kind::Lasting | Kind::Closing => self.flows[flow] != Connection::None,
                };
                if needed {
                    return None;
                }
                self.notes[flow] = None;
            }
            Event::Change(to) => {
                if self.dead[to as usize] {
                    return None;
                }
                self.change(to);
            }
            Event::Kill(dead, to) => {
                if self.dead[dead as usize] || self.dead[to as usize] {
                    return None;
                }
                self.dead[dead as usize] = true;
                for flow in &mut self.flows {
                    if *flow == Connection::Opening(dead) || *flow == Connection::Live(dead) {
                        *flow = Connection::None;
                    }
                }
                self.change(to);
            }
            Event::Age => {
                if !self.slot().is_tracked() || !self.can_age() {
                    return None;
                }
                self.slot = Slot::tracked(self.slot().current(), self.slot().current()).word();
            }
            Event::Calm => {
                let current = self.slot().current();
                let elsewhere = (0..2).filter_map(|flow| self.note(flow)).any(|note| note.backend != current);
                if self.slot().previous() != current || elsewhere {
                    return None;
                }
                self.slot = Slot::calm(current).word();
            }
        }
        Some(self)
    }
}

/// Walks through every world that can be reached, and returns how many there are.
fn search(room: usize) -> usize {
    let begin = |first, second| World {
        slot: Slot::calm(1).word(),
        dead: [false; BACKENDS as usize + 1],
        notes: [None; 2],
        flows: [first, second],
    };
    let (none, live) = (Connection::None, Connection::Live(1));
    let mut queue: VecDeque<_> = [begin(none, none), begin(live, none), begin(live, live)].into();
    let mut seen: HashSet<_> = queue.iter().copied().collect();
    let events = events();
    while let Some(world) = queue.pop_front() {
        for next in events.iter().filter_map(|event| world.after(*event, room)) {
            if seen.insert(next) {
                queue.push_back(next);
            }
        }
    }
    seen.len()
}

#[test]
fn no_live_connection_to_a_living_backend_moves() {
    for room in 0..=2 {
        let worlds = search(room);
        println!("{worlds} worlds with room for {room} notes");
        assert!(worlds > 400, "the model does not move");
    }
}
