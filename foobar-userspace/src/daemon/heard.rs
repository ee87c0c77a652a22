//! Backends that drain and are spoken to by connections that name them: no slot and no note tells of those, their
//! counters do.

use std::collections::{BTreeMap, BTreeSet};

use super::{aging::life, engine::Engine, state::now};
use crate::{
    api::types::Refusal,
    domain::{Affinity, Service},
};

/// By a backend's id, how many packets it had, and the second of the first look that found so many.
#[derive(Debug, Default)]
pub struct Heard(BTreeMap<u32, (u64, u64)>);

impl Heard {
    /// Seconds for which a backend has had no more than so many packets.
    fn silent_for(&mut self, id: u32, packets: u64, now: u64) -> u64 {
        let (known, since) = self.0.entry(id).or_insert((packets, now));
        if *known != packets {
            (*known, *since) = (packets, now);
        }
        now.saturating_sub(*since)
    }
}

impl Engine {
    /// Ids of backends that drain while connections that name them may go on: they had packets lately.
    pub(super) fn talking(&mut self) -> Result<BTreeSet<u32>, Refusal> {
        let (mut talking, mut draining) = (BTreeSet::new(), BTreeSet::new());
        for service in self.state.config.services.iter().filter(|service| service.affinity == Affinity::Quic) {
            for backend in service.backends.iter().filter(|backend| backend.state.drains()) {
                let Some(id) = self.state.ids.backend(service, backend) else { continue };
                let packets = self.datapath.backend(id)?.iter().map(|cpu| cpu.packets).sum();
                draining.insert(id);
                if self.heard.silent_for(id, packets, now()) < u64::from(life(service)) {
                    talking.insert(id);
                }
            }
        }
        self.heard.0.retain(|id, _| draining.contains(id));
        Ok(talking)
    }

    /// Seconds until nobody who names a backend can be on it, if nobody speaks to it any more.
    pub(super) fn silent_in(&self, service: &Service, id: u32) -> u64 {
        let since = self.heard.0.get(&id).map(|(_, since)| *since);
        since.map_or(0, |since| (since + u64::from(life(service))).saturating_sub(now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_spoken_to_is_not_silent() {
        let mut heard = Heard::default();
        let looks = [(1, 10, 100, 0), (1, 10, 160, 60), (1, 11, 170, 0), (2, 0, 170, 0), (1, 11, 290, 120)];
        for (id, packets, now, silent) in looks {
            assert_eq!(heard.silent_for(id, packets, now), silent, "{id} {packets} {now}");
        }
    }
}
