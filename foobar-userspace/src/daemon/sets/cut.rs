//! Whether a change of what is in a set cuts the connection over which its caller came.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{
    super::{caution::Caution, engine::Engine, plan::Forced},
    NamedSet,
};
use crate::{api::types::Refusal, domain::set::compact};

impl Engine {
    /// Refuses it, as a change of rules is refused. `after`: whether an address will be in the set.
    pub(super) fn refuse_cut_by_set(
        &mut self,
        caution: &Caution,
        name: &str,
        after: impl Fn(&NamedSet, IpAddr) -> bool,
    ) -> Result<(), Refusal> {
        let Some(connection) = caution.connection else { return Ok(()) };
        let id = self.set_id(name)?;
        let (set, ends) = (&self.sets.by_id[&id], [connection.peer.ip(), connection.local.ip()]);
        let will_be = ends.map(|end| after(set, end));
        if ends.map(|end| set.covers(end)) == will_be {
            return Ok(());
        }
        let members = ends.into_iter().zip(will_be).filter(|(_, is_in)| *is_in);
        let members: Vec<_> = members.map(|(end, _)| compact(&IpNet::from(end))).collect();
        let mut wanted = self.state.clone();
        let plan = self.plan(&mut wanted, &Forced::new())?;
        self.refuse_cut_with(caution, &wanted, &plan, |sets| sets.put(id as usize, members.into_iter()))
    }
}
