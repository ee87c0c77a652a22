//! Sends a packet to its backend, in the service's mode: new Ethernet addresses here, all else by a stage of its own.

use crate::{
    address::Address,
    frame::FrameMut,
    handoff::{Begins, Handoff, Stage},
    next_hop::NextHop,
    outcome::{Outcome, Step},
    pick::Picked,
    send::send,
    tables::Tables,
    target::Mode,
};

/// Counts it for its backend, or has the stage do so that sends it. `ip`: offset of the IP header, in bytes.
#[inline(always)]
pub fn forward<F: FrameMut + ?Sized, A: Address, T: Tables>(
    frame: &mut F,
    ip: usize,
    mode: Mode,
    picked: &Picked,
    begins: Begins,
    tables: &T,
) -> Step<Outcome> {
    let &Picked { backend, next_hop, hash } = picked;
    let interface = next_hop.interface().ok_or(Outcome::Unresolved)?;
    if matches!(mode, Mode::Dsr) || interface == NextHop::THIS_HOST {
        tables.count_backend(backend, frame.len(), begins.connections(), begins.queries());
        return send(frame, next_hop, tables);
    }
    let handoff = Handoff::of::<A>(Stage::of(mode), ip, backend, hash, frame.len());
    Ok(tables.hand_over(Handoff { detail: begins.0, ..handoff }))
}
