//! A packet's last step towards a backend or a client: its Ethernet addresses, and the interface that it leaves by.

use crate::{
    frame::FrameMut,
    handoff::{Begins, Handoff},
    next_hop::NextHop,
    outcome::{Outcome, Step},
    tables::Tables,
};

/// Sends a frame that was handed over to its backend, and counts it there: what is dropped or answered on its way is not.
#[inline(always)]
pub fn deliver<F: FrameMut + ?Sized, T: Tables>(
    frame: &mut F,
    next_hop: NextHop,
    backend: u32,
    handoff: &Handoff,
    tables: &T,
) -> Step<Outcome> {
    let outcome = send(frame, next_hop, tables)?;
    let begins = Begins(handoff.detail);
    tables.count_backend(backend, handoff.len as usize, begins.connections(), begins.queries());
    Ok(outcome)
}

/// Sends the frame to where the next hop says.
#[inline(always)]
pub fn send<F: FrameMut + ?Sized, T: Tables>(frame: &mut F, next_hop: NextHop, tables: &T) -> Step<Outcome> {
    let interface = next_hop.interface().ok_or(Outcome::Unresolved)?;
    if interface == NextHop::THIS_HOST {
        return Ok(Outcome::Here);
    }
    frame.write(0, next_hop.addresses()).ok_or(Outcome::Truncated)?;
    if interface == tables.ingress() {
        return Ok(Outcome::Forwarded);
    }
    tables.redirect(interface);
    Ok(Outcome::Redirected)
}
