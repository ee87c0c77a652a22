//! Sends a packet to its backend, in the service's mode: new Ethernet addresses here, all else by a stage of its own.

use crate::{
    address::Address,
    frame::FrameMut,
    handoff::{Handoff, Stage},
    next_hop::NextHop,
    outcome::{Outcome, Step},
    pick::Picked,
    send::send,
    tables::Tables,
    target::Mode,
};

/// `ip`: offset of the IP header, in bytes.
#[inline(always)]
pub fn forward<F: FrameMut + ?Sized, A: Address, T: Tables>(
    frame: &mut F,
    ip: usize,
    mode: Mode,
    picked: &Picked,
    tables: &T,
) -> Step<Outcome> {
    let &Picked { backend, next_hop, hash } = picked;
    let interface = next_hop.interface().ok_or(Outcome::Unresolved)?;
    if matches!(mode, Mode::Dsr) || interface == NextHop::THIS_HOST {
        return send(frame, next_hop, tables);
    }
    Ok(tables.hand_over(Handoff::of::<A>(Stage::of(mode), ip, backend, hash, frame.len())))
}
