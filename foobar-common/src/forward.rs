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
    if matches!(mode, Mode::Dsr) || next_hop.interface() == Some(NextHop::THIS_HOST) {
        return send(frame, next_hop, tables);
    }
    let stage = match mode {
        Mode::Nat => Stage::Nat,
        Mode::Snat => Stage::Snat,
        Mode::Tunnel | Mode::Dsr => Stage::Tunnel,
    };
    Ok(tables.hand_over(stage, Handoff::of::<A>(ip, backend, hash, frame.len())))
}
