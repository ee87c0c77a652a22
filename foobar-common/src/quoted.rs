//! ICMP errors go with the flow that they quote: to the flow's backend, or to its client, with the packet inside as that
//! one sent it. Errors look up; they never note or refresh.
//!
//! What cannot be read (later fragments, extension headers, less than the ports) stays what the rules made of it.

mod quote;
mod translate;

use self::{quote::Quote, translate::translate};
use crate::{
    address::Address,
    ask::Judged,
    echo::{echo, is_request},
    find::{self, ServiceEntry, find_at},
    flow::{Flow, Transport, port_word},
    forward::forward,
    fragment::Fragment,
    frame::{Frame, FrameMut},
    generation::Generation,
    handoff::{Begins, Handoff, Stage},
    nat::take_hop,
    next_hop::NextHop,
    outcome::{Outcome, Step},
    parse::with_flow,
    pick::{Picked, look_up},
    readdress::End,
    send::send,
    snat::{PLACES, Pool, Tags, Wanted, Whose, port_of},
    tables::Tables,
    target::Mode,
};

/// Hands an ICMP error or echo request over; false where the packet is none.
#[inline(always)]
pub fn take_up<F: Frame + ?Sized, A: Address, T: Tables>(
    frame: &F,
    ip: usize,
    flow: &Flow<A>,
    judged: Judged,
    tables: &T,
) -> bool {
    let Transport::Icmp { kind, .. } = flow.transport else { return false };
    let is_whole = flow.fragment == Fragment::WHOLE && flow.extensions == 0;
    let asks = is_whole && (is_error::<A>(kind) || is_request::<A>(kind));
    if asks {
        let handoff = Handoff::of::<A>(Stage::QUOTED, ip, 0, 0, frame.len());
        tables.hand_over(Handoff { detail: judged.word(), ..handoff });
    }
    asks
}

/// Whether a message of this type quotes a packet: unreachable, time exceeded, parameter problem; in IPv6 too big as well.
#[inline(always)]
const fn is_error<A: Address>(kind: u8) -> bool {
    if A::V6 { matches!(kind, 1..=4) } else { matches!(kind, 3 | 11 | 12) }
}

/// Goes on with a message; what becomes of one that is about nothing here is what the first program made of it.
#[inline(always)]
pub fn quoted<F: FrameMut + ?Sized, T: Tables>(frame: &mut F, handoff: &Handoff, tables: &T) -> Step<Outcome> {
    with_flow!(frame, handoff, flow => go_on(frame, handoff, &flow, tables))
}

#[inline(always)]
fn go_on<F: FrameMut + ?Sized, A: Address, T: Tables>(
    frame: &mut F,
    handoff: &Handoff,
    flow: &Flow<A>,
    tables: &T,
) -> Step<Outcome> {
    let Judged { outcome: before, generation } = Judged::from_word(handoff.detail);
    let ip = usize::from(handoff.ip);
    let Transport::Icmp { kind, header } = flow.transport else { return Ok(before) };
    if is_request::<A>(kind) {
        let done = echo(frame, (ip, header), flow, generation.bank(), tables);
        return Ok(if done.is_some() { Outcome::Echoed } else { before });
    }
    let Some(quote) = Quote::read::<F, A>(frame, ip, header) else { return Ok(before) };
    let to = flow.destination.words();
    if (quote.source.0[0] ^ to[0]) | (quote.source.0[1] ^ to[1]) != 0 {
        return Ok(before);
    }
    let service = find_at(flow.destination, quote.source.1, quote.protocol, generation.bank(), tables);
    let going = if let Some(service) = service {
        let (client, (_, service_port)) = (A::from_words(quote.destination.0), quote.source);
        let ports = port_word(quote.protocol, quote.destination.1, service_port);
        let picked = look_up(client, flow.destination, ports, &service, tables)?;
        if matches!(service.mode, Mode::Dsr | Mode::Tunnel) {
            return forward::<F, A, T>(frame, ip, service.mode, &picked, Begins::NOTHING, tables);
        }
        to_backend(frame, flow, &quote, &service, &picked, tables)
    } else {
        to_client(flow, &quote, generation, tables)
    };
    let Some(going) = going else { return Ok(before) };
    take_hop::<F, A>(frame, ip)?;
    translate::<F, A>(frame, (ip, header), &quote, &going).ok_or(Outcome::Truncated)?;
    let outcome = send(frame, going.next_hop, tables)?;
    if going.backend != 0 {
        tables.count_backend(going.backend, handoff.len as usize, 0, 0);
    }
    Ok(outcome)
}

/// Where an error goes that is translated, and how.
#[derive(Clone, Copy)]
struct Going {
    /// The addresses of the error.
    source: [u64; 2],
    destination: [u64; 2],
    /// The ends of the packet that it quotes.
    quoted_source: End,
    quoted_destination: End,
    next_hop: NextHop,
    /// The one that it is counted for; 0: none.
    backend: u32,
}

/// About what a service sent to a client: as if its backend had sent it to whom it answers.
#[inline(always)]
fn to_backend<F: FrameMut + ?Sized, A: Address, T: Tables>(
    frame: &F,
    flow: &Flow<A>,
    quote: &Quote,
    service: &ServiceEntry,
    picked: &Picked,
    tables: &T,
) -> Option<Going> {
    let (mut backend, mut quoted_destination) = (picked.backend, quote.destination);
    let told = tables.target(backend)?;
    let is_from_here = match service.mode {
        Mode::Snat => true,
        Mode::Nat => told.comes_from_here(quote.destination.0),
        Mode::Dsr | Mode::Tunnel => false,
    };
    if is_from_here {
        let ports = port_word(quote.protocol, quote.destination.1, quote.source.1);
        let whose = Whose::of(A::from_words(quote.destination.0), flow.destination, ports, tables.note_secret());
        let pool = Pool::from_words(told.source);
        let found = tables.find_place(Tags::of(picked.hash, ports, pool), whose.name, Wanted::ANY, pool);
        let place = frame.forget(found.checked_sub(1)? as usize);
        backend = tables.lease(place)?.backend;
        quoted_destination = (tables.pool_address(place / PLACES)?, port_of(place));
    }
    let target = tables.target(backend)?;
    Some(Going {
        source: flow.source.words(),
        destination: target.address,
        quoted_source: (target.address, target.port_for(quote.source.1)),
        quoted_destination,
        next_hop: tables.next_hop(backend)?,
        backend,
    })
}

/// About what went to a backend: as if the client had sent it to the service.
#[inline(always)]
fn to_client<A: Address, T: Tables>(
    flow: &Flow<A>,
    quote: &Quote,
    generation: Generation,
    tables: &T,
) -> Option<Going> {
    if !generation.rewrites_answers() {
        return None;
    }
    // Whose answer would it be, if the backend answered?
    let ports = port_word(quote.protocol, quote.destination.1, quote.source.1);
    let asked = find::Asked::between::<A>(quote.destination.0, quote.source.0, ports, generation);
    let answer = tables.answer(asked);
    if answer == 0 {
        return None;
    }
    let target = tables.target((answer >> 32) as u32)?;
    let differs = (target.address[0] ^ flow.source.words()[0]) | (target.address[1] ^ flow.source.words()[1]);
    let source = if differs == 0 { target.service } else { flow.source.words() };
    let (client, service_port, next_hop) = match answer as u32 {
        0 => {
            let port = if target.service_port == 0 { quote.destination.1 } else { target.service_port };
            (quote.source, port, tables.way_back(quote.source.0)?)
        }
        place => {
            let mapping = tables.mapping(place as usize - 1)?;
            ((mapping.client, mapping.client_port()), mapping.service_port(), mapping.back)
        }
    };
    Some(Going {
        source,
        destination: client.0,
        quoted_source: client,
        quoted_destination: (target.service, service_port),
        next_hop,
        backend: 0,
    })
}

#[cfg(test)]
mod tests;
