//! Sweeps over the notes of a lab, at any moment.

use std::collections::BTreeMap;

use foobar_common::find::ServiceEntry;
use foobar_userspace::{
    daemon::claims::entry,
    datapath::{Owner, Sweeping, Swept},
};

use super::{Lab, parse};

impl Lab {
    /// Sweeps as the daemon does. `life`: seconds that a silent flow of any service is kept.
    pub fn sweep(&mut self, now: u32, life: u32, noted: u64) -> Swept {
        let services: Vec<_> = (0..self.state.config.services.len()).map(|index| self.entry(index)).collect();
        let mut owners = BTreeMap::new();
        for (service, placed) in self.state.config.services.iter().zip(services) {
            let ids = service.backends.iter().filter_map(|backend| self.state.ids.backend(service, backend));
            owners.extend(ids.map(|id| (id, Owner { ring: placed.ring, slots: placed.slots, life })));
        }
        let swept = self.datapath().sweep(&Sweeping { owners, now, noted });
        swept.unwrap_or_else(|error| panic!("sweeping: {error:#}"))
    }

    /// What packets know of a service, by its place in the configuration.
    pub fn entry(&mut self, index: usize) -> ServiceEntry {
        self.loaded();
        let service = &self.state.config.services[index];
        let region = self.loaded.as_ref().expect("it is loaded").rings[&service.name].region;
        ServiceEntry { ring: region, ..entry(service) }
    }

    /// The id of a service's backend, by the service's place.
    pub fn id(&mut self, index: usize, backend: &str) -> u32 {
        self.loaded();
        let service = &self.state.config.services[index];
        let mut backends = service.backends.iter();
        let found = backends.find(|other| other.address == parse(backend)).expect("the service has this backend");
        self.state.ids.backend(service, found).expect("the backend lives")
    }
}
