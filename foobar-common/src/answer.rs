//! A backend's answer to who asked a service: `nat`'s goes to the client's own address, `snat`'s to one of this host's.

use crate::{
    address::Address,
    flow::Flow,
    frame::FrameMut,
    handoff::Handoff,
    nat,
    outcome::{Outcome, Step},
    parse::with_flow,
    snat,
    tables::Tables,
};

/// Sends it to the client as if the service gave it. `detail` of the handoff: of `snat` one more than the place, else 0.
#[inline(always)]
pub fn answer<F: FrameMut + ?Sized, T: Tables>(frame: &mut F, handoff: &Handoff, tables: &T) -> Step<Outcome> {
    with_flow!(frame, handoff, flow => to_client(frame, handoff, &flow, tables))
}

#[inline(always)]
fn to_client<F: FrameMut + ?Sized, A: Address, T: Tables>(
    frame: &mut F,
    handoff: &Handoff,
    flow: &Flow<A>,
    tables: &T,
) -> Step<Outcome> {
    if handoff.detail == 0 {
        nat::to_client(frame, handoff, flow, tables)
    } else {
        snat::to_client(frame, handoff, flow, tables)
    }
}
