//! Which backend takes this packet: a slot of the service's ring, and a note where the slot changed lately.

use crate::{
    address::Address,
    find::ServiceEntry,
    flow::{Flow, port_word},
    frame::Frame,
    header::Tcp,
    next_hop::NextHop,
    note::{self, Note, Sign},
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
    let slot = tables.slot(service.ring, service.slot_of_hash(hash)).ok_or(Outcome::NoBackend)?;
    let backend = if slot.is_tracked() {
        let choice = choice(sign(frame, flow), flow, ports, slot, tables);
        choice.unwrap_or_else(|refused| {
            tables.refuse(service.ring);
            refused
        })
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
    let slot = tables.slot(service.ring, service.slot_of_hash(hash)).ok_or(Outcome::NoBackend)?;
    let noted = if slot.is_tracked() {
        let note = tables.note::<A>(&A::flow_key(source, destination, ports));
        note.filter(|note| tables.next_hop(note.backend).is_some())
    } else {
        None
    };
    let backend = noted.map_or(slot.previous(), |note| note.backend);
    let next_hop = tables.next_hop(backend).ok_or(Outcome::NoBackend)?;
    Ok(Picked { backend, next_hop, hash })
}

/// Mixes a flow into 32 bits: multiply and fold, as in `MurmurHash3`'s finalizer. The same on every machine.
#[inline(always)]
pub fn flow_hash<A: Address>(source: A, destination: A, ports: u64, seed: u32) -> u32 {
    let [first, second] = A::hash_words(source, destination);
    let mut hash = (first ^ u64::from(seed)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 32;
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

/// The backend of a flow whose slot changed lately; an error where the flow could not be noted.
#[inline(always)]
fn choice<A: Address, T: Tables>(sign: Sign, flow: &Flow<A>, ports: u64, slot: Slot, tables: &T) -> Result<u32, u32> {
    let key = A::flow_key(flow.source, flow.destination, ports);
    let before = living_note::<A, T>(&key, tables);
    let choice = note::choose(slot, before, sign, tables.now());
    match choice.note {
        Some(note) if before != Some(note) && !keep::<A, T>(&key, before, note, tables) => Err(choice.without_room),
        _ => Ok(choice.backend),
    }
}

/// Writes a note; false where there is no room. Each kind that anyone can have made fills a part of the table at most.
#[inline(always)]
fn keep<A: Address, T: Tables>(key: &A::FlowKey, before: Option<Note>, note: Note, tables: &T) -> bool {
    let is_one_more = note.kind.is_unproven() && before.is_none_or(|before| before.kind != note.kind);
    if is_one_more && !tables.has_room::<A>(note.kind) {
        return false;
    }
    let kept = tables.set_note::<A>(key, note);
    if kept && is_one_more {
        tables.count_unproven::<A>(note.kind);
    }
    kept
}

/// The flow's note. One whose backend is dead is deleted.
#[inline(always)]
fn living_note<A: Address, T: Tables>(key: &A::FlowKey, tables: &T) -> Option<Note> {
    let note = tables.note::<A>(key)?;
    if tables.next_hop(note.backend).is_none() {
        tables.delete_note::<A>(key);
        return None;
    }
    Some(note)
}

#[cfg(test)]
mod tests;
