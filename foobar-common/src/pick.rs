//! Which backend takes this packet: a slot of the service's ring, and a note where the slot changed lately.

use crate::{
    address::Address,
    find::ServiceEntry,
    flow::{Flow, port_word},
    frame::Frame,
    hash::fold,
    header::Tcp,
    next_hop::NextHop,
    note::{
        self, Sign,
        table::{Key, Standing, keep},
    },
    outcome::{Outcome, Step},
    slot::Slot,
    tables::Tables,
};

/// A backend that lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picked {
    pub backend: u32,
    pub next_hop: NextHop,
    /// The flow's hash.
    pub hash: u32,
}

#[inline(always)]
pub fn pick<F: Frame + ?Sized, A: Address, T: Tables>(
    frame: &F,
    flow: &Flow<A>,
    service: &ServiceEntry,
    tables: &T,
) -> Step<Picked> {
    let (source, destination) = flow.ports().unwrap_or((0, 0));
    let ports = port_word(flow.protocol, source, destination);
    let hash = service.hash_of(flow.source, flow.destination, ports);
    let index = service.slot_of_hash(hash);
    let slot = tables.slot(service.ring, index).ok_or(Outcome::NoBackend)?;
    let backend = if slot.is_tracked() {
        let key = Key::of(flow.source, flow.destination, ports, index, tables.note_secret());
        let Chosen { backend, is_refused } = Chosen::from_word(tables.choose(key, slot, sign(frame, flow)));
        if is_refused {
            tables.refuse(service.ring);
        }
        backend
    } else {
        slot.current()
    };
    let next_hop = tables.next_hop(backend).ok_or(Outcome::NoBackend)?;
    Ok(Picked { backend, next_hop, hash })
}

/// The backend that a flow's packets go to, where nothing is to be remembered of who asks. `ports`: the flow's, as
/// [`port_word`] has them.
#[inline(always)]
pub fn look_up<A: Address, T: Tables>(
    source: A,
    destination: A,
    ports: u64,
    service: &ServiceEntry,
    tables: &T,
) -> Step<Picked> {
    let hash = service.hash_of(source, destination, ports);
    let index = service.slot_of_hash(hash);
    let slot = tables.slot(service.ring, index).ok_or(Outcome::NoBackend)?;
    let noted = if slot.is_tracked() {
        let standing = Standing::of(Key::of(source, destination, ports, index, tables.note_secret()), tables);
        standing.filter(|standing| tables.next_hop(standing.note.backend).is_some())
    } else {
        None
    };
    let backend = noted.map_or(slot.previous(), |standing| standing.note.backend);
    let next_hop = tables.next_hop(backend).ok_or(Outcome::NoBackend)?;
    Ok(Picked { backend, next_hop, hash })
}

/// Mixes a flow into 32 bits: multiply and fold, as in `MurmurHash3`'s finalizer. The same on every machine.
#[inline(always)]
pub fn flow_hash<A: Address>(source: A, destination: A, ports: u64, seed: u32) -> u32 {
    let [first, second] = A::hash_words(source, destination);
    let mut hash = fold(first ^ u64::from(seed));
    if A::V6 {
        hash = (hash ^ second).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash ^= hash >> 29;
    }
    hash = (hash ^ ports).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^= hash >> 33;
    (hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
}

/// Spreads a hash evenly over the ring without a division.
#[inline(always)]
pub const fn slot_index(hash: u32, slots: u32) -> u32 {
    ((hash as u64 * slots as u64) >> 32) as u32
}

/// What this packet is to its connection.
#[inline(always)]
fn sign<F: Frame + ?Sized, A: Address>(frame: &F, flow: &Flow<A>) -> Sign {
    let Some(segment) = flow.segment() else { return Sign::DATAGRAM };
    let Some(tcp) = frame.read::<Tcp>(segment.header) else { return Sign::DATAGRAM };
    let payload = segment.end.wrapping_sub(segment.header).wrapping_sub(tcp.header_len());
    Sign::of(&segment, tcp.sequence.value(), payload as u32)
}

/// The backend of a flow whose slot changed lately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen {
    pub backend: u32,
    /// The flow could not be noted.
    pub is_refused: bool,
}

impl Chosen {
    const REFUSED: u64 = 1 << 32;

    /// The backend in the lower half, whether it was refused in bit 32.
    #[inline(always)]
    pub const fn word(self) -> u64 {
        self.backend as u64 | if self.is_refused { Self::REFUSED } else { 0 }
    }

    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self { backend: word as u32, is_refused: word & Self::REFUSED != 0 }
    }
}

/// Where a flow goes whose slot changed lately, and what is remembered of it.
#[inline(always)]
pub fn choose<T: Tables>(key: Key, slot: Slot, sign: Sign, tables: &T) -> Chosen {
    let before = living_note(key, tables);
    let known = before.map(|standing| standing.note);
    let choice = note::choose(slot, known, sign, tables.now());
    match choice.note {
        Some(note) if known != Some(note) && !keep(key, before, note, tables) => {
            Chosen { backend: choice.without_room, is_refused: true }
        }
        _ => Chosen { backend: choice.backend, is_refused: false },
    }
}

/// The flow's note. One whose backend is dead is deleted.
#[inline(always)]
fn living_note<T: Tables>(key: Key, tables: &T) -> Option<Standing> {
    let standing = Standing::of(key, tables)?;
    if tables.next_hop(standing.note.backend).is_none() {
        standing.delete(key, tables);
        return None;
    }
    Some(standing)
}

#[cfg(test)]
mod tests;
