//! QUIC connection ids that name a backend: the plain-text algorithm of draft-ietf-quic-load-balancers, over what
//! RFC 8999 says of every version of QUIC. A connection is found by its id, from whatever address its client speaks.
//!
//! What names no living backend of the service goes by its slot, as packets of every other service do.

use crate::{
    address::Address,
    find::{ServiceEntry, find, find_server},
    flow::{Flow, Transport, port_word},
    forward::forward,
    fragment::{Fragment, remember},
    frame::{Frame, FrameMut},
    generation::Generation,
    handoff::{Begins, Handoff},
    header::{ConnectionId, QuicStart, Udp},
    outcome::{Outcome, Step},
    parse::with_flow,
    pick::{Picked, pick},
    plane::Way,
    tables::Tables,
};

/// Bytes of a server id, at most. The draft has up to 15; 8 are a word.
pub const MAX_SERVER_ID: usize = 8;
/// The codepoint of connection ids that name nobody.
pub const UNROUTABLE: u8 = 0b111;
/// Bytes of a nonce behind a server id, at least.
const MIN_NONCE: usize = 4;
/// Bytes of a connection id that versions 1 and 2 have at most (RFC 9000 §17.2).
const MAX_CONNECTION_ID: usize = 20;
/// The first byte's bit of a long header.
const LONG: u8 = 0x80;

/// Which connection ids of a service name a backend.
///
/// | bits | |
/// |---|---|
/// | 0–2 | config rotation codepoint |
/// | 3–6 | bytes of a server id; 0: no connection id names anybody |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scheme(u8);

impl Scheme {
    pub const NONE: Self = Self(0);
    pub const BITS: u32 = 7;

    /// `len`: 1..=[`MAX_SERVER_ID`]. `config`: below [`UNROUTABLE`].
    pub const fn new(config: u8, len: usize) -> Self {
        Self(config & UNROUTABLE | (len as u8) << 3)
    }

    #[inline(always)]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits as u8 & ((1 << Self::BITS) - 1))
    }

    pub const fn bits(self) -> u64 {
        self.0 as u64
    }

    #[inline(always)]
    pub const fn is_none(self) -> bool {
        self.0 >> 3 == 0
    }

    #[inline(always)]
    const fn config(self) -> u8 {
        self.0 & UNROUTABLE
    }

    #[inline(always)]
    const fn len(self) -> usize {
        (self.0 >> 3) as usize
    }
}

/// Sends a packet of a service with a [`Scheme`] to the backend that its connection id names, or that its slot says.
#[inline(always)]
pub fn quic<F: FrameMut + ?Sized, T: Tables>(frame: &mut F, handoff: &Handoff, tables: &T) -> Step<Outcome> {
    with_flow!(frame, handoff, flow => to_backend(frame, handoff, &flow, tables))
}

#[inline(always)]
fn to_backend<F: FrameMut + ?Sized, A: Address, T: Tables>(
    frame: &mut F,
    handoff: &Handoff,
    flow: &Flow<A>,
    tables: &T,
) -> Step<Outcome> {
    let bank = Generation::from_word(handoff.detail).bank();
    let service = find(flow, bank, tables).ok_or(Outcome::NoBackend)?;
    let (picked, begins) = match named(frame, flow, &service, bank, tables) {
        Some(picked) => (picked, Begins::NAMED),
        None => (pick(frame, flow, &service, tables)?, Begins::NOTHING),
    };
    if picked.next_hop.interface().is_none() {
        return Err(Outcome::Unresolved);
    }
    remember(flow, Way::In, Outcome::Forwarded, picked.backend, tables);
    forward::<F, A, T>(frame, usize::from(handoff.ip), service.mode, &picked, begins, tables)
}

/// The living backend that the packet's connection id names. Nothing is noted of it, and no note is read: an id is
/// worth more than what was remembered of an address and port.
#[inline(always)]
fn named<F: Frame + ?Sized, A: Address, T: Tables>(
    frame: &F,
    flow: &Flow<A>,
    service: &ServiceEntry,
    bank: usize,
    tables: &T,
) -> Option<Picked> {
    let Transport::Udp { source, destination, header } = flow.transport else { return None };
    if flow.fragment != Fragment::WHOLE {
        return None;
    }
    let id = server_id(frame, header, service.scheme)?;
    let backend = find_server(service.ring, id, bank, tables)?;
    let next_hop = tables.next_hop(backend)?;
    let hash = service.hash_of(flow.source, flow.destination, port_word(flow.protocol, source, destination));
    Some(Picked { backend, next_hop, hash })
}

/// The server id in the destination connection id of a datagram's first packet, the first byte highest. `None` where
/// there is no connection id of this scheme. `udp`: offset of the UDP header, whose length the parser has seen to.
#[inline(always)]
pub fn server_id<F: Frame + ?Sized>(frame: &F, udp: usize, scheme: Scheme) -> Option<u64> {
    let end = udp + usize::from(frame.read::<Udp>(udp)?.len.value());
    let payload = udp + Udp::LEN;
    let start = frame.read::<QuicStart>(payload)?;
    let is_long = start.form & LONG != 0;
    let at = payload + if is_long { QuicStart::LEN } else { 1 };
    let len = usize::from(start.len);
    let needs = 1 + scheme.len() + MIN_NONCE;
    // The length of a short header's id is known to who made it alone.
    let lies = is_long && (len < needs || len > MAX_CONNECTION_ID || at + len > end);
    if lies || at + ConnectionId::LEN.max(needs) > end {
        return None;
    }
    let id = frame.read::<ConnectionId>(at)?;
    if id.first >> 5 != scheme.config() {
        return None;
    }
    Some({ id.server }.value() >> ((64 - 8 * scheme.len()) & 63))
}

#[cfg(test)]
mod tests;
