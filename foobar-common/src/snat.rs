//! Rewrites both ends of a packet: the backend sees an address and port of this host, and answers to them.
//!
//! A port of a pool's address is a place in a table, which says whose it is; so an answer is one read. A flow has two
//! buckets of 16 places each by its hash (Azar and others, STOC 1994), and a small table of tags says which to read.

mod lease;
mod place;
mod pool;
mod proof;
mod search;

pub use self::{
    lease::{LEASE_WORDS, Lease},
    place::{FIRST_PORT, MAPPING_WORDS, Mapping, PLACES, PORTS, TAG_WORDS, Wanted, Whose, port_of},
    pool::{MAX_POOL, Pool},
    proof::Said,
    search::{BUCKETS_EACH, Tags, find, gives_way, older, over_in, room_in, take},
};
use crate::{
    address::Address,
    complain::expired,
    flow::{Flow, port_word},
    frame::{FrameMut, Resize},
    handoff::{Begins, Handoff},
    header::Tcp,
    nat::{take_hop, way_back},
    outcome::{Outcome, Step},
    parse::with_flow,
    readdress::readdress,
    send::{deliver, send},
    tables::Tables,
};

/// Sends the packet to its backend from an address and port of this host.
#[inline(always)]
pub fn snat<F: Resize + ?Sized, T: Tables>(frame: &mut F, handoff: &Handoff, tables: &T) -> Step<Outcome> {
    with_flow!(frame, handoff, flow => to_backend(frame, handoff, &flow, tables))
}

#[inline(always)]
fn to_backend<F: Resize + ?Sized, A: Address, T: Tables>(
    frame: &mut F,
    handoff: &Handoff,
    flow: &Flow<A>,
    tables: &T,
) -> Step<Outcome> {
    let picked = u32::from(handoff.backend);
    let target = tables.target(picked).ok_or(Outcome::NoBackend)?;
    // A later fragment says nothing of its flow's ports.
    let (client_port, service_port) = flow.ports().ok_or(Outcome::FragmentUnknown)?;
    let ports = port_word(flow.protocol, client_port, service_port);
    let whose = Whose::of(flow.source, flow.destination, ports, tables.note_secret());
    let pool = Pool::from_words(target.source);
    let tags = Tags::of(handoff.hash, whose.ports, pool);
    let said = client_said(frame, flow).ok_or(Outcome::Truncated)?;
    // One client's address and port may have connections with several backends, which their packets name.
    let wanted = Wanted::of(picked, Begins(handoff.detail).named());
    let found = tables.find_place(tags, whose.name, wanted, pool).checked_sub(1);
    let (place, backend) = match found.map(|place| frame.forget(place as usize)) {
        Some(place) => (place, keep(place, picked, said, tables)),
        None => (start::<F, T>(frame, &tags, &whose, (picked, said), tables)?, picked),
    };
    let target = if backend == picked { target } else { tables.target(backend).ok_or(Outcome::NoBackend)? };
    let next_hop = tables.next_hop(backend).ok_or(Outcome::NoBackend)?;
    let from = tables.pool_address(place / PLACES).ok_or(Outcome::Exhausted)?;
    let ip = usize::from(handoff.ip);
    take_hop::<F, A>(frame, ip).map_err(|left| expired(left, frame, ip, A::V6, tables))?;
    let to = (target.address, target.port_for(service_port));
    readdress(frame, ip, flow, (from, port_of(place)), to)?;
    deliver(frame, next_hop, backend, handoff, tables)
}

/// The backend of a flow that has a place, which hears of this packet. One that begins anew, or whose backend is dead, goes
/// to the one that was picked.
#[inline(always)]
fn keep<T: Tables>(place: usize, picked: u32, said: Said, tables: &T) -> u32 {
    let Some(lease) = tables.lease(place) else { return picked };
    let begins = said.opens() && lease.is_closing();
    if begins || lease.backend != picked && tables.next_hop(lease.backend).is_none() {
        tables.renew_lease(place, lease, lease.begun(picked, said, tables.now()));
        return picked;
    }
    let after = lease.heard_client(said, tables.now());
    if after != lease {
        tables.renew_lease(place, lease, after);
    }
    lease.backend
}

#[inline(always)]
fn client_said<F: FrameMut + ?Sized, A: Address>(frame: &F, flow: &Flow<A>) -> Option<Said> {
    let Some(segment) = flow.segment() else { return Some(Said::CLIENTS_DATAGRAM) };
    Some(Said { flags: segment.flags, number: { frame.read::<Tcp>(segment.header)?.acknowledgement }.value() })
}

#[inline(always)]
fn server_said<F: FrameMut + ?Sized, A: Address>(frame: &F, flow: &Flow<A>) -> Option<Said> {
    let Some(segment) = flow.segment() else { return Some(Said::SERVERS_DATAGRAM) };
    Some(Said { flags: segment.flags, number: { frame.read::<Tcp>(segment.header)?.sequence }.value() })
}

/// Takes a place for a flow that has none.
#[inline(always)]
fn start<F: FrameMut + ?Sized, T: Tables>(
    frame: &F,
    tags: &Tags,
    whose: &Whose,
    (backend, said): (u32, Said),
    tables: &T,
) -> Step<usize> {
    let back = way_back(frame, tables.ingress()).ok_or(Outcome::Truncated)?;
    let lease = Lease::new(whose, backend, said, tables.now());
    take(tags, lease, Mapping::new(whose, back), tables).ok_or(Outcome::Exhausted)
}

/// The place that an answer is for, of the pool's address with this index; `None` where it is nobody's.
///
/// Of numbers alone, as functions of their own have them.
#[inline(always)]
pub fn answered<T: Tables>(pool: u32, source: [u64; 2], ports: u64, tables: &T) -> Option<(usize, u32)> {
    let (from, to, protocol) = (ports as u16, (ports >> 16) as u16, (ports >> 32) as u8);
    if usize::from(to) >= PLACES {
        return None;
    }
    let place = pool as usize * PLACES + usize::from(to);
    let (lease, mapping) = (tables.lease(place)?, tables.mapping(place)?);
    let target = tables.target(lease.backend)?;
    let is_backends = mapping.protocol() == protocol && lease.is_taken();
    let differs = (target.address[0] ^ source[0]) | (target.address[1] ^ source[1]);
    let port = target.port_for(mapping.service_port());
    (is_backends && differs == 0 && port == from).then_some((place, lease.backend))
}

/// Sends a backend's answer to the client as if the service gave it.
#[inline(always)]
pub(crate) fn to_client<F: FrameMut + ?Sized, A: Address, T: Tables>(
    frame: &mut F,
    handoff: &Handoff,
    flow: &Flow<A>,
    tables: &T,
) -> Step<Outcome> {
    let place = (handoff.detail as usize).wrapping_sub(1);
    let mapping = tables.mapping(place).ok_or(Outcome::Unresolved)?;
    let lease = tables.lease(place).ok_or(Outcome::Unresolved)?;
    let target = tables.target(lease.backend).ok_or(Outcome::NoBackend)?;
    let said = server_said(frame, flow).ok_or(Outcome::Truncated)?;
    let after = lease.heard_server(said, tables.now());
    if after != lease {
        tables.renew_lease(place, lease, after);
    }
    let ip = usize::from(handoff.ip);
    take_hop::<F, A>(frame, ip)?;
    let from = (target.service, mapping.service_port());
    readdress(frame, ip, flow, from, (mapping.client, mapping.client_port()))?;
    send(frame, mapping.back, tables)
}
