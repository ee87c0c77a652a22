//! What is remembered of a flow on a tracked slot, and what a segment does to it: a pure table.
//!
//! Backends change rarely; while they do, this decides that no live connection moves. Nothing here is asked on a calm
//! slot. Only the client's side is seen, so a sender is believed by its sequence numbers alone.

pub mod table;

use crate::{flow::Segment, slot::Slot};

/// Seconds that a provisional note outlives its SYN: a handshake's retries take 127 s with Linux's defaults.
pub const PROVISIONAL_SECONDS: u32 = 130;
/// Seconds that a closing note outlives the segment that closed.
pub const CLOSING_SECONDS: u32 = 120;
/// Seconds that a young note is kept where notes are scarce.
pub const YOUNG_SECONDS: u32 = 130;
/// Seconds of the clock after which another packet shows that a flow goes on; at least one second lies between.
const GOES_ON_SECONDS: u32 = 2;
/// Bytes past the SYN within which a segment proves that its sender saw the answer, and bytes around what was seen last
/// within which a sender is the same.
const WINDOW: u32 = 1 << 20;

/// How sure a note is of its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A SYN was seen, which anyone can forge.
    Provisional,
    /// One segment of an unknown flow was seen, which anyone can forge.
    Young,
    /// The connection exists.
    Lasting,
    /// FIN or RST was seen, at the sequence number where the client was.
    Closing,
}

impl Kind {
    /// Whether anyone can have such a note made with one packet.
    #[inline(always)]
    pub const fn is_unproven(self) -> bool {
        matches!(self, Self::Provisional | Self::Young)
    }
}

/// The backend of one flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    pub backend: u32,
    pub kind: Kind,
    /// Second of the flow's last packet, by the monotonic clock; of a young note the first packet's, of a closing one
    /// the closing one's.
    pub seen: u32,
    /// Of a provisional note the SYN's sequence number, of the others where the client's next segment begins.
    pub sequence: u32,
    /// Segments came that cannot be of one sender: FIN and RST are not believed.
    pub doubted: bool,
}

/// A bit of a note's second word.
const DOUBTED: u64 = 1 << 31;

impl Note {
    /// The bit of the first word that says that there is a note.
    pub const PRESENT: u64 = 1 << 18;
    /// The first word of a place that a note is about to come to, or to leave. No note has the backend 0.
    pub const RESERVED: u64 = Self::PRESENT;
    const KIND: u32 = 16;
    const SEEN: u64 = DOUBTED - 1;

    /// | bits of the first word | | bits of the second | |
    /// |---|---|---|---|
    /// | 0–15 | backend | 0–30 | seen: 68 years |
    /// | 16–17 | kind | 31 | doubted |
    /// | 18 | 1 | | |
    /// | 19–63 | whose it is ([`table::Key`]) | 32–63 | sequence |
    #[inline(always)]
    pub const fn to_words(self) -> [u64; 2] {
        let kind = match self.kind {
            Kind::Provisional => 0,
            Kind::Lasting => 1,
            Kind::Closing => 2,
            Kind::Young => 3,
        };
        let doubted = if self.doubted { DOUBTED } else { 0 };
        let seen = self.seen as u64 & Self::SEEN;
        let first = (self.backend & 0xffff) as u64 | kind << Self::KIND | Self::PRESENT;
        [first, seen | doubted | (self.sequence as u64) << 32]
    }

    /// Of a note that is there.
    #[inline(always)]
    pub const fn from_words([first, second]: [u64; 2]) -> Self {
        let kind = match first >> Self::KIND & 3 {
            0 => Kind::Provisional,
            1 => Kind::Lasting,
            2 => Kind::Closing,
            _ => Kind::Young,
        };
        let (seen, doubted) = ((second & Self::SEEN) as u32, second & DOUBTED != 0);
        Self { backend: first as u32 & 0xffff, kind, seen, sequence: (second >> 32) as u32, doubted }
    }

    /// Of a place; `None` where none stands.
    #[inline(always)]
    pub const fn standing(words: [u64; 2]) -> Option<Self> {
        if words[0] == 0 || words[0] == Self::RESERVED { None } else { Some(Self::from_words(words)) }
    }

    /// Whether nobody can need the note any more. `life`: seconds that a silent flow is kept.
    ///
    /// Where notes are scarce a young one goes early, and `previous` has to stand for its flow as if it had not been
    /// noted.
    pub const fn is_over(&self, now: u32, life: u32, scarce: bool) -> bool {
        let age = now.saturating_sub(self.seen);
        match self.kind {
            Kind::Provisional => age > PROVISIONAL_SECONDS,
            Kind::Young => age > life.saturating_add(GOES_ON_SECONDS) || scarce && age > YOUNG_SECONDS,
            Kind::Lasting => age > life,
            Kind::Closing => age > CLOSING_SECONDS,
        }
    }

    /// After a segment of a connection whose sequence numbers are known.
    #[inline(always)]
    fn hears(self, sign: Sign, now: u32) -> Self {
        let is_near = sign.sequence.wrapping_sub(self.sequence).wrapping_add(WINDOW) <= 2 * WINDOW;
        if self.doubted || !is_near {
            return Self { doubted: true, ..self.goes_on(now) };
        }
        // A blind sender would have to hit one number.
        let covers = self.sequence.wrapping_sub(sign.sequence) <= sign.end.wrapping_sub(sign.sequence);
        let ahead = sign.end.wrapping_sub(self.sequence).cast_signed() > 0;
        let sequence = if ahead { sign.end } else { self.sequence };
        if matches!(sign.act, Act::Close) && covers {
            return Self { kind: Kind::Closing, seen: now, sequence, ..self };
        }
        if matches!(self.kind, Kind::Closing) {
            // The last acknowledgements follow at once; later ones are of a connection that is closed on one side.
            return if self.is_fresh(now) { self } else { Self { doubted: true, ..self.goes_on(now) } };
        }
        Self { sequence, ..self.goes_on(now) }
    }

    /// After a packet that says nothing but that the flow is there.
    #[inline(always)]
    fn goes_on(self, now: u32) -> Self {
        if matches!(self.kind, Kind::Young) && self.is_fresh(now) {
            return self;
        }
        Self { kind: Kind::Lasting, seen: now, ..self }
    }

    #[inline(always)]
    fn is_fresh(self, now: u32) -> bool {
        now.saturating_sub(self.seen) < GOES_ON_SECONDS
    }
}

/// Where a packet on a tracked slot goes, and what is remembered of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    pub backend: u32,
    /// The note to write.
    pub note: Option<Note>,
    /// Where the packet goes if there is no room for the note.
    pub without_room: u32,
}

impl Choice {
    #[inline(always)]
    const fn sure(backend: u32, note: Option<Note>) -> Self {
        Self { backend, note, without_room: backend }
    }
}

/// What a packet does to its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// UDP has no openings: an un-noted datagram belongs to the previous backend.
    Datagram,
    /// SYN without ACK, RST and FIN.
    Open,
    /// FIN or RST.
    Close,
    /// Any other segment.
    Go,
}

/// What a packet is to its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sign {
    pub act: Act,
    pub sequence: u32,
    /// Where the segment that follows begins.
    pub end: u32,
}

impl Sign {
    pub const DATAGRAM: Self = Self { act: Act::Datagram, sequence: 0, end: 0 };

    /// The act in bits 32 to 33 of the first word, the sequence number below, and the end in the second.
    #[inline(always)]
    pub const fn to_words(self) -> (u64, u32) {
        let act = match self.act {
            Act::Datagram => 0,
            Act::Open => 1,
            Act::Close => 2,
            Act::Go => 3,
        };
        (act << 32 | self.sequence as u64, self.end)
    }

    #[inline(always)]
    pub const fn from_words(first: u64, end: u32) -> Self {
        let act = match first >> 32 & 3 {
            0 => Act::Datagram,
            1 => Act::Open,
            2 => Act::Close,
            _ => Act::Go,
        };
        Self { act, sequence: first as u32, end }
    }

    /// `payload`: bytes of it.
    #[inline(always)]
    pub const fn of(segment: &Segment, sequence: u32, payload: u32) -> Self {
        let act = if segment.opens() {
            Act::Open
        } else if segment.closes() {
            Act::Close
        } else {
            Act::Go
        };
        let len = if segment.flags & Segment::RST != 0 { 0 } else { payload + (segment.flags & Segment::FIN) as u32 };
        Self { act, sequence, end: sequence.wrapping_add(len) }
    }
}

/// Decides for a packet on a tracked slot. `note`: the flow's, if its backend lives.
#[inline(always)]
pub fn choose(slot: Slot, note: Option<Note>, sign: Sign, now: u32) -> Choice {
    match note {
        Some(note) if matches!(sign.act, Act::Open) && matches!(note.kind, Kind::Closing) => {
            // Where it cannot be noted, the old note stands and the connection is where that says.
            opened(slot.current(), note.backend, sign, now)
        }
        Some(note) => noted(slot, note, sign, now),
        // Whatever comes next finds these flows on their previous backend.
        None if slot.previous() == slot.current() => Choice::sure(slot.current(), None),
        None => unnoted(slot, sign, now),
    }
}

#[inline(always)]
fn noted(slot: Slot, note: Note, sign: Sign, now: u32) -> Choice {
    let is_provisional = matches!(note.kind, Kind::Provisional);
    let after = match sign.act {
        Act::Datagram => note.goes_on(now),
        // One of the two SYNs is forged. This one's connection goes where its next segment will, by the line below.
        Act::Open if is_provisional && note.sequence != sign.sequence => return Choice::sure(slot.previous(), None),
        Act::Open => Note { seen: now, ..note },
        Act::Close | Act::Go if !is_provisional => note.hears(sign, now),
        Act::Close | Act::Go if (1..=WINDOW).contains(&sign.sequence.wrapping_sub(note.sequence)) => {
            Note { kind: Kind::Lasting, sequence: note.sequence.wrapping_add(1), ..note }.hears(sign, now)
        }
        // The SYN was somebody else's: this connection is older than the change.
        Act::Close | Act::Go => return young(slot.previous(), sign, now),
    };
    Choice::sure(note.backend, Some(after))
}

#[inline(always)]
fn unnoted(slot: Slot, sign: Sign, now: u32) -> Choice {
    match sign.act {
        Act::Open => opened(slot.current(), slot.previous(), sign, now),
        Act::Close => Choice::sure(slot.previous(), None),
        Act::Datagram | Act::Go => young(slot.previous(), sign, now),
    }
}

#[inline(always)]
const fn opened(current: u32, without_room: u32, sign: Sign, now: u32) -> Choice {
    if current == 0 {
        return Choice::sure(current, None);
    }
    let note = Note { backend: current, kind: Kind::Provisional, seen: now, sequence: sign.sequence, doubted: false };
    Choice { backend: current, note: Some(note), without_room }
}

#[inline(always)]
const fn young(backend: u32, sign: Sign, now: u32) -> Choice {
    let note = Note { backend, kind: Kind::Young, seen: now, sequence: sign.end, doubted: false };
    Choice::sure(backend, Some(note))
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
