//! What is remembered of a flow on a tracked slot, and what a segment does to it: a pure table.
//!
//! Backends change rarely; while they do, this decides that no live connection moves. Nothing here is asked on a calm
//! slot.

use crate::{flow::Segment, slot::Slot};

/// Seconds that a provisional note outlives its SYN: a handshake's retries take 127 s with Linux's defaults.
pub const PROVISIONAL_SECONDS: u32 = 130;
/// Seconds that a closing note outlives the last packet.
pub const CLOSING_SECONDS: u32 = 120;
/// Bytes past the SYN within which a segment proves that its sender saw the answer.
const WINDOW: u32 = 1 << 20;

/// How sure a note is of its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A SYN was seen, which anyone can forge.
    Provisional,
    /// The connection exists.
    Lasting,
    /// FIN or RST was seen.
    Closing,
}

/// The backend of one flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    pub backend: u32,
    pub kind: Kind,
    /// Second of the flow's last packet, by the monotonic clock.
    pub seen: u32,
    /// The SYN's sequence number.
    pub isn: u32,
}

impl Note {
    pub const fn to_words(self) -> [u64; 2] {
        let kind = match self.kind {
            Kind::Provisional => 0,
            Kind::Lasting => 1,
            Kind::Closing => 2,
        };
        [self.backend as u64 | kind << 32, self.seen as u64 | (self.isn as u64) << 32]
    }

    #[inline(always)]
    pub const fn from_words(words: [u64; 2]) -> Self {
        let kind = match words[0] >> 32 {
            0 => Kind::Provisional,
            1 => Kind::Lasting,
            _ => Kind::Closing,
        };
        Self { backend: words[0] as u32, kind, seen: words[1] as u32, isn: (words[1] >> 32) as u32 }
    }

    /// Whether nobody can need the note any more. `idle`: seconds that a silent connection is kept.
    pub const fn is_over(&self, now: u32, idle: u32) -> bool {
        let age = now.saturating_sub(self.seen);
        match self.kind {
            Kind::Provisional => age > PROVISIONAL_SECONDS,
            Kind::Lasting => age > idle,
            Kind::Closing => age > CLOSING_SECONDS,
        }
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

/// What a segment is to its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sign {
    /// SYN without ACK, RST and FIN.
    pub opens: bool,
    /// FIN or RST.
    pub closes: bool,
    pub sequence: u32,
}

impl Sign {
    /// UDP has no openings: an un-noted datagram belongs to the previous backend.
    pub const DATAGRAM: Self = Self { opens: false, closes: false, sequence: 0 };

    #[inline(always)]
    pub const fn of(segment: &Segment, sequence: u32) -> Self {
        Self { opens: segment.opens(), closes: segment.closes(), sequence }
    }
}

/// Decides for a packet on a tracked slot. `note`: the flow's, if its backend lives.
#[inline(always)]
pub fn choose(slot: Slot, note: Option<Note>, sign: Sign, now: u32) -> Choice {
    match note {
        Some(note) if !(sign.opens && matches!(note.kind, Kind::Closing)) => noted(slot, note, sign, now),
        _ => unnoted(slot, sign, now),
    }
}

#[inline(always)]
fn noted(slot: Slot, note: Note, sign: Sign, now: u32) -> Choice {
    let kind = if sign.closes { Kind::Closing } else { Kind::Lasting };
    let forged =
        matches!(note.kind, Kind::Provisional) && !(1..=WINDOW).contains(&sign.sequence.wrapping_sub(note.isn));
    if sign.opens {
        return match note.kind {
            // One of the two SYNs is forged. This one's connection goes where its next segment will, by the line below.
            Kind::Provisional if note.isn != sign.sequence => Choice::sure(slot.previous(), None),
            _ => Choice::sure(note.backend, Some(Note { seen: now, ..note })),
        };
    }
    if forged {
        // The SYN was somebody else's: this connection is older than the change.
        let previous = slot.previous();
        return Choice::sure(previous, Some(Note { backend: previous, kind, seen: now, isn: note.isn }));
    }
    let kind = if matches!(note.kind, Kind::Closing) { Kind::Closing } else { kind };
    Choice::sure(note.backend, Some(Note { kind, seen: now, ..note }))
}

#[inline(always)]
fn unnoted(slot: Slot, sign: Sign, now: u32) -> Choice {
    if sign.opens {
        let current = slot.current();
        if current == 0 {
            return Choice::sure(current, None);
        }
        let note = Note { backend: current, kind: Kind::Provisional, seen: now, isn: sign.sequence };
        return Choice { backend: current, note: Some(note), without_room: slot.previous() };
    }
    let previous = slot.previous();
    let note = Note { backend: previous, kind: Kind::Lasting, seen: now, isn: 0 };
    Choice::sure(previous, if sign.closes { None } else { Some(note) })
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
