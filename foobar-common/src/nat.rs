//! Rewrites a packet's destination to its backend, and an answer's source back to its service. No flow is remembered:
//! what is written is the backend's and the service's alone.
//!
//! A client in the backend's own network would be answered past this host, which has to be the backend's client then
//! ([`crate::snat`]).

use crate::{
    address::Address,
    complain::expired,
    find::{Asked, nat_backend},
    flow::Flow,
    frame::{Frame, FrameMut, Resize},
    generation::Generation,
    handoff::{Handoff, Stage},
    header::MacAddresses,
    hops::{take_v4, take_v6},
    next_hop::NextHop,
    outcome::{Outcome, Step},
    parse::with_flow,
    readdress::readdress,
    send::{deliver, send},
    tables::Tables,
};

/// Sends the packet to its backend's own address and port. The backend answers through this host.
#[inline(always)]
pub fn nat<F: Resize + ?Sized, T: Tables>(frame: &mut F, handoff: &Handoff, tables: &T) -> Step<Outcome> {
    with_flow!(frame, handoff, flow => to_backend(frame, handoff, &flow, tables))
}

#[inline(always)]
fn to_backend<F: Resize + ?Sized, A: Address, T: Tables>(
    frame: &mut F,
    handoff: &Handoff,
    flow: &Flow<A>,
    tables: &T,
) -> Step<Outcome> {
    let (backend, ip) = (u32::from(handoff.backend), usize::from(handoff.ip));
    let next_hop = tables.next_hop(backend).ok_or(Outcome::NoBackend)?;
    let target = tables.target(backend).ok_or(Outcome::NoBackend)?;
    if target.comes_from_here(flow.source.words()) {
        return Ok(tables.hand_over(Handoff { stage: Stage::SNAT, ..*handoff }));
    }
    let (client_port, service_port) = flow.ports().unwrap_or((0, 0));
    take_hop::<F, A>(frame, ip).map_err(|left| expired(left, frame, ip, A::V6, tables))?;
    if let Some(back) = way_back(frame, tables.ingress()) {
        tables.learn(flow.source.words(), back);
    }
    let to = (target.address, target.port_for(service_port));
    readdress(frame, ip, flow, (flow.source.words(), client_port), to)?;
    deliver(frame, next_hop, backend, handoff, tables)
}

/// Sends a backend's answer to the client as if the service gave it. Who the client is, its own packets have told.
#[inline(always)]
pub(crate) fn to_client<F: FrameMut + ?Sized, A: Address, T: Tables>(
    frame: &mut F,
    handoff: &Handoff,
    flow: &Flow<A>,
    tables: &T,
) -> Step<Outcome> {
    let target = tables.target(u32::from(handoff.backend)).ok_or(Outcome::NoBackend)?;
    let (backend_port, client_port) = flow.ports().unwrap_or((0, 0));
    let next_hop = tables.way_back(flow.destination.words()).ok_or(Outcome::Unresolved)?;
    let ip = usize::from(handoff.ip);
    take_hop::<F, A>(frame, ip)?;
    let service_port = if target.service_port == 0 { backend_port } else { target.service_port };
    readdress(frame, ip, flow, (target.service, service_port), (flow.destination.words(), client_port))?;
    send(frame, next_hop, tables)
}

/// Hands an answer over to a client whose way others have taken the place of: by the kernel's routes. False where the
/// packet is no answer, or is for this host itself.
///
/// Where the kernel does not know the neighbour yet, the answer is dropped, and sent again by who sent it: as it is, the
/// client would refuse it, and the backend would end the connection.
#[inline(always)]
pub fn take_up<F: Frame + ?Sized, A: Address, T: Tables>(
    frame: &F,
    ip: usize,
    flow: &Flow<A>,
    generation: Generation,
    tables: &T,
) -> bool {
    if !flow.may_answer() {
        return false;
    }
    let backend = nat_backend(Asked::of(flow, generation), tables);
    if backend == 0 {
        return false;
    }
    let Some(way) = tables.route(flow.source, flow.destination) else { return false };
    if way.interface().is_some() {
        tables.learn(flow.destination.words(), way);
    }
    tables.hand_over(Handoff::of::<A>(Stage::ANSWER, ip, backend as u32, 0, frame.len()));
    true
}

/// Takes one off the packet's hops.
#[inline(always)]
pub(crate) fn take_hop<F: FrameMut + ?Sized, A: Address>(frame: &mut F, ip: usize) -> Step<()> {
    if A::V6 { take_v6(frame, ip) } else { take_v4(frame, ip) }
}

/// The way to where the frame came from: its source's Ethernet address, by the interface that it came in by.
#[inline(always)]
pub(crate) fn way_back<F: FrameMut + ?Sized>(frame: &F, ingress: u32) -> Option<NextHop> {
    let addresses = frame.read::<MacAddresses>(0)?;
    Some(NextHop::back(addresses, ingress))
}
