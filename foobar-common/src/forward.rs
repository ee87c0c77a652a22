//! Sends a packet to its backend: direct server return, where only the Ethernet addresses change.

use crate::{
    frame::FrameMut,
    outcome::{Outcome, Step},
    pick::Picked,
    tables::Tables,
};

#[inline(always)]
pub fn forward<F: FrameMut + ?Sized, T: Tables>(frame: &mut F, picked: &Picked, tables: &T) -> Step<Outcome> {
    let interface = picked.next_hop.interface().ok_or(Outcome::Unresolved)?;
    frame.write(0, picked.next_hop.addresses()).ok_or(Outcome::Truncated)?;
    if interface == tables.ingress() {
        return Ok(Outcome::Forwarded);
    }
    tables.redirect(interface);
    Ok(Outcome::Redirected)
}
